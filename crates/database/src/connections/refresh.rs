//! The refresh protocol: at most one process presents a refresh token at a time, once, and
//! one last time where the fate of the first presentation is unknown.

use domain::connection_change::ConnectionChangeKind;
use domain::failure::{Disconnection, Failure};
use importer::ports::connections::{
    BETWEEN_EARLY_REFRESHES, BeginRefresh, Connection, ConnectionId, ConnectionState,
    MAX_PRESENTATIONS, Presentation, Presented, RefreshIntent, Tokens,
};
use jiff::{SignedDuration, Timestamp};
use jiff_sqlx::ToSqlx;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::connections::changes;
use crate::connections::refresh_tokens::{self, Known, count, remember, take_back};
use crate::connections::rows::{ConnectionRow, SEAL_FORMAT, seal, select_connection, still_there};
use crate::connections::storing::{load, successor};
use crate::error::TxError;
use crate::keyring::Keyring;
use crate::keyring::leave_check;
use crate::transaction::begin_durable;

const LOCK: &str = select_connection!("WHERE id = $1 FOR UPDATE");

/// If the database has no identity, its tokens are not known to belong elsewhere.
const IS_ELSEWHERE: &str =
    "SELECT coalesce(home <> salla_sync.home(), false) FROM salla_sync.connections WHERE id = $1";

const BEGIN: &str = "
    UPDATE salla_sync.connections
    SET home = coalesce(home, salla_sync.home()), state = 'REFRESHING', refresh_started_at = $2, refresh_tried_at = $2,
        refresh_intent = $3, refresh_presentations = $4, refresh_lost_at = NULL, updated_at = $2
    WHERE id = $1";

pub(crate) async fn begin(
    pool: &PgPool,
    keyring: &Keyring,
    intent: RefreshIntent,
    now: Timestamp,
    presentation: Presentation,
) -> Result<BeginRefresh, TxError> {
    let id = intent.connection;
    let mut tx = begin_durable(pool).await?;
    let row: Option<ConnectionRow> = sqlx::query_as(LOCK)
        .bind(id.0)
        .fetch_optional(&mut *tx)
        .await?;
    let row = still_there(row)?;
    if row.version > intent.version {
        return Ok(BeginRefresh::Superseded(Box::new(row.decrypt(keyring)?)));
    }
    if row.version < intent.version {
        return Ok(BeginRefresh::Behind {
            stored: row.version,
        });
    }
    if let Some(newer) = successor(&mut tx, keyring, id).await? {
        return Ok(BeginRefresh::Superseded(Box::new(newer)));
    }
    let (state, tried_at) = (row.state()?, row.tried_at());
    let tokens = row.decrypt(keyring)?.tokens;
    let known = refresh_tokens::known(&mut tx, &tokens).await?;
    if let Some(presented) = forgotten(state, known, now) {
        let intent = RefreshIntent {
            id: known.intent.unwrap_or(intent.id),
            times: presented.times,
            ..intent
        };
        write_intent(&mut tx, &intent, presented.since).await?;
        tx.commit().await?;
        return Ok(BeginRefresh::InFlight(presented));
    }
    let times = match (state, presentation) {
        (ConnectionState::Disconnected { why }, _) => return Err(Failure::Disconnected(why).into()),
        (ConnectionState::Active, Presentation::Early) if is_too_soon(tried_at, now) => {
            return Ok(BeginRefresh::TooSoon);
        }
        (ConnectionState::Active, Presentation::Early | Presentation::Needed) => 1,
        (ConnectionState::Active, Presentation::Last { seen: None }) => MAX_PRESENTATIONS,
        (ConnectionState::Refreshing(presented), Presentation::Last { seen })
            if seen == Some(presented) && presented.times < MAX_PRESENTATIONS =>
        {
            MAX_PRESENTATIONS
        }
        (ConnectionState::Refreshing(presented), _) => {
            return Ok(BeginRefresh::InFlight(presented));
        }
        // It was taken back meanwhile, so there was none before.
        (ConnectionState::Active, Presentation::Last { .. }) => 1,
    };
    let is_elsewhere: bool = sqlx::query_scalar(IS_ELSEWHERE)
        .bind(id.0)
        .fetch_one(&mut *tx)
        .await?;
    if is_elsewhere {
        return Ok(BeginRefresh::NotAdopted);
    }
    let granted = RefreshIntent { times, ..intent };
    remember(&mut tx, (id, granted.version), &tokens, now).await?;
    count(&mut tx, &tokens, &granted).await?;
    write_intent(&mut tx, &granted, now).await?;
    tx.commit().await?;
    Ok(BeginRefresh::Granted(granted))
}

/// The presentation that the row of the connection knows nothing of, because it was set back.
/// Its process may still bring the response.
fn forgotten(state: ConnectionState, known: Known, now: Timestamp) -> Option<Presented> {
    let times = match known.is_replaced {
        true => MAX_PRESENTATIONS,
        false => known.times,
    };
    let (counted, since) = match state {
        ConnectionState::Active => (0, now),
        ConnectionState::Refreshing(presented) => (presented.times, presented.since),
        ConnectionState::Disconnected { .. } => return None,
    };
    let is_lost = false;
    (times > counted).then_some(Presented {
        since,
        times,
        is_lost,
    })
}

async fn write_intent(
    tx: &mut PgConnection,
    intent: &RefreshIntent,
    now: Timestamp,
) -> Result<(), TxError> {
    sqlx::query(BEGIN)
        .bind(intent.connection.0)
        .bind(now.to_sqlx())
        .bind(intent.id)
        .bind(i16::from(intent.times))
        .execute(tx)
        .await?;
    Ok(())
}

/// A moment in the future is another machine's clock that is wrong, and no reason to wait.
fn is_too_soon(tried_at: Option<Timestamp>, now: Timestamp) -> bool {
    let between = SignedDuration::try_from(BETWEEN_EARLY_REFRESHES).unwrap_or(SignedDuration::MAX);
    tried_at.is_some_and(|at| now.duration_since(at).abs() < between)
}

/// The tokens are bound to it, so it must not change meanwhile.
const SHOP: &str = "SELECT salla_id FROM salla_sync.connections WHERE id = $1 FOR UPDATE";

/// Also if the refresh was recorded as lost meanwhile: the pair is here, so it was not lost. A
/// connection that was disconnected meanwhile stores the pair and stays disconnected. The writer
/// knows that the pair is newer than all versions up to $2.
const WRITE: &str = "
    UPDATE salla_sync.connections SET
        access_token = $4, refresh_token = $5, key_id = $6, seal_format = $10,
        expires_at = $7, scope = coalesce($8, scope), version = $3,
        state = CASE WHEN disconnected_why = 'parked' THEN state ELSE 'ACTIVE' END,
        refresh_started_at = NULL, refresh_intent = NULL, refresh_presentations = 0,
        refresh_lost_at = NULL, updated_at = $9,
        disconnected_why = CASE WHEN disconnected_why = 'parked' THEN disconnected_why END
    WHERE id = $1 AND version <= $2";

pub(crate) async fn complete(
    pool: &PgPool,
    keyring: &Keyring,
    intent: &RefreshIntent,
    tokens: &Tokens,
    now: Timestamp,
) -> Result<Connection, TxError> {
    let versions = (intent.version, intent.version + 1);
    write(pool, keyring, intent.connection, versions, tokens, now).await
}

pub(crate) async fn restore(
    pool: &PgPool,
    keyring: &Keyring,
    known: &Connection,
    stored: i64,
    now: Timestamp,
) -> Result<Connection, TxError> {
    let versions = (stored.min(known.version - 1), known.version);
    write(pool, keyring, known.id, versions, &known.tokens, now).await
}

async fn write(
    pool: &PgPool,
    keyring: &Keyring,
    id: ConnectionId,
    (over, version): (i64, i64),
    tokens: &Tokens,
    now: Timestamp,
) -> Result<Connection, TxError> {
    let mut tx = begin_durable(pool).await?;
    let served = changes::serves(&mut tx, id.0).await?;
    let shop: Option<Option<i64>> = sqlx::query_scalar(SHOP)
        .bind(id.0)
        .fetch_optional(&mut *tx)
        .await?;
    let salla_id = still_there(shop)?;
    let sealed = seal(keyring, id, (version, salla_id), tokens)?;
    leave_check(&mut tx, keyring).await?;
    remember(&mut tx, (id, version), tokens, now).await?;
    let written = sqlx::query(WRITE)
        .bind(id.0)
        .bind(over)
        .bind(version)
        .bind(sealed.access)
        .bind(sealed.refresh)
        .bind(keyring.current_id())
        .bind(tokens.expires_at.map(ToSqlx::to_sqlx))
        .bind(&tokens.scope)
        .bind(now.to_sqlx())
        .bind(SEAL_FORMAT)
        .execute(&mut *tx)
        .await?;
    let serves = changes::serves(&mut tx, id.0).await?;
    if written.rows_affected() > 0 && !served && serves {
        changes::note(&mut tx, id.0, ConnectionChangeKind::Recovered, now).await?;
    }
    tx.commit().await?;
    load(pool, keyring, id).await
}

/// Back to the state before the intent: never presented, or once without a response. Matched by
/// this process's name, so that a repetition after a lost response never reverts another process's
/// intent.
const ABANDON: &str = "
    UPDATE salla_sync.connections
    SET state = CASE WHEN refresh_presentations > 1 THEN 'REFRESHING' ELSE 'ACTIVE' END,
        refresh_started_at = CASE WHEN refresh_presentations > 1 THEN refresh_started_at END,
        refresh_lost_at = CASE WHEN refresh_presentations > 1 THEN $4::timestamptz END,
        refresh_presentations = refresh_presentations - 1,
        refresh_intent = NULL, updated_at = $4
    WHERE id = $1 AND version = $2 AND refresh_intent = $3 AND state = 'REFRESHING'";

const LOSE: &str = "
    UPDATE salla_sync.connections
    SET refresh_lost_at = $4, updated_at = $4
    WHERE id = $1 AND version = $2 AND refresh_intent = $3 AND state = 'REFRESHING'";

/// Takes an intent back.
pub(crate) async fn abandon(
    pool: &PgPool,
    intent: &RefreshIntent,
    now: Timestamp,
) -> Result<(), TxError> {
    let mut tx = begin_durable(pool).await?;
    take_back(&mut tx, intent).await?;
    end(&mut tx, ABANDON, intent, now).await?;
    tx.commit().await?;
    Ok(())
}

/// Reports that no response came.
pub(crate) async fn lose(
    pool: &PgPool,
    intent: &RefreshIntent,
    now: Timestamp,
) -> Result<(), TxError> {
    let mut tx = begin_durable(pool).await?;
    end(&mut tx, LOSE, intent, now).await?;
    tx.commit().await?;
    Ok(())
}

async fn end(
    tx: &mut PgConnection,
    sql: &'static str,
    intent: &RefreshIntent,
    now: Timestamp,
) -> Result<(), TxError> {
    sqlx::query(sql)
        .bind(intent.connection.0)
        .bind(intent.version)
        .bind(intent.id)
        .bind(now.to_sqlx())
        .execute(tx)
        .await?;
    Ok(())
}

const DISCONNECT: &str = "
    UPDATE salla_sync.connections
    SET state = 'DISCONNECTED', disconnected_why = $3, refresh_started_at = NULL,
        refresh_intent = NULL, updated_at = $4
    WHERE id = $1 AND version = $2";

pub(crate) async fn disconnect(
    pool: &PgPool,
    id: ConnectionId,
    version: i64,
    why: Disconnection,
    now: Timestamp,
) -> Result<(), TxError> {
    let mut tx = begin_durable(pool).await?;
    let served = changes::serves(&mut tx, id.0).await?;
    let disconnected = sqlx::query(DISCONNECT)
        .bind(id.0)
        .bind(version)
        .bind(why.code())
        .bind(now.to_sqlx())
        .execute(&mut *tx)
        .await?;
    if disconnected.rows_affected() > 0 && served {
        changes::note(&mut tx, id.0, ConnectionChangeKind::Broken, now).await?;
    }
    tx.commit().await?;
    Ok(())
}

const PARK: &str = "
    UPDATE salla_sync.connections
    SET state = 'DISCONNECTED', disconnected_why = $2, refresh_started_at = NULL,
        refresh_intent = NULL, updated_at = $3
    WHERE id = $1 AND state <> 'DISCONNECTED'";

/// Disconnects a connection that must not be used, in any version.
pub(crate) async fn park(
    pool: &PgPool,
    connection: Uuid,
    why: Disconnection,
    now: Timestamp,
) -> Result<(), TxError> {
    let mut tx = begin_durable(pool).await?;
    let parked = sqlx::query(PARK)
        .bind(connection)
        .bind(why.code())
        .bind(now.to_sqlx())
        .execute(&mut *tx)
        .await?;
    if parked.rows_affected() > 0 {
        changes::note(&mut tx, connection, ConnectionChangeKind::Broken, now).await?;
    }
    tx.commit().await?;
    Ok(())
}
