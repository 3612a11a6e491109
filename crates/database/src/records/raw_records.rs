//! The raw texts that runs have kept.

use domain::failure::Failure;
use domain::resource::Resource;
use domain::shop::MerchantId;
use importer::ports::records::{StoredRecord, StoredText};
use sqlx::PgPool;

use crate::error::TxError;
use crate::landing::raw::decompress;

const COUNT: &str = "
    SELECT count(*) FROM salla_sync.source_records
    WHERE merchant_id = $1 AND resource = $2::text::salla_sync.resource
      AND (list_raw IS NOT NULL OR detail_raw IS NOT NULL)";

pub(crate) async fn count(
    pool: &PgPool,
    merchant: MerchantId,
    resource: Resource,
) -> Result<u64, TxError> {
    let count: i64 = sqlx::query_scalar(COUNT)
        .bind(merchant.0)
        .bind(resource.as_str())
        .fetch_one(pool)
        .await?;
    Ok(count.cast_unsigned())
}

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

pub(crate) async fn list(
    pool: &PgPool,
    merchant: MerchantId,
    resource: Resource,
    after: i64,
    limit: u32,
) -> Result<Vec<StoredRecord>, TxError> {
    let rows: Vec<Row> = sqlx::query_as(LIST)
        .bind(merchant.0)
        .bind(resource.as_str())
        .bind(after)
        .bind(i64::from(limit))
        .fetch_all(pool)
        .await?;
    let records = rows.into_iter().map(StoredRecord::try_from);
    Ok(records.collect::<Result<_, Failure>>()?)
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
