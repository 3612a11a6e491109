//! What disappears while a client reads: line items, and the whole API.

use crate::client::{get, get_with, post};
use salla_simulator::*;
use std::time::Duration;

async fn start(change: impl FnOnce(&mut Scenario)) -> Simulator {
    let mut scenario = Scenario {
        shop: ShopSpec {
            plan: Plan::Unlimited,
            ..ShopSpec::default()
        },
        ..Scenario::default()
    };
    scenario.clock.scale = 0.0;
    change(&mut scenario);
    Simulator::start(scenario).await.unwrap()
}

#[tokio::test]
async fn details_may_lose_their_items_in_mid_import() {
    let sim = start(|scenario| {
        scenario.app_age = AppAge::FullDetails;
        scenario.item_loss.details_after = Some(3);
    })
    .await;
    let id = get(&sim, "/orders?per_page=1").await.json()["data"][0]["id"].clone();
    let path = format!("/orders/{id}");
    for _ in 0..2 {
        let details = get(&sim, &path).await.json();
        assert!(details["data"]["items"].is_array());
    }
    let details = get(&sim, &path).await.json();
    assert!(details["data"].get("items").is_none());
    assert!(details["data"]["amounts"].is_object());
    let items = get(&sim, &format!("/orders/items?order_id={id}")).await;
    assert!(!items.json()["data"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn expanded_rows_may_lose_their_items_or_shrink() {
    let sim = start(|scenario| {
        scenario.item_loss.rows_without_items_after = Some(1);
        scenario.item_loss.expanded_ignored_after = Some(2);
    })
    .await;
    let path = "/orders?expanded=true&per_page=5";
    let mut rows = Vec::new();
    for _ in 0..3 {
        rows.push(get(&sim, path).await.json()["data"][4].clone());
    }
    let has = |row: usize, key: &str| rows[row].get(key).is_some();
    assert!(has(0, "items") && has(0, "amounts"));
    assert!(!has(1, "items") && has(1, "amounts"));
    assert!(has(2, "items") && !has(2, "amounts"), "the short row");
    assert_eq!(rows[0]["id"], rows[2]["id"]);
}

#[tokio::test]
async fn an_outage_takes_every_endpoint_but_the_accounts() {
    let outage = Outage {
        from_request: 2,
        lasts: OutageLength::Requests(3),
        how: Fault::Status(503),
    };
    let sim = start(|scenario| scenario.outages = vec![outage]).await;
    assert_eq!(get(&sim, "/orders").await.status, 200);
    for path in ["/orders", "/store/info", "/products/1"] {
        assert_eq!(get(&sim, path).await.status, 503, "{path}");
        assert_eq!(get(&sim, "/oauth2/user/info").await.status, 200);
    }
    assert_eq!(get(&sim, "/orders").await.status, 200);
    assert_eq!(sim.api_requests(), 5);
}

#[tokio::test]
async fn an_outage_of_minutes_goes_by_the_simulated_clock() {
    let sim = start(|_| {}).await;
    assert_eq!(get(&sim, "/orders").await.status, 200);
    sim.begin_outage(Fault::Html, OutageLength::Seconds(600));
    for _ in 0..3 {
        let page = get(&sim, "/orders").await;
        assert!(page.text.starts_with("<!DOCTYPE html>"));
        sim.clock().advance(Duration::from_secs(199));
    }
    sim.clock().advance(Duration::from_secs(3));
    assert_eq!(get(&sim, "/orders").await.json()["success"], true);
}

#[tokio::test]
async fn connections_break_or_hang_in_an_outage() {
    let sim = start(|_| {}).await;
    sim.begin_outage(Fault::Reset, OutageLength::Requests(2));
    for _ in 0..2 {
        let cut = get_with(&sim, sim.access_token(), "/orders").await;
        assert!(cut.is_err());
    }
    sim.begin_outage(Fault::Hang, OutageLength::Requests(1));
    let hanging = get(&sim, "/orders");
    let waited = tokio::time::timeout(Duration::from_millis(50), hanging).await;
    assert!(waited.is_err());
    assert_eq!(get(&sim, "/orders").await.status, 200);
}

#[tokio::test]
async fn programs_can_bring_about_all_of_it() {
    let sim = start(|_| {}).await;
    let json = "application/json";
    let patch = r#"{
        "outages": [{"from_request": 0, "lasts": {"requests": 1}, "how": {"text_status": 504}}],
        "item_loss": {"expanded_ignored_after": 0},
        "lists": {"products": {"total_off": 2, "ceiling": {"rows": 40, "how": "lie"}}},
        "drift": {"orders": {"arrive_every": 1}},
        "customer_dates": "ignored"
    }"#;
    let patched = post(&sim, "/_simulator/scenario", json, patch).await;
    assert_eq!(patched.status, 200, "{}", patched.text);
    let down = get(&sim, "/orders").await;
    assert_eq!(
        (down.status, down.header("content-type")),
        (504, Some("text/plain"))
    );
    let row = get(&sim, "/orders?expanded=true").await.json()["data"][0].clone();
    assert!(row.get("amounts").is_none());
    let products = get(&sim, "/products").await.json();
    assert_eq!(products["pagination"]["total"], 42);
    let customers = get(&sim, "/customers?date_from=2100-01-01").await.json();
    assert_eq!(customers["pagination"]["total"], 300);
    let orders = get(&sim, "/orders").await.json();
    assert_eq!(orders["pagination"]["total"], 1_001);
    let path = "/_simulator/customers";
    let inserted = post(&sim, path, json, r#"{"insert": {}}"#).await.json();
    let delete = format!(r#"{{"delete": {{"id": {}}}}}"#, inserted["id"]);
    assert_eq!(post(&sim, path, json, &delete).await.status, 200);
    assert_eq!(post(&sim, path, json, &delete).await.status, 422);
}
