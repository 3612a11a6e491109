//! Money as exact decimals, never as floating point.

use rust_decimal::Decimal;

/// An amount in one currency. The currency is absent where Salla sends a bare
/// number (`product.price.updated`, FACTS §11).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Money {
    pub amount: Decimal,
    pub currency: Option<String>,
}

impl Money {
    pub fn new(amount: Decimal, currency: impl Into<String>) -> Self {
        Self {
            amount,
            currency: Some(currency.into()),
        }
    }
}

/// The rate at which an order in a foreign currency was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExchangeRate {
    pub base_currency: Option<String>,
    pub exchange_currency: Option<String>,
    pub rate: Option<Decimal>,
}
