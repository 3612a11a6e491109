//! Records that Salla no longer lists.

use domain::failure::Failure;
use domain::order::Version;
use domain::resource::Resource;
use importer::ports::landing::RunLease;
use sqlx::PgPool;

use crate::failure::Trouble;
use crate::landing::sources::land_gone;
use crate::lease::hold;

/// A customer behind an order is valid history, listed or not.
const REMOVE_CUSTOMERS: &[&str] = &["
    DELETE FROM salla.customers c
    WHERE c.merchant_id = $1 AND c.id = ANY($2)
      AND NOT EXISTS (SELECT FROM salla.orders o
                      WHERE o.merchant_id = $1 AND o.customer_id = c.id)"];

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
