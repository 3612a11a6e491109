//! Orders: headers from lists, and whole orders from lists or one by one.
//!
//! A header tells status and total; a whole order tells everything. Either may be the
//! newer word on what both tell.

use crate::landing::order_columns::WholeOrder;
use domain::order::{Completeness, Order};
use domain::resource::Resource;
use importer::ports::landing::PendingDetail;
use importer::ports::platform::{Decoded, Records};

use crate::error::Trouble;
use crate::landing::alterations::{altered, clear_untold, mended};
use crate::landing::context::Workplace;
use crate::landing::list_batch::{Damage, Found, ListRecord, by_id, damaged_orders, press};
use crate::landing::order_columns::{
    copy_whole, upsert_below_header, upsert_headers, upsert_whole,
};
use crate::landing::rejections::{ORDER_DETAIL, ORDER_HEADER, ORDER_ITEMS, resolve};
use crate::landing::versions::NewRows;
use crate::landing::versions::{self, Incoming, Verdict};
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

    async fn land(place: &mut Workplace<'_>, found: &[Found<'_, Self>]) -> Result<(), Trouble> {
        let incoming = press(&mut place.press, found).await?;
        let (whole, headers): (Vec<_>, Vec<_>) = incoming
            .into_iter()
            .partition(|i| i.record.completeness() == Completeness::Full);
        land_headers(place, &headers).await?;
        let whole: Vec<_> = whole.into_iter().map(with_its_items).collect();
        land_whole(place, &whole, ReadFrom::List).await
    }
}

/// A list says of an order all that was known of it; a request for its details may leave out
/// what the list had told before.
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
    place: &mut Workplace<'_>,
    headers: &[Incoming<&Order>],
) -> Result<(), Trouble> {
    if headers.is_empty() {
        return Ok(());
    }
    let (resource, run) = (Resource::Orders, place.run);
    let what = (resource, place.new_rows);
    let verdicts = versions::land_listed(place.tx, &run, what, headers).await?;
    place.tally.count_records(resource, &verdicts);
    place.tally.landed.loaded +=
        versions::count_loaded(place.tx, &run, resource, headers, &verdicts).await?;
    let news = |v: &Verdict| v.changed() && !v.below_other;
    let no_news: Vec<i64> = verdicts
        .iter()
        .filter(|v| !news(v))
        .map(|v| v.salla_id)
        .collect();
    let damaged = damaged_orders(place.tx, &run, &no_news).await?;
    let met: Vec<i64> = verdicts.iter().map(|v| v.salla_id).collect();
    let altered = altered(place.tx, &run, resource, &met).await?;
    let verdicts = by_id(&verdicts);
    let mut due = Vec::new();
    let mut lacking = Vec::new();
    for header in headers {
        let Some(verdict) = verdicts.get(&header.id) else {
            continue;
        };
        let damage = damaged.get(&header.id).copied();
        let is_altered = altered.contains(&header.id);
        if news(verdict) || damage == Some(Damage::Missing) || is_altered {
            due.push(header.record);
        }
        if verdict.lacks_details || damage.is_some() || is_altered {
            lacking.push(PendingDetail {
                order_id: header.id,
                created_at: header.record.created_at.instant,
            });
        }
    }
    // They stay altered until their details have been read again as well.
    let altered: Vec<i64> = altered.into_iter().collect();
    clear_untold(place.tx, &run, &altered).await?;
    upsert_headers(place.tx, &run, &due).await?;
    customers::insert_absent(place, &due).await?;
    pending::add(place.tx, &run, &lacking).await?;
    let kinds = (resource, [ORDER_HEADER].as_slice());
    let resolved = resolve(place.tx, &run, kinds, headers, place.now).await?;
    place.tally.rejections_resolved(resolved);
    Ok(())
}

/// Lands whole orders, sorted by id.
pub(crate) async fn land_whole(
    place: &mut Workplace<'_>,
    orders: &[Incoming<WholeOrder<'_>>],
    from: ReadFrom,
) -> Result<(), Trouble> {
    if orders.is_empty() {
        return Ok(());
    }
    let (resource, run) = (Resource::Orders, place.run);
    let verdicts = versions::land_whole(place.tx, &run, place.new_rows, orders).await?;
    place.tally.count_records(resource, &verdicts);
    place.tally.count_details(&verdicts);
    place.tally.landed.loaded +=
        versions::count_loaded(place.tx, &run, resource, orders, &verdicts).await?;
    write_rows(place, orders, &verdicts, from).await?;
    // Nothing was due for an order of which nothing was known.
    let complete = verdicts.iter().filter(|v| !v.lacks_details && !v.is_new());
    let complete: Vec<i64> = complete.map(|v| v.salla_id).collect();
    pending::remove(place.tx, &run, &complete).await?;
    let kinds = (
        resource,
        [ORDER_HEADER, ORDER_DETAIL, ORDER_ITEMS].as_slice(),
    );
    let resolved = resolve(place.tx, &run, kinds, orders, place.now).await?;
    place.tally.rejections_resolved(resolved);
    Ok(())
}

/// Writes the rows of the orders whose content is new, which the run meets for the first
/// time, or whose rows are not what Salla sent.
async fn write_rows(
    place: &mut Workplace<'_>,
    orders: &[Incoming<WholeOrder<'_>>],
    verdicts: &[Verdict],
    from: ReadFrom,
) -> Result<(), Trouble> {
    let run = place.run;
    let met: Vec<i64> = verdicts.iter().map(|v| v.salla_id).collect();
    let altered = altered(place.tx, &run, Resource::Orders, &met).await?;
    let is_due =
        |v: &Verdict| v.changed() || v.first_details_of_run() || altered.contains(&v.salla_id);
    let others = verdicts.iter().filter(|v| !is_due(v));
    let others: Vec<i64> = others.map(|v| v.salla_id).collect();
    let damaged = damaged_orders(place.tx, &run, &others).await?;
    let verdicts = by_id(verdicts);
    let mut due = Due::default();
    for order in orders {
        if let Some(verdict) = verdicts.get(&order.id)
            && (is_due(verdict) || damaged.contains_key(&order.id))
        {
            due.add(order.record, verdict, place.new_rows);
        }
    }
    let altered: Vec<i64> = altered.into_iter().collect();
    if from == ReadFrom::List {
        clear_untold(place.tx, &run, &altered).await?;
    }
    mended(place.tx, &run, Resource::Orders, &altered).await?;
    copy_whole(place.tx, &run, &due.absent).await?;
    order_lines::copy_lines(place.tx, &run, &due.absent).await?;
    upsert_whole(place.tx, &run, &due.newest).await?;
    upsert_below_header(place.tx, &run, &due.below_header).await?;
    let (absent, known) = due.sorted();
    order_lines::replace(place.tx, &run, &known).await?;
    let orders: Vec<&Order> = absent
        .iter()
        .chain(&known)
        .map(|whole| whole.order)
        .collect();
    customers::insert_absent(place, &orders).await
}

/// Orders to write, by how; each list sorted by id.
#[derive(Default)]
struct Due<'a> {
    absent: Vec<WholeOrder<'a>>,
    newest: Vec<WholeOrder<'a>>,
    below_header: Vec<WholeOrder<'a>>,
}

impl<'a> Due<'a> {
    fn add(&mut self, order: WholeOrder<'a>, verdict: &Verdict, new_rows: NewRows) {
        if verdict.is_new() && new_rows != NewRows::MayExist {
            self.absent.push(order);
        } else if verdict.below_other {
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
