//! What fell through.

use std::time::Duration;

use domain::failure::{DatabaseCause, Disconnection, Failure};
use domain::instant::riyadh_date;
use domain::run::{RunId, RunState};
use domain::shop::MerchantId;
use domain::window::DayRange;
use importer::ports::jobs::{Orphan, Stalled};
use importer::ports::landing::RunLease;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::confined::Transactions;
use crate::error::TxError;
use crate::future::{LONGEST_WAIT, lease_lasts};
use crate::ids::new_id;
use crate::jobs::commands::start;
use crate::jobs::{overview, send};

const LOST: &str = "
    SELECT held.id FROM unnest($1::uuid[], $2::bigint[]) AS held (id, fencing)
    WHERE NOT EXISTS (SELECT FROM salla_sync.sync_runs r
                      WHERE r.id = held.id AND r.fencing = held.fencing
                        AND r.state = 'IN_PROGRESS')";

pub(crate) async fn lost(pool: &PgPool, leases: &[RunLease]) -> Result<Vec<RunId>, TxError> {
    let runs: Vec<Uuid> = leases.iter().map(|lease| lease.run.0).collect();
    let fencing: Vec<i64> = leases.iter().map(|lease| lease.fencing_token).collect();
    let lost: Vec<Uuid> = sqlx::query_scalar(LOST)
        .bind(runs)
        .bind(fencing)
        .fetch_all(pool)
        .await?;
    Ok(lost.into_iter().map(RunId).collect())
}

/// A message on the queue, waiting or leased, will start the run automatically. Leases and the time
/// of sending use the database's clock, waits use the importer's.
const ORPHANS: &str = "
    UPDATE salla_sync.sync_runs r SET sent_again = r.sent_again + 1
    WHERE r.is_job AND r.superseded_at IS NULL
      AND (r.state = 'PENDING'
           OR r.state = 'IN_PROGRESS' AND r.lease_until < now() - make_interval(secs => $1)
           OR r.state = 'IN_PROGRESS' AND r.lease_until > now() + interval '2 hours'
           OR r.state = 'WAITING' AND r.waiting_until < $2 - make_interval(secs => $1))
      AND (coalesce(r.sent_at, '-infinity') < now() - make_interval(secs => $1)
           OR r.sent_at > now() + make_interval(secs => $1))
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

/// What was put off by a clock that was ahead is due now: else it would wait until the right
/// clock has caught up.
const RECALL: &[&str] = &[
    "UPDATE salla_sync.queue_messages SET visible_at = $1
     WHERE queue = ANY (ARRAY['historical-sync', 'notifications']) AND visible_at > $2",
    "UPDATE salla_sync.sync_runs SET waiting_until = $1
     WHERE is_job AND state = 'WAITING' AND superseded_at IS NULL AND waiting_until > $2",
];

async fn recall(tx: &mut PgConnection, now: Timestamp) -> Result<(), TxError> {
    for sql in RECALL {
        let recalled = sqlx::query(*sql)
            .bind(now.to_sqlx())
            .bind((now + LONGEST_WAIT).to_sqlx())
            .execute(&mut *tx)
            .await?
            .rows_affected();
        if recalled > 0 {
            tracing::warn!(
                recalled,
                "waits from the future were ended: a clock was ahead"
            );
        }
    }
    Ok(())
}

pub(crate) async fn resend_orphans(
    pool: &PgPool,
    grace: Duration,
    now: Timestamp,
) -> Result<Vec<Orphan>, TxError> {
    let mut tx = pool.begin().await?;
    recall(&mut tx, now).await?;
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
                message: "a run is in a state that is unknown to this version".to_owned(),
                cause: DatabaseCause::Setup,
            })?,
            resends: row.sent_again.unsigned_abs(),
        };
        send(&mut tx, (orphan.merchant, orphan.run), row.months, now).await?;
        orphans.push(orphan);
    }
    tx.commit().await?;
    Ok(orphans)
}

/// A connection that is newer than the run's message may not be the one that failed: a worker keeps
/// the connection with which it started the run.
const RECONNECTED: &str = "
    SELECT r.id FROM salla_sync.sync_runs r
    JOIN salla_sync.connections c ON c.merchant_id = r.merchant_id AND c.is_current
    WHERE r.is_job AND r.state = 'FAILED' AND r.superseded_at IS NULL
      AND r.failure_code = ANY($1)
      AND c.state = 'ACTIVE' AND c.bound_at > coalesce(r.sent_at, r.created_at)";

/// Restarts them as a new request for the same import would.
pub(crate) async fn restart_reconnected(
    transactions: &Transactions,
    now: Timestamp,
) -> Result<Vec<RunId>, TxError> {
    let pool = transactions.pool();
    let codes: Vec<&str> = Disconnection::ALL.iter().map(|why| why.code()).collect();
    let failed: Vec<Uuid> = sqlx::query_scalar(RECONNECTED)
        .bind(codes)
        .fetch_all(pool)
        .await?;
    let mut sent = Vec::with_capacity(failed.len());
    for id in failed {
        let Some(run) = overview::find(pool, RunId(id)).await? else {
            continue;
        };
        let range = match run.options.only {
            Some(_) => run.range,
            None if run.catches_up.is_some() => DayRange {
                to: riyadh_date(now).max(run.range.to),
                ..run.range
            },
            None => DayRange::last_months(riyadh_date(now), run.options.months),
        };
        let ids = (run.merchant, RunId(new_id(now)));
        let started = start(transactions, ids, &run.options, range, run.catches_up, now).await?;
        sent.push(started.run.id);
    }
    Ok(sent)
}

/// Marked in the statement that finds them, so that of several sweeps one reports them.
const STALLED: &str = concat!(
    "
    UPDATE salla_sync.sync_runs r SET stall_reported_at = now()
    WHERE r.is_job AND r.superseded_at IS NULL
      AND r.state = 'IN_PROGRESS' AND ",
    lease_lasts!(),
    " AND r.stall_reported_at IS NULL
      AND r.progressed_at < now() - make_interval(secs => $1)
      AND coalesce(r.waiting_until, '-infinity') < $2
    RETURNING r.id, r.merchant_id, r.lease_owner,
        extract(epoch FROM now() - r.progressed_at)::float8 AS idle"
);

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
) -> Result<Vec<Stalled>, TxError> {
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
