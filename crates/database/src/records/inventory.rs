//! Counts and rows as they are now.

use std::collections::HashMap;

use async_trait::async_trait;
use domain::failure::Failure;
use domain::order::{Order, OrderDiscount, OrderItem};
use domain::shop::MerchantId;
use domain::window::DayRange;
use importer::ports::inspection::{HeldWindow, Inventory, ShopRows};
use importer::ports::landing::RunLease;
use importer::ports::runs::Run;
use jiff_sqlx::ToSqlx;
use rust_decimal::Decimal;
use sqlx::PgConnection;

use super::PostgresRecords;
use super::order_rows::OrderRow;
use crate::error::{TxError, with_long_retries};
use crate::runs::counting::count_windows;

/// All counts have to be of the same moment.
const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY";

/// Rows of each window that no window of the run has listed. An order belongs to the window
/// of its day; everything else to the window of its whole list.
const BESIDE: &str = "
    WITH windows AS (
        SELECT w.id, w.resource, w.day_from, w.day_to, w.slice, w.walk
        FROM salla_sync.sync_windows w WHERE w.run_id = $1 AND w.replaced_at IS NULL
    ), listed AS (
        SELECT DISTINCT w.resource, unnest(p.ids) AS id
        FROM windows w
        JOIN salla_sync.sync_pages p ON p.window_id = w.id AND p.walk = w.walk
    ), held AS (
        SELECT 'orders'::salla_sync.resource AS resource, o.id, o.riyadh_date AS day
        FROM salla.orders o WHERE o.merchant_id = $2
        UNION ALL
        SELECT 'customers', c.id, NULL FROM salla.customers c
        WHERE c.merchant_id = $2 AND c.from_list
        UNION ALL
        SELECT 'products', p.id, NULL FROM salla.products p WHERE p.merchant_id = $2
        UNION ALL
        SELECT 'order_statuses', s.id, NULL FROM salla.order_statuses s WHERE s.merchant_id = $2
    ), beside AS (
        SELECT h.resource, h.day FROM held h
        WHERE NOT EXISTS (
            SELECT FROM listed l WHERE l.resource = h.resource AND l.id = h.id)
    )
    SELECT w.id, count(*) FROM windows w
    JOIN beside b ON b.resource = w.resource
     AND (w.day_from IS NULL OR b.day BETWEEN w.day_from AND w.day_to)
    WHERE w.slice IS NULL
    GROUP BY w.id";

const ROWS: &str = "
    SELECT m.id, coalesce(o.orders, 0), coalesce(o.with_items, 0),
           (SELECT count(*) FROM salla.customers c WHERE c.merchant_id = m.id),
           (SELECT count(*) FROM salla.products p WHERE p.merchant_id = m.id),
           (SELECT count(*) FROM salla_sync.rejected_records x
            WHERE x.merchant_id = m.id AND x.resolved_at IS NULL)
    FROM salla_sync.merchants m
    LEFT JOIN (SELECT merchant_id, count(*) AS orders, count(*) FILTER (WHERE has_items) AS with_items
               FROM salla.orders GROUP BY merchant_id) o ON o.merchant_id = m.id";

/// Ordered by a hash of the id and the seed: the same draw every time, and no order is
/// likelier than another.
const SAMPLE: &str = "
    SELECT * FROM salla.orders
    WHERE merchant_id = $1 AND riyadh_date BETWEEN $2 AND $3
    ORDER BY md5(id::text || $4), id
    LIMIT $5";

#[async_trait]
impl Inventory for PostgresRecords {
    async fn count_windows(&self, run: &Run) -> Result<Vec<HeldWindow>, Failure> {
        with_long_retries(&self.clock, "counting the windows of a run", || async {
            let mut tx = self.pool.begin_with(SNAPSHOT).await?;
            // Counting only reads, so it needs no claim.
            let unclaimed = RunLease {
                run: run.id,
                merchant: run.merchant,
                fencing_token: 0,
            };
            let counts = count_windows(&mut tx, None, unclaimed).await?;
            let beside: Vec<(i64, i64)> = sqlx::query_as(BESIDE)
                .bind(run.id.0)
                .bind(run.merchant.0)
                .fetch_all(&mut *tx)
                .await?;
            tx.commit().await?;
            let beside: HashMap<i64, i64> = beside.into_iter().collect();
            let held = counts.into_iter().map(|counts| HeldWindow {
                beside: beside
                    .get(&counts.listing.window.0)
                    .map_or(0, |rows| rows.cast_unsigned()),
                counts,
            });
            Ok(held.collect())
        })
        .await
    }

    async fn count_rows(&self) -> Result<HashMap<MerchantId, ShopRows>, Failure> {
        with_long_retries(&self.clock, "counting the rows of all shops", || async {
            let rows: Vec<(uuid::Uuid, i64, i64, i64, i64, i64)> =
                sqlx::query_as(ROWS).fetch_all(&self.pool).await?;
            let shops = rows.into_iter().map(
                |(merchant, orders, orders_with_items, customers, products, rejected)| {
                    let rows = ShopRows {
                        orders: orders.cast_unsigned(),
                        orders_with_items: orders_with_items.cast_unsigned(),
                        customers: customers.cast_unsigned(),
                        products: products.cast_unsigned(),
                        rejected: rejected.cast_unsigned(),
                    };
                    (MerchantId(merchant), rows)
                },
            );
            Ok(shops.collect())
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
        with_long_retries(&self.clock, "drawing a sample of orders", || async {
            let mut tx = self.pool.begin_with(SNAPSHOT).await?;
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
        })
        .await
    }
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
) -> Result<HashMap<i64, Vec<OrderItem>>, TxError> {
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
) -> Result<HashMap<i64, Vec<OrderDiscount>>, TxError> {
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
