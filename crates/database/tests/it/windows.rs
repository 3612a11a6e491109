//! Plans, windows and their scans.

use domain::ceiling::Ceiling;
use domain::certificate::Proof;
use domain::resource::Resource;
use domain::window::DayRange;
use importer::ports::landing::{Landing, ScannedPage};
use importer::ports::platform::Pagination;
use importer::ports::runs::{Listings, Runs, StoredWindow, Windows};

use crate::make::{at, header, ok, rejected};
use crate::shop::{Shop, orders, plan, range};

async fn orders_windows(shop: &Shop) -> Vec<StoredWindow> {
    let windows = shop.runs.windows(shop.lease).await.unwrap();
    windows
        .into_iter()
        .filter(|w| w.resource == Resource::Orders)
        .collect()
}

fn with_total(page: ScannedPage, walk: u32, total: u64) -> ScannedPage {
    ScannedPage {
        scan: walk,
        pagination: Pagination {
            total,
            total_pages: 9,
            ..page.pagination
        },
        ..page
    }
}

#[tokio::test]
async fn a_plan_is_stored_once_and_comes_back() {
    let shop = Shop::open().await;
    let before = shop.runs.windows(shop.lease).await.unwrap();
    assert_eq!(before.len(), 5);
    let first: Vec<Resource> = before.iter().map(|w| w.resource).collect();
    assert_eq!(first, Resource::ALL);
    shop.runs
        .save_plan(shop.lease, &plan(Some(3)), &[])
        .await
        .unwrap();
    assert_eq!(shop.runs.windows(shop.lease).await.unwrap(), before);
    let run = shop.runs.latest(shop.merchant).await.unwrap().unwrap();
    assert_eq!(run.plan, Some(plan(None)));
}

#[tokio::test]
async fn the_checkpoint_knows_every_page_of_the_present_walk() {
    let shop = Shop::open().await;
    for page in [2, 1, 5] {
        let landed = shop
            .page(page, at(0), orders(vec![ok(header(i64::from(page)))]))
            .await;
        let landed = with_total(landed, 1, 500 + u64::from(page));
        shop.landing
            .land_pages(shop.lease, &[landed])
            .await
            .unwrap();
    }
    let window = orders_windows(&shop).await.remove(0);
    assert_eq!((window.scan, window.pages_done), (1, vec![1, 2, 5]));
    assert_eq!(
        (window.first_total, window.total_pages),
        (Some(501), Some(9))
    );
    assert!(!window.done);

    assert_eq!(
        shop.runs.begin_scan(shop.lease, window.id).await.unwrap(),
        2
    );
    let window = orders_windows(&shop).await.remove(0);
    assert_eq!((window.scan, window.first_total), (2, None));
    assert!(window.pages_done.is_empty());
    assert_eq!(
        shop.rows("salla_sync.sync_pages").await,
        3,
        "earlier walks stay on record"
    );
    shop.runs
        .mark_window_done(shop.lease, window.id, false)
        .await
        .unwrap();
    shop.runs
        .mark_window_done(shop.lease, window.id, false)
        .await
        .unwrap();
    assert!(orders_windows(&shop).await[0].done);
}

#[tokio::test]
async fn halves_take_the_place_of_their_window_once() {
    let shop = Shop::open().await;
    let window = orders_windows(&shop).await.remove(0);
    shop.land_orders(1, at(0), &[header(1)]).await;
    let (older, newer) = range().split().unwrap();
    for _ in 0..2 {
        let halves = [newer, older];
        shop.runs
            .split_window(shop.lease, window.id, halves)
            .await
            .unwrap();
    }
    let windows = shop.runs.windows(shop.lease).await.unwrap();
    let days: Vec<Option<DayRange>> = windows.iter().map(|w| w.days).collect();
    assert_eq!(days, [Some(newer), Some(older), None, None, None, None]);
    assert_eq!(windows[0].scan, 0);
    assert_eq!(shop.rows("salla.orders").await, 1, "its rows stay");

    let (oldest, middle) = older.split().unwrap();
    let second = windows[1].id;
    shop.runs
        .split_window(shop.lease, second, [middle, oldest])
        .await
        .unwrap();
    let windows = orders_windows(&shop).await;
    let days: Vec<Option<DayRange>> = windows.iter().map(|w| w.days).collect();
    assert_eq!(days, [Some(newer), Some(middle), Some(oldest)]);
    assert!(shop.runs.begin_scan(shop.lease, second).await.is_err());
}

/// Lands page `number` of a list with `total` rows.
async fn land_listed(shop: &Shop, walk: u32, number: u32, total: u64, ids: &[i64]) {
    let records = ids.iter().map(|id| ok(header(*id))).collect();
    let page = shop.page(number, at(0), orders(records)).await;
    let page = with_total(page, walk, total);
    shop.landing.land_pages(shop.lease, &[page]).await.unwrap();
}

#[tokio::test]
async fn rows_are_listed_in_their_sequence_as_far_as_total_counts_them() {
    let shop = Shop::open().await;
    let window = orders_windows(&shop).await.remove(0).id;
    let listed = async || shop.runs.listed(shop.lease, window).await.unwrap();
    const NOTHING: [i64; 0] = [];
    assert_eq!(listed().await, NOTHING);
    land_listed(&shop, 1, 2, 9, &[4, 8]).await;
    assert_eq!(listed().await, NOTHING, "the first page is not there yet");
    land_listed(&shop, 1, 1, 9, &[7, 1]).await;
    assert_eq!(listed().await, [7, 1, 4, 8]);
    land_listed(&shop, 1, 4, 9, &[5]).await;
    assert_eq!(
        listed().await,
        [7, 1, 4, 8],
        "the third page is not there yet"
    );
    land_listed(&shop, 1, 3, 8, &[6, 2]).await;
    assert_eq!(
        listed().await,
        [7, 1, 4, 8],
        "the list changed before the third page"
    );

    let walk = shop.runs.begin_scan(shop.lease, window).await.unwrap();
    assert_eq!(listed().await, NOTHING);
    let nameless = vec![ok(header(3)), rejected(None, "{}")];
    let page = shop.page(1, at(0), orders(nameless)).await;
    let page = with_total(page, walk, 2);
    shop.landing.land_pages(shop.lease, &[page]).await.unwrap();
    assert_eq!(
        listed().await,
        NOTHING,
        "a record without id counts in the total"
    );
}

#[tokio::test]
async fn rows_that_are_carried_over_count_as_listed() {
    let shop = Shop::open().await;
    let window = orders_windows(&shop).await.remove(0).id;
    land_listed(&shop, 1, 1, 5, &[7, 1]).await;
    for _ in 0..2 {
        let ids = [7, 1, 4, 8, 5];
        shop.runs
            .carry_over(shop.lease, window, &ids)
            .await
            .unwrap();
    }
    let listing = shop.runs.listing(shop.lease, window).await.unwrap();
    assert_eq!((listing.reported, listing.distinct), (5, 5));
    assert_eq!(listing.proof(), Proof::Proven);
    let listed = shop.runs.listed(shop.lease, window).await.unwrap();
    assert_eq!(listed, [7, 1, 4, 8, 5]);
    let unknown = shop.runs.not_listed(shop.lease, Resource::Orders, &[8, 9]);
    assert_eq!(unknown.await.unwrap(), [9]);

    let other = Shop::open().await;
    let unread = orders_windows(&other).await.remove(0).id;
    let refused = other.runs.carry_over(other.lease, unread, &[1]).await;
    assert!(refused.is_err(), "its first page has not landed");
}

#[tokio::test]
async fn the_last_ceiling_is_remembered_for_the_next_run() {
    let mut shop = Shop::open().await;
    let known = async |shop: &Shop| shop.runs.ceiling(shop.merchant).await.unwrap();
    assert_eq!(known(&shop).await, Ceiling::UNKNOWN);
    for rows in [1_000, 5_000, 960] {
        let ceiling = Ceiling::of(rows);
        shop.runs
            .remember_ceiling(shop.lease, ceiling)
            .await
            .unwrap();
        assert_eq!(known(&shop).await.learned(), Some(rows));
    }
    let window = shop.window(Resource::Products).await;
    let listing = shop.runs.listing(shop.lease, window).await.unwrap();
    assert_eq!(listing.ceiling, Ceiling::of(960));
    let former = shop.lease;
    shop.again().await;
    let late = shop.runs.remember_ceiling(former, Ceiling::of(10)).await;
    assert_eq!(late.unwrap_err().code(), "lease_lost");
    assert_eq!(known(&shop).await, Ceiling::of(960));
    let none = shop.runs.remember_ceiling(shop.lease, Ceiling::UNKNOWN);
    none.await.unwrap();
    assert_eq!(known(&shop).await, Ceiling::UNKNOWN);
}

#[tokio::test]
async fn the_cursor_says_where_the_last_commit_was() {
    let shop = Shop::open().await;
    shop.land_orders(17, at(0), &[header(1)]).await;
    let cursor = "SELECT last_processed_cursor::text FROM salla_sync.merchant_sync_status";
    let (text,): (String,) = shop.one(cursor).await;
    let expected = r#"{"page": 17, "window": "2024-06-15..2025-06-15", "resource": "orders"}"#;
    assert_eq!(text, expected);
    shop.land_detail(at(1), crate::make::whole(1)).await;
    let (text,): (String,) = shop.one(cursor).await;
    assert_eq!(text, r#"{"order_id": 1, "resource": "order_details"}"#);
}

#[tokio::test]
async fn pages_for_a_window_of_another_run_are_refused() {
    let mut shop = Shop::open().await;
    let page = shop.page(1, at(0), orders(vec![ok(header(1))])).await;
    shop.again().await;
    let refused = shop
        .landing
        .land_pages(shop.lease, &[page])
        .await
        .unwrap_err();
    assert_eq!(refused.code(), "bug");
    assert_eq!(shop.rows("salla_sync.sync_pages").await, 0);
}
