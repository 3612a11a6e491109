//! Shops to bring up to date.

use std::time::Duration;

use domain::failure::Disconnection;
use domain::shop::MerchantId;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::PgPool;
use uuid::Uuid;

use crate::error::TxError;

/// Each shop has its time in the period, by a hash of its id. It is due when that time has passed
/// since its latest run started or ended and since it was last taken; a time in the future was
/// written while a clock was ahead. Not due are shops without a finished import or a working
/// connection, with an open run, or whose run failed because of the connection. But a run that a
/// command at a terminal left unfinished is resumed. Of two concurrent workers, the second finds
/// the mark of the first.
macro_rules! due {
    ($rest:literal) => {
        concat!(
            "WITH period AS (
        SELECT m.id, m.kept_fresh_at, greatest(m.kept_fresh_at, l.created_at, l.ended_at) AS touched_at,
               mod(('x' || substr(md5(m.id::text), 1, 7))::bit(28)::integer::numeric,
                   $2::numeric) AS phase
        FROM salla_sync.merchants m
        JOIN salla_sync.connections c
          ON c.merchant_id = m.id AND c.is_current AND c.state <> 'DISCONNECTED'
        CROSS JOIN LATERAL (
            SELECT r.created_at, r.ended_at, r.state, r.failure_code, r.is_job,
                   r.lease_until
            FROM salla_sync.sync_runs r
            WHERE r.merchant_id = m.id ORDER BY r.number DESC LIMIT 1) l
        WHERE (l.state IN ('COMPLETED', 'CANCELLED')
               OR l.state = 'FAILED' AND l.failure_code <> ALL ($3)
               OR l.state = 'PENDING' AND NOT l.is_job
               OR l.state = 'IN_PROGRESS' AND NOT l.is_job
                  AND l.lease_until < now() - interval '10 minutes')
          AND EXISTS (
              SELECT FROM salla_sync.sync_runs r
              WHERE r.merchant_id = m.id AND r.state = 'COMPLETED'
                AND r.only_resource IS NULL AND r.max_orders IS NULL)
    ), due AS (
        SELECT id, kept_fresh_at, touched_at FROM period
        WHERE floor((extract(epoch FROM $1::timestamptz) - phase) / $2::numeric)
                > floor((extract(epoch FROM touched_at) - phase) / $2::numeric)
           OR touched_at > $1::timestamptz + make_interval(secs => $2)
    ) ",
            $rest
        )
    };
}

const TAKE_DUE: &str = due!(
    ", taken AS (SELECT id, kept_fresh_at FROM due ORDER BY touched_at LIMIT $4)
    UPDATE salla_sync.merchants m SET kept_fresh_at = $1
    FROM taken
    WHERE m.id = taken.id AND m.kept_fresh_at IS NOT DISTINCT FROM taken.kept_fresh_at
    RETURNING m.id"
);

pub(crate) async fn take_due(
    pool: &PgPool,
    every: Duration,
    most: u32,
    now: Timestamp,
) -> Result<Vec<MerchantId>, TxError> {
    let due: Vec<Uuid> = sqlx::query_scalar(TAKE_DUE)
        .bind(now.to_sqlx())
        .bind(every.as_secs_f64().max(1.0))
        .bind(left_alone())
        .bind(i64::from(most))
        .fetch_all(pool)
        .await?;
    Ok(due.into_iter().map(MerchantId).collect())
}

const COUNT_DUE: &str = due!("SELECT count(*) FROM due");

/// Shops that are paused on purpose, or cannot be read, grow old.
const OLDEST: &str = "
    SELECT extract(epoch FROM $1::timestamptz - min(f.completed_at))::float8
    FROM salla_sync.merchants m
    JOIN salla_sync.connections c
      ON c.merchant_id = m.id AND c.is_current AND c.state <> 'DISCONNECTED'
    CROSS JOIN LATERAL (
        SELECT r.completed_at FROM salla_sync.sync_runs r
        WHERE r.merchant_id = m.id AND r.state = 'COMPLETED'
          AND r.only_resource IS NULL AND r.max_orders IS NULL
        ORDER BY r.number DESC LIMIT 1) f
    WHERE NOT EXISTS (
        SELECT FROM salla_sync.sync_runs p
        WHERE p.merchant_id = m.id AND p.state = 'PAUSED' AND p.superseded_at IS NULL)";

/// How recent the data is of shops that are kept up to date.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShopsFreshness {
    /// Since when the shop is not known to be true that has waited longest.
    pub oldest: Duration,
    /// Those that are due and for which no run was started yet; only where it is known how often
    /// each is.
    pub due: Option<u64>,
}

/// How true the shops are at `now`; `due` only if `every` says how often each is read.
pub(crate) async fn shops_freshness(
    pool: &PgPool,
    every: Option<Duration>,
    now: Timestamp,
) -> Result<ShopsFreshness, sqlx::Error> {
    let oldest: Option<f64> = sqlx::query_scalar(OLDEST)
        .bind(now.to_sqlx())
        .fetch_one(pool)
        .await?;
    let due: Option<i64> = match every {
        Some(every) => sqlx::query_scalar(COUNT_DUE)
            .bind(now.to_sqlx())
            .bind(every.as_secs_f64().max(1.0))
            .bind(left_alone())
            .fetch_one(pool)
            .await
            .map(Some)?,
        None => None,
    };
    Ok(ShopsFreshness {
        oldest: Duration::try_from_secs_f64(oldest.unwrap_or(0.0)).unwrap_or_default(),
        due: due.map(i64::cast_unsigned),
    })
}

fn left_alone() -> Vec<&'static str> {
    Disconnection::ALL.iter().map(|why| why.code()).collect()
}
