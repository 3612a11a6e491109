//! Line items, alone (docs.salla.dev/5565737e0) or inside an order (docs/salla-api.md#order-items).

use serde::Deserialize;

use crate::lenient::{Json, Object};

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
