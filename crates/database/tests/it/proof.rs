//! What the closing pass needs to know: which records no walk has listed.

use domain::certificate::Proof;
use domain::resource::Resource;
use importer::ports::landing::{DetailOutcome, Landing};
use importer::ports::platform::Records;
use importer::ports::runs::Runs;

use crate::make::{at, header, ok, whole};
use crate::shop::Shop;

#[tokio::test]
async fn two_walks_are_compared_by_their_ids() {
    let shop = Shop::open().await;
    let window = shop.window(Resource::Orders).await;
    shop.land_orders(1, at(1), &[header(1), header(2)]).await;
    assert!(!shop.count(Resource::Orders).await.same_as_before);
    shop.runs.begin_walk(shop.lease, window).await.unwrap();
    shop.land_orders(1, at(2), &[header(2), header(1)]).await;
    assert!(shop.count(Resource::Orders).await.same_as_before);
    shop.runs.begin_walk(shop.lease, window).await.unwrap();
    shop.land_orders(1, at(3), &[header(1)]).await;
    assert!(!shop.count(Resource::Orders).await.same_as_before);
    shop.runs.begin_walk(shop.lease, window).await.unwrap();
    shop.land_orders(1, at(4), &[header(1), header(3)]).await;
    assert!(!shop.count(Resource::Orders).await.same_as_before);
}

#[tokio::test]
async fn the_ends_of_a_list_are_forgotten_with_its_walk() {
    let shop = Shop::open().await;
    let window = shop.window(Resource::Customers).await;
    shop.runs
        .record_ends_read_again(shop.lease, window)
        .await
        .unwrap();
    assert!(shop.count(Resource::Customers).await.ends_read_again);
    shop.runs.begin_walk(shop.lease, window).await.unwrap();
    assert!(!shop.count(Resource::Customers).await.ends_read_again);
}

#[tokio::test]
async fn orders_of_the_range_that_no_present_walk_lists_are_found_and_asked_for() {
    let shop = Shop::open().await;
    let window = shop.window(Resource::Orders).await;
    let orders = [whole(1), whole(2), whole(3)];
    shop.land_orders(1, at(1), &orders).await;
    shop.runs.begin_walk(shop.lease, window).await.unwrap();
    shop.land_orders(1, at(2), &[whole(1)]).await;

    let mut vanished = shop
        .runs
        .vanished(shop.lease, Resource::Orders)
        .await
        .unwrap();
    vanished.sort_unstable();
    assert_eq!(vanished, [2, 3]);
    let not_listed = shop.runs.not_listed(shop.lease, &[1, 3, 4]).await.unwrap();
    assert_eq!(not_listed.len(), 2, "{not_listed:?}");

    shop.landing
        .ask_again(shop.lease, &[2, 3, 77])
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
    assert_eq!(certificate.windows[0].proof(), Proof::Proven);
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
