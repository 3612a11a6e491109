//! Products, their variants, and categories.

use rust_decimal::Decimal;

use crate::instant::SallaInstant;
use crate::numbers::Money;

/// A product (docs.salla.dev/5394168e0). Salla gives no creation date.
#[derive(Clone, Debug, PartialEq)]
pub struct Product {
    pub id: i64,
    pub sku: Option<String>,
    pub name: Option<String>,
    pub kind: Option<String>,
    pub status: Option<String>,
    pub price: Option<Money>,
    pub regular_price: Option<Money>,
    pub sale_price: Option<Money>,
    pub cost_price: Option<Decimal>,
    /// Meaningless when `unlimited_quantity` is set (docs/salla-api.md#products).
    pub quantity: Option<Decimal>,
    pub unlimited_quantity: Option<bool>,
    pub sold_quantity: Option<Decimal>,
    pub is_available: Option<bool>,
    pub weight: Option<Decimal>,
    pub weight_unit: Option<String>,
    pub brand_id: Option<i64>,
    pub brand_name: Option<String>,
    pub url: Option<String>,
    pub updated_at: Option<SallaInstant>,
    pub variants: Vec<ProductVariant>,
    /// One for each entry that Salla lists; `None` where an entry names no category.
    pub category_ids: Vec<Option<i64>>,
}

/// A variant ("SKU"). Its option references may dangle in Salla's own samples, so
/// they are kept as plain numbers without foreign keys.
#[derive(Clone, Debug, PartialEq)]
pub struct ProductVariant {
    pub id: i64,
    pub sku: Option<String>,
    pub barcode: Option<String>,
    pub price: Option<Money>,
    pub regular_price: Option<Money>,
    pub sale_price: Option<Money>,
    pub cost_price: Option<Decimal>,
    pub stock_quantity: Option<Decimal>,
    pub unlimited_quantity: Option<bool>,
    /// One for each entry that Salla lists; `None` where an entry names no value.
    pub option_value_ids: Vec<Option<i64>>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Category {
    pub id: i64,
    pub name: Option<String>,
    /// `None` for a root category, for which Salla sends 0.
    pub parent_id: Option<i64>,
    pub status: Option<String>,
    pub sort_order: Option<i64>,
    pub updated_at: Option<SallaInstant>,
    /// The categories below it, which Salla lists only inside of their parent
    /// (docs/salla-api.md#categories).
    pub sub_categories: Vec<Category>,
}

impl Category {
    /// The category and all below it, parents first.
    pub fn with_descendants(&self) -> Vec<&Self> {
        let mut all = vec![self];
        let mut next = 0;
        while let Some(category) = all.get(next).copied() {
            all.extend(&category.sub_categories);
            next += 1;
        }
        all
    }
}
