//! Reading stored records back, and landing kept texts again beside the imports.

mod changed;
pub(crate) mod exclusive;
mod inventory;
mod order_rows;
mod raw_records;
mod remap;
mod replay;
mod traces;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::failure::Failure;
use domain::order::Version;
use domain::resource::Resource;
use domain::shop::MerchantId;
use importer::ports::changed_records::{ChangedRecord, ChangedRecords, RecordNow};
use importer::ports::clock::Clock;
use importer::ports::landing::ScannedPage;
use importer::ports::platform::{Pagination, Records};
use importer::ports::records::{
    Exclusive, RejectionFilter, RemapCounts, ReplayCounts, Reprocessed, ReprocessedRecord,
    StoredRecord, StoredRecords, StoredRejection,
};
use sqlx::PgPool;

use crate::error::{with_long_retries, with_retries};
use crate::landing::context::page_outside_scans;
use crate::landing::isolation::rejecting;

/// A page with this record alone: versions differ from one record to the next.
fn single_record_page(record: &Records, version: Version) -> ScannedPage {
    let pagination = Pagination {
        count: 1,
        total: 1,
        per_page: 1,
        current_page: 1,
        total_pages: 1,
    };
    page_outside_scans(record.clone(), version, pagination)
}

/// [`StoredRecords`] on PostgreSQL.
#[derive(Clone, Debug)]
pub struct PostgresRecords {
    pool: PgPool,
    clock: Arc<dyn Clock>,
}

impl PostgresRecords {
    pub(crate) fn new(pool: PgPool, clock: Arc<dyn Clock>) -> Self {
        Self { pool, clock }
    }
}

#[async_trait]
impl StoredRecords for PostgresRecords {
    async fn count_rejections(
        &self,
        merchant: MerchantId,
        choice: RejectionFilter,
    ) -> Result<u64, Failure> {
        with_long_retries(&self.clock, "counting rejections", || {
            replay::count(&self.pool, merchant, choice)
        })
        .await
    }

    async fn rejections(
        &self,
        merchant: MerchantId,
        choice: RejectionFilter,
        after: i64,
        limit: u32,
    ) -> Result<Vec<StoredRejection>, Failure> {
        with_retries(&self.clock, "reading rejections", || {
            replay::list(&self.pool, merchant, choice, after, limit)
        })
        .await
    }

    async fn land_rejections(
        &self,
        merchant: MerchantId,
        reread: Vec<(StoredRejection, Reprocessed)>,
    ) -> Result<Exclusive<ReplayCounts>, Failure> {
        let now = self.clock.now();
        with_long_retries(&self.clock, "landing rejections again", || {
            rejecting(|care| replay::land(&self.pool, merchant, &reread, now, care))
        })
        .await
    }

    async fn count_stored(&self, merchant: MerchantId, resource: Resource) -> Result<u64, Failure> {
        with_long_retries(&self.clock, "counting stored records", || {
            raw_records::count(&self.pool, merchant, resource)
        })
        .await
    }

    async fn stored(
        &self,
        merchant: MerchantId,
        resource: Resource,
        after: i64,
        limit: u32,
    ) -> Result<Vec<StoredRecord>, Failure> {
        with_retries(&self.clock, "reading stored records", || {
            raw_records::list(&self.pool, merchant, resource, after, limit)
        })
        .await
    }

    async fn land_reprocessed(
        &self,
        merchant: MerchantId,
        resource: Resource,
        reread: Vec<ReprocessedRecord>,
    ) -> Result<Exclusive<RemapCounts>, Failure> {
        let now = self.clock.now();
        with_long_retries(&self.clock, "landing stored records again", || {
            rejecting(|care| remap::land(&self.pool, merchant, resource, &reread, now, care))
        })
        .await
    }
}

#[async_trait]
impl ChangedRecords for PostgresRecords {
    async fn take(&self, hold: Duration, most: u32) -> Result<Vec<MerchantId>, Failure> {
        let now = self.clock.now();
        with_retries(
            &self.clock,
            "looking for shops with changed records",
            || changed::take(&self.pool, hold, most, now),
        )
        .await
    }

    async fn release(&self, merchant: MerchantId, pause: Duration) -> Result<(), Failure> {
        let now = self.clock.now();
        with_retries(&self.clock, "releasing a shop's changed records", || {
            changed::release(&self.pool, merchant, pause, now)
        })
        .await
    }

    async fn list(&self, merchant: MerchantId, most: u32) -> Result<Vec<ChangedRecord>, Failure> {
        with_retries(&self.clock, "listing changed records", || {
            changed::list(&self.pool, merchant, most)
        })
        .await
    }

    async fn land(
        &self,
        merchant: MerchantId,
        fetched: &[(ChangedRecord, RecordNow)],
    ) -> Result<Exclusive<()>, Failure> {
        let now = self.clock.now();
        with_long_retries(&self.clock, "landing changed records", || {
            rejecting(|care| changed::land(&self.pool, merchant, fetched, now, care))
        })
        .await
    }
}
