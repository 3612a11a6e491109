//! Products, with their variants and categories.

use std::sync::LazyLock;

use domain::catalogue::{Product, ProductVariant};
use domain::numbers::Money;
use domain::resource::Resource;
use importer::ports::platform::{Decoded, Records};
use jiff_sqlx::Timestamp;
use rust_decimal::Decimal;
use sqlx::PgConnection;

use crate::columns::{
    OptionalText, array_literal, columns, instant, optional, storable, upsert, write,
};
use crate::error::TxError;
use crate::landing::context::LandingContext;
use crate::landing::entries::{place_all, remove_behind, remove_behind_in};
use crate::landing::list_batch::{BatchRecord, ListRecord, RowToWrite, land_list_records};
use crate::transaction::LockedRun;

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
        option_value_ids: String, "bigint[]" = |(_, _, v)| array_literal(v.option_value_ids.iter().copied());
    }
}

columns! {
    /// A category with the product that is in it, and its place in the product's list.
    struct CategoryColumns<'a> from (i64, i32, &'a Option<i64>) {
        product_id: i64, "bigint" = |(product_id, _, _)| product_id;
        position: i32, "integer" = |(_, position, _)| position;
        category_id: Option<i64>, "bigint" = |(_, _, category)| *category;
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

static UPSERT_VARIANTS: LazyLock<String> = LazyLock::new(|| {
    upsert::<VariantColumns<'_>>("salla.product_variants", &["product_id", "position"])
});

static UPSERT_CATEGORIES: LazyLock<String> = LazyLock::new(|| {
    upsert::<CategoryColumns<'_>>("salla.product_categories", &["product_id", "position"])
});

const REMOVE_VARIANTS: &str = remove_behind_in!("salla.product_variants", "product_id");
const REMOVE_CATEGORIES: &str = remove_behind_in!("salla.product_categories", "product_id");

impl ListRecord for Product {
    const RESOURCE: Resource = Resource::Products;

    fn id(&self) -> i64 {
        self.id
    }

    fn among(records: &Records) -> Option<&Vec<Decoded<Self>>> {
        match records {
            Records::Products(records) => Some(records),
            _ => None,
        }
    }

    async fn land(
        ctx: &mut LandingContext<'_>,
        found: &[BatchRecord<'_, Self>],
    ) -> Result<(), TxError> {
        let due = land_list_records(ctx, found).await?;
        if due.is_empty() {
            return Ok(());
        }
        let products = ProductColumns::of(due.iter().map(|due| due.record));
        write(ctx.tx, &ctx.run, &UPSERT_PRODUCTS, &products).await?;
        replace_entries(ctx.tx, &ctx.run, &due).await
    }
}

/// Makes the variants and categories of the products what the products say.
async fn replace_entries(
    tx: &mut PgConnection,
    run: &LockedRun,
    due: &[RowToWrite<'_, Product>],
) -> Result<(), TxError> {
    let known = || due.iter().filter(|due| !due.is_new).map(|due| due.record);
    let variants = known().map(|product| (product.id, product.variants.len()));
    remove_behind(tx, run, REMOVE_VARIANTS, variants).await?;
    let categories = known().map(|product| (product.id, product.category_ids.len()));
    remove_behind(tx, run, REMOVE_CATEGORIES, categories).await?;

    let products = || due.iter().map(|due| due.record);
    let variants = place_all(products().map(|product| (product.id, &product.variants[..])));
    write(tx, run, &UPSERT_VARIANTS, &VariantColumns::of(variants)).await?;
    let categories = place_all(products().map(|product| (product.id, &product.category_ids[..])));
    let categories = CategoryColumns::of(categories);
    write(tx, run, &UPSERT_CATEGORIES, &categories).await
}
