//! Products with their variants (docs.salla.dev/5394168e0), and categories
//! (docs/salla-api.md#products and #categories).

use serde::Deserialize;

use crate::lenient::{Json, List, Object};

#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Product<'a> {
    #[serde(borrow)]
    pub(crate) id: Json<'a>,
    pub(crate) sku: Json<'a>,
    pub(crate) name: Json<'a>,
    #[serde(rename = "type")]
    pub(crate) kind: Json<'a>,
    pub(crate) status: Json<'a>,
    pub(crate) price: Json<'a>,
    pub(crate) regular_price: Json<'a>,
    /// Money, or `{}`.
    pub(crate) sale_price: Json<'a>,
    /// A string here, an object on a variant.
    pub(crate) cost_price: Json<'a>,
    pub(crate) quantity: Json<'a>,
    pub(crate) unlimited_quantity: Json<'a>,
    pub(crate) sold_quantity: Json<'a>,
    pub(crate) is_available: Json<'a>,
    pub(crate) weight: Json<'a>,
    pub(crate) weight_type: Json<'a>,
    pub(crate) brand: Object<Brand<'a>>,
    pub(crate) url: Json<'a>,
    pub(crate) urls: Object<Urls<'a>>,
    pub(crate) updated_at: Json<'a>,
    pub(crate) skus: List<Object<Sku<'a>>>,
    /// Whole categories; some forms hold bare ids.
    pub(crate) categories: List<Json<'a>>,
}

/// `{}`, null, absent, or an object whose id is a string in the light form.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Brand<'a> {
    #[serde(borrow)]
    pub(crate) id: Json<'a>,
    pub(crate) name: Json<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Urls<'a> {
    #[serde(borrow)]
    pub(crate) customer: Json<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Sku<'a> {
    #[serde(borrow)]
    pub(crate) id: Json<'a>,
    pub(crate) sku: Json<'a>,
    pub(crate) barcode: Json<'a>,
    pub(crate) price: Json<'a>,
    pub(crate) regular_price: Json<'a>,
    pub(crate) sale_price: Json<'a>,
    pub(crate) cost_price: Json<'a>,
    pub(crate) stock_quantity: Json<'a>,
    pub(crate) unlimited_quantity: Json<'a>,
    pub(crate) related_option_values: List<Json<'a>>,
}

/// `update_at` is Salla's spelling; the right one is read too, in case they notice.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Category<'a> {
    #[serde(borrow)]
    pub(crate) id: Json<'a>,
    pub(crate) name: Json<'a>,
    pub(crate) parent_id: Json<'a>,
    pub(crate) status: Json<'a>,
    pub(crate) sort_order: Json<'a>,
    pub(crate) update_at: Json<'a>,
    pub(crate) updated_at: Json<'a>,
    pub(crate) sub_categories: List<Object<Category<'a>>>,
}
