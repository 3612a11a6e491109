//! Records that have been read before: the raw texts that are kept of them, and
//! landing these again after the translation has been put right.

use async_trait::async_trait;
use domain::failure::Failure;
use domain::order::{Order, OrderItem, Version};
use domain::rejection::{Rejection, RejectionCode};
use domain::resource::Resource;
use domain::run::RunId;
use domain::shop::MerchantId;

use super::platform::{Decoded, Records};
use super::runs::LeaseHolder;

/// Which answer of the platform a kept text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RawSource {
    ListRow(Resource),
    OrderDetail,
    OrderItems,
}

/// Which open rejections to look at; `None` means all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RejectionFilter {
    pub resource: Option<Resource>,
    pub code: Option<RejectionCode>,
}

/// A rejected record, with what is needed to land it after all.
#[derive(Clone, Debug)]
pub struct StoredRejection {
    /// Our own number of the rejection; grows.
    pub number: i64,
    /// The last run that met it.
    pub run: RunId,
    pub source: RawSource,
    pub salla_id: Option<i64>,
    pub raw: String,
    pub version: Version,
}

/// What a rejected record means now.
#[derive(Clone, Debug)]
pub enum Reprocessed {
    /// One record.
    Row(Records),
    Detail(Box<Decoded<Order>>),
    /// It is understood now, but the other half of the order was not kept.
    Incomplete,
    Refused(Rejection),
}

/// What the database did with a batch of reread rejections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplayCounts {
    pub loaded: u64,
    /// Still not understood, or not taken by the database.
    pub refused: u64,
    /// Of those: how many for another reason or at another place than before.
    pub reason_changed: u64,
    /// Understood, but only another import can complete them.
    pub incomplete: u64,
    /// Of the loaded: orders whose details no one has fetched yet.
    pub lack_details: u64,
}

/// One version of a record as the platform sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredText {
    pub raw: String,
    pub version: Version,
    /// Number of the last run that met it.
    pub run: i64,
}

/// The stored raw texts of one record. An order may have both, because a list has its status and
/// total, and its detail everything.
#[derive(Clone, Debug)]
pub struct StoredRecord {
    pub salla_id: i64,
    pub listed: Option<StoredText>,
    pub detail: Option<StoredText>,
    /// Items that were fetched by a separate request.
    pub items: Option<String>,
}

/// A kept record, read again.
#[derive(Clone, Debug)]
pub struct ReprocessedRecord {
    pub kept: StoredRecord,
    /// One record, of the same text.
    pub listed: Option<Records>,
    pub detail: Option<ReprocessedDetail>,
}

#[derive(Clone, Debug)]
pub struct ReprocessedDetail {
    pub order: Box<Decoded<Order>>,
    pub items: Option<Decoded<Vec<OrderItem>>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RemapCounts {
    pub read: u64,
    /// Records of which at least one row is another than before.
    pub changed: u64,
    /// Records that loaded before and are no longer readable, or no longer taken by
    /// the database; their rows stay.
    pub refused: u64,
}

/// The outcome of writing beside the imports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exclusive<T> {
    Done(T),
    /// A run holds the shop; nothing was written.
    RunActive(LeaseHolder),
}

/// Stored records of all shops.
///
/// Writing calls take turns with the imports of the same shop: while a run is held
/// they write nothing and say who holds it, and a run cannot be claimed in the middle
/// of one. Each call is one transaction, so that what was done before a crash or a
/// refusal stays. All calls may be repeated: the same texts leave the same rows.
#[async_trait]
pub trait StoredRecords: Send + Sync {
    async fn count_rejections(
        &self,
        merchant: MerchantId,
        choice: RejectionFilter,
    ) -> Result<u64, Failure>;

    /// Open rejections in the order of their numbers, after `after`.
    async fn rejections(
        &self,
        merchant: MerchantId,
        choice: RejectionFilter,
        after: i64,
        limit: u32,
    ) -> Result<Vec<StoredRejection>, Failure>;

    /// Lands what is understood now under the version it came with, closes its
    /// rejection, and puts the new reason on record for what is not, or what the
    /// database does not take.
    async fn land_rejections(
        &self,
        merchant: MerchantId,
        reread: Vec<(StoredRejection, Reprocessed)>,
    ) -> Result<Exclusive<ReplayCounts>, Failure>;

    /// How many records of a resource have a raw text that was kept.
    async fn count_stored(&self, merchant: MerchantId, resource: Resource) -> Result<u64, Failure>;

    /// Kept records in the order of their ids, after `after`.
    async fn stored(
        &self,
        merchant: MerchantId,
        resource: Resource,
        after: i64,
        limit: u32,
    ) -> Result<Vec<StoredRecord>, Failure>;

    /// Writes the rows of records whose text is the same but is read in another way
    /// now. Versions stay, so that nothing newer is overwritten.
    async fn land_reprocessed(
        &self,
        merchant: MerchantId,
        resource: Resource,
        reread: Vec<ReprocessedRecord>,
    ) -> Result<Exclusive<RemapCounts>, Failure>;
}

/// Reads raw texts exactly as the platform's adapter reads responses, without requests.
pub trait Translator: Send + Sync {
    /// One row of a list.
    fn list_row(&self, resource: Resource, raw: &str) -> Records;
    fn order(&self, raw: &str) -> Decoded<Order>;
    fn order_items(&self, raw: &str) -> Decoded<Vec<OrderItem>>;
}
