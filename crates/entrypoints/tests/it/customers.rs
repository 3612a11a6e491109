//! The customers' budget of an address that many shops and processes share.

use std::sync::Arc;
use std::time::Duration;

use database::BudgetKey;
use database::testing::TestDatabase;
use domain::failure::Failure;
use entrypoints::config::{EGRESS_GROUP, SallaSettings};
use entrypoints::wiring;
use importer::import::progress::ProgressTracker;
use importer::import::{ImportOutcome, ImportSettings, Importer, Reading, import};
use importer::ports::clock::{Clock, SystemClock};
use importer::ports::shared_budget::{BudgetRules, Grant, SharedBudget as _};
use importer::stop::stop_pair;
use salla_client::pacing::{LatencyClass, RateHeaders, ResponseOutcome};
use salla_client::shared_customers_budget;
use salla_simulator::{AppAge, Endpoint, Plan, Scenario, ShopSpec};

use crate::service::TestService;
use crate::truth::small;

const SHOPS: usize = 4;
const ORDERS: u64 = 400;
/// Without the one request a second after exhaustion: many shops in one busy test do not
/// keep it to the millisecond.
const SHARE: f64 = 0.5;

fn many_shops() -> Scenario {
    let mut scenario = small(ORDERS);
    scenario.shop.plan = Plan::Pro;
    scenario.app_age = AppAge::FullDetails;
    scenario.clock.scale = 20.0;
    scenario.latency.fixed_ms = 150;
    scenario
}

async fn start_with_shops() -> (TestService, Vec<SallaSettings>) {
    let service = TestService::start(many_shops()).await;
    for seed in 1..SHOPS as u64 {
        let shop = &service.simulator.scenario().shop;
        service.simulator.add_shop(ShopSpec {
            orders: ORDERS + seed,
            ..shop.clone()
        });
    }
    let settings = service.simulator.shops().into_iter().map(|shop| {
        let mut settings = service.salla();
        settings.tokens.access = shop.access_token().into();
        settings.tokens.refresh = None;
        settings
    });
    let settings = settings.collect();
    (service, settings)
}

/// Imports all shops in one process; aborts those that have not finished their orders after
/// `patience`. Returns when the last order was completed.
async fn import_orders_of_all(customers_left: u32) -> (TestService, Duration) {
    let (service, shops) = start_with_shops().await;
    exhaust(&service, customers_left).await;
    let customers =
        wiring::shared_customers_budget(&service.open, EGRESS_GROUP, service.clock.clone());
    let begun = service.clock.monotonic();
    let (handle, stop) = stop_pair();
    let mut imports = tokio::task::JoinSet::new();
    for settings in shops {
        let (open, clock) = (&service.open, service.clock.clone());
        let shop =
            wiring::connect_shop_with(open, &settings, SHARE, clock.clone(), customers.clone())
                .await;
        let shop = shop.expect("the shop connects");
        let importer = Importer {
            platform: shop.platform,
            landing: service.open.landing(),
            runs: service.open.runs(),
            clock,
            tracker: Arc::new(ProgressTracker::new().0),
            settings: ImportSettings {
                budget_share: SHARE,
                ..service.settings.clone()
            },
        };
        let (options, stop) = (service.options.clone(), stop.clone());
        imports.spawn(async move {
            let ended = import(&importer, &shop.shop, &options, Reading::Changes, &(), stop).await;
            ended.expect("the database answers")
        });
    }
    let pool = service.open.database.pool();
    let took = loop {
        let sql = "SELECT (SELECT count(*) FROM salla.orders)
                   - (SELECT count(*) FROM salla_sync.pending_details)";
        let complete: i64 = sqlx::query_scalar(sql)
            .fetch_one(pool)
            .await
            .expect("orders can be counted");
        let took = service.clock.monotonic() - begun;
        if complete >= expected_orders(&service) || took > Duration::from_secs(3_600) {
            break took;
        }
        service.clock.sleep(Duration::from_secs(1)).await;
    };
    handle.stop();
    for outcome in imports.join_all().await {
        let over = matches!(
            outcome,
            ImportOutcome::Completed(_) | ImportOutcome::Interrupted(Failure::Stopped)
        );
        assert!(over, "{outcome:?}");
    }
    (service, took)
}

fn expected_orders(service: &TestService) -> i64 {
    let today = domain::instant::riyadh_date(service.clock.now());
    let range = domain::window::DayRange::last_months(today, 12);
    let shops = service.simulator.shops();
    let orders = shops
        .iter()
        .map(|shop| shop.view().truth_orders(range.from, range.to).count());
    orders.sum::<usize>() as i64
}

fn key() -> BudgetKey {
    BudgetKey {
        egress_group: EGRESS_GROUP.to_owned(),
        budget: "customers",
    }
}

/// Another process takes what there is but for so much.
async fn exhaust(service: &TestService, left: u32) {
    let other = service.open.database.budget(key(), BudgetRules::CUSTOMERS);
    let mut rest = 500 - left;
    while rest > 0
        && let Grant::Permits { permits, .. } = other.acquire(rest).await.expect("it can be asked")
    {
        rest -= permits;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_of_many_shops_go_on_at_full_pace_without_a_budget_for_customers() {
    let (plenty, with) = import_orders_of_all(500).await;
    let (nothing, without) = import_orders_of_all(0).await;
    println!("all orders are there after {with:?}, and after {without:?} without the budget");
    // They take a few minutes, and the next customer would be ten minutes away. A test that
    // shares the machine may take one minute more.
    let minute = Duration::from_secs(60);
    assert!(without < with + 2 * minute, "{without:?} against {with:?}");
    let asked = |service: &TestService| {
        let ledger = service.simulator.ledger();
        ledger.by_endpoint.get(&Endpoint::Customers).copied()
    };
    assert!(asked(&plenty) >= Some(SHOPS as u64));
    assert_eq!(asked(&nothing), None);
    let plans: Vec<Option<i64>> = sqlx::query_scalar(
        "SELECT (plan->'probe'->>'customers')::bigint FROM salla_sync.sync_runs",
    )
    .fetch_all(nothing.open.database.pool())
    .await
    .expect("plans can be read");
    assert_eq!(plans, [None; SHOPS]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_on_one_database_use_the_whole_budget_and_no_more() {
    const SCALE: f64 = 100.0;
    const WINDOWS: usize = 2;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::scaled(
        "2025-06-15T09:00:00Z".parse().expect("it is a time"),
        SCALE,
    ));
    let db = TestDatabase::with_clock(clock.clone()).await;
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    for name in 0..2 {
        let shared = db.database().budget(key(), BudgetRules::CUSTOMERS);
        let budget = shared_customers_budget(Arc::new(shared), clock.clone(), 1);
        for _ in 0..30 {
            let (budget, clock, tell) = (budget.clone(), clock.clone(), tell.clone());
            tokio::spawn(async move {
                loop {
                    let mut permit = budget.acquire(LatencyClass(0)).await;
                    if permit.has_expired() {
                        continue;
                    }
                    permit.sent();
                    if tell.send((name, clock.monotonic())).is_err() {
                        return;
                    }
                    clock.sleep(Duration::from_millis(200)).await;
                    permit.answered(&RateHeaders::default(), ResponseOutcome::Accepted);
                }
            });
        }
    }
    let mut sent: Vec<(i32, Duration)> = Vec::new();
    while sent.len() <= WINDOWS * 500 {
        sent.push(told.recv().await.expect("both continue"));
    }
    sent.sort_by_key(|(_, at)| *at);
    let window = Duration::from_secs(600);
    for (first, &(_, begun)) in sent.iter().enumerate() {
        let within = sent[first..]
            .iter()
            .take_while(|(_, at)| *at < begun + window);
        assert!(within.count() <= 500, "from {begun:?} on");
    }
    let took = sent[WINDOWS * 500].1 - sent[0].1;
    let possible = took.as_secs_f64() / window.as_secs_f64() * 500.0;
    let used = (WINDOWS * 500) as f64 / possible;
    let first = sent.iter().filter(|(name, _)| *name == 0).count();
    println!(
        "{:.1} % of the budget; one process sent {first} of {}",
        used * 100.0,
        sent.len()
    );
    assert!(used >= 0.95, "{used}");
    assert!((300..=700).contains(&first), "{first}");
}
