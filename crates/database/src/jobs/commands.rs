//! Starting a run, and what people want of one that exists.

use domain::run::{RunCommand, RunId, RunState, Transition};
use domain::shop::MerchantId;
use domain::window::DayRange;
use importer::ports::jobs::{CommandOutcome, StartedRun};
use importer::ports::runs::{CatchUp, Run, RunOptions};
use jiff::Timestamp;
use sqlx::{PgConnection, PgPool};

use crate::confined::Transactions;
use crate::error::TxError;
use crate::jobs::{find, is_on_its_way, send};
use crate::runs::claims::{by_id, create_or_join_in, lock, take_turns, with_frozen_sessions_ended};
use crate::runs::endings::update_status_row;
use crate::runs::latest_finished_id;

const RESTART_COUNTING: &str = "UPDATE salla_sync.sync_runs SET sent_again = 0 WHERE id = $1";

pub(crate) async fn start(
    transactions: &Transactions,
    ids: (MerchantId, RunId),
    options: &RunOptions,
    range: DayRange,
    catch_up: Option<CatchUp>,
    now: Timestamp,
) -> Result<StartedRun, TxError> {
    let mut tx = transactions.begin(ids.0).await?;
    let started = start_in(&mut tx, ids, options, range, catch_up, now).await?;
    tx.commit().await?;
    Ok(started)
}

/// While others wait for their turn no run of the shop can be created, and an open one is joined:
/// the run to continue from stays the latest finished one.
pub(crate) async fn start_catching_up(
    transactions: &Transactions,
    ids: (MerchantId, RunId),
    options: &RunOptions,
    range: DayRange,
    catch_up: CatchUp,
    now: Timestamp,
) -> Result<Option<StartedRun>, TxError> {
    let mut tx = transactions.begin(ids.0).await?;
    take_turns(&mut tx, ids.0).await?;
    if latest_finished_id(&mut tx, ids.0).await? != Some(catch_up.since) {
        return Ok(None);
    }
    let started = start_in(&mut tx, ids, options, range, Some(catch_up), now).await?;
    tx.commit().await?;
    Ok(Some(started))
}

async fn start_in(
    tx: &mut PgConnection,
    ids: (MerchantId, RunId),
    options: &RunOptions,
    range: DayRange,
    catch_up: Option<CatchUp>,
    now: Timestamp,
) -> Result<StartedRun, TxError> {
    let run = create_or_join_in(tx, ids, options, range, catch_up, now).await?;
    let is_new = run.id == ids.1;
    let needs_no_message =
        run.holder.is_some() || run.state == RunState::Paused || is_on_its_way(tx, run.id).await?;
    if needs_no_message && run.is_job {
        // Landings and heartbeats write the same row: one that only joins does not wait for them.
        return Ok(StartedRun { run, is_new });
    }
    if needs_no_message {
        adopt_in(tx, run.id).await?;
    } else {
        sqlx::query(RESTART_COUNTING)
            .bind(run.id.0)
            .execute(&mut *tx)
            .await?;
        let months = run.options.months.into();
        send(tx, (run.merchant, run.id), months, now).await?;
    }
    let run = by_id(tx, run.id).await?;
    Ok(StartedRun { run, is_new })
}

const ADOPT: &str = "UPDATE salla_sync.sync_runs SET is_job = true WHERE id = $1";

pub(crate) async fn adopt(pool: &PgPool, run: RunId) -> Result<(), TxError> {
    let mut connection = pool.acquire().await?;
    adopt_in(&mut connection, run).await
}

async fn adopt_in(connection: &mut PgConnection, run: RunId) -> Result<(), TxError> {
    sqlx::query(ADOPT).bind(run.0).execute(connection).await?;
    Ok(())
}

pub(crate) async fn command(
    transactions: &Transactions,
    run: RunId,
    command: RunCommand,
    now: Timestamp,
) -> Result<CommandOutcome, TxError> {
    let pool = transactions.pool();
    with_frozen_sessions_ended(pool, run, || command_once(transactions, run, command, now)).await
}

/// The state alone takes the run from its worker: every write for a run requires IN_PROGRESS.
const CHANGE: &str = "
    UPDATE salla_sync.sync_runs SET
        state = $2, lease_owner = NULL, lease_until = NULL, waiting_until = NULL,
        stall_reported_at = NULL, sent_again = 0
    WHERE id = $1";

const ANOTHER_IS_OPEN: &str = "
    SELECT EXISTS (SELECT FROM salla_sync.sync_runs
                   WHERE merchant_id = $1 AND id <> $2
                     AND state NOT IN ('COMPLETED', 'CANCELLED') AND superseded_at IS NULL)";

/// The windows of a run that catches up have gone to the one that was complete after it.
const WAS_OVERTAKEN: &str = "
    SELECT EXISTS (SELECT FROM salla_sync.sync_runs r
                   JOIN salla_sync.sync_runs later
                     ON later.merchant_id = r.merchant_id AND later.number > r.number
                    AND later.since_run = r.since_run
                   WHERE r.id = $1)";

async fn command_once(
    transactions: &Transactions,
    id: RunId,
    command: RunCommand,
    now: Timestamp,
) -> Result<CommandOutcome, TxError> {
    let Some(found) = find(transactions.pool(), id).await? else {
        return Ok(CommandOutcome::Unknown);
    };
    let mut tx = transactions.begin(found.merchant).await?;
    take_turns(&mut tx, found.merchant).await?;
    let Some(row) = lock(&mut tx, id).await? else {
        return Ok(CommandOutcome::Unknown);
    };
    let is_superseded = row.is_superseded;
    let run = Box::new(Run::try_from(row)?);
    let next = match run.state.transition(command) {
        Transition::Unchanged => return Ok(CommandOutcome::Unchanged(run)),
        Transition::Refused(why) => return Ok(CommandOutcome::Refused(run, why)),
        Transition::To(_) if is_superseded => {
            return Ok(CommandOutcome::Refused(
                run,
                "another import of this shop was started instead of resuming it",
            ));
        }
        Transition::To(next) => next,
    };
    if next == RunState::Pending {
        let another: bool = sqlx::query_scalar(ANOTHER_IS_OPEN)
            .bind(run.merchant.0)
            .bind(id.0)
            .fetch_one(&mut *tx)
            .await?;
        if another {
            return Ok(CommandOutcome::Refused(
                run,
                "another run of this shop is open; see `runs list`",
            ));
        }
    }
    let was_overtaken: bool = sqlx::query_scalar(WAS_OVERTAKEN)
        .bind(id.0)
        .fetch_one(&mut *tx)
        .await?;
    if next == RunState::Pending && was_overtaken {
        return Ok(CommandOutcome::Refused(
            run,
            "a later run has taken over its records; `runs start` fetches what has changed since",
        ));
    }
    let change = sqlx::query(CHANGE).bind(id.0).bind(next.as_str());
    change.execute(&mut *tx).await?;
    update_status_row(&mut tx, id, now).await?;
    if next == RunState::Pending {
        send(&mut tx, (run.merchant, id), run.options.months.into(), now).await?;
    }
    let run = by_id(&mut tx, id).await?;
    tx.commit().await?;
    Ok(CommandOutcome::Applied(Box::new(run)))
}
