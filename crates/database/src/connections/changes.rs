//! Events about a connection for the app's backend, written with the change itself.

use domain::connection_change::{ConnectionChangeJob, ConnectionChangeKind, Tags};
use domain::failure::{DatabaseCause, Failure};
use domain::shop::MerchantId;
use importer::ports::connections::ConnectionId;
use importer::ports::notifications::ConnectionChange;
use importer::ports::queue::QueueName;
use importer::ports::runs::ShopSummary;
use jiff::{SignedDuration, Timestamp};
use jiff_sqlx::ToSqlx;
use sqlx::types::Json;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::error::TxError;
use crate::ids::new_id;
use crate::queue::send_now;

/// Only for a shop's current connection: changes of former ones matter to no receiver.
const NOTE: &str = "
    INSERT INTO salla_sync.connection_changes
        (id, merchant_id, connection_id, kind, reason, is_owned, tags, changed_at)
    SELECT $1, c.merchant_id, c.id, $3,
        CASE WHEN c.state = 'DISCONNECTED' THEN c.disconnected_why END,
        CASE WHEN c.access_token <> '' THEN c.refresh_token IS NOT NULL END, c.tags, $4
    FROM salla_sync.connections c
    WHERE c.id = $2 AND c.is_current AND c.merchant_id IS NOT NULL";

/// Notes a change, in the transaction that makes it.
pub(crate) async fn note(
    tx: &mut PgConnection,
    connection: Uuid,
    kind: ConnectionChangeKind,
    now: Timestamp,
) -> Result<(), TxError> {
    sqlx::query(NOTE)
        .bind(new_id(now))
        .bind(connection)
        .bind(kind.as_str())
        .bind(now.to_sqlx())
        .execute(tx)
        .await?;
    Ok(())
}

const SERVES: &str = "
    SELECT state <> 'DISCONNECTED' FROM salla_sync.connections WHERE id = $1 FOR UPDATE";

/// Whether a connection serves; it stays so until the end of the transaction.
pub(crate) async fn serves(tx: &mut PgConnection, connection: Uuid) -> Result<bool, TxError> {
    let serves: Option<bool> = sqlx::query_scalar(SERVES)
        .bind(connection)
        .fetch_optional(tx)
        .await?;
    Ok(serves.unwrap_or(false))
}

const CURRENT: &str = "
    SELECT id, state <> 'DISCONNECTED' FROM salla_sync.connections
    WHERE merchant_id = $1 AND is_current FOR UPDATE";

/// The connection whose place another one is about to take, and whether it serves.
pub(crate) async fn current(
    tx: &mut PgConnection,
    merchant: MerchantId,
) -> Result<Option<(Uuid, bool)>, TxError> {
    let current = sqlx::query_as(CURRENT).bind(merchant.0);
    Ok(current.fetch_optional(tx).await?)
}

const INHERIT: &str = "
    UPDATE salla_sync.connections c SET tags = o.tags FROM salla_sync.connections o
    WHERE c.id = $1 AND o.id = $2 AND c.tags IS NULL AND o.tags IS NOT NULL";

/// Notes that a connection took its place as its shop's current one.
pub(crate) async fn note_successor(
    tx: &mut PgConnection,
    connection: ConnectionId,
    before: Option<(Uuid, bool)>,
    now: Timestamp,
) -> Result<(), TxError> {
    let kind = match before {
        None => ConnectionChangeKind::Created,
        Some((_, true)) => ConnectionChangeKind::Replaced,
        Some((_, false)) => ConnectionChangeKind::Recovered,
    };
    if let Some((former, _)) = before {
        let inherit = sqlx::query(INHERIT).bind(connection.0).bind(former);
        inherit.execute(&mut *tx).await?;
    }
    note(tx, connection.0, kind, now).await
}

/// Tokens of another shop than the caller expects keep their tags.
const TAG: &str = "
    UPDATE salla_sync.connections SET tags = $3, updated_at = $4
    WHERE id = $1 AND ($2::bigint IS NULL OR salla_id IS NULL OR salla_id = $2)
      AND tags IS DISTINCT FROM $3";

pub(crate) async fn tag(
    pool: &PgPool,
    connection: ConnectionId,
    named: Option<i64>,
    tags: &Tags,
    now: Timestamp,
) -> Result<(), TxError> {
    let tags = (!tags.is_empty()).then_some(Json(tags));
    sqlx::query(TAG)
        .bind(connection.0)
        .bind(named)
        .bind(tags)
        .bind(now.to_sqlx())
        .execute(pool)
        .await?;
    Ok(())
}

/// Older changes are not sent to a new receiver.
const NEWS: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Put on the queue in one go.
const AT_ONCE: i64 = 100;

/// Several workers take different ones.
const TAKE: &str = "
    UPDATE salla_sync.connection_changes SET sent_at = $1
    WHERE id IN (SELECT id FROM salla_sync.connection_changes
                 WHERE sent_at IS NULL AND changed_at >= $2
                 ORDER BY changed_at, id LIMIT $3 FOR UPDATE SKIP LOCKED)
    RETURNING id, merchant_id";

/// Puts what was noted and not sent yet on the queue.
pub(crate) async fn send_noted(pool: &PgPool, now: Timestamp) -> Result<u64, TxError> {
    let mut tx = pool.begin().await?;
    let mut taken: Vec<(Uuid, Uuid)> = sqlx::query_as(TAKE)
        .bind(now.to_sqlx())
        .bind(now.checked_sub(NEWS).unwrap_or(Timestamp::MIN).to_sqlx())
        .bind(AT_ONCE)
        .fetch_all(&mut *tx)
        .await?;
    if taken.is_empty() {
        return Ok(0);
    }
    // Ids grow with time.
    taken.sort_unstable();
    for (change, merchant) in &taken {
        let job = ConnectionChangeJob {
            merchant: MerchantId(*merchant),
            change: *change,
        };
        send_now(&mut tx, QueueName::Notifications, &job.to_json(), now).await?;
    }
    tx.commit().await?;
    Ok(taken.len() as u64)
}

const READ: &str = "
    SELECT h.id, h.kind, h.reason, h.is_owned, h.tags, h.changed_at, h.taken_by,
        m.id AS merchant_id, m.salla_id, m.name, m.plan
    FROM salla_sync.connection_changes h JOIN salla_sync.merchants m ON m.id = h.merchant_id
    WHERE h.id = $1 AND h.merchant_id = $2";

#[derive(sqlx::FromRow)]
struct ChangeRow {
    id: Uuid,
    kind: String,
    reason: Option<String>,
    is_owned: Option<bool>,
    tags: Option<Json<Tags>>,
    changed_at: jiff_sqlx::Timestamp,
    taken_by: Vec<String>,
    merchant_id: Uuid,
    salla_id: i64,
    name: String,
    plan: String,
}

pub(crate) async fn read(
    pool: &PgPool,
    job: &ConnectionChangeJob,
) -> Result<Option<ConnectionChange>, TxError> {
    let row: Option<ChangeRow> = sqlx::query_as(READ)
        .bind(job.change)
        .bind(job.merchant.0)
        .fetch_optional(pool)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let kind = ConnectionChangeKind::parse(&row.kind).ok_or_else(|| Failure::Database {
        message: "a connection's change is of a kind that is unknown to this version".to_owned(),
        cause: DatabaseCause::Setup,
    })?;
    Ok(Some(ConnectionChange {
        id: row.id,
        kind,
        shop: ShopSummary {
            merchant: MerchantId(row.merchant_id),
            salla_id: row.salla_id,
            name: row.name,
            plan: row.plan,
        },
        reason: row.reason,
        is_owned: row.is_owned,
        tags: row.tags.map(|tags| tags.0).unwrap_or_default(),
        changed_at: row.changed_at.to_jiff(),
        taken_by: row.taken_by,
    }))
}

const MARK: &str = "
    UPDATE salla_sync.connection_changes SET taken_by = array_append(taken_by, $2)
    WHERE id = $1 AND NOT $2 = ANY (taken_by)";

pub(crate) async fn mark_taken(pool: &PgPool, change: Uuid, channel: &str) -> Result<(), TxError> {
    let mark = sqlx::query(MARK).bind(change).bind(channel);
    mark.execute(pool).await?;
    Ok(())
}
