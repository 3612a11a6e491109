//! The parts of an order that are rows of their own: line items and discounts. They
//! are replaced as a set when the order's content changed.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use domain::order::{OrderDiscount, OrderItem};
use rust_decimal::Decimal;
use sqlx::PgConnection;
use sqlx::postgres::PgArguments;

use crate::columns::{add, columns, upsert, write};
use crate::copy::{copy, copy_into};
use crate::failure::Trouble;
use crate::landing::orders::WholeOrder;
use crate::lease::HeldRun;
use crate::text::{OptionalText, optional, storable};

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

static COPY_ITEMS: LazyLock<String> =
    LazyLock::new(|| copy_into::<ItemColumns<'_>>("salla.order_items"));

static COPY_DISCOUNTS: LazyLock<String> =
    LazyLock::new(|| copy_into::<DiscountColumns<'_>>("salla.order_discounts"));

static UPSERT_ITEMS: LazyLock<String> =
    LazyLock::new(|| upsert::<ItemColumns<'_>>("salla.order_items", &["order_id", "id"]));

static UPSERT_DISCOUNTS: LazyLock<String> = LazyLock::new(|| {
    upsert::<DiscountColumns<'_>>("salla.order_discounts", &["order_id", "position"])
});

/// Lines that the orders no longer have. Those they still have are updated in place,
/// so that a change of the status alone touches no line.
const REMOVE_OTHER_ITEMS: &str = "
    DELETE FROM salla.order_items t
    WHERE t.merchant_id = $1 AND t.order_id = ANY($2)
      AND (t.order_id, t.id) NOT IN (SELECT k.order_id, k.id
          FROM unnest($3::bigint[], $4::bigint[]) AS k(order_id, id))";

const REMOVE_OTHER_DISCOUNTS: &str = "
    DELETE FROM salla.order_discounts t
    WHERE t.merchant_id = $1 AND t.order_id = ANY($2)
      AND (t.order_id, t.position) NOT IN (SELECT k.order_id, k.position
          FROM unnest($3::bigint[], $4::integer[]) AS k(order_id, position))";

/// Writes the lines of orders that have none so far.
pub(crate) async fn copy_lines(
    tx: &mut PgConnection,
    run: &HeldRun,
    orders: &[WholeOrder<'_>],
) -> Result<(), Trouble> {
    let items = ItemColumns::of(items(orders));
    copy(tx, run, &COPY_ITEMS, &items).await?;
    let discounts = DiscountColumns::of(discounts(orders));
    copy(tx, run, &COPY_DISCOUNTS, &discounts).await
}

/// Makes the lines of `orders` what the orders say.
pub(crate) async fn replace(
    tx: &mut PgConnection,
    run: &HeldRun,
    orders: &[WholeOrder<'_>],
) -> Result<(), Trouble> {
    if orders.is_empty() {
        return Ok(());
    }
    let items = items(orders);
    let keys: (Vec<i64>, Vec<i64>) = items.iter().map(|(order, _, i)| (*order, i.id)).unzip();
    let with_items = orders.iter().filter(|whole| whole.items.is_some());
    let with_items: Vec<i64> = with_items.map(|whole| whole.order.id).collect();
    remove_others(tx, run, REMOVE_OTHER_ITEMS, &with_items, keys).await?;
    write(tx, run, &UPSERT_ITEMS, &ItemColumns::of(items)).await?;

    let discounts = discounts(orders);
    let keys: (Vec<i64>, Vec<i32>) = discounts.iter().map(|(order, p, _)| (*order, *p)).unzip();
    let ids: Vec<i64> = orders.iter().map(|whole| whole.order.id).collect();
    remove_others(tx, run, REMOVE_OTHER_DISCOUNTS, &ids, keys).await?;
    write(tx, run, &UPSERT_DISCOUNTS, &DiscountColumns::of(discounts)).await
}

const REMOVE_ALL_ITEMS: &str =
    "DELETE FROM salla.order_items WHERE merchant_id = $1 AND order_id = ANY($2)";
const REMOVE_ALL_DISCOUNTS: &str =
    "DELETE FROM salla.order_discounts WHERE merchant_id = $1 AND order_id = ANY($2)";

pub(crate) async fn remove_all(
    tx: &mut PgConnection,
    run: &HeldRun,
    orders: &[i64],
) -> Result<(), Trouble> {
    for sql in [REMOVE_ALL_ITEMS, REMOVE_ALL_DISCOUNTS] {
        let delete = sqlx::query(sql).bind(run.merchant.0).bind(orders);
        delete.execute(&mut *tx).await?;
    }
    Ok(())
}

/// All lines, sorted by key. An id that comes twice in one order is the same line
/// sent twice.
fn items<'a>(orders: &[WholeOrder<'a>]) -> Vec<(i64, i32, &'a OrderItem)> {
    let mut lines = Vec::with_capacity(orders.len() * 4);
    for whole in orders {
        let mut by_id = BTreeMap::new();
        for (position, item) in (1..).zip(whole.items.unwrap_or_default()) {
            by_id
                .entry(item.id)
                .or_insert((whole.order.id, position, item));
        }
        lines.extend(by_id.into_values());
    }
    lines
}

fn discounts<'a>(orders: &[WholeOrder<'a>]) -> Vec<(i64, i32, &'a OrderDiscount)> {
    let of = |whole: &WholeOrder<'a>| {
        let id = whole.order.id;
        let discounts = whole
            .order
            .amounts
            .as_ref()
            .map_or(&[][..], |a| &a.discounts);
        (1..)
            .zip(discounts)
            .map(move |(position, discount)| (id, position, discount))
    };
    orders.iter().flat_map(of).collect()
}

async fn remove_others<K>(
    tx: &mut PgConnection,
    run: &HeldRun,
    sql: &'static str,
    orders: &[i64],
    (order_ids, keys): (Vec<i64>, Vec<K>),
) -> Result<(), Trouble>
where
    for<'t> Vec<K>: sqlx::Encode<'t, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    let mut arguments = PgArguments::default();
    add(&mut arguments, run.merchant.0)?;
    add(&mut arguments, orders)?;
    add(&mut arguments, order_ids)?;
    add(&mut arguments, keys)?;
    sqlx::query_with(sql, arguments).execute(tx).await?;
    Ok(())
}
