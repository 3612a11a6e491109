//! How forgotten customers are known again, without their ids.

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::Generate as _;
use domain::failure::{DatabaseCause, Failure};
use domain::shop::MerchantId;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use ring::hmac;
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::{PgConnection, PgPool};
use zeroize::Zeroizing;

use crate::error::TxError;
use crate::keyring::{Keyring, leave_check};

const NAME: &str = "forgotten_customers";

/// The secret of the hashes. It outlives the encryption keys, or no forgotten customer would be
/// recognized after these have changed.
pub(crate) struct Secret(hmac::Key);

impl Secret {
    /// An id that the platform never assigns: from 2^62 on.
    pub(crate) fn stand_in(&self, merchant: MerchantId, customer: i64) -> i64 {
        let tag = hmac::sign(&self.0, format!("{}/{customer}", merchant.0).as_bytes());
        let first = tag.as_ref().first_chunk::<8>().copied().unwrap_or_default();
        let bits = i64::from_be_bytes(first) & ((1 << 62) - 1);
        (1 << 62) | bits
    }
}

fn place(name: &str) -> String {
    format!("salla_sync.sealed_secrets/{name}")
}

const READ: &str = "SELECT key_id, sealed FROM salla_sync.sealed_secrets WHERE name = $1";

const ADD: &str = "
    INSERT INTO salla_sync.sealed_secrets (name, key_id, sealed, created_at)
    VALUES ($1, $2, $3, $4) ON CONFLICT (name) DO NOTHING";

/// The secret, which exists once a customer was forgotten.
pub(crate) async fn secret(pool: &PgPool, keyring: &Keyring) -> Result<Secret, TxError> {
    let mut connection = pool.acquire().await?;
    read(&mut connection, keyring).await
}

async fn read(connection: &mut PgConnection, keyring: &Keyring) -> Result<Secret, TxError> {
    let (key_id, sealed): (String, Vec<u8>) = sqlx::query_as(READ)
        .bind(NAME)
        .fetch_one(connection)
        .await?;
    let unreadable = |reason: String| Failure::Database {
        message: format!("the secret that identifies forgotten customers: {reason}"),
        cause: DatabaseCause::Setup,
    };
    let text = keyring.open_for(&place(NAME), &key_id, &sealed);
    let text = text.map_err(|mismatch| unreadable(mismatch.to_string()))?;
    let key = STANDARD.decode(text.expose_secret()).map(Zeroizing::new);
    let key = key.map_err(|_| unreadable("it is damaged".to_owned()))?;
    Ok(Secret(hmac::Key::new(hmac::HMAC_SHA256, &key)))
}

/// The secret, made now if there was none.
pub(crate) async fn ensure_secret(
    tx: &mut PgConnection,
    keyring: &Keyring,
    now: Timestamp,
) -> Result<Secret, TxError> {
    let random = <[u8; 32]>::try_generate().map_err(|_| Failure::Bug {
        message: "the operating system provides no random numbers".to_owned(),
    })?;
    let text = SecretString::from(STANDARD.encode(Zeroizing::new(random).as_slice()));
    leave_check(tx, keyring).await?;
    sqlx::query(ADD)
        .bind(NAME)
        .bind(keyring.current_id())
        .bind(keyring.seal_for(&place(NAME), &text)?)
        .bind(now.to_sqlx())
        .execute(&mut *tx)
        .await?;
    read(tx, keyring).await
}

const STAND_INS: &str =
    "SELECT stand_in FROM salla_sync.forgotten_customers WHERE merchant_id = $1";

pub(crate) async fn stand_ins(
    pool: &PgPool,
    merchant: MerchantId,
) -> Result<HashSet<i64>, TxError> {
    let found: Vec<i64> = sqlx::query_scalar(STAND_INS)
        .bind(merchant.0)
        .fetch_all(pool)
        .await?;
    Ok(found.into_iter().collect())
}

const OLD: &str = "
    SELECT name, key_id, sealed FROM salla_sync.sealed_secrets WHERE key_id <> $1 FOR UPDATE";

const WRITE: &str = "UPDATE salla_sync.sealed_secrets SET key_id = $2, sealed = $3 WHERE name = $1";

/// Seals them with the current key; says how many were and how many cannot be read.
pub(crate) async fn rotate(
    tx: &mut PgConnection,
    keyring: &Keyring,
) -> Result<(u64, u64), TxError> {
    let old: Vec<(String, String, Vec<u8>)> = sqlx::query_as(OLD)
        .bind(keyring.current_id())
        .fetch_all(&mut *tx)
        .await?;
    let (mut sealed_again, mut unreadable) = (0, 0);
    for (name, key_id, sealed) in old {
        match keyring.open_for(&place(&name), &key_id, &sealed) {
            Ok(secret) => {
                leave_check(tx, keyring).await?;
                sqlx::query(WRITE)
                    .bind(&name)
                    .bind(keyring.current_id())
                    .bind(keyring.seal_for(&place(&name), &secret)?)
                    .execute(&mut *tx)
                    .await?;
                sealed_again += 1;
            }
            Err(_) => unreadable += 1,
        }
    }
    Ok((sealed_again, unreadable))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn stand_ins_are_ids_that_salla_gives_nobody_and_say_nothing_without_the_key() {
        let secret = |byte: u8| Secret(hmac::Key::new(hmac::HMAC_SHA256, &[byte; 32]));
        let shop = |number| MerchantId(Uuid::from_u128(number));
        let first = secret(1).stand_in(shop(1), 5_001);
        assert_eq!(first, secret(1).stand_in(shop(1), 5_001));
        for other in [
            secret(2).stand_in(shop(1), 5_001),
            secret(1).stand_in(shop(2), 5_001),
            secret(1).stand_in(shop(1), 5_002),
        ] {
            assert_ne!(first, other);
            assert!(other >= 1 << 62);
        }
        assert!(first >= 1 << 62);
    }
}
