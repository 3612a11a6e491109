//! Records as Salla sends them: its names, its misspellings, its nesting. Only what
//! the import uses is named; everything else stays in the raw record.
//!
//! No field of any of these types is required and none can fail on its own account
//! (see [`crate::lenient`]). Where a value stands that matters is decided in
//! [`crate::translate`].

mod catalogue;
mod order;

use serde::Deserialize;

use crate::lenient::Json;
pub(crate) use catalogue::{Category, Product, Sku};
pub(crate) use order::{Amounts, Discount, ExchangeRate, Item, Order, Status, StatusRow};

/// An object of which only the id is of interest.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Reference<'a> {
    #[serde(borrow)]
    pub(crate) id: Json<'a>,
}

/// An amount of money (docs/salla-api.md#money). This and [`Tax`] are the inside of an object;
/// the same fields may hold a bare number or a string instead.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Money<'a> {
    #[serde(borrow)]
    pub(crate) amount: Json<'a>,
    pub(crate) currency: Json<'a>,
}

/// `percent` is a string in orders and a number in invoices; `amount` is money.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Tax<'a> {
    #[serde(borrow)]
    pub(crate) percent: Json<'a>,
    pub(crate) amount: Json<'a>,
}

/// `GET /store/info` (docs.salla.dev/5394261e0, docs/salla-api.md#store).
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct ShopInfo<'a> {
    #[serde(borrow)]
    pub(crate) id: Json<'a>,
    pub(crate) name: Json<'a>,
    pub(crate) plan: Json<'a>,
    #[serde(rename = "type")]
    pub(crate) kind: Json<'a>,
    pub(crate) status: Json<'a>,
    pub(crate) currency: Json<'a>,
    pub(crate) domain: Json<'a>,
}

/// A customer (docs.salla.dev/5394121e0), also as it stands inside an order
/// (docs/salla-api.md#customers).
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Customer<'a> {
    #[serde(borrow)]
    pub(crate) id: Json<'a>,
    /// In reduced customers only, in place of first and last name.
    pub(crate) name: Json<'a>,
    pub(crate) full_name: Json<'a>,
    pub(crate) first_name: Json<'a>,
    pub(crate) last_name: Json<'a>,
    /// A number without country code, or a string with it.
    pub(crate) mobile: Json<'a>,
    /// `"+966"` or `"967"`.
    pub(crate) mobile_code: Json<'a>,
    pub(crate) email: Json<'a>,
    pub(crate) gender: Json<'a>,
    pub(crate) birthday: Json<'a>,
    pub(crate) city: Json<'a>,
    pub(crate) country: Json<'a>,
    /// `SA` or `sa`.
    pub(crate) country_code: Json<'a>,
    pub(crate) currency: Json<'a>,
    pub(crate) created_at: Json<'a>,
    pub(crate) updated_at: Json<'a>,
}
