//! Records as Salla sends them: its names, its misspellings, its nesting. Only what
//! the import uses is named; everything else stays in the raw record.
//!
//! No field of any of these types is required and none can fail on its own account
//! (see [`crate::lenient`]). Where a value stands that matters is decided in
//! [`crate::translate`].

mod catalogue;
mod customer;
mod item;
mod money;
mod order;
mod shop;

pub(crate) use catalogue::{Category, Product, Sku};
pub(crate) use customer::Customer;
pub(crate) use item::Item;
pub(crate) use money::{Money, Tax};
pub(crate) use order::{Amounts, Discount, ExchangeRate, Order, Status, StatusRow};
pub(crate) use shop::ShopInfo;

use serde::Deserialize;

use crate::lenient::Json;

/// An object of which only the id is of interest.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Reference<'a> {
    #[serde(borrow)]
    pub(crate) id: Json<'a>,
}
