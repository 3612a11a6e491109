//! Where records land. Rows and checkpoint are one transaction: a crash shows
//! either all of a batch or nothing of it.

use async_trait::async_trait;
use domain::failure::Failure;
use domain::order::{Order, OrderItem, Version};
use domain::rejection::RejectionCode;
use domain::resource::Resource;
use domain::run::{RunId, WindowId};
use domain::shop::MerchantId;
use jiff::Timestamp;

use super::platform::{Decoded, Page, Pagination, Records};

/// The right to write for a run. The fencing number grows with every claim; a write
/// under an older one fails with [`Failure::LeaseLost`] and leaves nothing behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunLease {
    pub run: RunId,
    pub merchant: MerchantId,
    pub fencing_token: i64,
}

/// A page with its place in the scan of its window.
#[derive(Clone, Debug)]
pub struct ScannedPage {
    pub window: WindowId,
    pub scan: u32,
    pub page: u32,
    pub pagination: Pagination,
    pub version: Version,
    pub records: Records,
}

/// What became of one order that lacked details.
#[derive(Clone, Debug)]
pub struct OrderDetail {
    pub order_id: i64,
    pub version: Version,
    pub outcome: DetailOutcome,
}

#[derive(Clone, Debug)]
pub enum DetailOutcome {
    /// Boxed: a whole order beside an empty variant.
    Found {
        order: Box<Decoded<Order>>,
        /// Items that were fetched by a separate request; else they are in the order.
        items: Option<Decoded<Vec<OrderItem>>>,
    },
    /// Salla responded with 404: the order leaves `salla.orders` and a tombstone stays, so that a
    /// page in flight does not bring it back.
    Gone,
}

/// What a commit did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Landed {
    /// Records understood and now in their table, changed or not.
    pub loaded: u64,
    pub rejected: u64,
    /// Of those: records that were understood and that the database does not take.
    pub refused: u64,
    /// Pages of the batch that had been landed before and were left as they are.
    pub repeated_pages: u64,
    /// Records whose stored version was in the future; the new reading replaced it.
    pub from_future: u64,
    /// What the run has loaded with this commit and those before it.
    pub counted: Option<Counted>,
}

/// Different records that a run has loaded, however often it met them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    pub orders: u64,
    pub order_details: u64,
    pub customers: u64,
    pub products: u64,
    pub rejected: u64,
}

/// What a commit outside of any scan did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LandedChanges {
    pub landed: Landed,
    /// Orders that were new, or whose row differs from what the list gave before.
    pub changed: Vec<i64>,
}

/// An order that still lacks details.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PendingDetail {
    pub order_id: i64,
    pub created_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectionTally {
    pub resource: Resource,
    pub code: RejectionCode,
    pub count: u64,
    /// Records of this resource that the run has landed, rejections included.
    pub seen: u64,
}

/// Rows, rejections, counters and checkpoint in one transaction.
///
/// * The same batch twice leaves the same rows and counts nothing twice.
/// * An older version never overwrites a newer one, and a header never clears what
///   a detail filled; an unchanged row is not rewritten.
/// * A record that the database does not take, whatever its reason, is rejected as
///   `refused_by_database`; its neighbors land.
/// * Calls may run in parallel, for the same run too.
/// * Deadlocks and lost connections are retried inside; what remains is a `Failure`
///   after which the caller may repeat the call.
#[async_trait]
pub trait Landing: Send + Sync {
    /// Lands whole pages of one resource. All pages become visible together.
    async fn land_pages(&self, lease: RunLease, pages: &[ScannedPage]) -> Result<Landed, Failure>;

    /// Lands details and takes the orders off the list of pending details.
    async fn land_details(
        &self,
        lease: RunLease,
        details: &[OrderDetail],
    ) -> Result<Landed, Failure>;

    /// Orders of this run that lack details, newest first, strictly after `after` in
    /// that order. Orders whose detail was rejected or is gone are not listed.
    async fn pending_details(
        &self,
        lease: RunLease,
        after: Option<PendingDetail>,
        limit: u32,
    ) -> Result<Vec<PendingDetail>, Failure>;

    /// How many there are of these.
    async fn count_pending(&self, lease: RunLease) -> Result<u64, Failure>;

    /// Lands orders that were listed outside of any window's scan, such as the latest updates.
    /// There is no checkpoint: requesting them again is cheap.
    async fn land_changes(&self, lease: RunLease, page: &Page) -> Result<LandedChanges, Failure>;

    /// Puts orders that have a row on the list of pending details, complete or not.
    async fn mark_pending(&self, lease: RunLease, orders: &[i64]) -> Result<(), Failure>;

    /// Leaves a tombstone for records that Salla no longer lists and takes away their
    /// rows, unless something newer than `version` is known. A customer to whom an
    /// order refers keeps the row. For orders see [`DetailOutcome::Gone`].
    async fn tombstone(
        &self,
        lease: RunLease,
        resource: Resource,
        ids: &[i64],
        version: Version,
    ) -> Result<(), Failure>;

    /// Deletes what vanished records have left: rejections of records that no current scan has
    /// listed and that have no row, and customers known only from an order that is gone.
    async fn clear_vanished(&self, lease: RunLease) -> Result<(), Failure>;

    /// Open rejections of this run by kind.
    async fn rejection_tally(&self, lease: RunLease) -> Result<Vec<RejectionTally>, Failure>;
}
