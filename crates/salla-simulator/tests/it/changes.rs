//! Changes by hand: lists, sorts, filters and the truth follow them.

use crate::client::{all_rows, get};
use crate::drift::{ids_of, scan, start, true_ids, true_orders};
use crate::reader::moment;
use salla_simulator::*;
use std::collections::BTreeSet;

#[tokio::test]
async fn edits_come_first_by_their_update_and_show_in_the_order() {
    let sim = start(ResourceDrift::default()).await;
    let shop = sim.first_shop();
    let before = true_orders(&sim);
    let (by_status, by_items) = (&before[100], &before[200]);
    sim.clock().advance(std::time::Duration::from_secs(5));
    assert!(shop.edit_order(by_status.id, Original::Restoring));
    sim.clock().advance(std::time::Duration::from_secs(5));
    assert!(shop.edit_order_items(by_items.id));
    let newest = get(
        &sim,
        "/orders?sort_by=updated_at-desc&per_page=2&expanded=true",
    )
    .await;
    let newest = newest.json()["data"].clone();
    assert_eq!(ids_of(&newest), [by_items.id, by_status.id]);
    assert_eq!(newest[1]["status"]["slug"], "restoring");
    let quantity = &newest[0]["items"][0]["quantity"];
    assert_eq!(quantity.as_i64(), Some(by_items.items[0].quantity + 1));
    let after = true_orders(&sim);
    assert!(after[200].total > by_items.total);
    assert_eq!(after[200].updated_at, DEFAULT_NOW.as_second() + 10);
    assert_eq!(
        moment(&newest[0]["updated_at"]),
        Some(after[200].updated_at)
    );
    let (_, oldest_first) = scan(&sim, "/orders?sort_by=updated_at-asc").await;
    assert_eq!(oldest_first[598..], [by_status.id, by_items.id]);
}

#[tokio::test]
async fn every_sort_and_filter_holds_in_a_shop_that_changes() {
    let sim = start(ResourceDrift::default()).await;
    let shop = sim.first_shop();
    let paths = [
        "/orders?sort_by=updated_at-desc",
        "/orders?sort_by=total-asc",
    ];
    for path in paths {
        get(&sim, path).await;
    }
    let mut random = fastrand::Rng::with_seed(3);
    for _ in 0..120 {
        let orders = true_orders(&sim);
        let order = &orders[random.usize(..orders.len())];
        sim.clock().advance(std::time::Duration::from_secs(1));
        let moment = jiff::Timestamp::from_second(order.created_at + 1).unwrap();
        match random.u8(..4) {
            0 => assert!(shop.insert_order(moment) > 0),
            1 => assert!(shop.edit_order(order.id, Original::Canceled)),
            2 => assert!(shop.edit_order_items(order.id)),
            _ => assert!(shop.delete_order(order.id)),
        }
    }
    let mut orders = true_orders(&sim);
    orders.sort_by_key(|order| std::cmp::Reverse(order.updated_at));
    let rows = all_rows(&sim, "/orders?sort_by=updated_at-desc&expanded=true").await;
    let updates: Vec<_> = rows.iter().map(|row| moment(&row["updated_at"])).collect();
    let expected: Vec<_> = orders.iter().map(|order| Some(order.updated_at)).collect();
    assert_eq!(updates, expected);
    orders.sort_by_key(|order| order.total);
    let (_, ids) = scan(&sim, "/orders?sort_by=total-asc").await;
    let by_id = |id: &i64| orders.iter().find(|order| order.id == *id).unwrap().total;
    assert!(ids.iter().map(by_id).is_sorted());
    assert_eq!(ids.len(), orders.len());
    let (_, canceled) = scan(&sim, "/orders?status[]=525144736").await;
    let canceled: BTreeSet<i64> = canceled.into_iter().collect();
    let expected = orders
        .iter()
        .filter(|order| order.status_slug == "canceled");
    assert_eq!(canceled, expected.map(|order| order.id).collect());
    for order in orders.iter().step_by(50) {
        let path = format!("/orders?reference_id={}", order.reference_id);
        assert_eq!(scan(&sim, &path).await.1, [order.id]);
    }
}

#[tokio::test]
async fn a_draft_that_is_completed_late_takes_its_old_place() {
    let sim = start(ResourceDrift::default()).await;
    let shop = sim.first_shop();
    let path = "/orders?sort_by=created_at-asc";
    let (_, whole) = scan(&sim, path).await;
    let draft = whole[300];
    sim.clock().advance(std::time::Duration::from_secs(60));
    assert!(shop.hide_order(draft) && !shop.hide_order(draft));
    assert_eq!(scan(&sim, path).await.1.len(), 599);
    assert_eq!(get(&sim, &format!("/orders/{draft}")).await.status, 404);
    assert!(!true_ids(&sim, Resource::Orders).contains(&draft));
    assert!(shop.unhide_order(draft) && !shop.unhide_order(draft));
    assert_eq!(scan(&sim, path).await.1, whole);
    let newest = scan(&sim, "/orders?sort_by=updated_at-desc").await.1;
    assert_eq!(newest[0], draft);
}

#[tokio::test]
async fn customers_and_products_change_by_hand_too() {
    let sim = start(ResourceDrift::default()).await;
    let shop = sim.first_shop();
    let (_, customers) = scan(&sim, "/customers").await;
    let middle = get(&sim, &format!("/customers/{}", customers[200])).await;
    let registered = moment(&middle.json()["data"]["created_at"]).unwrap();
    let late = shop.insert_customer(jiff::Timestamp::from_second(registered).unwrap());
    assert!(shop.delete_customer(customers[0]) && !shop.delete_customer(customers[0]));
    let details = get(&sim, &format!("/customers/{}", customers[0])).await;
    assert_eq!(details.status, 404);
    let last_name = |reply: crate::client::Reply| reply.json()["data"]["last_name"].clone();
    let edited = format!("/customers/{}", customers[7]);
    let before = last_name(get(&sim, &edited).await);
    assert!(shop.edit_customer(customers[7]));
    assert_ne!(last_name(get(&sim, &edited).await), before);
    let mut expected = customers[1..].to_vec();
    expected.insert(199, late);
    assert_eq!(scan(&sim, "/customers").await.1, expected);

    let (_, products) = scan(&sim, "/products").await;
    let added = shop.insert_product();
    assert!(shop.edit_product(products[5]) && shop.delete_product(products[299]));
    let path = format!("/products/{}", products[5]);
    let edited = get(&sim, &path).await.json()["data"].clone();
    let truth = sim.shop();
    let truth = truth
        .truth_products()
        .find(|product| product.id == products[5]);
    assert_eq!(
        moment(&edited["updated_at"]),
        truth.map(|product| product.updated_at)
    );
    assert_eq!(
        get(&sim, &format!("/products/{}", products[299]))
            .await
            .status,
        404
    );
    let mut expected = products[..299].to_vec();
    expected.insert(0, added);
    assert_eq!(scan(&sim, "/products").await.1, expected);
}
