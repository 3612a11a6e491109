//! What is known of one customer or one shop: exported, and forgotten.

mod customer;
mod export;
mod forgotten;
mod shop;

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use domain::failure::{DatabaseCause, Failure};
use domain::shop::MerchantId;
use importer::ports::clock::Clock;
use importer::ports::privacy::{Deleted, ExpiredShop, ExpiredShops, ForgottenCustomers, Redactor};
use importer::ports::records::Exclusive;
use jiff::Timestamp;
use serde_json::Value;
use sqlx::PgPool;

pub use customer::ForgetCounts;

use crate::error::{with_long_retries, with_retries};
use crate::keyring::Keyring;
use forgotten::Secret;

pub(crate) use forgotten::rotate as rotate_secrets;

/// Rows of people, exported and forgotten.
#[derive(Clone, Debug)]
pub struct PostgresPrivacy {
    pool: PgPool,
    clock: Arc<dyn Clock>,
    /// Without it no forgotten customer is recognized.
    keyring: Option<Keyring>,
}

/// The forgotten customers of one shop.
struct Forgotten {
    secret: Secret,
    merchant: MerchantId,
    stand_ins: HashSet<i64>,
}

impl ForgottenCustomers for Forgotten {
    fn stand_in(&self, customer: i64) -> Option<i64> {
        let stand_in = self.secret.stand_in(self.merchant, customer);
        self.stand_ins.contains(&stand_in).then_some(stand_in)
    }
}

impl PostgresPrivacy {
    pub(crate) fn new(pool: PgPool, clock: Arc<dyn Clock>, keyring: Option<Keyring>) -> Self {
        Self {
            pool,
            clock,
            keyring,
        }
    }

    fn keyring(&self) -> Result<&Keyring, Failure> {
        self.keyring.as_ref().ok_or_else(|| Failure::Database {
            message: "this shop has forgotten customers, who can only be recognized with \
                 SALLA_SYNC_KEY, which is not set; set it"
                .to_owned(),
            cause: DatabaseCause::Setup,
        })
    }

    /// Customers of a shop who must not come back; `None`: there are none.
    pub async fn forgotten(
        &self,
        merchant: MerchantId,
    ) -> Result<Option<Arc<dyn ForgottenCustomers>>, Failure> {
        let stand_ins = with_retries(&self.clock, "reading the forgotten customers", || {
            forgotten::stand_ins(&self.pool, merchant)
        })
        .await?;
        if stand_ins.is_empty() {
            return Ok(None);
        }
        let keyring = self.keyring()?;
        let secret = with_retries(
            &self.clock,
            "reading the key of forgotten customers",
            || forgotten::secret(&self.pool, keyring),
        )
        .await?;
        Ok(Some(Arc::new(Forgotten {
            secret,
            merchant,
            stand_ins,
        })))
    }

    /// Erases a customer: only the placeholder is left. With `dry_run` only returns what would be
    /// changed. May be repeated.
    pub async fn forget_customer(
        &self,
        merchant: MerchantId,
        customer: i64,
        redactor: &dyn Redactor,
        dry_run: bool,
    ) -> Result<Exclusive<ForgetCounts>, Failure> {
        let keyring = self.keyring.as_ref().ok_or_else(|| Failure::Database {
            message:
                "SALLA_SYNC_KEY is not set, and the stored hash of a forgotten customer is keyed \
                 with it; set it"
                    .to_owned(),
            cause: DatabaseCause::Setup,
        })?;
        let now = self.clock.now();
        let whom = (merchant, customer);
        with_long_retries(&self.clock, "forgetting a customer", || {
            customer::forget(&self.pool, keyring, whom, redactor, dry_run, now)
        })
        .await
    }

    /// Everything that is stored of a customer, as JSON.
    pub async fn export_customer(
        &self,
        merchant: MerchantId,
        customer: i64,
        redactor: &dyn Redactor,
    ) -> Result<Value, Failure> {
        with_long_retries(&self.clock, "exporting a customer", || {
            export::customer(&self.pool, merchant, customer, redactor)
        })
        .await
    }

    /// The shops that have a customer or an order of this customer.
    pub async fn shops_of_customer(&self, customer: i64) -> Result<Vec<(i64, String)>, Failure> {
        with_retries(&self.clock, "looking for a customer's shops", || async {
            let shops = sqlx::query_as(SHOPS_OF_CUSTOMER).bind(customer);
            Ok(shops.fetch_all(&self.pool).await?)
        })
        .await
    }

    /// Deletes everything of a shop. With `dry_run` says only what would be deleted.
    pub async fn forget_shop(
        &self,
        merchant: MerchantId,
        dry_run: bool,
    ) -> Result<Exclusive<Deleted>, Failure> {
        with_long_retries(&self.clock, "deleting a shop", || async {
            let deleted = shop::delete(&self.pool, merchant, None, dry_run).await?;
            // Without a condition it is done, or another process is doing it.
            Ok(match deleted {
                Exclusive::Done(deleted) => Exclusive::Done(deleted.unwrap_or_default()),
                Exclusive::RunActive(holder) => Exclusive::RunActive(holder),
            })
        })
        .await
    }
}

const SHOPS_OF_CUSTOMER: &str = "
    SELECT m.salla_id, m.name FROM salla_sync.merchants m
    WHERE EXISTS (SELECT FROM salla.customers c WHERE c.merchant_id = m.id AND c.id = $1)
       OR EXISTS (SELECT FROM salla.orders o WHERE o.merchant_id = m.id AND o.customer_id = $1)
    ORDER BY m.salla_id";

#[async_trait]
impl ExpiredShops for PostgresPrivacy {
    async fn expired(&self, before: Timestamp) -> Result<Vec<ExpiredShop>, Failure> {
        with_retries(&self.clock, "looking for expired shops", || {
            shop::expired(&self.pool, before)
        })
        .await
    }

    async fn delete_expired(
        &self,
        merchant: MerchantId,
        before: Timestamp,
    ) -> Result<Option<Deleted>, Failure> {
        with_long_retries(&self.clock, "deleting an expired shop", || async {
            let deleted = shop::delete(&self.pool, merchant, Some(before), false).await?;
            Ok(match deleted {
                Exclusive::Done(deleted) => deleted,
                Exclusive::RunActive(_) => None,
            })
        })
        .await
    }
}
