//! The views return what a person would count.

use domain::order::{Order, OrderCustomer};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use rust_decimal::Decimal;
use sqlx::{AssertSqlSafe, Executor as _};

use crate::make::{at, customer, header, instant, money, status, text, whole};
use crate::shop::Shop;

fn sale(id: i64, at: &str, slug: &str, buyer: i64, cents: i64) -> Order {
    Order {
        created_at: instant(at),
        status: status(slug),
        customer: Some(OrderCustomer::Known(Box::new(customer(buyer)))),
        total: money(cents),
        ..whole(id)
    }
}

async fn shop_with_sales() -> Shop {
    let shop = Shop::open().await;
    let mut unnamed = sale(6, "2025-06-03T10:00:00Z", "completed", 8, 700);
    unnamed.status = None;
    unnamed.currency = text("AED");
    let orders = [
        sale(1, "2025-06-01T20:59:59Z", "completed", 7, 10_000),
        sale(2, "2025-06-01T21:00:00Z", "delivered", 7, 20_000),
        sale(3, "2025-06-02T10:00:00Z", "canceled", 7, 40_000),
        sale(4, "2025-06-02T10:00:00Z", "payment_pending", 8, 80_000),
        sale(5, "2025-06-02T10:00:00Z", "in_progress", 8, 5_000),
        unnamed,
        header(9),
    ];
    shop.land_orders(1, at(0), &orders).await;
    shop
}

#[tokio::test]
async fn daily_sales_leave_out_what_was_not_sold() {
    let shop = shop_with_sales().await;
    type Row = (String, String, i64, Option<Decimal>, i64);
    let rows = async |view: &str| -> Vec<Row> {
        let sql = format!(
            "SELECT riyadh_date::text, currency, orders, gross_total, orders_without_amounts
             FROM {view} ORDER BY 1, 2"
        );
        shop.all(&sql).await
    };
    let row = |day: &str, currency: &str, orders, cents: Option<i64>, without| {
        let total = cents.map(|cents| Decimal::new(cents, 2));
        (day.to_owned(), currency.to_owned(), orders, total, without)
    };
    let riyals = [
        row("2025-06-01", "SAR", 1, Some(10_000), 0),
        row("2025-06-02", "SAR", 2, Some(25_000), 0),
    ];
    let summary = [row("2025-06-10", "SAR", 1, Some(11_500), 1)];
    let dirhams = [row("2025-06-03", "AED", 1, Some(700), 0)];
    let by_currency = [&riyals[..], &dirhams, &summary].concat();
    assert_eq!(rows("salla.daily_sales_by_currency").await, by_currency);
    let not_converted = [row("2025-06-03", "SAR", 1, None, 0)];
    let expected = [&riyals[..], &not_converted, &summary].concat();
    assert_eq!(rows("salla.daily_sales").await, expected);
}

#[tokio::test]
async fn customer_orders_count_who_came_back() {
    let shop = shop_with_sales().await;
    type Row = (i64, String, i64, i64, String, String);
    let rows: Vec<Row> = shop
        .all("SELECT customer_id, name, orders, repeat_orders, first_order_date::text, last_order_date::text FROM salla.customer_orders ORDER BY 1")
        .await;
    let row = |id, first: &str, last: &str| {
        let name = "نورة القحطاني".to_owned();
        (id, name, 2, 1, first.to_owned(), last.to_owned())
    };
    let expected = [
        row(7, "2025-06-01", "2025-06-02"),
        row(8, "2025-06-02", "2025-06-03"),
    ];
    assert_eq!(rows, expected);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4, ..ProptestConfig::default() })]

    /// The database's day is the domain's day, at every edge.
    #[test]
    fn the_riyadh_day_is_the_same_in_the_database(
        days in prop::collection::vec((-3_000i64..22_000, -2i64..=2), 60)
    ) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let shop = Shop::open().await;
            let orders: Vec<Order> = (1..).zip(&days).map(|(id, (day, micros))| {
                // Around midnight in Riyadh, which is nine in the evening in UTC.
                let midnight = Timestamp::from_second(day * 86_400 - 3 * 3_600).unwrap();
                let mut order = header(id);
                order.created_at.instant = midnight + SignedDuration::from_micros(*micros);
                order
            }).collect();
            shop.land_orders(1, at(0), &orders).await;
            let stored: Vec<(i64, String)> =
                shop.all("SELECT id, riyadh_date::text FROM salla.orders ORDER BY id").await;
            let expected: Vec<(i64, String)> = orders
                .iter()
                .map(|o| (o.id, o.created_at.riyadh_date().to_string()))
                .collect();
            assert_eq!(stored, expected);
        });
    }
}

/// Views of the catalogue, so that none that comes later is forgotten.
const VIEWS: &str = "
    SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname IN ('salla', 'salla_sync') AND c.relkind = 'v' ORDER BY 1";

const TABLES: &str = "
    SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname IN ('salla', 'salla_sync') AND c.relkind IN ('r', 'p')";

#[tokio::test]
async fn no_view_shows_what_row_level_security_hides() {
    let shop = shop_with_sales().await;
    let pool = shop.db.pool();
    let count = async |view: &str| -> i64 {
        let sql = AssertSqlSafe(format!("SELECT count(*) FROM {view}"));
        sqlx::query_scalar(sql).fetch_one(pool).await.unwrap()
    };
    assert!(count("salla.sales").await > 0);
    let tenant = format!("tenant_{}", uuid::Uuid::now_v7().simple());
    let tell = async |sql: String| pool.execute(AssertSqlSafe(sql)).await.unwrap();
    tell(format!(
        "CREATE ROLE {tenant}; GRANT USAGE ON SCHEMA salla, salla_sync TO {tenant};
         GRANT SELECT ON ALL TABLES IN SCHEMA salla, salla_sync TO {tenant}"
    ))
    .await;
    let tables: Vec<String> = sqlx::query_scalar(TABLES).fetch_all(pool).await.unwrap();
    for table in tables {
        tell(format!("ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")).await;
    }
    let views: Vec<String> = sqlx::query_scalar(VIEWS).fetch_all(pool).await.unwrap();
    assert!(views.len() >= 5, "{views:?}");
    for view in views {
        let options = "SELECT reloptions::text FROM pg_class WHERE oid = $1::regclass";
        let options = sqlx::query_scalar(options).bind(&view);
        let options: Option<String> = options.fetch_one(pool).await.unwrap();
        let says_so = options.is_some_and(|options| options.contains("security_invoker=true"));
        assert!(says_so, "{view} needs security_invoker");
        let mut tx = pool.begin().await.unwrap();
        let role = AssertSqlSafe(format!("SET LOCAL ROLE {tenant}"));
        tx.execute(role).await.unwrap();
        let sql = AssertSqlSafe(format!("SELECT count(*) FROM {view}"));
        let rows: i64 = sqlx::query_scalar(sql).fetch_one(&mut *tx).await.unwrap();
        assert_eq!(rows, 0, "{view}");
    }
    tell(format!("DROP OWNED BY {tenant}; DROP ROLE {tenant}")).await;
}
