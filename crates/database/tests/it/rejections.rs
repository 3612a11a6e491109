//! Rejected records, and how they are loaded later.

use domain::rejection::RejectionCode;
use domain::resource::Resource;
use importer::ports::landing::{Landing, RejectionTally};

use crate::make::{at, header, ok, rejected, whole};
use crate::shop::{Shop, orders};

#[tokio::test]
async fn one_bad_record_does_not_cost_its_page() {
    let shop = Shop::open().await;
    let records = vec![
        ok(whole(1)),
        rejected(Some(2), "{\"id\":2,\"total\":\"abc\"}"),
        rejected(None, "not json \0 at all"),
    ];
    let landed = shop.land(1, at(0), orders(records)).await;
    assert_eq!((landed.loaded, landed.rejected), (1, 2));
    type Row = (Option<i64>, String, String, String, i64, i32);
    let rows: Vec<Row> = shop
        .all("SELECT salla_id, code, json_path, raw, window_id, page FROM salla_sync.rejected_records ORDER BY salla_id NULLS LAST")
        .await;
    assert_eq!(rows[0].0, Some(2));
    assert_eq!(
        (rows[0].1.as_str(), rows[0].2.as_str()),
        ("invalid_amount", "$.total.amount")
    );
    assert_eq!(rows[1].3, "not json  at all");
    assert_eq!(rows[1].5, 1);
    let counts = shop.count(Resource::Orders).await;
    assert_eq!(
        (
            counts.listing.reported,
            counts.listing.distinct,
            counts.listing.without_id
        ),
        (3, 2, 1)
    );
    assert_eq!((counts.loaded, counts.rejected), (1, 2));
    assert!(counts.balances());
    let (counter,): (i64,) = shop
        .one("SELECT rejected FROM salla_sync.merchant_sync_status")
        .await;
    assert_eq!(counter, 2);
}

#[tokio::test]
async fn the_same_bad_record_is_one_rejection() {
    let shop = Shop::open().await;
    for page in 1..=2 {
        let records = vec![
            rejected(Some(2), "{\"id\":2}"),
            rejected(None, "?"),
            rejected(None, "?"),
        ];
        shop.land(page, at(i64::from(page)), orders(records)).await;
    }
    assert_eq!(shop.rows("salla_sync.rejected_records").await, 2);
}

#[tokio::test]
async fn a_record_that_loads_resolves_its_rejection() {
    let shop = Shop::open().await;
    shop.land(
        1,
        at(0),
        orders(vec![rejected(Some(1), "{}"), rejected(Some(2), "{}")]),
    )
    .await;
    shop.land_orders(2, at(10), &[header(1)]).await;
    let open: Vec<(i64,)> = shop
        .all("SELECT salla_id FROM salla_sync.rejected_records WHERE resolved_at IS NULL")
        .await;
    assert_eq!(open, [(2,)]);
    let (counter,): (i64,) = shop.one("SELECT rejected FROM salla_sync.sync_runs").await;
    assert_eq!(counter, 1);
}

#[tokio::test]
async fn versions_count_for_rejections_too() {
    let shop = Shop::open().await;
    shop.land(1, at(10), orders(vec![rejected(Some(1), "{}")]))
        .await;
    shop.land_orders(2, at(0), &[whole(1)]).await;
    let counts = shop.count(Resource::Orders).await;
    assert_eq!(counts.rejected, 1, "the newer answer cannot be read");
    shop.land_orders(3, at(20), &[whole(2)]).await;
    shop.land(4, at(15), orders(vec![rejected(Some(2), "{}")]))
        .await;
    let (open,): (i64,) = shop
        .one("SELECT count(*) FROM salla_sync.rejected_records WHERE salla_id = 2 AND resolved_at IS NULL")
        .await;
    assert_eq!(open, 0, "a newer answer has been read");
}

#[tokio::test]
async fn a_header_does_not_resolve_the_rejection_of_a_detail() {
    let shop = Shop::open().await;
    let bad = importer::ports::landing::DetailOutcome::Found {
        order: Box::new(rejected(Some(1), "{}")),
        items: None,
    };
    shop.land_outcome(1, at(0), bad).await;
    shop.land_orders(1, at(10), &[header(1)]).await;
    assert_eq!(shop.count(Resource::Orders).await.rejected, 1);
    shop.land_orders(2, at(20), &[whole(1)]).await;
    assert_eq!(
        shop.count(Resource::Orders).await.rejected,
        0,
        "a whole order does"
    );
}

/// A later run asks for little else than these.
#[tokio::test]
async fn details_that_an_earlier_run_set_aside_are_not_held_against_a_later_one() {
    let mut shop = Shop::open().await;
    let bad = || importer::ports::landing::DetailOutcome::Found {
        order: Box::new(rejected(Some(2), "{}")),
        items: None,
    };
    shop.land_orders(1, at(0), &[header(2), header(3)]).await;
    shop.land_outcome(2, at(5), bad()).await;
    let tally = || async {
        shop.landing
            .rejection_tally(shop.lease)
            .await
            .unwrap()
            .len()
    };
    assert_eq!(tally().await, 1);
    shop.again().await;
    shop.land_orders(1, at(10), &[header(2), header(3)]).await;
    shop.land_outcome(2, at(15), bad()).await;
    let tally = || async { shop.landing.rejection_tally(shop.lease).await.unwrap() };
    assert_eq!(tally().await, []);
    // One that was understood meanwhile is news.
    shop.land_outcome(
        2,
        at(20),
        importer::ports::landing::DetailOutcome::Found {
            order: Box::new(ok(whole(2))),
            items: None,
        },
    )
    .await;
    shop.land_outcome(2, at(25), bad()).await;
    assert_eq!(tally().await.len(), 1);
}

#[tokio::test]
async fn the_tally_measures_lists_and_details_apart() {
    let shop = Shop::open().await;
    let mut records: Vec<_> = (1..=8).map(|id| ok(header(id))).collect();
    records.push(rejected(Some(9), "{}"));
    records.push(rejected(None, "?"));
    shop.land(1, at(0), orders(records)).await;
    shop.land_detail(at(5), whole(1)).await;
    let bad = importer::ports::landing::DetailOutcome::Found {
        order: Box::new(rejected(Some(2), "{}")),
        items: None,
    };
    shop.land_outcome(2, at(5), bad).await;
    let mut tallies = shop.landing.rejection_tally(shop.lease).await.unwrap();
    tallies.sort_by_key(|t| t.count);
    let tally = |count, seen| RejectionTally {
        resource: Resource::Orders,
        code: RejectionCode::InvalidAmount,
        count,
        seen,
    };
    assert_eq!(tallies, [tally(1, 2), tally(2, 10)]);
}
