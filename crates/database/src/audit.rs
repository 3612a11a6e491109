//! The record of who did what.

use std::sync::Arc;

use async_trait::async_trait;
use domain::failure::Failure;
use importer::ports::audit::{Audit, AuditEntry, AuditEvent, AuditFilter};
use importer::ports::clock::Clock;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::PgPool;
use uuid::Uuid;

use crate::error::with_retries;
use crate::ids::new_id;

/// [`Audit`] on PostgreSQL.
#[derive(Clone, Debug)]
pub struct PostgresAudit {
    pub(crate) pool: PgPool,
    pub(crate) clock: Arc<dyn Clock>,
}

const RECORD: &str = "
    INSERT INTO salla_sync.audit_log (id, happened_at, action, actor, salla_id, address, detail)
    VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (id) DO NOTHING";

const LIST: &str = "
    SELECT id, happened_at, action, actor, salla_id, address, detail FROM salla_sync.audit_log
    WHERE ($1::bigint IS NULL OR salla_id = $1) AND ($2::text IS NULL OR action = $2)
      AND ($3::timestamptz IS NULL OR happened_at >= $3)
    ORDER BY happened_at DESC, id DESC LIMIT $4";

const CLEAR: &str = "DELETE FROM salla_sync.audit_log WHERE happened_at < $1";

#[derive(sqlx::FromRow)]
struct EntryRow {
    id: Uuid,
    happened_at: jiff_sqlx::Timestamp,
    action: String,
    actor: String,
    salla_id: Option<i64>,
    address: Option<String>,
    detail: Option<String>,
}

#[async_trait]
impl Audit for PostgresAudit {
    async fn record(&self, event: &AuditEvent) -> Result<(), Failure> {
        let now = self.clock.now();
        let id = new_id(now);
        with_retries(
            &self.clock,
            "recording an entry of the audit log",
            || async {
                sqlx::query(RECORD)
                    .bind(id)
                    .bind(now.to_sqlx())
                    .bind(event.action.as_str())
                    .bind(event.actor.to_string())
                    .bind(event.salla_id)
                    .bind(event.address.map(|address| address.to_string()))
                    .bind(event.detail.as_deref())
                    .execute(&self.pool)
                    .await?;
                Ok(())
            },
        )
        .await
    }

    async fn list(&self, filter: &AuditFilter) -> Result<Vec<AuditEntry>, Failure> {
        let rows: Vec<EntryRow> = with_retries(&self.clock, "reading the audit log", || async {
            let listed = sqlx::query_as(LIST)
                .bind(filter.salla_id)
                .bind(filter.action.as_deref())
                .bind(filter.since.map(ToSqlx::to_sqlx))
                .bind(i64::from(filter.limit));
            Ok(listed.fetch_all(&self.pool).await?)
        })
        .await?;
        let entries = rows.into_iter().map(|row| AuditEntry {
            id: row.id,
            happened_at: row.happened_at.to_jiff(),
            action: row.action,
            actor: row.actor,
            salla_id: row.salla_id,
            address: row.address,
            detail: row.detail,
        });
        Ok(entries.collect())
    }

    async fn clear(&self, before: Timestamp) -> Result<(), Failure> {
        with_retries(
            &self.clock,
            "deleting old entries of the audit log",
            || async {
                let cleared = sqlx::query(CLEAR).bind(before.to_sqlx());
                cleared.execute(&self.pool).await?;
                Ok(())
            },
        )
        .await
    }
}
