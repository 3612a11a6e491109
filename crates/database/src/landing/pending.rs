//! The worklist of the details phase.

use importer::ports::landing::{PendingDetail, RunLease};
use jiff_sqlx::ToSqlx;
use sqlx::{PgConnection, PgPool};

use crate::error::TxError;
use crate::transaction::{LockedRun, begin_leased};

/// An order whose detail this run has rejected is not requested again: another run may try.
const ADD: &str = "
    INSERT INTO salla_sync.pending_details AS p (merchant_id, order_id, created_at, run_id)
    SELECT $1, r.order_id, r.created_at, $2
    FROM unnest($3::bigint[], $4::timestamptz[]) AS r(order_id, created_at)
    WHERE NOT EXISTS (
        SELECT FROM salla_sync.rejected_records x
        WHERE x.merchant_id = $1 AND x.resource = 'orders' AND x.salla_id = r.order_id
          AND x.resolved_at IS NULL AND x.run_id = $2 AND x.kind IN ('order_detail', 'order_items'))
    ON CONFLICT (merchant_id, order_id) DO UPDATE SET
        created_at = excluded.created_at, run_id = excluded.run_id
    WHERE (p.created_at, p.run_id) IS DISTINCT FROM (excluded.created_at, excluded.run_id)";

pub(crate) async fn add(
    tx: &mut PgConnection,
    run: &LockedRun,
    orders: &[PendingDetail],
) -> Result<(), TxError> {
    if orders.is_empty() {
        return Ok(());
    }
    let ids: Vec<i64> = orders.iter().map(|o| o.order_id).collect();
    let created: Vec<_> = orders.iter().map(|o| o.created_at.to_sqlx()).collect();
    sqlx::query(ADD)
        .bind(run.merchant.0)
        .bind(run.lease.run.0)
        .bind(ids)
        .bind(created)
        .execute(tx)
        .await?;
    Ok(())
}

const ASK_AGAIN: &str = "
    INSERT INTO salla_sync.pending_details AS p (merchant_id, order_id, created_at, run_id)
    SELECT o.merchant_id, o.id, o.created_at, $2
    FROM salla.orders o WHERE o.merchant_id = $1 AND o.id = ANY($3)
    ORDER BY o.id
    ON CONFLICT (merchant_id, order_id) DO UPDATE SET run_id = excluded.run_id
    WHERE p.run_id <> excluded.run_id";

pub(crate) async fn mark_pending(
    pool: &PgPool,
    lease: RunLease,
    orders: &[i64],
) -> Result<(), TxError> {
    let mut tx = begin_leased(pool, lease).await?;
    sqlx::query(ASK_AGAIN)
        .bind(lease.merchant.0)
        .bind(lease.run.0)
        .bind(orders)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(())
}

const REMOVE: &str = "
    DELETE FROM salla_sync.pending_details WHERE merchant_id = $1 AND order_id = ANY($2)";

pub(crate) async fn remove(
    tx: &mut PgConnection,
    run: &LockedRun,
    orders: &[i64],
) -> Result<(), TxError> {
    if orders.is_empty() {
        return Ok(());
    }
    sqlx::query(REMOVE)
        .bind(run.merchant.0)
        .bind(orders)
        .execute(tx)
        .await?;
    Ok(())
}

/// What another run has left of the orders that this one has listed is this one's work: a
/// header that has stayed the same does not put its order on the list once more.
const ADOPT: &str = "
    UPDATE salla_sync.pending_details d SET run_id = $1
    WHERE d.merchant_id = $2 AND d.run_id <> $1
      AND d.order_id IN (
          SELECT unnest(p.ids)
          FROM salla_sync.sync_windows w
          JOIN salla_sync.sync_pages p ON p.window_id = w.id AND p.walk = w.walk
          WHERE w.run_id = $1 AND w.replaced_at IS NULL AND w.resource = 'orders')";

/// A webhook says that these have changed since their details were requested. Those without a row
/// stay recorded: their list may have been requested before.
const TAKE_CHANGED: &str = "
    WITH changed AS (
        DELETE FROM salla_sync.changed_records c USING salla.orders o
        WHERE c.merchant_id = $2 AND c.resource = 'orders'
          AND o.merchant_id = c.merchant_id AND o.id = c.salla_id
        RETURNING o.id, o.created_at, c.marked_at)
    INSERT INTO salla_sync.pending_details AS p (merchant_id, order_id, created_at, run_id)
    SELECT $2, changed.id, changed.created_at, $1 FROM changed
    WHERE NOT EXISTS (
        SELECT FROM salla_sync.source_records s
        WHERE s.merchant_id = $2 AND s.resource = 'orders' AND s.salla_id = changed.id
          AND s.detail_version > changed.marked_at)
    ORDER BY changed.id
    ON CONFLICT (merchant_id, order_id) DO UPDATE SET run_id = excluded.run_id
    WHERE p.run_id <> excluded.run_id";

async fn adopt(pool: &PgPool, lease: RunLease) -> Result<(), TxError> {
    let mut tx = begin_leased(pool, lease).await?;
    for sql in [ADOPT, TAKE_CHANGED] {
        sqlx::query(sql)
            .bind(lease.run.0)
            .bind(lease.merchant.0)
            .execute(&mut *tx)
            .await?;
    }
    tx.commit().await?;
    Ok(())
}

const COUNT: &str = "
    SELECT count(*) FROM salla_sync.pending_details WHERE run_id = $1 AND merchant_id = $2";

pub(crate) async fn count(pool: &PgPool, lease: RunLease) -> Result<u64, TxError> {
    let count: i64 = sqlx::query_scalar(COUNT)
        .bind(lease.run.0)
        .bind(lease.merchant.0)
        .fetch_one(pool)
        .await?;
    Ok(count.cast_unsigned())
}

/// Compares pairs, so that orders of one second neither repeat nor get lost.
const LIST: &str = "
    SELECT p.order_id, p.created_at
    FROM salla_sync.pending_details p
    WHERE p.run_id = $1 AND p.merchant_id = $2
      AND (p.created_at, p.order_id) < ($3, $4)
    ORDER BY p.created_at DESC, p.order_id DESC
    LIMIT $5";

pub(crate) async fn list(
    pool: &PgPool,
    lease: RunLease,
    after: Option<PendingDetail>,
    limit: u32,
) -> Result<Vec<PendingDetail>, TxError> {
    if after.is_none() {
        adopt(pool, lease).await?;
    }
    let beyond_all = PendingDetail {
        order_id: i64::MAX,
        created_at: jiff::Timestamp::MAX,
    };
    let after = after.unwrap_or(beyond_all);
    let rows: Vec<(i64, jiff_sqlx::Timestamp)> = sqlx::query_as(LIST)
        .bind(lease.run.0)
        .bind(lease.merchant.0)
        .bind(after.created_at.to_sqlx())
        .bind(after.order_id)
        .bind(i64::from(limit))
        .fetch_all(pool)
        .await?;
    let pending = rows
        .into_iter()
        .map(|(order_id, created_at)| PendingDetail {
            order_id,
            created_at: created_at.to_jiff(),
        });
    Ok(pending.collect())
}
