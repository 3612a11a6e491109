//! How a claim ends, and the percentage on the way there.

use domain::certificate::Certificate;
use domain::failure::Failure;
use domain::run::RunState;
use importer::ports::landing::RunLease;
use importer::ports::runs::RecordedFailure;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::types::Json;
use sqlx::{PgConnection, PgPool};

use crate::failure::Trouble;
use crate::text::storable;

const RELEASE: &str = "
    UPDATE salla_sync.sync_runs SET state = 'PENDING', lease_owner = NULL, lease_until = NULL
    WHERE id = $1 AND fencing = $2 AND state = 'IN_PROGRESS'";

pub(crate) async fn release(pool: &PgPool, lease: RunLease, now: Timestamp) -> Result<(), Trouble> {
    let mut tx = pool.begin().await?;
    let changed = sqlx::query(RELEASE)
        .bind(lease.run.0)
        .bind(lease.fencing)
        .execute(&mut *tx)
        .await?
        .rows_affected();
    end(&mut tx, lease, changed, RunState::Pending, now).await?;
    tx.commit().await?;
    Ok(())
}

const COMPLETE: &str = "
    UPDATE salla_sync.sync_runs SET
        state = 'COMPLETED', completed_at = $3, certificate = $4, progress_percent = 100,
        lease_owner = NULL, lease_until = NULL
    WHERE id = $1 AND fencing = $2 AND state = 'IN_PROGRESS'";

pub(crate) async fn complete(
    pool: &PgPool,
    lease: RunLease,
    certificate: &Certificate,
    now: Timestamp,
) -> Result<(), Trouble> {
    let mut tx = pool.begin().await?;
    let changed = sqlx::query(COMPLETE)
        .bind(lease.run.0)
        .bind(lease.fencing)
        .bind(now.to_sqlx())
        .bind(Json(certificate))
        .execute(&mut *tx)
        .await?
        .rows_affected();
    end(&mut tx, lease, changed, RunState::Completed, now).await?;
    tx.commit().await?;
    Ok(())
}

const FAIL: &str = "
    UPDATE salla_sync.sync_runs SET
        state = 'FAILED', certificate = $3, failure_code = $4, failure_message = $5,
        failure_advice = $6, lease_owner = NULL, lease_until = NULL
    WHERE id = $1 AND fencing = $2 AND state = 'IN_PROGRESS'";

pub(crate) async fn fail(
    pool: &PgPool,
    lease: RunLease,
    failure: &Failure,
    certificate: Option<&Certificate>,
    now: Timestamp,
) -> Result<(), Trouble> {
    let recorded = RecordedFailure::from(failure);
    let mut tx = pool.begin().await?;
    let changed = sqlx::query(FAIL)
        .bind(lease.run.0)
        .bind(lease.fencing)
        .bind(certificate.map(Json))
        .bind(storable(&recorded.code))
        .bind(storable(&recorded.message))
        .bind(storable(&recorded.advice))
        .execute(&mut *tx)
        .await?
        .rows_affected();
    end(&mut tx, lease, changed, RunState::Failed, now).await?;
    tx.commit().await?;
    Ok(())
}

const ENDED_BEFORE: &str = "
    SELECT EXISTS (SELECT FROM salla_sync.sync_runs WHERE id = $1 AND fencing = $2 AND state = $3)";

const SHOW: &str = "
    UPDATE salla_sync.merchant_sync_status s SET
        status = r.state, completed_at = r.completed_at, progress_percent = r.progress_percent,
        updated_at = $2
    FROM salla_sync.sync_runs r
    WHERE r.id = $1 AND s.merchant_id = r.merchant_id AND s.run_id = r.id";

/// Shows the new state, or finds out why there is none: a repeated call whose first
/// answer was lost has nothing left to do.
async fn end(
    tx: &mut PgConnection,
    lease: RunLease,
    changed: u64,
    state: RunState,
    now: Timestamp,
) -> Result<(), Trouble> {
    if changed == 0 {
        let ended_before: bool = sqlx::query_scalar(ENDED_BEFORE)
            .bind(lease.run.0)
            .bind(lease.fencing)
            .bind(state.as_str())
            .fetch_one(tx)
            .await?;
        return match ended_before {
            true => Ok(()),
            false => Err(Failure::LeaseLost.into()),
        };
    }
    sqlx::query(SHOW)
        .bind(lease.run.0)
        .bind(now.to_sqlx())
        .execute(tx)
        .await?;
    Ok(())
}

const RECORD_PERCENT: &str = "
    UPDATE salla_sync.sync_runs SET progress_percent = greatest(progress_percent, $3)
    WHERE id = $1 AND fencing = $2 AND state = 'IN_PROGRESS'";

/// A hundred is for completed runs alone.
const MOST_BEFORE_THE_END: u8 = 99;

pub(crate) async fn record_percent(
    pool: &PgPool,
    lease: RunLease,
    percent: u8,
    now: Timestamp,
) -> Result<(), Trouble> {
    let mut tx = pool.begin().await?;
    let changed = sqlx::query(RECORD_PERCENT)
        .bind(lease.run.0)
        .bind(lease.fencing)
        .bind(i32::from(percent.min(MOST_BEFORE_THE_END)))
        .execute(&mut *tx)
        .await?
        .rows_affected();
    end(&mut tx, lease, changed, RunState::InProgress, now).await?;
    tx.commit().await?;
    Ok(())
}
