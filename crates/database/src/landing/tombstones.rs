//! Records that Salla no longer lists.

use domain::failure::Failure;
use domain::order::Version;
use domain::resource::Resource;
use importer::ports::landing::RunLease;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::PgPool;

use crate::error::TxError;
use crate::landing::context::{Care, LandingContext};
use crate::landing::counters::update_counters_without_cursor;
use crate::landing::isolation::{Lands, land_each};
use crate::landing::rejections::{Rejected, list_kind, reject, resolve_by_row};
use crate::landing::versions::NewRows;
use crate::landing::versions::land_gone;
use crate::transaction::lock_run;

/// A customer behind an order is valid history, listed or not.
const REMOVE_CUSTOMERS: &[&str] = &[
    "DELETE FROM salla.customers c
     WHERE c.merchant_id = $1 AND c.id = ANY($2)
       AND NOT EXISTS (SELECT FROM salla.orders o
                       WHERE o.merchant_id = $1 AND o.customer_id = c.id)",
    "UPDATE salla.customers SET from_list = false
     WHERE merchant_id = $1 AND id = ANY($2) AND from_list",
];

const REMOVE_PRODUCTS: &[&str] = &[
    "DELETE FROM salla.products WHERE merchant_id = $1 AND id = ANY($2)",
    "DELETE FROM salla.product_variants WHERE merchant_id = $1 AND product_id = ANY($2)",
    "DELETE FROM salla.product_categories WHERE merchant_id = $1 AND product_id = ANY($2)",
];

/// A record that a list no longer has.
pub(crate) struct Vanished {
    pub(crate) id: i64,
    pub(crate) resource: Resource,
    pub(crate) version: Version,
}

impl Lands for Vanished {
    const IS_WHOLE: bool = true;

    async fn land(ctx: &mut LandingContext<'_>, vanished: &[Self]) -> Result<(), TxError> {
        let Some(first) = vanished.first() else {
            return Ok(());
        };
        let gone: Vec<(i64, Version)> = vanished.iter().map(|v| (v.id, v.version)).collect();
        let changes = land_gone(ctx.tx, &ctx.run, first.resource, &gone).await?;
        ctx.tally.count_taken(first.resource, &changes);
        let ids: Vec<i64> = changes.iter().map(|v| v.salla_id).collect();
        for sql in removals(first.resource)? {
            let delete = sqlx::query(*sql).bind(ctx.run.merchant.0).bind(&ids);
            delete.execute(&mut *ctx.tx).await?;
        }
        let resolved = resolve_by_row(ctx, first.resource, &ids).await?;
        ctx.tally.rejections_resolved(resolved);
        Ok(())
    }
}

fn removals(resource: Resource) -> Result<&'static [&'static str], Failure> {
    match resource {
        Resource::Customers => Ok(REMOVE_CUSTOMERS),
        Resource::Products => Ok(REMOVE_PRODUCTS),
        Resource::Orders | Resource::Categories | Resource::OrderStatuses => Err(Failure::Bug {
            message: format!("{resource} cannot get a tombstone without a request for them"),
        }),
    }
}

pub(crate) async fn tombstone(
    pool: &PgPool,
    lease: RunLease,
    (resource, ids): (Resource, &[i64]),
    version: Version,
    now: Timestamp,
    care: Care,
) -> Result<(), TxError> {
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    let vanished = ids.into_iter().map(|id| Vanished {
        id,
        resource,
        version,
    });
    let vanished: Vec<Vanished> = vanished.collect();
    let mut tx = pool.begin().await?;
    let run = lock_run(&mut tx, lease).await?;
    let mut ctx = LandingContext::new(&mut tx, run, now, NewRows::MayExist, care)?;
    land_vanished(&mut ctx, resource, &vanished).await?;
    update_counters_without_cursor(ctx.tx, &ctx.run, &ctx.tally, now).await?;
    tx.commit().await?;
    Ok(())
}

/// What the database does not let go of stays, with a rejection that says why.
pub(crate) async fn land_vanished(
    ctx: &mut LandingContext<'_>,
    resource: Resource,
    vanished: &[Vanished],
) -> Result<(), TxError> {
    let refused = land_each(ctx, vanished).await?;
    let rejected: Vec<Rejected<'_>> = refused
        .iter()
        .map(|(vanished, rejection)| Rejected {
            kind: list_kind(resource),
            rejection,
            salla_id: Some(vanished.id),
            raw: "",
            version: vanished.version,
            origin: None,
        })
        .collect();
    reject(ctx, resource, &rejected).await
}

/// A refusal without a text, of a customer that an order names or of a row that could not
/// be removed, stays open as long as that is so: no list would show it.
const CLOSE_REJECTIONS: &str = "
    WITH unlisted AS (
        SELECT x.resource, x.salla_id FROM salla_sync.rejected_records x
        WHERE x.run_id = $1 AND x.resolved_at IS NULL AND x.salla_id IS NOT NULL
        EXCEPT
        SELECT w.resource, unnest(p.ids)
        FROM salla_sync.sync_windows w
        JOIN salla_sync.sync_pages p ON p.window_id = w.id AND p.walk = w.walk
        WHERE w.run_id = $1 AND w.replaced_at IS NULL
    )
    UPDATE salla_sync.rejected_records x SET resolved_at = $2
    FROM unlisted u
    WHERE x.run_id = $1 AND x.resolved_at IS NULL
      AND x.resource = u.resource AND x.salla_id = u.salla_id
      AND NOT (x.code = 'refused_by_database' AND x.raw = '' AND (
          x.resource = 'customers' AND EXISTS (
              SELECT FROM salla.orders o
              WHERE o.merchant_id = x.merchant_id AND o.customer_id = x.salla_id)
          OR x.resource = 'customers' AND EXISTS (
              SELECT FROM salla.customers c
              WHERE c.merchant_id = x.merchant_id AND c.id = x.salla_id)
          OR x.resource = 'products' AND EXISTS (
              SELECT FROM salla.products p
              WHERE p.merchant_id = x.merchant_id AND p.id = x.salla_id)))
      AND NOT EXISTS (SELECT FROM salla.orders o
                      WHERE x.resource = 'orders' AND o.merchant_id = x.merchant_id
                        AND o.id = x.salla_id)";

const FORGOTTEN_CUSTOMERS: &str = "
    SELECT c.id FROM salla.customers c
    WHERE c.merchant_id = $1 AND NOT c.from_list
      AND NOT EXISTS (SELECT FROM salla.orders o
                      WHERE o.merchant_id = $1 AND o.customer_id = c.id)
    ORDER BY c.id";

const REMOVE_FORGOTTEN: &str =
    "DELETE FROM salla.customers WHERE merchant_id = $1 AND id = ANY ($2)";

/// A customer who is known only from orders that are gone. One that the database refuses to delete
/// may stay: it is not missing anywhere.
struct Forgotten(i64);

impl Lands for Forgotten {
    const IS_WHOLE: bool = true;

    async fn land(ctx: &mut LandingContext<'_>, forgotten: &[Self]) -> Result<(), TxError> {
        let ids: Vec<i64> = forgotten.iter().map(|customer| customer.0).collect();
        let remove = sqlx::query(REMOVE_FORGOTTEN).bind(ctx.run.merchant.0);
        remove.bind(&ids).execute(&mut *ctx.tx).await?;
        Ok(())
    }
}

pub(crate) async fn clear_vanished(
    pool: &PgPool,
    lease: RunLease,
    now: Timestamp,
    care: Care,
) -> Result<(), TxError> {
    let mut tx = pool.begin().await?;
    let run = lock_run(&mut tx, lease).await?;
    let mut ctx = LandingContext::new(&mut tx, run, now, NewRows::MayExist, care)?;
    let closed = sqlx::query(CLOSE_REJECTIONS)
        .bind(lease.run.0)
        .bind(now.to_sqlx())
        .execute(&mut *ctx.tx)
        .await?
        .rows_affected();
    ctx.tally.rejections_resolved(closed > 0);
    let forgotten: Vec<i64> = sqlx::query_scalar(FORGOTTEN_CUSTOMERS)
        .bind(lease.merchant.0)
        .fetch_all(&mut *ctx.tx)
        .await?;
    let forgotten: Vec<Forgotten> = forgotten.into_iter().map(Forgotten).collect();
    land_each(&mut ctx, &forgotten).await?;
    update_counters_without_cursor(ctx.tx, &ctx.run, &ctx.tally, now).await?;
    tx.commit().await?;
    Ok(())
}
