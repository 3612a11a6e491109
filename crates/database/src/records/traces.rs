//! The tracks that a record has left.

use async_trait::async_trait;
use domain::failure::Failure;
use domain::resource::Resource;
use domain::run::RunState;
use domain::shop::MerchantId;
use domain::slice::Slice;
use domain::window::DayRange;
use importer::ports::inspection::{
    Trace, TracedListing, TracedRejection, TracedRow, TracedRun, TracedSource, Traces,
};
use importer::ports::runs::ShopSummary;
use jiff_sqlx::{Date, Timestamp};
use sqlx::PgPool;
use uuid::Uuid;

use super::PostgresRecords;
use crate::error::{TxError, with_retries};

/// Shop by shop, so that each look-up goes by the key of its table.
macro_rules! candidates {
    ($rows:literal) => {
        concat!(
            "SELECT m.id, m.salla_id, m.name, m.plan, c.id AS record
            FROM salla_sync.merchants m CROSS JOIN LATERAL (",
            $rows,
            "
                UNION SELECT s.salla_id FROM salla_sync.source_records s
                WHERE s.merchant_id = m.id AND s.resource = $2::text::salla_sync.resource
                  AND s.salla_id = $1
                UNION SELECT x.salla_id FROM salla_sync.rejected_records x
                WHERE x.merchant_id = m.id AND x.resource = $2::text::salla_sync.resource
                  AND x.salla_id = $1
                UNION SELECT $1 FROM salla_sync.sync_runs r
                JOIN salla_sync.sync_windows w ON w.run_id = r.id
                JOIN salla_sync.sync_pages p ON p.window_id = w.id
                WHERE r.merchant_id = m.id AND w.resource = $2::text::salla_sync.resource
                  AND p.ids @> ARRAY[$1]
            ) c ORDER BY m.salla_id, c.id"
        )
    };
}

const ORDERS: &str = candidates!(
    "SELECT o.id FROM salla.orders o WHERE o.merchant_id = m.id AND o.id = $1
     UNION SELECT o.id FROM salla.orders o WHERE o.merchant_id = m.id AND o.reference_id = $1"
);
const CUSTOMERS: &str =
    candidates!("SELECT t.id FROM salla.customers t WHERE t.merchant_id = m.id AND t.id = $1");
const PRODUCTS: &str =
    candidates!("SELECT t.id FROM salla.products t WHERE t.merchant_id = m.id AND t.id = $1");
const CATEGORIES: &str =
    candidates!("SELECT t.id FROM salla.categories t WHERE t.merchant_id = m.id AND t.id = $1");
const STATUSES: &str =
    candidates!("SELECT t.id FROM salla.order_statuses t WHERE t.merchant_id = m.id AND t.id = $1");

async fn trace(
    pool: &PgPool,
    shop: ShopSummary,
    resource: Resource,
    id: i64,
) -> Result<Trace, TxError> {
    let key = (shop.merchant, resource, id);
    Ok(Trace {
        row: row(pool, key).await?,
        source: source(pool, key).await?,
        listed: listings(pool, key).await?,
        rejections: rejections(pool, key).await?,
        details_pending: resource == Resource::Orders && is_pending(pool, key).await?,
        runs: runs(pool, shop.merchant).await?,
        shop,
        resource,
        id,
    })
}

pub(super) type Key = (MerchantId, Resource, i64);

const ORDER_ROW: &str = "
    SELECT reference_id, riyadh_date AS created_on, has_items FROM salla.orders
    WHERE merchant_id = $1 AND id = $2";
const CUSTOMER_ROW: &str = "
    SELECT NULL::bigint AS reference_id, NULL::boolean AS has_items,
           (created_at AT TIME ZONE 'UTC' + interval '3 hours')::date AS created_on
    FROM salla.customers WHERE merchant_id = $1 AND id = $2";

macro_rules! bare_row {
    ($table:literal) => {
        concat!(
            "SELECT NULL::bigint AS reference_id, NULL::date AS created_on,
                    NULL::boolean AS has_items FROM ",
            $table,
            " WHERE merchant_id = $1 AND id = $2"
        )
    };
}

#[derive(sqlx::FromRow)]
struct Row {
    reference_id: Option<i64>,
    created_on: Option<Date>,
    has_items: Option<bool>,
}

async fn row(pool: &PgPool, (merchant, resource, id): Key) -> Result<Option<TracedRow>, TxError> {
    let sql = match resource {
        Resource::Orders => ORDER_ROW,
        Resource::Customers => CUSTOMER_ROW,
        Resource::Products => bare_row!("salla.products"),
        Resource::Categories => bare_row!("salla.categories"),
        Resource::OrderStatuses => bare_row!("salla.order_statuses"),
    };
    let row: Option<Row> = sqlx::query_as(sql)
        .bind(merchant.0)
        .bind(id)
        .fetch_optional(pool)
        .await?;
    Ok(row.map(|row| TracedRow {
        reference_id: row.reference_id,
        created_on: row.created_on.map(Date::to_jiff),
        has_items: row.has_items,
    }))
}

const SOURCE: &str = "
    SELECT list_version, list_since, detail_version, gone_at, list_raw IS NOT NULL AS list_kept,
           detail_raw IS NOT NULL AS detail_kept, items_raw IS NOT NULL AS items_kept
    FROM salla_sync.source_records
    WHERE merchant_id = $1 AND resource = $2::text::salla_sync.resource AND salla_id = $3";

#[derive(sqlx::FromRow)]
struct SourceRow {
    list_version: Option<Timestamp>,
    list_since: Option<Timestamp>,
    detail_version: Option<Timestamp>,
    gone_at: Option<Timestamp>,
    list_kept: bool,
    detail_kept: bool,
    items_kept: bool,
}

async fn source(
    pool: &PgPool,
    (merchant, resource, id): Key,
) -> Result<Option<TracedSource>, TxError> {
    let row: Option<SourceRow> = sqlx::query_as(SOURCE)
        .bind(merchant.0)
        .bind(resource.as_str())
        .bind(id)
        .fetch_optional(pool)
        .await?;
    Ok(row.map(|row| TracedSource {
        list_version: row.list_version.map(Timestamp::to_jiff),
        list_since: row.list_since.map(Timestamp::to_jiff),
        detail_version: row.detail_version.map(Timestamp::to_jiff),
        gone_at: row.gone_at.map(Timestamp::to_jiff),
        list_text_kept: row.list_kept,
        detail_text_kept: row.detail_kept,
        items_text_kept: row.items_kept,
    }))
}

const IS_PENDING: &str = "
    SELECT EXISTS (SELECT FROM salla_sync.pending_details WHERE merchant_id = $1 AND order_id = $2)";

async fn is_pending(pool: &PgPool, (merchant, _, id): Key) -> Result<bool, TxError> {
    let query = sqlx::query_scalar(IS_PENDING).bind(merchant.0).bind(id);
    Ok(query.fetch_one(pool).await?)
}

const RUNS: &str = "
    SELECT state, range_from, range_to, max_orders FROM salla_sync.sync_runs
    WHERE merchant_id = $1 AND superseded_at IS NULL
      AND (only_resource IS NULL OR only_resource = 'orders')
    ORDER BY number DESC";

async fn runs(pool: &PgPool, merchant: MerchantId) -> Result<Vec<TracedRun>, TxError> {
    let rows: Vec<(String, Date, Date, Option<i64>)> = sqlx::query_as(RUNS)
        .bind(merchant.0)
        .fetch_all(pool)
        .await?;
    let runs = rows
        .into_iter()
        .filter_map(|(state, from, to, max_orders)| {
            Some(TracedRun {
                state: RunState::parse(&state)?,
                range: DayRange::new(from.to_jiff(), to.to_jiff())?,
                max_orders: max_orders.map(i64::cast_unsigned),
            })
        });
    Ok(runs.collect())
}

const LISTINGS: &str = "
    SELECT w.day_from, w.day_to, w.slice, p.walk, p.page, p.landed_at
    FROM salla_sync.sync_runs r
    JOIN salla_sync.sync_windows w ON w.run_id = r.id
    JOIN salla_sync.sync_pages p ON p.window_id = w.id
    WHERE r.merchant_id = $1 AND w.resource = $2::text::salla_sync.resource
      AND p.ids @> ARRAY[$3]
    ORDER BY p.landed_at DESC
    LIMIT 3";

#[derive(sqlx::FromRow)]
struct ListingRow {
    day_from: Option<Date>,
    day_to: Option<Date>,
    slice: Option<String>,
    walk: i32,
    page: i32,
    landed_at: Timestamp,
}

pub(super) async fn listings(
    pool: &PgPool,
    (merchant, resource, id): Key,
) -> Result<Vec<TracedListing>, TxError> {
    let rows: Vec<ListingRow> = sqlx::query_as(LISTINGS)
        .bind(merchant.0)
        .bind(resource.as_str())
        .bind(id)
        .fetch_all(pool)
        .await?;
    let listings = rows.into_iter().map(|row| TracedListing {
        days: row
            .day_from
            .zip(row.day_to)
            .and_then(|(from, to)| DayRange::new(from.to_jiff(), to.to_jiff())),
        slice: row.slice.as_deref().and_then(Slice::parse),
        walk: row.walk.cast_unsigned(),
        page: row.page.cast_unsigned(),
        landed_at: row.landed_at.to_jiff(),
    });
    Ok(listings.collect())
}

const REJECTIONS: &str = "
    SELECT kind, code, json_path, message, last_seen_at, resolved_at
    FROM salla_sync.rejected_records
    WHERE merchant_id = $1 AND resource = $2::text::salla_sync.resource AND salla_id = $3
    ORDER BY last_seen_at DESC";

#[derive(sqlx::FromRow)]
struct RejectionRow {
    kind: String,
    code: String,
    json_path: String,
    message: String,
    last_seen_at: Timestamp,
    resolved_at: Option<Timestamp>,
}

pub(super) async fn rejections(
    pool: &PgPool,
    (merchant, resource, id): Key,
) -> Result<Vec<TracedRejection>, TxError> {
    let rows: Vec<RejectionRow> = sqlx::query_as(REJECTIONS)
        .bind(merchant.0)
        .bind(resource.as_str())
        .bind(id)
        .fetch_all(pool)
        .await?;
    let rejections = rows.into_iter().map(|row| TracedRejection {
        kind: row.kind,
        code: row.code,
        json_path: row.json_path,
        message: row.message,
        last_seen_at: row.last_seen_at.to_jiff(),
        resolved_at: row.resolved_at.map(Timestamp::to_jiff),
    });
    Ok(rejections.collect())
}

#[async_trait]
impl Traces for PostgresRecords {
    async fn find(&self, resource: Resource, number: i64) -> Result<Vec<Trace>, Failure> {
        with_retries(&self.clock, "tracing a record", || async {
            let sql = match resource {
                Resource::Orders => ORDERS,
                Resource::Customers => CUSTOMERS,
                Resource::Products => PRODUCTS,
                Resource::Categories => CATEGORIES,
                Resource::OrderStatuses => STATUSES,
            };
            let found: Vec<(Uuid, i64, String, String, i64)> = sqlx::query_as(sql)
                .bind(number)
                .bind(resource.as_str())
                .fetch_all(&self.pool)
                .await?;
            let mut traces = Vec::with_capacity(found.len());
            for (merchant, salla_id, name, plan, id) in found {
                let shop = ShopSummary {
                    merchant: MerchantId(merchant),
                    salla_id,
                    name,
                    plan,
                };
                traces.push(trace(&self.pool, shop, resource, id).await?);
            }
            Ok(traces)
        })
        .await
    }
}
