//! What fell through.

use std::time::Duration;

use domain::failure::{Disconnection, Failure};
use domain::run::{RunId, RunState};
use domain::shop::MerchantId;
use importer::ports::jobs::{Orphan, Stalled};
use importer::ports::landing::RunLease;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::PgPool;
use uuid::Uuid;

use crate::failure::Trouble;
use crate::jobs::send;
use crate::runs::endings::show;

const LOST: &str = "
    SELECT held.id FROM unnest($1::uuid[], $2::bigint[]) AS held (id, fencing)
    WHERE NOT EXISTS (SELECT FROM salla_sync.sync_runs r
                      WHERE r.id = held.id AND r.fencing = held.fencing
                        AND r.state = 'IN_PROGRESS')";

pub(crate) async fn lost(pool: &PgPool, leases: &[RunLease]) -> Result<Vec<RunId>, Trouble> {
    let runs: Vec<Uuid> = leases.iter().map(|lease| lease.run.0).collect();
    let fencing: Vec<i64> = leases.iter().map(|lease| lease.fencing).collect();
    let lost: Vec<Uuid> = sqlx::query_scalar(LOST)
        .bind(runs)
        .bind(fencing)
        .fetch_all(pool)
        .await?;
    Ok(lost.into_iter().map(RunId).collect())
}

/// A message that is on the queue, waiting or held, will bring the run back by itself.
/// Leases and the time of sending go by the database's clock, waits by the importer's.
const ORPHANS: &str = "
    UPDATE salla_sync.sync_runs r SET sent_again = r.sent_again + 1
    WHERE r.is_job AND r.superseded_at IS NULL
      AND (r.state = 'PENDING'
           OR r.state = 'IN_PROGRESS' AND r.lease_until < now() - make_interval(secs => $1)
           OR r.state = 'WAITING' AND r.waiting_until < $2 - make_interval(secs => $1))
      AND coalesce(r.sent_at, '-infinity') < now() - make_interval(secs => $1)
      AND NOT EXISTS (SELECT FROM salla_sync.queue_messages m
                      WHERE m.queue = 'historical-sync' AND strpos(m.body, r.id::text) > 0)
    RETURNING r.id, r.merchant_id, r.state, r.months, r.sent_again";

#[derive(sqlx::FromRow)]
struct OrphanRow {
    id: Uuid,
    merchant_id: Uuid,
    state: String,
    months: i32,
    sent_again: i32,
}

pub(crate) async fn send_orphans(
    pool: &PgPool,
    grace: Duration,
    now: Timestamp,
) -> Result<Vec<Orphan>, Trouble> {
    let mut tx = pool.begin().await?;
    let rows: Vec<OrphanRow> = sqlx::query_as(ORPHANS)
        .bind(grace.as_secs_f64())
        .bind(now.to_sqlx())
        .fetch_all(&mut *tx)
        .await?;
    let mut orphans = Vec::with_capacity(rows.len());
    for row in rows {
        let orphan = Orphan {
            run: RunId(row.id),
            merchant: MerchantId(row.merchant_id),
            state: RunState::parse(&row.state).ok_or_else(|| Failure::Database {
                what: "a run is in a state that this version does not know".to_owned(),
            })?,
            sent_again: row.sent_again.unsigned_abs(),
        };
        send(&mut tx, (orphan.merchant, orphan.run), row.months, now).await?;
        orphans.push(orphan);
    }
    tx.commit().await?;
    Ok(orphans)
}

const RECONNECTED: &str = "
    UPDATE salla_sync.sync_runs r SET state = 'PENDING', sent_again = 0
    FROM salla_sync.connections c
    WHERE r.is_job AND r.state = 'FAILED' AND r.superseded_at IS NULL
      AND r.failure_code = ANY($1)
      AND c.merchant_id = r.merchant_id AND c.is_current AND c.state = 'ACTIVE'
      AND c.created_at > r.ended_at
    RETURNING r.id, r.merchant_id, r.state, r.months, r.sent_again";

pub(crate) async fn send_reconnected(pool: &PgPool, now: Timestamp) -> Result<Vec<RunId>, Trouble> {
    let codes: Vec<&str> = Disconnection::ALL.iter().map(|why| why.code()).collect();
    let mut tx = pool.begin().await?;
    let rows: Vec<OrphanRow> = sqlx::query_as(RECONNECTED)
        .bind(codes)
        .fetch_all(&mut *tx)
        .await?;
    let mut runs = Vec::with_capacity(rows.len());
    for row in rows {
        let run = RunId(row.id);
        show(&mut tx, run, now).await?;
        send(&mut tx, (MerchantId(row.merchant_id), run), row.months, now).await?;
        runs.push(run);
    }
    tx.commit().await?;
    Ok(runs)
}

/// Marked in the statement that finds them, so that of several sweeps one reports them.
const STALLED: &str = "
    UPDATE salla_sync.sync_runs r SET stall_reported_at = now()
    WHERE r.is_job AND r.superseded_at IS NULL
      AND r.state = 'IN_PROGRESS' AND r.lease_until > now() AND r.stall_reported_at IS NULL
      AND r.progressed_at < now() - make_interval(secs => $1)
      AND coalesce(r.waiting_until, '-infinity') < $2
    RETURNING r.id, r.merchant_id, r.lease_owner,
        extract(epoch FROM now() - r.progressed_at)::float8 AS idle";

#[derive(sqlx::FromRow)]
struct StalledRow {
    id: Uuid,
    merchant_id: Uuid,
    lease_owner: Option<String>,
    idle: f64,
}

pub(crate) async fn newly_stalled(
    pool: &PgPool,
    idle: Duration,
    now: Timestamp,
) -> Result<Vec<Stalled>, Trouble> {
    let rows: Vec<StalledRow> = sqlx::query_as(STALLED)
        .bind(idle.as_secs_f64())
        .bind(now.to_sqlx())
        .fetch_all(pool)
        .await?;
    let stalled = rows.into_iter().map(|row| Stalled {
        run: RunId(row.id),
        merchant: MerchantId(row.merchant_id),
        owner: row.lease_owner.unwrap_or_default(),
        idle: Duration::try_from_secs_f64(row.idle).unwrap_or_default(),
    });
    Ok(stalled.collect())
}
