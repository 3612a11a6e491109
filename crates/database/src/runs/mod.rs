//! The life of runs.

mod certificate;
pub(crate) mod claims;
pub(crate) mod counting;
pub(crate) mod endings;
mod listings;
pub(crate) mod rows;
mod windows;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::ceiling::Ceiling;
use domain::certificate::Certificate;
use domain::failure::Failure;
use domain::run::{RunId, RunState};
use domain::shop::{MerchantId, ShopInfo};
use domain::window::DayRange;
use importer::metrics;
use importer::ports::clock::Clock;
use importer::ports::landing::RunLease;
use importer::ports::runs::{
    CatchUp, ChangeHead, Claim, DatabaseClock, Finished, Held, Owner, Run, RunOptions, Runs,
    ShopSummary,
};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::types::Json;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::columns::{optional, storable};
use crate::confined::Transactions;
use crate::error::{TxError, with_long_retries, with_retries};
use crate::ids::new_id;
use crate::runs::rows::{RunRow, select_runs};
use crate::transaction::begin_leased;

/// [`Runs`] on PostgreSQL.
///
/// Times that people read come from the clock of the import; leases go by the
/// database's, so that all workers agree on them.
#[derive(Clone, Debug)]
pub struct PostgresRuns {
    pool: PgPool,
    transactions: Transactions,
    clock: Arc<dyn Clock>,
}

impl PostgresRuns {
    pub(crate) fn new(transactions: Transactions, clock: Arc<dyn Clock>) -> Self {
        Self {
            pool: transactions.pool().clone(),
            transactions,
            clock,
        }
    }
}

/// What Salla does not send this time stays as it was.
const ENSURE_MERCHANT: &str = "
    INSERT INTO salla_sync.merchants AS m
        (id, salla_id, name, plan, kind, status, currency, domain, created_at, updated_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)
    ON CONFLICT (salla_id) DO UPDATE SET
        name = excluded.name, plan = excluded.plan,
        kind = coalesce(excluded.kind, m.kind), status = coalesce(excluded.status, m.status),
        currency = coalesce(excluded.currency, m.currency),
        domain = coalesce(excluded.domain, m.domain), updated_at = excluded.updated_at
    RETURNING id";

const LATEST: &str = select_runs!("WHERE r.merchant_id = $1 ORDER BY r.number DESC LIMIT 1");

const LATEST_OF_EVERYTHING: &str = select_runs!(
    "WHERE r.merchant_id = $1 AND r.only_resource IS NULL ORDER BY r.number DESC LIMIT 1"
);

const COMPLETED_DAYS: &str = "
    SELECT range_from, range_to FROM salla_sync.sync_runs
    WHERE merchant_id = $1 AND state = 'COMPLETED' AND max_orders IS NULL
      AND (only_resource IS NULL OR only_resource = 'orders')
    ORDER BY number DESC";

const SHOPS: &str =
    "SELECT id, salla_id, name, plan FROM salla_sync.merchants ORDER BY name, salla_id";

const LATEST_OF_ALL: &str = select_runs!(
    "WHERE r.number IN (SELECT max(number) FROM salla_sync.sync_runs GROUP BY merchant_id)"
);

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

/// Of orders of the run's own days. What is left of others is taken by a run that lists them.
const TAKE_PENDING: &str = former_runs!(
    "UPDATE salla_sync.pending_details p SET run_id = $1
     FROM former f, salla_sync.sync_runs r
     WHERE f.id = p.run_id AND r.id = $1
       AND (p.created_at AT TIME ZONE 'UTC' + interval '3 hours')::date >= r.range_from"
);

/// An earlier attempt may have begun to read older days than are wanted now.
const DROP_OLDER_WINDOWS: &str = "
    UPDATE salla_sync.sync_windows w SET replaced_at = $2
    FROM salla_sync.sync_runs r
    WHERE r.id = $1 AND w.run_id = r.id AND w.resource = 'orders' AND w.replaced_at IS NULL
      AND w.day_from < r.range_from";

/// Of a window that is scanned again and again every scan would be kept forever. The last two
/// prove it.
const FORGET_EARLIER_SCANS: &str = "
    DELETE FROM salla_sync.sync_pages p USING salla_sync.sync_windows w
    WHERE w.run_id = $1 AND p.window_id = w.id AND p.walk < w.walk - 1";

const SAVE_HEAD: &str = "UPDATE salla_sync.sync_runs SET change_head = $2 WHERE id = $1";

const CEILING: &str = "SELECT list_ceiling FROM salla_sync.merchants WHERE id = $1";

const REMEMBER_CEILING: &str = "
    UPDATE salla_sync.merchants SET list_ceiling = $2 WHERE id = $1";

#[async_trait]
impl Runs for PostgresRuns {
    async fn database_clock(&self) -> Result<DatabaseClock, Failure> {
        with_retries(&self.clock, "reading PostgreSQL's time", || {
            claims::clock(&self.pool)
        })
        .await
    }

    async fn ensure_merchant(&self, shop: &ShopInfo) -> Result<MerchantId, Failure> {
        let now = self.clock.now();
        let new_id = new_id(now);
        with_retries(&self.clock, "storing the shop", || async {
            let id = sqlx::query_scalar(ENSURE_MERCHANT)
                .bind(new_id)
                .bind(shop.salla_id)
                .bind(storable(&shop.name))
                .bind(storable(shop.plan.name()))
                .bind(optional(&shop.kind))
                .bind(optional(&shop.status))
                .bind(optional(&shop.currency))
                .bind(optional(&shop.domain))
                .bind(now.to_sqlx())
                .fetch_one(&self.pool)
                .await?;
            Ok(MerchantId(id))
        })
        .await
    }

    async fn latest_full(&self, merchant: MerchantId) -> Result<Option<Run>, Failure> {
        self.one_of(merchant, LATEST_OF_EVERYTHING).await
    }

    async fn completed_days(&self, merchant: MerchantId) -> Result<Vec<DayRange>, Failure> {
        with_retries(&self.clock, "reading the finished runs", || async {
            let rows: Vec<(jiff_sqlx::Date, jiff_sqlx::Date)> = sqlx::query_as(COMPLETED_DAYS)
                .bind(merchant.0)
                .fetch_all(&self.pool)
                .await?;
            let days = rows.into_iter().map(|(from, to)| DayRange {
                from: from.to_jiff(),
                to: to.to_jiff(),
            });
            Ok(days.collect())
        })
        .await
    }

    async fn latest(&self, merchant: MerchantId) -> Result<Option<Run>, Failure> {
        self.one_of(merchant, LATEST).await
    }

    async fn list(&self) -> Result<Vec<(ShopSummary, Option<Run>)>, Failure> {
        with_retries(&self.clock, "listing runs", || async {
            let shops = sqlx::query_as(SHOPS).fetch_all(&self.pool).await?;
            let rows: Vec<RunRow> = sqlx::query_as(LATEST_OF_ALL).fetch_all(&self.pool).await?;
            let mut latest = HashMap::new();
            for row in rows {
                let run = Run::try_from(row)?;
                latest.insert(run.merchant, run);
            }
            let overview = shops.into_iter().map(|(id, salla_id, name, plan)| {
                let shop = ShopSummary {
                    merchant: MerchantId(id),
                    salla_id,
                    name,
                    plan,
                };
                let run = latest.remove(&shop.merchant);
                (shop, run)
            });
            Ok(overview.collect())
        })
        .await
    }

    async fn create_or_join(
        &self,
        merchant: MerchantId,
        options: &RunOptions,
        range: DayRange,
        catch_up: Option<CatchUp>,
    ) -> Result<Run, Failure> {
        let now = self.clock.now();
        let id = RunId(new_id(now));
        let doing = match catch_up {
            None => "creating a run",
            Some(_) => "creating a run that catches up",
        };
        with_retries(&self.clock, doing, || {
            claims::create_or_join(&self.pool, (merchant, id), options, range, catch_up, now)
        })
        .await
    }

    async fn latest_finished(&self, merchant: MerchantId) -> Result<Option<Finished>, Failure> {
        with_retries(&self.clock, "reading the latest finished run", || async {
            let mut tx = self.transactions.begin(merchant).await?;
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
        })
        .await
    }

    async fn take_over(&self, lease: RunLease, since: RunId) -> Result<(), Failure> {
        let now = self.clock.now();
        with_long_retries(&self.clock, "copying what a run has listed", || async {
            let mut tx = begin_leased(&self.pool, lease).await?;
            for sql in [TAKE_REJECTIONS, TAKE_PENDING, TAKE_WINDOWS] {
                let take = sqlx::query(sql)
                    .bind(lease.run.0)
                    .bind(lease.merchant.0)
                    .bind(since.0);
                take.execute(&mut *tx).await?;
            }
            let drop_older = sqlx::query(DROP_OLDER_WINDOWS).bind(lease.run.0);
            drop_older.bind(now.to_sqlx()).execute(&mut *tx).await?;
            let forget = sqlx::query(FORGET_EARLIER_SCANS).bind(lease.run.0);
            forget.execute(&mut *tx).await?;
            tx.commit().await?;
            Ok(())
        })
        .await
    }

    async fn save_change_head(&self, lease: RunLease, head: &ChangeHead) -> Result<(), Failure> {
        with_retries(&self.clock, "storing where changes begin", || async {
            let mut tx = begin_leased(&self.pool, lease).await?;
            let save = sqlx::query(SAVE_HEAD).bind(lease.run.0).bind(Json(head));
            save.execute(&mut *tx).await?;
            tx.commit().await?;
            Ok(())
        })
        .await
    }

    async fn ceiling(&self, merchant: MerchantId) -> Result<Ceiling, Failure> {
        with_retries(&self.clock, "reading where lists stop", || async {
            let rows: Option<Option<i64>> = sqlx::query_scalar(CEILING)
                .bind(merchant.0)
                .fetch_optional(&self.pool)
                .await?;
            Ok(ceiling_of(rows.flatten()))
        })
        .await
    }

    async fn remember_ceiling(&self, lease: RunLease, ceiling: Ceiling) -> Result<(), Failure> {
        with_retries(&self.clock, "storing where lists stop", || async {
            let mut tx = begin_leased(&self.pool, lease).await?;
            sqlx::query(REMEMBER_CEILING)
                .bind(lease.merchant.0)
                .bind(ceiling.learned().map(u64::cast_signed))
                .execute(&mut *tx)
                .await?;
            tx.commit().await?;
            Ok(())
        })
        .await
    }

    async fn claim(&self, run: RunId, owner: &Owner, lease: Duration) -> Result<Claim, Failure> {
        let now = self.clock.now();
        with_retries(&self.clock, "claiming a run", || {
            claims::claim(&self.pool, run, owner, lease, now)
        })
        .await
    }

    async fn held(&self, run: RunId, owner: &Owner) -> Result<Option<Held>, Failure> {
        with_retries(&self.clock, "reading who holds a run", || {
            claims::held(&self.pool, run, owner)
        })
        .await
    }

    async fn extend_lease(&self, lease: RunLease, by: Duration) -> Result<(), Failure> {
        with_retries(&self.clock, "extending a lease", || {
            claims::extend(&self.pool, lease, by)
        })
        .await
    }

    async fn release(&self, lease: RunLease, wait: Option<Duration>) -> Result<(), Failure> {
        let now = self.clock.now();
        with_retries(&self.clock, "releasing a run", || {
            endings::release(&self.pool, lease, wait, now)
        })
        .await
        .inspect(|()| metrics::run_ended(RunState::Pending, None))
    }

    async fn wait(&self, lease: RunLease, until: Timestamp, why: &Failure) -> Result<(), Failure> {
        let now = self.clock.now();
        with_retries(&self.clock, "setting a run to wait", || {
            endings::wait(&self.pool, lease, until, why, now)
        })
        .await
        .inspect(|()| metrics::run_ended(RunState::Waiting, Some(why)))
    }

    async fn report_progress(
        &self,
        lease: RunLease,
        percent: u8,
        waits_until: Option<Timestamp>,
    ) -> Result<(), Failure> {
        let now = self.clock.now();
        with_retries(&self.clock, "recording the progress", || {
            endings::report(&self.pool, lease, percent, waits_until, now)
        })
        .await
    }

    async fn certify(&self, lease: RunLease, as_of: Timestamp) -> Result<Certificate, Failure> {
        with_long_retries(&self.clock, "certifying a run", || {
            certificate::certify(&self.pool, lease, as_of)
        })
        .await
    }

    async fn complete(&self, lease: RunLease, certificate: &Certificate) -> Result<(), Failure> {
        let now = self.clock.now();
        with_retries(&self.clock, "completing a run", || {
            endings::complete(&self.pool, lease, certificate, now)
        })
        .await
        .inspect(|()| metrics::run_ended(RunState::Completed, None))
    }

    async fn fail(
        &self,
        lease: RunLease,
        failure: &Failure,
        certificate: Option<&Certificate>,
    ) -> Result<(), Failure> {
        let now = self.clock.now();
        with_retries(&self.clock, "recording a failure", || {
            endings::fail(&self.pool, lease, failure, certificate, now)
        })
        .await
        .inspect(|()| metrics::run_ended(RunState::Failed, Some(failure)))
    }
}

impl PostgresRuns {
    async fn one_of(
        &self,
        merchant: MerchantId,
        sql: &'static str,
    ) -> Result<Option<Run>, Failure> {
        with_retries(&self.clock, "reading the latest run", || async {
            let row: Option<RunRow> = sqlx::query_as(sql)
                .bind(merchant.0)
                .fetch_optional(&self.pool)
                .await?;
            Ok(row.map(Run::try_from).transpose()?)
        })
        .await
    }
}

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

pub(crate) fn ceiling_of(rows: Option<i64>) -> Ceiling {
    rows.map_or(Ceiling::UNKNOWN, |rows| Ceiling::of(rows.cast_unsigned()))
}
