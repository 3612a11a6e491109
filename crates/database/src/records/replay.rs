//! Rejections that are read again.

use std::collections::BTreeMap;

use domain::failure::Failure;
use domain::rejection::RejectionCode;
use domain::resource::Resource;
use domain::run::RunId;
use domain::shop::MerchantId;
use importer::ports::landing::{DetailOutcome, OrderDetail, ScannedPage};
use importer::ports::platform::Records;
use importer::ports::records::{
    Exclusive, RawSource, RejectionFilter, ReplayCounts, Reprocessed, StoredRejection,
};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::columns::storable;
use crate::error::TxError;
use crate::ids::parse_resource;
use crate::landing::context::{Care, LandingContext};
use crate::landing::counters::update_counters_without_cursor;
use crate::landing::details::land_outcomes;
use crate::landing::pages::land_records;
use crate::landing::rejections::{ORDER_DETAIL, ORDER_ITEMS, list_kind};
use crate::landing::versions::NewRows;
use crate::records::{exclusive, single_record_page};

macro_rules! chosen {
    ($select:literal, $rest:literal) => {
        concat!(
            "SELECT ",
            $select,
            " FROM salla_sync.rejected_records
            WHERE merchant_id = $1 AND resolved_at IS NULL
              AND ($2::text IS NULL OR resource = $2::salla_sync.resource)
              AND ($3::text IS NULL OR code = $3)",
            $rest
        )
    };
}

const COUNT: &str = chosen!("count(*)", "");

pub(crate) async fn count(
    pool: &PgPool,
    merchant: MerchantId,
    choice: RejectionFilter,
) -> Result<u64, TxError> {
    let count: i64 = sqlx::query_scalar(COUNT)
        .bind(merchant.0)
        .bind(choice.resource.map(Resource::as_str))
        .bind(choice.code.map(RejectionCode::as_str))
        .fetch_one(pool)
        .await?;
    Ok(count.cast_unsigned())
}

const LIST: &str = chosen!(
    "id, run_id, resource::text, kind, salla_id, raw, version",
    " AND id > $4 ORDER BY id LIMIT $5"
);

#[derive(sqlx::FromRow)]
struct Row {
    id: i64,
    run_id: Uuid,
    resource: String,
    kind: String,
    salla_id: Option<i64>,
    raw: String,
    version: jiff_sqlx::Timestamp,
}

pub(crate) async fn list(
    pool: &PgPool,
    merchant: MerchantId,
    choice: RejectionFilter,
    after: i64,
    limit: u32,
) -> Result<Vec<StoredRejection>, TxError> {
    let rows: Vec<Row> = sqlx::query_as(LIST)
        .bind(merchant.0)
        .bind(choice.resource.map(Resource::as_str))
        .bind(choice.code.map(RejectionCode::as_str))
        .bind(after)
        .bind(i64::from(limit))
        .fetch_all(pool)
        .await?;
    let rows = rows.into_iter().map(StoredRejection::try_from);
    Ok(rows.collect::<Result<_, Failure>>()?)
}

impl TryFrom<Row> for StoredRejection {
    type Error = Failure;

    fn try_from(row: Row) -> Result<Self, Failure> {
        let source = match row.kind.as_str() {
            ORDER_DETAIL => RawSource::OrderDetail,
            ORDER_ITEMS => RawSource::OrderItems,
            _ => RawSource::ListRow(parse_resource(&row.resource)?),
        };
        Ok(Self {
            number: row.id,
            run: RunId(row.run_id),
            source,
            salla_id: row.salla_id,
            raw: row.raw,
            version: row.version.to_jiff(),
        })
    }
}

type ReprocessedBatch = [(StoredRejection, Reprocessed)];

pub(crate) async fn land(
    pool: &PgPool,
    merchant: MerchantId,
    batch: &ReprocessedBatch,
    now: Timestamp,
    care: Care,
) -> Result<Exclusive<ReplayCounts>, TxError> {
    let mut tx = pool.begin().await?;
    if let Some(holder) = exclusive::take(&mut tx, merchant).await? {
        return Ok(Exclusive::RunActive(holder));
    }
    let mut counts = update_rejections(&mut tx, batch).await?;
    for run in exclusive::runs(&mut tx, merchant).await?.into_values() {
        let of_run = batch.iter().filter(|(kept, _)| kept.run == run.lease.run);
        let mut ctx = LandingContext::new(&mut tx, run, now, NewRows::MayExist, care)?;
        let (loaded, refused) = land_of_run(&mut ctx, of_run).await?;
        counts.loaded += loaded;
        counts.refused += refused;
    }
    counts.lack_details = lack_details(&mut tx, merchant, batch).await?;
    tx.commit().await?;
    Ok(Exclusive::Done(counts))
}

/// Returns how many have loaded, and how many the database did not take.
async fn land_of_run(
    ctx: &mut LandingContext<'_>,
    batch: impl Iterator<Item = &(StoredRejection, Reprocessed)>,
) -> Result<(u64, u64), TxError> {
    let mut rows: BTreeMap<Resource, Vec<ScannedPage>> = BTreeMap::new();
    let mut details = Vec::new();
    let mut understood = Vec::new();
    for (kept, reread) in batch {
        let record = match reread {
            Reprocessed::Row(record) => {
                let resource = record.resource();
                let page = single_record_page(record, kept.version);
                rows.entry(resource).or_default().push(page);
                (list_kind(resource), record.ids().first().copied())
            }
            Reprocessed::Detail(order) => {
                details.extend(kept.salla_id.map(|order_id| OrderDetail {
                    order_id,
                    version: kept.version,
                    outcome: DetailOutcome::Found {
                        order: order.clone(),
                        items: None,
                    },
                }));
                (ORDER_DETAIL, kept.salla_id)
            }
            Reprocessed::Incomplete | Reprocessed::Refused(_) => continue,
        };
        understood.push((kept.number, record));
    }
    if understood.is_empty() {
        return Ok((0, 0));
    }
    for (resource, pages) in &rows {
        let pages: Vec<&ScannedPage> = pages.iter().collect();
        land_records(ctx, *resource, &pages).await?;
    }
    land_outcomes(ctx, &details).await?;
    let refused = &ctx.tally.refused;
    let is_refused = |(kind, id): (&'static str, Option<i64>)| {
        id.is_some_and(|id| refused.contains(&(kind, id)))
    };
    let loaded = understood.iter().filter(|(_, record)| !is_refused(*record));
    let loaded: Vec<i64> = loaded.map(|(number, _)| *number).collect();
    close(ctx.tx, &loaded, ctx.now).await?;
    ctx.tally.rejections_resolved(true);
    update_counters_without_cursor(ctx.tx, &ctx.run, &ctx.tally, ctx.now).await?;
    let refused = understood.len() - loaded.len();
    Ok((loaded.len() as u64, refused as u64))
}

/// By its own number, since a rejection without an id is not found by it.
const CLOSE: &str = "
    UPDATE salla_sync.rejected_records SET resolved_at = $2
    WHERE id = ANY($1) AND resolved_at IS NULL";

async fn close(tx: &mut PgConnection, numbers: &[i64], now: Timestamp) -> Result<(), TxError> {
    let close = sqlx::query(CLOSE).bind(numbers).bind(now.to_sqlx());
    close.execute(tx).await?;
    Ok(())
}

/// The time when it was last seen stays: it has not been seen again. An id that can be read now
/// does not become the key, or the same record would be rejected twice.
const NEW_REASON: &str = "
    UPDATE salla_sync.rejected_records t SET
        code = r.code, json_path = r.json_path, message = r.message
    FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[]) AS r(id, code, json_path, message)
    WHERE t.id = r.id AND t.resolved_at IS NULL
      AND (t.code, t.json_path, t.message) IS DISTINCT FROM (r.code, r.json_path, r.message)";

async fn update_rejections(
    tx: &mut PgConnection,
    batch: &ReprocessedBatch,
) -> Result<ReplayCounts, TxError> {
    let refused: Vec<_> = batch
        .iter()
        .filter_map(|(kept, reread)| match reread {
            Reprocessed::Refused(rejection) => Some((kept.number, rejection)),
            Reprocessed::Row(_) | Reprocessed::Detail(_) | Reprocessed::Incomplete => None,
        })
        .collect();
    let incomplete = batch
        .iter()
        .filter(|(_, r)| matches!(r, Reprocessed::Incomplete));
    let numbers: Vec<i64> = refused.iter().map(|(number, _)| *number).collect();
    let text = |of: fn(&domain::rejection::Rejection) -> &str| -> Vec<_> {
        refused.iter().map(|(_, r)| storable(of(r))).collect()
    };
    let changed = sqlx::query(NEW_REASON)
        .bind(numbers)
        .bind(text(|r| r.code.as_str()))
        .bind(text(|r| &r.path))
        .bind(text(|r| &r.message))
        .execute(tx)
        .await?
        .rows_affected();
    Ok(ReplayCounts {
        refused: refused.len() as u64,
        reason_changed: changed,
        incomplete: incomplete.count() as u64,
        ..ReplayCounts::default()
    })
}

const LACK_DETAILS: &str = "
    SELECT count(*) FROM salla_sync.pending_details WHERE merchant_id = $1 AND order_id = ANY($2)";

async fn lack_details(
    tx: &mut PgConnection,
    merchant: MerchantId,
    batch: &ReprocessedBatch,
) -> Result<u64, TxError> {
    let orders: Vec<i64> = batch
        .iter()
        .filter_map(|(_, reread)| match reread {
            Reprocessed::Row(Records::Orders(orders)) => {
                Some(orders.first()?.outcome.as_ref().ok()?.id)
            }
            _ => None,
        })
        .collect();
    let lacking: i64 = sqlx::query_scalar(LACK_DETAILS)
        .bind(merchant.0)
        .bind(orders)
        .fetch_one(tx)
        .await?;
    Ok(lacking.cast_unsigned())
}
