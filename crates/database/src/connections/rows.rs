//! Connections as rows.

use domain::failure::{Disconnection, Failure};
use domain::shop::MerchantId;
use importer::ports::connections::{Connection, ConnectionId, ConnectionState, Tokens};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use sqlx::PgPool;
use uuid::Uuid;

use crate::connections::keyring::{KeyMismatch, Keyring, SealedPlace};
use crate::failure::{Trouble, database_failure};

#[derive(sqlx::FromRow)]
pub(crate) struct ConnectionRow {
    id: Uuid,
    merchant_id: Option<Uuid>,
    key_id: String,
    access_token: Vec<u8>,
    refresh_token: Option<Vec<u8>>,
    expires_at: Option<jiff_sqlx::Timestamp>,
    scope: Option<String>,
    pub(crate) version: i64,
    state: String,
    refresh_started_at: Option<jiff_sqlx::Timestamp>,
    disconnected_why: Option<String>,
}

/// The columns of [`ConnectionRow`].
macro_rules! select_connection {
    ($rest:literal) => {
        concat!(
            "SELECT id, merchant_id, key_id, access_token, refresh_token, expires_at, scope, \
             version, state, refresh_started_at, disconnected_why FROM salla_sync.connections ",
            $rest
        )
    };
}
pub(crate) use select_connection;

impl ConnectionRow {
    pub(crate) fn decrypt(self, keyring: &Keyring) -> Result<Connection, Failure> {
        let state = self.state()?;
        let open = |column, sealed: &[u8]| {
            keyring
                .open(place(self.id, column), &self.key_id, sealed)
                .map_err(unreadable)
        };
        let access = open("access_token", &self.access_token)?;
        let refresh = self.refresh_token.as_deref();
        let refresh = refresh
            .map(|sealed| open("refresh_token", sealed))
            .transpose()?;
        Ok(Connection {
            id: ConnectionId(self.id),
            merchant: self.merchant_id.map(MerchantId),
            tokens: Tokens {
                access,
                refresh,
                expires_at: self.expires_at.map(jiff_sqlx::Timestamp::to_jiff),
                scope: self.scope,
            },
            version: self.version,
            state,
        })
    }

    pub(crate) fn state(&self) -> Result<ConnectionState, Failure> {
        let why = || parse_disconnection(self.disconnected_why.as_deref()?);
        let state = match (self.state.as_str(), self.refresh_started_at) {
            ("ACTIVE", _) => Some(ConnectionState::Active),
            ("REFRESHING", Some(since)) => Some(ConnectionState::Refreshing {
                since: since.to_jiff(),
            }),
            ("DISCONNECTED", _) => why().map(|why| ConnectionState::Disconnected { why }),
            _ => None,
        };
        state.ok_or_else(|| Failure::Database {
            what: "a connection is in a state that this version does not know".to_owned(),
        })
    }
}

fn parse_disconnection(code: &str) -> Option<Disconnection> {
    [
        Disconnection::TokenRejected,
        Disconnection::RefreshRefused,
        Disconnection::RefreshLost,
        Disconnection::ScopeMissing,
        Disconnection::Forbidden,
        Disconnection::ShopInactive,
    ]
    .into_iter()
    .find(|why| why.code() == code)
}

fn place(connection: Uuid, column: &'static str) -> SealedPlace {
    SealedPlace { connection, column }
}

fn unreadable(mismatch: KeyMismatch) -> Failure {
    Failure::Database {
        what: mismatch.to_string(),
    }
}

/// Tokens on their way into a row.
pub(crate) struct SealedTokens {
    pub(crate) access: Vec<u8>,
    pub(crate) refresh: Option<Vec<u8>>,
}

pub(crate) fn seal(
    keyring: &Keyring,
    id: ConnectionId,
    tokens: &Tokens,
) -> Result<SealedTokens, Failure> {
    let refresh = tokens.refresh.as_ref();
    let refresh = refresh.map(|token| keyring.seal(place(id.0, "refresh_token"), token));
    Ok(SealedTokens {
        access: keyring.seal(place(id.0, "access_token"), &tokens.access)?,
        refresh: refresh.transpose()?,
    })
}

/// A plain hash is safe here although the database may be read by others: Salla's
/// tokens are long random strings, so nobody can find one by trying, and unlike a
/// hash under our own key it still recognises them after that key was changed.
fn fingerprint(tokens: &Tokens) -> Vec<u8> {
    let mut sha = Sha256::new_with_prefix(b"salla-sync connection fingerprint 1\n");
    sha.update(tokens.access.expose_secret());
    sha.update(b"\n");
    if let Some(refresh) = &tokens.refresh {
        sha.update(refresh.expose_secret());
    }
    sha.finalize().to_vec()
}

const INSERT: &str = "
    INSERT INTO salla_sync.connections
        (id, fingerprint, key_id, access_token, refresh_token, expires_at, scope, state,
         created_at, updated_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, 'ACTIVE', $8, $8)
    ON CONFLICT (fingerprint) DO NOTHING";

const BY_FINGERPRINT: &str = select_connection!("WHERE fingerprint = $1");

pub(crate) async fn open(
    pool: &PgPool,
    keyring: &Keyring,
    new_id: ConnectionId,
    given: &Tokens,
    now: Timestamp,
) -> Result<Connection, Trouble> {
    let fingerprint = fingerprint(given);
    let sealed = seal(keyring, new_id, given)?;
    sqlx::query(INSERT)
        .bind(new_id.0)
        .bind(&fingerprint)
        .bind(keyring.current_id())
        .bind(sealed.access)
        .bind(sealed.refresh)
        .bind(given.expires_at.map(ToSqlx::to_sqlx))
        .bind(&given.scope)
        .bind(now.to_sqlx())
        .execute(pool)
        .await?;
    let row: ConnectionRow = sqlx::query_as(BY_FINGERPRINT)
        .bind(&fingerprint)
        .fetch_one(pool)
        .await?;
    Ok(row.decrypt(keyring)?)
}

/// The merchant's row lines up those who bind at once, because each clears the mark
/// of the others.
const TAKE_TURNS: &str = "SELECT FROM salla_sync.merchants WHERE id = $1 FOR NO KEY UPDATE";

const UNMARK_OTHERS: &str = "
    UPDATE salla_sync.connections SET is_current = false, updated_at = $3
    WHERE merchant_id = $2 AND id <> $1 AND is_current";

const MARK: &str = "
    UPDATE salla_sync.connections SET merchant_id = $2, is_current = true, updated_at = $3
    WHERE id = $1 AND (merchant_id IS DISTINCT FROM $2 OR NOT is_current)";

pub(crate) async fn bind(
    pool: &PgPool,
    id: ConnectionId,
    merchant: MerchantId,
    now: Timestamp,
) -> Result<(), Trouble> {
    let mut tx = pool.begin().await?;
    sqlx::query(TAKE_TURNS)
        .bind(merchant.0)
        .execute(&mut *tx)
        .await?;
    for sql in [UNMARK_OTHERS, MARK] {
        let mark = sqlx::query(sql)
            .bind(id.0)
            .bind(merchant.0)
            .bind(now.to_sqlx());
        mark.execute(&mut *tx).await?;
    }
    tx.commit().await?;
    Ok(())
}

const BY_ID: &str = select_connection!("WHERE id = $1");

pub(crate) async fn load(
    pool: &PgPool,
    keyring: &Keyring,
    id: ConnectionId,
) -> Result<Connection, Trouble> {
    let row: ConnectionRow = sqlx::query_as(BY_ID).bind(id.0).fetch_one(pool).await?;
    Ok(row.decrypt(keyring)?)
}

const OF_MERCHANT: &str = select_connection!("WHERE merchant_id = $1 AND is_current");

pub(crate) async fn of_merchant(
    pool: &PgPool,
    keyring: &Keyring,
    merchant: MerchantId,
) -> Result<Option<Connection>, Trouble> {
    let row: Option<ConnectionRow> = sqlx::query_as(OF_MERCHANT)
        .bind(merchant.0)
        .fetch_optional(pool)
        .await?;
    Ok(row.map(|row| row.decrypt(keyring)).transpose()?)
}

/// Why the program must not start with this key.
#[derive(Debug, thiserror::Error)]
pub enum KeyCheck {
    #[error(transparent)]
    Mismatch(#[from] KeyMismatch),
    #[error(transparent)]
    Database(#[from] Failure),
}

/// One row of each key tells whether the key fits.
const SAMPLES: &str = "
    SELECT DISTINCT ON (key_id) id, key_id, access_token
    FROM salla_sync.connections
    WHERE state <> 'DISCONNECTED'
    ORDER BY key_id, updated_at DESC";

pub(crate) async fn check_key(pool: &PgPool, keyring: &Keyring) -> Result<(), KeyCheck> {
    let samples: Vec<(Uuid, String, Vec<u8>)> = sqlx::query_as(SAMPLES)
        .fetch_all(pool)
        .await
        .map_err(|error| database_failure("looking at the stored connections", &error))?;
    for (id, key_id, sealed) in samples {
        keyring.open(place(id, "access_token"), &key_id, &sealed)?;
    }
    Ok(())
}
