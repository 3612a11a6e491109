//! How far imports are and what they have rejected, for the doors of the service.

use std::sync::Arc;

use async_trait::async_trait;
use domain::certificate::Certificate;
use domain::failure::Failure;
use domain::rejection::RejectionCode;
use domain::resource::Resource;
use domain::shop::MerchantId;
use domain::window::DayRange;
use importer::ports::clock::Clock;
use importer::ports::overview::{Overview, ReadDays, RejectedEntry, RejectionQuery, SyncStatus};
use importer::ports::runs::{Run, StoredProgress};
use sqlx::types::Json;

use crate::confined::Transactions;
use crate::error::with_retries;
use crate::ids::{parse_code, parse_resource};
use crate::runs::rows::{RunRow, select_runs};

/// [`Overview`] on PostgreSQL.
#[derive(Clone, Debug)]
pub struct PostgresOverview {
    transactions: Transactions,
    clock: Arc<dyn Clock>,
}

impl PostgresOverview {
    pub(crate) fn new(transactions: Transactions, clock: Arc<dyn Clock>) -> Self {
        Self {
            transactions,
            clock,
        }
    }
}

const STATUS: &str = select_runs!(
    "NULL::jsonb",
    ", coalesce(d.days_from, '{}') AS days_from, coalesce(d.days_to, '{}') AS days_to,
     (SELECT max(p.created_at) FROM salla_sync.pending_details p WHERE p.run_id = r.id) AS newest,
     coalesce(s.orders, r.orders) AS shown_orders,
     coalesce(s.order_details, r.order_details) AS shown_order_details,
     coalesce(s.customers, r.customers) AS shown_customers,
     coalesce(s.products, r.products) AS shown_products,
     coalesce(s.rejected, r.rejected) AS shown_rejected",
    "LEFT JOIN salla_sync.merchant_sync_status s ON s.merchant_id = r.merchant_id AND s.run_id = r.id
     LEFT JOIN LATERAL (
         SELECT array_agg(w.day_from) AS days_from, array_agg(w.day_to) AS days_to
         FROM salla_sync.sync_windows w
         WHERE w.run_id = r.id AND w.resource = 'orders' AND w.replaced_at IS NULL
           AND w.settled_at IS NOT NULL AND NOT w.cut_short AND w.day_from IS NOT NULL) d ON true
     WHERE r.id = (SELECT l.id FROM salla_sync.sync_runs l
                   WHERE l.merchant_id = $1 ORDER BY l.number DESC LIMIT 1)"
);

#[derive(sqlx::FromRow)]
struct StatusRow {
    #[sqlx(flatten)]
    run: RunRow,
    days_from: Vec<jiff_sqlx::Date>,
    days_to: Vec<jiff_sqlx::Date>,
    newest: Option<jiff_sqlx::Timestamp>,
    shown_orders: i64,
    shown_order_details: i64,
    shown_customers: i64,
    shown_products: i64,
    shown_rejected: i64,
}

impl StatusRow {
    fn status(self) -> Result<SyncStatus, Failure> {
        let run = Run::try_from(self.run)?;
        let settled = self.days_from.into_iter().zip(self.days_to);
        let settled = settled.map(|(from, to)| DayRange {
            from: from.to_jiff(),
            to: to.to_jiff(),
        });
        let count = |rows: i64| u64::try_from(rows).unwrap_or(0);
        Ok(SyncStatus {
            read: ReadDays {
                settled: settled.collect(),
                newest_pending: self.newest.map(jiff_sqlx::Timestamp::to_jiff),
            },
            counts: StoredProgress {
                orders: count(self.shown_orders),
                order_details: count(self.shown_order_details),
                customers: count(self.shown_customers),
                products: count(self.shown_products),
                rejected: count(self.shown_rejected),
                ..run.progress
            },
            run,
        })
    }
}

const CERTIFICATE: &str = "
    SELECT certificate FROM salla_sync.sync_runs
    WHERE merchant_id = $1 AND certificate IS NOT NULL ORDER BY number DESC LIMIT 1";

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
pub(crate) struct RejectionRow {
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
    pub(crate) fn entry(self) -> Result<RejectedEntry, Failure> {
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
    async fn status(&self, merchant: MerchantId) -> Result<Option<SyncStatus>, Failure> {
        let row: Option<StatusRow> =
            with_retries(&self.clock, "reading an import's progress", || async {
                let mut tx = self.transactions.begin(merchant).await?;
                let found = sqlx::query_as(STATUS).bind(merchant.0);
                let found = found.fetch_optional(&mut *tx).await?;
                tx.commit().await?;
                Ok(found)
            })
            .await?;
        row.map(StatusRow::status).transpose()
    }

    async fn certificate(&self, merchant: MerchantId) -> Result<Option<Certificate>, Failure> {
        let found: Option<Json<Certificate>> =
            with_retries(&self.clock, "reading the latest certificate", || async {
                let mut tx = self.transactions.begin(merchant).await?;
                let found = sqlx::query_scalar(CERTIFICATE).bind(merchant.0);
                let found = found.fetch_optional(&mut *tx).await?;
                tx.commit().await?;
                Ok(found)
            })
            .await?;
        Ok(found.map(|found| found.0))
    }

    async fn rejections(&self, query: &RejectionQuery) -> Result<Vec<RejectedEntry>, Failure> {
        let rows: Vec<RejectionRow> = with_retries(&self.clock, "reading rejections", || async {
            let mut tx = self.transactions.begin(query.merchant).await?;
            let found = sqlx::query_as(REJECTIONS)
                .bind(query.merchant.0)
                .bind(query.resource.map(Resource::as_str))
                .bind(query.code.map(RejectionCode::as_str))
                .bind(query.before)
                .bind(i64::from(query.limit));
            let found = found.fetch_all(&mut *tx).await?;
            tx.commit().await?;
            Ok(found)
        })
        .await?;
        rows.into_iter().map(RejectionRow::entry).collect()
    }
}
