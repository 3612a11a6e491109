//! Orders: headers from lists, and whole orders from lists or one by one.
//!
//! A summary has status and total; a whole order has everything. Either may be the newer version of
//! what both have.

use std::sync::LazyLock;

use domain::order::{Completeness, Order, OrderAmounts, OrderCustomer, StatusRef};
use domain::resource::Resource;
use importer::ports::landing::PendingDetail;
use importer::ports::platform::{Decoded, Records};
use jiff_sqlx::{Date, Timestamp, ToSqlx};
use rust_decimal::Decimal;
use sqlx::PgConnection;

use crate::columns::{
    Columns, CopyInto, OptionalText, columns, copy, copy_into, insert, instant, list, optional,
    storable, write,
};
use crate::error::TxError;
use crate::landing::alterations::{altered, clear_untold, mended};
use crate::landing::context::LandingContext;
use crate::landing::entries::{WholeOrder, currency};
use crate::landing::list_batch::{
    BatchRecord, Damage, ListRecord, by_id, damaged_orders, encode_records,
};
use crate::landing::rejections::{ORDER_DETAIL, ORDER_HEADER, ORDER_ITEMS, resolve};
use crate::landing::versions::{self, Incoming, NewRows, RecordChange};
use crate::landing::{customers, order_lines, pending};
use crate::transaction::LockedRun;

impl ListRecord for Order {
    const RESOURCE: Resource = Resource::Orders;

    fn id(&self) -> i64 {
        self.id
    }

    fn among(records: &Records) -> Option<&Vec<Decoded<Self>>> {
        match records {
            Records::Orders(records) => Some(records),
            _ => None,
        }
    }

    async fn land(
        ctx: &mut LandingContext<'_>,
        found: &[BatchRecord<'_, Self>],
    ) -> Result<(), TxError> {
        let incoming = encode_records(&mut ctx.press, found).await?;
        let (whole, headers): (Vec<_>, Vec<_>) = incoming
            .into_iter()
            .partition(|i| i.record.completeness() == Completeness::Full);
        land_headers(ctx, &headers).await?;
        let whole: Vec<_> = whole.into_iter().map(with_its_items).collect();
        land_whole(ctx, &whole, ReadFrom::List).await
    }
}

/// A list has everything that is known about an order; a response with its details may lack what
/// the list had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadFrom {
    List,
    Details,
}

fn with_its_items(incoming: Incoming<&Order>) -> Incoming<WholeOrder<'_>> {
    let record = WholeOrder {
        order: incoming.record,
        items: incoming.record.items.as_deref(),
    };
    incoming.with(record)
}

async fn land_headers(
    ctx: &mut LandingContext<'_>,
    headers: &[Incoming<&Order>],
) -> Result<(), TxError> {
    if headers.is_empty() {
        return Ok(());
    }
    let (resource, run) = (Resource::Orders, ctx.run);
    let what = (resource, ctx.new_rows);
    let changes = versions::land_listed(ctx.tx, &run, what, headers).await?;
    ctx.tally.count_records(resource, &changes);
    ctx.tally.landed.loaded +=
        versions::count_loaded(ctx.tx, &run, resource, headers, &changes).await?;
    let news = |v: &RecordChange| v.changed() && !v.below_other;
    let no_news: Vec<i64> = changes
        .iter()
        .filter(|v| !news(v))
        .map(|v| v.salla_id)
        .collect();
    let damaged = damaged_orders(ctx.tx, &run, &no_news).await?;
    let met: Vec<i64> = changes.iter().map(|v| v.salla_id).collect();
    let altered = altered(ctx.tx, &run, resource, &met).await?;
    let changes = by_id(&changes);
    let mut due = Vec::new();
    let mut lacking = Vec::new();
    for header in headers {
        let Some(change) = changes.get(&header.id) else {
            continue;
        };
        let damage = damaged.get(&header.id).copied();
        let is_altered = altered.contains(&header.id);
        if news(change) || damage == Some(Damage::Missing) || is_altered {
            due.push(header.record);
        }
        if change.lacks_details || damage.is_some() || is_altered {
            lacking.push(PendingDetail {
                order_id: header.id,
                created_at: header.record.created_at.instant,
            });
        }
    }
    // They stay altered until their details have been read again as well.
    let altered: Vec<i64> = altered.into_iter().collect();
    clear_untold(ctx.tx, &run, &altered).await?;
    upsert_headers(ctx.tx, &run, &due).await?;
    customers::insert_missing(ctx, &due).await?;
    pending::add(ctx.tx, &run, &lacking).await?;
    let kinds = (resource, [ORDER_HEADER].as_slice());
    let resolved = resolve(ctx.tx, &run, kinds, headers, ctx.now).await?;
    ctx.tally.rejections_resolved(resolved);
    Ok(())
}

/// Lands whole orders, sorted by id.
pub(crate) async fn land_whole(
    ctx: &mut LandingContext<'_>,
    orders: &[Incoming<WholeOrder<'_>>],
    from: ReadFrom,
) -> Result<(), TxError> {
    if orders.is_empty() {
        return Ok(());
    }
    let (resource, run) = (Resource::Orders, ctx.run);
    let changes = versions::land_whole(ctx.tx, &run, ctx.new_rows, orders).await?;
    ctx.tally.count_records(resource, &changes);
    ctx.tally.count_details(&changes);
    ctx.tally.landed.loaded +=
        versions::count_loaded(ctx.tx, &run, resource, orders, &changes).await?;
    write_rows(ctx, orders, &changes, from).await?;
    // Nothing was due for an order of which nothing was known.
    let complete = changes.iter().filter(|v| !v.lacks_details && !v.is_new());
    let complete: Vec<i64> = complete.map(|v| v.salla_id).collect();
    pending::remove(ctx.tx, &run, &complete).await?;
    let kinds = (
        resource,
        [ORDER_HEADER, ORDER_DETAIL, ORDER_ITEMS].as_slice(),
    );
    let resolved = resolve(ctx.tx, &run, kinds, orders, ctx.now).await?;
    ctx.tally.rejections_resolved(resolved);
    Ok(())
}

/// Writes the rows of the orders whose content is new, which the run meets for the first
/// time, or whose rows are not what Salla sent.
async fn write_rows(
    ctx: &mut LandingContext<'_>,
    orders: &[Incoming<WholeOrder<'_>>],
    changes: &[RecordChange],
    from: ReadFrom,
) -> Result<(), TxError> {
    let run = ctx.run;
    let met: Vec<i64> = changes.iter().map(|v| v.salla_id).collect();
    let altered = altered(ctx.tx, &run, Resource::Orders, &met).await?;
    let is_due =
        |v: &RecordChange| v.changed() || v.first_details_of_run() || altered.contains(&v.salla_id);
    let others = changes.iter().filter(|v| !is_due(v));
    let others: Vec<i64> = others.map(|v| v.salla_id).collect();
    let damaged = damaged_orders(ctx.tx, &run, &others).await?;
    let changes = by_id(changes);
    let mut due = OrdersToWrite::default();
    for order in orders {
        if let Some(change) = changes.get(&order.id)
            && (is_due(change) || damaged.contains_key(&order.id))
        {
            due.add(order.record, change, ctx.new_rows);
        }
    }
    let altered: Vec<i64> = altered.into_iter().collect();
    if from == ReadFrom::List {
        clear_untold(ctx.tx, &run, &altered).await?;
    }
    mended(ctx.tx, &run, Resource::Orders, &altered).await?;
    copy_whole(ctx.tx, &run, &due.absent).await?;
    order_lines::copy_lines(ctx.tx, &run, &due.absent).await?;
    upsert_whole(ctx.tx, &run, &due.newest).await?;
    upsert_below_header(ctx.tx, &run, &due.below_header).await?;
    let (absent, known) = due.sorted();
    order_lines::replace(ctx.tx, &run, &known).await?;
    let orders: Vec<&Order> = absent
        .iter()
        .chain(&known)
        .map(|whole| whole.order)
        .collect();
    customers::insert_missing(ctx, &orders).await
}

/// Orders to write, by how; each list sorted by id.
#[derive(Default)]
struct OrdersToWrite<'a> {
    absent: Vec<WholeOrder<'a>>,
    newest: Vec<WholeOrder<'a>>,
    below_header: Vec<WholeOrder<'a>>,
}

impl<'a> OrdersToWrite<'a> {
    fn add(&mut self, order: WholeOrder<'a>, change: &RecordChange, new_rows: NewRows) {
        if change.is_new() && new_rows != NewRows::MayExist {
            self.absent.push(order);
        } else if change.below_other {
            self.below_header.push(order);
        } else {
            self.newest.push(order);
        }
    }

    /// Those that were not there, and those that may have been.
    fn sorted(mut self) -> (Vec<WholeOrder<'a>>, Vec<WholeOrder<'a>>) {
        self.newest.append(&mut self.below_header);
        self.newest.sort_unstable_by_key(|whole| whole.order.id);
        (self.absent, self.newest)
    }
}

// The columns of `salla.orders`, in two groups: those in a summary, and those only in a detail.

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
