//! Records that webhooks have marked, between the imports of their shop.

use std::time::Duration;

use database::PostgresRecords;
use domain::failure::Failure;
use domain::resource::Resource;
use importer::ports::changed_records::{ChangedRecord, ChangedRecords as _, RecordNow};
use importer::ports::clock::{Clock as _, SystemClock};
use importer::ports::landing::{DetailOutcome, OrderDetail};
use importer::ports::merchants::Merchants as _;
use importer::ports::platform::Records;
use importer::ports::records::Exclusive;

use crate::catalogue::product;
use crate::make::{at, customer, header, ok, status, whole};
use crate::shop::{Shop, options};
use domain::order::Order;

const HOLD: Duration = Duration::from_secs(300);
const MARKS: &str = "SELECT resource::text, salla_id FROM salla_sync.changed_records
    ORDER BY resource, salla_id";

/// Two orders, a customer and a product, and a connection that serves.
async fn finished() -> Shop {
    let shop = Shop::open().await;
    shop.land_orders(1, at(0), &[header(1), header(2)]).await;
    for id in [1, 2] {
        shop.land_detail(at(10), whole(id)).await;
    }
    let rows = Records::Customers(vec![ok(customer(7))]);
    shop.land(1, at(0), rows).await;
    let rows = Records::Products(vec![ok(product(8))]);
    shop.land(1, at(0), rows).await;
    shop.execute(
        "UPDATE salla_sync.sync_runs SET state = 'COMPLETED', completed_at = now(),
             ended_at = now(), lease_until = NULL;
         INSERT INTO salla_sync.connections
             (id, merchant_id, is_current, fingerprint, key_id, access_token, state, created_at,
              updated_at)
         SELECT gen_random_uuid(), id, true, sha256(id::text::bytea), 'k', '', 'ACTIVE', now(), now()
         FROM salla_sync.merchants",
    )
    .await;
    shop
}

fn records(shop: &Shop) -> PostgresRecords {
    shop.db.database().records()
}

async fn mark(shop: &Shop, resource: Resource, id: i64) {
    let merchants = shop.db.database().merchants();
    assert!(merchants.mark_changed(1, resource, id).await.unwrap());
}

async fn marks(shop: &Shop) -> Vec<(String, i64)> {
    shop.all(MARKS).await
}

async fn listed(shop: &Shop) -> Vec<ChangedRecord> {
    records(shop).list(shop.merchant, 100).await.unwrap()
}

fn now() -> jiff::Timestamp {
    SystemClock::real().now()
}

fn order(id: i64, outcome: DetailOutcome) -> RecordNow {
    RecordNow::Order(Box::new(OrderDetail {
        order_id: id,
        version: now(),
        outcome,
    }))
}

fn delivered(id: i64) -> DetailOutcome {
    let order = Order {
        status: status("delivered"),
        ..whole(id)
    };
    DetailOutcome::Found {
        order: Box::new(ok(order)),
        items: None,
    }
}

#[tokio::test]
async fn what_was_fetched_lands_and_is_marked_no_longer() {
    let shop = finished().await;
    for (resource, id) in [
        (Resource::Orders, 1),
        (Resource::Orders, 2),
        (Resource::Orders, 3),
        (Resource::Orders, 4),
        (Resource::Customers, 7),
        (Resource::Products, 8),
    ] {
        mark(&shop, resource, id).await;
    }
    let fetched: Vec<(ChangedRecord, RecordNow)> = listed(&shop)
        .await
        .into_iter()
        .map(|mark| {
            let now = match (mark.resource, mark.id) {
                (Resource::Orders, 2) => order(2, DetailOutcome::Gone),
                (Resource::Orders, 4) => RecordNow::OutOfRange,
                (Resource::Orders, id) => order(id, delivered(id)),
                (Resource::Products, _) => RecordNow::Gone(now()),
                _ => RecordNow::Row(
                    Records::Customers(vec![ok(domain::customer::Customer {
                        city: Some("جدة".to_owned()),
                        ..customer(7)
                    })]),
                    now(),
                ),
            };
            (mark, now)
        })
        .collect();
    assert_eq!(fetched.len(), 6);
    let landed = records(&shop).land(shop.merchant, &fetched).await.unwrap();
    assert_eq!(landed, Exclusive::Done(()));
    assert_eq!(marks(&shop).await, []);
    let orders: Vec<(i64, Option<String>)> = shop
        .all("SELECT id, status_slug FROM salla.orders ORDER BY id")
        .await;
    let delivered = Some("delivered".to_owned());
    assert_eq!(orders, [(1, delivered.clone()), (3, delivered)]);
    let city: (Option<String>,) = shop
        .one("SELECT city FROM salla.customers WHERE id = 7")
        .await;
    assert_eq!(city.0.as_deref(), Some("جدة"));
    assert_eq!(shop.rows("salla.products").await, 0);
    let gone: Vec<(String, i64)> = shop
        .all(
            "SELECT resource::text, salla_id FROM salla_sync.source_records
             WHERE gone_at IS NOT NULL ORDER BY resource, salla_id",
        )
        .await;
    assert_eq!(
        gone,
        [("orders".to_owned(), 2), ("products".to_owned(), 8)],
        "tombstones"
    );
    let shown: (i64, i64, i64) = shop
        .one("SELECT orders, customers, products FROM salla_sync.merchant_sync_status")
        .await;
    assert_eq!(shown, (2, 1, 0));
}

/// Whatever the clock of the machine says to which the second webhook came.
#[tokio::test]
async fn a_webhook_that_comes_while_its_record_is_fetched_is_not_lost() {
    let shop = finished().await;
    mark(&shop, Resource::Orders, 1).await;
    shop.execute("UPDATE salla_sync.changed_records SET marked_at = now() + interval '1 hour'")
        .await;
    let seen = listed(&shop).await;
    mark(&shop, Resource::Orders, 1).await;
    let fetched = [(seen[0], order(1, delivered(1)))];
    let landed = records(&shop).land(shop.merchant, &fetched).await.unwrap();
    assert_eq!(landed, Exclusive::Done(()));
    assert_eq!(marks(&shop).await, [("orders".to_owned(), 1)]);
}

#[tokio::test]
async fn nothing_lands_beside_an_import_of_the_shop() {
    let mut shop = finished().await;
    mark(&shop, Resource::Orders, 1).await;
    let seen = listed(&shop).await;
    shop.begin(&options()).await;
    let fetched = [(seen[0], order(1, DetailOutcome::Gone))];
    let landed = records(&shop).land(shop.merchant, &fetched).await.unwrap();
    assert!(matches!(landed, Exclusive::RunActive(_)), "{landed:?}");
    assert_eq!(shop.rows("salla.orders").await, 2);
    assert_eq!(marks(&shop).await.len(), 1);
}

#[tokio::test]
async fn what_an_import_has_read_since_is_not_fetched_again() {
    let shop = finished().await;
    for (resource, id) in [
        (Resource::Orders, 1),
        (Resource::Orders, 2),
        (Resource::Customers, 7),
        (Resource::Products, 8),
    ] {
        mark(&shop, resource, id).await;
    }
    // What was read less than a minute later may have been read before: clocks differ.
    shop.execute(
        "UPDATE salla_sync.source_records SET
             detail_version = now() + CASE salla_id WHEN 1 THEN interval '61 seconds'
                                                    ELSE interval '30 seconds' END
         WHERE resource = 'orders';
         UPDATE salla_sync.source_records SET list_version = now() + interval '61 seconds'
         WHERE resource = 'customers'",
    )
    .await;
    let left: Vec<i64> = listed(&shop).await.iter().map(|mark| mark.id).collect();
    assert_eq!(left, [2, 8]);
}

#[tokio::test]
async fn of_several_workers_one_has_a_shop_until_it_is_done_or_dead() {
    let shop = finished().await;
    let records = records(&shop);
    assert_eq!(
        records.take(HOLD, 10).await.unwrap(),
        [],
        "nothing is marked"
    );
    mark(&shop, Resource::Orders, 1).await;
    let (one, other) = tokio::join!(records.take(HOLD, 10), records.take(HOLD, 10));
    assert_eq!([one.unwrap(), other.unwrap()].concat(), [shop.merchant]);
    assert_eq!(records.take(HOLD, 10).await.unwrap(), []);
    let later = "UPDATE salla_sync.merchants
        SET changes_held_until = changes_held_until + interval '30 seconds'";
    shop.execute(later).await;
    assert_eq!(
        records.take(HOLD, 10).await.unwrap(),
        [],
        "the clock of the one that holds it is a little ahead"
    );
    // Its worker died.
    let past = "UPDATE salla_sync.merchants SET changes_held_until = now() - interval '1 second'";
    shop.execute(past).await;
    assert_eq!(records.take(HOLD, 10).await.unwrap(), [shop.merchant]);
    records.release(shop.merchant, HOLD).await.unwrap();
    assert_eq!(records.take(HOLD, 10).await.unwrap(), [], "it rests");
    records
        .release(shop.merchant, Duration::ZERO)
        .await
        .unwrap();
    assert_eq!(records.take(HOLD, 10).await.unwrap(), [shop.merchant]);
    let ahead = "UPDATE salla_sync.merchants SET changes_held_until = now() + interval '1 day'";
    shop.execute(ahead).await;
    assert_eq!(
        records.take(HOLD, 10).await.unwrap(),
        [shop.merchant],
        "the hold was given while a clock was ahead"
    );
}

#[tokio::test]
async fn shops_that_cannot_be_read_or_are_to_be_read_by_a_run_are_left_alone() {
    for sql in [
        "UPDATE salla_sync.connections SET state = 'DISCONNECTED', disconnected_why = 'refresh_lost'",
        "UPDATE salla_sync.connections SET is_current = false",
        "UPDATE salla_sync.sync_runs SET max_orders = 60",
        "UPDATE salla_sync.sync_runs SET only_resource = 'products'",
        "UPDATE salla_sync.sync_runs SET state = 'CANCELLED'",
        "INSERT INTO salla_sync.sync_runs
             (id, merchant_id, state, months, keep_raw, range_from, range_to, created_at)
         SELECT gen_random_uuid(), merchant_id, 'PAUSED', 12, true, range_from, range_to, created_at
         FROM salla_sync.sync_runs",
    ] {
        let shop = finished().await;
        mark(&shop, Resource::Orders, 1).await;
        shop.execute(sql).await;
        assert_eq!(records(&shop).take(HOLD, 10).await.unwrap(), [], "{sql}");
    }
    let shop = finished().await;
    mark(&shop, Resource::Orders, 1).await;
    let failed = "INSERT INTO salla_sync.sync_runs
             (id, merchant_id, state, failure_code, months, keep_raw, range_from, range_to, created_at)
         SELECT gen_random_uuid(), merchant_id, 'FAILED', 'unbalanced', 12, true, range_from,
                range_to, created_at
         FROM salla_sync.sync_runs";
    shop.execute(failed).await;
    let taken: Result<_, Failure> = records(&shop).take(HOLD, 10).await;
    assert_eq!(taken.unwrap(), [shop.merchant]);
}
