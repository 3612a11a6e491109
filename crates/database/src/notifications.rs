//! Notifications, written once, and what the app shows of them.

use std::sync::Arc;

use async_trait::async_trait;
use domain::connection_change::ConnectionChangeJob;
use domain::failure::{DatabaseCause, Failure};
use domain::job::{NotificationJob, NotificationKind};
use domain::run::{RunId, RunState};
use domain::shop::MerchantId;
use importer::ports::clock::Clock;
use importer::ports::notifications::{
    ConnectionChange, Inbox, InboxEntry, InboxFilter, Notice, Notifications, Recorded,
};
use importer::ports::runs::{RecordedFailure, ShopSummary, StoredProgress};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::PgPool;
use sqlx::types::Json;
use uuid::Uuid;

use crate::confined::Transactions;
use crate::connections::changes;
use crate::error::{TxError, with_retries};
use crate::ids::new_id;
use crate::jobs;

/// [`Notifications`] on PostgreSQL.
#[derive(Clone, Debug)]
pub struct PostgresNotifications {
    pool: PgPool,
    transactions: Transactions,
    clock: Arc<dyn Clock>,
}

impl PostgresNotifications {
    pub(crate) fn new(transactions: Transactions, clock: Arc<dyn Clock>) -> Self {
        Self {
            pool: transactions.pool().clone(),
            transactions,
            clock,
        }
    }
}

#[async_trait]
impl Notifications for PostgresNotifications {
    async fn record(&self, job: &NotificationJob) -> Result<Recorded, Failure> {
        let now = self.clock.now();
        with_retries(&self.clock, "recording a notification", || {
            record(&self.pool, job, now)
        })
        .await
    }

    async fn delivered(&self, notice: Uuid) -> Result<Vec<String>, Failure> {
        with_retries(&self.clock, "reading deliveries", || async {
            let channels = sqlx::query_scalar(DELIVERED).bind(notice);
            Ok(channels.fetch_all(&self.pool).await?)
        })
        .await
    }

    async fn send_connection_changes(&self) -> Result<u64, Failure> {
        let now = self.clock.now();
        with_retries(&self.clock, "sending changes of connections", || {
            changes::send_noted(&self.pool, now)
        })
        .await
    }

    async fn connection_change(
        &self,
        job: &ConnectionChangeJob,
    ) -> Result<Option<ConnectionChange>, Failure> {
        with_retries(&self.clock, "reading a connection's change", || {
            changes::read(&self.pool, job)
        })
        .await
    }

    async fn mark_change_taken(&self, change: Uuid, channel: &str) -> Result<(), Failure> {
        with_retries(&self.clock, "marking a connection's change", || {
            changes::mark_taken(&self.pool, change, channel)
        })
        .await
    }

    async fn mark_delivered(&self, notice: Uuid, channel: &str) -> Result<(), Failure> {
        let now = self.clock.now();
        with_retries(&self.clock, "marking a delivery", || async {
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

const ENDING: &str = "
    SELECT endings, state, failure_code FROM salla_sync.sync_runs
    WHERE id = $1 AND merchant_id = $2";

/// A notification stores the run's end as it was: a restarted run clears its failure and keeps
/// counting, but a notification that is sent again must be the same. The state and the number of
/// the ending are read once more, because the run may have resumed since. An ending that has its
/// row keeps it.
const WRITE: &str = "
    INSERT INTO salla_sync.notifications
        (id, merchant_id, run_id, ending, kind, ended_at, progress, failure, created_at)
    SELECT $1, r.merchant_id, r.id, r.endings, $4, r.ended_at,
        jsonb_build_object('percent', r.progress_percent, 'orders', r.orders,
            'order_details', r.order_details, 'customers', r.customers,
            'products', r.products, 'rejected', r.rejected, 'pages', r.pages),
        CASE WHEN r.state = 'FAILED' THEN jsonb_build_object('code', r.failure_code,
            'message', r.failure_message, 'advice', r.failure_advice) END,
        $6
    FROM salla_sync.sync_runs r WHERE r.id = $2 AND r.endings = $3 AND r.state = $5
    ON CONFLICT (run_id, ending) DO NOTHING";

/// Read in a separate statement: one that waited for another session's insert does not see it.
const WRITTEN: &str = "
    SELECT id, ended_at, progress, failure FROM salla_sync.notifications
    WHERE run_id = $1 AND ending = $2 AND kind = $3";

#[derive(sqlx::FromRow)]
struct EndingRow {
    endings: i32,
    state: String,
    failure_code: Option<String>,
}

impl EndingRow {
    /// What to notify about a run in this state; none while it is open.
    fn kind(&self) -> Option<NotificationKind> {
        match RunState::parse(&self.state)? {
            RunState::Completed => Some(NotificationKind::SyncComplete),
            RunState::Failed => self
                .failure_code
                .as_deref()
                .map(NotificationKind::of_failure),
            _ => None,
        }
    }
}

#[derive(sqlx::FromRow)]
struct NoticeRow {
    id: Uuid,
    ended_at: jiff_sqlx::Timestamp,
    progress: Json<StoredProgress>,
    failure: Option<Json<RecordedFailure>>,
}

async fn record(pool: &PgPool, job: &NotificationJob, now: Timestamp) -> Result<Recorded, TxError> {
    let ending: Option<EndingRow> = sqlx::query_as(ENDING)
        .bind(job.run.0)
        .bind(job.merchant.0)
        .fetch_optional(pool)
        .await?;
    let shop = jobs::shop(pool, job.merchant).await?;
    let (Some(ending), Some(shop)) = (ending, shop) else {
        return Ok(Recorded::Unknown);
    };
    // A message of another kind is about an earlier ending: the latest has its own.
    if ending.kind() == Some(job.kind) {
        sqlx::query(WRITE)
            .bind(new_id(now))
            .bind(job.run.0)
            .bind(ending.endings)
            .bind(job.kind.as_str())
            .bind(&ending.state)
            .bind(now.to_sqlx())
            .execute(pool)
            .await?;
    }
    let written: Option<NoticeRow> = sqlx::query_as(WRITTEN)
        .bind(job.run.0)
        .bind(ending.endings)
        .bind(job.kind.as_str())
        .fetch_optional(pool)
        .await?;
    Ok(written.map_or(Recorded::Outdated, |row| {
        Recorded::Notice(Box::new(Notice {
            id: row.id,
            kind: job.kind,
            shop,
            run: job.run,
            ended_at: row.ended_at.to_jiff(),
            progress: row.progress.0,
            failure: row.failure.map(|failure| failure.0),
        }))
    }))
}

#[async_trait]
impl Inbox for PostgresNotifications {
    async fn list(&self, filter: &InboxFilter) -> Result<Vec<InboxEntry>, Failure> {
        with_retries(&self.clock, "listing notifications", || async {
            let list = sqlx::query_as(LIST)
                .bind(filter.merchant.map(|merchant| merchant.0))
                .bind(filter.only_unread)
                .bind(i64::from(filter.limit))
                .bind(filter.before);
            let rows: Vec<ShownRow> = match filter.merchant {
                None => list.fetch_all(&self.pool).await?,
                Some(merchant) => {
                    let mut tx = self.transactions.begin(merchant).await?;
                    let rows = list.fetch_all(&mut *tx).await?;
                    tx.commit().await?;
                    rows
                }
            };
            rows.into_iter().map(ShownRow::shown).collect()
        })
        .await
    }

    async fn mark_read(
        &self,
        notices: &[Uuid],
        of: Option<MerchantId>,
    ) -> Result<Vec<Uuid>, Failure> {
        let now = self.clock.now();
        with_retries(&self.clock, "marking notifications as read", || async {
            let unknown = sqlx::query_scalar(MARK_READ)
                .bind(notices)
                .bind(now.to_sqlx())
                .bind(of.map(|merchant| merchant.0));
            let Some(merchant) = of else {
                return Ok(unknown.fetch_all(&self.pool).await?);
            };
            let mut tx = self.transactions.begin(merchant).await?;
            let unknown = unknown.fetch_all(&mut *tx).await?;
            tx.commit().await?;
            Ok(unknown)
        })
        .await
    }
}

/// Ids grow with time.
const LIST: &str = "
    SELECT n.id, n.kind, n.merchant_id, m.salla_id, m.name, m.plan, n.run_id, n.ended_at,
        n.progress, n.failure, n.read_at
    FROM salla_sync.notifications n JOIN salla_sync.merchants m ON m.id = n.merchant_id
    WHERE ($1::uuid IS NULL OR n.merchant_id = $1) AND NOT ($2 AND n.read_at IS NOT NULL)
      AND ($4::uuid IS NULL OR n.id < $4)
    ORDER BY n.id DESC LIMIT $3";

/// One statement, so that all are marked or none.
const MARK_READ: &str = "
    WITH unknown AS (
        SELECT given.id FROM unnest($1::uuid[]) AS given (id)
        WHERE NOT EXISTS (SELECT FROM salla_sync.notifications n
                          WHERE n.id = given.id AND ($3::uuid IS NULL OR n.merchant_id = $3))
    ), marked AS (
        UPDATE salla_sync.notifications SET read_at = $2
        WHERE id = ANY ($1) AND read_at IS NULL AND NOT EXISTS (SELECT FROM unknown)
    )
    SELECT DISTINCT id FROM unknown ORDER BY id";

#[derive(sqlx::FromRow)]
struct ShownRow {
    kind: String,
    merchant_id: Uuid,
    salla_id: i64,
    name: String,
    plan: String,
    run_id: Uuid,
    read_at: Option<jiff_sqlx::Timestamp>,
    #[sqlx(flatten)]
    notice: NoticeRow,
}

impl ShownRow {
    fn shown(self) -> Result<InboxEntry, TxError> {
        let kind = NotificationKind::parse(&self.kind).ok_or_else(|| Failure::Database {
            message: "a notification is of a kind that is unknown to this version".to_owned(),
            cause: DatabaseCause::Setup,
        })?;
        Ok(InboxEntry {
            notice: Notice {
                id: self.notice.id,
                kind,
                shop: ShopSummary {
                    merchant: MerchantId(self.merchant_id),
                    salla_id: self.salla_id,
                    name: self.name,
                    plan: self.plan,
                },
                run: RunId(self.run_id),
                ended_at: self.notice.ended_at.to_jiff(),
                progress: self.notice.progress.0,
                failure: self.notice.failure.map(|failure| failure.0),
            },
            read_at: self.read_at.map(jiff_sqlx::Timestamp::to_jiff),
        })
    }
}
