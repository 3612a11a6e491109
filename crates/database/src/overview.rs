//! How far imports are and what they have rejected, for the doors of the service.

use std::sync::Arc;

use async_trait::async_trait;
use domain::failure::Failure;
use domain::rejection::RejectionCode;
use domain::resource::Resource;
use domain::run::RunId;
use domain::window::DayRange;
use importer::ports::clock::Clock;
use importer::ports::overview::{Overview, ReadDays, RejectedEntry, RejectionQuery};
use sqlx::PgPool;

use crate::landing::{parse_code, parse_resource};
use crate::retry::persistently;

/// [`Overview`] on PostgreSQL.
#[derive(Clone, Debug)]
pub struct PostgresOverview {
    pool: PgPool,
    clock: Arc<dyn Clock>,
}

impl PostgresOverview {
    pub(crate) fn new(pool: PgPool, clock: Arc<dyn Clock>) -> Self {
        Self { pool, clock }
    }
}

const READ_DAYS: &str = "
    SELECT coalesce(array_agg(day_from), '{}') AS days_from,
        coalesce(array_agg(day_to), '{}') AS days_to,
        (SELECT max(created_at) FROM salla_sync.pending_details WHERE run_id = $1) AS newest
    FROM salla_sync.sync_windows
    WHERE run_id = $1 AND resource = 'orders' AND replaced_at IS NULL
      AND settled_at IS NOT NULL AND NOT cut_short AND day_from IS NOT NULL";

#[derive(sqlx::FromRow)]
struct ReadDaysRow {
    days_from: Vec<jiff_sqlx::Date>,
    days_to: Vec<jiff_sqlx::Date>,
    newest: Option<jiff_sqlx::Timestamp>,
}

const REJECTIONS: &str = "
    SELECT id, resource::text, kind, salla_id, code, json_path, message, raw, first_seen_at,
        last_seen_at
    FROM salla_sync.rejected_records
    WHERE resolved_at IS NULL AND merchant_id = $1
      AND ($2::text IS NULL OR resource = $2::salla_sync.resource)
      AND ($3::text IS NULL OR code = $3)
      AND ($4::bigint IS NULL OR id < $4)
    ORDER BY id DESC LIMIT $5";

#[derive(sqlx::FromRow)]
struct RejectionRow {
    id: i64,
    resource: String,
    kind: String,
    salla_id: Option<i64>,
    code: String,
    json_path: String,
    message: String,
    raw: String,
    first_seen_at: jiff_sqlx::Timestamp,
    last_seen_at: jiff_sqlx::Timestamp,
}

impl RejectionRow {
    fn entry(self) -> Result<RejectedEntry, Failure> {
        Ok(RejectedEntry {
            number: self.id,
            resource: parse_resource(&self.resource)?,
            kind: self.kind,
            salla_id: self.salla_id,
            code: parse_code(&self.code)?,
            json_path: self.json_path,
            message: self.message,
            first_seen_at: self.first_seen_at.to_jiff(),
            last_seen_at: self.last_seen_at.to_jiff(),
            raw: self.raw,
        })
    }
}

#[async_trait]
impl Overview for PostgresOverview {
    async fn read_days(&self, run: RunId) -> Result<ReadDays, Failure> {
        persistently(&self.clock, "reading how far a run is", || async {
            let row: ReadDaysRow = sqlx::query_as(READ_DAYS)
                .bind(run.0)
                .fetch_one(&self.pool)
                .await?;
            let settled = row.days_from.into_iter().zip(row.days_to);
            let settled = settled.map(|(from, to)| DayRange {
                from: from.to_jiff(),
                to: to.to_jiff(),
            });
            Ok(ReadDays {
                settled: settled.collect(),
                newest_pending: row.newest.map(jiff_sqlx::Timestamp::to_jiff),
            })
        })
        .await
    }

    async fn rejections(&self, query: &RejectionQuery) -> Result<Vec<RejectedEntry>, Failure> {
        let rows: Vec<RejectionRow> = persistently(&self.clock, "reading rejections", || async {
            let found = sqlx::query_as(REJECTIONS)
                .bind(query.merchant.0)
                .bind(query.resource.map(Resource::as_str))
                .bind(query.code.map(RejectionCode::as_str))
                .bind(query.before)
                .bind(i64::from(query.limit));
            Ok(found.fetch_all(&self.pool).await?)
        })
        .await?;
        rows.into_iter().map(RejectionRow::entry).collect()
    }
}
