//! How far a shop's import is and what it has rejected, for the doors of the service.

use async_trait::async_trait;
use domain::certificate::Certificate;
use domain::failure::Failure;
use domain::rejection::RejectionCode;
use domain::resource::Resource;
use domain::shop::MerchantId;
use domain::window::DayRange;
use jiff::Timestamp;

use super::runs::{Run, StoredProgress};

/// What a run has read of its days.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReadDays {
    /// Windows of orders that are proven.
    pub settled: Vec<DayRange>,
    /// The newest order that still lacks its details.
    pub newest_pending: Option<Timestamp>,
}

/// How far a shop's latest import is.
#[derive(Clone, Debug, PartialEq)]
pub struct SyncStatus {
    /// Without its certificate.
    pub run: Run,
    pub read: ReadDays,
    /// The run's own counts, or the shop's where the run only adds to them.
    pub counts: StoredProgress,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RejectionQuery {
    pub merchant: MerchantId,
    pub resource: Option<Resource>,
    pub code: Option<RejectionCode>,
    /// Only what has a smaller number than this.
    pub before: Option<i64>,
    pub limit: u32,
}

/// A rejected record that has not loaded since.
#[derive(Clone, Debug, PartialEq)]
pub struct RejectedEntry {
    /// Grows with time.
    pub number: i64,
    pub resource: Resource,
    pub kind: String,
    pub salla_id: Option<i64>,
    pub code: RejectionCode,
    pub json_path: String,
    pub message: String,
    pub first_seen_at: Timestamp,
    pub last_seen_at: Timestamp,
    /// As the platform sent it; may hold personal data.
    pub raw: String,
}

#[async_trait]
pub trait Overview: Send + Sync {
    /// `None`: nothing of the shop was started yet.
    async fn status(&self, merchant: MerchantId) -> Result<Option<SyncStatus>, Failure>;

    /// The latest.
    async fn certificate(&self, merchant: MerchantId) -> Result<Option<Certificate>, Failure>;

    /// The latest first.
    async fn rejections(&self, query: &RejectionQuery) -> Result<Vec<RejectedEntry>, Failure>;
}
