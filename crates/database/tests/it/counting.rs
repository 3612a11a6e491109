//! The arithmetic of windows: what was listed is loaded, rejected, gone or missing.

use std::time::Duration;

use domain::order::Order;
use domain::resource::Resource;
use importer::ports::landing::{DetailOutcome, Landing};
use importer::ports::platform::{Decoded, Pagination};
use importer::ports::runs::{Runs, Windows};

use crate::make::{at, header, ok, rejected, whole};
use crate::shop::{Shop, claim, orders};

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

enum Step {
    /// A page with its number and how many there are.
    Page(u32, u32, Vec<Decoded<Order>>),
    /// The order with this id, whole.
    Detail(i64),
}

/// Whether another attempt that lands this, if anything, gets further.
async fn gets_further(shop: &mut Shop, step: Option<Step>) -> bool {
    shop.runs.release(shop.lease, None).await.unwrap();
    shop.lease = claim(&shop.runs, shop.lease.run, "another attempt").await;
    shop.execute("UPDATE salla_sync.sync_runs SET sent_again = 1")
        .await;
    match step {
        Some(Step::Page(number, of, records)) => {
            let version = at(number.into());
            let mut page = shop.page(number, version, orders(records)).await;
            page.pagination.total_pages = of;
            shop.landing.land_pages(shop.lease, &[page]).await.unwrap();
        }
        Some(Step::Detail(id)) => {
            shop.land_detail(at(90), whole(id)).await;
        }
        None => {}
    }
    let run = shop.runs.latest(shop.merchant).await.unwrap().unwrap();
    let again = "SELECT sent_again FROM salla_sync.sync_runs";
    let (sent_again,) = shop.one::<(i32,)>(again).await;
    assert_eq!(sent_again == 0, run.made_progress);
    run.made_progress
}

/// Not by what each attempt does once more.
#[tokio::test]
async fn an_attempt_gets_further_by_what_the_next_one_need_not_do_again() {
    let mut shop = Shop::open().await;
    let no_id = || vec![rejected(None, "?")];
    let page = |number, records| Some(Step::Page(number, 3, records));
    for (step, expected, what) in [
        (None, false, "nothing"),
        (page(1, vec![ok(header(2))]), true, "a first page"),
        (page(1, vec![ok(header(2))]), false, "it has landed"),
        (page(2, no_id()), true, "the scan resumes behind it"),
        (page(4, vec![ok(header(2))]), false, "an end of the list"),
        (page(5, vec![ok(header(3))]), true, "a new record there"),
        (Some(Step::Detail(2)), true, "first details"),
        (Some(Step::Detail(2)), false, "the same details"),
    ] {
        let got_further = gets_further(&mut shop, step).await;
        assert_eq!(got_further, expected, "{what}");
    }
    let window = shop.window(Resource::Orders).await;
    let settled = shop.runs.mark_window_done(shop.lease, window, false);
    settled.await.unwrap();
    assert!(!gets_further(&mut shop, page(3, no_id())).await);
    for scan in 2..=9 {
        shop.runs.begin_scan(shop.lease, window).await.unwrap();
        let got_further = gets_further(&mut shop, page(1, no_id())).await;
        assert_eq!(got_further, scan <= 8, "scan {scan}");
    }
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
