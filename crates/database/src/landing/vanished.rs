//! Records that Salla no longer lists.

use domain::failure::Failure;
use domain::order::Version;
use domain::resource::Resource;
use importer::ports::landing::RunLease;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::PgPool;

use crate::failure::Trouble;
use crate::landing::counters::{Tally, record_beside};
use crate::landing::sources::land_gone;
use crate::lease::hold;

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

pub(crate) async fn bury(
    pool: &PgPool,
    lease: RunLease,
    resource: Resource,
    ids: &[i64],
    version: Version,
) -> Result<(), Trouble> {
    let remove = match resource {
        Resource::Customers => REMOVE_CUSTOMERS,
        Resource::Products => REMOVE_PRODUCTS,
        Resource::Orders | Resource::Categories | Resource::OrderStatuses => {
            let what = format!("{resource} were to be buried without having been asked for");
            return Err(Failure::Bug { what }.into());
        }
    };
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    let gone: Vec<(i64, Version)> = ids.iter().map(|id| (*id, version)).collect();
    let mut tx = pool.begin().await?;
    let run = hold(&mut tx, lease).await?;
    let verdicts = land_gone(&mut tx, &run, resource, &gone).await?;
    let ids: Vec<i64> = verdicts.iter().map(|v| v.salla_id).collect();
    for sql in remove {
        let delete = sqlx::query(*sql).bind(run.merchant.0).bind(&ids);
        delete.execute(&mut *tx).await?;
    }
    tx.commit().await?;
    Ok(())
}

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
      AND NOT EXISTS (SELECT FROM salla.orders o
                      WHERE x.resource = 'orders' AND o.merchant_id = x.merchant_id
                        AND o.id = x.salla_id)";

const REMOVE_FORGOTTEN_CUSTOMERS: &str = "
    DELETE FROM salla.customers c
    WHERE c.merchant_id = $1 AND NOT c.from_list
      AND NOT EXISTS (SELECT FROM salla.orders o
                      WHERE o.merchant_id = $1 AND o.customer_id = c.id)";

pub(crate) async fn clear_leftovers(
    pool: &PgPool,
    lease: RunLease,
    now: Timestamp,
) -> Result<(), Trouble> {
    let mut tx = pool.begin().await?;
    let run = hold(&mut tx, lease).await?;
    let closed = sqlx::query(CLOSE_REJECTIONS)
        .bind(lease.run.0)
        .bind(now.to_sqlx())
        .execute(&mut *tx)
        .await?
        .rows_affected();
    sqlx::query(REMOVE_FORGOTTEN_CUSTOMERS)
        .bind(lease.merchant.0)
        .execute(&mut *tx)
        .await?;
    let mut tally = Tally::default();
    tally.rejections_resolved(closed > 0);
    record_beside(&mut tx, &run, &tally, now).await?;
    tx.commit().await?;
    Ok(())
}
