//! The lists inside an order: line items and discounts. Each entry is a row, known by its
//! place in the order, because Salla's ids may come twice.

use std::sync::LazyLock;

use domain::order::{OrderDiscount, OrderItem};
use rust_decimal::Decimal;
use sqlx::PgConnection;

use crate::columns::{
    CopyInto, OptionalText, columns, copy, copy_into, optional, storable, upsert, write,
};
use crate::error::TxError;
use crate::landing::entries::{WholeOrder, place_all, remove_behind, remove_behind_in};
use crate::transaction::LockedRun;

columns! {
    /// A line with its order and its place in it.
    struct ItemColumns<'a> from (i64, i32, &'a OrderItem) {
        order_id: i64, "bigint" = |(order_id, _, _)| order_id;
        id: i64, "bigint" = |(_, _, i)| i.id;
        position: i32, "integer" = |(_, position, _)| position;
        product_id: Option<i64>, "bigint" = |(_, _, i)| i.product_id;
        sku: OptionalText<'a>, "text" = |(_, _, i)| optional(&i.sku);
        name: std::borrow::Cow<'a, str>, "text" = |(_, _, i)| storable(&i.name);
        quantity: Decimal, "numeric" = |(_, _, i)| i.quantity;
        unit_price: Option<Decimal>, "numeric" = |(_, _, i)| i.unit_price;
        discount: Option<Decimal>, "numeric" = |(_, _, i)| i.discount;
        tax_percent: Option<Decimal>, "numeric" = |(_, _, i)| i.tax_percent;
        tax_amount: Option<Decimal>, "numeric" = |(_, _, i)| i.tax;
        total: Option<Decimal>, "numeric" = |(_, _, i)| i.total;
        currency: OptionalText<'a>, "text" = |(_, _, i)| optional(&i.currency);
    }
}

columns! {
    struct DiscountColumns<'a> from (i64, i32, &'a OrderDiscount) {
        order_id: i64, "bigint" = |(order_id, _, _)| order_id;
        position: i32, "integer" = |(_, position, _)| position;
        title: OptionalText<'a>, "text" = |(_, _, d)| optional(&d.title);
        kind: OptionalText<'a>, "text" = |(_, _, d)| optional(&d.kind);
        code: OptionalText<'a>, "text" = |(_, _, d)| optional(&d.code);
        amount: Option<Decimal>, "numeric" = |(_, _, d)| d.amount;
        shipping_amount: Option<Decimal>, "numeric" = |(_, _, d)| d.shipping_amount;
    }
}

static COPY_ITEMS: LazyLock<CopyInto> =
    LazyLock::new(|| copy_into::<ItemColumns<'_>>("salla.order_items"));

static COPY_DISCOUNTS: LazyLock<CopyInto> =
    LazyLock::new(|| copy_into::<DiscountColumns<'_>>("salla.order_discounts"));

static UPSERT_ITEMS: LazyLock<String> =
    LazyLock::new(|| upsert::<ItemColumns<'_>>("salla.order_items", &["order_id", "position"]));

static UPSERT_DISCOUNTS: LazyLock<String> = LazyLock::new(|| {
    upsert::<DiscountColumns<'_>>("salla.order_discounts", &["order_id", "position"])
});

const REMOVE_ITEMS: &str = remove_behind_in!("salla.order_items", "order_id");
const REMOVE_DISCOUNTS: &str = remove_behind_in!("salla.order_discounts", "order_id");

/// Writes the lines of orders that have none so far.
pub(crate) async fn copy_lines(
    tx: &mut PgConnection,
    run: &LockedRun,
    orders: &[WholeOrder<'_>],
) -> Result<(), TxError> {
    let items = ItemColumns::of(items(orders));
    copy(tx, run, &COPY_ITEMS, &items).await?;
    let discounts = DiscountColumns::of(discounts(orders));
    copy(tx, run, &COPY_DISCOUNTS, &discounts).await
}

/// Makes the lines of `orders` what the orders say. Those that stay as they are, are not
/// written, so that a change of the status alone touches no line.
pub(crate) async fn replace(
    tx: &mut PgConnection,
    run: &LockedRun,
    orders: &[WholeOrder<'_>],
) -> Result<(), TxError> {
    if orders.is_empty() {
        return Ok(());
    }
    let with_items = orders.iter().filter_map(|whole| {
        let items = whole.items?;
        Some((whole.order.id, items.len()))
    });
    remove_behind(tx, run, REMOVE_ITEMS, with_items).await?;
    write(tx, run, &UPSERT_ITEMS, &ItemColumns::of(items(orders))).await?;

    let counts = orders
        .iter()
        .map(|whole| (whole.order.id, whole.discounts().len()));
    remove_behind(tx, run, REMOVE_DISCOUNTS, counts).await?;
    let discounts = DiscountColumns::of(discounts(orders));
    write(tx, run, &UPSERT_DISCOUNTS, &discounts).await
}

const REMOVE_ALL_ITEMS: &str =
    "DELETE FROM salla.order_items WHERE merchant_id = $1 AND order_id = ANY($2)";
const REMOVE_ALL_DISCOUNTS: &str =
    "DELETE FROM salla.order_discounts WHERE merchant_id = $1 AND order_id = ANY($2)";

pub(crate) async fn remove_all(
    tx: &mut PgConnection,
    run: &LockedRun,
    orders: &[i64],
) -> Result<(), TxError> {
    for sql in [REMOVE_ALL_ITEMS, REMOVE_ALL_DISCOUNTS] {
        let delete = sqlx::query(sql).bind(run.merchant.0).bind(orders);
        delete.execute(&mut *tx).await?;
    }
    Ok(())
}

fn items<'a>(orders: &[WholeOrder<'a>]) -> Vec<(i64, i32, &'a OrderItem)> {
    let of = |whole: &WholeOrder<'a>| (whole.order.id, whole.items.unwrap_or_default());
    place_all(orders.iter().map(of))
}

fn discounts<'a>(orders: &[WholeOrder<'a>]) -> Vec<(i64, i32, &'a OrderDiscount)> {
    place_all(
        orders
            .iter()
            .map(|whole| (whole.order.id, whole.discounts())),
    )
}
