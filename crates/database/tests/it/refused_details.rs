//! Details that the database refuses, and records that are read again.

use domain::order::{Order, Version};
use domain::resource::Resource;
use importer::ports::landing::{DetailOutcome, Landing, OrderDetail};
use importer::ports::records::{RejectionFilter, RemapCounts, ReplayCounts};
use importer::reprocess::{Reprocessor, remap, replay};

use crate::make::{at, header, ok, text, whole};
use crate::refusals::{customers, refused};
use crate::repair::{Prepared, let_go};
use crate::shop::Shop;

/// A type that an administrator took for wide enough.
const NARROW: &str = "ALTER TABLE salla.order_items ALTER unit_price TYPE numeric(5, 2)";
const WIDE: &str = "ALTER TABLE salla.order_items ALTER unit_price TYPE numeric";

fn expensive(id: i64) -> Order {
    let mut order = whole(id);
    order.items.as_mut().unwrap()[1].unit_price = Some(1_000.into());
    order
}

fn found(order: Order, version: Version) -> OrderDetail {
    OrderDetail {
        order_id: order.id,
        version,
        outcome: DetailOutcome::Found {
            order: Box::new(ok(order)),
            items: None,
        },
    }
}

#[tokio::test]
async fn a_detail_that_does_not_fit_costs_its_order_alone() {
    let shop = Shop::open().await;
    shop.execute(NARROW).await;
    let listed: Vec<Order> = (1..=5).map(header).collect();
    shop.land_orders(1, at(0), &listed).await;
    let details: Vec<OrderDetail> = (1..=5)
        .map(|id| match id {
            2 => found(expensive(id), at(10)),
            _ => found(whole(id), at(10)),
        })
        .collect();
    let landed = shop.landing.land_details(shop.lease, &details).await;
    let landed = landed.unwrap();
    assert_eq!((landed.loaded, landed.rejected, landed.refused), (4, 1, 1));
    assert_eq!(shop.pending().await, Vec::<i64>::new());
    let [(id, _, message)] = <[_; 1]>::try_from(refused(&shop).await).unwrap();
    assert_eq!(id, 2);
    assert!(message.contains("22003"), "{message}");
    let lines: Vec<(i64, i64)> = shop
        .all("SELECT order_id, count(*) FROM salla.order_items GROUP BY 1 ORDER BY 1")
        .await;
    assert_eq!(lines, [(1, 2), (3, 2), (4, 2), (5, 2)]);
    let counts = shop.count(Resource::Orders).await;
    assert_eq!((counts.loaded, counts.rejected), (4, 1));
    assert!(counts.balances());
}

#[tokio::test]
async fn a_whole_order_of_a_list_names_the_column_that_is_too_narrow() {
    let shop = Shop::open().await;
    shop.execute(NARROW).await;
    shop.land_orders(1, at(0), &[whole(1), expensive(2), whole(3)])
        .await;
    let [(id, path, message)] = <[_; 1]>::try_from(refused(&shop).await).unwrap();
    // PostgreSQL 15 cannot say which value does not fit.
    let (tells,): (bool,) = shop
        .one("SELECT to_regproc('pg_catalog.pg_input_is_valid') IS NOT NULL")
        .await;
    let column = if tells { "order_items.unit_price" } else { "$" };
    assert_eq!((id, path.as_str()), (2, column));
    assert!(message.contains("22003"), "{message}");
    assert_eq!(shop.rows("salla.orders").await, 2);
    assert_eq!(shop.rows("salla.order_items").await, 4);
}

/// An order that is gone, and that a user's own table refers to.
#[tokio::test]
async fn an_order_that_cannot_be_removed_stops_nothing() {
    let shop = Shop::open().await;
    shop.land_orders(1, at(0), &[whole(1), whole(2), header(3)])
        .await;
    shop.execute(
        "CREATE TABLE salla.notes (merchant_id uuid, order_id bigint,
             FOREIGN KEY (merchant_id, order_id) REFERENCES salla.orders)",
    )
    .await;
    shop.execute("INSERT INTO salla.notes SELECT merchant_id, id FROM salla.orders WHERE id = 1")
        .await;
    let gone = |order_id| OrderDetail {
        order_id,
        version: at(10),
        outcome: DetailOutcome::Gone,
    };
    let details = [gone(1), gone(2), found(whole(3), at(10))];
    let landed = shop.landing.land_details(shop.lease, &details).await;
    assert_eq!(landed.unwrap().refused, 1);
    let [(id, _, message)] = <[_; 1]>::try_from(refused(&shop).await).unwrap();
    assert_eq!(id, 1);
    assert!(message.contains("23503"), "{message}");
    let left: Vec<(i64, bool)> = shop
        .all("SELECT id, has_items FROM salla.orders ORDER BY id")
        .await;
    assert_eq!(left, [(1, true), (3, true)]);
    shop.execute("DELETE FROM salla.notes").await;
    shop.landing
        .land_details(shop.lease, &details)
        .await
        .unwrap();
    assert_eq!(refused(&shop).await, []);
    assert_eq!(shop.rows("salla.orders").await, 1);
}

#[tokio::test]
async fn what_was_refused_loads_once_the_database_takes_it() {
    let shop = Shop::open().await;
    shop.execute(NARROW).await;
    let bad = [ok(expensive(1)), ok(expensive(2)), ok(whole(3))];
    let raws = [bad[0].raw.to_string(), bad[1].raw.to_string()];
    shop.land(4, at(0), crate::shop::orders(bad.to_vec())).await;
    assert_eq!(refused(&shop).await.len(), 2);
    let_go(&shop).await;
    let records = shop.db.database().records();
    let translator = Prepared::default()
        .reads(&raws[0], whole(1))
        .reads(&raws[1], expensive(2));
    let repair = Reprocessor {
        records: &records,
        translator: &translator,
        progress: &|_, _| {},
    };
    let choice = RejectionFilter::default();
    let replayed = replay(repair, shop.merchant, choice).await.unwrap();
    let counts = ReplayCounts {
        loaded: 1,
        refused: 1,
        ..ReplayCounts::default()
    };
    assert_eq!(replayed.counts, counts);
    let open: Vec<(i64, i32)> = shop
        .all("SELECT salla_id, page FROM salla_sync.rejected_records WHERE resolved_at IS NULL")
        .await;
    assert_eq!(open, [(2, 4)], "with the page that it came from");
    shop.execute(WIDE).await;
    let replayed = replay(repair, shop.merchant, choice).await.unwrap();
    assert_eq!((replayed.counts.loaded, replayed.counts.refused), (1, 0));
    assert_eq!(refused(&shop).await, []);
    let (rejected, lines): (i64, i64) = shop
        .one(
            "SELECT rejected, (SELECT count(*) FROM salla.order_items)
             FROM salla_sync.merchant_sync_status",
        )
        .await;
    assert_eq!((rejected, lines), (0, 6));
}

#[tokio::test]
async fn reading_all_records_again_stops_at_none_that_is_refused() {
    let shop = Shop::open().await;
    let all = [ok(whole(1)), ok(whole(2)), ok(whole(3))];
    let raws = all.clone().map(|record| record.raw.to_string());
    shop.land(1, at(0), crate::shop::orders(all.to_vec())).await;
    let_go(&shop).await;
    shop.execute(NARROW).await;
    let otherwise = |id| Order {
        payment_method: text("read otherwise"),
        ..whole(id)
    };
    let translator = Prepared::default()
        .reads(&raws[0], otherwise(1))
        .reads(&raws[1], expensive(2))
        .reads(&raws[2], otherwise(3));
    let records = shop.db.database().records();
    let repair = Reprocessor {
        records: &records,
        translator: &translator,
        progress: &|_, _| {},
    };
    let remapped = remap(repair, shop.merchant, &[Resource::Orders]).await;
    let counts = RemapCounts {
        read: 3,
        changed: 2,
        refused: 1,
    };
    assert_eq!(remapped.unwrap().counts, counts);
    assert_eq!(refused(&shop).await[0].0, 2);
    let methods: Vec<(String,)> = shop
        .all("SELECT payment_method FROM salla.orders ORDER BY id")
        .await;
    let methods: Vec<&str> = methods.iter().map(|(method,)| method.as_str()).collect();
    assert_eq!(methods, ["read otherwise", "mada", "read otherwise"]);
}

/// A customer that was known only from an order, and that cannot be deleted.
#[tokio::test]
async fn records_that_vanished_and_cannot_be_removed_stop_nothing() {
    let shop = Shop::open().await;
    shop.land(
        1,
        at(0),
        customers((1..=3).map(crate::make::customer).collect()),
    )
    .await;
    shop.execute(
        "CREATE TABLE salla.cards (merchant_id uuid, customer_id bigint,
             FOREIGN KEY (merchant_id, customer_id) REFERENCES salla.customers)",
    )
    .await;
    shop.execute(
        "INSERT INTO salla.cards SELECT merchant_id, id FROM salla.customers WHERE id = 1",
    )
    .await;
    let bury = || {
        shop.landing
            .tombstone(shop.lease, Resource::Customers, &[1, 2], at(10))
    };
    bury().await.unwrap();
    shop.landing.clear_vanished(shop.lease).await.unwrap();
    assert_eq!(refused(&shop).await[0].0, 1);
    assert_eq!(shop.rows("salla.customers").await, 2);
    shop.execute("DELETE FROM salla.cards").await;
    bury().await.unwrap();
    assert_eq!(refused(&shop).await, []);
    assert_eq!(shop.rows("salla.customers").await, 1);
}
