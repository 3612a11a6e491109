//! Runs as jobs: sent, steered, and found again.

mod commands;
mod freshness;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::failure::{DatabaseCause, Disconnection, Failure};
use domain::instant::riyadh_date;
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
use jiff_sqlx::ToSqlx;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::confined::Transactions;
use crate::error::{TxError, with_retries};
use crate::future::{LONGEST_WAIT, lease_lasts};
use crate::ids::new_id;
use crate::queue::{body, send_now};
use crate::runs::endings;
use crate::runs::rows::{RunRow, select_runs};
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

const BY_ID: &str = select_runs!("WHERE r.id = $1");

#[derive(sqlx::FromRow)]
struct ShopRow {
    id: Uuid,
    salla_id: i64,
    name: String,
    plan: String,
}

impl From<ShopRow> for ShopSummary {
    fn from(row: ShopRow) -> Self {
        Self {
            merchant: MerchantId(row.id),
            salla_id: row.salla_id,
            name: row.name,
            plan: row.plan,
        }
    }
}

const SHOP: &str = "SELECT id, salla_id, name, plan FROM salla_sync.merchants WHERE id = $1";

const LIST: &str = select_runs!(
    "WHERE ($1::uuid IS NULL OR r.merchant_id = $1) AND ($2::text IS NULL OR r.state = $2)
     ORDER BY r.number DESC LIMIT $3"
);

const SHOPS: &str = "SELECT id, salla_id, name, plan FROM salla_sync.merchants WHERE id = ANY($1)";

const LOST: &str = "
    SELECT held.id FROM unnest($1::uuid[], $2::bigint[]) AS held (id, fencing)
    WHERE NOT EXISTS (SELECT FROM salla_sync.sync_runs r
                      WHERE r.id = held.id AND r.fencing = held.fencing
                        AND r.state = 'IN_PROGRESS')";

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

/// A connection that is newer than the run's message may not be the one that failed: a worker keeps
/// the connection with which it started the run.
const RECONNECTED: &str = "
    SELECT r.id FROM salla_sync.sync_runs r
    JOIN salla_sync.connections c ON c.merchant_id = r.merchant_id AND c.is_current
    WHERE r.is_job AND r.state = 'FAILED' AND r.superseded_at IS NULL
      AND r.failure_code = ANY($1)
      AND c.state = 'ACTIVE' AND c.bound_at > coalesce(r.sent_at, r.created_at)";

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
        with_retries(&self.clock, "reading a run", || find(&self.pool, run)).await
    }

    async fn shop(&self, merchant: MerchantId) -> Result<Option<ShopSummary>, Failure> {
        with_retries(&self.clock, "reading a shop", || shop(&self.pool, merchant)).await
    }

    async fn list(&self, filter: &RunFilter) -> Result<Vec<(ShopSummary, Run)>, Failure> {
        with_retries(&self.clock, "listing runs", || async {
            let rows: Vec<RunRow> = sqlx::query_as(LIST)
                .bind(filter.merchant.map(|merchant| merchant.0))
                .bind(filter.state.map(RunState::as_str))
                .bind(i64::from(filter.limit))
                .fetch_all(&self.pool)
                .await?;
            let runs: Vec<Run> = rows
                .into_iter()
                .map(Run::try_from)
                .collect::<Result<_, _>>()?;
            let merchants: Vec<Uuid> = runs.iter().map(|run| run.merchant.0).collect();
            let shops: Vec<ShopRow> = sqlx::query_as(SHOPS)
                .bind(merchants)
                .fetch_all(&self.pool)
                .await?;
            let shops: Vec<ShopSummary> = shops.into_iter().map(ShopSummary::from).collect();
            let with_shop = runs.into_iter().filter_map(|run| {
                let shop = shops.iter().find(|shop| shop.merchant == run.merchant)?;
                Some((shop.clone(), run))
            });
            Ok(with_shop.collect())
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
        with_retries(&self.clock, "comparing leases", || async {
            let runs: Vec<Uuid> = leases.iter().map(|lease| lease.run.0).collect();
            let fencing: Vec<i64> = leases.iter().map(|lease| lease.fencing_token).collect();
            let lost: Vec<Uuid> = sqlx::query_scalar(LOST)
                .bind(runs)
                .bind(fencing)
                .fetch_all(&self.pool)
                .await?;
            Ok(lost.into_iter().map(RunId).collect())
        })
        .await
    }

    async fn resend_orphans(&self, grace: Duration) -> Result<Vec<Orphan>, Failure> {
        let now = self.clock.now();
        with_retries(
            &self.clock,
            "sending messages for runs without a worker",
            || async {
                let mut tx = self.pool.begin().await?;
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
                            message: "a run is in a state that is unknown to this version"
                                .to_owned(),
                            cause: DatabaseCause::Setup,
                        })?,
                        resends: row.sent_again.unsigned_abs(),
                    };
                    send(&mut tx, (orphan.merchant, orphan.run), row.months, now).await?;
                    orphans.push(orphan);
                }
                tx.commit().await?;
                Ok(orphans)
            },
        )
        .await
    }

    async fn restart_reconnected(&self) -> Result<Vec<RunId>, Failure> {
        let now = self.clock.now();
        with_retries(
            &self.clock,
            "sending messages for runs of reconnected shops",
            || async {
                // Restarts them as a new request for the same import would.
                let pool = self.transactions.pool();
                let codes: Vec<&str> = Disconnection::ALL.iter().map(|why| why.code()).collect();
                let failed: Vec<Uuid> = sqlx::query_scalar(RECONNECTED)
                    .bind(codes)
                    .fetch_all(pool)
                    .await?;
                let mut sent = Vec::with_capacity(failed.len());
                for id in failed {
                    let Some(run) = find(pool, RunId(id)).await? else {
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
                    let started = commands::start(
                        &self.transactions,
                        ids,
                        &run.options,
                        range,
                        run.catches_up,
                        now,
                    )
                    .await?;
                    sent.push(started.run.id);
                }
                Ok(sent)
            },
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
        with_retries(&self.clock, "looking for stalled runs", || async {
            let rows: Vec<StalledRow> = sqlx::query_as(STALLED)
                .bind(idle.as_secs_f64())
                .bind(now.to_sqlx())
                .fetch_all(&self.pool)
                .await?;
            let stalled = rows.into_iter().map(|row| Stalled {
                run: RunId(row.id),
                merchant: MerchantId(row.merchant_id),
                owner: row.lease_owner.unwrap_or_default(),
                idle: Duration::try_from_secs_f64(row.idle).unwrap_or_default(),
            });
            Ok(stalled.collect())
        })
        .await
    }
}

pub(crate) async fn shop(
    pool: &PgPool,
    merchant: MerchantId,
) -> Result<Option<ShopSummary>, TxError> {
    let row: Option<ShopRow> = sqlx::query_as(SHOP)
        .bind(merchant.0)
        .fetch_optional(pool)
        .await?;
    Ok(row.map(ShopSummary::from))
}

async fn find(pool: &PgPool, run: RunId) -> Result<Option<Run>, TxError> {
    let row: Option<RunRow> = sqlx::query_as(BY_ID)
        .bind(run.0)
        .fetch_optional(pool)
        .await?;
    Ok(row.map(Run::try_from).transpose()?)
}

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
