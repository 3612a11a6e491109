//! Every refresh token that was ever stored or presented, by its hash. What is known here
//! stays known when the row of the connection is set back.

use importer::ports::connections::{ConnectionId, MAX_PRESENTATIONS, RefreshIntent, Tokens};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::TxError;

pub(crate) fn refresh_hash(token: &SecretString) -> Vec<u8> {
    let mut sha = Sha256::new_with_prefix(b"salla-sync refresh token 1\n");
    sha.update(token.expose_secret());
    sha.finalize().to_vec()
}

/// Older versions of the program stored no version.
const ADD: &str = "
    INSERT INTO salla_sync.refresh_tokens AS t (hash, connection_id, stored_at, version)
    VALUES ($1, $2, $3, $4)
    ON CONFLICT (hash) DO UPDATE SET version = excluded.version
        WHERE t.connection_id = excluded.connection_id AND t.version IS NULL";

/// Records the refresh token of a connection forever.
pub(crate) async fn remember(
    connection: &mut PgConnection,
    (id, version): (ConnectionId, i64),
    tokens: &Tokens,
    now: Timestamp,
) -> Result<(), TxError> {
    let Some(token) = &tokens.refresh else {
        return Ok(());
    };
    sqlx::query(ADD)
        .bind(refresh_hash(token))
        .bind(id.0)
        .bind(now.to_sqlx())
        .bind(version)
        .execute(connection)
        .await?;
    Ok(())
}

/// What became of a refresh token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Known {
    /// How often it may have been presented.
    pub(crate) times: u8,
    /// The last intent to present it.
    pub(crate) intent: Option<Uuid>,
    /// Another token took its place.
    pub(crate) is_replaced: bool,
}

const KNOWN: &str = "
    SELECT t.presentations, t.intent, EXISTS (
        SELECT FROM salla_sync.refresh_tokens o
        WHERE o.connection_id = t.connection_id AND o.version > t.version)
    FROM salla_sync.refresh_tokens t WHERE t.hash = $1";

pub(crate) async fn known(
    connection: &mut PgConnection,
    tokens: &Tokens,
) -> Result<Known, TxError> {
    let Some(token) = &tokens.refresh else {
        return Ok(Known::default());
    };
    let known: Option<(i16, Option<Uuid>, Option<bool>)> = sqlx::query_as(KNOWN)
        .bind(refresh_hash(token))
        .fetch_optional(connection)
        .await?;
    Ok(
        known.map_or_else(Known::default, |(times, intent, is_replaced)| Known {
            times: u8::try_from(times).unwrap_or(MAX_PRESENTATIONS),
            intent,
            is_replaced: is_replaced == Some(true),
        }),
    )
}

const COUNT: &str = "
    UPDATE salla_sync.refresh_tokens SET presentations = $2, intent = $3 WHERE hash = $1";

/// Counts the presentation that an intent announces.
pub(crate) async fn count(
    connection: &mut PgConnection,
    tokens: &Tokens,
    intent: &RefreshIntent,
) -> Result<(), TxError> {
    let Some(token) = &tokens.refresh else {
        return Ok(());
    };
    sqlx::query(COUNT)
        .bind(refresh_hash(token))
        .bind(i16::from(intent.times))
        .bind(intent.id)
        .execute(connection)
        .await?;
    Ok(())
}

const TAKE_BACK: &str = "
    UPDATE salla_sync.refresh_tokens SET presentations = presentations - 1, intent = NULL
    WHERE connection_id = $1 AND intent = $2";

/// Takes back the presentation that an intent announced.
pub(crate) async fn take_back(
    connection: &mut PgConnection,
    intent: &RefreshIntent,
) -> Result<(), TxError> {
    sqlx::query(TAKE_BACK)
        .bind(intent.connection.0)
        .bind(intent.id)
        .execute(connection)
        .await?;
    Ok(())
}
