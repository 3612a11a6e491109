//! Who works on a run: creating, joining, claiming, holding on.

use crate::session::end_frozen;
use std::time::Duration;

use domain::failure::Failure;
use domain::run::{RunId, RunState};
use domain::shop::MerchantId;
use domain::window::DayRange;
use importer::ports::landing::RunLease;
use importer::ports::runs::{CatchUp, Claim, DatabaseClock, Held, Owner, Run, RunOptions};
use jiff::{SignedDuration, Timestamp};
use jiff_sqlx::ToSqlx;
use sqlx::{PgConnection, PgPool};

use crate::columns::storable;
use crate::error::TxError;
use crate::runs::endings::update_status_row;
use crate::runs::rows::{RunRow, select_runs};

/// Concurrent callers wait here for each other, so that the second finds the run of the first.
const TAKE_TURNS: &str = "SELECT FROM salla_sync.merchants WHERE id = $1 FOR NO KEY UPDATE";

const OPEN: &str = select_runs!(
    "WHERE r.merchant_id = $1 AND r.state NOT IN ('COMPLETED', 'CANCELLED')
     AND r.superseded_at IS NULL"
);

/// How long after its last day a failed run is resumed rather than replaced.
const REJOIN_WITHIN: SignedDuration = SignedDuration::from_hours(24);

/// Its failure stays visible until a worker claims it.
const REOPEN: &str = "UPDATE salla_sync.sync_runs SET state = 'PENDING' WHERE id = $1";

const SUPERSEDE: &str = "UPDATE salla_sync.sync_runs SET superseded_at = $2 WHERE id = $1";

const CREATE: &str = "
    INSERT INTO salla_sync.sync_runs
        (id, merchant_id, state, months, max_orders, keep_raw, range_from, range_to, created_at,
         only_resource, since_run, refreshes_lists)
    VALUES ($1, $2, 'PENDING', $3, $4, $5, $6, $7, $8, $9::text::salla_sync.resource, $10, $11)";

/// A run that reads a part, or what has changed, adds to what the shop has.
const SHOW_CREATED: &str = "
    INSERT INTO salla_sync.merchant_sync_status AS s
        (merchant_id, run_id, status, updated_at, carries_on)
    VALUES ($1, $2, 'PENDING', $3, $4)
    ON CONFLICT (merchant_id) DO UPDATE SET
        run_id = excluded.run_id, status = excluded.status, started_at = NULL, completed_at = NULL,
        progress_percent = 0, last_processed_cursor = NULL,
        orders = CASE WHEN $4 THEN s.orders ELSE 0 END,
        order_details = CASE WHEN $4 THEN s.order_details ELSE 0 END,
        customers = CASE WHEN $4 THEN s.customers ELSE 0 END,
        products = CASE WHEN $4 THEN s.products ELSE 0 END,
        rejected = CASE WHEN $4 THEN s.rejected ELSE 0 END,
        pages = CASE WHEN $4 THEN s.pages ELSE 0 END,
        carries_on = excluded.carries_on, updated_at = excluded.updated_at";

const BY_ID: &str = select_runs!("WHERE r.id = $1");

pub(crate) async fn create_or_join(
    pool: &PgPool,
    (merchant, id): (MerchantId, RunId),
    options: &RunOptions,
    range: DayRange,
    catch_up: Option<CatchUp>,
    now: Timestamp,
) -> Result<Run, TxError> {
    let mut tx = pool.begin().await?;
    let run = create_or_join_in(&mut tx, (merchant, id), options, range, catch_up, now).await?;
    tx.commit().await?;
    Ok(run)
}

pub(crate) async fn create_or_join_in(
    tx: &mut PgConnection,
    (merchant, id): (MerchantId, RunId),
    options: &RunOptions,
    range: DayRange,
    catch_up: Option<CatchUp>,
    now: Timestamp,
) -> Result<Run, TxError> {
    take_turns(tx, merchant).await?;
    let open: Option<RunRow> = sqlx::query_as(OPEN)
        .bind(merchant.0)
        .fetch_optional(&mut *tx)
        .await?;
    let Some(open) = open.map(Run::try_from).transpose()? else {
        create(tx, (merchant, id), options, range, catch_up, now).await?;
        return by_id(tx, id).await;
    };
    if !is_joined(&open, options, range, catch_up) {
        let supersede = sqlx::query(SUPERSEDE).bind(open.id.0).bind(now.to_sqlx());
        supersede.execute(&mut *tx).await?;
        create(tx, (merchant, id), options, range, catch_up, now).await?;
        return by_id(tx, id).await;
    }
    if open.state != RunState::Failed {
        return Ok(open);
    }
    sqlx::query(REOPEN)
        .bind(open.id.0)
        .execute(&mut *tx)
        .await?;
    update_status_row(tx, open.id, now).await?;
    by_id(tx, open.id).await
}

/// Callers that start, restart or join a run of this merchant wait here for each other.
pub(crate) async fn take_turns(tx: &mut PgConnection, merchant: MerchantId) -> Result<(), TxError> {
    sqlx::query(TAKE_TURNS).bind(merchant.0).execute(tx).await?;
    Ok(())
}

pub(crate) async fn by_id(tx: &mut PgConnection, run: RunId) -> Result<Run, TxError> {
    let row: RunRow = sqlx::query_as(BY_ID).bind(run.0).fetch_one(tx).await?;
    Ok(row.try_into()?)
}

/// A run that is in progress or waiting is joined as it is; a failed one only by a request for the
/// same import, because joining could only resume it. One that failed days ago would end with the
/// orders of that day, and one that reads changes does not read everything. A first test that has
/// no worker is not finished when all orders are wanted: its rows stay.
fn is_joined(open: &Run, wanted: &RunOptions, range: DayRange, catch_up: Option<CatchUp>) -> bool {
    let is_a_try = open.options.max_orders.is_some() && wanted.max_orders.is_none();
    match open.state {
        RunState::Pending | RunState::InProgress | RunState::Waiting
            if is_a_try && open.holder.is_none() =>
        {
            false
        }
        RunState::Pending
        | RunState::InProgress
        | RunState::Waiting
        | RunState::Paused
        | RunState::Completed
        | RunState::Cancelled => true,
        RunState::Failed => {
            let reaches_to = open.range.to.saturating_add(REJOIN_WITHIN);
            open.options.same_request(wanted)
                && reaches_to >= range.to
                && (catch_up.is_some() || open.catches_up.is_none())
        }
    }
}

async fn create(
    tx: &mut PgConnection,
    (merchant, id): (MerchantId, RunId),
    options: &RunOptions,
    range: DayRange,
    catch_up: Option<CatchUp>,
    now: Timestamp,
) -> Result<(), TxError> {
    sqlx::query(CREATE)
        .bind(id.0)
        .bind(merchant.0)
        .bind(i32::from(options.months))
        .bind(options.max_orders.map(u64::cast_signed))
        .bind(options.keep_raw)
        .bind(range.from.to_sqlx())
        .bind(range.to.to_sqlx())
        .bind(now.to_sqlx())
        .bind(options.only.map(|only| only.resource.as_str()))
        .bind(catch_up.map(|catch_up| catch_up.since.0))
        .bind(catch_up.is_some_and(|catch_up| catch_up.refreshes_lists))
        .execute(&mut *tx)
        .await?;
    sqlx::query(SHOW_CREATED)
        .bind(merchant.0)
        .bind(id.0)
        .bind(now.to_sqlx())
        .bind(catch_up.is_some() || options.only.is_some())
        .execute(tx)
        .await?;
    Ok(())
}

/// Waits for landings in flight, which hold a key-share lock, and keeps out new ones
/// until the fencing number has grown.
const LOCK: &str = select_runs!("WHERE r.id = $1 FOR UPDATE");

const CLAIM: &str = "
    UPDATE salla_sync.sync_runs SET
        state = 'IN_PROGRESS', fencing = fencing + 1, lease_owner = $2,
        lease_until = now() + make_interval(secs => $3), started_at = coalesce(started_at, $4),
        lease_host = $5, lease_pid = $6, lease_process_started = $7,
        lease_process_fencing = fencing + 1,
        certificate = NULL, failure_code = NULL, failure_message = NULL, failure_advice = NULL,
        waiting_until = NULL, work_at_claim = pages + order_details,
        progressed_at = now(), stall_reported_at = NULL
    WHERE id = $1";

const LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '6s'";

/// So often may the lock be missed: a minute in all.
const MAX_ATTEMPTS: u32 = 10;

pub(crate) async fn claim(
    pool: &PgPool,
    run: RunId,
    owner: &Owner,
    lease: Duration,
    now: Timestamp,
) -> Result<Claim, TxError> {
    with_frozen_sessions_ended(pool, run, || claim_once(pool, run, owner, lease, now)).await
}

/// Does what locks the run's row, and ends landings that would keep it waiting.
pub(crate) async fn with_frozen_sessions_ended<T, F>(
    pool: &PgPool,
    run: RunId,
    work: impl Fn() -> F,
) -> Result<T, TxError>
where
    F: Future<Output = Result<T, TxError>>,
{
    for _ in 1..MAX_ATTEMPTS {
        match work().await {
            Err(error) if error.is_lock_timeout() => {
                let ended = end_frozen(&mut *pool.acquire().await?).await?;
                tracing::warn!(run_id = %run, ended, "the run is locked by an unfinished landing");
            }
            result => return result,
        }
    }
    work().await
}

/// The run's row, locked FOR UPDATE; fails with a lock timeout rather than wait long.
pub(crate) async fn lock(tx: &mut PgConnection, run: RunId) -> Result<Option<RunRow>, TxError> {
    sqlx::query(LOCK_TIMEOUT).execute(&mut *tx).await?;
    let row = sqlx::query_as(LOCK).bind(run.0).fetch_optional(tx).await?;
    Ok(row)
}

async fn claim_once(
    pool: &PgPool,
    run: RunId,
    owner: &Owner,
    lease: Duration,
    now: Timestamp,
) -> Result<Claim, TxError> {
    let mut tx = pool.begin().await?;
    let row = lock(&mut tx, run).await?.ok_or_else(|| Failure::Bug {
        message: "the run to claim does not exist".to_owned(),
    })?;
    if row.is_superseded || !row.state()?.can_be_claimed() {
        return Ok(Claim::NotRunnable(Box::new(row.try_into()?)));
    }
    match row.held(owner) {
        Some(held) if !held.is_abandoned => return Ok(Claim::Taken(held.holder)),
        Some(held) => {
            let owner = held.holder.owner;
            tracing::info!(run_id = %run, owner, "the process that held the run is gone");
        }
        None => {}
    }
    write_claim(&mut tx, run, owner, lease, now).await?;
    update_status_row(&mut tx, run, now).await?;
    let row: RunRow = sqlx::query_as(BY_ID)
        .bind(run.0)
        .fetch_one(&mut *tx)
        .await?;
    tx.commit().await?;
    let fencing = row.fencing;
    let claimed = Run::try_from(row)?;
    let lease = RunLease {
        run,
        merchant: claimed.merchant,
        fencing_token: fencing,
    };
    Ok(Claim::Granted(lease, Box::new(claimed)))
}

async fn write_claim(
    tx: &mut PgConnection,
    run: RunId,
    owner: &Owner,
    lease: Duration,
    now: Timestamp,
) -> Result<(), TxError> {
    let process = owner.processes.this();
    let process = process.as_ref();
    let claim = sqlx::query(CLAIM)
        .bind(run.0)
        .bind(storable(&owner.name))
        .bind(lease.as_secs_f64())
        .bind(now.to_sqlx())
        .bind(process.map(|process| storable(&process.host)))
        .bind(process.map(|process| i64::from(process.pid)))
        .bind(process.map(|process| process.started.cast_signed()));
    claim.execute(tx).await?;
    Ok(())
}

/// Who holds the run. Unlike a claim this neither locks nor waits, so that an import is not
/// disturbed by those that wait for its end.
pub(crate) async fn held(
    pool: &PgPool,
    run: RunId,
    owner: &Owner,
) -> Result<Option<Held>, TxError> {
    let row: Option<RunRow> = sqlx::query_as(BY_ID)
        .bind(run.0)
        .fetch_optional(pool)
        .await?;
    Ok(row.and_then(|row| row.held(owner)))
}

const EXTEND: &str = "
    UPDATE salla_sync.sync_runs SET lease_until = now() + make_interval(secs => $3)
    WHERE id = $1 AND fencing = $2 AND state = 'IN_PROGRESS'";

pub(crate) async fn extend(pool: &PgPool, lease: RunLease, by: Duration) -> Result<(), TxError> {
    let extended = sqlx::query(EXTEND)
        .bind(lease.run.0)
        .bind(lease.fencing_token)
        .bind(by.as_secs_f64())
        .execute(pool)
        .await?;
    match extended.rows_affected() {
        0 => Err(Failure::LeaseLost.into()),
        _ => Ok(()),
    }
}

/// Through a socket there are no addresses, and through one of this machine's own both are
/// the same.
const CLOCK: &str = "
    SELECT clock_timestamp(), inet_client_addr() IS NOT DISTINCT FROM inet_server_addr()";

/// Where a test has given the database another clock, it is found by the database's own search
/// path.
const BY_ITS_OWN_NAMES: &str = "SET LOCAL search_path TO DEFAULT";

pub(crate) async fn clock(pool: &PgPool) -> Result<DatabaseClock, TxError> {
    let mut tx = pool.begin().await?;
    sqlx::query(BY_ITS_OWN_NAMES).execute(&mut *tx).await?;
    let (now, one_machine): (jiff_sqlx::Timestamp, bool) =
        sqlx::query_as(CLOCK).fetch_one(&mut *tx).await?;
    tx.commit().await?;
    Ok(DatabaseClock {
        now: now.to_jiff(),
        one_machine,
    })
}
