//! Orders: headers from lists, and whole orders from lists or one by one.
//!
//! A summary has status and total; a whole order has everything. Either may be the newer version of
//! what both have.

use crate::landing::order_columns::WholeOrder;
use domain::order::{Completeness, Order};
use domain::resource::Resource;
use importer::ports::landing::PendingDetail;
use importer::ports::platform::{Decoded, Records};

use crate::error::TxError;
use crate::landing::alterations::{altered, clear_untold, mended};
use crate::landing::context::LandingContext;
use crate::landing::list_batch::{
    BatchRecord, Damage, ListRecord, by_id, damaged_orders, encode_records,
};
use crate::landing::order_columns::{
    copy_whole, upsert_below_header, upsert_headers, upsert_whole,
};
use crate::landing::rejections::{ORDER_DETAIL, ORDER_HEADER, ORDER_ITEMS, resolve};
use crate::landing::versions::NewRows;
use crate::landing::versions::{self, Incoming, RecordChange};
use crate::landing::{customers, order_lines, pending};

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
