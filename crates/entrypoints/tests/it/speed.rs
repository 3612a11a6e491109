//! The import against Salla's limits, on scaled time: no avoidable 429, and close to
//! the floor. (How close exactly is measured by `make bench`, not by a test.)

use salla_simulator::{AppAge, LimiterKind, Plan, Scenario};

use crate::service::TestService;
use crate::truth::small;

fn limited(app_age: AppAge, orders: u64) -> Scenario {
    let mut scenario = small(orders);
    scenario.shop.plan = Plan::Plus;
    scenario.app_age = app_age;
    // A machine that pauses for 20 ms lets a second of Salla's time pass at a scale of
    // 50, and no client keeps an interval that its machine sleeps through.
    scenario.clock.scale = 15.0;
    scenario.latency.fixed_ms = 150;
    scenario.latency.jitter_ms = 100;
    scenario
}

#[tokio::test(flavor = "multi_thread")]
async fn no_limit_is_ever_broken() {
    for temperament in [LimiterKind::FixedWindow, LimiterKind::LeakyBucket] {
        let mut scenario = limited(AppAge::FullDetails, 700);
        scenario.limits.temperament = temperament;
        let service = TestService::start(scenario).await;
        service.import_and_compare().await;
        let ledger = service.simulator.ledger();
        assert!(ledger.requests > 500);
        assert_eq!(ledger.throttled, 0, "{temperament:?}: {ledger:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_of_the_budget_leaves_the_rest() {
    let mut service = TestService::start(limited(AppAge::Expanded, 6_000)).await;
    service.settings.budget_share = 0.5;
    service.import_and_compare().await;
    let ledger = service.simulator.ledger();
    assert_eq!(ledger.throttled, 0);
    // Two windows of the limiter may touch within one minute.
    assert!(
        ledger.most_in_60s <= 121,
        "{} in a minute",
        ledger.most_in_60s
    );
}
