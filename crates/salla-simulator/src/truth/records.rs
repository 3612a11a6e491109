//! The records of the truth, in plain types of this crate.

use crate::endpoint::Resource;
pub use crate::shop::Untold as TruthGaps;
use crate::shop::invalid::InvalidKind;
use jiff::civil::Date;
use rust_decimal::Decimal;
use serde::Serialize;
use std::collections::BTreeMap;

/// A record that must be refused. `id` is the one that it was meant to have;
/// the wire may lack it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct TruthRejection {
    pub resource: Resource,
    pub id: i64,
    pub kind: InvalidKind,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TruthOrder {
    pub id: i64,
    pub reference_id: i64,
    /// Epoch seconds of the date as it is labelled, which may not be the real
    /// moment (see `Quirks::utc_labelled_dates`).
    pub created_at: i64,
    pub updated_at: i64,
    pub riyadh_date: Date,
    pub status_slug: &'static str,
    pub status_id: i64,
    /// The id of the shop's own status, if the order has one.
    pub custom_status_id: Option<i64>,
    pub payment_method: &'static str,
    pub customer_id: Option<i64>,
    pub currency: &'static str,
    pub sub_total: Decimal,
    pub shipping: Decimal,
    pub cash_on_delivery: Decimal,
    pub discount: Decimal,
    pub tax_percent: Decimal,
    pub tax: Decimal,
    pub total: Decimal,
    pub items: Vec<TruthItem>,
    pub gaps: TruthGaps,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TruthItem {
    pub id: i64,
    /// The product as the wire names it: nothing if it has been deleted since.
    pub product_id: Option<i64>,
    /// The product that was sold, whether or not it is named and still there.
    pub sold_product_id: i64,
    pub sku: String,
    pub name: String,
    /// Negative for a return.
    pub quantity: i64,
    pub unit_price: Decimal,
    pub discount: Decimal,
    pub tax: Decimal,
    /// Price times quantity, before discount and tax.
    pub total: Decimal,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TruthCustomer {
    pub id: i64,
    pub first_name: &'static str,
    pub last_name: &'static str,
    pub mobile: i64,
    pub email: String,
    pub city: &'static str,
    pub country_code: &'static str,
    pub created_at: i64,
    pub updated_at: i64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TruthProduct {
    pub id: i64,
    pub sku: String,
    pub name: String,
    pub kind: &'static str,
    pub status: &'static str,
    /// The price that `price` shows, a sale included.
    pub price: Decimal,
    pub regular_price: Decimal,
    pub sale_price: Option<Decimal>,
    /// Nothing if the stock is unlimited.
    pub quantity: Option<u64>,
    pub updated_at: i64,
    pub category_ids: Vec<i64>,
    pub variants: Vec<TruthVariant>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TruthVariant {
    pub id: i64,
    pub sku: String,
    pub price: Decimal,
    pub stock: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TruthCategory {
    pub id: i64,
    pub name: String,
    pub parent_id: Option<i64>,
    pub status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TruthStatus {
    pub id: i64,
    pub name: String,
    pub slug: &'static str,
    /// The original's id, for a status of the shop's own.
    pub original_id: Option<i64>,
}

/// Counts and sums for a window of Riyadh days, both ends included. Customers,
/// products, categories and statuses have no window.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Truth {
    pub from: Date,
    pub to: Date,
    pub orders: u64,
    pub items: u64,
    pub customers: u64,
    pub products: u64,
    pub variants: u64,
    pub categories: u64,
    pub statuses: u64,
    /// By Riyadh month ("2025-06") and currency.
    pub months: BTreeMap<String, BTreeMap<&'static str, MonthTotal>>,
    pub rejections: Vec<TruthRejection>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct MonthTotal {
    pub orders: u64,
    /// The sum of the orders' totals.
    pub total: Decimal,
}
