//! Tokens that have come, by a delivery or a consent, and are not settled yet.
//!
//! They are given once. A delivery has to be confirmed within a second while finding out whose
//! tokens it brought takes requests that may have to wait. So the tokens are stored as they
//! came, and settled afterwards, by whichever process comes first.

use async_trait::async_trait;
use domain::failure::Failure;
use jiff::Timestamp;

use super::connections::ConnectionId;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    pub connection: ConnectionId,
    /// The platform's number of the shop that the delivery names; a consent names none.
    pub named: Option<i64>,
    /// When the merchant authorized the app, as the delivery says.
    pub authorized_at: Option<Timestamp>,
    pub received_at: Timestamp,
}

#[async_trait]
pub trait Arrivals: Send + Sync {
    /// Durable when it returns. Says whether the tokens are still to be settled: a delivery
    /// that comes again is known by its tokens.
    async fn record(&self, arrival: &Arrival) -> Result<bool, Failure>;

    /// Those that are not settled, the oldest first; with `claimed_only` without those of shops
    /// that nobody has claimed.
    async fn unsettled(&self, limit: u32, claimed_only: bool) -> Result<Vec<Arrival>, Failure>;

    /// Overwrites tokens that came before `before` and were never settled, and says of which
    /// shops those are.
    async fn forget(&self, before: Timestamp) -> Result<Vec<Option<i64>>, Failure>;

    /// Notes what became of it, under a stable name. May be repeated.
    async fn settle(&self, connection: ConnectionId, outcome: &'static str) -> Result<(), Failure>;
}
