//! Whom e-mails about a shop reach; the address is encrypted.

use std::sync::Arc;

use async_trait::async_trait;
use domain::contact::{EmailAddress, Language};
use domain::failure::{DatabaseCause, Failure};
use domain::shop::MerchantId;
use importer::ports::clock::Clock;
use importer::ports::contacts::{ContactChange, ContactSettings, Contacts};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::error::{TxError, with_retries};
use crate::keyring::{KeyMismatch, Keyring, leave_check};
use crate::transaction::begin_durable;

/// [`Contacts`] on PostgreSQL.
#[derive(Clone, Debug)]
pub struct PostgresContacts {
    pool: PgPool,
    clock: Arc<dyn Clock>,
    keyring: Keyring,
}

impl PostgresContacts {
    pub(crate) fn new(pool: PgPool, clock: Arc<dyn Clock>, keyring: Keyring) -> Self {
        Self {
            pool,
            clock,
            keyring,
        }
    }
}

#[async_trait]
impl Contacts for PostgresContacts {
    async fn contact_of(&self, merchant: MerchantId) -> Result<ContactSettings, Failure> {
        with_retries(&self.clock, "reading a shop's contact", || async {
            let row: Option<ContactRow> = sqlx::query_as(OF_MERCHANT)
                .bind(merchant.0)
                .fetch_optional(&self.pool)
                .await?;
            Ok(settings(row.as_ref(), &self.keyring)?)
        })
        .await
    }

    async fn change(
        &self,
        merchant: MerchantId,
        change: &ContactChange,
    ) -> Result<ContactSettings, Failure> {
        let now = self.clock.now();
        with_retries(&self.clock, "storing a shop's contact", || {
            self.store(merchant, change, true, now)
        })
        .await
    }

    async fn suggest(&self, merchant: MerchantId, address: &EmailAddress) -> Result<(), Failure> {
        let now = self.clock.now();
        let change = ContactChange {
            address: Some(Some(address.clone())),
            ..ContactChange::default()
        };
        with_retries(
            &self.clock,
            "storing the contact that Salla names for a shop",
            || self.store(merchant, &change, false, now),
        )
        .await?;
        Ok(())
    }
}

macro_rules! select_contacts {
    ($rest:literal) => {
        concat!(
            "SELECT merchant_id, email, key_id, version, language, wants_email, is_set \
             FROM salla_sync.merchant_contacts WHERE merchant_id = $1",
            $rest
        )
    };
}

const OF_MERCHANT: &str = select_contacts!("");
const LOCK: &str = select_contacts!(" FOR UPDATE");

/// So that there is a row to lock.
const ENSURE: &str = "
    INSERT INTO salla_sync.merchant_contacts (merchant_id, updated_at) VALUES ($1, $2)
    ON CONFLICT (merchant_id) DO NOTHING";

const WRITE: &str = "
    UPDATE salla_sync.merchant_contacts
    SET email = $2, key_id = $3, version = $4, language = $5, wants_email = $6, is_set = $7,
        updated_at = $8
    WHERE merchant_id = $1";

#[derive(sqlx::FromRow)]
pub(crate) struct ContactRow {
    pub(crate) merchant_id: Uuid,
    email: Option<Vec<u8>>,
    key_id: Option<String>,
    pub(crate) version: i64,
    language: Option<String>,
    wants_email: bool,
    is_set: bool,
}

/// What an address is bound to.
pub(crate) fn place(merchant: Uuid, version: i64) -> String {
    format!("salla_sync.merchant_contacts/{merchant}/email/version {version}")
}

impl ContactRow {
    pub(crate) fn address(&self, keyring: &Keyring) -> Result<Option<SecretString>, KeyMismatch> {
        let sealed = self.email.as_ref().zip(self.key_id.as_ref());
        sealed
            .map(|(email, key_id)| {
                keyring.open_for(&place(self.merchant_id, self.version), key_id, email)
            })
            .transpose()
    }
}

fn settings(row: Option<&ContactRow>, keyring: &Keyring) -> Result<ContactSettings, Failure> {
    let Some(row) = row else {
        return Ok(ContactSettings::default());
    };
    let unreadable = |mismatch: KeyMismatch| Failure::Database {
        message: format!("the address of a shop's merchant cannot be read: {mismatch}"),
        cause: DatabaseCause::Setup,
    };
    let address = row.address(keyring).map_err(unreadable)?;
    let language = row.language.as_deref().and_then(Language::parse);
    Ok(ContactSettings {
        address: address.and_then(|address| EmailAddress::parse(address.expose_secret())),
        language: language.unwrap_or_default(),
        wants_email: row.wants_email,
        is_set: row.is_set,
    })
}

impl PostgresContacts {
    /// `sets`: a person has decided, which Salla's data does not overwrite.
    async fn store(
        &self,
        merchant: MerchantId,
        change: &ContactChange,
        sets: bool,
        now: Timestamp,
    ) -> Result<ContactSettings, TxError> {
        let mut tx = begin_durable(&self.pool).await?;
        sqlx::query(ENSURE)
            .bind(merchant.0)
            .bind(now.to_sqlx())
            .execute(&mut *tx)
            .await?;
        let row: ContactRow = sqlx::query_as(LOCK)
            .bind(merchant.0)
            .fetch_one(&mut *tx)
            .await?;
        let before = settings(Some(&row), &self.keyring)?;
        let mut after = before.clone();
        match &change.address {
            Some(address) if sets || !before.is_set => after.address = address.clone(),
            Some(_) | None => {}
        }
        after.is_set = before.is_set || (sets && change.address.is_some());
        after.language = change.language.unwrap_or(before.language);
        after.wants_email = change.wants_email.unwrap_or(before.wants_email);
        if after != before {
            self.write(&mut tx, merchant, (&row, &after), now).await?;
        }
        tx.commit().await?;
        Ok(after)
    }

    async fn write(
        &self,
        tx: &mut PgConnection,
        merchant: MerchantId,
        (row, after): (&ContactRow, &ContactSettings),
        now: Timestamp,
    ) -> Result<(), TxError> {
        let version = row.version + 1;
        let sealed = match &after.address {
            Some(address) => {
                let secret = SecretString::from(address.as_str());
                leave_check(tx, &self.keyring).await?;
                Some(
                    self.keyring
                        .seal_for(&place(merchant.0, version), &secret)?,
                )
            }
            None => None,
        };
        let key_id = sealed.is_some().then(|| self.keyring.current_id());
        sqlx::query(WRITE)
            .bind(merchant.0)
            .bind(sealed)
            .bind(key_id)
            .bind(version)
            .bind(after.language.as_str())
            .bind(after.wants_email)
            .bind(after.is_set)
            .bind(now.to_sqlx())
            .execute(tx)
            .await?;
        Ok(())
    }
}
