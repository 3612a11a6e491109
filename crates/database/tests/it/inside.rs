//! What is inside a record: each entry of a list is a separate row, and the certificate compares
//! the rows with what was sent.

use domain::certificate::{CurrencyTotal, EntryCounts, InsideCounts};
use domain::order::{Order, OrderDiscount};
use domain::resource::Resource;
use rust_decimal::Decimal;

use crate::catalogue::{land_products, product, variant};
use crate::make::{at, decimal, header, item, money, text, whole};
use crate::shop::Shop;

/// Two lines that share an id and nothing else, and two that are the same.
fn with_repeated_lines(id: i64) -> Order {
    let mut other = item(1);
    other.name = "حقيبة".to_owned();
    other.total = decimal(9_900);
    Order {
        items: Some(vec![item(1), other, item(2), item(2)]),
        ..whole(id)
    }
}

fn entries(both: u64) -> EntryCounts {
    EntryCounts {
        listed: both,
        held: both,
    }
}

#[tokio::test]
async fn lines_with_one_id_are_lines_of_their_own() {
    let shop = Shop::open().await;
    shop.land_orders(1, at(0), &[with_repeated_lines(1)]).await;
    shop.land_detail(at(5), with_repeated_lines(2)).await;
    let lines: Vec<(i64, i32, i64, Decimal)> = shop
        .all("SELECT order_id, position, id, total FROM salla.order_items ORDER BY order_id, position")
        .await;
    let (usual, other) = (Decimal::new(5_000, 2), Decimal::new(9_900, 2));
    let of = |order| {
        [
            (order, 1, 1, usual),
            (order, 2, 1, other),
            (order, 3, 2, usual),
            (order, 4, 2, usual),
        ]
    };
    assert_eq!(lines, [of(1), of(2)].concat());
    let counts = shop.count(Resource::Orders).await;
    assert_eq!(counts.inside.lines, entries(4));
    assert!(counts.balances());
}

#[tokio::test]
async fn discounts_that_are_the_same_are_two() {
    let shop = Shop::open().await;
    let mut order = whole(1);
    let discount = OrderDiscount {
        code: text("EID"),
        amount: decimal(500),
        ..OrderDiscount::default()
    };
    let amounts = order.amounts.as_mut().unwrap();
    amounts.discounts = vec![discount.clone(), discount];
    shop.land_orders(1, at(0), &[order]).await;
    assert_eq!(shop.rows("salla.order_discounts").await, 2);
    assert_eq!(shop.count(Resource::Orders).await.inside.others, entries(2));
}

#[tokio::test]
async fn variants_categories_and_option_values_keep_what_comes_twice_or_names_nothing() {
    let shop = Shop::open().await;
    let mut product = product(77);
    let mut dearer = variant(1);
    dearer.price = money(12_000);
    dearer.option_value_ids = vec![Some(4), None, Some(4)];
    product.variants = vec![variant(1), dearer, variant(1)];
    product.category_ids = vec![Some(5), None, Some(5)];
    land_products(&shop, 1, 0, vec![product]).await;
    let variants: Vec<(i32, i64, Vec<Option<i64>>)> = shop
        .all("SELECT position, id, option_value_ids FROM salla.product_variants ORDER BY position")
        .await;
    let usual = vec![Some(11), Some(12)];
    let expected = [
        (1, 1, usual.clone()),
        (2, 1, vec![Some(4), None, Some(4)]),
        (3, 1, usual),
    ];
    assert_eq!(variants, expected);
    let categories: Vec<(i32, Option<i64>)> = shop
        .all("SELECT position, category_id FROM salla.product_categories ORDER BY position")
        .await;
    assert_eq!(categories, [(1, Some(5)), (2, None), (3, Some(5))]);
    let counts = shop.count(Resource::Products).await;
    assert_eq!(counts.inside.lines, entries(3));
    assert_eq!(counts.inside.others, entries(3));
    assert!(counts.records_are_accounted_for());
}

async fn shop_of_everything() -> Shop {
    let shop = Shop::open().await;
    let dollars = Order {
        currency: text("USD"),
        total: Some(domain::numbers::Money::new(Decimal::new(700, 2), "USD")),
        ..whole(2)
    };
    shop.land_orders(1, at(0), &[whole(1), dollars]).await;
    land_products(&shop, 1, 0, vec![product(77)]).await;
    shop
}

#[tokio::test]
async fn the_totals_are_added_up_by_currency() {
    let shop = shop_of_everything().await;
    let total = |currency: &str, amount: i64| CurrencyTotal {
        currency: currency.to_owned(),
        read: Decimal::new(amount, 2),
        held: Decimal::new(amount, 2),
    };
    let expected = InsideCounts {
        lines: entries(4),
        others: entries(2),
        totals: vec![total("SAR", 11_500), total("USD", 700)],
        differing: 0,
    };
    assert_eq!(shop.count(Resource::Orders).await.inside, expected);
}

/// Each is noticed, and reading the same records again mends it.
#[tokio::test]
async fn what_somebody_alters_is_noticed_and_mended_by_reading_again() {
    let orders = [
        "DELETE FROM salla.order_items",
        "DELETE FROM salla.order_items WHERE order_id = 1 AND position = 1",
        "DELETE FROM salla.order_discounts WHERE order_id = 2",
        "INSERT INTO salla.order_items (merchant_id, order_id, id, position, name, quantity)
         SELECT merchant_id, order_id, id, 9, name, quantity FROM salla.order_items LIMIT 1",
        "UPDATE salla.orders SET total = 0 WHERE id = 1",
        "UPDATE salla.orders SET total = NULL WHERE id = 1",
        "UPDATE salla.orders SET currency = 'AED' WHERE id = 1",
        "UPDATE salla.orders SET total = total + CASE id WHEN 1 THEN 5 ELSE -5 END, currency = 'SAR'",
    ];
    let products = [
        "DELETE FROM salla.product_variants",
        "DELETE FROM salla.product_categories WHERE position = 2",
        "INSERT INTO salla.product_categories SELECT merchant_id, product_id, 9, 9 FROM salla.product_categories LIMIT 1",
    ];
    let orders = orders.map(|sql| (Resource::Orders, sql));
    let products = products.map(|sql| (Resource::Products, sql));
    for (resource, sql) in orders.into_iter().chain(products) {
        let mut shop = shop_of_everything().await;
        assert!(
            shop.count(resource).await.records_are_accounted_for(),
            "{sql}"
        );
        shop.execute(sql).await;
        let counts = shop.count(resource).await;
        assert!(!counts.records_are_accounted_for(), "{sql}");
        assert!(counts.inside.differing > 0, "{sql}: {:?}", counts.inside);
        shop.again().await;
        let dollars = Order {
            currency: text("USD"),
            total: Some(domain::numbers::Money::new(Decimal::new(700, 2), "USD")),
            ..whole(2)
        };
        shop.land_orders(1, at(20), &[whole(1), dollars]).await;
        land_products(&shop, 1, 20, vec![product(77)]).await;
        let counts = shop.count(resource).await;
        assert!(
            counts.records_are_accounted_for(),
            "{sql}: {:?}",
            counts.inside
        );
    }
}

/// Where lists give only headers, the details are asked for once more.
#[tokio::test]
async fn an_order_that_lost_its_lines_is_asked_for_again() {
    let mut shop = Shop::open().await;
    shop.land_orders(1, at(0), &[header(1), header(2), header(3)])
        .await;
    for id in 1..=3 {
        shop.land_detail(at(5), whole(id)).await;
    }
    shop.execute("DELETE FROM salla.order_items WHERE order_id = 2")
        .await;
    shop.execute("UPDATE salla.orders SET total = 1 WHERE id = 3")
        .await;
    shop.again().await;
    shop.land_orders(1, at(10), &[header(1), header(2), header(3)])
        .await;
    assert_eq!(shop.pending().await, [3, 2]);
    for id in [2, 3] {
        shop.land_detail(at(15), whole(id)).await;
    }
    assert!(shop.pending().await.is_empty());
    assert!(shop.count(Resource::Orders).await.balances());
    assert_eq!(shop.rows("salla.order_items").await, 6);
}

/// A version that did not count has read it: what it left out is unknown.
#[tokio::test]
async fn an_order_whose_lines_were_never_counted_is_asked_for_again() {
    let mut shop = Shop::open().await;
    shop.land_orders(1, at(0), &[header(1)]).await;
    shop.land_detail(at(5), whole(1)).await;
    shop.execute(
        "UPDATE salla_sync.source_records SET lines = NULL, other_entries = NULL, total = NULL",
    )
    .await;
    assert!(shop.count(Resource::Orders).await.balances());
    shop.again().await;
    shop.land_orders(1, at(10), &[header(1)]).await;
    assert_eq!(shop.pending().await, [1]);
    shop.land_detail(at(15), whole(1)).await;
    assert_eq!(shop.count(Resource::Orders).await.inside.lines, entries(2));
}

#[tokio::test]
async fn reading_everything_again_writes_no_row() {
    let rows = "SELECT string_agg(line, e'\n' ORDER BY line) FROM (
        SELECT xmin::text || o::text AS line FROM salla.orders o
        UNION ALL SELECT xmin::text || i::text FROM salla.order_items i
        UNION ALL SELECT xmin::text || d::text FROM salla.order_discounts d
        UNION ALL SELECT xmin::text || p::text FROM salla.products p
        UNION ALL SELECT xmin::text || v::text FROM salla.product_variants v
        UNION ALL SELECT xmin::text || c::text FROM salla.product_categories c) everything";
    let mut shop = Shop::open().await;
    shop.land_orders(1, at(0), &[with_repeated_lines(1)]).await;
    land_products(&shop, 1, 0, vec![product(77)]).await;
    let (before,): (String,) = shop.one(rows).await;
    shop.again().await;
    shop.land_orders(1, at(20), &[with_repeated_lines(1)]).await;
    land_products(&shop, 1, 20, vec![product(77)]).await;
    let (after,): (String,) = shop.one(rows).await;
    assert_eq!(after, before);
}

/// As a version before wrote them, where one line of each id was kept and its place is that
/// which it had in the list.
#[tokio::test]
async fn rows_of_an_earlier_version_get_places_without_gaps() {
    let shop = Shop::open().await;
    shop.land_orders(1, at(0), &[whole(1)]).await;
    land_products(&shop, 1, 0, vec![product(77)]).await;
    shop.execute(
        "SELECT set_config('salla_sync.landing', 'on', true);
         ALTER TABLE salla.order_items DROP CONSTRAINT order_items_pkey;
         ALTER TABLE salla.order_items ADD PRIMARY KEY (merchant_id, order_id, id);
         UPDATE salla.order_items SET position = position * 3;
         ALTER TABLE salla.product_variants DROP CONSTRAINT product_variants_pkey;
         ALTER TABLE salla.product_variants ADD PRIMARY KEY (merchant_id, product_id, id);
         UPDATE salla.product_variants SET position = 4 - position;
         DELETE FROM salla.product_categories WHERE position = 3;
         ALTER TABLE salla.product_categories DROP CONSTRAINT product_categories_pkey;
         ALTER TABLE salla.product_categories DROP COLUMN position;
         ALTER TABLE salla.product_categories ADD PRIMARY KEY (merchant_id, product_id, category_id);
         ALTER TABLE salla_sync.source_records DROP COLUMN lines, DROP COLUMN other_entries,
             DROP COLUMN total, DROP COLUMN currency;
         DELETE FROM salla_sync._sqlx_migrations WHERE version = 17",
    )
    .await;
    shop.db.database().migrate().await.unwrap();
    let lines: Vec<(i64, i32)> = shop
        .all("SELECT id, position FROM salla.order_items ORDER BY position")
        .await;
    assert_eq!(lines, [(11, 1), (12, 2)]);
    let variants: Vec<(i64, i32)> = shop
        .all("SELECT id, position FROM salla.product_variants ORDER BY position")
        .await;
    assert_eq!(variants, [(2, 1), (1, 2)]);
    let categories: Vec<(Option<i64>, i32)> = shop
        .all("SELECT category_id, position FROM salla.product_categories ORDER BY position")
        .await;
    assert_eq!(categories, [(Some(5), 1), (Some(6), 2)]);
    assert!(
        shop.count(Resource::Orders).await.balances(),
        "nothing was counted"
    );
}
