//! The refresh protocol: at most one process presents a refresh token, once.

use domain::failure::{Disconnection, Failure};
use importer::ports::connections::{
    BeginRefresh, Connection, ConnectionId, ConnectionState, RefreshIntent, Tokens,
};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::PgPool;

use crate::connections::keyring::Keyring;
use crate::connections::rows::{ConnectionRow, seal, select_connection};
use crate::connections::storing::load;
use crate::failure::Trouble;

const LOCK: &str = select_connection!("WHERE id = $1 FOR UPDATE");

const BEGIN: &str = "
    UPDATE salla_sync.connections
    SET state = 'REFRESHING', refresh_started_at = $2, updated_at = $2
    WHERE id = $1";

pub(crate) async fn begin(
    pool: &PgPool,
    keyring: &Keyring,
    id: ConnectionId,
    version: i64,
    now: Timestamp,
) -> Result<BeginRefresh, Trouble> {
    let mut tx = pool.begin().await?;
    let row: ConnectionRow = sqlx::query_as(LOCK).bind(id.0).fetch_one(&mut *tx).await?;
    if row.version > version {
        return Ok(BeginRefresh::Superseded(Box::new(row.decrypt(keyring)?)));
    }
    match row.state()? {
        ConnectionState::Disconnected { why } => return Err(Failure::Disconnected(why).into()),
        ConnectionState::Refreshing { since } => return Ok(BeginRefresh::InFlight { since }),
        ConnectionState::Active => {}
    }
    let begin = sqlx::query(BEGIN).bind(id.0).bind(now.to_sqlx());
    begin.execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(BeginRefresh::Granted(RefreshIntent {
        connection: id,
        version: row.version,
    }))
}

/// Also where the refresh was given up as lost meanwhile: the pair is here, so it was
/// not lost.
const COMPLETE: &str = "
    UPDATE salla_sync.connections SET
        access_token = $3, refresh_token = $4, key_id = $5, expires_at = $6,
        scope = coalesce($7, scope), version = version + 1, state = 'ACTIVE',
        refresh_started_at = NULL, disconnected_why = NULL, updated_at = $8
    WHERE id = $1 AND version = $2";

pub(crate) async fn complete(
    pool: &PgPool,
    keyring: &Keyring,
    intent: &RefreshIntent,
    tokens: &Tokens,
    now: Timestamp,
) -> Result<Connection, Trouble> {
    let sealed = seal(keyring, intent.connection, tokens)?;
    sqlx::query(COMPLETE)
        .bind(intent.connection.0)
        .bind(intent.version)
        .bind(sealed.access)
        .bind(sealed.refresh)
        .bind(keyring.current_id())
        .bind(tokens.expires_at.map(ToSqlx::to_sqlx))
        .bind(&tokens.scope)
        .bind(now.to_sqlx())
        .execute(pool)
        .await?;
    load(pool, keyring, intent.connection).await
}

const ABANDON: &str = "
    UPDATE salla_sync.connections
    SET state = 'ACTIVE', refresh_started_at = NULL, updated_at = $3
    WHERE id = $1 AND version = $2 AND state = 'REFRESHING'";

pub(crate) async fn abandon(
    pool: &PgPool,
    intent: &RefreshIntent,
    now: Timestamp,
) -> Result<(), Trouble> {
    sqlx::query(ABANDON)
        .bind(intent.connection.0)
        .bind(intent.version)
        .bind(now.to_sqlx())
        .execute(pool)
        .await?;
    Ok(())
}

const DISCONNECT: &str = "
    UPDATE salla_sync.connections
    SET state = 'DISCONNECTED', disconnected_why = $3, refresh_started_at = NULL, updated_at = $4
    WHERE id = $1 AND version = $2";

pub(crate) async fn disconnect(
    pool: &PgPool,
    id: ConnectionId,
    version: i64,
    why: Disconnection,
    now: Timestamp,
) -> Result<(), Trouble> {
    sqlx::query(DISCONNECT)
        .bind(id.0)
        .bind(version)
        .bind(why.code())
        .bind(now.to_sqlx())
        .execute(pool)
        .await?;
    Ok(())
}
