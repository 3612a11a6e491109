//! Runs that continue from what a finished one has listed.

use std::collections::HashSet;

use domain::resource::Resource;
use domain::run::{RunId, WindowId};
use domain::shop::MerchantId;
use domain::window::DayRange;
use importer::ports::landing::RunLease;
use importer::ports::runs::{CarriedList, ChangeHead, Finished, OrderMoments, Run, WindowList};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::types::Json;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::confined::Transactions;
use crate::error::TxError;
use crate::runs::rows::{RunRow, select_runs};
use crate::runs::windows::no_such_window;
use crate::transaction::lock_run;

const LATEST_FINISHED: &str = select_runs!(
    "WHERE r.merchant_id = $1 AND r.only_resource IS NULL AND r.max_orders IS NULL
       AND r.state = 'COMPLETED'
     ORDER BY r.number DESC LIMIT 1"
);

const LATEST_FINISHED_ID: &str = "
    SELECT id FROM salla_sync.sync_runs
    WHERE merchant_id = $1 AND only_resource IS NULL AND max_orders IS NULL
      AND state = 'COMPLETED'
    ORDER BY number DESC LIMIT 1";

pub(crate) async fn latest_finished_id(
    tx: &mut PgConnection,
    merchant: MerchantId,
) -> Result<Option<RunId>, TxError> {
    let id: Option<Uuid> = sqlx::query_scalar(LATEST_FINISHED_ID)
        .bind(merchant.0)
        .fetch_optional(tx)
        .await?;
    Ok(id.map(RunId))
}

pub(crate) async fn latest_finished(
    transactions: &Transactions,
    merchant: MerchantId,
) -> Result<Option<Finished>, TxError> {
    let mut tx = transactions.begin(merchant).await?;
    let row: Option<RunRow> = sqlx::query_as(LATEST_FINISHED)
        .bind(merchant.0)
        .fetch_optional(&mut *tx)
        .await?;
    let Some(run) = row.map(Run::try_from).transpose()? else {
        return Ok(None);
    };
    let from: jiff_sqlx::Date = sqlx::query_scalar(COVERED_FROM)
        .bind(Uuid::nil())
        .bind(merchant.0)
        .bind(run.id.0)
        .fetch_one(&mut *tx)
        .await?;
    tx.commit().await?;
    let covers = DayRange {
        from: from.to_jiff(),
        to: run.range.to,
    };
    Ok(Some(Finished { run, covers }))
}

/// The run to continue from, those that started to catch up with it before, and those that have
/// read older orders since then, one behind the other without a gap.
macro_rules! former_runs {
    ($rest:literal) => {
        concat!(
            "WITH RECURSIVE covering (id, range_from) AS (
                SELECT r.id, r.range_from FROM salla_sync.sync_runs r
                WHERE r.merchant_id = $2 AND r.id = $3
                UNION
                SELECT e.id, e.range_from FROM covering f JOIN salla_sync.sync_runs e
                  ON e.merchant_id = $2 AND e.only_resource = 'orders' AND e.max_orders IS NULL
                 AND e.state = 'COMPLETED' AND e.range_to = f.range_from - 1
                JOIN salla_sync.sync_runs since ON since.id = $3 AND e.started_at >= since.started_at
            ), former (id) AS (
                SELECT id FROM covering
                UNION
                SELECT r.id FROM salla_sync.sync_runs r
                WHERE r.merchant_id = $2 AND r.since_run = $3 AND r.id <> $1
            ) ",
            $rest
        )
    };
}

const COVERED_FROM: &str = former_runs!("SELECT min(range_from) FROM covering");

/// The newest orders first, then everything else.
const TAKE_WINDOWS: &str = former_runs!(
    ", taken AS (
        SELECT w.id, row_number() OVER (
            ORDER BY w.resource <> 'orders', w.day_to DESC NULLS LAST, w.run_id, w.position) AS position
        FROM salla_sync.sync_windows w JOIN former f ON f.id = w.run_id
        WHERE w.replaced_at IS NULL)
     UPDATE salla_sync.sync_windows w SET run_id = $1, position = taken.position
     FROM taken WHERE taken.id = w.id"
);

const TAKE_REJECTIONS: &str = former_runs!(
    "UPDATE salla_sync.rejected_records x SET run_id = $1
     FROM former f WHERE f.id = x.run_id AND x.resolved_at IS NULL"
);

const TAKE_PENDING: &str = former_runs!(
    "UPDATE salla_sync.pending_details p SET run_id = $1 FROM former f WHERE f.id = p.run_id"
);

/// Of a window that is scanned again and again every scan would be kept forever. The last two
/// prove it.
const FORGET_EARLIER_SCANS: &str = "
    DELETE FROM salla_sync.sync_pages p USING salla_sync.sync_windows w
    WHERE w.run_id = $1 AND p.window_id = w.id AND p.walk < w.walk - 1";

pub(crate) async fn take_over(pool: &PgPool, lease: RunLease, since: RunId) -> Result<(), TxError> {
    let mut tx = pool.begin().await?;
    lock_run(&mut tx, lease).await?;
    for sql in [TAKE_REJECTIONS, TAKE_PENDING, TAKE_WINDOWS] {
        let take = sqlx::query(sql)
            .bind(lease.run.0)
            .bind(lease.merchant.0)
            .bind(since.0);
        take.execute(&mut *tx).await?;
    }
    sqlx::query(FORGET_EARLIER_SCANS)
        .bind(lease.run.0)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(())
}

const STRETCH: &str = "
    UPDATE salla_sync.sync_windows SET day_from = $3, day_to = $4
    WHERE id = $1 AND run_id = $2 AND replaced_at IS NULL";

pub(crate) async fn stretch(
    pool: &PgPool,
    lease: RunLease,
    window: WindowId,
    days: DayRange,
) -> Result<(), TxError> {
    let mut tx = pool.begin().await?;
    lock_run(&mut tx, lease).await?;
    let stretched = sqlx::query(STRETCH)
        .bind(window.0)
        .bind(lease.run.0)
        .bind(days.from.to_sqlx())
        .bind(days.to.to_sqlx())
        .execute(&mut *tx)
        .await?;
    if stretched.rows_affected() == 0 {
        return Err(no_such_window("stretched").into());
    }
    tx.commit().await?;
    Ok(())
}

const WINDOW_LIST: &str = "
    SELECT p.ids, p.without_id
    FROM salla_sync.sync_windows w
    JOIN salla_sync.sync_pages p ON p.window_id = w.id AND p.walk = w.walk
    WHERE w.id = $1 AND w.run_id = $2 AND w.replaced_at IS NULL
    ORDER BY p.page";

pub(crate) async fn window_list(
    pool: &PgPool,
    lease: RunLease,
    window: WindowId,
) -> Result<WindowList, TxError> {
    let pages: Vec<(Vec<i64>, i32)> = sqlx::query_as(WINDOW_LIST)
        .bind(window.0)
        .bind(lease.run.0)
        .fetch_all(pool)
        .await?;
    let mut list = WindowList::default();
    let mut seen = HashSet::new();
    for (ids, without_id) in pages {
        list.ids
            .extend(ids.into_iter().filter(|id| seen.insert(*id)));
        list.without_id += without_id.cast_unsigned();
    }
    Ok(list)
}

const CLEAR: &str = "
    DELETE FROM salla_sync.sync_pages p USING salla_sync.sync_windows w
    WHERE w.id = $1 AND w.run_id = $2 AND w.replaced_at IS NULL AND p.window_id = w.id";

const CARRY: &str = "
    UPDATE salla_sync.sync_windows SET
        walk = greatest(walk, 1), settled_at = $3, cut_short = false,
        read_at = CASE WHEN $4 THEN $3 ELSE coalesce(read_at, $3) END,
        carried_at = CASE WHEN $4 THEN NULL ELSE $3 END
    WHERE id = $1 AND run_id = $2 AND replaced_at IS NULL
    RETURNING walk";

const LIST: &str = "
    INSERT INTO salla_sync.sync_pages
        (window_id, walk, page, total, per_page, total_pages, ids, without_id, landed_at)
    VALUES ($1, $2, 1, $3, $4, $5, $6, $7, $8)";

pub(crate) async fn carry(
    pool: &PgPool,
    lease: RunLease,
    list: &CarriedList,
    now: Timestamp,
) -> Result<(), TxError> {
    let mut tx = pool.begin().await?;
    lock_run(&mut tx, lease).await?;
    let clear = sqlx::query(CLEAR).bind(list.window.0).bind(lease.run.0);
    clear.execute(&mut *tx).await?;
    let walk: Option<i32> = sqlx::query_scalar(CARRY)
        .bind(list.window.0)
        .bind(lease.run.0)
        .bind(now.to_sqlx())
        .bind(list.is_read_whole)
        .fetch_optional(&mut *tx)
        .await?;
    let walk = walk.ok_or_else(|| no_such_window("carried on"))?;
    sqlx::query(LIST)
        .bind(list.window.0)
        .bind(walk)
        .bind(list.pagination.total.cast_signed())
        .bind(list.pagination.per_page.cast_signed())
        .bind(list.pagination.total_pages.cast_signed())
        .bind(&list.ids)
        .bind(list.without_id.cast_signed())
        .bind(now.to_sqlx())
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(())
}

/// Windows overlap where the ends of the filter are exclusive.
const COUNT_LISTED: &str = "
    SELECT count(DISTINCT listed.id) + (
        SELECT coalesce(sum(p.without_id), 0)
        FROM salla_sync.sync_windows w
        JOIN salla_sync.sync_pages p ON p.window_id = w.id AND p.walk = w.walk
        WHERE w.run_id = $1 AND w.replaced_at IS NULL
          AND w.resource = $2::text::salla_sync.resource)::bigint
    FROM salla_sync.sync_windows w
    JOIN salla_sync.sync_pages p ON p.window_id = w.id AND p.walk = w.walk
    CROSS JOIN unnest(p.ids) AS listed(id)
    WHERE w.run_id = $1 AND w.replaced_at IS NULL
      AND w.resource = $2::text::salla_sync.resource";

pub(crate) async fn count_listed(
    pool: &PgPool,
    lease: RunLease,
    resource: Resource,
) -> Result<u64, TxError> {
    let count: i64 = sqlx::query_scalar(COUNT_LISTED)
        .bind(lease.run.0)
        .bind(resource.as_str())
        .fetch_one(pool)
        .await?;
    Ok(count.cast_unsigned())
}

const SAVE_HEAD: &str = "UPDATE salla_sync.sync_runs SET change_head = $2 WHERE id = $1";

pub(crate) async fn save_head(
    pool: &PgPool,
    lease: RunLease,
    head: &ChangeHead,
) -> Result<(), TxError> {
    let mut tx = pool.begin().await?;
    lock_run(&mut tx, lease).await?;
    sqlx::query(SAVE_HEAD)
        .bind(lease.run.0)
        .bind(Json(head))
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(())
}

/// One that was created in the same second as another keeps its place beside it.
const MOMENTS: &str = "
    SELECT o.id, o.created_at, o.updated_at
    FROM unnest($2::bigint[]) WITH ORDINALITY AS asked(id, place)
    JOIN salla.orders o ON o.merchant_id = $1 AND o.id = asked.id
    ORDER BY o.created_at, asked.place";

pub(crate) async fn order_moments(
    pool: &PgPool,
    lease: RunLease,
    ids: &[i64],
) -> Result<Vec<OrderMoments>, TxError> {
    type Row = (i64, jiff_sqlx::Timestamp, Option<jiff_sqlx::Timestamp>);
    let rows: Vec<Row> = sqlx::query_as(MOMENTS)
        .bind(lease.merchant.0)
        .bind(ids)
        .fetch_all(pool)
        .await?;
    let moments = rows
        .into_iter()
        .map(|(id, created_at, updated_at)| OrderMoments {
            id,
            created_at: created_at.to_jiff(),
            updated_at: updated_at.map(jiff_sqlx::Timestamp::to_jiff),
        });
    Ok(moments.collect())
}
