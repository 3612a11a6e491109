//! The tracks that records leave.

use domain::resource::Resource;
use importer::ports::inspection::{Trace, Traces};
use importer::ports::landing::DetailOutcome;
use importer::ports::platform::Records;
use importer::trace::{RecordStatus, status_of};

use crate::make::{at, customer, header, ok, rejected, whole};
use crate::shop::{Shop, orders};

async fn find(shop: &Shop, resource: Resource, number: i64) -> Vec<Trace> {
    let records = shop.db.database().records();
    records.find(resource, number).await.unwrap()
}

async fn changes_of(shop: &Shop, resource: Resource, number: i64) -> Option<RecordStatus> {
    let traces = find(shop, resource, number).await;
    assert!(traces.len() <= 1, "{traces:?}");
    traces.first().map(status_of)
}

#[tokio::test]
async fn a_loaded_order_is_found_by_both_its_numbers_with_its_whole_way() {
    let shop = Shop::open().await;
    shop.land_orders(3, at(0), &[header(1)]).await;
    shop.land_detail(at(5), whole(1)).await;
    shop.land_orders(4, at(9), &[header(1)]).await;
    let by_id = find(&shop, Resource::Orders, 1).await;
    let by_number = find(&shop, Resource::Orders, 1_001).await;
    assert_eq!(by_id, by_number);
    let trace = &by_id[0];
    assert_eq!(status_of(trace), RecordStatus::Loaded);
    let source = trace.source.as_ref().unwrap();
    assert_eq!(source.list_version, Some(at(9)));
    assert_eq!(
        source.list_since,
        Some(at(0)),
        "its content is still the first"
    );
    assert_eq!(source.detail_version, Some(at(5)));
    assert!(source.list_text_kept && source.detail_text_kept && !source.items_text_kept);
    let pages: Vec<u32> = trace.listed.iter().map(|l| l.page).collect();
    assert_eq!(pages, [4, 3]);
    assert_eq!(trace.row.as_ref().unwrap().reference_id, Some(1_001));
    assert_eq!(trace.shop.salla_id, 1);
}

#[tokio::test]
async fn whatever_became_of_a_record_is_told() {
    let shop = Shop::open().await;
    shop.land_orders(1, at(0), &[header(1), whole(2), whole(3)])
        .await;
    shop.land(2, at(0), orders(vec![rejected(Some(4), "{}")]))
        .await;
    shop.land_outcome(2, at(5), DetailOutcome::Gone).await;
    shop.execute("DELETE FROM salla.orders WHERE id = 3").await;
    let in_part = changes_of(&shop, Resource::Orders, 1).await;
    assert_eq!(in_part, Some(RecordStatus::LoadedInPart));
    let gone = changes_of(&shop, Resource::Orders, 2).await;
    assert_eq!(gone, Some(RecordStatus::Gone { at: at(5) }));
    let missing = changes_of(&shop, Resource::Orders, 3).await;
    assert_eq!(missing, Some(RecordStatus::Missing));
    let rejected = changes_of(&shop, Resource::Orders, 4).await;
    assert_eq!(rejected, Some(RecordStatus::Rejected));
    assert_eq!(changes_of(&shop, Resource::Orders, 5).await, None);
    assert_eq!(
        changes_of(&shop, Resource::Products, 1).await,
        None,
        "ids are unique per resource"
    );
}

#[tokio::test]
async fn a_customer_of_an_order_is_told_from_one_of_the_list() {
    let shop = Shop::open().await;
    shop.land_orders(1, at(0), &[whole(1)]).await;
    let customers = Records::Customers(vec![ok(customer(9))]);
    shop.land(1, at(0), customers).await;
    let of_order = changes_of(&shop, Resource::Customers, 5_001).await;
    assert_eq!(of_order, Some(RecordStatus::KnownFromOrders));
    assert_eq!(
        changes_of(&shop, Resource::Customers, 9).await,
        Some(RecordStatus::Loaded)
    );
}
