//! The messages that are not dead. Each change is one statement that names the receipt under which
//! it is made, so that a consumer that comes too late changes nothing.

use std::time::Duration;

use importer::ports::queue::{
    ATTEMPTS_EXHAUSTED, Delivery, Depth, Disposition, JobId, QueueName, QueueSettings,
    ReceiptStatus,
};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::postgres::PgQueryResult;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::columns::storable;
use crate::error::TxError;
use crate::ids::job_id;
use crate::queue::wakeups::CHANNEL;
use crate::queue::{Lease, later};

/// A message to send.
#[derive(Debug)]
pub(crate) struct Outgoing<'a> {
    pub(crate) id: Uuid,
    pub(crate) body: &'a str,
    pub(crate) sent_at: Timestamp,
    pub(crate) visible_at: Timestamp,
}

/// A message that is there already was put there by a try whose answer was lost. The
/// notification becomes known with the row, when the transaction commits.
const SEND: &str = "
    WITH sent AS (
        INSERT INTO salla_sync.queue_messages (id, queue, body, sent_at, visible_at)
        VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (id) DO NOTHING
    )
    SELECT pg_notify($6, $2) WHERE $5 <= $4";

pub(crate) async fn send(
    connection: &mut PgConnection,
    queue: QueueName,
    message: &Outgoing<'_>,
) -> Result<(), TxError> {
    sqlx::query(SEND)
        .bind(message.id)
        .bind(queue.as_str())
        .bind(message.body)
        .bind(message.sent_at.to_sqlx())
        .bind(message.visible_at.to_sqlx())
        .bind(CHANNEL)
        .execute(connection)
        .await?;
    Ok(())
}

/// What a look at the queue brought.
#[derive(Debug, Default)]
pub(crate) struct Received {
    pub(crate) leased: Vec<Delivery>,
    /// These had no attempt left and are among the dead letters now.
    pub(crate) dead_letters: Vec<JobId>,
}

#[derive(sqlx::FromRow)]
struct ReceivedRow {
    id: Uuid,
    body: String,
    attempts: i32,
    sent_at: jiff_sqlx::Timestamp,
    is_buried: bool,
}

/// The ids come back in as arrays, so that the rows are looked up by their keys however
/// many of them the planner expects.
const LEASE: &str = "
    WITH ready AS MATERIALIZED (
        SELECT id, attempts FROM salla_sync.queue_messages
        WHERE queue = $1 AND visible_at <= $2
        ORDER BY visible_at, id
        LIMIT $3
        FOR UPDATE SKIP LOCKED
    ), used_up AS (
        DELETE FROM salla_sync.queue_messages
        WHERE id = ANY (ARRAY(SELECT id FROM ready WHERE attempts >= $4))
        RETURNING id, queue, body, attempts, sent_at
    ), buried AS (
        INSERT INTO salla_sync.dead_letters (id, queue, body, reason, attempts, sent_at, buried_at)
        SELECT id, queue, body, $5, attempts, sent_at, $2 FROM used_up
        ON CONFLICT (id) DO NOTHING
    ), leased AS (
        UPDATE salla_sync.queue_messages
        SET attempts = attempts + 1, receipt = $6, visible_at = $7
        WHERE id = ANY (ARRAY(SELECT id FROM ready WHERE attempts < $4))
        RETURNING id, body, attempts, sent_at
    )
    SELECT id, body, attempts, sent_at, false AS is_buried FROM leased
    UNION ALL
    SELECT id, '', attempts, sent_at, true FROM used_up";

pub(crate) async fn lease(
    pool: &PgPool,
    queue: QueueName,
    settings: QueueSettings,
    most: u32,
    (now, until): (Timestamp, Timestamp),
    receipt: Uuid,
) -> Result<Received, TxError> {
    let rows: Vec<ReceivedRow> = sqlx::query_as(LEASE)
        .bind(queue.as_str())
        .bind(now.to_sqlx())
        .bind(i64::from(most))
        .bind(i64::from(settings.max_attempts))
        .bind(ATTEMPTS_EXHAUSTED)
        .bind(receipt)
        .bind(until.to_sqlx())
        .fetch_all(pool)
        .await?;
    let mut received = Received::default();
    for row in rows {
        let id = row.id;
        match row.is_buried {
            true => received.dead_letters.push(job_id(id)),
            false => received.leased.push(row.delivery(Lease { id, receipt })),
        }
    }
    Ok(received)
}

impl ReceivedRow {
    fn delivery(self, lease: Lease) -> Delivery {
        Delivery {
            id: job_id(self.id),
            body: self.body,
            attempt: self.attempts.unsigned_abs(),
            receipt: lease.to_receipt(),
            sent_at: self.sent_at.to_jiff(),
        }
    }
}

const EXTEND: &str = "
    UPDATE salla_sync.queue_messages SET visible_at = $4
    WHERE id = $1 AND receipt = $2 AND queue = $3";

pub(crate) async fn extend(
    pool: &PgPool,
    queue: QueueName,
    lease: Lease,
    until: Timestamp,
) -> Result<ReceiptStatus, TxError> {
    let extended = sqlx::query(EXTEND)
        .bind(lease.id)
        .bind(lease.receipt)
        .bind(queue.as_str())
        .bind(until.to_sqlx());
    Ok(standing(&extended.execute(pool).await?))
}

pub(crate) async fn settle(
    pool: &PgPool,
    queue: QueueName,
    settings: QueueSettings,
    lease: Lease,
    disposition: &Disposition,
    now: Timestamp,
) -> Result<ReceiptStatus, TxError> {
    match disposition {
        Disposition::Ack => remove(pool, queue, lease).await,
        Disposition::Retry { after } => {
            let until = later(now, *after);
            retry(pool, queue, settings, lease, (now, until)).await
        }
        Disposition::Snooze { until } => snooze(pool, queue, lease, *until).await,
        Disposition::DeadLetter { reason: why } => dead_letter(pool, queue, lease, why, now).await,
    }
}

const REMOVE: &str = "
    DELETE FROM salla_sync.queue_messages WHERE id = $1 AND receipt = $2 AND queue = $3";

async fn remove(pool: &PgPool, queue: QueueName, lease: Lease) -> Result<ReceiptStatus, TxError> {
    let removed = sqlx::query(REMOVE)
        .bind(lease.id)
        .bind(lease.receipt)
        .bind(queue.as_str());
    Ok(standing(&removed.execute(pool).await?))
}

const FORGET: &str = "DELETE FROM salla_sync.queue_messages WHERE id = $1 AND queue = $2";

pub(crate) async fn forget(pool: &PgPool, queue: QueueName, id: Uuid) -> Result<(), TxError> {
    let forget = sqlx::query(FORGET).bind(id).bind(queue.as_str());
    forget.execute(pool).await?;
    Ok(())
}

const RETRY: &str = "
    UPDATE salla_sync.queue_messages SET visible_at = $4, receipt = NULL
    WHERE id = $1 AND receipt = $2 AND queue = $3 AND attempts < $5";

/// Under one receipt the attempts do not change, so what the first statement leaves is
/// either stale, which the second finds too, or has no attempt left.
async fn retry(
    pool: &PgPool,
    queue: QueueName,
    settings: QueueSettings,
    lease: Lease,
    (now, until): (Timestamp, Timestamp),
) -> Result<ReceiptStatus, TxError> {
    let retried = sqlx::query(RETRY)
        .bind(lease.id)
        .bind(lease.receipt)
        .bind(queue.as_str())
        .bind(until.to_sqlx())
        .bind(i64::from(settings.max_attempts));
    match standing(&retried.execute(pool).await?) {
        ReceiptStatus::Valid => Ok(ReceiptStatus::Valid),
        ReceiptStatus::Stale => dead_letter(pool, queue, lease, ATTEMPTS_EXHAUSTED, now).await,
    }
}

const SNOOZE: &str = "
    UPDATE salla_sync.queue_messages
    SET visible_at = $4, receipt = NULL, attempts = attempts - 1
    WHERE id = $1 AND receipt = $2 AND queue = $3";

async fn snooze(
    pool: &PgPool,
    queue: QueueName,
    lease: Lease,
    until: Timestamp,
) -> Result<ReceiptStatus, TxError> {
    let snoozed = sqlx::query(SNOOZE)
        .bind(lease.id)
        .bind(lease.receipt)
        .bind(queue.as_str())
        .bind(until.to_sqlx());
    Ok(standing(&snoozed.execute(pool).await?))
}

/// A letter that is there already is this very message: a send whose answer was lost
/// put it on the queue a second time. It must not stop the burial.
const DEAD_LETTER: &str = "
    WITH removed AS (
        DELETE FROM salla_sync.queue_messages WHERE id = $1 AND receipt = $2 AND queue = $3
        RETURNING id, queue, body, attempts, sent_at
    ), buried AS (
        INSERT INTO salla_sync.dead_letters (id, queue, body, reason, attempts, sent_at, buried_at)
        SELECT id, queue, body, $4, attempts, sent_at, $5 FROM removed
        ON CONFLICT (id) DO NOTHING
    )
    SELECT id FROM removed";

async fn dead_letter(
    pool: &PgPool,
    queue: QueueName,
    lease: Lease,
    why: &str,
    now: Timestamp,
) -> Result<ReceiptStatus, TxError> {
    let dead_letters = sqlx::query(DEAD_LETTER)
        .bind(lease.id)
        .bind(lease.receipt)
        .bind(queue.as_str())
        .bind(storable(why))
        .bind(now.to_sqlx());
    match dead_letters.fetch_optional(pool).await? {
        Some(_) => Ok(ReceiptStatus::Valid),
        None => Ok(ReceiptStatus::Stale),
    }
}

fn standing(changed: &PgQueryResult) -> ReceiptStatus {
    match changed.rows_affected() {
        0 => ReceiptStatus::Stale,
        _ => ReceiptStatus::Valid,
    }
}

#[derive(sqlx::FromRow)]
struct DepthRow {
    ready: i64,
    delayed: i64,
    in_flight: i64,
    dead: i64,
    ready_since: Option<jiff_sqlx::Timestamp>,
}

const DEPTH: &str = "
    SELECT count(*) FILTER (WHERE visible_at <= $2) AS ready,
        count(*) FILTER (WHERE visible_at > $2 AND receipt IS NULL) AS delayed,
        count(*) FILTER (WHERE visible_at > $2 AND receipt IS NOT NULL) AS in_flight,
        (SELECT count(*) FROM salla_sync.dead_letters WHERE queue = $1) AS dead,
        min(visible_at) FILTER (WHERE visible_at <= $2) AS ready_since
    FROM salla_sync.queue_messages WHERE queue = $1";

pub(crate) async fn depth(
    pool: &PgPool,
    queue: QueueName,
    now: Timestamp,
) -> Result<Depth, TxError> {
    let row: DepthRow = sqlx::query_as(DEPTH)
        .bind(queue.as_str())
        .bind(now.to_sqlx())
        .fetch_one(pool)
        .await?;
    let age = |since: jiff_sqlx::Timestamp| {
        // What is ready was so before now; PostgreSQL's times are rounded.
        Duration::try_from(now.duration_since(since.to_jiff())).unwrap_or_default()
    };
    Ok(Depth {
        ready: row.ready.unsigned_abs(),
        delayed: row.delayed.unsigned_abs(),
        in_flight: row.in_flight.unsigned_abs(),
        dead: row.dead.unsigned_abs(),
        oldest_ready: row.ready_since.map(age),
    })
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use serde_json::Value;
    use sqlx::{AssertSqlSafe, Executor};

    use super::*;
    use crate::testing::TestDatabase;

    /// The statement with its values written in, prepared, so that the plan for any values can be
    /// shown too.
    fn execute_lease(name: &str) -> String {
        format!(
            "EXECUTE {name} ('historical-sync', '2025-06-15T09:00:00Z', 10, 5, 'used up', \
             gen_random_uuid(), '2025-06-15T09:00:30Z')"
        )
    }

    /// All scans of messages in a plan.
    fn scans<'a>(node: &'a Value, found: &mut Vec<&'a Value>) {
        if node["Relation Name"] == "queue_messages" && node["Node Type"] != "ModifyTable" {
            found.push(node);
        }
        for child in node["Plans"].as_array().into_iter().flatten() {
            scans(child, found);
        }
    }

    #[tokio::test]
    async fn delayed_messages_are_not_even_looked_at() {
        let db = TestDatabase::create().await;
        let mut connection = db.pool().acquire().await.unwrap();
        let fill = "INSERT INTO salla_sync.queue_messages (id, queue, body, sent_at, visible_at)
            SELECT gen_random_uuid(), 'historical-sync', '', '2025-06-15'::timestamptz,
                '2025-06-15'::timestamptz + make_interval(days => n)
            FROM generate_series(0, 10000) n";
        connection.execute(fill).await.unwrap();
        let prepare = format!("PREPARE lease AS {LEASE}");
        connection.execute(AssertSqlSafe(prepare)).await.unwrap();
        // Before and after PostgreSQL knows how many rows there are.
        for analyze in ["SELECT", "ANALYZE salla_sync.queue_messages"] {
            connection.execute(analyze).await.unwrap();
            for mode in ["force_custom_plan", "force_generic_plan"] {
                let set = AssertSqlSafe(format!("SET plan_cache_mode = {mode}; BEGIN"));
                connection.execute(set).await.unwrap();
                let explain = AssertSqlSafe(format!(
                    "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {}",
                    execute_lease("lease")
                ));
                let plan: Value = sqlx::query_scalar(explain)
                    .fetch_one(&mut *connection)
                    .await
                    .unwrap();
                connection.execute("ROLLBACK").await.unwrap();
                check(&plan[0]["Plan"], &format!("{analyze}, {mode}: {plan:#}"));
            }
        }
    }

    fn check(plan: &Value, about: &str) {
        let mut found = Vec::new();
        scans(plan, &mut found);
        assert_eq!(found.len(), 3, "ready, used up, leased: {about}");
        for scan in found {
            assert!(scan["Actual Rows"].as_f64() <= Some(1.0), "{about}");
            for removed in ["Rows Removed by Filter", "Rows Removed by Index Recheck"] {
                assert!(scan[removed].as_f64().unwrap_or(0.0) == 0.0, "{about}");
            }
        }
        let blocks = ["Shared Hit Blocks", "Shared Read Blocks"].map(|kind| plan[kind].as_u64());
        let touched: Option<u64> = blocks.into_iter().sum();
        assert!(
            touched.is_some_and(|touched| touched < 60),
            "{touched:?} blocks: {about}"
        );
    }
}
