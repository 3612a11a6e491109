//! Budgets over the wire, with a clock that only the test moves.

use crate::client::{Reply, get};
use salla_simulator::*;
use std::time::Duration;

async fn start(plan: Plan, change: impl FnOnce(&mut Scenario)) -> Simulator {
    let mut scenario = Scenario {
        shop: ShopSpec {
            orders: 50,
            plan,
            ..ShopSpec::default()
        },
        ..Scenario::default()
    };
    scenario.clock.scale = 0.0;
    change(&mut scenario);
    Simulator::start(scenario).await.unwrap()
}

async fn exhaust(sim: &Simulator) -> Reply {
    loop {
        let reply = get(sim, "/orders").await;
        if reply.status == 429 {
            return reply;
        }
    }
}

#[tokio::test]
async fn every_plan_has_its_budget() {
    for (plan, limit) in [
        (Plan::Basic, 60),
        (Plan::Plus, 120),
        (Plan::Pro, 360),
        (Plan::Special, 720),
    ] {
        let sim = start(plan, |_| {}).await;
        let first = get(&sim, "/orders").await;
        assert_eq!(first.number("x-ratelimit-limit"), limit);
        assert_eq!(first.number("x-ratelimit-remaining"), limit - 1);
        assert_eq!(first.number("x-ratelimit-reset"), 1_749_978_000 + 60);
        assert!(first.header("retry-after").is_none());
        assert_eq!(first.header("date"), Some("Sun, 15 Jun 2025 09:00:00 GMT"));
    }
}

#[tokio::test]
async fn after_the_budget_one_request_a_second_until_the_reset() {
    let sim = start(Plan::Basic, |_| {}).await;
    let refused = exhaust(&sim).await;
    assert_eq!(sim.ledger().by_status[&200], 60);
    assert_eq!(refused.number("retry-after"), 60);
    assert_eq!(refused.number("x-ratelimit-remaining"), 0);
    sim.clock().advance(Duration::from_secs(1));
    assert_eq!(get(&sim, "/orders").await.status, 200);
    assert_eq!(get(&sim, "/orders").await.status, 429);
    sim.clock().advance(Duration::from_secs(59));
    assert_eq!(
        get(&sim, "/orders").await.number("x-ratelimit-remaining"),
        59
    );
    let ledger = sim.ledger();
    assert_eq!(ledger.throttled, 2);
    assert_eq!(ledger.most_in_1s, 61);
}

#[tokio::test]
async fn a_refusal_may_say_little() {
    let cases = [
        (RetryAfter::Absent, ThrottleBody::Html, None),
        (RetryAfter::UntilNext, ThrottleBody::Empty, Some("1")),
    ];
    for (retry_after, throttle_body, expected) in cases {
        let sim = start(Plan::Basic, |scenario| {
            scenario.limits.retry_after = retry_after;
            scenario.limits.throttle_body = throttle_body;
        })
        .await;
        let refused = exhaust(&sim).await;
        assert_eq!(refused.header("retry-after"), expected);
        assert!(serde_json::from_str::<serde_json::Value>(&refused.text).is_err());
    }
}

#[tokio::test]
async fn customers_cost_the_shop_and_the_address() {
    let sim = start(Plan::Special, |scenario| {
        scenario.limits.customers.requests = 3
    })
    .await;
    for remaining in [2, 1, 0] {
        let reply = get(&sim, "/customers").await;
        assert_eq!(reply.number("x-ratelimit-limit"), 3);
        assert_eq!(reply.number("x-ratelimit-remaining"), remaining);
    }
    let refused = get(&sim, "/customers").await;
    assert_eq!(refused.status, 429);
    assert_eq!(refused.number("retry-after"), 600);
    assert_eq!(
        get(&sim, "/orders").await.number("x-ratelimit-remaining"),
        720 - 5
    );
    let other_shop = sim.add_shop(ShopSpec::default());
    let reply = crate::client::get_with(&sim, other_shop.access_token(), "/customers")
        .await
        .unwrap();
    assert_eq!(reply.status, 429, "the address is shared by all shops");
}

#[tokio::test]
async fn too_many_refusals_bring_a_temporary_403() {
    let block = Block {
        after_429s: 3,
        seconds: 120,
    };
    let sim = start(Plan::Basic, |scenario| scenario.limits.block = Some(block)).await;
    exhaust(&sim).await;
    assert_eq!(get(&sim, "/orders").await.status, 429);
    assert_eq!(get(&sim, "/orders").await.status, 429);
    assert_eq!(get(&sim, "/orders").await.status, 403);
    sim.clock().advance(Duration::from_secs(120));
    assert_eq!(get(&sim, "/orders").await.status, 200);
}

#[tokio::test]
async fn a_bucket_drains_evenly() {
    let sim = start(Plan::Plus, |scenario| {
        scenario.limits.temperament = LimiterKind::LeakyBucket
    })
    .await;
    exhaust(&sim).await;
    assert_eq!(sim.ledger().by_status[&200], 120);
    sim.clock().advance(Duration::from_millis(500));
    assert_eq!(get(&sim, "/orders").await.status, 200);
    assert_eq!(get(&sim, "/orders").await.status, 429);
}

#[tokio::test]
async fn invalid_tokens_cost_nothing() {
    let sim = start(Plan::Basic, |_| {}).await;
    for _ in 0..5 {
        let refused = crate::client::get_with(&sim, "wrong", "/orders")
            .await
            .unwrap();
        assert_eq!(refused.status, 401);
    }
    assert_eq!(
        get(&sim, "/orders").await.number("x-ratelimit-remaining"),
        59
    );
}

#[tokio::test]
async fn repeated_questions_are_counted() {
    let sim = start(Plan::Pro, |_| {}).await;
    get(&sim, "/orders?page=1&per_page=60").await;
    get(&sim, "/orders?per_page=60&page=1").await;
    get(&sim, "/orders?per_page=60&page=2").await;
    assert_eq!(sim.ledger().fetched_again, 1);
}
