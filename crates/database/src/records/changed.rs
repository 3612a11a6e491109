//! Records that webhooks have marked, fetched between the imports of their shop.

use std::time::Duration;

use async_trait::async_trait;
use domain::failure::Failure;
use domain::order::Version;
use domain::resource::Resource;
use domain::shop::MerchantId;
use importer::ports::changed_records::{ChangedRecord, ChangedRecords, RecordNow};
use importer::ports::landing::{OrderDetail, ScannedPage};
use importer::ports::records::Exclusive;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::error::{TxError, with_long_retries, with_retries};
use crate::ids::parse_resource;
use crate::landing::context::{Care, LandingContext};
use crate::landing::counters::update_counters_without_cursor;
use crate::landing::details::land_outcomes;
use crate::landing::isolation::rejecting;
use crate::landing::pages::land_records;
use crate::landing::tombstones::{Vanished, land_vanished};
use crate::landing::versions::NewRows;
use crate::records::exclusive::AnyRun;
use crate::records::{PostgresRecords, exclusive, single_record_page};
use crate::transaction::LockedRun;

/// A hold that ends much later than possible was set while a clock was ahead. Workers' clocks may
/// differ a little, and of two concurrent ones the second may have read its clock first: it finds
/// the hold of the other.
const TAKE: &str = "
    WITH marked AS (
        SELECT DISTINCT merchant_id FROM salla_sync.changed_records
    ), due AS (
        SELECT m.id, m.changes_held_until
        FROM marked
        JOIN salla_sync.merchants m ON m.id = marked.merchant_id
        JOIN salla_sync.connections c
          ON c.merchant_id = m.id AND c.is_current AND c.state <> 'DISCONNECTED'
        WHERE (m.changes_held_until IS NULL OR m.changes_held_until <= $1
               OR m.changes_held_until > $1 + make_interval(secs => $2) + interval '1 minute')
          AND EXISTS (
              SELECT FROM salla_sync.sync_runs r
              WHERE r.merchant_id = m.id AND r.state = 'COMPLETED'
                AND r.only_resource IS NULL AND r.max_orders IS NULL)
          AND NOT EXISTS (
              SELECT FROM salla_sync.sync_runs r
              WHERE r.merchant_id = m.id AND r.superseded_at IS NULL
                AND r.state IN ('PENDING', 'IN_PROGRESS', 'WAITING', 'PAUSED'))
        ORDER BY m.changes_held_until NULLS FIRST
        LIMIT $3
    )
    UPDATE salla_sync.merchants m SET changes_held_until = $1 + make_interval(secs => $2)
    FROM due
    WHERE m.id = due.id AND m.changes_held_until IS NOT DISTINCT FROM due.changes_held_until
    RETURNING m.id";

const RELEASE: &str = "
    UPDATE salla_sync.merchants SET changes_held_until = $2 + make_interval(secs => $3)
    WHERE id = $1";

/// An import that took an hour has read most of what was marked during it. The webhook came to
/// another machine than the import's, whose clock may be a little behind.
const FORGET_READ: &str = "
    DELETE FROM salla_sync.changed_records c USING salla_sync.source_records s
    WHERE c.merchant_id = $1 AND s.merchant_id = c.merchant_id AND s.resource = c.resource
      AND s.salla_id = c.salla_id
      AND CASE c.resource WHEN 'orders' THEN s.detail_version ELSE s.list_version END
          > c.marked_at + interval '1 minute'";

const LIST: &str = "
    SELECT resource::text, salla_id, marked_at FROM salla_sync.changed_records
    WHERE merchant_id = $1
    ORDER BY marked_at, resource, salla_id
    LIMIT $2";

#[async_trait]
impl ChangedRecords for PostgresRecords {
    async fn take(&self, hold: Duration, most: u32) -> Result<Vec<MerchantId>, Failure> {
        let now = self.clock.now();
        with_retries(
            &self.clock,
            "looking for shops with changed records",
            || async {
                let taken: Vec<Uuid> = sqlx::query_scalar(TAKE)
                    .bind(now.to_sqlx())
                    .bind(hold.as_secs_f64())
                    .bind(i64::from(most))
                    .fetch_all(&self.pool)
                    .await?;
                Ok(taken.into_iter().map(MerchantId).collect())
            },
        )
        .await
    }

    async fn release(&self, merchant: MerchantId, pause: Duration) -> Result<(), Failure> {
        let now = self.clock.now();
        with_retries(
            &self.clock,
            "releasing a shop's changed records",
            || async {
                sqlx::query(RELEASE)
                    .bind(merchant.0)
                    .bind(now.to_sqlx())
                    .bind(pause.as_secs_f64())
                    .execute(&self.pool)
                    .await?;
                Ok(())
            },
        )
        .await
    }

    async fn list(&self, merchant: MerchantId, most: u32) -> Result<Vec<ChangedRecord>, Failure> {
        with_retries(&self.clock, "listing changed records", || async {
            let mut tx = self.pool.begin().await?;
            sqlx::query(FORGET_READ)
                .bind(merchant.0)
                .execute(&mut *tx)
                .await?;
            let rows: Vec<(String, i64, jiff_sqlx::Timestamp)> = sqlx::query_as(LIST)
                .bind(merchant.0)
                .bind(i64::from(most))
                .fetch_all(&mut *tx)
                .await?;
            tx.commit().await?;
            let marked = rows.into_iter().map(|(resource, id, marked_at)| {
                Ok(ChangedRecord {
                    resource: parse_resource(&resource)?,
                    id,
                    marked_at: marked_at.to_jiff(),
                })
            });
            Ok(marked.collect::<Result<_, Failure>>()?)
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
            rejecting(|care| land(&self.pool, merchant, fetched, now, care))
        })
        .await
    }
}

/// The run whose counts the shop's status shows.
const SHOWN_RUN: &str = "
    SELECT r.id, r.number, r.keep_raw, r.fencing,
           row_security_active('salla_sync.source_records') AS is_secured
    FROM salla_sync.merchant_sync_status s
    JOIN salla_sync.sync_runs r ON r.id = s.run_id
    WHERE s.merchant_id = $1";

async fn shown_run(tx: &mut PgConnection, merchant: MerchantId) -> Result<LockedRun, TxError> {
    let run: AnyRun = sqlx::query_as(SHOWN_RUN)
        .bind(merchant.0)
        .fetch_one(tx)
        .await?;
    Ok(run.held(merchant))
}

/// From here on the counts are the shop's, which loses records as well, and no more those of one
/// run.
const COUNT_ON: &str = "
    UPDATE salla_sync.merchant_sync_status SET carries_on = true
    WHERE merchant_id = $1 AND NOT carries_on";

/// What was marked again meanwhile stays.
const FORGET: &str = "
    DELETE FROM salla_sync.changed_records c
    USING unnest($2::text[], $3::bigint[], $4::timestamptz[]) AS f(resource, id, marked_at)
    WHERE c.merchant_id = $1 AND c.resource = f.resource::salla_sync.resource
      AND c.salla_id = f.id AND c.marked_at = f.marked_at";

pub(crate) async fn land(
    pool: &PgPool,
    merchant: MerchantId,
    fetched: &[(ChangedRecord, RecordNow)],
    now: Timestamp,
    care: Care,
) -> Result<Exclusive<()>, TxError> {
    if fetched.is_empty() {
        return Ok(Exclusive::Done(()));
    }
    let mut tx = pool.begin().await?;
    if let Some(holder) = exclusive::take(&mut tx, merchant).await? {
        return Ok(Exclusive::RunActive(holder));
    }
    let run = shown_run(&mut tx, merchant).await?;
    let mut ctx = LandingContext::new(&mut tx, run, now, NewRows::MayExist, care)?;
    for resource in [Resource::Customers, Resource::Products] {
        let of_it = |mark: &ChangedRecord| mark.resource == resource;
        land_rows(&mut ctx, resource, fetched.iter().filter(|(m, _)| of_it(m))).await?;
    }
    let orders = fetched.iter().filter_map(|(_, now)| match now {
        RecordNow::Order(detail) => Some(OrderDetail::clone(detail)),
        RecordNow::Row(..) | RecordNow::Gone(_) | RecordNow::OutOfRange => None,
    });
    let orders: Vec<OrderDetail> = orders.collect();
    land_outcomes(&mut ctx, &orders).await?;
    sqlx::query(COUNT_ON)
        .bind(merchant.0)
        .execute(&mut *ctx.tx)
        .await?;
    update_counters_without_cursor(ctx.tx, &ctx.run, &ctx.tally, now).await?;
    let resources: Vec<&str> = fetched.iter().map(|(m, _)| m.resource.as_str()).collect();
    let ids: Vec<i64> = fetched.iter().map(|(mark, _)| mark.id).collect();
    let marked: Vec<_> = fetched.iter().map(|(m, _)| m.marked_at.to_sqlx()).collect();
    sqlx::query(FORGET)
        .bind(merchant.0)
        .bind(resources)
        .bind(ids)
        .bind(marked)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(Exclusive::Done(()))
}

async fn land_rows(
    ctx: &mut LandingContext<'_>,
    resource: Resource,
    fetched: impl Iterator<Item = &(ChangedRecord, RecordNow)>,
) -> Result<(), TxError> {
    let (mut pages, mut gone): (Vec<ScannedPage>, Vec<(i64, Version)>) = (Vec::new(), Vec::new());
    for (mark, now) in fetched {
        match now {
            RecordNow::Row(row, version) => pages.push(single_record_page(row, *version)),
            RecordNow::Gone(version) => gone.push((mark.id, *version)),
            RecordNow::Order(_) | RecordNow::OutOfRange => {}
        }
    }
    let pages: Vec<&ScannedPage> = pages.iter().collect();
    if !pages.is_empty() {
        land_records(ctx, resource, &pages).await?;
    }
    gone.sort_unstable();
    let gone = gone.into_iter().map(|(id, version)| Vanished {
        id,
        resource,
        version,
    });
    let gone: Vec<Vanished> = gone.collect();
    land_vanished(ctx, resource, &gone).await
}
