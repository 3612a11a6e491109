//! Rows that other sessions changed since they landed. The database records them (migration 0033);
//! reading the record again restores them, whether or not it changed.

use std::collections::HashSet;

use domain::resource::Resource;
use sqlx::PgConnection;

use crate::error::TxError;
use crate::transaction::LockedRun;

const ALTERED: &str = "
    SELECT salla_id FROM salla_sync.altered_records
    WHERE merchant_id = $1 AND resource = $2::text::salla_sync.resource AND salla_id = ANY($3)";

/// Which of the records have rows that were changed or deleted here. Usually none has, and then no
/// query is sent.
pub(crate) async fn altered(
    tx: &mut PgConnection,
    run: &LockedRun,
    resource: Resource,
    ids: &[i64],
) -> Result<HashSet<i64>, TxError> {
    if !run.has_altered_records || ids.is_empty() {
        return Ok(HashSet::new());
    }
    let altered: Vec<i64> = sqlx::query_scalar(ALTERED)
        .bind(run.merchant.0)
        .bind(resource.as_str())
        .bind(ids)
        .fetch_all(tx)
        .await?;
    Ok(altered.into_iter().collect())
}

const MENDED: &str = "
    DELETE FROM salla_sync.altered_records
    WHERE merchant_id = $1 AND resource = $2::text::salla_sync.resource AND salla_id = ANY($3)";

/// The rows of these records are what was read again.
pub(crate) async fn mended(
    tx: &mut PgConnection,
    run: &LockedRun,
    resource: Resource,
    ids: &[i64],
) -> Result<(), TxError> {
    if !run.has_altered_records || ids.is_empty() {
        return Ok(());
    }
    sqlx::query(MENDED)
        .bind(run.merchant.0)
        .bind(resource.as_str())
        .bind(ids)
        .execute(tx)
        .await?;
    Ok(())
}

/// What an order keeps from an earlier reading if a later one lacks it.
const CLEAR_UNTOLD: &str = "
    UPDATE salla.orders SET customer_id = NULL, exchange_rate = NULL,
        exchange_base_currency = NULL, exchange_target_currency = NULL
    WHERE merchant_id = $1 AND id = ANY($2)";

/// Before altered orders are written from a list: a value that Salla never sent must not stay
/// because Salla sends none.
pub(crate) async fn clear_untold(
    tx: &mut PgConnection,
    run: &LockedRun,
    orders: &[i64],
) -> Result<(), TxError> {
    if !orders.is_empty() {
        let clear = sqlx::query(CLEAR_UNTOLD).bind(run.merchant.0).bind(orders);
        clear.execute(tx).await?;
    }
    Ok(())
}

const REMOVE_CUSTOMERS: &str = "
    DELETE FROM salla.customers c USING salla_sync.altered_records a
    WHERE c.merchant_id = $1 AND c.id = ANY($2) AND NOT c.from_list
      AND a.merchant_id = $1 AND a.resource = 'customers' AND a.salla_id = c.id";

const CUSTOMERS_MENDED: &str = "
    DELETE FROM salla_sync.altered_records a
    WHERE a.merchant_id = $1 AND a.resource = 'customers' AND a.salla_id = ANY($2)
      AND NOT EXISTS (SELECT FROM salla.customers c
                      WHERE c.merchant_id = $1 AND c.id = a.salla_id)";

/// Before customers are taken from orders: one whom only orders name is taken once more.
pub(crate) async fn remove_altered_customers(
    tx: &mut PgConnection,
    run: &LockedRun,
    customers: &[i64],
) -> Result<(), TxError> {
    if !run.has_altered_records || customers.is_empty() {
        return Ok(());
    }
    for sql in [REMOVE_CUSTOMERS, CUSTOMERS_MENDED] {
        let statement = sqlx::query(sql).bind(run.merchant.0).bind(customers);
        statement.execute(&mut *tx).await?;
    }
    Ok(())
}
