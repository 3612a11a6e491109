//! Runs as jobs: sent, steered, and found again.

mod commands;
mod freshness;
pub(crate) mod overview;
mod sweeping;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::failure::Failure;
use domain::job::HistoricalSync;
use domain::run::{RunCommand, RunId, RunState};
use domain::shop::MerchantId;
use domain::window::DayRange;
use importer::metrics;
use importer::ports::clock::Clock;
use importer::ports::jobs::{CommandOutcome, Jobs, Orphan, RunFilter, Stalled, StartedRun};
use importer::ports::landing::RunLease;
use importer::ports::queue::QueueName;
use importer::ports::runs::{CatchUp, Run, RunOptions, ShopSummary};
use jiff::Timestamp;
use sqlx::{PgConnection, PgPool};

use crate::confined::Transactions;
use crate::error::{TxError, with_retries};
use crate::ids::new_id;
use crate::queue::{body, send_now};
use crate::runs::endings;
pub use freshness::ShopsFreshness;
pub(crate) use freshness::shops_freshness;

/// [`Jobs`] on PostgreSQL, with the queue in the same database.
#[derive(Clone, Debug)]
pub struct PostgresJobs {
    pool: PgPool,
    transactions: Transactions,
    clock: Arc<dyn Clock>,
}

impl PostgresJobs {
    pub(crate) fn new(transactions: Transactions, clock: Arc<dyn Clock>) -> Self {
        Self {
            pool: transactions.pool().clone(),
            transactions,
            clock,
        }
    }
}

#[async_trait]
impl Jobs for PostgresJobs {
    async fn start(
        &self,
        merchant: MerchantId,
        options: &RunOptions,
        range: DayRange,
    ) -> Result<StartedRun, Failure> {
        let now = self.clock.now();
        let id = RunId(new_id(now));
        with_retries(&self.clock, "starting a run", || {
            commands::start(
                &self.transactions,
                (merchant, id),
                options,
                range,
                None,
                now,
            )
        })
        .await
    }

    async fn start_catching_up(
        &self,
        merchant: MerchantId,
        options: &RunOptions,
        range: DayRange,
        catch_up: CatchUp,
    ) -> Result<Option<StartedRun>, Failure> {
        let now = self.clock.now();
        let id = RunId(new_id(now));
        with_retries(&self.clock, "starting a run that catches up", || {
            commands::start_catching_up(
                &self.transactions,
                (merchant, id),
                options,
                range,
                catch_up,
                now,
            )
        })
        .await
    }

    async fn adopt(&self, run: RunId) -> Result<(), Failure> {
        with_retries(&self.clock, "making a job of a run", || {
            commands::adopt(&self.pool, run)
        })
        .await
    }

    async fn find(&self, run: RunId) -> Result<Option<Run>, Failure> {
        with_retries(&self.clock, "reading a run", || {
            overview::find(&self.pool, run)
        })
        .await
    }

    async fn shop(&self, merchant: MerchantId) -> Result<Option<ShopSummary>, Failure> {
        with_retries(&self.clock, "reading a shop", || {
            overview::shop(&self.pool, merchant)
        })
        .await
    }

    async fn list(&self, filter: &RunFilter) -> Result<Vec<(ShopSummary, Run)>, Failure> {
        with_retries(&self.clock, "listing runs", || {
            overview::list(&self.pool, filter)
        })
        .await
    }

    async fn command(&self, run: RunId, command: RunCommand) -> Result<CommandOutcome, Failure> {
        let now = self.clock.now();
        with_retries(&self.clock, "changing a run's state", || {
            commands::command(&self.transactions, run, command, now)
        })
        .await
    }

    async fn lost_leases(&self, leases: &[RunLease]) -> Result<Vec<RunId>, Failure> {
        with_retries(&self.clock, "comparing leases", || {
            sweeping::lost(&self.pool, leases)
        })
        .await
    }

    async fn resend_orphans(&self, grace: Duration) -> Result<Vec<Orphan>, Failure> {
        let now = self.clock.now();
        with_retries(
            &self.clock,
            "sending messages for runs without a worker",
            || sweeping::resend_orphans(&self.pool, grace, now),
        )
        .await
    }

    async fn restart_reconnected(&self) -> Result<Vec<RunId>, Failure> {
        let now = self.clock.now();
        with_retries(
            &self.clock,
            "sending messages for runs of reconnected shops",
            || sweeping::restart_reconnected(&self.transactions, now),
        )
        .await
    }

    async fn take_due(&self, every: Duration, most: u32) -> Result<Vec<MerchantId>, Failure> {
        let now = self.clock.now();
        with_retries(&self.clock, "looking for shops that are due", || {
            freshness::take_due(&self.pool, every, most, now)
        })
        .await
    }

    async fn fail_orphan(&self, run: RunId, failure: &Failure) -> Result<(), Failure> {
        let now = self.clock.now();
        with_retries(&self.clock, "failing a run", || {
            endings::give_up(&self.pool, run, failure, now)
        })
        .await
        .inspect(|()| metrics::run_ended(RunState::Failed, Some(failure)))
    }

    async fn newly_stalled(&self, idle: Duration) -> Result<Vec<Stalled>, Failure> {
        let now = self.clock.now();
        with_retries(&self.clock, "looking for stalled runs", || {
            sweeping::newly_stalled(&self.pool, idle, now)
        })
        .await
    }
}

/// Runs of other depths are those of the import command; the database decides the depth
/// of a run that is there, and a message may only say 12 or 24.
fn depth(months: i32) -> u16 {
    match months {
        ..=12 => 12,
        _ => 24,
    }
}

/// A message that names no run may be for this one as well; one too many does no harm.
const ON_ITS_WAY: &str = "
    SELECT EXISTS (SELECT FROM salla_sync.queue_messages
                   WHERE queue = 'historical-sync' AND strpos(body, $1::text) > 0)";

async fn is_on_its_way(tx: &mut PgConnection, run: RunId) -> Result<bool, TxError> {
    let is_there = sqlx::query_scalar(ON_ITS_WAY)
        .bind(run.to_string())
        .fetch_one(tx)
        .await?;
    Ok(is_there)
}

const MARK_SENT: &str = "
    UPDATE salla_sync.sync_runs SET is_job = true, sent_at = now() WHERE id = $1";

/// Sends the message for a run as part of the caller's transaction.
async fn send(
    tx: &mut PgConnection,
    (merchant, run): (MerchantId, RunId),
    months: i32,
    now: Timestamp,
) -> Result<(), TxError> {
    sqlx::query(MARK_SENT).bind(run.0).execute(&mut *tx).await?;
    let job = HistoricalSync {
        merchant,
        run: Some(run),
        months: depth(months),
    };
    send_now(tx, QueueName::HistoricalSync, &body(job.to_json())?, now).await?;
    Ok(())
}
