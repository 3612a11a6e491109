//! Tickets that open one stream of events: for readers that can send no token.

use async_trait::async_trait;
use domain::failure::Failure;
use domain::shop::MerchantId;
use jiff::Timestamp;

#[async_trait]
pub trait EventTickets: Send + Sync {
    /// Stores the hash of a new ticket; what has expired is forgotten.
    async fn issue(
        &self,
        hash: &[u8; 32],
        merchant: MerchantId,
        expires_at: Timestamp,
    ) -> Result<(), Failure>;

    /// Whose import may be followed. Of two callers with one ticket at most one is given it;
    /// both may be refused where the first one's answer was lost.
    async fn redeem(&self, hash: &[u8; 32]) -> Result<Option<MerchantId>, Failure>;
}
