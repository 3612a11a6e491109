//! The certificate: everything counted in one snapshot.

use domain::certificate::{Certificate, MonthTotal, RejectionCount};
use domain::failure::Failure;
use domain::plan::Plan;
use domain::window::DayRange;
use importer::ports::landing::RunLease;
use jiff::Timestamp;
use jiff_sqlx::Date;
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, Executor as _, PgConnection, PgPool, Postgres, Transaction};

use crate::error::TxError;
use crate::ids::parse_resource;
use crate::runs::counting::{count_windows, sum};
use crate::runs::listings::VANISHED_ORDERS;

/// All counts must be of the same moment, although other batches land meanwhile.
const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY";

/// One of the two counting sessions may wait for the other one, and blocks no other session.
const WAIT: &str = "SET LOCAL idle_in_transaction_session_timeout = '1h'";

pub(crate) async fn certify(
    pool: &PgPool,
    lease: RunLease,
    as_of: Timestamp,
) -> Result<Certificate, TxError> {
    let mut tx = pool.begin_with(SNAPSHOT).await?;
    tx.execute(WAIT).await?;
    let subject = subject(&mut tx, lease).await?;
    let mut helper = helper(pool, &mut tx).await?;
    let windows = count_windows(&mut tx, helper.as_deref_mut(), lease).await?;
    drop(helper);
    let month_totals = match subject.reads_orders {
        true => month_totals(&mut tx, lease, &subject).await?,
        false => vec![],
    };
    let rejections = rejections(&mut tx, lease).await?;
    let vanished = sqlx::query_scalar::<_, i64>(VANISHED).bind(lease.run.0);
    let vanished = vanished.fetch_one(&mut *tx).await?;
    let unlisted = unlisted(&mut tx, lease, &subject).await?;
    tx.commit().await?;
    Ok(Certificate {
        run_id: lease.run,
        merchant_id: lease.merchant,
        range: subject.range(),
        detail_case: subject.plan.0.probe.detail_case,
        as_of,
        started_at: subject
            .started_at
            .map_or(as_of, jiff_sqlx::Timestamp::to_jiff),
        windows,
        month_totals,
        rejections,
        vanished: vanished.cast_unsigned(),
        unlisted,
    })
}

/// Another session that sees what `tx` sees, if one is free: waiting for one while holding another
/// could deadlock.
async fn helper(
    pool: &PgPool,
    tx: &mut PgConnection,
) -> Result<Option<Transaction<'static, Postgres>>, TxError> {
    let Some(mut helper) = pool.try_begin_with(SNAPSHOT).await? else {
        return Ok(None);
    };
    let snapshot: String = sqlx::query_scalar("SELECT pg_export_snapshot()")
        .fetch_one(tx)
        .await?;
    let same = AssertSqlSafe(format!("SET TRANSACTION SNAPSHOT '{snapshot}'"));
    helper.execute(same).await?;
    helper.execute(WAIT).await?;
    Ok(Some(helper))
}

/// Only a run that reads all orders of its days can say which were not listed.
async fn unlisted(
    tx: &mut PgConnection,
    lease: RunLease,
    subject: &Subject,
) -> Result<u64, TxError> {
    if subject.max_orders.is_some() || !subject.reads_orders {
        return Ok(0);
    }
    let unlisted: Vec<i64> = sqlx::query_scalar(VANISHED_ORDERS)
        .bind(lease.run.0)
        .bind(lease.merchant.0)
        .fetch_all(tx)
        .await?;
    Ok(unlisted.len() as u64)
}

/// Orders that the run has found gone.
const VANISHED: &str = "
    SELECT count(*) FROM salla_sync.sync_runs r
    JOIN salla_sync.source_records s
      ON s.merchant_id = r.merchant_id AND s.resource = 'orders'
     AND s.gone_at IS NOT NULL AND s.gone_run = r.number
    WHERE r.id = $1";

/// The run that the certificate is about.
#[derive(sqlx::FromRow)]
struct Subject {
    plan: Json<Plan>,
    range_from: Date,
    range_to: Date,
    started_at: Option<jiff_sqlx::Timestamp>,
    max_orders: Option<i64>,
    reads_orders: bool,
}

impl Subject {
    fn range(&self) -> DayRange {
        DayRange {
            from: self.range_from.to_jiff(),
            to: self.range_to.to_jiff(),
        }
    }
}

const IS_HELD: &str = "
    SELECT EXISTS (SELECT FROM salla_sync.sync_runs
                   WHERE id = $1 AND merchant_id = $2 AND fencing = $3 AND state = 'IN_PROGRESS')";

const SUBJECT: &str = "
    SELECT plan, range_from, range_to, started_at, max_orders,
           only_resource IS NULL OR only_resource = 'orders' AS reads_orders
    FROM salla_sync.sync_runs WHERE id = $1 AND plan IS NOT NULL";

/// A snapshot cannot lock, so the lease is only looked at: nothing is written.
async fn subject(tx: &mut PgConnection, lease: RunLease) -> Result<Subject, TxError> {
    let is_held: bool = sqlx::query_scalar(IS_HELD)
        .bind(lease.run.0)
        .bind(lease.merchant.0)
        .bind(lease.fencing_token)
        .fetch_one(&mut *tx)
        .await?;
    if !is_held {
        return Err(Failure::LeaseLost.into());
    }
    let subject: Option<Subject> = sqlx::query_as(SUBJECT)
        .bind(lease.run.0)
        .fetch_optional(tx)
        .await?;
    let subject = subject.ok_or_else(|| Failure::Bug {
        message: "the run to certify has no plan".to_owned(),
    })?;
    Ok(subject)
}

/// The orders that the windows count as loaded: an order whose detail was rejected is not among
/// them, although its summary is in the table. A run with `--max-orders` accounts only for the
/// orders that it listed.
const MONTH_TOTALS: &str = "
    SELECT date_trunc('month', o.riyadh_date)::date AS month,
           coalesce(o.currency, '?') AS currency,
           count(*) AS orders,
           coalesce(sum(o.total), 0)::text AS total,
           count(*) FILTER (WHERE o.total IS NULL) AS without_total
    FROM salla.orders o
    WHERE o.merchant_id = $1 AND o.riyadh_date BETWEEN $2 AND $3
      AND o.id NOT IN (SELECT x.salla_id FROM salla_sync.rejected_records x
                       WHERE x.merchant_id = $1 AND x.resource = 'orders'
                         AND x.salla_id IS NOT NULL AND x.resolved_at IS NULL)
      AND ($5 IS FALSE OR o.id IN (
          SELECT unnest(p.ids)
          FROM salla_sync.sync_windows w
          JOIN salla_sync.sync_pages p ON p.window_id = w.id AND p.walk = w.walk
          WHERE w.run_id = $4 AND w.resource = 'orders' AND w.replaced_at IS NULL))
    GROUP BY 1, 2
    ORDER BY 1, 2";

async fn month_totals(
    tx: &mut PgConnection,
    lease: RunLease,
    subject: &Subject,
) -> Result<Vec<MonthTotal>, TxError> {
    let rows: Vec<(Date, String, i64, String, i64)> = sqlx::query_as(MONTH_TOTALS)
        .bind(lease.merchant.0)
        .bind(subject.range_from)
        .bind(subject.range_to)
        .bind(lease.run.0)
        .bind(subject.max_orders.is_some())
        .fetch_all(tx)
        .await?;
    let totals =
        rows.into_iter().map(
            |(month, currency, orders, total, without_total)| MonthTotal {
                month: month.to_jiff(),
                total: sum(&total, &currency),
                currency,
                orders: orders.cast_unsigned(),
                without_total: without_total.cast_unsigned(),
            },
        );
    Ok(totals.collect())
}

const REJECTIONS: &str = "
    SELECT resource::text, code, count(*)
    FROM salla_sync.rejected_records
    WHERE run_id = $1 AND resolved_at IS NULL
    GROUP BY resource, code
    ORDER BY resource, code";

async fn rejections(
    tx: &mut PgConnection,
    lease: RunLease,
) -> Result<Vec<RejectionCount>, TxError> {
    let rows: Vec<(String, String, i64)> = sqlx::query_as(REJECTIONS)
        .bind(lease.run.0)
        .fetch_all(tx)
        .await?;
    let mut counts = Vec::with_capacity(rows.len());
    for (resource, code, count) in rows {
        counts.push(RejectionCount {
            resource: parse_resource(&resource)?,
            code,
            count: count.cast_unsigned(),
        });
    }
    Ok(counts)
}
