//! Records as Salla sends them: its names, its misspellings, its nesting. Only what
//! the import uses is named; everything else stays in the raw record.
//!
//! No field of any of these types is required and none can fail on its own account
//! (see [`crate::lenient`]). Where a value stands that matters is decided in
//! [`crate::translate`].

use serde::Deserialize;

use crate::lenient::{Json, List, Object};

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

// Orders in all their forms: list row, light detail, full detail, expanded row
// (docs.salla.dev/5394146e0 and 5394147e0, docs/salla-api.md#orders).

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

// Products with their variants (docs.salla.dev/5394168e0), and categories
// (docs/salla-api.md#products and #categories).

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
