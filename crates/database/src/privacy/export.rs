//! Everything that is stored of a customer.

use std::collections::HashSet;

use domain::shop::MerchantId;
use importer::ports::privacy::Redactor;
use serde_json::{Value, json};
use sqlx::{PgConnection, PgPool};

use crate::error::TxError;
use crate::landing::raw::decompress;
use crate::privacy::customer;
use crate::privacy::customer::names_number;

/// As of one moment.
const ONE_SNAPSHOT: &str = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY";

const CUSTOMER: &str =
    "SELECT to_jsonb(c) FROM salla.customers c WHERE c.merchant_id = $1 AND c.id = $2";

const ORDERS: &str = "
    SELECT to_jsonb(o) FROM salla.orders o WHERE o.merchant_id = $1 AND o.customer_id = $2
    ORDER BY o.created_at, o.id";

macro_rules! of_orders {
    ($table:literal) => {
        concat!(
            "SELECT to_jsonb(t) FROM salla.",
            $table,
            " t JOIN salla.orders o ON o.merchant_id = t.merchant_id AND o.id = t.order_id
             WHERE o.merchant_id = $1 AND o.customer_id = $2
             ORDER BY t.order_id, t.position"
        )
    };
}

const ITEMS: &str = of_orders!("order_items");
const DISCOUNTS: &str = of_orders!("order_discounts");

const SOURCES: &str = "
    SELECT s.resource::text, s.salla_id, s.list_raw, s.detail_raw, s.items_raw
    FROM salla_sync.source_records s
    WHERE s.merchant_id = $1
      AND (s.resource = 'customers' AND s.salla_id = $2
           OR s.resource = 'orders' AND s.salla_id IN
               (SELECT id FROM salla.orders WHERE merchant_id = $1 AND customer_id = $2))
    ORDER BY s.resource, s.salla_id";

const REJECTIONS: &str = "
    SELECT x.resource::text, x.salla_id, x.raw, to_jsonb(x) FROM salla_sync.rejected_records x
    WHERE x.merchant_id = $1
      AND (x.resource = 'customers' AND (x.salla_id = $2 OR x.record_key = $2::text)
           OR x.resource = 'orders' AND (strpos(x.raw, $2::text) > 0 OR x.salla_id IN
               (SELECT id FROM salla.orders WHERE merchant_id = $1 AND customer_id = $2)))
    ORDER BY x.id";

const ORDER_IDS: &str = "SELECT id FROM salla.orders WHERE merchant_id = $1 AND customer_id = $2";

type Source = (
    String,
    i64,
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    Option<Vec<u8>>,
);

pub(crate) async fn customer(
    pool: &PgPool,
    merchant: MerchantId,
    customer: i64,
    redactor: &dyn Redactor,
) -> Result<Value, TxError> {
    let mut tx = pool.begin().await?;
    sqlx::query(ONE_SNAPSHOT).execute(&mut *tx).await?;
    let customers = rows(&mut tx, CUSTOMER, merchant, customer).await?;
    let orders = rows(&mut tx, ORDERS, merchant, customer).await?;
    let items = rows(&mut tx, ITEMS, merchant, customer).await?;
    let discounts = rows(&mut tx, DISCOUNTS, merchant, customer).await?;
    let sources = sources(&mut tx, merchant, customer).await?;
    let rejections = rejections(&mut tx, merchant, customer, redactor).await?;
    let (notifications, letters) = customer::mentions(&mut tx, merchant, customer).await?;
    tx.rollback().await?;
    Ok(json!({
        "merchant_id": merchant,
        "customer_id": customer,
        "customers": customers,
        "orders": orders,
        "order_items": items,
        "order_discounts": discounts,
        "raw_records": sources,
        "rejected_records": rejections,
        "notifications": notifications,
        "dead_letters": letters,
    }))
}

async fn rows(
    tx: &mut PgConnection,
    sql: &'static str,
    merchant: MerchantId,
    customer: i64,
) -> Result<Vec<Value>, TxError> {
    let rows = sqlx::query_scalar(sql).bind(merchant.0).bind(customer);
    Ok(rows.fetch_all(tx).await?)
}

async fn sources(
    tx: &mut PgConnection,
    merchant: MerchantId,
    customer: i64,
) -> Result<Vec<Value>, TxError> {
    let rows: Vec<Source> = sqlx::query_as(SOURCES)
        .bind(merchant.0)
        .bind(customer)
        .fetch_all(tx)
        .await?;
    let mut sources = Vec::new();
    for (resource, salla_id, list, detail, items) in rows {
        let text = |stored: Option<Vec<u8>>| stored.as_deref().map(decompress).transpose();
        sources.push(json!({
            "resource": resource,
            "salla_id": salla_id,
            "list": text(list)?,
            "detail": text(detail)?,
            "items": text(items)?,
        }));
    }
    Ok(sources)
}

async fn rejections(
    tx: &mut PgConnection,
    merchant: MerchantId,
    customer: i64,
    redactor: &dyn Redactor,
) -> Result<Vec<Value>, TxError> {
    let orders: Vec<i64> = sqlx::query_scalar(ORDER_IDS)
        .bind(merchant.0)
        .bind(customer)
        .fetch_all(&mut *tx)
        .await?;
    let orders: HashSet<i64> = orders.into_iter().collect();
    let rows: Vec<(String, Option<i64>, String, Value)> = sqlx::query_as(REJECTIONS)
        .bind(merchant.0)
        .bind(customer)
        .fetch_all(tx)
        .await?;
    let theirs = rows.into_iter().filter(|(resource, salla_id, raw, _)| {
        let is_json = serde_json::from_str::<serde::de::IgnoredAny>(raw).is_ok();
        resource == "customers"
            || salla_id.is_some_and(|order| orders.contains(&order))
            || redactor.customer_of(raw) == Some(customer)
            || !is_json && names_number(raw, customer)
    });
    Ok(theirs.map(|(.., row)| row).collect())
}
