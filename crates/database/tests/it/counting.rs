//! The arithmetic of windows: what was listed is loaded, rejected, gone or missing.

use std::time::Duration;

use domain::order::Order;
use domain::resource::Resource;
use importer::ports::landing::{DetailOutcome, Landing};
use importer::ports::platform::Pagination;
use importer::ports::runs::{Runs, Windows};

use crate::make::{at, header, ok, rejected, whole};
use crate::shop::{Shop, orders};

#[tokio::test]
async fn a_window_without_pages_proves_nothing() {
    let shop = Shop::open().await;
    let counts = shop.count(Resource::Orders).await;
    assert_eq!((counts.listing.reported, counts.listing.distinct), (0, 0));
    assert!(!counts.listing.scan_is_exact());
    shop.land_orders(1, at(0), &[]).await;
    assert!(
        shop.count(Resource::Orders).await.balances(),
        "an empty page does"
    );
}

#[tokio::test]
async fn every_kind_of_record_is_counted_once() {
    let shop = Shop::open().await;
    let first = vec![
        ok(whole(1)),
        ok(whole(2)),
        rejected(Some(3), "{}"),
        rejected(None, "?"),
    ];
    let second = vec![ok(whole(2)), ok(whole(4)), ok(header(5))];
    let mut pages = vec![
        shop.page(1, at(0), orders(first)).await,
        shop.page(2, at(1), orders(second)).await,
    ];
    for page in &mut pages {
        page.pagination = Pagination {
            total: 6,
            ..page.pagination
        };
    }
    shop.landing.land_pages(shop.lease, &pages).await.unwrap();
    shop.land_outcome(4, at(9), DetailOutcome::Gone).await;
    let counts = shop.count(Resource::Orders).await;
    assert_eq!(
        (counts.listing.reported, counts.listing.total_was_stable),
        (6, true)
    );
    assert_eq!((counts.listing.distinct, counts.listing.without_id), (5, 1));
    assert_eq!((counts.loaded, counts.rejected, counts.gone), (3, 2, 1));
    assert_eq!((counts.details_needed, counts.details_loaded), (3, 2));
    assert!(counts.listing.scan_is_exact());
    assert!(!counts.balances(), "one order lacks its details");
    shop.land_detail(at(10), whole(5)).await;
    assert!(shop.count(Resource::Orders).await.balances());

    shop.execute("DELETE FROM salla.orders WHERE id = 1").await;
    let counts = shop.count(Resource::Orders).await;
    assert_eq!((counts.loaded, counts.rejected, counts.gone), (2, 2, 1));
    assert!(!counts.records_are_accounted_for(), "a missing row shows");
}

/// As at the end of a list that never ends, or of one whose ends are read once more.
#[tokio::test]
async fn a_record_without_id_on_a_page_that_comes_again_counts_once() {
    let shop = Shop::open().await;
    let page = |known: Option<i64>| {
        let known = known.map(|id| ok(whole(id)));
        orders(known.into_iter().chain([rejected(None, "?")]).collect())
    };
    let pages = [Some(1), Some(2), Some(2), None, None, Some(1)];
    for (known, number) in pages.into_iter().zip(1..) {
        shop.land(number, at(number.into()), page(known)).await;
    }
    let listing = shop.count(Resource::Orders).await.listing;
    assert_eq!(
        (listing.distinct, listing.without_id),
        (2, 4),
        "what has no ids at all cannot be distinguished"
    );
}

#[tokio::test]
async fn a_total_that_moves_is_seen_and_the_last_page_speaks() {
    let shop = Shop::open().await;
    for (page, total) in [(3, 120), (1, 121), (2, 121)] {
        let mut walked = shop
            .page(page, at(0), orders(vec![ok(whole(i64::from(page)))]))
            .await;
        walked.pagination.total = total;
        shop.landing
            .land_pages(shop.lease, &[walked])
            .await
            .unwrap();
    }
    let counts = shop.count(Resource::Orders).await;
    assert_eq!(
        (counts.listing.reported, counts.listing.total_was_stable),
        (120, false)
    );
    let window = shop.window(Resource::Orders).await;
    let walk = shop.runs.begin_scan(shop.lease, window).await.unwrap();
    let mut again = shop.page(1, at(9), orders(vec![ok(whole(1))])).await;
    again.scan = walk;
    shop.landing.land_pages(shop.lease, &[again]).await.unwrap();
    let counts = shop.count(Resource::Orders).await;
    assert_eq!(
        (
            counts.listing.scans,
            counts.listing.reported,
            counts.listing.distinct
        ),
        (2, 1, 1)
    );
    assert!(counts.balances(), "only the last walk counts");
}

#[tokio::test]
async fn counters_count_each_record_once_per_run() {
    let mut shop = Shop::open().await;
    let counters = "SELECT orders, order_details, pages FROM salla_sync.merchant_sync_status";
    shop.land_orders(1, at(0), &[whole(1), header(2)]).await;
    shop.land_orders(2, at(1), &[whole(1), header(2), header(3)])
        .await;
    shop.land_orders(2, at(1), &[whole(1), header(2), header(3)])
        .await;
    assert_eq!(shop.one::<(i64, i64, i64)>(counters).await, (3, 1, 2));
    shop.land_detail(at(2), whole(2)).await;
    shop.land_detail(at(3), whole(2)).await;
    assert_eq!(shop.one::<(i64, i64, i64)>(counters).await, (3, 2, 2));
    shop.again().await;
    shop.land_orders(1, at(10), &[whole(1), header(2)]).await;
    assert_eq!(shop.one::<(i64, i64, i64)>(counters).await, (2, 1, 1));
    let run = shop.runs.latest(shop.merchant).await.unwrap().unwrap();
    assert_eq!((run.progress.orders, run.progress.pages), (2, 1));
}

/// As many ids as a window may have. The limit leaves room for a slow machine and
/// still fails for a plan that joins whole tables.
#[tokio::test]
async fn ten_thousand_ids_are_counted_quickly() {
    let shop = Shop::open().await;
    let order = |id| Order {
        items: Some(Vec::new()),
        customer: None,
        ..whole(id)
    };
    for page in 1..=10 {
        let first = i64::from(page) * 1_000;
        let records = (first..first + 1_000).map(|id| ok(order(id))).collect();
        shop.land(page, at(0), orders(records)).await;
    }
    let mut quickest = Duration::MAX;
    // Whatever else the machine does, it does not do it all the time.
    for _ in 0..5 {
        let begun = tokio::time::Instant::now();
        let counts = shop.count(Resource::Orders).await;
        quickest = quickest.min(begun.elapsed());
        let (listed, loaded) = (counts.listing.distinct, counts.loaded);
        let counts = (listed, loaded, counts.details_loaded);
        assert_eq!(counts, (10_000, 10_000, 10_000));
    }
    assert!(quickest.as_secs() < 3, "{quickest:?}");
}
