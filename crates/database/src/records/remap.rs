//! Landing records whose text is the same but is read in another way now.

use domain::order::Version;
use domain::rejection::Rejection;
use domain::resource::Resource;
use domain::shop::MerchantId;
use importer::ports::landing::{DetailOutcome, OrderDetail, ScannedPage};
use importer::ports::records::{Exclusive, RemapCounts, ReprocessedDetail, ReprocessedRecord};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::{PgConnection, PgPool};

use crate::error::TxError;
use crate::landing::context::{Care, LandingContext};
use crate::landing::counters::update_counters_without_cursor;
use crate::landing::details::land_outcomes;
use crate::landing::pages::land_records;
use crate::landing::raw::RawEncoder;
use crate::landing::rejections::{ORDER_DETAIL, ORDER_ITEMS, Rejected, list_kind, reject};
use crate::landing::versions::NewRows;
use crate::records::{exclusive, single_record_page};
use crate::transaction::LockedRun;

pub(crate) async fn land(
    pool: &PgPool,
    merchant: MerchantId,
    resource: Resource,
    batch: &[ReprocessedRecord],
    now: Timestamp,
    care: Care,
) -> Result<Exclusive<RemapCounts>, TxError> {
    let mut tx = pool.begin().await?;
    if let Some(holder) = exclusive::take(&mut tx, merchant).await? {
        return Ok(Exclusive::RunActive(holder));
    }
    adopt_hashes(&mut tx, merchant, resource, batch).await?;
    let mut refused = 0;
    for run in exclusive::runs(&mut tx, merchant).await?.into_values() {
        let run = LockedRun {
            rewrites: true,
            // The texts are there; compressing them again would change nothing.
            keep_raw: false,
            ..run
        };
        let mut ctx = LandingContext::new(&mut tx, run, now, NewRows::MayExist, care)?;
        refused += land_of_run(&mut ctx, resource, batch).await?;
    }
    let counts = RemapCounts {
        read: batch.len() as u64,
        changed: count_changed(&mut tx, merchant, resource, batch).await?,
        refused,
    };
    tx.commit().await?;
    Ok(Exclusive::Done(counts))
}

/// The hash covers how texts are read, not only what they say. It is brought up to
/// date first, because a changed hash would mean that the record itself changed at
/// this version: its details would be fetched again.
const ADOPT_LIST_HASHES: &str = "
    UPDATE salla_sync.source_records s SET list_hash = r.hash
    FROM unnest($3::bigint[], $4::timestamptz[], $5::bytea[]) AS r(id, version, hash)
    WHERE s.merchant_id = $1 AND s.resource = $2::text::salla_sync.resource AND s.salla_id = r.id
      AND s.list_version = r.version AND s.list_hash <> r.hash";

const ADOPT_DETAIL_HASHES: &str = "
    UPDATE salla_sync.source_records s SET detail_hash = r.hash
    FROM unnest($3::bigint[], $4::timestamptz[], $5::bytea[]) AS r(id, version, hash)
    WHERE s.merchant_id = $1 AND s.resource = $2::text::salla_sync.resource AND s.salla_id = r.id
      AND s.detail_version = r.version AND s.detail_hash <> r.hash";

async fn adopt_hashes(
    tx: &mut PgConnection,
    merchant: MerchantId,
    resource: Resource,
    batch: &[ReprocessedRecord],
) -> Result<(), TxError> {
    let mut press = RawEncoder::new(false)?;
    let (mut listed, mut details) = (Vec::new(), Vec::new());
    for record in batch.iter().map(|record| &record.kept) {
        if let Some(text) = &record.listed {
            let hash = press.content(&text.raw)?.hash;
            listed.push((record.salla_id, text.version, hash));
        }
        if let Some(text) = &record.detail {
            let content = match &record.items {
                Some(items) => press.content_of([text.raw.as_str(), items])?,
                None => press.content(&text.raw)?,
            };
            details.push((record.salla_id, text.version, content.hash));
        }
    }
    for (sql, hashes) in [(ADOPT_LIST_HASHES, listed), (ADOPT_DETAIL_HASHES, details)] {
        let ids: Vec<i64> = hashes.iter().map(|(id, ..)| *id).collect();
        let versions: Vec<_> = hashes.iter().map(|(_, v, _)| v.to_sqlx()).collect();
        let hashes: Vec<&[u8]> = hashes.iter().map(|(.., hash)| hash.as_slice()).collect();
        sqlx::query(sql)
            .bind(merchant.0)
            .bind(resource.as_str())
            .bind(ids)
            .bind(versions)
            .bind(hashes)
            .execute(&mut *tx)
            .await?;
    }
    Ok(())
}

/// What the run met last of the records; returns how many are rejected now.
async fn land_of_run(
    ctx: &mut LandingContext<'_>,
    resource: Resource,
    batch: &[ReprocessedRecord],
) -> Result<u64, TxError> {
    let run = ctx.run;
    let mut pages = Vec::new();
    let mut details = Vec::new();
    let mut refused = Vec::new();
    for record in batch {
        if let (Some(text), Some(row)) = (&record.kept.listed, &record.listed)
            && text.run == run.number
        {
            match row.first_rejection() {
                Some(why) => refused.push(rejected(record, why, list_kind(resource), text.version)),
                None => pages.push(single_record_page(row, text.version)),
            }
        }
        if let (Some(text), Some(detail)) = (&record.kept.detail, &record.detail)
            && text.run == run.number
        {
            match detail_refusal(detail) {
                Some((why, kind)) => refused.push(rejected(record, why, kind, text.version)),
                None => details.push(landed_detail(record, detail, text.version)),
            }
        }
    }
    if pages.is_empty() && details.is_empty() && refused.is_empty() {
        return Ok(0);
    }
    if !pages.is_empty() {
        let pages: Vec<&ScannedPage> = pages.iter().collect();
        land_records(ctx, resource, &pages).await?;
    }
    land_outcomes(ctx, &details).await?;
    reject(ctx, resource, &refused).await?;
    update_counters_without_cursor(ctx.tx, &run, &ctx.tally, ctx.now).await?;
    Ok(ctx.tally.landed.rejected)
}

fn detail_refusal(detail: &ReprocessedDetail) -> Option<(&Rejection, &'static str)> {
    if let Err(why) = &detail.order.outcome {
        return Some((why, ORDER_DETAIL));
    }
    let items = detail.items.as_ref()?;
    items.outcome.as_ref().err().map(|why| (why, ORDER_ITEMS))
}

fn landed_detail(
    record: &ReprocessedRecord,
    detail: &ReprocessedDetail,
    version: Version,
) -> OrderDetail {
    OrderDetail {
        order_id: record.kept.salla_id,
        version,
        outcome: DetailOutcome::Found {
            order: detail.order.clone(),
            items: detail.items.clone(),
        },
    }
}

fn rejected<'a>(
    record: &'a ReprocessedRecord,
    rejection: &'a Rejection,
    kind: &'static str,
    version: Version,
) -> Rejected<'a> {
    let text = match kind {
        ORDER_ITEMS => record.kept.items.as_deref(),
        ORDER_DETAIL => record.kept.detail.as_ref().map(|text| text.raw.as_str()),
        _ => record.kept.listed.as_ref().map(|text| text.raw.as_str()),
    };
    Rejected {
        kind,
        rejection,
        salla_id: Some(record.kept.salla_id),
        raw: text.unwrap_or_default(),
        version,
        origin: None,
    }
}

/// Records with rows that this transaction wrote, behind a savepoint or not: the ids of its
/// subtransactions follow its own, and no other session writes these rows meanwhile. Lines that
/// were only deleted are not found.
macro_rules! written {
    ($($table:literal . $key:literal),+) => {
        concat!(
            "SELECT count(DISTINCT id) FROM (SELECT NULL::bigint AS id WHERE false",
            $(
                " UNION ALL SELECT ", $key, " FROM ", $table, " WHERE merchant_id = $1 AND ", $key,
                " = ANY($2) AND age(xmin) <= age(pg_current_xact_id()::xid)",
            )+
            ") AS written"
        )
    };
}

const WRITTEN_ORDERS: &str = written!("salla.orders"."id", "salla.order_items"."order_id", "salla.order_discounts"."order_id");
const WRITTEN_CUSTOMERS: &str = written!("salla.customers"."id");
const WRITTEN_PRODUCTS: &str = written!(
    "salla.products"."id",
    "salla.product_variants"."product_id",
    "salla.product_categories"."product_id"
);
const WRITTEN_CATEGORIES: &str = written!("salla.categories"."id");
const WRITTEN_STATUSES: &str = written!("salla.order_statuses"."id");

async fn count_changed(
    tx: &mut PgConnection,
    merchant: MerchantId,
    resource: Resource,
    batch: &[ReprocessedRecord],
) -> Result<u64, TxError> {
    let sql = match resource {
        Resource::Orders => WRITTEN_ORDERS,
        Resource::Customers => WRITTEN_CUSTOMERS,
        Resource::Products => WRITTEN_PRODUCTS,
        Resource::Categories => WRITTEN_CATEGORIES,
        Resource::OrderStatuses => WRITTEN_STATUSES,
    };
    let ids: Vec<i64> = batch.iter().map(|record| record.kept.salla_id).collect();
    let changed: i64 = sqlx::query_scalar(sql)
        .bind(merchant.0)
        .bind(ids)
        .fetch_one(tx)
        .await?;
    Ok(changed.cast_unsigned())
}
