//! What the command line reads.

use database::RejectedFilter;
use domain::rejection::RejectionCode;
use domain::resource::Resource;
use importer::ports::inspection::Inventory as _;
use importer::ports::platform::Records;
use importer::ports::records::{StoredRecord, StoredRecords as _};

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
    let stored = stored(&shop, Resource::Orders).await;
    let [record] = stored.as_slice() else {
        panic!("{stored:?}");
    };
    let listed = record.listed.as_ref().map(|listed| &listed.raw);
    assert_eq!(listed, Some(&raw));
    assert!(record.detail.is_none(), "{record:?}");
    assert!(self::stored(&shop, Resource::Customers).await.is_empty());
}

#[tokio::test]
async fn a_run_that_keeps_no_raw_records_keeps_only_their_versions() {
    let mut keeps_nothing = options();
    keeps_nothing.keep_raw = false;
    let mut shop = Shop::with(keeps_nothing).await;
    shop.land_orders(1, at(0), &[whole(1)]).await;
    assert!(stored(&shop, Resource::Orders).await.is_empty());
    shop.again().await;
    shop.land_orders(1, at(10), &[whole(1)]).await;
    let stored = stored(&shop, Resource::Orders).await;
    assert!(stored[0].detail.is_some(), "a later run fills it in");
}

async fn stored(shop: &Shop, resource: Resource) -> Vec<StoredRecord> {
    let records = shop.db.database().records();
    records
        .stored(shop.merchant, resource, 0, 10)
        .await
        .unwrap()
}

#[tokio::test]
async fn rows_are_counted_per_merchant() {
    let shop = Shop::open().await;
    shop.land_orders(1, at(0), &[whole(1)]).await;
    let counts = shop.db.database().records().count_rows().await.unwrap();
    assert_eq!(counts.len(), 1);
    let rows = counts[&shop.merchant];
    assert_eq!(
        (rows.orders, rows.orders_with_items, rows.customers),
        (1, 1, 1)
    );
}
