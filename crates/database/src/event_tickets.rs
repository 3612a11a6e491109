//! Tickets for streams of events, each redeemed once.

use std::sync::Arc;

use async_trait::async_trait;
use domain::failure::Failure;
use domain::shop::MerchantId;
use importer::ports::api_access::EventTickets;
use importer::ports::clock::Clock;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::PgPool;
use uuid::Uuid;

use crate::error::with_retries;

/// [`EventTickets`] on PostgreSQL.
#[derive(Clone, Debug)]
pub struct PostgresEventTickets {
    pub(crate) pool: PgPool,
    pub(crate) clock: Arc<dyn Clock>,
}

/// Rows that another issuer is deleting are left to it.
const ISSUE: &str = "
    WITH forgotten AS (
        DELETE FROM salla_sync.event_tickets WHERE hash IN (
            SELECT hash FROM salla_sync.event_tickets WHERE expires_at < $4
            LIMIT 100 FOR UPDATE SKIP LOCKED))
    INSERT INTO salla_sync.event_tickets (hash, merchant_id, expires_at)
    VALUES ($1, $2, $3) ON CONFLICT (hash) DO NOTHING";

const REDEEM: &str = "
    DELETE FROM salla_sync.event_tickets WHERE hash = $1
    RETURNING CASE WHEN expires_at > $2 THEN merchant_id END";

#[async_trait]
impl EventTickets for PostgresEventTickets {
    async fn issue(
        &self,
        hash: &[u8; 32],
        merchant: MerchantId,
        expires_at: Timestamp,
    ) -> Result<(), Failure> {
        let now = self.clock.now();
        with_retries(&self.clock, "issuing a ticket for events", || async {
            sqlx::query(ISSUE)
                .bind(hash.as_slice())
                .bind(merchant.0)
                .bind(expires_at.to_sqlx())
                .bind(now.to_sqlx())
                .execute(&self.pool)
                .await?;
            Ok(())
        })
        .await
    }

    async fn redeem(&self, hash: &[u8; 32]) -> Result<Option<MerchantId>, Failure> {
        let now = self.clock.now();
        let merchant: Option<Option<Uuid>> =
            with_retries(&self.clock, "redeeming a ticket for events", || async {
                let redeemed = sqlx::query_scalar(REDEEM)
                    .bind(hash.as_slice())
                    .bind(now.to_sqlx());
                Ok(redeemed.fetch_optional(&self.pool).await?)
            })
            .await?;
        Ok(merchant.flatten().map(MerchantId))
    }
}
