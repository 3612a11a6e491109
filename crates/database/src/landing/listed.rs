//! What landing a list does the same way for every kind of record: the version rule,
//! the counters and the rejections that are resolved. The typed rows are the caller's.

use std::collections::{HashMap, HashSet};

use domain::resource::Resource;
use sqlx::PgConnection;

use crate::failure::Trouble;
use crate::landing::alterations::{altered, mended};
use crate::landing::batch::{Found, ListRecord, press};
use crate::landing::contents::Holds;
use crate::landing::pages::Workplace;
use crate::landing::rejections::{list_kind, resolve};
use crate::landing::sources::{self, Incoming, Verdict};
use crate::lease::HeldRun;

/// A record whose row has to be written.
pub(crate) struct Due<'a, T> {
    pub(crate) record: &'a T,
    /// Nothing was known of it, so there are no parts to replace.
    pub(crate) is_new: bool,
}

/// Lands records that only lists give, and returns those to write, sorted by id.
pub(crate) async fn land_simple<'a, T: ListRecord + Holds + Sync>(
    place: &mut Workplace<'_>,
    records: &[Found<'a, T>],
) -> Result<Vec<Due<'a, T>>, Trouble> {
    let resource = T::RESOURCE;
    let incoming = press(&mut place.press, records).await?;
    let what = (resource, place.new_rows);
    let verdicts = sources::land_listed(place.tx, &place.run, what, &incoming).await?;
    place.tally.count_records(resource, &verdicts);
    place.tally.landed.loaded +=
        sources::count_loaded(place.tx, &place.run, resource, &incoming, &verdicts).await?;
    let kinds = [list_kind(resource)];
    let what = (resource, kinds.as_slice());
    let resolved = resolve(place.tx, &place.run, what, &incoming, place.now).await?;
    place.tally.rejections_resolved(resolved);
    due(place, resource, &incoming, &verdicts).await
}

/// A run compares each record with its rows once, whether or not it changed: what somebody
/// altered or deleted there is put back. What is as it should be, is not written.
async fn due<'a, T: Sync>(
    place: &mut Workplace<'_>,
    resource: Resource,
    incoming: &[Incoming<&'a T>],
    verdicts: &[Verdict],
) -> Result<Vec<Due<'a, T>>, Trouble> {
    let met: Vec<i64> = verdicts.iter().map(|v| v.salla_id).collect();
    let altered = altered(place.tx, &place.run, resource, &met).await?;
    let is_due = |v: &Verdict| v.changed() || v.first_of_run() || altered.contains(&v.salla_id);
    let others = verdicts.iter().filter(|v| !is_due(v));
    let others: Vec<i64> = others.map(|v| v.salla_id).collect();
    let missing = missing(place.tx, &place.run, resource, &others).await?;
    let altered_ids: Vec<i64> = altered.iter().copied().collect();
    mended(place.tx, &place.run, resource, &altered_ids).await?;
    let verdicts = by_id(verdicts);
    let due = incoming.iter().filter_map(|record| {
        let verdict = verdicts.get(&record.id)?;
        (is_due(verdict) || missing.contains(&record.id)).then_some(Due {
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

/// Products whose row, variants or categories are not all there.
const DAMAGED_PRODUCTS: &str = "
    SELECT r.id FROM unnest($2::bigint[]) AS r(id)
    LEFT JOIN LATERAL (
        SELECT t.id FROM salla.products t
        WHERE t.merchant_id = $1 AND t.id = r.id LIMIT 1) t ON true
    LEFT JOIN LATERAL (
        SELECT s.lines, s.other_entries FROM salla_sync.source_records s
        WHERE s.merchant_id = $1 AND s.resource = 'products' AND s.salla_id = r.id LIMIT 1) s ON true
    WHERE t.id IS NULL
       OR s.lines IS DISTINCT FROM (
              SELECT count(*) FROM salla.product_variants v
              WHERE v.merchant_id = $1 AND v.product_id = r.id)
       OR s.other_entries IS DISTINCT FROM (
              SELECT count(*) FROM salla.product_categories c
              WHERE c.merchant_id = $1 AND c.product_id = r.id)";

/// Ids whose rows are missing although nothing changed, because somebody deleted them:
/// meeting the record again puts them back.
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
        Resource::Products => DAMAGED_PRODUCTS,
        Resource::Categories => missing_in!("salla.categories"),
        Resource::OrderStatuses => missing_in!("salla.order_statuses"),
    };
    let found: Vec<i64> = sqlx::query_scalar(sql)
        .bind(run.merchant.0)
        .bind(ids)
        .fetch_all(tx)
        .await?;
    Ok(found.into_iter().collect())
}

/// What is wrong with the rows of an order that did not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Damage {
    /// There is no row.
    Missing,
    /// Line items, discounts or the total are not what Salla sent; or a version that did not
    /// count them has read the order.
    Inside,
}

const DAMAGED_ORDERS: &str = "
    SELECT r.id, t.id IS NULL AS is_missing
    FROM unnest($2::bigint[]) AS r(id)
    LEFT JOIN LATERAL (
        SELECT t.id, t.has_items, t.total, t.currency FROM salla.orders t
        WHERE t.merchant_id = $1 AND t.id = r.id LIMIT 1) t ON true
    LEFT JOIN LATERAL (
        SELECT s.lines, s.other_entries, s.total, s.currency FROM salla_sync.source_records s
        WHERE s.merchant_id = $1 AND s.resource = 'orders' AND s.salla_id = r.id LIMIT 1) s ON true
    WHERE t.has_items IS NOT TRUE
       OR s.lines IS DISTINCT FROM (
              SELECT count(*) FROM salla.order_items i
              WHERE i.merchant_id = $1 AND i.order_id = r.id)
       OR s.other_entries IS DISTINCT FROM (
              SELECT count(*) FROM salla.order_discounts d
              WHERE d.merchant_id = $1 AND d.order_id = r.id)
       OR s.total IS NOT NULL AND (s.total, s.currency) IS DISTINCT FROM (t.total, t.currency)";

/// Orders whose rows are not what Salla sent, although nothing changed. One that was put
/// back from a list row alone is among them.
pub(crate) async fn damaged_orders(
    tx: &mut PgConnection,
    run: &HeldRun,
    ids: &[i64],
) -> Result<HashMap<i64, Damage>, Trouble> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let rows: Vec<(i64, bool)> = sqlx::query_as(DAMAGED_ORDERS)
        .bind(run.merchant.0)
        .bind(ids)
        .fetch_all(tx)
        .await?;
    let damage = |is_missing| match is_missing {
        true => Damage::Missing,
        false => Damage::Inside,
    };
    let damaged = rows.into_iter().map(|(id, missing)| (id, damage(missing)));
    Ok(damaged.collect())
}
