//! What people are told, written once.

use std::sync::Arc;

use async_trait::async_trait;
use domain::failure::Failure;
use domain::job::{NotificationJob, NotificationKind};
use domain::run::RunState;
use importer::ports::clock::Clock;
use importer::ports::notifications::{Notice, Notifications, Recorded};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::PgPool;
use uuid::Uuid;

use crate::failure::Trouble;
use crate::jobs::overview;
use crate::retry::persistently;
use crate::runs::new_id;

/// [`Notifications`] on PostgreSQL.
#[derive(Clone, Debug)]
pub struct PostgresNotifications {
    pool: PgPool,
    clock: Arc<dyn Clock>,
}

impl PostgresNotifications {
    pub(crate) fn new(pool: PgPool, clock: Arc<dyn Clock>) -> Self {
        Self { pool, clock }
    }
}

#[async_trait]
impl Notifications for PostgresNotifications {
    async fn record(&self, job: &NotificationJob) -> Result<Recorded, Failure> {
        let now = self.clock.now();
        persistently(&self.clock, "recording a notification", || {
            record(&self.pool, job, now)
        })
        .await
    }

    async fn delivered(&self, notice: Uuid) -> Result<Vec<String>, Failure> {
        persistently(&self.clock, "reading deliveries", || async {
            let channels = sqlx::query_scalar(DELIVERED).bind(notice);
            Ok(channels.fetch_all(&self.pool).await?)
        })
        .await
    }

    async fn mark_delivered(&self, notice: Uuid, channel: &str) -> Result<(), Failure> {
        let now = self.clock.now();
        persistently(&self.clock, "marking a delivery", || async {
            sqlx::query(MARK)
                .bind(notice)
                .bind(channel)
                .bind(now.to_sqlx())
                .execute(&self.pool)
                .await?;
            Ok(())
        })
        .await
    }
}

const DELIVERED: &str =
    "SELECT channel FROM salla_sync.notification_deliveries WHERE notification_id = $1";

const MARK: &str = "
    INSERT INTO salla_sync.notification_deliveries (notification_id, channel, delivered_at)
    VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";

/// An ending that is there already keeps its row and its id.
const RECORD: &str = "
    WITH written AS (
        INSERT INTO salla_sync.notifications (id, merchant_id, run_id, ending, kind, created_at)
        SELECT $1, r.merchant_id, r.id, r.endings, $4, $5
        FROM salla_sync.sync_runs r WHERE r.id = $2 AND r.merchant_id = $3 AND r.state = $6
        ON CONFLICT (run_id, ending) DO NOTHING
        RETURNING id
    )
    SELECT id FROM written
    UNION ALL
    SELECT n.id FROM salla_sync.notifications n
    JOIN salla_sync.sync_runs r ON r.id = n.run_id AND r.endings = n.ending
    WHERE n.run_id = $2 AND n.kind = $4
    LIMIT 1";

async fn record(pool: &PgPool, job: &NotificationJob, now: Timestamp) -> Result<Recorded, Trouble> {
    let run = overview::find(pool, job.run).await?;
    let shop = overview::shop(pool, job.merchant).await?;
    let (Some(run), Some(shop)) = (run.filter(|run| run.merchant == job.merchant), shop) else {
        return Ok(Recorded::Unknown);
    };
    let state = match job.kind {
        NotificationKind::SyncComplete => RunState::Completed,
        NotificationKind::SyncFailed | NotificationKind::ReconnectNeeded => RunState::Failed,
    };
    let recorded: Option<Uuid> = sqlx::query_scalar(RECORD)
        .bind(new_id(now))
        .bind(job.run.0)
        .bind(job.merchant.0)
        .bind(job.kind.as_str())
        .bind(now.to_sqlx())
        .bind(state.as_str())
        .fetch_optional(pool)
        .await?;
    let Some(id) = recorded else {
        return Ok(Recorded::Outdated);
    };
    Ok(Recorded::Notice(Box::new(Notice {
        id,
        kind: job.kind,
        shop,
        run: run.id,
        ended_at: run.ended_at.unwrap_or(now),
        progress: run.progress,
        failure: run.failure,
    })))
}
