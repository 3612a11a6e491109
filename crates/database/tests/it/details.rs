//! The details phase: the worklist, what details fill, what Salla no longer has.

use domain::failure::Failure;
use domain::order::Order;
use domain::resource::Resource;
use importer::ports::landing::{DetailOutcome, Landing, PendingDetail};
use importer::ports::records::StoredRecords as _;

use jiff_sqlx::ToSqlx as _;

use crate::make::{at, header, instant, item, ok, rejected, status, whole};
use crate::shop::Shop;

fn placed(id: i64, at: &str) -> Order {
    Order {
        created_at: instant(at),
        ..header(id)
    }
}

#[tokio::test]
async fn the_worklist_is_newest_first_and_goes_on_where_it_stopped() {
    let shop = Shop::open().await;
    let headers = [
        placed(1, "2025-06-01T10:00:00Z"),
        placed(2, "2025-06-03T10:00:00Z"),
        placed(3, "2025-06-03T10:00:00Z"),
        placed(4, "2025-06-02T10:00:00Z"),
    ];
    shop.land_orders(1, at(0), &headers).await;
    assert_eq!(shop.pending().await, [3, 2, 4, 1]);
    let mut seen = Vec::new();
    let mut after: Option<PendingDetail> = None;
    loop {
        let next = shop
            .landing
            .pending_details(shop.lease, after, 1)
            .await
            .unwrap();
        let Some(last) = next.last() else { break };
        after = Some(*last);
        seen.extend(next.iter().map(|p| p.order_id));
    }
    assert_eq!(seen, [3, 2, 4, 1]);
    let counted = shop.landing.count_pending(shop.lease).await.unwrap();
    assert_eq!(counted, 4);
}

#[tokio::test]
async fn a_detail_completes_its_order() {
    let shop = Shop::open().await;
    shop.land_orders(1, at(0), &[header(1)]).await;
    let before = shop.count(Resource::Orders).await;
    assert_eq!((before.details_needed, before.details_loaded), (1, 0));
    let landed = shop.land_detail(at(10), whole(1)).await;
    assert_eq!((landed.loaded, landed.rejected), (1, 0));
    assert!(shop.pending().await.is_empty());
    let after = shop.count(Resource::Orders).await;
    assert_eq!((after.details_needed, after.details_loaded), (1, 1));
    let counters: (i64, i64) = shop
        .one("SELECT orders, order_details FROM salla_sync.merchant_sync_status")
        .await;
    assert_eq!(counters, (1, 1));
}

#[tokio::test]
async fn items_may_come_apart_from_their_order() {
    let shop = Shop::open().await;
    shop.land_orders(1, at(0), &[header(1)]).await;
    let light = Order {
        items: None,
        ..whole(1)
    };
    let outcome = DetailOutcome::Found {
        order: Box::new(ok(light)),
        items: Some(ok(vec![item(7), item(8)])),
    };
    shop.land_outcome(1, at(10), outcome).await;
    assert_eq!(shop.rows("salla.order_items").await, 2);
    assert!(shop.pending().await.is_empty());
    let records = shop.db.database().records();
    let stored = records.stored(shop.merchant, Resource::Orders, 0, 10).await;
    let [record] = stored.unwrap().try_into().unwrap();
    assert!(record.items.unwrap().contains("عباية"));
    assert!(record.detail.unwrap().raw.contains("Order"));
    assert!(record.listed.unwrap().raw.contains("Order"));
}

/// What a response leaves out is not taken for deleted.
#[tokio::test]
async fn an_order_that_must_have_items_keeps_its_lines_where_a_response_has_none() {
    let light = Order {
        items: None,
        ..whole(1)
    };
    let empty = Order {
        items: Some(Vec::new()),
        ..whole(1)
    };
    for (order, items) in [(light, Some(ok(Vec::new()))), (empty, None)] {
        let shop = Shop::open().await;
        shop.land_orders(1, at(0), &[header(1)]).await;
        shop.land_detail(at(10), whole(1)).await;
        let order = Box::new(ok(order));
        let outcome = DetailOutcome::Found { order, items };
        let landed = shop.land_outcome(1, at(20), outcome).await;
        assert_eq!((landed.loaded, landed.rejected), (0, 1));
        assert_eq!(shop.rows("salla.order_items").await, 2);
        let rejected: (String, String, i64) = shop
            .one("SELECT kind, code, salla_id FROM salla_sync.rejected_records")
            .await;
        let expected = ("order_items".to_owned(), "missing_items".to_owned(), 1);
        assert_eq!(rejected, expected);
    }
}

#[tokio::test]
async fn a_changed_header_asks_for_the_details_again_and_an_equal_one_does_not() {
    let shop = Shop::open().await;
    shop.land_orders(1, at(0), &[header(1)]).await;
    shop.land_detail(at(10), whole(1)).await;
    shop.land_orders(2, at(20), &[header(1)]).await;
    assert!(shop.pending().await.is_empty());
    let changed = Order {
        status: status("delivered"),
        ..header(1)
    };
    shop.land_orders(3, at(30), std::slice::from_ref(&changed))
        .await;
    assert_eq!(shop.pending().await, [1]);
    shop.land_detail(at(25), whole(1)).await;
    assert_eq!(
        shop.pending().await,
        [1],
        "this detail is older than the change"
    );
    shop.land_detail(at(40), whole(1)).await;
    assert!(shop.pending().await.is_empty());
}

/// A webhook only says that an order must be fetched.
#[tokio::test]
async fn an_order_that_is_said_to_have_changed_is_asked_for_unless_it_was_since() {
    let shop = Shop::open().await;
    shop.land_orders(1, at(0), &[header(1), header(2)]).await;
    for id in [1, 2] {
        shop.land_detail(at(10), whole(id)).await;
    }
    assert!(shop.pending().await.is_empty());
    let mark = async |id: i64, seconds: i64| {
        let sql = "INSERT INTO salla_sync.changed_records VALUES ($1, 'orders', $2, $3)";
        sqlx::query(sql)
            .bind(shop.merchant.0)
            .bind(id)
            .bind(at(seconds).to_sqlx())
            .execute(shop.db.pool())
            .await
            .unwrap();
    };
    mark(1, 20).await;
    mark(2, 5).await;
    mark(3, 20).await;
    assert_eq!(shop.pending().await, [1]);
    let noted: i64 = shop
        .one::<(i64,)>("SELECT salla_id FROM salla_sync.changed_records")
        .await
        .0;
    assert_eq!(noted, 3, "it has no row yet");
    shop.land_detail(at(30), whole(1)).await;
    assert!(shop.pending().await.is_empty());
}

#[tokio::test]
async fn a_header_older_than_the_detail_asks_for_nothing() {
    let shop = Shop::open().await;
    shop.land_detail(at(10), whole(1)).await;
    shop.land_orders(1, at(0), &[header(1)]).await;
    assert!(shop.pending().await.is_empty());
}

#[tokio::test]
async fn a_rejected_detail_leaves_the_worklist_and_keeps_the_header() {
    let mut shop = Shop::open().await;
    shop.land_orders(1, at(0), &[header(1), header(2)]).await;
    let bad = DetailOutcome::Found {
        order: Box::new(rejected(Some(1), "{\"bad\":1}")),
        items: None,
    };
    let landed = shop.land_outcome(1, at(10), bad).await;
    assert_eq!((landed.loaded, landed.rejected), (0, 1));
    let bad_items = DetailOutcome::Found {
        order: Box::new(ok(Order {
            items: None,
            ..whole(2)
        })),
        items: Some(rejected(None, "[{\"quantity\":\"many\"}]")),
    };
    shop.land_outcome(2, at(10), bad_items).await;
    assert!(shop.pending().await.is_empty());
    assert_eq!(shop.rows("salla.orders").await, 2);
    let counts = shop.count(Resource::Orders).await;
    assert_eq!(
        (counts.loaded, counts.rejected, counts.details_needed),
        (0, 2, 0)
    );
    assert!(counts.records_are_accounted_for());

    shop.land_orders(2, at(20), &[header(1), header(2)]).await;
    assert!(
        shop.pending().await.is_empty(),
        "this run does not ask again"
    );
    shop.again().await;
    shop.land_orders(1, at(30), &[header(1), header(2)]).await;
    assert_eq!(shop.pending().await, [2, 1], "the next one does");
    shop.land_detail(at(40), whole(1)).await;
    shop.land_detail(at(40), whole(2)).await;
    let counts = shop.count(Resource::Orders).await;
    assert_eq!(
        (counts.loaded, counts.rejected, counts.details_loaded),
        (2, 0, 2)
    );
}

#[tokio::test]
async fn an_order_that_has_gone_stays_gone_for_older_pages() {
    let shop = Shop::open().await;
    shop.land_orders(1, at(0), &[whole(1), header(2)]).await;
    shop.land_outcome(1, at(20), DetailOutcome::Gone).await;
    for table in ["salla.order_items", "salla.order_discounts"] {
        assert_eq!(shop.rows(table).await, 0, "{table}");
    }
    let landed = shop.land_orders(2, at(10), &[whole(1)]).await;
    assert_eq!(landed.loaded, 0, "a page in flight does not bring it back");
    assert_eq!(shop.rows("salla.orders").await, 1);
    let (gone,): (i64,) = shop.one("SELECT salla_id FROM salla_sync.tombstones").await;
    assert_eq!(gone, 1);
    let (orders,): (i64,) = shop.one("SELECT orders FROM salla_sync.sync_runs").await;
    assert_eq!(orders, 1);
    let mut counts = shop.count(Resource::Orders).await;
    assert_eq!(
        (counts.listing.distinct, counts.loaded, counts.gone),
        (2, 1, 1)
    );
    counts.details_loaded = counts.details_needed;
    assert!(counts.records_are_accounted_for());

    let landed = shop.land_orders(3, at(30), &[whole(1)]).await;
    assert_eq!(landed.loaded, 1, "a newer page does");
    assert_eq!(shop.rows("salla_sync.tombstones").await, 0);
    assert_eq!(shop.rows("salla.order_items").await, 2);
}

#[tokio::test]
async fn an_order_that_was_never_seen_may_be_gone_too() {
    let shop = Shop::open().await;
    shop.land_outcome(1, at(20), DetailOutcome::Gone).await;
    shop.land_orders(1, at(10), &[header(1)]).await;
    assert_eq!(shop.rows("salla.orders").await, 0);
    assert!(shop.pending().await.is_empty());
}

#[tokio::test]
async fn news_of_the_end_that_are_old_change_nothing() {
    let shop = Shop::open().await;
    shop.land_orders(1, at(20), &[header(1)]).await;
    shop.land_outcome(1, at(10), DetailOutcome::Gone).await;
    assert_eq!(shop.rows("salla.orders").await, 1);
    assert_eq!(shop.pending().await, [1], "it is asked for again");
}

#[tokio::test]
async fn details_repeat_without_effect_and_a_stale_lease_writes_nothing() {
    let shop = Shop::open().await;
    shop.land_detail(at(0), whole(1)).await;
    shop.land_detail(at(0), whole(1)).await;
    let (details,): (i64,) = shop
        .one("SELECT order_details FROM salla_sync.sync_runs")
        .await;
    assert_eq!(details, 1);
    let stale = importer::ports::landing::RunLease {
        fencing_token: shop.lease.fencing_token - 1,
        ..shop.lease
    };
    let detail = importer::ports::landing::OrderDetail {
        order_id: 2,
        version: at(0),
        outcome: DetailOutcome::Found {
            order: Box::new(ok(whole(2))),
            items: None,
        },
    };
    let refused = shop.landing.land_details(stale, &[detail]).await;
    assert_eq!(refused, Err(Failure::LeaseLost));
    assert_eq!(shop.rows("salla.orders").await, 1);
}
