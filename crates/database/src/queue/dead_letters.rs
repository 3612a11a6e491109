//! Messages that need a person, until they are redriven or discarded.

use importer::ports::queue::{DeadLetter, QueueName};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::PgPool;
use uuid::Uuid;

use crate::error::TxError;
use crate::ids::job_id;

#[derive(sqlx::FromRow)]
struct LetterRow {
    id: Uuid,
    body: String,
    reason: String,
    attempts: i32,
    sent_at: jiff_sqlx::Timestamp,
    buried_at: jiff_sqlx::Timestamp,
}

impl From<LetterRow> for DeadLetter {
    fn from(row: LetterRow) -> Self {
        Self {
            id: job_id(row.id),
            body: row.body,
            reason: row.reason,
            attempts: row.attempts.unsigned_abs(),
            sent_at: row.sent_at.to_jiff(),
            dead_lettered_at: row.buried_at.to_jiff(),
        }
    }
}

/// Ids grow with the time of sending.
const LIST: &str = "
    SELECT id, body, reason, attempts, sent_at, buried_at FROM salla_sync.dead_letters
    WHERE queue = $1 AND id > $2 ORDER BY id LIMIT $3";

pub(crate) async fn list(
    pool: &PgPool,
    queue: QueueName,
    after: Uuid,
    limit: u32,
) -> Result<Vec<DeadLetter>, TxError> {
    let rows: Vec<LetterRow> = sqlx::query_as(LIST)
        .bind(queue.as_str())
        .bind(after)
        .bind(i64::from(limit))
        .fetch_all(pool)
        .await?;
    Ok(rows.into_iter().map(DeadLetter::from).collect())
}

const READ: &str = "
    SELECT id, body, reason, attempts, sent_at, buried_at FROM salla_sync.dead_letters
    WHERE queue = $1 AND id = $2";

pub(crate) async fn read(
    pool: &PgPool,
    queue: QueueName,
    id: Uuid,
) -> Result<Option<DeadLetter>, TxError> {
    let row: Option<LetterRow> = sqlx::query_as(READ)
        .bind(queue.as_str())
        .bind(id)
        .fetch_optional(pool)
        .await?;
    Ok(row.map(DeadLetter::from))
}

/// Marked in the statement that finds them, so that of several sweeps one reports them.
const UNREPORTED: &str = "
    UPDATE salla_sync.dead_letters SET reported_at = $3
    WHERE id IN (
        SELECT id FROM salla_sync.dead_letters WHERE queue = $1 AND reported_at IS NULL
        ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED)
    RETURNING id, body, reason, attempts, sent_at, buried_at";

pub(crate) async fn unreported(
    pool: &PgPool,
    queue: QueueName,
    limit: u32,
    now: Timestamp,
) -> Result<Vec<DeadLetter>, TxError> {
    let rows: Vec<LetterRow> = sqlx::query_as(UNREPORTED)
        .bind(queue.as_str())
        .bind(i64::from(limit))
        .bind(now.to_sqlx())
        .fetch_all(pool)
        .await?;
    Ok(rows.into_iter().map(DeadLetter::from).collect())
}

/// A message that is on the queue already is this very one, see the burial.
const REDRIVE: &str = "
    WITH letters AS (
        DELETE FROM salla_sync.dead_letters WHERE queue = $1 AND ($2::uuid IS NULL OR id = $2)
        RETURNING id, queue, body, sent_at
    ), redriven AS (
        INSERT INTO salla_sync.queue_messages (id, queue, body, sent_at, visible_at)
        SELECT id, queue, body, sent_at, $3 FROM letters
        ON CONFLICT (id) DO NOTHING
    )
    SELECT count(*) FROM letters";

pub(crate) async fn redrive(
    pool: &PgPool,
    queue: QueueName,
    only: Option<Uuid>,
    now: Timestamp,
) -> Result<u64, TxError> {
    let redriven: i64 = sqlx::query_scalar(REDRIVE)
        .bind(queue.as_str())
        .bind(only)
        .bind(now.to_sqlx())
        .fetch_one(pool)
        .await?;
    Ok(redriven.unsigned_abs())
}

const DISCARD: &str = "DELETE FROM salla_sync.dead_letters WHERE queue = $1 AND id = $2";

pub(crate) async fn discard(pool: &PgPool, queue: QueueName, id: Uuid) -> Result<bool, TxError> {
    let discarded = sqlx::query(DISCARD)
        .bind(queue.as_str())
        .bind(id)
        .execute(pool)
        .await?;
    Ok(discarded.rows_affected() > 0)
}
