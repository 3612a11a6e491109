//! Products, their variants, and categories.

use std::collections::BTreeMap;

use domain::catalogue::{Category, Product, ProductVariant};
use domain::rejection::Rejection;
use serde_json::value::RawValue;

use super::fields::{self, At, Defect};
use super::{Listed, record, records_in_single_pass};
use crate::lenient::{Json, Kind, List, Object};
use crate::wire;

/// A product with its variants (docs.salla.dev/5394168e0, docs/salla-api.md#products).
pub fn product(raw: &RawValue) -> Result<Product, Rejection> {
    record(raw, |wire: &wire::Product<'_>| wire.id, build_product)
}

/// A category (docs/salla-api.md#categories).
pub fn category(raw: &RawValue) -> Result<Category, Rejection> {
    record(raw, |wire: &wire::Category<'_>| wire.id, build_tree)
}

pub(super) fn products(body: &[u8]) -> Option<Listed<Product>> {
    records_in_single_pass(body, |wire: &wire::Product<'_>| wire.id, build_product)
}

pub(super) fn categories(body: &[u8]) -> Option<Listed<Category>> {
    records_in_single_pass(body, |wire: &wire::Category<'_>| wire.id, build_tree)
}

fn build_product(id: i64, wire: &wire::Product<'_>) -> Result<Product, Defect> {
    let brand = wire.brand.get();
    let shop_url = wire.urls.get().map_or_else(Json::default, |u| u.customer);
    Ok(Product {
        id,
        sku: wire.sku.string(),
        name: wire.name.string(),
        kind: wire.kind.string(),
        status: wire.status.string(),
        price: fields::money(wire.price).at("price")?,
        regular_price: fields::money(wire.regular_price).at("regular_price")?,
        sale_price: fields::money(wire.sale_price).at("sale_price")?,
        cost_price: fields::amount(wire.cost_price).at("cost_price")?,
        quantity: fields::quantity(wire.quantity).at("quantity")?,
        unlimited_quantity: wire.unlimited_quantity.flag(),
        sold_quantity: fields::quantity(wire.sold_quantity).at("sold_quantity")?,
        is_available: wire.is_available.flag(),
        weight: wire.weight.decimal().unwrap_or(None),
        weight_unit: wire.weight_type.string(),
        brand_id: brand.and_then(|b| b.id.reference()),
        brand_name: brand.and_then(|b| b.name.string()),
        url: wire.url.or(shop_url).string(),
        updated_at: fields::optional_instant(wire.updated_at),
        variants: variants(&wire.skus).at("skus")?,
        category_ids: category_ids(&wire.categories).at("categories")?,
    })
}

fn variants(wire: &List<Object<wire::Sku<'_>>>) -> Result<Vec<ProductVariant>, Defect> {
    let rows = entries(wire, "the variants are not a list")?;
    let rows = rows.iter().enumerate();
    rows.map(|(index, row)| variant(row).at_index(index))
        .collect()
}

/// The entries of a list; something else in its place is not an empty list.
fn entries<'w, T>(wire: &'w List<T>, problem: &'static str) -> Result<&'w [T], Defect> {
    match wire {
        List::Odd => Err(fields::invalid_field(problem)),
        List::Missing | List::Empty | List::Of(_) => Ok(wire.rows()),
    }
}

fn variant(row: &Object<wire::Sku<'_>>) -> Result<ProductVariant, Defect> {
    let Some(wire) = row.get() else {
        return Err(fields::invalid_field("the variant is not an object"));
    };
    let option_values = entries(
        &wire.related_option_values,
        "the option values are not a list",
    )
    .at("related_option_values")?;
    Ok(ProductVariant {
        id: fields::id(wire.id).at("id")?,
        sku: wire.sku.string(),
        barcode: wire.barcode.string(),
        price: fields::money(wire.price).at("price")?,
        regular_price: fields::money(wire.regular_price).at("regular_price")?,
        sale_price: fields::money(wire.sale_price).at("sale_price")?,
        cost_price: fields::amount(wire.cost_price).at("cost_price")?,
        stock_quantity: fields::quantity(wire.stock_quantity).at("stock_quantity")?,
        unlimited_quantity: wire.unlimited_quantity.flag(),
        option_value_ids: option_values.iter().map(|id| id.reference()).collect(),
    })
}

/// Whole categories or bare ids. An entry that names none is an entry all the same.
fn category_ids(wire: &List<Json<'_>>) -> Result<Vec<Option<i64>>, Defect> {
    let id = |category: &Json<'_>| match category.kind() {
        Kind::Object(object) => {
            let reference: wire::Reference<'_> = serde_json::from_str(object).ok()?;
            reference.id.reference()
        }
        _ => category.reference(),
    };
    let rows = entries(wire, "the categories are not a list")?;
    Ok(rows.iter().map(id).collect())
}

/// A category with all below it, each of which becomes a row under its own id: two that
/// share one must be the same.
fn build_tree(id: i64, wire: &wire::Category<'_>) -> Result<Category, Defect> {
    let tree = build_category(id, wire)?;
    let mut by_id = BTreeMap::new();
    for category in tree.with_descendants() {
        if *by_id.entry(category.id).or_insert(category) != category {
            let problem = fields::invalid_field("two different categories have the same id");
            return Err(problem.at("sub_categories"));
        }
    }
    Ok(tree)
}

fn build_category(id: i64, wire: &wire::Category<'_>) -> Result<Category, Defect> {
    Ok(Category {
        id,
        name: wire.name.string(),
        parent_id: wire.parent_id.reference(),
        status: wire.status.string(),
        sort_order: wire.sort_order.integer().unwrap_or(None),
        updated_at: fields::optional_instant(wire.update_at.or(wire.updated_at)),
        sub_categories: sub_categories(wire).at("sub_categories")?,
    })
}

fn sub_categories(wire: &wire::Category<'_>) -> Result<Vec<Category>, Defect> {
    let rows = entries(&wire.sub_categories, "the categories are not a list")?;
    let rows = rows.iter().enumerate();
    rows.map(|(index, row)| sub_category(row).at_index(index))
        .collect()
}

fn sub_category(row: &Object<wire::Category<'_>>) -> Result<Category, Defect> {
    let Some(wire) = row.get() else {
        return Err(fields::invalid_field("the category is not an object"));
    };
    build_category(fields::id(wire.id).at("id")?, wire)
}
