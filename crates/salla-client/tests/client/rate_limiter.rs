//! Waiting for the budget, with time paused.

use std::sync::Arc;
use std::time::Duration;

use importer::ports::clock::{Clock, SystemClock};
use jiff::Timestamp;
use salla_client::admission::RateLimiter;
use salla_client::pacing::{LatencyClass, PacerSettings, RateHeaders, ResponseOutcome};

fn budget() -> (Arc<RateLimiter>, Arc<dyn Clock>) {
    let start = Timestamp::from_second(1_750_000_000).unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::scaled(start, 1.0));
    let settings = PacerSettings::shop(Some(120), 1.0);
    let rng = fastrand::Rng::with_seed(1);
    (
        Arc::new(RateLimiter::new(settings, clock.clone(), rng)),
        clock,
    )
}

fn remaining(count: u32) -> RateHeaders {
    RateHeaders {
        limit: Some(120),
        remaining: Some(count),
        reset_epoch: Some(1_750_000_060),
        ..RateHeaders::default()
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_request_goes_alone_and_its_answer_lets_the_others_go() {
    let (budget, _) = budget();
    let mut first = budget.acquire(LatencyClass(0)).await;
    let mut others = tokio::task::JoinSet::new();
    for _ in 0..5 {
        let budget = budget.clone();
        others.spawn(async move { budget.acquire(LatencyClass(0)).await });
    }
    tokio::task::yield_now().await;
    assert!(others.try_join_next().is_none());
    first.sent();
    first.answered(&remaining(4), ResponseOutcome::Accepted);
    let mut permits = Vec::new();
    for _ in 0..4 {
        permits.push(others.join_next().await.unwrap().unwrap());
    }
    tokio::task::yield_now().await;
    assert!(
        others.try_join_next().is_none(),
        "the fifth is not covered by what is left"
    );
    // Cancelled before they were sent, permits cost nothing.
    drop(permits);
    others.join_next().await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_first_is_served_first_and_one_that_leaves_is_not_missed() {
    let (budget, _) = budget();
    let held = budget.acquire(LatencyClass(0)).await;
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let mut waiting = Vec::new();
    for number in 0..4 {
        let (budget, order) = (budget.clone(), order.clone());
        waiting.push(tokio::spawn(async move {
            let mut permit = budget.acquire(LatencyClass(0)).await;
            order.lock().unwrap().push(number);
            permit.sent();
            permit.answered(&remaining(100), ResponseOutcome::Accepted);
        }));
        tokio::task::yield_now().await;
    }
    waiting.remove(1).abort();
    drop(held);
    for task in waiting {
        task.await.unwrap();
    }
    assert_eq!(*order.lock().unwrap(), [0, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_429_stops_all_requests_for_as_long_as_it_says() {
    let (budget, clock) = budget();
    let mut permit = budget.acquire(LatencyClass(0)).await;
    permit.sent();
    let headers = RateHeaders {
        retry_after: Some(Duration::from_secs(30)),
        ..RateHeaders::default()
    };
    permit.answered(&headers, ResponseOutcome::Throttled);
    assert_eq!(budget.cooldown().as_secs(), 30);
    let before = clock.monotonic();
    budget.acquire(LatencyClass(0)).await;
    assert!(clock.monotonic() - before >= Duration::from_secs(30));
    assert_eq!(budget.counters().throttled, 1);
}
