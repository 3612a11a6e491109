//! What the current scans of a run have listed, and what they have not.

use domain::resource::Resource;
use domain::run::WindowId;
use importer::ports::landing::RunLease;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::PgPool;

use crate::error::TxError;
use crate::runs::windows::no_such_window;
use crate::transaction::lock_run;

const RECORD_ENDS_READ_AGAIN: &str = "
    UPDATE salla_sync.sync_windows SET ends_read_again = true
    WHERE id = $1 AND run_id = $2 AND replaced_at IS NULL";

pub(crate) async fn record_ends_rescanned(
    pool: &PgPool,
    lease: RunLease,
    window: WindowId,
) -> Result<(), TxError> {
    let mut tx = pool.begin().await?;
    lock_run(&mut tx, lease).await?;
    let recorded = sqlx::query(RECORD_ENDS_READ_AGAIN)
        .bind(window.0)
        .bind(lease.run.0)
        .execute(&mut *tx)
        .await?;
    if recorded.rows_affected() == 0 {
        return Err(no_such_window("marked").into());
    }
    tx.commit().await?;
    Ok(())
}

/// Pages that follow each other from the first one on, until `total` changes or a record has
/// no id.
const LISTED: &str = "
    SELECT p.ids
    FROM (SELECT p.page, p.ids, row_number() OVER pages AS number,
                 bool_and(p.total = f.total AND p.without_id = 0) OVER pages AS is_stable
          FROM salla_sync.sync_windows w
          JOIN salla_sync.sync_pages p ON p.window_id = w.id AND p.walk = w.walk
          JOIN salla_sync.sync_pages f
            ON f.window_id = w.id AND f.walk = w.walk AND f.page = 1
          WHERE w.id = $1 AND w.run_id = $2 AND w.replaced_at IS NULL
          WINDOW pages AS (ORDER BY p.page)) p
    WHERE p.page = p.number AND p.is_stable
    ORDER BY p.page";

pub(crate) async fn listed(
    pool: &PgPool,
    lease: RunLease,
    window: WindowId,
) -> Result<Vec<i64>, TxError> {
    let pages: Vec<Vec<i64>> = sqlx::query_scalar(LISTED)
        .bind(window.0)
        .bind(lease.run.0)
        .fetch_all(pool)
        .await?;
    Ok(pages.concat())
}

/// As a separate page behind the first, which has landed.
const CARRY_OVER: &str = "
    INSERT INTO salla_sync.sync_pages
        (window_id, walk, page, total, per_page, total_pages, ids, without_id, landed_at)
    SELECT p.window_id, p.walk, 2, p.total, p.per_page, p.total_pages,
           ($3::bigint[])[cardinality(p.ids) + 1:], 0, $4
    FROM salla_sync.sync_windows w
    JOIN salla_sync.sync_pages p ON p.window_id = w.id AND p.walk = w.walk AND p.page = 1
    WHERE w.id = $1 AND w.run_id = $2 AND w.replaced_at IS NULL
    ON CONFLICT (window_id, walk, page) DO UPDATE SET ids = excluded.ids";

pub(crate) async fn carry_over(
    pool: &PgPool,
    lease: RunLease,
    window: WindowId,
    ids: &[i64],
    now: Timestamp,
) -> Result<(), TxError> {
    let mut tx = pool.begin().await?;
    lock_run(&mut tx, lease).await?;
    let carried = sqlx::query(CARRY_OVER)
        .bind(window.0)
        .bind(lease.run.0)
        .bind(ids)
        .bind(now.to_sqlx())
        .execute(&mut *tx)
        .await?;
    if carried.rows_affected() == 0 {
        return Err(no_such_window("carried over").into());
    }
    tx.commit().await?;
    Ok(())
}

/// Null if a window was not scanned to its end, or lists another number than it reports.
const LISTED_ORDERS: &str = "
    WITH listed AS MATERIALIZED (
        SELECT w.id AS window_id, unnest(p.ids) AS id
        FROM salla_sync.sync_windows w
        JOIN salla_sync.sync_pages p ON p.window_id = w.id AND p.walk = w.walk
        WHERE w.run_id = $1 AND w.replaced_at IS NULL AND w.resource = 'orders'
    ), counted AS (
        SELECT window_id, count(DISTINCT id) AS listed FROM listed GROUP BY window_id
    )
    SELECT CASE WHEN bool_and(w.settled_at IS NOT NULL AND NOT w.cut_short
                              AND last.total = coalesce(c.listed, 0))
           THEN (SELECT count(DISTINCT id) FROM listed) END
    FROM salla_sync.sync_windows w
    LEFT JOIN counted c ON c.window_id = w.id
    LEFT JOIN LATERAL (
        SELECT p.total FROM salla_sync.sync_pages p
        WHERE p.window_id = w.id AND p.walk = w.walk
        ORDER BY p.page DESC LIMIT 1) last ON true
    WHERE w.run_id = $1 AND w.replaced_at IS NULL AND w.resource = 'orders'";

pub(crate) async fn listed_orders(pool: &PgPool, lease: RunLease) -> Result<Option<u64>, TxError> {
    let listed: Option<i64> = sqlx::query_scalar(LISTED_ORDERS)
        .bind(lease.run.0)
        .fetch_one(pool)
        .await?;
    Ok(listed.map(i64::cast_unsigned))
}

/// The ids of all current scans of one resource of run `$1`. EXCEPT sorts or hashes them once,
/// however many they are.
macro_rules! less_listed {
    ($resource:literal, $ids:literal) => {
        concat!(
            $ids,
            " EXCEPT
            SELECT unnest(p.ids)
            FROM salla_sync.sync_windows w
            JOIN salla_sync.sync_pages p ON p.window_id = w.id AND p.walk = w.walk
            WHERE w.run_id = $1 AND w.replaced_at IS NULL AND w.resource = '",
            $resource,
            "'"
        )
    };
}

macro_rules! not_listed {
    ($resource:literal) => {
        less_listed!($resource, "SELECT unnest($2::bigint[])")
    };
}

pub(crate) async fn not_listed(
    pool: &PgPool,
    lease: RunLease,
    resource: Resource,
    ids: &[i64],
) -> Result<Vec<i64>, TxError> {
    let sql = match resource {
        Resource::Orders => not_listed!("orders"),
        Resource::Customers => not_listed!("customers"),
        Resource::Products => not_listed!("products"),
        Resource::Categories => not_listed!("categories"),
        Resource::OrderStatuses => not_listed!("order_statuses"),
    };
    let ids = sqlx::query_scalar(sql)
        .bind(lease.run.0)
        .bind(ids)
        .fetch_all(pool)
        .await?;
    Ok(ids)
}

/// Orders by their row, because a run answers for the days of its range only.
pub(crate) const VANISHED_ORDERS: &str = less_listed!(
    "orders",
    "SELECT o.id FROM salla.orders o
     JOIN salla_sync.sync_runs r ON r.id = $1 AND r.merchant_id = o.merchant_id
     WHERE o.merchant_id = $2 AND o.riyadh_date BETWEEN r.range_from AND r.range_to"
);

/// Others by what a list gave: customers who are known only from an order were never listed.
const VANISHED_CUSTOMERS: &str = less_listed!(
    "customers",
    "SELECT s.salla_id FROM salla_sync.source_records s
     WHERE s.merchant_id = $2 AND s.resource = 'customers'
       AND s.list_version IS NOT NULL AND s.gone_at IS NULL"
);

const VANISHED_PRODUCTS: &str = less_listed!(
    "products",
    "SELECT s.salla_id FROM salla_sync.source_records s
     WHERE s.merchant_id = $2 AND s.resource = 'products'
       AND s.list_version IS NOT NULL AND s.gone_at IS NULL"
);

pub(crate) async fn vanished(
    pool: &PgPool,
    lease: RunLease,
    resource: Resource,
) -> Result<Vec<i64>, TxError> {
    let sql = match resource {
        Resource::Orders => VANISHED_ORDERS,
        Resource::Customers => VANISHED_CUSTOMERS,
        Resource::Products => VANISHED_PRODUCTS,
        // Old orders and products refer to them, so they stay.
        Resource::Categories | Resource::OrderStatuses => return Ok(vec![]),
    };
    let ids = sqlx::query_scalar(sql)
        .bind(lease.run.0)
        .bind(lease.merchant.0)
        .fetch_all(pool)
        .await?;
    Ok(ids)
}
