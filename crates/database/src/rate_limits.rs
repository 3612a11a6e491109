//! How often callers may do what is worth trying many times.
//!
//! One moment for each caller and rule (the generic cell rate algorithm): when the whole limit is
//! there again. Each use moves it ahead by its share of the period, and a use that would move it
//! further than one period from now is refused.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::failure::Failure;
use importer::ports::api_access::{RateLimits, Rule, Taken};
use importer::ports::clock::Clock;
use jiff::SignedDuration;
use jiff_sqlx::ToSqlx;
use sqlx::PgPool;

use crate::error::with_retries;

/// [`RateLimits`] on PostgreSQL.
#[derive(Clone, Debug)]
pub struct PostgresRateLimits {
    pub(crate) pool: PgPool,
    pub(crate) clock: Arc<dyn Clock>,
}

/// No row: the limit is used up.
const TAKE: &str = "
    INSERT INTO salla_sync.rate_limits AS r (rule, caller, full_at)
    VALUES ($1, $2, $3::timestamptz + $4)
    ON CONFLICT (rule, caller) DO UPDATE SET full_at = greatest(r.full_at, $3) + $4
    WHERE greatest(r.full_at, $3) + $4 <= $3 + $5
    RETURNING true";

const FULL_AT: &str = "
    SELECT full_at FROM salla_sync.rate_limits WHERE rule = $1 AND caller = $2";

const CLEAR: &str = "DELETE FROM salla_sync.rate_limits WHERE full_at < $1";

fn interval(duration: SignedDuration) -> sqlx::postgres::types::PgInterval {
    sqlx::postgres::types::PgInterval {
        months: 0,
        days: 0,
        microseconds: i64::try_from(duration.as_micros()).unwrap_or(i64::MAX),
    }
}

#[async_trait]
impl RateLimits for PostgresRateLimits {
    async fn take(&self, rule: Rule, caller: &[u8; 32]) -> Result<Taken, Failure> {
        let now = self.clock.now();
        let period = SignedDuration::try_from(rule.per).unwrap_or(SignedDuration::MAX);
        let share = period / i32::try_from(rule.burst).unwrap_or(i32::MAX).max(1);
        with_retries(&self.clock, "counting requests of a caller", || async {
            let granted: Option<bool> = sqlx::query_scalar(TAKE)
                .bind(rule.name)
                .bind(caller.as_slice())
                .bind(now.to_sqlx())
                .bind(interval(share))
                .bind(interval(
                    share * i32::try_from(rule.burst).unwrap_or(i32::MAX),
                ))
                .fetch_optional(&self.pool)
                .await?;
            if granted.is_some() {
                return Ok(Taken::Granted);
            }
            let full_at: Option<jiff_sqlx::Timestamp> = sqlx::query_scalar(FULL_AT)
                .bind(rule.name)
                .bind(caller.as_slice())
                .fetch_optional(&self.pool)
                .await?;
            let full_at = full_at.map_or(now, jiff_sqlx::Timestamp::to_jiff);
            let wait = full_at.duration_since(now) + share - period;
            Ok(Taken::Exhausted {
                retry_after: Duration::try_from(wait).unwrap_or_default(),
            })
        })
        .await
    }

    async fn clear(&self) -> Result<(), Failure> {
        let now = self.clock.now();
        with_retries(
            &self.clock,
            "deleting rate limits that have recovered",
            || async {
                let cleared = sqlx::query(CLEAR).bind(now.to_sqlx());
                cleared.execute(&self.pool).await?;
                Ok(())
            },
        )
        .await
    }
}
