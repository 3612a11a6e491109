//! The columns of `salla.orders`, in two groups: those in a summary, and those only in a detail.

use std::sync::LazyLock;

use domain::order::{Order, OrderAmounts, OrderCustomer, StatusRef};
use domain::order::{OrderDiscount, OrderItem};
use jiff_sqlx::{Date, Timestamp, ToSqlx};
use rust_decimal::Decimal;
use sqlx::PgConnection;

use crate::columns::{Columns, columns, insert, instant, list, write};
use crate::columns::{CopyInto, copy, copy_into};
use crate::columns::{OptionalText, optional, storable};
use crate::error::TxError;
use crate::transaction::LockedRun;

/// An order with its items, wherever they came from.
#[derive(Clone, Copy)]
pub(crate) struct WholeOrder<'a> {
    pub(crate) order: &'a Order,
    pub(crate) items: Option<&'a [OrderItem]>,
}

impl<'a> WholeOrder<'a> {
    pub(crate) fn discounts(&self) -> &'a [OrderDiscount] {
        let amounts = self.order.amounts.as_ref();
        amounts.map_or(&[], |amounts| &amounts.discounts)
    }
}

columns! {
    /// In summaries and details.
    struct SharedColumns<'a> from &'a Order {
        id: i64, "bigint" = |o| o.id;
        reference_id: Option<i64>, "bigint" = |o| o.reference_id;
        created_at: Timestamp, "timestamptz" = |o| instant(&o.created_at);
        created_at_raw: std::borrow::Cow<'a, str>, "text" = |o| storable(&o.created_at.raw);
        created_at_reading: &'static str, "text" = |o| o.created_at.reading.as_str();
        riyadh_date: Date, "date" = |o| o.created_at.riyadh_date().to_sqlx();
        updated_at: Option<Timestamp>, "timestamptz" = |o| o.updated_at.as_ref().map(instant);
        updated_at_raw: OptionalText<'a>, "text" = |o| o.updated_at.as_ref().map(|at| storable(&at.raw));
        updated_at_reading: Option<&'static str>, "text" = |o| o.updated_at.as_ref().map(|at| at.reading.as_str());
        status_id: Option<i64>, "bigint" = |o| status(o).and_then(|s| s.id);
        status_slug: OptionalText<'a>, "text" = |o| status(o).and_then(|s| optional(&s.slug));
        status_name: OptionalText<'a>, "text" = |o| status(o).and_then(|s| optional(&s.name));
        custom_status_id: Option<i64>, "bigint" = |o| status(o).and_then(|s| s.custom_id);
        custom_status_name: OptionalText<'a>, "text" = |o| status(o).and_then(|s| optional(&s.custom_name));
        payment_method: OptionalText<'a>, "text" = |o| optional(&o.payment_method);
        source: OptionalText<'a>, "text" = |o| optional(&o.source);
        customer_id: Option<i64>, "bigint" = |o| o.customer.as_ref().and_then(OrderCustomer::id);
        currency: OptionalText<'a>, "text" = |o| currency(o);
        total: Option<Decimal>, "numeric" = |o| o.total.as_ref().map(|m| m.amount);
        exchange_rate: Option<Decimal>, "numeric" = |o| o.exchange_rate.as_ref().and_then(|e| e.rate);
        exchange_base_currency: OptionalText<'a>, "text" = |o| o.exchange_rate.as_ref().and_then(|e| optional(&e.base_currency));
        exchange_target_currency: OptionalText<'a>, "text" = |o| o.exchange_rate.as_ref().and_then(|e| optional(&e.exchange_currency));
    }
}

columns! {
    /// Only in a detail. The flag says whether the items are known.
    struct DetailColumns<'a> from (&'a Order, bool) {
        subtotal: Option<Decimal>, "numeric" = |(o, _)| amounts(o).and_then(|a| a.subtotal);
        shipping: Option<Decimal>, "numeric" = |(o, _)| amounts(o).and_then(|a| a.shipping);
        cash_on_delivery: Option<Decimal>, "numeric" = |(o, _)| amounts(o).and_then(|a| a.cash_on_delivery);
        discount: Option<Decimal>, "numeric" = |(o, _)| amounts(o).and_then(OrderAmounts::discount_total);
        tax_percent: Option<Decimal>, "numeric" = |(o, _)| amounts(o).and_then(|a| a.tax_percent);
        tax_amount: Option<Decimal>, "numeric" = |(o, _)| amounts(o).and_then(|a| a.tax);
        has_amounts: bool, "boolean" = |(o, _)| o.amounts.is_some();
        has_items: bool, "boolean" = |(_, items_known)| items_known;
    }
}

type WholeColumns<'a> = (SharedColumns<'a>, DetailColumns<'a>);

fn status(order: &Order) -> Option<&StatusRef> {
    order.status.as_ref()
}

fn amounts(order: &Order) -> Option<&OrderAmounts> {
    order.amounts.as_ref()
}

/// Salla names the currency beside each amount; the order's own comes first.
pub(crate) fn currency(order: &Order) -> OptionalText<'_> {
    let of_total = || order.total.as_ref().and_then(|m| optional(&m.currency));
    optional(&order.currency).or_else(of_total)
}

/// The columns that no header leaves out.
const ALWAYS_THERE: [&str; 5] = [
    "id",
    "created_at",
    "created_at_raw",
    "created_at_reading",
    "riyadh_date",
];

/// A summary over existing values: it never clears what a detail filled, because a field that it
/// lacks is unknown, not empty. Details stay unchanged.
static UPSERT_HEADERS: LazyLock<String> = LazyLock::new(|| {
    upsert_orders::<SharedColumns<'_>>(|name| {
        if ALWAYS_THERE.contains(&name) {
            format!("excluded.{name}")
        } else if name.starts_with("custom_status") {
            // A status of Salla's own has no custom one below it.
            format!(
                "CASE WHEN {STATUS_IS_SILENT} THEN {} ELSE excluded.{name} END",
                of_detail(name)
            )
        } else {
            format!("coalesce(excluded.{name}, {})", of_detail(name))
        }
    })
});

const STATUS_IS_SILENT: &str = "coalesce(excluded.status_id::text, excluded.status_slug, \
     excluded.status_name) IS NULL";

fn of_detail(name: &str) -> String {
    format!("CASE WHEN t.has_amounts OR t.has_items THEN t.{name} END")
}

static COPY_WHOLE: LazyLock<CopyInto> =
    LazyLock::new(|| copy_into::<WholeColumns<'_>>("salla.orders"));

/// A whole order that is the newest version. Only the customer and the exchange rate stay if the
/// record has none: some details lack them although the list has them
/// (docs/salla-api.md#order-details).
static UPSERT_WHOLE: LazyLock<String> = LazyLock::new(|| {
    upsert_orders::<WholeColumns<'_>>(|name| match name {
        name if name == "customer_id" || name.starts_with("exchange_") => {
            format!("coalesce(excluded.{name}, t.{name})")
        }
        _ => format!("excluded.{name}"),
    })
});

/// A whole order below a newer summary: fills what only a detail has, and what the summary lacks.
static UPSERT_BELOW_HEADER: LazyLock<String> = LazyLock::new(|| {
    let shared = SharedColumns::columns();
    let shared = |name| shared.iter().any(|c| c.name == name);
    upsert_orders::<WholeColumns<'_>>(|name| {
        if ALWAYS_THERE.contains(&name) || name.starts_with("custom_status") {
            format!("t.{name}")
        } else if shared(name) {
            format!("coalesce(t.{name}, excluded.{name})")
        } else {
            format!("excluded.{name}")
        }
    })
});

/// Rows that would stay as they are, are not written.
fn upsert_orders<C: Columns>(value: impl Fn(&'static str) -> String) -> String {
    let mut rest = C::columns();
    rest.retain(|c| c.name != "id");
    format!(
        "{} ON CONFLICT (merchant_id, id) DO UPDATE SET {} WHERE ({}) IS DISTINCT FROM ({})",
        insert::<C>("salla.orders"),
        list(&rest, |c| format!("{} = {}", c.name, value(c.name))),
        list(&rest, |c| format!("t.{}", c.name)),
        list(&rest, |c| value(c.name)),
    )
}

pub(crate) async fn upsert_headers(
    tx: &mut PgConnection,
    run: &LockedRun,
    headers: &[&Order],
) -> Result<(), TxError> {
    let headers = SharedColumns::of(headers.iter().copied());
    write(tx, run, &UPSERT_HEADERS, &headers).await
}

fn whole_columns<'a>(orders: &[WholeOrder<'a>]) -> WholeColumns<'a> {
    let shared = orders.iter().map(|whole| whole.order);
    let details = orders
        .iter()
        .map(|whole| (whole.order, whole.items.is_some()));
    (SharedColumns::of(shared), DetailColumns::of(details))
}

/// Whole orders that are not there.
pub(crate) async fn copy_whole(
    tx: &mut PgConnection,
    run: &LockedRun,
    orders: &[WholeOrder<'_>],
) -> Result<(), TxError> {
    copy(tx, run, &COPY_WHOLE, &whole_columns(orders)).await
}

pub(crate) async fn upsert_whole(
    tx: &mut PgConnection,
    run: &LockedRun,
    orders: &[WholeOrder<'_>],
) -> Result<(), TxError> {
    write(tx, run, &UPSERT_WHOLE, &whole_columns(orders)).await
}

pub(crate) async fn upsert_below_header(
    tx: &mut PgConnection,
    run: &LockedRun,
    orders: &[WholeOrder<'_>],
) -> Result<(), TxError> {
    write(tx, run, &UPSERT_BELOW_HEADER, &whole_columns(orders)).await
}
