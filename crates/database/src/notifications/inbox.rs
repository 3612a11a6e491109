//! What the app shows of notifications.

use async_trait::async_trait;
use domain::failure::{DatabaseCause, Failure};
use domain::job::NotificationKind;
use domain::run::RunId;
use domain::shop::MerchantId;
use importer::ports::notifications::{Inbox, InboxFilter, Notice, Shown};
use importer::ports::runs::ShopSummary;
use jiff_sqlx::ToSqlx;
use uuid::Uuid;

use super::{NoticeRow, PostgresNotifications};
use crate::failure::Trouble;
use crate::retry::persistently;

#[async_trait]
impl Inbox for PostgresNotifications {
    async fn list(&self, filter: &InboxFilter) -> Result<Vec<Shown>, Failure> {
        persistently(&self.clock, "listing notifications", || async {
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
        persistently(&self.clock, "marking notifications as read", || async {
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
    fn shown(self) -> Result<Shown, Trouble> {
        let kind = NotificationKind::parse(&self.kind).ok_or_else(|| Failure::Database {
            what: "a notification is of a kind that this version does not know".to_owned(),
            cause: DatabaseCause::Setup,
        })?;
        Ok(Shown {
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
