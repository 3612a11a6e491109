//! The customers' budget that shops and processes share.

use std::sync::Arc;
use std::time::Duration;

use domain::resource::Resource;
use importer::admission::{MemoryLimit, MemoryPermit, Need, ResponseSize};
use importer::ports::clock::{Clock, SystemClock};
use importer::ports::platform::PageRequest;
use importer::ports::shared_budget::{BudgetRules, Grant, SharedBudget};
use importer::testing::budgets::MemoryBudget;
use jiff::Timestamp;
use salla_client::admission::{Admission, Demand, Permit, RateLimiter};
use salla_client::pacing::{LatencyClass, PacerSettings, RateHeaders, ResponseOutcome};
use salla_client::tokens::TokenSource;
use salla_client::{ClientSettings, SallaClient, shared_customers_budget};
use secrecy::SecretString;

use crate::fake_salla::{FakeSalla, Reply, SingleRequests as _, ok};

const WINDOW: Duration = Duration::from_secs(600);
const LIST: &str =
    r#"{"data":[],"pagination":{"count":0,"total":0,"perPage":60,"currentPage":1,"totalPages":1}}"#;

fn paused_clock() -> Arc<dyn Clock> {
    let start = Timestamp::from_second(1_750_000_000).unwrap();
    Arc::new(SystemClock::scaled(start, 1.0))
}

fn memory(clock: &Arc<dyn Clock>) -> Arc<MemoryBudget> {
    Arc::new(MemoryBudget::new(clock.clone(), BudgetRules::CUSTOMERS))
}

fn budget(shared: &Arc<MemoryBudget>, clock: &Arc<dyn Clock>) -> Arc<RateLimiter> {
    shared_customers_budget(shared.clone(), clock.clone(), 1)
}

/// Sends one request after the other, whose responses take 200 ms and carry the headers of a budget
/// that others have spent from.
async fn send(
    mut permit: Permit,
    clock: &dyn Clock,
    headers: &RateHeaders,
    outcome: ResponseOutcome,
) {
    permit.sent();
    clock.sleep(Duration::from_millis(200)).await;
    permit.answered(headers, outcome);
}

/// More than the limit is taken, so that the next request finds nothing.
async fn exhaust(shared: &MemoryBudget) {
    let other = shared.other_process();
    while let Grant::Permits { .. } = other.acquire(500).await.unwrap() {}
}

#[tokio::test(start_paused = true)]
async fn two_processes_share_all_of_it_and_never_exceed_it() {
    let clock = paused_clock();
    let shared = memory(&clock);
    let processes = [shared.clone(), Arc::new(shared.other_process())];
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    for (process, shared) in processes.iter().enumerate() {
        let budget = budget(shared, &clock);
        // As if many shops had much to ask for.
        for _ in 0..40 {
            let (budget, clock, tell) = (budget.clone(), clock.clone(), tell.clone());
            tokio::spawn(async move {
                loop {
                    let permit = budget.acquire(LatencyClass(0)).await;
                    if tell.send((process, clock.monotonic())).is_err() {
                        return;
                    }
                    send(
                        permit,
                        clock.as_ref(),
                        &RateHeaders::default(),
                        ResponseOutcome::Accepted,
                    )
                    .await;
                }
            });
        }
    }
    let mut sent = Vec::new();
    while sent.len() < 2_501 {
        sent.push(told.recv().await.unwrap());
    }
    for (first, &(_, begun)) in sent.iter().enumerate() {
        let most = sent[first..]
            .iter()
            .take_while(|(_, at)| *at < begun + WINDOW);
        assert!(most.count() <= 500);
    }
    let took = sent[2_500].1 - sent[0].1;
    let possible = 500.0 * took.as_secs_f64() / WINDOW.as_secs_f64();
    assert!(2_500.0 / possible >= 0.95, "{}", 2_500.0 / possible);
    let first = sent.iter().filter(|(process, _)| *process == 0).count();
    assert!((1_000..=1_500).contains(&first), "{first}");
    let takes = shared.takes();
    assert!(takes < 1_500, "{takes} questions for 2,500 requests");
}

/// Answers come one by one, so there is hardly ever more than one request that waits.
#[tokio::test(start_paused = true)]
async fn a_block_is_taken_for_what_is_under_way_too() {
    let clock = paused_clock();
    let shared = memory(&clock);
    let budget = budget(&shared, &clock);
    let mut readers = tokio::task::JoinSet::new();
    for reader in 0..8 {
        let (budget, clock) = (budget.clone(), clock.clone());
        readers.spawn(async move {
            clock.sleep(Duration::from_millis(20 * reader)).await;
            for _ in 0..25 {
                let permit = budget.acquire(LatencyClass(0)).await;
                send(
                    permit,
                    clock.as_ref(),
                    &RateHeaders::default(),
                    ResponseOutcome::Accepted,
                )
                .await;
            }
        });
    }
    readers.join_all().await;
    clock.sleep(Duration::from_secs(1)).await;
    let takes = shared.takes();
    assert!(takes <= 20, "{takes} questions for 200 requests");
    assert_eq!(shared.counted(), 200, "what is left over went back");
}

#[tokio::test(start_paused = true)]
async fn an_unused_permit_goes_to_the_next_request_or_back() {
    let clock = paused_clock();
    let shared = memory(&clock);
    let budget = budget(&shared, &clock);
    let first = budget.acquire(LatencyClass(0)).await;
    let second = tokio::spawn({
        let budget = budget.clone();
        async move { budget.acquire(LatencyClass(0)).await }
    });
    tokio::task::yield_now().await;
    drop(first);
    let second = second.await.unwrap();
    assert!(!second.has_expired());
    clock.sleep(Duration::from_secs(16)).await;
    assert!(second.has_expired());
    drop(second);
    clock.sleep(Duration::from_secs(1)).await;
    assert_eq!(shared.counted(), 0);
    // A caller that stops waiting leaves nothing behind either.
    exhaust(&shared).await;
    let waiting = tokio::spawn({
        let budget = budget.clone();
        async move { budget.acquire(LatencyClass(0)).await }
    });
    clock.sleep(Duration::from_secs(60)).await;
    waiting.abort();
    clock.sleep(WINDOW).await;
    assert_eq!(shared.counted(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_reported_to_other_processes() {
    let clock = paused_clock();
    let shared = memory(&clock);
    let other = shared.other_process();
    let refusal = RateHeaders {
        limit: Some(500),
        remaining: Some(0),
        reset_epoch: Some(1_750_000_120),
        date_epoch: Some(1_750_000_000),
        ..RateHeaders::default()
    };
    let budget = budget(&shared, &clock);
    let permit = budget.acquire(LatencyClass(0)).await;
    send(permit, clock.as_ref(), &refusal, ResponseOutcome::Throttled).await;
    clock.sleep(Duration::from_secs(118)).await;
    let nothing = other.acquire(1).await.unwrap();
    assert!(matches!(nothing, Grant::Exhausted { .. }), "{nothing:?}");
    clock.sleep(Duration::from_secs(4)).await;
    let granted = other.acquire(1).await.unwrap();
    assert!(matches!(granted, Grant::Permits { .. }), "{granted:?}");
}

#[tokio::test(start_paused = true)]
async fn a_response_that_says_that_nothing_is_left_counts() {
    let clock = paused_clock();
    let shared = memory(&clock);
    let other = shared.other_process();
    let spent = RateHeaders {
        limit: Some(500),
        remaining: Some(0),
        reset_epoch: Some(1_750_000_090),
        date_epoch: Some(1_750_000_000),
        ..RateHeaders::default()
    };
    let permit = budget(&shared, &clock).acquire(LatencyClass(0)).await;
    send(permit, clock.as_ref(), &spent, ResponseOutcome::Accepted).await;
    clock.sleep(Duration::from_secs(60)).await;
    let nothing = other.acquire(1).await.unwrap();
    assert!(matches!(nothing, Grant::Exhausted { .. }), "{nothing:?}");
}

/// There is memory for one such page, so one that waits again must not hold it meanwhile.
#[tokio::test(start_paused = true)]
async fn a_long_page_whose_permit_expires_gets_another_one_and_the_same_memory() {
    let clock = paused_clock();
    let rng = fastrand::Rng::with_seed(1);
    let shop = RateLimiter::new(PacerSettings::shop(None, 1.0), clock.clone(), rng);
    let admission = Admission::new(
        clock.clone(),
        TokenSource::Fixed(SecretString::from("first")),
        Arc::new(shop),
        budget(&memory(&clock), &clock),
        1,
        MemoryLimit::default(),
    );
    let demand = |customers, memory| Demand {
        class: LatencyClass(0),
        customers,
        memory,
    };
    let order = demand(false, Need::usual(ResponseSize::Record, 0));
    let page = demand(true, Need::greatest(ResponseSize::Customers));
    let mut of_order = MemoryPermit::default();
    // The only slot.
    let admitted = admission.admit(order, None, &mut of_order).await.unwrap();
    let mut of_page = MemoryPermit::default();
    let waiting = admission.admit(page, None, &mut of_page);
    let freed = async {
        clock.sleep(Duration::from_secs(16)).await;
        drop(admitted);
    };
    let both = async { tokio::join!(waiting, freed).0 };
    let admitted = tokio::time::timeout(WINDOW, both).await;
    admitted.expect("it waits for nothing").unwrap();
}

fn client(salla: &FakeSalla, exhausted: bool) -> impl Future<Output = ClientSettings> {
    let token = TokenSource::Fixed(SecretString::from("first"));
    let mut settings = salla.settings(token);
    async move {
        let shared = memory(&settings.clock);
        if exhausted {
            exhaust(&shared).await;
        }
        settings.customers_budget = budget(&shared, &settings.clock);
        settings
    }
}

const SHOP: &[(&str, &str)] = &[
    ("x-ratelimit-limit", "720"),
    ("x-ratelimit-remaining", "600"),
    ("x-ratelimit-reset", "1750000059"),
];

/// A hundred requests for customers wait; an order needs nothing of what they hold.
#[tokio::test]
async fn orders_do_not_wait_for_customers_who_wait_for_their_budget() {
    let salla = FakeSalla::start().await;
    salla.on(
        "/orders/5",
        [Reply::Says(200, SHOP, r#"{"data":{"id":5}}"#.to_owned())],
    );
    salla.on("/customers", [Reply::Says(200, &[], LIST.to_owned())]);
    let settings = client(&salla, true).await;
    let clock = settings.clock.clone();
    let client = Arc::new(SallaClient::new(settings));
    let mut customers = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let client = client.clone();
        let request = PageRequest::first(Resource::Customers, None);
        customers.spawn(async move { client.page(&request).await });
    }
    clock.sleep(Duration::from_secs(2)).await;
    let begun = clock.monotonic();
    for _ in 0..200 {
        client.detail(5).await.unwrap();
    }
    // So much faster does the clock run that a millisecond is a tenth of a second.
    assert!(clock.monotonic() - begun < Duration::from_secs(300));
    assert!(customers.try_join_next().is_none());
    assert_eq!(salla.seen("/customers").len(), 0);
    assert_eq!(salla.seen("/orders/5").len(), 200);
}

/// The other way round, what the customers' budget gave does not wait for a whole line
/// of orders.
#[tokio::test]
async fn customers_with_a_permit_go_past_the_orders_that_wait() {
    let salla = FakeSalla::start().await;
    salla.on("/orders/5", [ok(r#"{"id":5}"#)]);
    salla.on("/customers", [Reply::Says(200, &[], LIST.to_owned())]);
    let settings = client(&salla, false).await;
    let clock = settings.clock.clone();
    // One request a second, as no limit is known.
    let client = Arc::new(SallaClient::new(settings));
    let mut orders = tokio::task::JoinSet::new();
    for _ in 0..60 {
        let client = client.clone();
        orders.spawn(async move { client.detail(5).await });
    }
    clock.sleep(Duration::from_secs(3)).await;
    for _ in 0..3 {
        let request = PageRequest::first(Resource::Customers, None);
        client.page(&request).await.unwrap();
    }
    let before = salla.seen("/orders/5").len();
    assert!(
        before <= 30,
        "{before} orders were asked for before three customers"
    );
}
