//! Opening, binding and finding connections.

use crate::keyring::leave_check;
use std::collections::{BTreeMap, BTreeSet};

use domain::failure::{Disconnection, Failure};
use domain::shop::MerchantId;
use importer::ports::connections::{Bound, Connection, ConnectionId, Tokens};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use sqlx::{PgConnection, PgPool};

use crate::connections::changes;
use crate::connections::refresh_tokens::{refresh_hash, remember};
use crate::connections::rows::{ConnectionRow, SEAL_FORMAT, seal, select_connection, still_there};
use crate::error::{TxError, database_failure};
use crate::keyring::{KeyMismatch, Keyring};
use crate::transaction::begin_durable;

/// A plain hash is safe here although the database may be read by others: Salla's tokens are long
/// random strings, so none can be found by trying, and unlike a hash under our own key it still
/// recognises them after that key was changed.
fn fingerprint(tokens: &Tokens) -> Vec<u8> {
    let mut sha = Sha256::new_with_prefix(b"salla-sync connection fingerprint 1\n");
    sha.update(tokens.access.expose_secret());
    sha.update(b"\n");
    if let Some(refresh) = &tokens.refresh {
        sha.update(refresh.expose_secret());
    }
    sha.finalize().to_vec()
}

/// Tokens that are given again may come with an end that was not known before; it is
/// theirs until they are refreshed.
const INSERT: &str = "
    INSERT INTO salla_sync.connections AS c
        (id, fingerprint, key_id, access_token, refresh_token, expires_at, scope, state,
         created_at, updated_at, seal_format, home)
    VALUES ($1, $2, $3, $4, $5, $6, $7, 'ACTIVE', $8, $8, $9, salla_sync.home())
    ON CONFLICT (fingerprint) DO UPDATE
        SET expires_at = excluded.expires_at, updated_at = excluded.updated_at
        WHERE c.version = 1 AND c.expires_at IS NULL AND excluded.expires_at IS NOT NULL";

const BY_FINGERPRINT: &str = select_connection!("WHERE fingerprint = $1");

/// The connection that ever held this refresh token.
const BY_REFRESH_TOKEN: &str = select_connection!(
    "WHERE id = (SELECT connection_id FROM salla_sync.refresh_tokens WHERE hash = $1)"
);

async fn holder_of(
    connection: &mut PgConnection,
    token: &SecretString,
) -> Result<Option<ConnectionRow>, TxError> {
    let found = sqlx::query_as(BY_REFRESH_TOKEN).bind(refresh_hash(token));
    Ok(found.fetch_optional(connection).await?)
}

pub(crate) async fn open(
    pool: &PgPool,
    keyring: &Keyring,
    new_id: ConnectionId,
    given: &Tokens,
    now: Timestamp,
) -> Result<Connection, TxError> {
    let fingerprint = fingerprint(given);
    let sealed = seal(keyring, new_id, (1, None), given)?;
    let mut tx = begin_durable(pool).await?;
    leave_check(&mut tx, keyring).await?;
    sqlx::query(INSERT)
        .bind(new_id.0)
        .bind(&fingerprint)
        .bind(keyring.current_id())
        .bind(sealed.access)
        .bind(sealed.refresh)
        .bind(given.expires_at.map(ToSqlx::to_sqlx))
        .bind(&given.scope)
        .bind(now.to_sqlx())
        .bind(SEAL_FORMAT)
        .execute(&mut *tx)
        .await?;
    let row: ConnectionRow = sqlx::query_as(BY_FINGERPRINT)
        .bind(&fingerprint)
        .fetch_one(&mut *tx)
        .await?;
    remember(&mut tx, (ConnectionId(row.id), 1), given, now).await?;
    // A former connection may have held the refresh token, or another one that is opened at
    // this moment: then nothing is stored here.
    let holder = match &given.refresh {
        Some(token) => holder_of(&mut tx, token).await?,
        None => None,
    };
    match holder.filter(|holder| holder.id != row.id) {
        Some(holder) => {
            tx.rollback().await?;
            holder.decrypt(keyring)
        }
        None => {
            tx.commit().await?;
            row.decrypt(keyring)
        }
    }
}

/// The lock on the merchant's row makes concurrent binds wait, because each clears the mark of the
/// others.
const TAKE_TURNS: &str = "SELECT FROM salla_sync.merchants WHERE id = $1 FOR NO KEY UPDATE";

const UNMARK_OTHERS: &str = "
    UPDATE salla_sync.connections SET is_current = false, updated_at = $3
    WHERE merchant_id = $2 AND id <> $1 AND is_current";

/// The tokens are sealed again, because what they are bound to has changed.
const BIND: &str = "
    UPDATE salla_sync.connections
    SET merchant_id = $2, updated_at = $3, salla_id = $4, access_token = $5,
        refresh_token = $6, key_id = $7, seal_format = $8,
        authorized_at = coalesce($9, authorized_at)
    WHERE id = $1";

/// The app is installed again.
const INSTALLED: &str = "
    UPDATE salla_sync.merchants SET uninstalled_at = NULL
    WHERE id = $1 AND uninstalled_at IS NOT NULL";

const MARK: &str = "
    UPDATE salla_sync.connections SET is_current = true, updated_at = $2, bound_at = now()
    WHERE id = $1 AND NOT is_current";

/// Whether the merchant's current connection serves and is newer than this one.
const HAS_NEWER: &str = "
    SELECT EXISTS (SELECT FROM salla_sync.connections c
        JOIN salla_sync.connections o ON o.merchant_id = c.merchant_id AND o.is_current
        WHERE c.id = $1 AND o.id <> c.id AND o.state <> 'DISCONNECTED'
          AND CASE WHEN o.authorized_at IS NULL OR c.authorized_at IS NULL
                   THEN (o.created_at, o.id) > (c.created_at, c.id)
                   ELSE o.authorized_at > c.authorized_at END)";

const LOCK: &str = select_connection!("WHERE id = $1 FOR UPDATE");

const SALLA_ID: &str = "SELECT salla_id FROM salla_sync.merchants WHERE id = $1";

/// Whose a connection becomes.
#[derive(Clone, Copy)]
pub(crate) struct BindTo {
    pub(crate) merchant: MerchantId,
    pub(crate) authorized_at: Option<Timestamp>,
}

pub(crate) async fn bind(
    pool: &PgPool,
    keyring: &Keyring,
    id: ConnectionId,
    to: BindTo,
    now: Timestamp,
) -> Result<Bound, TxError> {
    let merchant = to.merchant.0;
    let mut tx = begin_durable(pool).await?;
    sqlx::query(TAKE_TURNS)
        .bind(merchant)
        .execute(&mut *tx)
        .await?;
    seal_again(&mut tx, keyring, id, to, now).await?;
    let has_newer: bool = sqlx::query_scalar(HAS_NEWER)
        .bind(id.0)
        .fetch_one(&mut *tx)
        .await?;
    if !has_newer {
        let before = changes::current(&mut tx, to.merchant).await?;
        let unmark = sqlx::query(UNMARK_OTHERS).bind(id.0).bind(merchant);
        unmark.bind(now.to_sqlx()).execute(&mut *tx).await?;
        let mark = sqlx::query(MARK).bind(id.0).bind(now.to_sqlx());
        if mark.execute(&mut *tx).await?.rows_affected() > 0 {
            changes::note_successor(&mut tx, id, before, now).await?;
        }
        let installed = sqlx::query(INSTALLED).bind(merchant);
        installed.execute(&mut *tx).await?;
    }
    tx.commit().await?;
    Ok(match has_newer {
        true => Bound::Older,
        false => Bound::Current,
    })
}

/// Binds the tokens to their shop, if they are no other's.
async fn seal_again(
    tx: &mut PgConnection,
    keyring: &Keyring,
    id: ConnectionId,
    to: BindTo,
    now: Timestamp,
) -> Result<(), TxError> {
    let row: Option<ConnectionRow> = sqlx::query_as(LOCK)
        .bind(id.0)
        .fetch_optional(&mut *tx)
        .await?;
    let row = still_there(row)?;
    let salla_id: i64 = sqlx::query_scalar(SALLA_ID)
        .bind(to.merchant.0)
        .fetch_one(&mut *tx)
        .await?;
    if row.salla_id.is_some_and(|bound| bound != salla_id) {
        return Err(TxError::Unfit {
            connection: id.0,
            why: Disconnection::OtherShop,
        });
    }
    let stored = row.decrypt(keyring)?;
    let bound_to = (stored.version, Some(salla_id));
    let sealed = seal(keyring, id, bound_to, &stored.tokens)?;
    leave_check(tx, keyring).await?;
    sqlx::query(BIND)
        .bind(id.0)
        .bind(to.merchant.0)
        .bind(now.to_sqlx())
        .bind(salla_id)
        .bind(sealed.access)
        .bind(sealed.refresh)
        .bind(keyring.current_id())
        .bind(SEAL_FORMAT)
        .bind(to.authorized_at.map(ToSqlx::to_sqlx))
        .execute(tx)
        .await?;
    Ok(())
}

const BY_ID: &str = select_connection!("WHERE id = $1");

pub(crate) async fn load(
    pool: &PgPool,
    keyring: &Keyring,
    id: ConnectionId,
) -> Result<Connection, TxError> {
    let mut connection = pool.acquire().await?;
    if let Some(newer) = successor(&mut connection, keyring, id).await? {
        return Ok(newer);
    }
    let row: Option<ConnectionRow> = sqlx::query_as(BY_ID)
        .bind(id.0)
        .fetch_optional(&mut *connection)
        .await?;
    still_there(row)?.decrypt(keyring)
}

/// The connection that took the place of another one as its shop's, if it serves.
const SUCCESSOR: &str = select_connection!(
    "WHERE is_current AND id <> $1 AND state <> 'DISCONNECTED' AND merchant_id =
         (SELECT merchant_id FROM salla_sync.connections WHERE id = $1)"
);

pub(crate) async fn successor(
    connection: &mut PgConnection,
    keyring: &Keyring,
    id: ConnectionId,
) -> Result<Option<Connection>, TxError> {
    let row: Option<ConnectionRow> = sqlx::query_as(SUCCESSOR)
        .bind(id.0)
        .fetch_optional(connection)
        .await?;
    row.map(|row| row.decrypt(keyring)).transpose()
}

const OF_MERCHANT: &str = select_connection!("WHERE merchant_id = $1 AND is_current");

pub(crate) async fn of_merchant(
    pool: &PgPool,
    keyring: &Keyring,
    merchant: MerchantId,
) -> Result<Option<Connection>, TxError> {
    let row: Option<ConnectionRow> = sqlx::query_as(OF_MERCHANT)
        .bind(merchant.0)
        .fetch_optional(pool)
        .await?;
    row.map(|row| row.decrypt(keyring)).transpose()
}

/// Why the program must not start with this key.
#[derive(Debug, thiserror::Error)]
pub enum KeyCheck {
    #[error(transparent)]
    Mismatch(#[from] KeyMismatch),
    #[error(transparent)]
    Database(#[from] Failure),
}

/// Keys that were used.
const CHECKS: &str = "SELECT key_id, sealed FROM salla_sync.key_checks";

/// Connections under keys without a constant: those of older versions of the program.
const UNCHECKED: &str = select_connection!(
    "WHERE state <> 'DISCONNECTED' AND key_id NOT IN
         (SELECT key_id FROM salla_sync.key_checks) ORDER BY updated_at DESC"
);

const KEYS_IN_USE: &str = "SELECT key_id FROM salla_sync.connections WHERE state <> 'DISCONNECTED'
     UNION SELECT key_id FROM salla_sync.merchant_contacts WHERE key_id IS NOT NULL
     UNION SELECT key_id FROM salla_sync.sealed_secrets";

pub(crate) async fn check_key(pool: &PgPool, keyring: &Keyring) -> Result<(), KeyCheck> {
    let failed = |error| database_failure("reading the stored connections", &error);
    let checks: Vec<(String, Vec<u8>)> = sqlx::query_as(CHECKS)
        .fetch_all(pool)
        .await
        .map_err(failed)?;
    for (key_id, sealed) in checks.iter().filter(|check| keyring.holds(&check.0)) {
        keyring.open_check(key_id, sealed)?;
    }
    let in_use: Vec<String> = sqlx::query_scalar(KEYS_IN_USE)
        .fetch_all(pool)
        .await
        .map_err(failed)?;
    if let Some(key_id) = in_use.into_iter().find(|key_id| !keyring.holds(key_id)) {
        return Err(KeyMismatch::Missing { key_id }.into());
    }
    let unchecked: Vec<ConnectionRow> = sqlx::query_as(UNCHECKED)
        .fetch_all(pool)
        .await
        .map_err(failed)?;
    Ok(one_opens(&unchecked, keyring)?)
}

/// Without a constant one row of each key that opens shows that the key fits.
fn one_opens(rows: &[ConnectionRow], keyring: &Keyring) -> Result<(), KeyMismatch> {
    let mut refused: BTreeMap<&str, KeyMismatch> = BTreeMap::new();
    let mut fits: BTreeSet<&str> = BTreeSet::new();
    for row in rows {
        match row.tokens(keyring) {
            Ok(_) => {
                fits.insert(&row.key_id);
            }
            Err(mismatch) => {
                refused.insert(&row.key_id, mismatch);
            }
        }
    }
    let misfit = refused
        .into_iter()
        .find(|(key_id, _)| !fits.contains(key_id));
    misfit.map_or(Ok(()), |(_, mismatch)| Err(mismatch))
}
