//! Sums that can be trusted: what is a sale, whose line it is, in which currency, and what of
//! it is missing.

use domain::catalogue::ProductVariant;
use domain::customer::Customer;
use domain::numbers::{ExchangeRate, Money, digits, with_digits};
use domain::order::{Order, OrderCustomer, OrderItem, OrderStatus, StatusRef};
use importer::ports::platform::Records;
use importer::ports::runs::Runs as _;
use rust_decimal::Decimal;
use sqlx::{AssertSqlSafe, Executor as _};

use crate::catalogue::{land_products, product, variant};
use crate::make::{at, decimal, item, money, ok, text, whole};
use crate::shop::Shop;

fn listed_status(
    id: i64,
    name: &str,
    slug: Option<&str>,
    (original_id, parent_id): (Option<i64>, Option<i64>),
) -> OrderStatus {
    OrderStatus {
        id,
        name: text(name),
        slug: slug.map(str::to_owned),
        kind: text("custom"),
        original_id,
        parent_id,
    }
}

/// Salla's own id of a canceled order.
const CANCELED: i64 = 525_144_736;

#[tokio::test]
async fn a_status_is_found_wherever_salla_tells_it() {
    let shop = Shop::open().await;
    let statuses = [
        listed_status(1, "ملغي", Some("canceled"), (None, None)),
        listed_status(2, "رفضه العميل", None, (Some(1), None)),
        listed_status(3, "عاد إلينا", None, (None, Some(4))),
        listed_status(4, "تحت مسترجع", Some("returned"), (Some(5), None)),
        listed_status(5, "مسترجع", Some("restored"), (None, None)),
        listed_status(6, "في الطريق", Some("shipped"), (None, None)),
        listed_status(7, "في الطريق", Some("canceled"), (None, None)),
        listed_status(8, "مجهول", None, (None, None)),
        // Each is the parent of the other.
        listed_status(9, "دائرة", None, (None, Some(10))),
        listed_status(10, "دائرة", None, (Some(9), None)),
        listed_status(11, "فعليا ملغي", None, (Some(CANCELED), None)),
        listed_status(12, "ينتظر", None, (Some(9), Some(1))),
    ];
    let records = statuses.into_iter().map(ok).collect();
    shop.land(1, at(0), Records::OrderStatuses(records)).await;
    let by_slug = |slug: &str| StatusRef {
        id: Some(6),
        slug: text(slug),
        ..StatusRef::default()
    };
    let by_id = |id| StatusRef {
        id: Some(id),
        ..StatusRef::default()
    };
    let custom = |id| StatusRef {
        custom_id: Some(id),
        name: text("مجهول"),
        ..StatusRef::default()
    };
    let named = |name: &str| StatusRef {
        name: text(name),
        ..StatusRef::default()
    };
    let table = [
        (by_slug("canceled"), Some("canceled"), Some("slug")),
        (by_slug("cancelled"), Some("canceled"), Some("slug")),
        // A slug of the shop's own says less than the status behind it.
        (by_slug("on_the_road"), Some("shipped"), Some("id")),
        (by_id(CANCELED), Some("canceled"), Some("id")),
        (by_id(1), Some("canceled"), Some("id")),
        (by_id(2), Some("canceled"), Some("id")),
        (by_id(3), Some("restored"), Some("id")),
        (by_id(11), Some("canceled"), Some("id")),
        (by_id(12), Some("canceled"), Some("id")),
        (by_id(9), None, None),
        (by_id(8), None, None),
        (custom(2), Some("canceled"), Some("custom_status")),
        (custom(8), None, None),
        (named(" مسترجع "), Some("restored"), Some("name")),
        (named("في الطريق"), None, None),
        (named("دائرة"), None, None),
        (StatusRef::default(), None, None),
        (
            StatusRef {
                slug: text("refused"),
                ..StatusRef::default()
            },
            Some("refused"),
            None,
        ),
    ];
    let orders: Vec<Order> = (1..)
        .zip(&table)
        .map(|(id, (status, ..))| Order {
            status: Some(status.clone()),
            ..whole(id)
        })
        .collect();
    shop.land_orders(1, at(0), &orders).await;
    let found: Vec<(i64, Option<String>, Option<String>)> = shop
        .all("SELECT id, status, status_found_by FROM salla.all_orders ORDER BY id")
        .await;
    for ((status, slug, by), found) in table.iter().zip(&found) {
        let expected = (slug.map(str::to_owned), by.map(str::to_owned));
        assert_eq!((found.1.clone(), found.2.clone()), expected, "{status:?}");
    }
    let unknown = table.iter().filter(|(_, _, by)| by.is_none()).count() as i64;
    let no_sales = ["canceled", "restored"];
    let sold = table
        .iter()
        .filter(|(_, slug, _)| slug.is_none_or(|slug| !no_sales.contains(&slug)));
    let row: (i64, i64) = shop
        .one("SELECT orders, orders_of_unknown_status FROM salla.daily_sales")
        .await;
    assert_eq!(row, (sold.count() as i64, unknown));
}

fn line(product_id: Option<i64>, sku: Option<&str>, quantity: i64) -> OrderItem {
    OrderItem {
        product_id,
        sku: sku.map(str::to_owned),
        name: "قميص".to_owned(),
        quantity: quantity.into(),
        ..item(1)
    }
}

fn with_sku(id: i64, sku: &str) -> ProductVariant {
    ProductVariant {
        sku: text(sku),
        ..variant(id)
    }
}

/// Two products with separate SKUs, variants, and one SKU that both have.
async fn land_catalog(shop: &Shop) {
    let mut abaya = product(77);
    abaya.sku = text("A");
    abaya.variants = vec![with_sku(1, "A"), with_sku(2, "A-RED"), with_sku(3, "BOTH")];
    let mut shirt = product(78);
    shirt.sku = text("");
    shirt.variants = vec![with_sku(1, "B-RED"), with_sku(2, "BOTH")];
    land_products(shop, 1, 0, vec![abaya, shirt]).await;
}

#[tokio::test]
async fn lines_of_one_product_are_one_group() {
    let shop = Shop::open().await;
    land_catalog(&shop).await;
    let lines = [
        line(Some(77), Some("A"), 2),
        line(None, Some("A"), 3),
        line(None, Some("A-RED"), 4),
        line(None, Some("B-RED"), 5),
        // The product of these is unknown.
        line(None, Some("BOTH"), 6),
        line(None, Some(""), 7),
        line(None, None, 8),
        // Of a product that is gone from the catalog.
        line(Some(79), Some("OLD"), 9),
        line(None, Some("OLD"), 10),
        // Returned.
        line(Some(78), None, -1),
        line(None, Some("NEVER"), 12),
    ];
    let order = Order {
        items: Some(lines.to_vec()),
        ..whole(1)
    };
    shop.land_orders(1, at(0), &[order]).await;
    type Row = (
        Option<i64>,
        Option<String>,
        Option<String>,
        Decimal,
        Decimal,
    );
    let rows: Vec<Row> = shop
        .all(
            "SELECT product_id, sku, product_found_by, quantity, returned_quantity
             FROM salla.product_sales ORDER BY 1, 2",
        )
        .await;
    let row =
        |product: Option<i64>, sku: Option<&str>, by: Option<&str>, quantity: i64, back: i64| {
            let text = |text: Option<&str>| text.map(str::to_owned);
            (product, text(sku), text(by), quantity.into(), back.into())
        };
    let expected: [Row; 6] = [
        row(Some(77), Some("A"), Some("id, sku"), 9, 0),
        row(Some(78), Some("B-RED"), Some("id, sku"), 4, 1),
        row(Some(79), Some("OLD"), Some("id, sku_of_other_lines"), 19, 0),
        row(None, Some("BOTH"), None, 6, 0),
        row(None, Some("NEVER"), None, 12, 0),
        row(None, None, None, 15, 0),
    ];
    assert_eq!(rows, expected);
}

/// A return takes its money back, whichever sign Salla gives that.
#[tokio::test]
async fn the_money_of_a_return_is_subtracted() {
    let shop = Shop::open().await;
    let priced = |product: i64, (quantity, riyals): (i64, i64)| OrderItem {
        total: decimal(riyals * 100),
        ..line(Some(product), None, quantity)
    };
    // The lines of each product as quantity and total, and what they come to with the returned
    // pieces between the two.
    let table = [
        (vec![(3, 300), (-2, 200)], (1, 2, 100)),
        (vec![(3, 300), (-2, -200)], (1, 2, 100)),
        (vec![(-2, 200)], (-2, 2, -200)),
        (vec![(3, 300), (2, -50)], (5, 0, 250)),
        (vec![(3, 300), (0, -50)], (3, 0, 250)),
    ];
    let products = || (101..).zip(&table);
    let lines = products()
        .flat_map(|(product, (lines, _))| lines.iter().map(move |line| priced(product, *line)));
    let order = Order {
        items: Some(lines.collect()),
        ..whole(1)
    };
    shop.land_orders(1, at(0), &[order]).await;
    type Row = (i64, Decimal, Decimal, Decimal);
    let rows: Vec<Row> = shop
        .all(
            "SELECT product_id, quantity, returned_quantity, total
             FROM salla.product_sales ORDER BY 1",
        )
        .await;
    let expected: Vec<Row> = products()
        .map(|(product, (_, (quantity, returned, total)))| {
            let [quantity, returned, total] =
                [quantity, returned, total].map(|n: &i64| Decimal::from(*n));
            (product, quantity, returned, total)
        })
        .collect();
    assert_eq!(rows, expected);
    let as_given: (Decimal,) = shop.one("SELECT sum(total) FROM salla.sale_items").await;
    assert_eq!(as_given, (1_300.into(),));
}

fn in_currency(id: i64, currency: &str, cents: i64, rate: Option<(&str, &str, &str)>) -> Order {
    Order {
        currency: text(currency),
        total: Some(Money::new(Decimal::new(cents, 2), currency)),
        exchange_rate: rate.map(|(base, target, rate)| ExchangeRate {
            base_currency: text(base),
            exchange_currency: text(target),
            rate: rate.parse().ok(),
        }),
        customer: Some(OrderCustomer::Known(Box::new(Customer {
            id: 7,
            ..Customer::default()
        }))),
        ..whole(id)
    }
}

#[tokio::test]
async fn totals_come_in_the_shop_s_currency_or_are_counted() {
    let shop = Shop::open().await;
    let table = [
        ("SAR", 11_550, None, Some("115.50")),
        ("SAR", 11_550, Some(("SAR", "SAR", "1")), Some("115.50")),
        (
            "USD",
            1_000,
            Some(("SAR", "USD", "0.266592")),
            Some("37.51"),
        ),
        // The other way round.
        ("USD", 1_000, Some(("USD", "SAR", "3.75")), Some("37.50")),
        ("USD", 1_000, None, None),
        ("USD", 1_000, Some(("SAR", "USD", "0")), None),
        ("USD", 1_000, Some(("SAR", "EUR", "0.25")), None),
        ("KWD", 1_000, Some(("AED", "KWD", "0.08")), None),
    ];
    let orders: Vec<Order> = (1..)
        .zip(table)
        .map(|(id, (currency, cents, rate, _))| in_currency(id, currency, cents, rate))
        .collect();
    let without = Order {
        total: None,
        ..in_currency(99, "SAR", 0, None)
    };
    shop.land_orders(1, at(0), &orders).await;
    shop.land_orders(2, at(1), &[without]).await;
    let totals: Vec<(i64, Option<String>)> = shop
        .all("SELECT id, total_in_shop_currency::text FROM salla.sales WHERE id < 99 ORDER BY id")
        .await;
    for ((id, total), case) in totals.into_iter().zip(table) {
        let decimal = |text: &str| text.parse::<Decimal>().unwrap();
        assert_eq!(
            total.as_deref().map(decimal),
            case.3.map(decimal),
            "{id} {case:?}"
        );
    }
    type Row = (i64, String, String, i64, i64);
    let day: Row = shop
        .one(
            "SELECT orders, currency, gross_total::text, orders_not_converted, orders_without_total
             FROM salla.daily_sales",
        )
        .await;
    let expected = (9, "SAR".to_owned(), "306.01".to_owned(), 4, 1);
    assert_eq!(day, expected);
    let customer: (i64, String, String, i64, i64) = shop
        .one(
            "SELECT orders, total::text, average_total::text, orders_not_converted,
                    orders_without_total
             FROM salla.customer_orders",
        )
        .await;
    let expected = (9, "306.01".to_owned(), "76.50".to_owned(), 4, 1);
    assert_eq!(customer, expected);
}

/// A total that Salla does not give is no sale of 0.
#[tokio::test]
async fn what_has_no_total_is_counted_and_not_0() {
    let shop = Shop::open().await;
    let order = Order {
        total: None,
        items: Some(vec![OrderItem {
            total: None,
            ..item(1)
        }]),
        ..whole(1)
    };
    shop.land_orders(1, at(0), &[order]).await;
    for view in ["daily_sales", "daily_sales_by_currency"] {
        let sql = format!("SELECT orders, gross_total, orders_without_total FROM salla.{view}");
        let row: (i64, Option<Decimal>, i64) = shop.one(&sql).await;
        assert_eq!(row, (1, None, 1), "{view}");
    }
    let row: (Decimal, Option<Decimal>, i64) = shop
        .one("SELECT quantity, total, lines_without_total FROM salla.product_sales")
        .await;
    assert_eq!(row, (2.into(), None, 1));
    let month = &shop
        .runs
        .certify(shop.lease, at(60))
        .await
        .unwrap()
        .month_totals[0];
    assert_eq!((month.orders, month.without_total), (1, 1));
}

#[tokio::test]
async fn program_and_database_give_a_currency_the_same_digits() {
    let shop = Shop::open().await;
    let currencies = [
        "SAR", "KWD", "OMR", "BHD", "JOD", "IQD", "TND", "LYD", "JPY", "KRW", "ISK", "XOF", "EGP",
        "?",
    ];
    for currency in currencies {
        for amount in ["17.4", "57.445", "0", "-3.50", "1200.000", "159.8271"] {
            let sql = format!(
                "SELECT salla.currency_digits('{currency}'),
                        salla.with_digits({amount}, '{currency}')::text"
            );
            let (held, shown): (i32, String) = shop.one(&sql).await;
            assert_eq!(held.cast_unsigned(), digits(currency), "{currency}");
            let expected = with_digits(amount.parse().unwrap(), currency).to_string();
            assert_eq!(shown, expected, "{amount} {currency}");
        }
    }
}

/// Another merchant's amounts stay separate, in any currency.
#[tokio::test]
async fn the_certificate_shows_the_sum_of_the_table() {
    let shop = Shop::open().await;
    let dinars = Order {
        total: Some(Money::new("159.827".parse().unwrap(), "KWD")),
        ..in_currency(1, "KWD", 0, None)
    };
    let riyals = Order {
        total: money(1_740),
        ..whole(2)
    };
    shop.land_orders(1, at(0), &[dinars, riyals]).await;
    let certificate = shop.runs.certify(shop.lease, at(60)).await.unwrap();
    let shown: Vec<String> = certificate
        .month_totals
        .iter()
        .map(|month| format!("{} {}", month.total, month.currency))
        .collect();
    assert_eq!(shown, ["159.827 KWD", "17.40 SAR"]);
    let held: Vec<(String,)> = shop
        .all(
            "SELECT concat_ws(' ', gross_total, currency) FROM salla.daily_sales_by_currency
             ORDER BY currency",
        )
        .await;
    let held: Vec<String> = held.into_iter().map(|(line,)| line).collect();
    assert_eq!(held, shown);
}

/// As a role that was allowed to read the views of an earlier version, and nothing since.
#[tokio::test]
async fn readers_of_an_earlier_version_read_on() {
    let shop = Shop::open().await;
    land_catalog(&shop).await;
    shop.land_orders(
        1,
        at(0),
        &[in_currency(1, "USD", 1_000, Some(("SAR", "USD", "0.25")))],
    )
    .await;
    let reader = format!("reader_{}", uuid::Uuid::now_v7().simple());
    let views = ["sales", "daily_sales", "product_sales", "customer_orders"];
    shop.execute(&format!(
        "DROP VIEW salla.shops, salla.all_orders, salla.sale_items, salla.daily_sales_by_currency CASCADE;
         CREATE VIEW salla.sales AS SELECT * FROM salla.orders;
         CREATE VIEW salla.daily_sales AS
             SELECT merchant_id, riyadh_date, currency, 1::bigint AS orders, 0.0 AS gross_total,
                    0.0 AS subtotal, 0.0 AS shipping, 0.0 AS discount, 0.0 AS tax,
                    0::bigint AS orders_without_amounts FROM salla.sales;
         CREATE VIEW salla.product_sales AS
             SELECT merchant_id, product_id, sku, name, currency, 1::bigint AS orders, quantity,
                    total, NULL::date AS first_sold_on, NULL::date AS last_sold_on
             FROM salla.order_items;
         CREATE VIEW salla.customer_orders AS
             SELECT merchant_id, customer_id, ''::text AS name, 1::bigint AS orders,
                    0::bigint AS repeat_orders, created_at AS first_order_at,
                    created_at AS last_order_at, riyadh_date AS first_order_date,
                    riyadh_date AS last_order_date FROM salla.sales;
         CREATE ROLE {reader};
         GRANT USAGE ON SCHEMA salla TO {reader};
         GRANT SELECT ON salla.orders, salla.order_items, salla.products, salla.customers TO {reader};
         GRANT SELECT ON salla.sales, salla.daily_sales, salla.product_sales,
                         salla.customer_orders TO {reader};
         DELETE FROM salla_sync._sqlx_migrations WHERE version = 32"
    ))
    .await;
    shop.db.database().migrate().await.unwrap();
    for view in views {
        let mut tx = shop.db.pool().begin().await.unwrap();
        let role = AssertSqlSafe(format!("SET LOCAL ROLE {reader}"));
        tx.execute(role).await.unwrap();
        let sql = AssertSqlSafe(format!("SELECT count(*) FROM salla.{view}"));
        let rows: i64 = sqlx::query_scalar(sql).fetch_one(&mut *tx).await.unwrap();
        assert_eq!(rows, 1, "{view}");
        if view == "daily_sales" {
            let sql = "SELECT gross_total FROM salla.daily_sales";
            let total: Decimal = sqlx::query_scalar(sql).fetch_one(&mut *tx).await.unwrap();
            assert_eq!(
                Some(total),
                decimal(4_000),
                "converted without access to salla_sync"
            );
        }
    }
    shop.execute(&format!("DROP OWNED BY {reader}; DROP ROLE {reader}"))
        .await;
}

/// The grants of docs/deploy.md, and nothing else of salla_sync.
#[tokio::test]
async fn a_reader_of_reports_sees_the_shops() {
    const DEPLOY: &str = include_str!("../../../../docs/deploy.md");
    let shop = Shop::open().await;
    let reader = format!("reports_{}", uuid::Uuid::now_v7().simple());
    let lines = DEPLOY.lines().filter(|line| line.contains("salla_reports"));
    let grants: Vec<String> = lines
        .filter(|line| line.starts_with("GRANT") || line.starts_with("CREATE ROLE salla_reports"))
        .filter(|line| !line.contains("CONNECT"))
        .map(|line| line.replace("salla_reports", &reader))
        .collect();
    assert!(grants.len() > 4, "{grants:?}");
    shop.execute(&grants.join("\n")).await;
    let mut tx = shop.db.pool().begin().await.unwrap();
    let role = AssertSqlSafe(format!("SET LOCAL ROLE {reader}"));
    tx.execute(role).await.unwrap();
    let row: (i64, String, String, Option<jiff_sqlx::Timestamp>) =
        sqlx::query_as("SELECT number, name, currency, data_as_of FROM salla.shops")
            .fetch_one(&mut *tx)
            .await
            .unwrap();
    assert_eq!(
        (row.0, row.1.as_str(), row.2.as_str()),
        (1, "متجر العود", "SAR")
    );
    assert!(row.3.is_none(), "no import is finished");
    let refused = tx.execute("SELECT * FROM salla_sync.merchants").await;
    assert!(refused.is_err(), "only the columns that the view needs");
    drop(tx);
    shop.execute(&format!("DROP OWNED BY {reader}; DROP ROLE {reader}"))
        .await;
}
