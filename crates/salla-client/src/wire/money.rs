//! Amounts of money (docs/salla-api.md#money). Both types are the inside of an object; the same
//! fields may hold a bare number or a string instead.

use serde::Deserialize;

use crate::lenient::Json;

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
