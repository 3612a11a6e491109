//! Switches that change the form and not the content.

use crate::client::{get, post};
use salla_simulator::*;

fn unlimited() -> Scenario {
    Scenario {
        shop: ShopSpec {
            plan: Plan::Unlimited,
            ..ShopSpec::default()
        },
        ..Scenario::default()
    }
}

#[tokio::test]
async fn items_name_their_product_in_three_ways() {
    let sim = Simulator::start(unlimited()).await.unwrap();
    let path = "/orders?expanded=true&per_page=1";
    let item = get(&sim, path).await.json()["data"][0]["items"][0].clone();
    let product = item["product"]["id"].clone();
    sim.set(|scenario| scenario.item_product = ItemProduct::IdOnly);
    let item = get(&sim, path).await.json()["data"][0]["items"][0].clone();
    assert_eq!(item["product_id"], product);
    assert!(item.get("product").is_none());
    sim.set(|scenario| scenario.item_product = ItemProduct::Absent);
    let item = get(&sim, path).await.json()["data"][0]["items"][0].clone();
    assert!(item.get("product").is_none() && item.get("product_id").is_none());
}

#[tokio::test]
async fn dates_may_be_utc_in_disguise() {
    let sim = Simulator::start(unlimited()).await.unwrap();
    let hour = |order: serde_json::Value| {
        let date = order["data"][0]["date"]["date"]
            .as_str()
            .unwrap()
            .to_owned();
        date[..19].parse::<jiff::civil::DateTime>().unwrap()
    };
    let honest = hour(get(&sim, "/orders?per_page=1").await.json());
    sim.set(|scenario| scenario.quirks.utc_labelled_dates = true);
    let disguised = hour(get(&sim, "/orders?per_page=1").await.json());
    assert_eq!(disguised, honest - jiff::Span::new().hours(3));
}

#[tokio::test]
async fn programs_can_steer_the_simulator_over_http() {
    let sim = Simulator::start(unlimited()).await.unwrap();
    let json = "application/json";
    let patched = post(
        &sim,
        "/_simulator/scenario",
        json,
        r#"{"faults":{"status_503":1.0}}"#,
    )
    .await;
    assert_eq!(patched.json()["faults"]["status_503"], 1.0);
    assert_eq!(get(&sim, "/store/info").await.status, 503);
    post(&sim, "/_simulator/scenario", json, r#"{"faults":null}"#).await;
    let queued = post(
        &sim,
        "/_simulator/faults",
        json,
        r#"{"endpoint":"orders","fault":{"status":500}}"#,
    )
    .await;
    assert_eq!(queued.status, 204);
    assert_eq!(get(&sim, "/orders").await.status, 500);
    assert_eq!(get(&sim, "/orders").await.status, 200);
    let before = sim.clock().now();
    post(&sim, "/_simulator/clock", json, r#"{"seconds":3600}"#).await;
    assert!(sim.clock().now().duration_since(before).as_secs() >= 3600);
    let refused = post(&sim, "/_simulator/scenario", json, r#"{"fauls":{}}"#).await;
    assert_eq!(refused.status, 422);
    let reset = post(&sim, "/_simulator/ledger/reset", json, "").await;
    assert_eq!(reset.json()["requests"], 0);
}

#[tokio::test]
async fn one_simulator_holds_many_shops() {
    let mut scenario = unlimited();
    scenario.shops = vec![ShopSpec {
        seed: 2,
        orders: 77,
        plan: Plan::Plus,
        ..ShopSpec::default()
    }];
    let sim = Simulator::start(scenario).await.unwrap();
    let third = sim.add_shop(ShopSpec {
        orders: 5,
        ..ShopSpec::default()
    });
    let shops = sim.shops();
    assert_eq!(shops.len(), 3);
    assert_eq!(shops[2].merchant_id(), third.merchant_id());
    for (shop, orders) in shops.iter().zip([1_000, 77, 5]) {
        let list = crate::client::get_with(&sim, shop.access_token(), "/orders")
            .await
            .unwrap()
            .json();
        assert_eq!(list["pagination"]["total"], orders);
        let info = crate::client::get_with(&sim, shop.access_token(), "/store/info")
            .await
            .unwrap()
            .json();
        assert_eq!(info["data"]["id"].as_i64(), Some(shop.merchant_id()));
        assert_eq!(shop.ledger().requests, 2);
    }
    assert_eq!(sim.ledger().requests, 6);
}
