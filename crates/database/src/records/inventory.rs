//! Counts and rows as they are now.

use std::collections::HashMap;

use async_trait::async_trait;
use domain::certificate::WindowCounts;
use domain::failure::Failure;
use domain::order::{Order, OrderDiscount, OrderItem};
use domain::shop::MerchantId;
use domain::window::DayRange;
use importer::ports::inventory::Inventory;
use importer::ports::landing::RunLease;
use importer::ports::runs::Run;
use jiff_sqlx::ToSqlx;
use rust_decimal::Decimal;
use sqlx::{PgConnection, PgPool};

use super::PostgresRecords;
use super::order_rows::OrderRow;
use crate::failure::Trouble;
use crate::retry::persistently_at_length;
use crate::runs::counting::count_windows;

#[async_trait]
impl Inventory for PostgresRecords {
    async fn count_windows(&self, run: &Run) -> Result<Vec<WindowCounts>, Failure> {
        persistently_at_length(&self.clock, "counting the windows of a run", || {
            count(&self.pool, run)
        })
        .await
    }

    async fn sample_orders(
        &self,
        merchant: MerchantId,
        days: DayRange,
        seed: u64,
        most: u32,
    ) -> Result<Vec<Order>, Failure> {
        persistently_at_length(&self.clock, "drawing a sample of orders", || {
            sample(&self.pool, merchant, days, seed, most)
        })
        .await
    }
}

/// All counts have to be of the same moment.
const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY";

async fn count(pool: &PgPool, run: &Run) -> Result<Vec<WindowCounts>, Trouble> {
    let mut tx = pool.begin_with(SNAPSHOT).await?;
    // Counting only reads, so it needs no claim.
    let unclaimed = RunLease {
        run: run.id,
        merchant: run.merchant,
        fencing: 0,
    };
    let counts = count_windows(&mut tx, None, unclaimed).await?;
    tx.commit().await?;
    Ok(counts)
}

/// Ordered by a hash of the id and the seed: the same draw every time, and no order is
/// likelier than another.
const SAMPLE: &str = "
    SELECT * FROM salla.orders
    WHERE merchant_id = $1 AND riyadh_date BETWEEN $2 AND $3
    ORDER BY md5(id::text || $4), id
    LIMIT $5";

async fn sample(
    pool: &PgPool,
    merchant: MerchantId,
    days: DayRange,
    seed: u64,
    most: u32,
) -> Result<Vec<Order>, Trouble> {
    let mut tx = pool.begin_with(SNAPSHOT).await?;
    let rows: Vec<OrderRow> = sqlx::query_as(SAMPLE)
        .bind(merchant.0)
        .bind(days.from.to_sqlx())
        .bind(days.to.to_sqlx())
        .bind(format!(" {seed}"))
        .bind(i64::from(most))
        .fetch_all(&mut *tx)
        .await?;
    let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    let mut items = items(&mut tx, merchant, &ids).await?;
    let mut discounts = discounts(&mut tx, merchant, &ids).await?;
    tx.commit().await?;
    let orders = rows.into_iter().map(|row| {
        let items = items.remove(&row.id).unwrap_or_default();
        let discounts = discounts.remove(&row.id).unwrap_or_default();
        row.with(items, discounts)
    });
    Ok(orders.collect())
}

const ITEMS: &str = "
    SELECT order_id, id, product_id, sku, name, quantity, unit_price, discount, tax_percent,
           tax_amount, total, currency
    FROM salla.order_items WHERE merchant_id = $1 AND order_id = ANY($2)
    ORDER BY order_id, position";

#[derive(sqlx::FromRow)]
struct ItemRow {
    order_id: i64,
    id: i64,
    product_id: Option<i64>,
    sku: Option<String>,
    name: String,
    quantity: Decimal,
    unit_price: Option<Decimal>,
    discount: Option<Decimal>,
    tax_percent: Option<Decimal>,
    tax_amount: Option<Decimal>,
    total: Option<Decimal>,
    currency: Option<String>,
}

async fn items(
    tx: &mut PgConnection,
    merchant: MerchantId,
    orders: &[i64],
) -> Result<HashMap<i64, Vec<OrderItem>>, Trouble> {
    let rows: Vec<ItemRow> = sqlx::query_as(ITEMS)
        .bind(merchant.0)
        .bind(orders)
        .fetch_all(tx)
        .await?;
    let mut items: HashMap<i64, Vec<OrderItem>> = HashMap::new();
    for row in rows {
        items.entry(row.order_id).or_default().push(OrderItem {
            id: row.id,
            product_id: row.product_id,
            sku: row.sku,
            name: row.name,
            quantity: row.quantity,
            unit_price: row.unit_price,
            discount: row.discount,
            tax_percent: row.tax_percent,
            tax: row.tax_amount,
            total: row.total,
            currency: row.currency,
        });
    }
    Ok(items)
}

const DISCOUNTS: &str = "
    SELECT order_id, title, kind, code, amount, shipping_amount
    FROM salla.order_discounts WHERE merchant_id = $1 AND order_id = ANY($2)
    ORDER BY order_id, position";

#[derive(sqlx::FromRow)]
struct DiscountRow {
    order_id: i64,
    title: Option<String>,
    kind: Option<String>,
    code: Option<String>,
    amount: Option<Decimal>,
    shipping_amount: Option<Decimal>,
}

async fn discounts(
    tx: &mut PgConnection,
    merchant: MerchantId,
    orders: &[i64],
) -> Result<HashMap<i64, Vec<OrderDiscount>>, Trouble> {
    let rows: Vec<DiscountRow> = sqlx::query_as(DISCOUNTS)
        .bind(merchant.0)
        .bind(orders)
        .fetch_all(tx)
        .await?;
    let mut discounts: HashMap<i64, Vec<OrderDiscount>> = HashMap::new();
    for row in rows {
        discounts
            .entry(row.order_id)
            .or_default()
            .push(OrderDiscount {
                title: row.title,
                kind: row.kind,
                code: row.code,
                amount: row.amount,
                shipping_amount: row.shipping_amount,
            });
    }
    Ok(discounts)
}
