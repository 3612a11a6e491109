//! Orders, as one type for all the shapes in which Salla sends them.
//!
//! A *header* is an order as the plain list gives it; a *detail* adds amounts, customer
//! and, depending on the age of the app, line items
//! (ARCHITECTURE.md#what-sallas-api-forces-on-us).

use jiff::Timestamp;
use rust_decimal::Decimal;

use crate::customer::Customer;
use crate::instant::SallaInstant;
use crate::numbers::{ExchangeRate, Money};

#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    pub id: i64,
    /// The human order number; an integer apart from `id`.
    pub reference_id: Option<i64>,
    pub created_at: SallaInstant,
    pub updated_at: Option<SallaInstant>,
    pub status: Option<StatusRef>,
    pub payment_method: Option<String>,
    pub source: Option<String>,
    pub currency: Option<String>,
    pub total: Option<Money>,
    pub exchange_rate: Option<ExchangeRate>,
    /// Absent in a header.
    pub amounts: Option<OrderAmounts>,
    /// Absent where the record says nothing of the customer, which differs from
    /// a guest: `Some(OrderCustomer::Guest)`.
    pub customer: Option<OrderCustomer>,
    /// `None`: this record does not say (summaries and light details have no usable items, and an
    /// empty list in an order says as little).
    pub items: Option<Vec<OrderItem>>,
}

/// The status of an order: the original slug and the shop's own name for it
/// (docs/salla-api.md#order-statuses).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct StatusRef {
    pub id: Option<i64>,
    pub slug: Option<String>,
    pub name: Option<String>,
    pub custom_id: Option<i64>,
    pub custom_name: Option<String>,
}

/// The parts of an order's total, stored as given: the identity between them does
/// not always hold, so nothing is rejected because of it (docs/salla-api.md#order-details).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct OrderAmounts {
    pub subtotal: Option<Decimal>,
    pub shipping: Option<Decimal>,
    pub cash_on_delivery: Option<Decimal>,
    pub tax_percent: Option<Decimal>,
    pub tax: Option<Decimal>,
    pub discounts: Vec<OrderDiscount>,
}

impl OrderAmounts {
    /// The sum of all discounts, in the currency of the order; nothing where no number
    /// here holds it.
    pub fn discount_total(&self) -> Option<Decimal> {
        let mut amounts = self.discounts.iter().filter_map(|d| d.amount);
        amounts.try_fold(Decimal::ZERO, Decimal::checked_add)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct OrderDiscount {
    pub title: Option<String>,
    pub kind: Option<String>,
    pub code: Option<String>,
    pub amount: Option<Decimal>,
    pub shipping_amount: Option<Decimal>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum OrderCustomer {
    /// Salla sent null, `{}` or `[]`.
    Guest,
    Known(Box<Customer>),
}

impl OrderCustomer {
    pub fn id(&self) -> Option<i64> {
        match self {
            Self::Guest => None,
            Self::Known(customer) => Some(customer.id),
        }
    }
}

/// A line item. Its product may be gone from the shop; then only name and sku
/// remain, and that is valid history (docs/salla-api.md#order-items).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderItem {
    pub id: i64,
    pub product_id: Option<i64>,
    pub sku: Option<String>,
    pub name: String,
    pub quantity: Decimal,
    /// Price of one piece before tax and discount.
    pub unit_price: Option<Decimal>,
    pub discount: Option<Decimal>,
    pub tax_percent: Option<Decimal>,
    pub tax: Option<Decimal>,
    /// As Salla gives it: `price_without_tax × quantity`, before discount and tax
    /// (docs/salla-api.md#order-items).
    pub total: Option<Decimal>,
    pub currency: Option<String>,
}

/// One entry of `GET /orders/statuses`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderStatus {
    pub id: i64,
    pub name: Option<String>,
    pub slug: Option<String>,
    /// `original` or `custom`.
    pub kind: Option<String>,
    pub original_id: Option<i64>,
    pub parent_id: Option<i64>,
}

/// How much of an order a record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Completeness {
    /// Total, date, status: no amounts, no items.
    Header,
    /// Amounts and customer, but items must be fetched apart.
    DetailWithoutItems,
    /// Everything.
    Full,
}

impl Order {
    pub fn completeness(&self) -> Completeness {
        match (&self.amounts, &self.items) {
            (Some(_), Some(_)) => Completeness::Full,
            (Some(_), None) => Completeness::DetailWithoutItems,
            (None, _) => Completeness::Header,
        }
    }

    /// Whether there are none here although the order must have some: the subtotal is their sum.
    pub fn lacks_all_items(&self, items: &[OrderItem]) -> bool {
        let subtotal = self.amounts.as_ref().and_then(|amounts| amounts.subtotal);
        items.is_empty() && subtotal.is_some_and(|subtotal| !subtotal.is_zero())
    }
}

/// The version of a record: when we sent the request that returned it
/// (decision 17). Salla's own `updated_at` is missing from list rows.
pub type Version = Timestamp;
