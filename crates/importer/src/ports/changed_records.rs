//! Records that a webhook says are other ones now, between the imports of their shop.

use std::time::Duration;

use async_trait::async_trait;
use domain::failure::Failure;
use domain::order::Version;
use domain::resource::Resource;
use domain::shop::MerchantId;
use jiff::Timestamp;

use super::landing::OrderDetail;
use super::platform::Records;
use super::records::Exclusive;

/// A record to fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangedRecord {
    pub resource: Resource,
    pub id: i64,
    /// Another one as soon as a further webhook says so.
    pub marked_at: Timestamp,
}

/// What the platform says of a record now.
#[derive(Clone, Debug)]
pub enum RecordNow {
    Order(Box<OrderDetail>),
    /// One customer or product.
    Row(Records, Version),
    /// A customer or product that the platform no longer has.
    Gone(Version),
    /// An order that the history of the shop does not go back to: nothing lands.
    OutOfRange,
}

/// All calls may be repeated.
#[async_trait]
pub trait ChangedRecords: Send + Sync {
    /// Shops of which records are to be fetched: their history is there, they are connected, and
    /// no run of them waits or is worked on. Each is held for `hold`, so that of several workers
    /// one has it.
    async fn take(&self, hold: Duration, most: u32) -> Result<Vec<MerchantId>, Failure>;

    /// Holds a shop for `pause` from now on and no longer.
    async fn release(&self, merchant: MerchantId, pause: Duration) -> Result<(), Failure>;

    /// Records to fetch, those first that have waited longest. What an import has read long
    /// enough after the webhook is among them no longer.
    async fn list(&self, merchant: MerchantId, most: u32) -> Result<Vec<ChangedRecord>, Failure>;

    /// Lands what was fetched and takes it off the list in one transaction, except what a further
    /// webhook has marked meanwhile. While a run of the shop is worked on nothing is written.
    /// As in imports, an older version never overwrites a newer one.
    async fn land(
        &self,
        merchant: MerchantId,
        fetched: &[(ChangedRecord, RecordNow)],
    ) -> Result<Exclusive<()>, Failure>;
}
