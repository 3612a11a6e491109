//! What reconciliation needs: which records no scan has listed.

use domain::certificate::Proof;
use domain::resource::Resource;
use importer::ports::landing::{DetailOutcome, Landing};
use importer::ports::platform::Records;
use importer::ports::runs::{Listings, Runs, Windows};

use crate::make::{at, customer, header, ok, rejected, whole};
use crate::shop::Shop;

#[tokio::test]
async fn two_walks_are_compared_by_their_ids() {
    let shop = Shop::open().await;
    let window = shop.window(Resource::Orders).await;
    shop.land_orders(1, at(1), &[header(1), header(2)]).await;
    let listing = shop.count(Resource::Orders).await.listing;
    assert!(!listing.same_as_before && !listing.contains_before);
    shop.runs.begin_scan(shop.lease, window).await.unwrap();
    shop.land_orders(1, at(2), &[header(2), header(1)]).await;
    let listing = shop.count(Resource::Orders).await.listing;
    assert!(listing.same_as_before && listing.contains_before);
    shop.runs.begin_scan(shop.lease, window).await.unwrap();
    shop.land_orders(1, at(3), &[header(1)]).await;
    let listing = shop.count(Resource::Orders).await.listing;
    assert!(!listing.same_as_before && !listing.contains_before);
    shop.runs.begin_scan(shop.lease, window).await.unwrap();
    shop.land_orders(1, at(4), &[header(1), header(3)]).await;
    let listing = shop.count(Resource::Orders).await.listing;
    assert!(!listing.same_as_before && listing.contains_before);
}

#[tokio::test]
async fn the_ends_of_a_list_are_forgotten_with_its_walk() {
    let shop = Shop::open().await;
    let window = shop.window(Resource::Customers).await;
    shop.runs
        .record_ends_rescanned(shop.lease, window)
        .await
        .unwrap();
    assert!(shop.count(Resource::Customers).await.listing.ends_rescanned);
    shop.runs.begin_scan(shop.lease, window).await.unwrap();
    assert!(!shop.count(Resource::Customers).await.listing.ends_rescanned);
}

#[tokio::test]
async fn orders_of_the_range_that_no_present_walk_lists_are_found_and_asked_for() {
    let shop = Shop::open().await;
    let window = shop.window(Resource::Orders).await;
    let orders = [whole(1), whole(2), whole(3)];
    shop.land_orders(1, at(1), &orders).await;
    shop.runs.begin_scan(shop.lease, window).await.unwrap();
    shop.land_orders(1, at(2), &[whole(1)]).await;

    let mut vanished = shop
        .runs
        .vanished(shop.lease, Resource::Orders)
        .await
        .unwrap();
    vanished.sort_unstable();
    assert_eq!(vanished, [2, 3]);
    let not_listed = shop
        .runs
        .not_listed(shop.lease, Resource::Orders, &[1, 3, 4])
        .await
        .unwrap();
    assert_eq!(not_listed.len(), 2, "{not_listed:?}");

    shop.landing
        .mark_pending(shop.lease, &[2, 3, 77])
        .await
        .unwrap();
    let mut pending = shop.pending().await;
    pending.sort_unstable();
    assert_eq!(pending, [2, 3], "77 has no row");
    shop.land_outcome(2, at(3), DetailOutcome::Gone).await;
    shop.land_detail(at(3), whole(3)).await;
    assert!(shop.pending().await.is_empty());

    let certificate = shop.runs.certify(shop.lease, at(4)).await.unwrap();
    assert_eq!((certificate.vanished, certificate.unlisted), (1, 1));
    assert_eq!(certificate.windows[0].listing.proof(), Proof::Proven);
}

/// Its summary is unchanged, so only the list of pending orders has it.
#[tokio::test]
async fn what_another_run_has_left_of_a_listed_order_is_taken_on() {
    let mut shop = Shop::open().await;
    shop.land_orders(1, at(1), &[header(1), header(2)]).await;
    shop.land_detail(at(2), whole(1)).await;
    shop.land_detail(at(2), whole(2)).await;
    shop.landing
        .mark_pending(shop.lease, &[1, 2])
        .await
        .unwrap();
    shop.again().await;
    shop.land_orders(1, at(3), &[header(1)]).await;
    assert_eq!(shop.pending().await, [1], "2 is not of this run's days");
    assert!(
        !shop
            .count(Resource::Orders)
            .await
            .records_are_accounted_for()
    );
    shop.land_detail(at(4), whole(1)).await;
    assert!(
        shop.count(Resource::Orders)
            .await
            .records_are_accounted_for()
    );
}

#[tokio::test]
async fn changes_land_without_a_checkpoint_and_say_which_orders_they_change() {
    let shop = Shop::open().await;
    shop.land_orders(1, at(1), &[header(1), header(2)]).await;
    let mut edited = header(2);
    edited.total = None;
    let orders = [header(1), edited, header(3)].map(ok).to_vec();
    let page = shop.page(1, at(2), Records::Orders(orders)).await;
    let page = importer::ports::platform::Page {
        records: page.records,
        pagination: page.pagination,
        version: page.version,
    };
    let pages_before = shop.rows("salla_sync.sync_pages").await;
    let mut changes = shop.landing.land_changes(shop.lease, &page).await.unwrap();
    changes.changed.sort_unstable();
    assert_eq!(changes.changed, [2, 3]);
    assert_eq!(changes.landed.loaded, 3);
    assert_eq!(shop.rows("salla_sync.sync_pages").await, pages_before);
    let again = shop.landing.land_changes(shop.lease, &page).await.unwrap();
    assert_eq!(again.changed, Vec::<i64>::new());
}

#[tokio::test]
async fn a_rejection_of_what_is_no_longer_listed_is_closed() {
    let shop = Shop::open().await;
    let window = shop.window(Resource::Orders).await;
    let records = vec![
        ok(header(1)),
        rejected(Some(2), "{\"id\":2}"),
        rejected(Some(3), "{\"id\":3}"),
    ];
    shop.land(1, at(1), Records::Orders(records)).await;
    shop.runs.begin_scan(shop.lease, window).await.unwrap();
    let records = vec![ok(header(1)), rejected(Some(3), "{\"id\":3}")];
    shop.land(1, at(2), Records::Orders(records)).await;
    shop.landing.clear_vanished(shop.lease).await.unwrap();
    let open: Vec<(i64,)> = shop
        .all("SELECT salla_id FROM salla_sync.rejected_records WHERE resolved_at IS NULL")
        .await;
    assert_eq!(open, [(3,)]);
    let (shown,): (i64,) = shop
        .one("SELECT rejected FROM salla_sync.merchant_sync_status")
        .await;
    assert_eq!(shown, 1);
}

#[tokio::test]
async fn a_customer_who_vanished_goes_with_the_last_order_that_refers_to_him() {
    let shop = Shop::open().await;
    let order = whole(1);
    let behind = order.customer.as_ref().and_then(|c| c.id()).unwrap();
    shop.land_orders(1, at(1), &[order]).await;
    let customers = vec![ok(customer(behind)), ok(customer(77))];
    shop.land(1, at(1), Records::Customers(customers)).await;
    let window = shop.window(Resource::Customers).await;
    shop.runs.begin_scan(shop.lease, window).await.unwrap();
    let mut vanished = shop
        .runs
        .vanished(shop.lease, Resource::Customers)
        .await
        .unwrap();
    vanished.sort_unstable();
    let mut both = [behind, 77];
    both.sort_unstable();
    assert_eq!(vanished, both);
    let landing = &shop.landing;
    landing
        .tombstone(shop.lease, Resource::Customers, &vanished, at(2))
        .await
        .unwrap();
    landing.clear_vanished(shop.lease).await.unwrap();
    let left: Vec<(i64, bool)> = shop.all("SELECT id, from_list FROM salla.customers").await;
    assert_eq!(left, [(behind, false)], "an order refers to one of them");
    shop.land_outcome(1, at(3), DetailOutcome::Gone).await;
    landing.clear_vanished(shop.lease).await.unwrap();
    assert_eq!(shop.rows("salla.customers").await, 0);
}
