//! A budget that processes share, as rows that age out.
//!
//! All times are the database's: behind one address there may be machines whose clocks differ, and
//! the one that runs ahead would grant permits too early. What lies further in the future than
//! anything may was written while that clock was ahead. Where the given clock runs faster than the
//! wall's, as in a simulation, durations are converted.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::failure::Failure;
use importer::ports::clock::Clock;
use importer::ports::shared_budget::{BudgetRules, BudgetUsage, Grant, GrantId, SharedBudget};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::error::{TxError, with_retries};
use crate::ids::new_id;

/// Which budget, and whose: processes with the same key share it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetKey {
    pub egress_group: String,
    pub budget: &'static str,
}

/// [`SharedBudget`] on PostgreSQL, for one process.
#[derive(Debug)]
pub struct PostgresBudget {
    pool: PgPool,
    clock: Arc<dyn Clock>,
    key: BudgetKey,
    rules: BudgetRules,
    taker: Uuid,
}

impl PostgresBudget {
    pub fn new(pool: PgPool, clock: Arc<dyn Clock>, key: BudgetKey, rules: BudgetRules) -> Self {
        let taker = new_id(clock.now());
        Self {
            pool,
            clock,
            key,
            rules,
            taker,
        }
    }

    /// From the given clock to the database's.
    fn in_database(&self, duration: Duration) -> f64 {
        duration.as_secs_f64() / self.clock.rate()
    }

    fn on_our_clock(&self, duration: Duration) -> Duration {
        duration.mul_f64(self.clock.rate())
    }

    async fn try_to_take(&self, id: Uuid, wanted: u32) -> Result<Grant, TxError> {
        let mut tx = self.pool.begin().await?;
        let held = lock(&mut tx, &self.key).await?;
        let standing = current_usage(&mut tx, self, held.now).await?;
        let given = match held.refused_for {
            Some(_) => 0,
            None => self.rules.fair_share(wanted, standing.counted),
        };
        if given > 0 {
            insert_grant(&mut tx, self, id, given, held.now).await?;
        }
        record_demand(&mut tx, self, given < wanted, held.now).await?;
        tx.commit().await?;
        if given > 0 {
            return Ok(Grant::Permits {
                id: GrantId(id),
                permits: given,
                usable_for: self.rules.usable_for,
            });
        }
        let is_full = standing.counted.all >= self.rules.limit;
        let free_in = if is_full { standing.free_in } else { None };
        let wait = held.refused_for.or(free_in);
        let wait = wait.map_or(MIN_RETRY_AFTER, |wait| self.on_our_clock(wait));
        Ok(Grant::Exhausted {
            retry_after: wait.clamp(MIN_RETRY_AFTER, BudgetRules::MAX_RETRY_AFTER),
        })
    }
}

/// What is free is kept for others who want it and come any moment.
const MIN_RETRY_AFTER: Duration = Duration::from_millis(200);

#[async_trait]
impl SharedBudget for PostgresBudget {
    async fn acquire(&self, wanted: u32) -> Result<Grant, Failure> {
        with_retries(&self.clock, "taking from a shared budget", || {
            // Another id each time: permits of a lost response expire automatically.
            self.try_to_take(new_id(self.clock.now()), wanted)
        })
        .await
    }

    async fn return_unused(&self, grant: GrantId, permits: u32) -> Result<(), Failure> {
        // Not retried: returning permits twice would allow too many requests, and not returning
        // them only allows too few.
        give_back(&self.pool, grant, permits)
            .await
            .map_err(|error| error.into_failure("returning permits to a shared budget"))
    }

    async fn report_refusal(&self, wait: Duration) -> Result<(), Failure> {
        with_retries(&self.clock, "pausing a shared budget", || {
            pause_grants(&self.pool, &self.key, self.in_database(wait))
        })
        .await
    }
}

/// The locked row of the budget.
struct LockedBudget {
    now: Timestamp,
    refused_for: Option<Duration>,
}

/// The clock is read once the lock is held. An upsert that changes nothing locks the row
/// just as one that inserts it does.
async fn lock(tx: &mut PgConnection, key: &BudgetKey) -> Result<LockedBudget, TxError> {
    let (now, seconds): (jiff_sqlx::Timestamp, f64) = sqlx::query_as(
        "INSERT INTO salla_sync.shared_budgets AS b (egress_group, budget) VALUES ($1, $2)
         ON CONFLICT (egress_group, budget) DO UPDATE SET refused_until = b.refused_until
         RETURNING clock_timestamp(),
             CASE WHEN b.refused_until > clock_timestamp()
                   AND b.refused_until <= clock_timestamp() + interval '30 hours'
                  THEN extract(epoch FROM b.refused_until - clock_timestamp())::float8
                  ELSE 0 END",
    )
    .bind(&key.egress_group)
    .bind(key.budget)
    .fetch_one(tx)
    .await?;
    Ok(LockedBudget {
        now: now.to_jiff(),
        refused_for: (seconds > 0.0).then(|| Duration::from_secs_f64(seconds)),
    })
}

struct BudgetUsageRow {
    counted: BudgetUsage,
    /// When the first of what counts now does so no longer.
    free_in: Option<Duration>,
}

async fn current_usage(
    tx: &mut PgConnection,
    budget: &PostgresBudget,
    now: Timestamp,
) -> Result<BudgetUsageRow, TxError> {
    let key = &budget.key;
    // One statement, because each costs a round trip. It does not see what it deletes itself,
    // so both parts say what has aged out.
    let (all, own, free_in, others): (i64, i64, Option<f64>, i64) = sqlx::query_as(
        "WITH grants AS MATERIALIZED (
             SELECT id, taker, permits, counted_until,
                 counted_until > $4
                     AND counted_until <= $4 + make_interval(secs => $6) + interval '1 minute'
                     AS counts
             FROM salla_sync.budget_grants
             WHERE egress_group = $1 AND budget = $2
         ), aged_out AS (
             DELETE FROM salla_sync.budget_grants
             WHERE id IN (SELECT id FROM grants WHERE NOT counts)
         )
         SELECT coalesce(sum(g.permits), 0),
             coalesce(sum(g.permits) FILTER (WHERE g.taker = $3), 0),
             extract(epoch FROM min(g.counted_until) - $4)::float8,
             (SELECT count(*) FROM salla_sync.budget_takers t
              WHERE t.egress_group = $1 AND t.budget = $2 AND t.taker <> $3
                AND t.asked_at > $4 - make_interval(secs => $5)
                AND t.asked_at <= $4 + interval '1 minute')
         FROM grants g WHERE g.counts",
    )
    .bind(&key.egress_group)
    .bind(key.budget)
    .bind(budget.taker)
    .bind(now.to_sqlx())
    .bind(budget.in_database(BudgetRules::DEMAND_TTL))
    .bind(budget.in_database(budget.rules.counted_for()))
    .fetch_one(tx)
    .await?;
    let count = |number: i64| u32::try_from(number).unwrap_or(u32::MAX);
    Ok(BudgetUsageRow {
        counted: BudgetUsage {
            all: count(all),
            own: count(own),
            other_takers: count(others),
        },
        free_in: free_in.map(|seconds| Duration::from_secs_f64(seconds.max(0.0))),
    })
}

async fn insert_grant(
    tx: &mut PgConnection,
    budget: &PostgresBudget,
    id: Uuid,
    permits: u32,
    now: Timestamp,
) -> Result<(), TxError> {
    sqlx::query(
        "INSERT INTO salla_sync.budget_grants
             (id, egress_group, budget, taker, permits, counted_until)
         VALUES ($1, $2, $3, $4, $5, $6 + make_interval(secs => $7))",
    )
    .bind(id)
    .bind(&budget.key.egress_group)
    .bind(budget.key.budget)
    .bind(budget.taker)
    .bind(i32::try_from(permits).unwrap_or(i32::MAX))
    .bind(now.to_sqlx())
    .bind(budget.in_database(budget.rules.counted_for()))
    .execute(tx)
    .await?;
    Ok(())
}

/// Rows of processes that no longer want permits are deleted with the next one that is satisfied.
async fn record_demand(
    tx: &mut PgConnection,
    budget: &PostgresBudget,
    is_hungry: bool,
    now: Timestamp,
) -> Result<(), TxError> {
    let statement = if is_hungry {
        "INSERT INTO salla_sync.budget_takers (egress_group, budget, taker, asked_at)
         VALUES ($1, $2, $3, $4)
         ON CONFLICT (egress_group, budget, taker) DO UPDATE SET asked_at = excluded.asked_at"
    } else {
        "DELETE FROM salla_sync.budget_takers
         WHERE egress_group = $1 AND budget = $2
           AND (taker = $3 OR asked_at < $4 - interval '1 hour'
                OR asked_at > $4 + interval '1 minute')"
    };
    sqlx::query(statement)
        .bind(&budget.key.egress_group)
        .bind(budget.key.budget)
        .bind(budget.taker)
        .bind(now.to_sqlx())
        .execute(tx)
        .await?;
    Ok(())
}

/// One statement, because each costs a round trip. Of a block that has aged out nothing counts
/// any more.
async fn give_back(pool: &PgPool, grant: GrantId, permits: u32) -> Result<(), TxError> {
    sqlx::query(
        "WITH held AS MATERIALIZED (
             SELECT id, permits FROM salla_sync.budget_grants WHERE id = $1 FOR UPDATE
         ), fewer AS (
             UPDATE salla_sync.budget_grants b SET permits = b.permits - $2
             FROM held WHERE b.id = held.id AND held.permits > $2
         )
         DELETE FROM salla_sync.budget_grants b
         USING held WHERE b.id = held.id AND held.permits <= $2",
    )
    .bind(grant.0)
    .bind(i32::try_from(permits).unwrap_or(i32::MAX))
    .execute(pool)
    .await?;
    Ok(())
}

async fn pause_grants(pool: &PgPool, key: &BudgetKey, seconds: f64) -> Result<(), TxError> {
    sqlx::query(
        "INSERT INTO salla_sync.shared_budgets AS b (egress_group, budget, refused_until)
         VALUES ($1, $2, clock_timestamp() + make_interval(secs => $3))
         ON CONFLICT (egress_group, budget) DO UPDATE
         SET refused_until = CASE
             WHEN b.refused_until <= clock_timestamp() + interval '30 hours'
             THEN greatest(b.refused_until, excluded.refused_until)
             ELSE excluded.refused_until END",
    )
    .bind(&key.egress_group)
    .bind(key.budget)
    .bind(seconds)
    .execute(pool)
    .await?;
    Ok(())
}
