//! Orders: what lands, what stays, what wins.

use domain::numbers::ExchangeRate;
use domain::order::{Order, OrderAmounts, OrderCustomer};
use domain::resource::Resource;
use importer::ports::landing::{Counted, Landed, Landing};
use importer::ports::platform::Records;
use rust_decimal::Decimal;

use crate::make::{at, decimal, header, item, money, status, text, whole};
use crate::shop::Shop;

/// Every row of every loaded table with its transaction, which changes when the row is
/// written.
const EVERYTHING: &str = "
    SELECT string_agg(line, e'\n' ORDER BY line) FROM (
        SELECT xmin::text || ' o ' || o::text AS line FROM salla.orders o
        UNION ALL SELECT xmin::text || ' i ' || i::text FROM salla.order_items i
        UNION ALL SELECT xmin::text || ' d ' || d::text FROM salla.order_discounts d
        UNION ALL SELECT xmin::text || ' c ' || c::text FROM salla.customers c
        UNION ALL SELECT xmin::text || ' r ' || r::text FROM salla_sync.rejected_records r
        UNION ALL SELECT xmin::text || ' p ' || p::text FROM salla_sync.pending_details p) all_rows";

async fn everything(shop: &Shop) -> String {
    let (text,): (Option<String>,) = shop.one(EVERYTHING).await;
    text.unwrap_or_default()
}

#[tokio::test]
async fn a_whole_order_fills_all_tables() {
    let shop = Shop::open().await;
    let landed = shop.land_orders(1, at(0), &[whole(1), whole(2)]).await;
    let expected = Landed {
        loaded: 2,
        ..Landed::default()
    };
    assert_eq!(landed, expected);
    type Row = (
        i64,
        String,
        String,
        Decimal,
        Decimal,
        Decimal,
        i64,
        bool,
        bool,
    );
    let row: Row = shop
        .one("SELECT reference_id, status_slug, currency, total, subtotal, discount, customer_id, has_amounts, has_items FROM salla.orders WHERE id = 1")
        .await;
    let d = |cents| Decimal::new(cents, 2);
    let expected = (
        1_001,
        "completed".into(),
        "SAR".into(),
        d(11_500),
        d(10_000),
        d(2_000),
        5_001,
        true,
        true,
    );
    assert_eq!(row, expected);
    assert_eq!(shop.rows("salla.order_items").await, 4);
    assert_eq!(shop.rows("salla.order_discounts").await, 2);
    assert_eq!(shop.rows("salla.customers").await, 2);
    let (name,): (String,) = shop
        .one("SELECT name FROM salla.order_items WHERE id = 11")
        .await;
    assert_eq!(name, "عباية سوداء");
    assert!(shop.pending().await.is_empty());
}

#[tokio::test]
async fn the_same_page_twice_changes_nothing() {
    let shop = Shop::open().await;
    shop.land_orders(1, at(0), &[whole(1), header(2)]).await;
    let before = everything(&shop).await;
    let landed = shop.land_orders(1, at(0), &[whole(1), header(2)]).await;
    assert_eq!(landed.repeated_pages, 1);
    assert_eq!(landed.loaded, 0);
    assert_eq!(everything(&shop).await, before);
}

#[tokio::test]
async fn the_same_records_on_a_newer_page_write_no_row() {
    let shop = Shop::open().await;
    shop.land_orders(1, at(0), &[whole(1), header(2)]).await;
    let before = everything(&shop).await;
    let landed = shop.land_orders(2, at(10), &[whole(1), header(2)]).await;
    assert_eq!(landed.loaded, 2, "loaded, though unchanged");
    assert_eq!(everything(&shop).await, before);
}

#[tokio::test]
async fn a_record_that_reads_the_same_though_its_text_changed_writes_no_row() {
    let shop = Shop::open().await;
    shop.land_orders(1, at(0), &[whole(1)]).await;
    let before = everything(&shop).await;
    let mut decoded = crate::make::ok(whole(1));
    decoded.raw = "{\"read\":true}".into();
    shop.land(2, at(10), crate::shop::orders(vec![decoded]))
        .await;
    assert_eq!(everything(&shop).await, before);
}

#[tokio::test]
async fn an_older_page_does_not_overwrite_a_newer_one() {
    let shop = Shop::open().await;
    let newer = Order {
        status: status("canceled"),
        ..whole(1)
    };
    shop.land_orders(2, at(10), std::slice::from_ref(&newer))
        .await;
    let before = everything(&shop).await;
    let landed = shop.land_orders(1, at(0), &[whole(1)]).await;
    assert_eq!(landed.loaded, 1, "it is there, in a newer version");
    assert_eq!(everything(&shop).await, before);
}

#[tokio::test]
async fn duplicates_in_one_batch_leave_the_newest() {
    let shop = Shop::open().await;
    let canceled = Order {
        status: status("canceled"),
        ..whole(1)
    };
    let newer = shop
        .page(
            2,
            at(10),
            crate::shop::orders(vec![crate::make::ok(canceled)]),
        )
        .await;
    let older = crate::shop::orders(vec![crate::make::ok(whole(1)), crate::make::ok(whole(1))]);
    let older = shop.page(1, at(0), older).await;
    let landed = shop
        .landing
        .land_pages(shop.lease, &[newer, older])
        .await
        .unwrap();
    assert_eq!(landed.loaded, 1);
    let (slug,): (String,) = shop.one("SELECT status_slug FROM salla.orders").await;
    assert_eq!(slug, "canceled");
}

#[tokio::test]
async fn a_header_never_clears_what_a_detail_filled() {
    let shop = Shop::open().await;
    shop.land_detail(at(0), whole(1)).await;
    let silent = Order {
        status: status("delivering"),
        payment_method: None,
        ..header(1)
    };
    shop.land_orders(1, at(10), &[silent]).await;
    type Row = (String, String, String, Decimal, i64, bool, bool);
    let row: Row = shop
        .one("SELECT status_slug, payment_method, source, subtotal, customer_id, has_amounts, has_items FROM salla.orders")
        .await;
    let expected = (
        "delivering".into(),
        "mada".into(),
        "store".into(),
        Decimal::new(10_000, 2),
        5_001,
        true,
        true,
    );
    assert_eq!(row, expected);
    assert_eq!(shop.rows("salla.order_items").await, 2);
    assert_eq!(shop.pending().await, [1], "its details may be out of date");
}

/// The same answers in any order leave the same row.
#[tokio::test]
async fn headers_and_details_may_come_in_any_order() {
    let old_header = Order {
        status: status("in_progress"),
        source: text("old"),
        ..header(1)
    };
    let detail = Order {
        status: status("completed"),
        payment_method: None,
        total: money(11_000),
        ..whole(1)
    };
    let new_header = Order {
        status: status("delivered"),
        total: money(9_900),
        ..header(1)
    };
    let mut seen = Vec::new();
    for order in [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ] {
        let shop = Shop::open().await;
        for step in order {
            match step {
                0 => {
                    shop.land_orders(1, at(0), std::slice::from_ref(&old_header))
                        .await
                }
                1 => shop.land_detail(at(10), detail.clone()).await,
                _ => {
                    shop.land_orders(2, at(20), std::slice::from_ref(&new_header))
                        .await
                }
            };
        }
        let (row,): (String,) = shop
            .one("SELECT (to_jsonb(o) - 'merchant_id')::text FROM salla.orders o")
            .await;
        let inside = shop.count(Resource::Orders).await.inside;
        assert!(inside.balances(), "{order:?}: {inside:?}");
        seen.push((order, row, shop.pending().await));
    }
    for (order, row, pending) in &seen {
        assert_eq!(row, &seen[0].1, "{order:?}");
        assert_eq!(
            pending,
            &[1],
            "{order:?}: the newest header is newer than the detail"
        );
    }
    assert!(seen[0].1.contains("delivered"));
}

#[tokio::test]
async fn lines_are_replaced_as_a_set() {
    let shop = Shop::open().await;
    shop.land_detail(at(0), whole(1)).await;
    let (kept,): (String,) = shop
        .one("SELECT xmin::text FROM salla.order_items WHERE id = 12")
        .await;
    let mut changed = whole(1);
    let mut dearer = item(13);
    dearer.total = decimal(9_900);
    changed.items = Some(vec![item(12), dearer]);
    changed.amounts.as_mut().unwrap().discounts.clear();
    shop.land_detail(at(10), changed).await;
    let items: Vec<(i64, i32)> = shop
        .all("SELECT id, position FROM salla.order_items ORDER BY id")
        .await;
    assert_eq!(items, [(12, 1), (13, 2)]);
    assert_eq!(shop.rows("salla.order_discounts").await, 0);
    let (moved,): (String,) = shop
        .one("SELECT xmin::text FROM salla.order_items WHERE id = 12")
        .await;
    assert_ne!(moved, kept, "its position changed");
}

#[tokio::test]
async fn a_status_change_alone_touches_no_line() {
    let shop = Shop::open().await;
    shop.land_detail(at(0), whole(1)).await;
    let lines = "SELECT string_agg(xmin::text || id::text, ',' ORDER BY id) FROM salla.order_items";
    let (before,): (String,) = shop.one(lines).await;
    let changed = Order {
        status: status("delivered"),
        ..whole(1)
    };
    shop.land_detail(at(10), changed).await;
    let (after,): (String,) = shop.one(lines).await;
    assert_eq!(before, after);
}

#[tokio::test]
async fn an_order_without_items_is_complete_too() {
    let shop = Shop::open().await;
    shop.land_orders(1, at(0), &[header(1)]).await;
    let amounts = whole(1).amounts.map(|amounts| OrderAmounts {
        subtotal: decimal(0),
        ..amounts
    });
    let empty = Order {
        items: Some(Vec::new()),
        amounts,
        customer: Some(OrderCustomer::Guest),
        ..whole(1)
    };
    shop.land_detail(at(10), empty).await;
    assert!(shop.pending().await.is_empty());
    let counts = shop.count(Resource::Orders).await;
    assert_eq!((counts.details_needed, counts.details_loaded), (1, 1));
}

#[tokio::test]
async fn a_row_that_somebody_deleted_comes_back_with_the_next_import() {
    let mut shop = Shop::open().await;
    shop.land_orders(1, at(0), &[whole(1), header(2)]).await;
    shop.land_detail(at(5), whole(2)).await;
    shop.execute("DELETE FROM salla.orders").await;
    shop.execute("DELETE FROM salla.order_items").await;
    assert_eq!(
        shop.count(Resource::Orders).await.loaded,
        0,
        "they are missing"
    );
    shop.again().await;
    shop.land_orders(1, at(10), &[whole(1), header(2)]).await;
    assert_eq!(shop.rows("salla.orders").await, 2);
    assert_eq!(shop.rows("salla.order_items").await, 2);
    assert_eq!(shop.pending().await, [2], "only its header is back");
}

#[tokio::test]
async fn null_characters_are_left_out_and_arabic_stays() {
    let shop = Shop::open().await;
    let mut order = whole(1);
    order.payment_method = text("ma\0da");
    order.items.as_mut().unwrap()[0].name = "قميص\0 أبيض".to_owned();
    shop.land_orders(1, at(0), &[order]).await;
    let (method,): (String,) = shop.one("SELECT payment_method FROM salla.orders").await;
    assert_eq!(method, "mada");
    let (name,): (String,) = shop
        .one("SELECT name FROM salla.order_items WHERE id = 11")
        .await;
    assert_eq!(name, "قميص أبيض");
}

#[tokio::test]
async fn huge_numbers_do_not_stop_a_batch() {
    let shop = Shop::open().await;
    let mut order = whole(i64::MAX);
    order.total = Some(domain::numbers::Money::new(Decimal::MAX, "SAR"));
    order.reference_id = Some(i64::MIN);
    order.items = Some(vec![item(i64::MAX)]);
    order.customer = None;
    shop.land_orders(1, at(0), &[order]).await;
    let (total,): (Decimal,) = shop.one("SELECT total FROM salla.orders").await;
    assert_eq!(total, Decimal::MAX);
}

#[tokio::test]
async fn a_detail_that_names_no_exchange_rate_leaves_the_one_of_the_list() {
    let shop = Shop::open().await;
    let mut listed = header(1);
    listed.exchange_rate = Some(ExchangeRate {
        base_currency: text("SAR"),
        exchange_currency: text("USD"),
        rate: decimal(400),
    });
    shop.land_orders(1, at(0), &[listed]).await;
    shop.land_detail(at(1), whole(1)).await;
    let (rate, target): (Decimal, String) = shop
        .one("SELECT exchange_rate, exchange_target_currency FROM salla.orders")
        .await;
    assert_eq!((rate, target.as_str()), (4.into(), "USD"));
}

/// Lists are read twice, and pages come twice: what people are shown counts records.
#[tokio::test]
async fn a_record_that_comes_twice_is_counted_once() {
    let shop = Shop::open().await;
    for page in 1..=3 {
        let orders = [whole(1), whole(2)].map(crate::make::ok).into();
        let page = shop.page(page, at(i64::from(page)), Records::Orders(orders));
        let page = page.await;
        let landed = shop.landing.land_pages(shop.lease, &[page]).await.unwrap();
        let expected = Counted {
            orders: 2,
            order_details: 2,
            ..Counted::default()
        };
        assert_eq!((landed.loaded, landed.counted), (2, Some(expected)));
    }
}
