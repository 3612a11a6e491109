//! Where a record was listed, and why it was set aside.

use domain::slice::Slice;
use domain::window::DayRange;
use importer::ports::traces::{TracedListing, TracedRejection};
use jiff_sqlx::{Date, Timestamp};
use sqlx::PgPool;

use super::traces::Key;
use crate::failure::Trouble;

const LISTINGS: &str = "
    SELECT w.day_from, w.day_to, w.slice, p.walk, p.page, p.landed_at
    FROM salla_sync.sync_runs r
    JOIN salla_sync.sync_windows w ON w.run_id = r.id
    JOIN salla_sync.sync_pages p ON p.window_id = w.id
    WHERE r.merchant_id = $1 AND w.resource = $2::text::salla_sync.resource
      AND p.ids @> ARRAY[$3]
    ORDER BY p.landed_at DESC
    LIMIT 3";

#[derive(sqlx::FromRow)]
struct ListingRow {
    day_from: Option<Date>,
    day_to: Option<Date>,
    slice: Option<String>,
    walk: i32,
    page: i32,
    landed_at: Timestamp,
}

pub(super) async fn listings(
    pool: &PgPool,
    (merchant, resource, id): Key,
) -> Result<Vec<TracedListing>, Trouble> {
    let rows: Vec<ListingRow> = sqlx::query_as(LISTINGS)
        .bind(merchant.0)
        .bind(resource.as_str())
        .bind(id)
        .fetch_all(pool)
        .await?;
    let listings = rows.into_iter().map(|row| TracedListing {
        days: row
            .day_from
            .zip(row.day_to)
            .and_then(|(from, to)| DayRange::new(from.to_jiff(), to.to_jiff())),
        slice: row.slice.as_deref().and_then(Slice::parse),
        walk: row.walk.cast_unsigned(),
        page: row.page.cast_unsigned(),
        landed_at: row.landed_at.to_jiff(),
    });
    Ok(listings.collect())
}

const REJECTIONS: &str = "
    SELECT kind, code, json_path, message, last_seen_at, resolved_at
    FROM salla_sync.rejected_records
    WHERE merchant_id = $1 AND resource = $2::text::salla_sync.resource AND salla_id = $3
    ORDER BY last_seen_at DESC";

#[derive(sqlx::FromRow)]
struct RejectionRow {
    kind: String,
    code: String,
    json_path: String,
    message: String,
    last_seen_at: Timestamp,
    resolved_at: Option<Timestamp>,
}

pub(super) async fn rejections(
    pool: &PgPool,
    (merchant, resource, id): Key,
) -> Result<Vec<TracedRejection>, Trouble> {
    let rows: Vec<RejectionRow> = sqlx::query_as(REJECTIONS)
        .bind(merchant.0)
        .bind(resource.as_str())
        .bind(id)
        .fetch_all(pool)
        .await?;
    let rejections = rows.into_iter().map(|row| TracedRejection {
        kind: row.kind,
        code: row.code,
        json_path: row.json_path,
        message: row.message,
        last_seen_at: row.last_seen_at.to_jiff(),
        resolved_at: row.resolved_at.map(Timestamp::to_jiff),
    });
    Ok(rejections.collect())
}
