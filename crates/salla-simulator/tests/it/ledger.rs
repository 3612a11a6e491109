//! What the ledger reports about a client's behavior.

use crate::client::{get, get_with};
use salla_simulator::*;
use std::time::Duration;

async fn start(plan: Plan) -> Simulator {
    let mut scenario = Scenario {
        shop: ShopSpec {
            plan,
            ..ShopSpec::default()
        },
        ..Scenario::default()
    };
    scenario.clock.scale = 0.0;
    Simulator::start(scenario).await.unwrap()
}

#[tokio::test]
async fn a_page_is_avoidable_only_if_nothing_has_changed() {
    let sim = start(Plan::Unlimited).await;
    let avoidable = || sim.ledger().avoidable_pages.get(&Endpoint::Orders).copied();
    for fault in [Fault::Truncate, Fault::Html, Fault::LostAnswer] {
        sim.queue_fault(Endpoint::Orders, fault);
        let _ = get_with(&sim, sim.access_token(), "/orders?page=2").await;
    }
    get(&sim, "/orders?page=2").await;
    assert_eq!(avoidable(), None, "nothing had arrived whole before");
    get(&sim, "/orders?page=2").await;
    assert_eq!(avoidable(), Some(1));
    sim.first_shop().insert_product();
    get(&sim, "/orders?page=2").await;
    assert_eq!(avoidable(), Some(1), "the shop has changed");
    get(&sim, "/orders?page=2").await;
    get(&sim, "/orders?page=3").await;
    assert_eq!(avoidable(), Some(2));
    assert_eq!(sim.ledger().avoidable_pages.len(), 1);
}

#[tokio::test]
async fn details_are_repeated_unless_their_own_order_has_changed() {
    let sim = start(Plan::Unlimited).await;
    let shop = sim.first_shop();
    let rows = get(&sim, "/orders?per_page=2").await.json();
    let ids = [0, 1].map(|row| rows["data"][row]["id"].as_i64().unwrap());
    let ask = async || {
        get(&sim, &format!("/orders/{}", ids[0])).await;
        get(&sim, &format!("/orders/items?order_id={}", ids[0])).await;
    };
    let repeated = || {
        let counts = sim.ledger().repeated_details;
        [Endpoint::Order, Endpoint::OrderItems]
            .map(|endpoint| counts.get(&endpoint).copied().unwrap_or(0))
    };
    ask().await;
    shop.edit_order(ids[0], Original::Restored);
    ask().await;
    assert_eq!(repeated(), [0, 0]);
    shop.edit_order(ids[1], Original::Restored);
    ask().await;
    assert_eq!(repeated(), [1, 1], "the other order's change is no reason");
    assert_eq!(sim.ledger().avoidable_pages.len(), 0);
}

#[tokio::test]
async fn requests_before_retry_after_are_counted_apart() {
    let sim = start(Plan::Basic).await;
    sim.set(|scenario| {
        scenario.limits.block = Some(Block {
            after_429s: 2,
            seconds: 300,
        })
    });
    for _ in 0..60 {
        assert_eq!(get(&sim, "/orders").await.status, 200);
    }
    let refused = get(&sim, "/orders").await;
    assert_eq!(refused.number("retry-after"), 60);
    assert_eq!(sim.ledger().sent_while_held, 0, "it could not know");
    sim.clock().advance(Duration::from_millis(59_900));
    sim.queue_fault(Endpoint::Orders, Fault::Throttle);
    assert_eq!(get(&sim, "/orders").await.status, 429);
    assert_eq!(sim.ledger().sent_while_held, 1);
    sim.clock().advance(Duration::from_secs(1));
    assert_eq!(get(&sim, "/orders").await.status, 403);
    assert_eq!(
        sim.ledger().sent_while_blocked,
        0,
        "it had not been blocked yet"
    );
    sim.clock().advance(Duration::from_secs(298));
    assert_eq!(get(&sim, "/orders").await.status, 403);
    sim.clock().advance(Duration::from_secs(2));
    assert_eq!(get(&sim, "/orders").await.status, 200);
    let ledger = sim.ledger();
    assert_eq!((ledger.sent_while_held, ledger.sent_while_blocked), (1, 1));
}

#[tokio::test]
async fn the_limit_of_customers_delays_no_other_requests() {
    let sim = start(Plan::Unlimited).await;
    sim.set(|scenario| scenario.limits.customers.requests = 1);
    get(&sim, "/customers").await;
    assert_eq!(get(&sim, "/customers").await.status, 429);
    get(&sim, "/orders").await;
    assert_eq!(sim.ledger().sent_while_held, 0);
    get(&sim, "/customers").await;
    assert_eq!(sim.ledger().sent_while_held, 1);
}
