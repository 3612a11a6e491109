//! Reading stored records back, and landing kept texts again beside the imports.

mod changed;
pub(crate) mod exclusive;
mod inventory;
mod order_rows;
mod remap;
mod replay;
mod traces;

use std::sync::Arc;

use async_trait::async_trait;
use domain::failure::Failure;
use domain::order::Version;
use domain::resource::Resource;
use domain::shop::MerchantId;
use importer::ports::clock::Clock;
use importer::ports::landing::ScannedPage;
use importer::ports::platform::{Pagination, Records};
use importer::ports::records::{
    Exclusive, RejectionFilter, RemapCounts, ReplayCounts, Reprocessed, ReprocessedRecord,
    StoredRecord, StoredRecords, StoredRejection, StoredText,
};
use sqlx::PgPool;

use crate::error::{with_long_retries, with_retries};
use crate::landing::context::page_outside_scans;
use crate::landing::isolation::rejecting;
use crate::landing::raw::decompress;

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
    pub(crate) pool: PgPool,
    pub(crate) clock: Arc<dyn Clock>,
}

const COUNT: &str = "
    SELECT count(*) FROM salla_sync.source_records
    WHERE merchant_id = $1 AND resource = $2::text::salla_sync.resource
      AND (list_raw IS NOT NULL OR detail_raw IS NOT NULL)";

const LIST: &str = "
    SELECT salla_id, list_version, list_run, list_raw, detail_version, detail_run, detail_raw,
           items_raw
    FROM salla_sync.source_records
    WHERE merchant_id = $1 AND resource = $2::text::salla_sync.resource AND salla_id > $3
      AND (list_raw IS NOT NULL OR detail_raw IS NOT NULL)
    ORDER BY salla_id
    LIMIT $4";

#[derive(sqlx::FromRow)]
struct Row {
    salla_id: i64,
    list_version: Option<jiff_sqlx::Timestamp>,
    list_run: Option<i64>,
    list_raw: Option<Vec<u8>>,
    detail_version: Option<jiff_sqlx::Timestamp>,
    detail_run: Option<i64>,
    detail_raw: Option<Vec<u8>>,
    items_raw: Option<Vec<u8>>,
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
        with_long_retries(&self.clock, "counting stored records", || async {
            let count: i64 = sqlx::query_scalar(COUNT)
                .bind(merchant.0)
                .bind(resource.as_str())
                .fetch_one(&self.pool)
                .await?;
            Ok(count.cast_unsigned())
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
        with_retries(&self.clock, "reading stored records", || async {
            let rows: Vec<Row> = sqlx::query_as(LIST)
                .bind(merchant.0)
                .bind(resource.as_str())
                .bind(after)
                .bind(i64::from(limit))
                .fetch_all(&self.pool)
                .await?;
            let records = rows.into_iter().map(StoredRecord::try_from);
            Ok(records.collect::<Result<_, Failure>>()?)
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

impl TryFrom<Row> for StoredRecord {
    type Error = Failure;

    fn try_from(row: Row) -> Result<Self, Failure> {
        Ok(Self {
            salla_id: row.salla_id,
            listed: text(row.list_raw, row.list_version, row.list_run)?,
            detail: text(row.detail_raw, row.detail_version, row.detail_run)?,
            items: row.items_raw.map(|raw| decompress(&raw)).transpose()?,
        })
    }
}

fn text(
    raw: Option<Vec<u8>>,
    version: Option<jiff_sqlx::Timestamp>,
    run: Option<i64>,
) -> Result<Option<StoredText>, Failure> {
    let (Some(raw), Some(version), Some(run)) = (raw, version, run) else {
        return Ok(None);
    };
    Ok(Some(StoredText {
        raw: decompress(&raw)?,
        version: version.to_jiff(),
        run,
    }))
}
