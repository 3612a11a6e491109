//! A row of `salla.orders`, read back as the order it was made from.

use domain::customer::Customer;
use domain::instant::{DateReading, SallaInstant};
use domain::numbers::{ExchangeRate, Money};
use domain::order::{Order, OrderAmounts, OrderCustomer, OrderDiscount, OrderItem, StatusRef};
use jiff_sqlx::Timestamp;
use rust_decimal::Decimal;

#[derive(sqlx::FromRow)]
pub(super) struct OrderRow {
    pub(super) id: i64,
    reference_id: Option<i64>,
    created_at: Timestamp,
    created_at_raw: String,
    created_at_reading: String,
    updated_at: Option<Timestamp>,
    updated_at_raw: Option<String>,
    updated_at_reading: Option<String>,
    status_id: Option<i64>,
    status_slug: Option<String>,
    status_name: Option<String>,
    custom_status_id: Option<i64>,
    custom_status_name: Option<String>,
    payment_method: Option<String>,
    source: Option<String>,
    customer_id: Option<i64>,
    currency: Option<String>,
    total: Option<Decimal>,
    subtotal: Option<Decimal>,
    shipping: Option<Decimal>,
    cash_on_delivery: Option<Decimal>,
    tax_percent: Option<Decimal>,
    tax_amount: Option<Decimal>,
    exchange_rate: Option<Decimal>,
    exchange_base_currency: Option<String>,
    exchange_target_currency: Option<String>,
    has_amounts: bool,
    has_items: bool,
}

impl OrderRow {
    /// The whole order. Of its customer only the id is a column here.
    pub(super) fn with(self, items: Vec<OrderItem>, discounts: Vec<OrderDiscount>) -> Order {
        let updated_at = self.updated_at.map(|at| {
            let raw = self.updated_at_raw.unwrap_or_default();
            instant(at, raw, &self.updated_at_reading.unwrap_or_default())
        });
        Order {
            id: self.id,
            reference_id: self.reference_id,
            created_at: instant(
                self.created_at,
                self.created_at_raw,
                &self.created_at_reading,
            ),
            updated_at,
            status: Some(StatusRef {
                id: self.status_id,
                slug: self.status_slug,
                name: self.status_name,
                custom_id: self.custom_status_id,
                custom_name: self.custom_status_name,
            }),
            payment_method: self.payment_method,
            source: self.source,
            total: self.total.map(|amount| Money {
                amount,
                currency: self.currency.clone(),
            }),
            currency: self.currency,
            exchange_rate: self.exchange_rate.map(|rate| ExchangeRate {
                base_currency: self.exchange_base_currency,
                exchange_currency: self.exchange_target_currency,
                rate: Some(rate),
            }),
            amounts: self.has_amounts.then_some(OrderAmounts {
                subtotal: self.subtotal,
                shipping: self.shipping,
                cash_on_delivery: self.cash_on_delivery,
                tax_percent: self.tax_percent,
                tax: self.tax_amount,
                discounts,
            }),
            customer: self.customer_id.map(|id| {
                OrderCustomer::Known(Box::new(Customer {
                    id,
                    ..Customer::default()
                }))
            }),
            items: self.has_items.then_some(items),
        }
    }
}

fn instant(at: Timestamp, raw: String, reading: &str) -> SallaInstant {
    SallaInstant {
        instant: at.to_jiff(),
        raw,
        reading: DateReading::parse(reading).unwrap_or(DateReading::Riyadh),
    }
}
