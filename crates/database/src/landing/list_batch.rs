//! A batch before it meets the database: split into records and rejections, one of
//! each id, sorted by id.

use std::collections::{BTreeMap, HashMap, HashSet};

use domain::failure::Failure;
use domain::order::Version;
use domain::rejection::Rejection;
use domain::resource::Resource;
use importer::ports::landing::ScannedPage;
use importer::ports::platform::{Decoded, Records};
use sqlx::PgConnection;

use crate::error::TxError;
use crate::landing::alterations::{altered, mended};
use crate::landing::context::LandingContext;
use crate::landing::entries::Holds;
use crate::landing::isolation::Lands;
use crate::landing::raw::RawEncoder;
use crate::landing::rejections::{Origin, Rejected, list_kind, resolve};
use crate::landing::versions::{self, Incoming, RecordChange};
use crate::transaction::LockedRun;

/// A kind of record that lists give.
pub(crate) trait ListRecord: Sized + Sync {
    const RESOURCE: Resource;

    fn id(&self) -> i64;

    fn among(records: &Records) -> Option<&Vec<Decoded<Self>>>;

    /// Lands records of different ids, sorted by id.
    fn land(
        ctx: &mut LandingContext<'_>,
        records: &[BatchRecord<'_, Self>],
    ) -> impl Future<Output = Result<(), TxError>> + Send;
}

impl<T: ListRecord> Lands for BatchRecord<'_, T> {
    const IS_WHOLE: bool = true;

    async fn land(ctx: &mut LandingContext<'_>, records: &[Self]) -> Result<(), TxError> {
        T::land(ctx, records).await
    }
}

/// The understood records of one kind on some pages, and what was rejected there.
pub(crate) struct DecodedBatch<'a, T> {
    pub(crate) records: Vec<BatchRecord<'a, T>>,
    pub(crate) rejected: Vec<Rejected<'a>>,
}

/// A record with the text and the version it came with.
pub(crate) struct BatchRecord<'a, T> {
    pub(crate) id: i64,
    pub(crate) version: Version,
    origin: Option<Origin>,
    pub(crate) raw: &'a str,
    pub(crate) record: &'a T,
}

impl<'a, T: ListRecord> DecodedBatch<'a, T> {
    /// Pages overlap, so an id may come twice: the newest version stays, of equal
    /// ones the last. A statement could not write the same row twice. Sorting by id
    /// makes parallel batches take their locks in the same order.
    pub(crate) fn of(pages: &[&'a ScannedPage]) -> Result<Self, Failure> {
        let mut newest: BTreeMap<i64, BatchRecord<'a, T>> = BTreeMap::new();
        let mut rejected = Vec::new();
        for page in pages {
            let records = T::among(&page.records).ok_or_else(|| Failure::Bug {
                message: "a batch has pages of different resources".to_owned(),
            })?;
            for decoded in records {
                match &decoded.outcome {
                    Ok(record) => {
                        let found = BatchRecord {
                            id: record.id(),
                            version: page.version,
                            origin: origin(page),
                            raw: &decoded.raw,
                            record,
                        };
                        keep_newest(&mut newest, found);
                    }
                    Err(rejection) => {
                        let kind = list_kind(T::RESOURCE);
                        rejected.push(rejected_on(page, kind, rejection, &decoded.raw));
                    }
                }
            }
        }
        Ok(Self {
            records: newest.into_values().collect(),
            rejected,
        })
    }
}

impl<'a, T: ListRecord> BatchRecord<'a, T> {
    /// The record as one that is rejected after all.
    pub(crate) fn rejected<'r>(&'r self, rejection: &'r Rejection) -> Rejected<'r> {
        Rejected {
            kind: list_kind(T::RESOURCE),
            rejection,
            salla_id: Some(self.id),
            raw: self.raw,
            version: self.version,
            origin: self.origin,
        }
    }
}

fn keep_newest<'a, T>(newest: &mut BTreeMap<i64, BatchRecord<'a, T>>, found: BatchRecord<'a, T>) {
    let older = newest
        .get(&found.id)
        .is_some_and(|known| known.version > found.version);
    if !older {
        newest.insert(found.id, found);
    }
}

fn rejected_on<'a>(
    page: &ScannedPage,
    kind: &'static str,
    rejection: &'a Rejection,
    raw: &'a str,
) -> Rejected<'a> {
    Rejected {
        kind,
        rejection,
        salla_id: rejection.salla_id,
        raw,
        version: page.version,
        origin: origin(page),
    }
}

fn origin(page: &ScannedPage) -> Option<Origin> {
    (page.scan > 0).then_some(Origin {
        window: page.window,
        page: page.page,
    })
}

/// Records after which other tasks have their turn: a whole batch takes tens of
/// milliseconds to compress, and requests that are due would leave that much later.
const YIELD_EVERY: usize = 20;

/// Hashes and compresses what goes to the version rule.
pub(crate) async fn encode_records<'a, T>(
    press: &mut RawEncoder,
    records: &[BatchRecord<'a, T>],
) -> Result<Vec<Incoming<&'a T>>, TxError> {
    let mut pressed = Vec::with_capacity(records.len());
    for (number, found) in records.iter().enumerate() {
        if number % YIELD_EVERY == YIELD_EVERY - 1 {
            tokio::task::yield_now().await;
        }
        pressed.push(Incoming {
            id: found.id,
            version: found.version,
            content: press.content(found.raw)?,
            items_raw: None,
            record: found.record,
        });
    }
    Ok(pressed)
}

/// A record whose row has to be written.
pub(crate) struct RowToWrite<'a, T> {
    pub(crate) record: &'a T,
    /// Nothing was known of it, so there are no parts to replace.
    pub(crate) is_new: bool,
}

/// Lands records that only lists give, and returns those to write, sorted by id.
pub(crate) async fn land_list_records<'a, T: ListRecord + Holds + Sync>(
    ctx: &mut LandingContext<'_>,
    records: &[BatchRecord<'a, T>],
) -> Result<Vec<RowToWrite<'a, T>>, TxError> {
    let resource = T::RESOURCE;
    let incoming = encode_records(&mut ctx.press, records).await?;
    let what = (resource, ctx.new_rows);
    let changes = versions::land_listed(ctx.tx, &ctx.run, what, &incoming).await?;
    ctx.tally.count_records(resource, &changes);
    ctx.tally.landed.loaded +=
        versions::count_loaded(ctx.tx, &ctx.run, resource, &incoming, &changes).await?;
    let kinds = [list_kind(resource)];
    let what = (resource, kinds.as_slice());
    let resolved = resolve(ctx.tx, &ctx.run, what, &incoming, ctx.now).await?;
    ctx.tally.rejections_resolved(resolved);
    due(ctx, resource, &incoming, &changes).await
}

/// A run compares each record with its rows once, whether or not it changed: rows that were altered
/// or deleted here are restored. Correct rows are not written.
async fn due<'a, T: Sync>(
    ctx: &mut LandingContext<'_>,
    resource: Resource,
    incoming: &[Incoming<&'a T>],
    changes: &[RecordChange],
) -> Result<Vec<RowToWrite<'a, T>>, TxError> {
    let met: Vec<i64> = changes.iter().map(|v| v.salla_id).collect();
    let altered = altered(ctx.tx, &ctx.run, resource, &met).await?;
    let is_due =
        |v: &RecordChange| v.changed() || v.first_of_run() || altered.contains(&v.salla_id);
    let others = changes.iter().filter(|v| !is_due(v));
    let others: Vec<i64> = others.map(|v| v.salla_id).collect();
    let missing = missing(ctx.tx, &ctx.run, resource, &others).await?;
    let altered_ids: Vec<i64> = altered.iter().copied().collect();
    mended(ctx.tx, &ctx.run, resource, &altered_ids).await?;
    let changes = by_id(changes);
    let due = incoming.iter().filter_map(|record| {
        let change = changes.get(&record.id)?;
        (is_due(change) || missing.contains(&record.id)).then_some(RowToWrite {
            record: record.record,
            is_new: change.is_new(),
        })
    });
    Ok(due.collect())
}

pub(crate) fn by_id(changes: &[RecordChange]) -> HashMap<i64, RecordChange> {
    changes.iter().map(|v| (v.salla_id, *v)).collect()
}

/// One look-up by key for each id: without statistics, as in the first minutes of an import, a
/// plain join would be planned as a scan of the whole table.
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

/// Ids whose rows are missing although the record is unchanged, because they were deleted here:
/// reading the record again restores them.
pub(crate) async fn missing(
    tx: &mut PgConnection,
    run: &LockedRun,
    resource: Resource,
    ids: &[i64],
) -> Result<HashSet<i64>, TxError> {
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
    run: &LockedRun,
    ids: &[i64],
) -> Result<HashMap<i64, Damage>, TxError> {
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
