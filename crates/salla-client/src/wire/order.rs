//! Orders in all their forms: list row, light detail, full detail, expanded row
//! (docs.salla.dev/5394146e0 and 5394147e0, docs/salla-api.md#orders).

use serde::Deserialize;

use super::{Customer, Reference};
use crate::lenient::{Json, List, Object};

#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Order<'a> {
    #[serde(borrow)]
    pub(crate) id: Json<'a>,
    pub(crate) reference_id: Json<'a>,
    pub(crate) date: Json<'a>,
    /// In details only.
    pub(crate) updated_at: Json<'a>,
    pub(crate) status: Object<Status<'a>>,
    pub(crate) payment_method: Json<'a>,
    pub(crate) source: Json<'a>,
    /// In details only; list rows have the currency in `total`.
    pub(crate) currency: Json<'a>,
    /// In list rows only; details have it in `amounts`.
    pub(crate) total: Json<'a>,
    pub(crate) exchange_rate: Object<ExchangeRate<'a>>,
    pub(crate) amounts: Object<Amounts<'a>>,
    pub(crate) customer: Object<Customer<'a>>,
    /// In list rows these have neither ids nor amounts.
    pub(crate) items: List<Object<Item<'a>>>,
}

/// `id`, `name` and `slug` are the original status; `customized` is the shop's own
/// and may be null or absent. Some rows hold nothing but a name (docs/salla-api.md#order-statuses).
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Status<'a> {
    #[serde(borrow)]
    pub(crate) id: Json<'a>,
    pub(crate) slug: Json<'a>,
    pub(crate) name: Json<'a>,
    pub(crate) customized: Object<CustomStatus<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct CustomStatus<'a> {
    #[serde(borrow)]
    pub(crate) id: Json<'a>,
    pub(crate) name: Json<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct ExchangeRate<'a> {
    #[serde(borrow)]
    pub(crate) base_currency: Json<'a>,
    pub(crate) exchange_currency: Json<'a>,
    pub(crate) rate: Json<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Amounts<'a> {
    #[serde(borrow)]
    pub(crate) sub_total: Json<'a>,
    pub(crate) shipping_cost: Json<'a>,
    pub(crate) cash_on_delivery: Json<'a>,
    pub(crate) tax: Json<'a>,
    pub(crate) discounts: List<Object<Discount<'a>>>,
    pub(crate) total: Json<'a>,
}

/// `discount` is a string; `discounted_shipping` is 0, `"0.00"` or absent.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Discount<'a> {
    #[serde(borrow)]
    pub(crate) title: Json<'a>,
    #[serde(rename = "type")]
    pub(crate) kind: Json<'a>,
    pub(crate) code: Json<'a>,
    pub(crate) discount: Json<'a>,
    pub(crate) discounted_shipping: Json<'a>,
}

/// A row of `GET /orders/statuses`; `original` and `parent` are `{}`, null or an
/// object (docs/salla-api.md#order-statuses).
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct StatusRow<'a> {
    #[serde(borrow)]
    pub(crate) id: Json<'a>,
    pub(crate) name: Json<'a>,
    pub(crate) slug: Json<'a>,
    #[serde(rename = "type")]
    pub(crate) kind: Json<'a>,
    pub(crate) original: Object<Reference<'a>>,
    pub(crate) parent: Object<Reference<'a>>,
}

/// A line item, alone (docs.salla.dev/5565737e0) or inside an order
/// (docs/salla-api.md#order-items).
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Item<'a> {
    #[serde(borrow)]
    pub(crate) id: Json<'a>,
    /// In reduced webhooks only.
    pub(crate) product_id: Json<'a>,
    /// In full details; null where the product has been deleted.
    pub(crate) product: Object<ProductRef<'a>>,
    pub(crate) name: Json<'a>,
    pub(crate) sku: Json<'a>,
    pub(crate) quantity: Json<'a>,
    pub(crate) currency: Json<'a>,
    pub(crate) amounts: Object<ItemAmounts<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct ProductRef<'a> {
    #[serde(borrow)]
    pub(crate) id: Json<'a>,
    pub(crate) name: Json<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct ItemAmounts<'a> {
    #[serde(borrow)]
    pub(crate) price_without_tax: Json<'a>,
    pub(crate) total_discount: Json<'a>,
    pub(crate) tax: Json<'a>,
    pub(crate) total: Json<'a>,
}
