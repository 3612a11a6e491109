//! Messages that need a person, until they are redriven or discarded.

use async_trait::async_trait;
use domain::failure::Failure;
use importer::ports::queue::{DeadLetter, DeadLetters, JobId, Redrive};
use jiff_sqlx::ToSqlx;
use uuid::Uuid;

use crate::error::with_retries;
use crate::ids::{job_id, parse_id};
use crate::queue::PostgresQueue;

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

const READ: &str = "
    SELECT id, body, reason, attempts, sent_at, buried_at FROM salla_sync.dead_letters
    WHERE queue = $1 AND id = $2";

/// Marked in the statement that finds them, so that of several sweeps one reports them.
const UNREPORTED: &str = "
    UPDATE salla_sync.dead_letters SET reported_at = $3
    WHERE id IN (
        SELECT id FROM salla_sync.dead_letters WHERE queue = $1 AND reported_at IS NULL
        ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED)
    RETURNING id, body, reason, attempts, sent_at, buried_at";

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

const DISCARD: &str = "DELETE FROM salla_sync.dead_letters WHERE queue = $1 AND id = $2";

#[async_trait]
impl DeadLetters for PostgresQueue {
    async fn list(&self, after: Option<&JobId>, limit: u32) -> Result<Vec<DeadLetter>, Failure> {
        // Before the first, and before an id that we never gave.
        let after = after.and_then(parse_id).unwrap_or(Uuid::nil());
        with_retries(&self.clock, "listing dead letters", || async {
            let rows: Vec<LetterRow> = sqlx::query_as(LIST)
                .bind(self.name.as_str())
                .bind(after)
                .bind(i64::from(limit))
                .fetch_all(&self.pool)
                .await?;
            Ok(rows.into_iter().map(DeadLetter::from).collect())
        })
        .await
    }

    async fn read(&self, id: &JobId) -> Result<Option<DeadLetter>, Failure> {
        let Some(id) = parse_id(id) else {
            return Ok(None);
        };
        with_retries(&self.clock, "reading a dead letter", || async {
            let row: Option<LetterRow> = sqlx::query_as(READ)
                .bind(self.name.as_str())
                .bind(id)
                .fetch_optional(&self.pool)
                .await?;
            Ok(row.map(DeadLetter::from))
        })
        .await
    }

    async fn redrive(&self, which: Redrive) -> Result<u64, Failure> {
        let only = match which {
            Redrive::All => None,
            Redrive::One(id) => match parse_id(&id) {
                Some(id) => Some(id),
                None => return Ok(0),
            },
        };
        with_retries(&self.clock, "redriving dead letters", || async {
            let redriven: i64 = sqlx::query_scalar(REDRIVE)
                .bind(self.name.as_str())
                .bind(only)
                .bind(self.clock.now().to_sqlx())
                .fetch_one(&self.pool)
                .await?;
            Ok(redriven.unsigned_abs())
        })
        .await
    }

    async fn unreported(&self, limit: u32) -> Result<Vec<DeadLetter>, Failure> {
        with_retries(&self.clock, "looking for new dead letters", || async {
            let rows: Vec<LetterRow> = sqlx::query_as(UNREPORTED)
                .bind(self.name.as_str())
                .bind(i64::from(limit))
                .bind(self.clock.now().to_sqlx())
                .fetch_all(&self.pool)
                .await?;
            Ok(rows.into_iter().map(DeadLetter::from).collect())
        })
        .await
    }

    async fn discard(&self, id: &JobId) -> Result<bool, Failure> {
        let Some(id) = parse_id(id) else {
            return Ok(false);
        };
        with_retries(&self.clock, "discarding a dead letter", || async {
            let discarded = sqlx::query(DISCARD)
                .bind(self.name.as_str())
                .bind(id)
                .execute(&self.pool)
                .await?;
            Ok(discarded.rows_affected() > 0)
        })
        .await
    }
}
