//! What landing a list does the same way for every kind of record: the version rule,
//! the counters and the rejections. The typed rows are the caller's.

use std::collections::{HashMap, HashSet};

use domain::resource::Resource;
use sqlx::PgConnection;

use crate::failure::Trouble;
use crate::landing::batch::{Sorted, press};
use crate::landing::pages::{PagesOf, Workplace};
use crate::landing::rejections::{resolve, set_aside};
use crate::landing::sources::{self, Incoming, Verdict};
use crate::lease::HeldRun;

/// A record whose row has to be written.
pub(crate) struct Due<'a, T> {
    pub(crate) record: &'a T,
    /// Nothing was known of it, so there are no parts to replace.
    pub(crate) is_new: bool,
}

/// Lands records that only lists give, and returns those to write, sorted by id.
pub(crate) async fn land_simple<'a, T: Sync>(
    place: &mut Workplace<'_>,
    pages: &PagesOf<'a, T>,
    (resource, kind): (Resource, &'static str),
    id: fn(&T) -> i64,
) -> Result<Vec<Due<'a, T>>, Trouble> {
    let sorted = Sorted::of(pages, kind, id);
    let incoming = press(&mut place.press, &sorted.records).await?;
    let what = (resource, place.new_rows);
    let verdicts = sources::land_listed(place.tx, &place.run, what, &incoming).await?;
    place.tally.count_records(resource, &verdicts);
    place.tally.landed.loaded +=
        sources::count_loaded(place.tx, &place.run, resource, &incoming, &verdicts).await?;
    let resolved = resolve(
        place.tx,
        &place.run,
        (resource, &[kind]),
        &incoming,
        place.now,
    )
    .await?;
    place.tally.rejections_resolved(resolved);
    let rejected = set_aside(place.tx, &place.run, resource, &sorted.rejected, place.now).await?;
    place.tally.count_rejected(rejected);
    due(place, resource, &incoming, &verdicts).await
}

async fn due<'a, T: Sync>(
    place: &mut Workplace<'_>,
    resource: Resource,
    incoming: &[Incoming<&'a T>],
    verdicts: &[Verdict],
) -> Result<Vec<Due<'a, T>>, Trouble> {
    let unchanged = verdicts.iter().filter(|v| !v.changed());
    let unchanged: Vec<i64> = unchanged.map(|v| v.salla_id).collect();
    let missing = missing(place.tx, &place.run, resource, &unchanged).await?;
    let verdicts = by_id(verdicts);
    let due = incoming.iter().filter_map(|record| {
        let verdict = verdicts.get(&record.id)?;
        (verdict.changed() || missing.contains(&record.id)).then_some(Due {
            record: record.record,
            is_new: verdict.is_new(),
        })
    });
    Ok(due.collect())
}

pub(crate) fn by_id(verdicts: &[Verdict]) -> HashMap<i64, Verdict> {
    verdicts.iter().map(|v| (v.salla_id, *v)).collect()
}

/// One look-up by key for each id: without statistics, as in the first minutes of an
/// import, a plain join would be planned as a walk through the whole table.
macro_rules! missing_in {
    ($table:literal) => {
        concat!(
            "SELECT r.id FROM unnest($2::bigint[]) AS r(id) LEFT JOIN LATERAL (SELECT t.id FROM ",
            $table,
            " t WHERE t.merchant_id = $1 AND t.id = r.id LIMIT 1) t ON true WHERE t.id IS NULL"
        )
    };
}

/// Ids whose row is missing although nothing changed, because somebody deleted it:
/// importing again puts it back.
pub(crate) async fn missing(
    tx: &mut PgConnection,
    run: &HeldRun,
    resource: Resource,
    ids: &[i64],
) -> Result<HashSet<i64>, Trouble> {
    if ids.is_empty() {
        return Ok(HashSet::new());
    }
    let sql = match resource {
        Resource::Orders => missing_in!("salla.orders"),
        Resource::Customers => missing_in!("salla.customers"),
        Resource::Products => missing_in!("salla.products"),
        Resource::Categories => missing_in!("salla.categories"),
        Resource::OrderStatuses => missing_in!("salla.order_statuses"),
    };
    ids_found(tx, run, sql, ids).await
}

const INCOMPLETE_ORDERS: &str = "
    SELECT r.id FROM unnest($2::bigint[]) AS r(id)
    LEFT JOIN LATERAL (SELECT t.has_items FROM salla.orders t
                       WHERE t.merchant_id = $1 AND t.id = r.id LIMIT 1) t ON true
    WHERE t.has_items IS NOT TRUE";

/// Whole orders whose row is missing, or was put back from a list row alone, although
/// nothing changed.
pub(crate) async fn incomplete_orders(
    tx: &mut PgConnection,
    run: &HeldRun,
    ids: &[i64],
) -> Result<HashSet<i64>, Trouble> {
    if ids.is_empty() {
        return Ok(HashSet::new());
    }
    ids_found(tx, run, INCOMPLETE_ORDERS, ids).await
}

async fn ids_found(
    tx: &mut PgConnection,
    run: &HeldRun,
    sql: &'static str,
    ids: &[i64],
) -> Result<HashSet<i64>, Trouble> {
    let found: Vec<i64> = sqlx::query_scalar(sql)
        .bind(run.merchant.0)
        .bind(ids)
        .fetch_all(tx)
        .await?;
    Ok(found.into_iter().collect())
}
