//! Products, with their variants and categories.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use domain::catalogue::{Product, ProductVariant};
use domain::money::Money;
use domain::resource::Resource;
use jiff_sqlx::Timestamp;
use rust_decimal::Decimal;
use sqlx::PgConnection;

use crate::columns::{array_literal, columns, instant, upsert, write};
use crate::failure::Trouble;
use crate::landing::listed::{Due, land_simple};
use crate::landing::pages::{PagesOf, Workplace};
use crate::lease::HeldRun;
use crate::text::{OptionalText, optional, storable};

columns! {
    struct ProductColumns<'a> from &'a Product {
        id: i64, "bigint" = |p| p.id;
        sku: OptionalText<'a>, "text" = |p| optional(&p.sku);
        name: OptionalText<'a>, "text" = |p| optional(&p.name);
        kind: OptionalText<'a>, "text" = |p| optional(&p.kind);
        status: OptionalText<'a>, "text" = |p| optional(&p.status);
        currency: OptionalText<'a>, "text" = |p| currency([&p.price, &p.regular_price, &p.sale_price]);
        price: Option<Decimal>, "numeric" = |p| amount(&p.price);
        regular_price: Option<Decimal>, "numeric" = |p| amount(&p.regular_price);
        sale_price: Option<Decimal>, "numeric" = |p| amount(&p.sale_price);
        cost_price: Option<Decimal>, "numeric" = |p| p.cost_price;
        quantity: Option<Decimal>, "numeric" = |p| p.quantity;
        unlimited_quantity: Option<bool>, "boolean" = |p| p.unlimited_quantity;
        sold_quantity: Option<Decimal>, "numeric" = |p| p.sold_quantity;
        is_available: Option<bool>, "boolean" = |p| p.is_available;
        weight: Option<Decimal>, "numeric" = |p| p.weight;
        weight_unit: OptionalText<'a>, "text" = |p| optional(&p.weight_unit);
        brand_id: Option<i64>, "bigint" = |p| p.brand_id;
        brand_name: OptionalText<'a>, "text" = |p| optional(&p.brand_name);
        url: OptionalText<'a>, "text" = |p| optional(&p.url);
        updated_at: Option<Timestamp>, "timestamptz" = |p| p.updated_at.as_ref().map(instant);
        updated_at_raw: OptionalText<'a>, "text" = |p| p.updated_at.as_ref().map(|at| storable(&at.raw));
        updated_at_reading: Option<&'static str>, "text" = |p| p.updated_at.as_ref().map(|at| at.reading.as_str());
    }
}

columns! {
    /// A variant with its product and its place in it.
    struct VariantColumns<'a> from (i64, i32, &'a ProductVariant) {
        product_id: i64, "bigint" = |(product_id, _, _)| product_id;
        id: i64, "bigint" = |(_, _, v)| v.id;
        position: i32, "integer" = |(_, position, _)| position;
        sku: OptionalText<'a>, "text" = |(_, _, v)| optional(&v.sku);
        barcode: OptionalText<'a>, "text" = |(_, _, v)| optional(&v.barcode);
        currency: OptionalText<'a>, "text" = |(_, _, v)| currency([&v.price, &v.regular_price, &v.sale_price]);
        price: Option<Decimal>, "numeric" = |(_, _, v)| amount(&v.price);
        regular_price: Option<Decimal>, "numeric" = |(_, _, v)| amount(&v.regular_price);
        sale_price: Option<Decimal>, "numeric" = |(_, _, v)| amount(&v.sale_price);
        cost_price: Option<Decimal>, "numeric" = |(_, _, v)| v.cost_price;
        stock_quantity: Option<Decimal>, "numeric" = |(_, _, v)| v.stock_quantity;
        unlimited_quantity: Option<bool>, "boolean" = |(_, _, v)| v.unlimited_quantity;
        option_value_ids: String, "bigint[]" = |(_, _, v)| array_literal(&v.option_value_ids);
    }
}

fn amount(money: &Option<Money>) -> Option<Decimal> {
    money.as_ref().map(|m| m.amount)
}

/// Salla names the currency beside each price; it is the shop's, the same for all.
fn currency(prices: [&Option<Money>; 3]) -> OptionalText<'_> {
    let named = |price: &'_ Option<Money>| price.as_ref().is_some_and(|m| m.currency.is_some());
    let price = prices.into_iter().find(|price| named(price))?;
    price.as_ref().and_then(|m| optional(&m.currency))
}

static UPSERT_PRODUCTS: LazyLock<String> =
    LazyLock::new(|| upsert::<ProductColumns<'_>>("salla.products", &["id"]));

static UPSERT_VARIANTS: LazyLock<String> =
    LazyLock::new(|| upsert::<VariantColumns<'_>>("salla.product_variants", &["product_id", "id"]));

const INSERT_CATEGORIES: &str = "
    INSERT INTO salla.product_categories (merchant_id, product_id, category_id)
    SELECT $1, r.product_id, r.category_id
    FROM unnest($2::bigint[], $3::bigint[]) AS r(product_id, category_id)
    ON CONFLICT DO NOTHING";

const REMOVE_OTHER_VARIANTS: &str = "
    DELETE FROM salla.product_variants t
    WHERE t.merchant_id = $1 AND t.product_id = ANY($2)
      AND (t.product_id, t.id) NOT IN (SELECT k.product_id, k.id
          FROM unnest($3::bigint[], $4::bigint[]) AS k(product_id, id))";

const REMOVE_OTHER_CATEGORIES: &str = "
    DELETE FROM salla.product_categories t
    WHERE t.merchant_id = $1 AND t.product_id = ANY($2)
      AND (t.product_id, t.category_id) NOT IN (SELECT k.product_id, k.id
          FROM unnest($3::bigint[], $4::bigint[]) AS k(product_id, id))";

pub(crate) async fn land_listed(
    place: &mut Workplace<'_>,
    pages: &PagesOf<'_, Product>,
) -> Result<(), Trouble> {
    let what = (Resource::Products, "product");
    let due = land_simple(place, pages, what, |product| product.id).await?;
    if due.is_empty() {
        return Ok(());
    }
    let run = place.run;
    let products = ProductColumns::of(due.iter().map(|due| due.record));
    write(place.tx, &run, &UPSERT_PRODUCTS, &products).await?;
    let known: Vec<i64> = due
        .iter()
        .filter(|d| !d.is_new)
        .map(|d| d.record.id)
        .collect();
    replace_variants(place.tx, &run, &due, &known).await?;
    replace_categories(place.tx, &run, &due, &known).await
}

async fn replace_variants(
    tx: &mut PgConnection,
    run: &HeldRun,
    due: &[Due<'_, Product>],
    known: &[i64],
) -> Result<(), Trouble> {
    let mut variants = BTreeMap::new();
    for product in due.iter().map(|due| due.record) {
        for (position, variant) in (1..).zip(&product.variants) {
            let line = (product.id, position, variant);
            variants.entry((product.id, variant.id)).or_insert(line);
        }
    }
    let keys = variants.keys().copied().unzip();
    remove_others(tx, run, REMOVE_OTHER_VARIANTS, known, keys).await?;
    let variants = VariantColumns::of(variants.into_values());
    write(tx, run, &UPSERT_VARIANTS, &variants).await
}

async fn replace_categories(
    tx: &mut PgConnection,
    run: &HeldRun,
    due: &[Due<'_, Product>],
    known: &[i64],
) -> Result<(), Trouble> {
    let of = |product: &Product| {
        let id = product.id;
        product
            .category_ids
            .clone()
            .into_iter()
            .map(move |category| (id, category))
    };
    let pairs: BTreeSet<(i64, i64)> = due.iter().flat_map(|due| of(due.record)).collect();
    let (products, categories): (Vec<i64>, Vec<i64>) = pairs.into_iter().unzip();
    let keys = (products.clone(), categories.clone());
    remove_others(tx, run, REMOVE_OTHER_CATEGORIES, known, keys).await?;
    sqlx::query(INSERT_CATEGORIES)
        .bind(run.merchant.0)
        .bind(products)
        .bind(categories)
        .execute(tx)
        .await?;
    Ok(())
}

async fn remove_others(
    tx: &mut PgConnection,
    run: &HeldRun,
    sql: &'static str,
    known: &[i64],
    (products, keys): (Vec<i64>, Vec<i64>),
) -> Result<(), Trouble> {
    if known.is_empty() {
        return Ok(());
    }
    sqlx::query(sql)
        .bind(run.merchant.0)
        .bind(known)
        .bind(products)
        .bind(keys)
        .execute(tx)
        .await?;
    Ok(())
}
