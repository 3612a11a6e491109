//! How a claim ends, and the progress it reports before.

use std::time::Duration;

use domain::certificate::Certificate;
use domain::failure::Failure;
use domain::job::{NotificationJob, NotificationKind};
use domain::run::{RunId, RunState};
use domain::shop::MerchantId;
use importer::ports::landing::RunLease;
use importer::ports::queue::QueueName;
use importer::ports::runs::RecordedFailure;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::types::Json;
use sqlx::{PgConnection, PgPool, Postgres};
use uuid::Uuid;

use crate::columns::storable;
use crate::error::TxError;
use crate::future::lease_lasts;
use crate::queue::{body, send_now};

const RELEASE: &str = "
    UPDATE salla_sync.sync_runs SET
        state = 'PENDING', lease_owner = NULL, lease_until = NULL,
        next_request_at = now() + make_interval(secs => $3),
        next_request_fencing = CASE WHEN $3::float8 IS NOT NULL THEN fencing END
    WHERE id = $1 AND fencing = $2 AND state = 'IN_PROGRESS'";

pub(crate) async fn release(
    pool: &PgPool,
    lease: RunLease,
    wait: Option<Duration>,
    now: Timestamp,
) -> Result<(), TxError> {
    let mut tx = pool.begin().await?;
    let changed = sqlx::query(RELEASE)
        .bind(lease.run.0)
        .bind(lease.fencing_token)
        .bind(wait.map(|wait| wait.as_secs_f64()))
        .execute(&mut *tx)
        .await?
        .rows_affected();
    end(&mut tx, lease, changed, RunState::Pending, now).await?;
    tx.commit().await?;
    Ok(())
}

const WAIT: &str = "
    UPDATE salla_sync.sync_runs SET
        state = 'WAITING', lease_owner = NULL, lease_until = NULL, waiting_until = $3,
        failure_code = $4, failure_message = $5,
        failure_advice = CASE WHEN is_job THEN $7 ELSE $6 END
    WHERE id = $1 AND fencing = $2 AND state = 'IN_PROGRESS'";

pub(crate) async fn wait(
    pool: &PgPool,
    lease: RunLease,
    until: Timestamp,
    why: &Failure,
    now: Timestamp,
) -> Result<(), TxError> {
    let mut tx = pool.begin().await?;
    let query = sqlx::query(WAIT)
        .bind(lease.run.0)
        .bind(lease.fencing_token)
        .bind(until.to_sqlx());
    let changed = with_failure(query, why)
        .execute(&mut *tx)
        .await?
        .rows_affected();
    end(&mut tx, lease, changed, RunState::Waiting, now).await?;
    tx.commit().await?;
    Ok(())
}

const COMPLETE: &str = "
    UPDATE salla_sync.sync_runs SET
        state = 'COMPLETED', completed_at = $3, certificate = $4, progress_percent = 100,
        lease_owner = NULL, lease_until = NULL, waiting_until = NULL,
        endings = endings + 1, ended_at = $3
    WHERE id = $1 AND fencing = $2 AND state = 'IN_PROGRESS'";

pub(crate) async fn complete(
    pool: &PgPool,
    lease: RunLease,
    certificate: &Certificate,
    now: Timestamp,
) -> Result<(), TxError> {
    let mut tx = pool.begin().await?;
    let changed = sqlx::query(COMPLETE)
        .bind(lease.run.0)
        .bind(lease.fencing_token)
        .bind(now.to_sqlx())
        .bind(Json(certificate))
        .execute(&mut *tx)
        .await?
        .rows_affected();
    end(&mut tx, lease, changed, RunState::Completed, now).await?;
    if changed > 0 {
        notify(&mut tx, lease.run, NotificationKind::SyncComplete, now).await?;
    }
    tx.commit().await?;
    Ok(())
}

const FAIL: &str = "
    UPDATE salla_sync.sync_runs SET
        state = 'FAILED', certificate = $3, failure_code = $4, failure_message = $5,
        failure_advice = CASE WHEN is_job THEN $7 ELSE $6 END,
        lease_owner = NULL, lease_until = NULL, waiting_until = NULL,
        endings = endings + 1, ended_at = $8
    WHERE id = $1 AND fencing = $2 AND state = 'IN_PROGRESS'";

pub(crate) async fn fail(
    pool: &PgPool,
    lease: RunLease,
    failure: &Failure,
    certificate: Option<&Certificate>,
    now: Timestamp,
) -> Result<(), TxError> {
    let mut tx = pool.begin().await?;
    let query = sqlx::query(FAIL)
        .bind(lease.run.0)
        .bind(lease.fencing_token)
        .bind(certificate.map(Json));
    let changed = with_failure(query, failure)
        .bind(now.to_sqlx())
        .execute(&mut *tx)
        .await?
        .rows_affected();
    end(&mut tx, lease, changed, RunState::Failed, now).await?;
    if changed > 0 {
        let kind = NotificationKind::of_failure(failure.code());
        notify(&mut tx, lease.run, kind, now).await?;
    }
    tx.commit().await?;
    Ok(())
}

const GIVE_UP: &str = concat!(
    "
    UPDATE salla_sync.sync_runs r SET
        state = 'FAILED', failure_code = $2, failure_message = $3,
        failure_advice = CASE WHEN is_job THEN $5 ELSE $4 END,
        lease_owner = NULL, lease_until = NULL, waiting_until = NULL,
        endings = endings + 1, ended_at = $6
    WHERE id = $1 AND (state IN ('PENDING', 'WAITING')
        OR state = 'IN_PROGRESS' AND NOT ",
    lease_lasts!(),
    ")"
);

/// Ends a run FAILED that no worker holds.
pub(crate) async fn give_up(
    pool: &PgPool,
    run: RunId,
    failure: &Failure,
    now: Timestamp,
) -> Result<(), TxError> {
    let mut tx = pool.begin().await?;
    let query = sqlx::query(GIVE_UP).bind(run.0);
    let changed = with_failure(query, failure)
        .bind(now.to_sqlx())
        .execute(&mut *tx)
        .await?
        .rows_affected();
    if changed > 0 {
        update_status_row(&mut tx, run, now).await?;
        let kind = NotificationKind::of_failure(failure.code());
        notify(&mut tx, run, kind, now).await?;
    }
    tx.commit().await?;
    Ok(())
}

type Statement<'a> = Query<'a, Postgres, PgArguments>;

/// Binds code, message, and the advice on a command and on a job, in this order.
fn with_failure<'a>(query: Statement<'a>, failure: &Failure) -> Statement<'a> {
    let [recorded, of_a_job] = [false, true].map(|is_job| RecordedFailure::of(failure, is_job));
    query
        .bind(storable(&recorded.code).into_owned())
        .bind(storable(&recorded.message).into_owned())
        .bind(storable(&recorded.advice).into_owned())
        .bind(storable(&of_a_job.advice).into_owned())
}

/// A run that only reads what has changed, as every hour, is no news when it is complete, and
/// where it fails the first time is. One that goes further back is an import.
const JOB: &str = "
    SELECT r.merchant_id FROM salla_sync.sync_runs r
    LEFT JOIN salla_sync.sync_runs s ON s.id = r.since_run
    WHERE r.id = $1 AND r.is_job
      AND (s.id IS NULL OR r.range_from < s.range_from OR NOT $2 AND r.endings <= 1)";

/// Sends the message that notifies of the end of a job, as part of the transaction that
/// ends it.
async fn notify(
    tx: &mut PgConnection,
    run: RunId,
    kind: NotificationKind,
    now: Timestamp,
) -> Result<(), TxError> {
    let merchant: Option<Uuid> = sqlx::query_scalar(JOB)
        .bind(run.0)
        .bind(kind == NotificationKind::SyncComplete)
        .fetch_optional(&mut *tx)
        .await?;
    let Some(merchant) = merchant.map(MerchantId) else {
        return Ok(());
    };
    let job = NotificationJob {
        kind,
        merchant,
        run,
    };
    send_now(tx, QueueName::Notifications, &body(job.to_json())?, now).await
}

const ENDED_BEFORE: &str = "
    SELECT EXISTS (SELECT FROM salla_sync.sync_runs WHERE id = $1 AND fencing = $2 AND state = $3)";

const SHOW: &str = "
    UPDATE salla_sync.merchant_sync_status s SET
        status = r.state, started_at = r.started_at, completed_at = r.completed_at,
        progress_percent = r.progress_percent, updated_at = $2
    FROM salla_sync.sync_runs r
    WHERE r.id = $1 AND s.merchant_id = r.merchant_id AND s.run_id = r.id";

/// Shows in the merchant's status how the run stands.
pub(crate) async fn update_status_row(
    tx: &mut PgConnection,
    run: RunId,
    now: Timestamp,
) -> Result<(), TxError> {
    let show = sqlx::query(SHOW).bind(run.0).bind(now.to_sqlx());
    show.execute(tx).await?;
    Ok(())
}

/// Shows the new state, or finds out why there is none: a repeated call whose first response was
/// lost has nothing left to do.
async fn end(
    tx: &mut PgConnection,
    lease: RunLease,
    changed: u64,
    state: RunState,
    now: Timestamp,
) -> Result<(), TxError> {
    if changed == 0 {
        let ended_before: bool = sqlx::query_scalar(ENDED_BEFORE)
            .bind(lease.run.0)
            .bind(lease.fencing_token)
            .bind(state.as_str())
            .fetch_one(tx)
            .await?;
        return match ended_before {
            true => Ok(()),
            false => Err(Failure::LeaseLost.into()),
        };
    }
    update_status_row(tx, lease.run, now).await
}

const REPORT: &str = "
    UPDATE salla_sync.sync_runs SET
        progress_percent = greatest(progress_percent, $3), waiting_until = $4
    WHERE id = $1 AND fencing = $2 AND state = 'IN_PROGRESS'";

/// A hundred is for completed runs alone.
const MOST_BEFORE_THE_END: u8 = 99;

pub(crate) async fn report(
    pool: &PgPool,
    lease: RunLease,
    percent: u8,
    waits_until: Option<Timestamp>,
    now: Timestamp,
) -> Result<(), TxError> {
    let mut tx = pool.begin().await?;
    let changed = sqlx::query(REPORT)
        .bind(lease.run.0)
        .bind(lease.fencing_token)
        .bind(i32::from(percent.min(MOST_BEFORE_THE_END)))
        .bind(waits_until.map(ToSqlx::to_sqlx))
        .execute(&mut *tx)
        .await?
        .rows_affected();
    end(&mut tx, lease, changed, RunState::InProgress, now).await?;
    tx.commit().await?;
    Ok(())
}
