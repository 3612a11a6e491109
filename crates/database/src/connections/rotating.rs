//! From old keys to the current one, while other processes work.

use std::sync::Arc;

use domain::failure::Failure;
use importer::ports::clock::Clock;
use importer::ports::connections::ConnectionId;
use secrecy::SecretString;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::connections::rows::{ConnectionRow, SEAL_FORMAT, seal, select_connection};
use crate::contacts::{self, ContactRow};
use crate::error::{TxError, with_retries};
use crate::keyring::Keyring;
use crate::keyring::leave_check;
use crate::privacy::rotate_secrets;
use crate::transaction::begin_durable;

/// Values encrypted in one transaction: a refresh of one of them waits no longer than that.
const AT_ONCE: i64 = 50;

/// What a rotation has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rotated {
    pub connections: u64,
    pub contacts: u64,
    pub secrets: u64,
    /// Values that no key opens, left as they are: damaged ones, and those whose key is missing.
    pub unreadable: u64,
}

/// In the sequence of their ids, so that what cannot be read is met once. Versions stay: the
/// tokens are the same.
const CONNECTIONS: &str = select_connection!(
    "WHERE id > $1 AND key_id <> $2 AND access_token <> '' ORDER BY id LIMIT $3 FOR UPDATE"
);

const WRITE_CONNECTION: &str = "
    UPDATE salla_sync.connections
    SET access_token = $2, refresh_token = $3, key_id = $4, seal_format = $5 WHERE id = $1";

const CONTACTS: &str = "
    SELECT merchant_id, email, key_id, version, language, wants_email, is_set
    FROM salla_sync.merchant_contacts
    WHERE merchant_id > $1 AND key_id <> $2 ORDER BY merchant_id LIMIT $3 FOR UPDATE";

const WRITE_CONTACT: &str =
    "UPDATE salla_sync.merchant_contacts SET email = $2, key_id = $3 WHERE merchant_id = $1";

/// How far a batch has come.
struct Batch {
    /// The last row; none where nothing was left.
    last: Option<Uuid>,
    sealed: u64,
    unreadable: u64,
}

impl Batch {
    fn up_to(last: Option<Uuid>) -> Self {
        Self {
            last,
            sealed: 0,
            unreadable: 0,
        }
    }
}

pub(crate) async fn rotate(
    pool: &PgPool,
    keyring: &Keyring,
    clock: &Arc<dyn Clock>,
) -> Result<Rotated, Failure> {
    let mut rotated = Rotated::default();
    let mut after = Uuid::nil();
    loop {
        let batch = with_retries(clock, "encrypting tokens with the current key", || {
            connections(pool, keyring, after)
        })
        .await?;
        rotated.connections += batch.sealed;
        rotated.unreadable += batch.unreadable;
        let Some(last) = batch.last else { break };
        after = last;
    }
    after = Uuid::nil();
    loop {
        let batch = with_retries(clock, "encrypting addresses with the current key", || {
            addresses(pool, keyring, after)
        })
        .await?;
        rotated.contacts += batch.sealed;
        rotated.unreadable += batch.unreadable;
        let Some(last) = batch.last else { break };
        after = last;
    }
    let (secrets, unreadable) =
        with_retries(clock, "encrypting secrets with the current key", || {
            secrets(pool, keyring)
        })
        .await?;
    rotated.secrets = secrets;
    rotated.unreadable += unreadable;
    Ok(rotated)
}

async fn secrets(pool: &PgPool, keyring: &Keyring) -> Result<(u64, u64), TxError> {
    let mut tx = begin_durable(pool).await?;
    let rotated = rotate_secrets(&mut tx, keyring).await?;
    tx.commit().await?;
    Ok(rotated)
}

async fn connections(pool: &PgPool, keyring: &Keyring, after: Uuid) -> Result<Batch, TxError> {
    let mut tx = begin_durable(pool).await?;
    let rows: Vec<ConnectionRow> = sqlx::query_as(CONNECTIONS)
        .bind(after)
        .bind(keyring.current_id())
        .bind(AT_ONCE)
        .fetch_all(&mut *tx)
        .await?;
    let mut batch = Batch::up_to(rows.last().map(|row| row.id));
    if batch.last.is_some() {
        leave_check(&mut tx, keyring).await?;
    }
    for row in rows {
        match row.tokens(keyring) {
            Ok(tokens) => {
                let bound_to = (row.version, row.salla_id);
                let sealed = seal(keyring, ConnectionId(row.id), bound_to, &tokens)?;
                sqlx::query(WRITE_CONNECTION)
                    .bind(row.id)
                    .bind(sealed.access)
                    .bind(sealed.refresh)
                    .bind(keyring.current_id())
                    .bind(SEAL_FORMAT)
                    .execute(&mut *tx)
                    .await?;
                batch.sealed += 1;
            }
            Err(_) => batch.unreadable += 1,
        }
    }
    tx.commit().await?;
    Ok(batch)
}

async fn addresses(pool: &PgPool, keyring: &Keyring, after: Uuid) -> Result<Batch, TxError> {
    let mut tx = begin_durable(pool).await?;
    let rows: Vec<ContactRow> = sqlx::query_as(CONTACTS)
        .bind(after)
        .bind(keyring.current_id())
        .bind(AT_ONCE)
        .fetch_all(&mut *tx)
        .await?;
    let mut batch = Batch::up_to(rows.last().map(|row| row.merchant_id));
    if batch.last.is_some() {
        leave_check(&mut tx, keyring).await?;
    }
    for row in rows {
        match row.address(keyring) {
            Ok(Some(address)) => {
                write_address(&mut tx, keyring, &row, &address).await?;
                batch.sealed += 1;
            }
            Ok(None) => {}
            Err(_) => batch.unreadable += 1,
        }
    }
    tx.commit().await?;
    Ok(batch)
}

async fn write_address(
    tx: &mut PgConnection,
    keyring: &Keyring,
    row: &ContactRow,
    address: &SecretString,
) -> Result<(), TxError> {
    let place = contacts::place(row.merchant_id, row.version);
    sqlx::query(WRITE_CONTACT)
        .bind(row.merchant_id)
        .bind(keyring.seal_for(&place, address)?)
        .bind(keyring.current_id())
        .execute(tx)
        .await?;
    Ok(())
}
