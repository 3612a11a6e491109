//! What the command line reads.

use database::{RejectedFilter, TableCount};
use domain::rejection::RejectionCode;
use domain::resource::Resource;
use importer::ports::platform::Records;

use crate::make::{at, header, ok, rejected, whole};
use crate::shop::{Shop, options, orders};

#[tokio::test]
async fn rejections_can_be_filtered() {
    let shop = Shop::open().await;
    shop.land(
        1,
        at(0),
        orders(vec![rejected(Some(1), "{\"id\":1}"), rejected(None, "?")]),
    )
    .await;
    shop.land(1, at(0), Records::Customers(vec![rejected(Some(1), "{}")]))
        .await;
    let all = RejectedFilter {
        merchant: None,
        resource: None,
        code: None,
        limit: 100,
    };
    let database = shop.db.database();
    let rejected = database.rejected(all).await.unwrap();
    assert_eq!(rejected.len(), 3);
    assert_eq!(
        rejected[0].resource,
        Resource::Customers,
        "the latest first"
    );
    let filter = RejectedFilter {
        merchant: Some(shop.merchant),
        resource: Some(Resource::Orders),
        code: Some(RejectionCode::InvalidAmount),
        limit: 1,
    };
    let some = database.rejected(filter).await.unwrap();
    assert_eq!(some.len(), 1);
    assert_eq!(
        (some[0].kind.as_str(), some[0].raw.as_str()),
        ("order_header", "?")
    );
    let none = RejectedFilter {
        code: Some(RejectionCode::InvalidDate),
        ..all
    };
    assert!(database.rejected(none).await.unwrap().is_empty());
    shop.land_orders(2, at(1), &[whole(1)]).await;
    assert_eq!(database.rejected(all).await.unwrap().len(), 2);
}

#[tokio::test]
async fn raw_records_come_back_as_they_were_sent() {
    let shop = Shop::open().await;
    let listed = ok(header(1));
    let raw = listed.raw.to_string();
    shop.land(1, at(0), orders(vec![listed])).await;
    let database = shop.db.database();
    let record = database
        .raw_record(shop.merchant, Resource::Orders, 1)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((record.listed, record.detail), (Some(raw), None));
    let unknown = database
        .raw_record(shop.merchant, Resource::Customers, 1)
        .await
        .unwrap();
    assert_eq!(unknown, None);
}

#[tokio::test]
async fn a_run_that_keeps_no_raw_records_keeps_only_their_versions() {
    let mut keeps_nothing = options();
    keeps_nothing.keep_raw = false;
    let mut shop = Shop::with(keeps_nothing).await;
    shop.land_orders(1, at(0), &[whole(1)]).await;
    let raw = |shop: &Shop| {
        let (database, merchant) = (shop.db.database().clone(), shop.merchant);
        async move {
            database
                .raw_record(merchant, Resource::Orders, 1)
                .await
                .unwrap()
                .unwrap()
        }
    };
    assert_eq!(raw(&shop).await.detail, None);
    shop.again().await;
    shop.land_orders(1, at(10), &[whole(1)]).await;
    assert!(raw(&shop).await.detail.is_some(), "a later run fills it in");
}

#[tokio::test]
async fn tables_are_counted_per_merchant() {
    let shop = Shop::open().await;
    shop.land_orders(1, at(0), &[whole(1)]).await;
    let database = shop.db.database();
    let counts = database.table_counts(Some(shop.merchant)).await.unwrap();
    let items = TableCount {
        table: "salla.order_items",
        rows: 2,
    };
    assert!(counts.contains(&items), "{counts:?}");
    assert_eq!(database.table_counts(None).await.unwrap(), counts);
}
