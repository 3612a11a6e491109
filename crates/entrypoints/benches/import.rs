//! What the import costs: beside a client that only downloads the same pages, in the
//! same run, and against the floor that Salla's limits set, on scaled time.
//!
//! `make bench`; `BENCH_ORDERS=50000 make bench` for another size. Numbers of one run
//! can be compared with each other, not with those of another machine.

use std::sync::Arc;
use std::time::{Duration, Instant};

use database::testing::TestDatabase;
use domain::plan::Budget;
use entrypoints::config::{DatabaseSettings, GivenTokens, SallaSettings, environment};
use entrypoints::display::{count, line, table::Table};
use entrypoints::wiring;
use importer::import::{ImportSettings, Importer, Observer, Outcome, import};
use importer::ports::clock::{Clock, SystemClock};
use importer::ports::runs::{Run, RunOptions};
use importer::progress::Tracker;
use importer::stop::stop_pair;
use salla_simulator::{AppAge, Plan, Scenario, ShopSpec, Simulator};

struct Silent;

impl Observer for Silent {
    fn claimed(&self, _: &Run, _: bool) {}
    fn planned(&self, _: &domain::plan::Plan) {}
}

fn main() -> anyhow::Result<()> {
    let orders = environment("BENCH_ORDERS")
        .and_then(|text| text.into_string().ok())
        .and_then(|text| text.parse().ok())
        .unwrap_or(50_000);
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        throughput(orders).await?;
        pacing().await
    })
}

async fn throughput(orders: u64) -> anyhow::Result<()> {
    line(format!(
        "{} expanded orders, unlimited simulator:",
        count(orders)
    ));
    let mut table = Table::new(["", "seconds", "orders/s", "of the download"]);
    let download = seconds(download_only(orders)).await?;
    for (name, keep_raw) in [("import, typed", false), ("import, raw kept", true)] {
        let took = seconds(unlimited_import(orders, keep_raw)).await?;
        table.row([
            name.into(),
            format!("{took:.2}"),
            count((orders as f64 / took) as u64),
            format!("{:.2}", took / download),
        ]);
    }
    table.row([
        "download only".into(),
        format!("{download:.2}"),
        count((orders as f64 / download) as u64),
        "1.00".into(),
    ]);
    line(table);
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
async fn seconds(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<f64> {
    let begun = Instant::now();
    work.await?;
    Ok(begun.elapsed().as_secs_f64())
}

fn shop(orders: u64, plan: Plan) -> Scenario {
    Scenario {
        shop: ShopSpec {
            orders,
            customers: 60,
            products: 60,
            months: 11,
            plan,
            ..ShopSpec::default()
        },
        ..Scenario::default()
    }
}

/// The same pages, four at a time, read to their end and thrown away.
async fn download_only(orders: u64) -> anyhow::Result<()> {
    let simulator = Simulator::start(shop(orders, Plan::Unlimited)).await?;
    let http = salla_client::http::http_client()?;
    let pages = orders.div_ceil(60);
    let workers = (0..4).map(|worker| {
        let (http, url) = (http.clone(), simulator.api_url());
        let token = simulator.access_token().to_owned();
        tokio::spawn(async move {
            for page in (1..=pages).filter(|page| page % 4 == worker) {
                let url = format!("{url}/orders?page={page}&per_page=60&expanded=true");
                let answer = http.get(url).bearer_auth(&token).send().await?;
                anyhow::ensure!(answer.status().is_success(), "a page is refused");
                answer.bytes().await?;
            }
            Ok(())
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await??;
    }
    Ok(())
}

async fn unlimited_import(orders: u64, keep_raw: bool) -> anyhow::Result<()> {
    let simulator = Simulator::start(shop(orders, Plan::Unlimited)).await?;
    run(&simulator, 1.0, keep_raw).await.map(drop)
}

/// One import; the time it took on the simulator's clock.
async fn run(simulator: &Simulator, scale: f64, keep_raw: bool) -> anyhow::Result<Duration> {
    let database = TestDatabase::create().await;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::scaled(simulator.clock().now(), scale));
    let settings = DatabaseSettings::Url(database.url().into());
    let open = wiring::open_database(&settings, None, clock.clone()).await?;
    let salla = SallaSettings {
        api_url: simulator.api_url(),
        accounts_url: simulator.accounts_url(),
        tokens: GivenTokens {
            access: simulator.access_token().into(),
            refresh: None,
        },
    };
    let begun = clock.monotonic();
    let connected = wiring::connect_shop(&open, &salla, 1.0, clock.clone()).await?;
    let importer = Importer {
        platform: connected.platform,
        landing: open.landing(),
        runs: open.runs(),
        clock: clock.clone(),
        tracker: Arc::new(Tracker::new().0),
        settings: ImportSettings {
            lease: Duration::from_secs(3_600),
            ..wiring::import_settings(1.0)
        },
    };
    let options = RunOptions {
        months: 12,
        max_orders: None,
        keep_raw,
    };
    let (_handle, stop) = stop_pair();
    let outcome = import(&importer, &connected.shop, &options, false, &Silent, stop).await?;
    anyhow::ensure!(
        matches!(outcome, Outcome::Completed(_)),
        "the import did not complete: {outcome:?}"
    );
    Ok(clock.monotonic() - begun)
}

/// Whole imports on scaled time: simulated seconds beside the floor for the requests
/// that were really needed.
async fn pacing() -> anyhow::Result<()> {
    line("\nImports within Salla's limits, on scaled time:");
    let mut table = Table::new([
        "plan", "case", "requests", "floor s", "took s", "ratio", "429s",
    ]);
    let cases = [
        (Plan::Plus, 120, AppAge::Expanded, 18_000, 2.0),
        (Plan::Plus, 120, AppAge::FullDetails, 1_600, 20.0),
        (Plan::Pro, 360, AppAge::FullDetails, 4_000, 20.0),
        (Plan::Special, 720, AppAge::LightDetails, 4_000, 20.0),
    ];
    // Whole orders keep the processor busy, so their time cannot run as fast.
    for (plan, limit, app_age, orders, scale) in cases {
        let mut scenario = shop(orders, plan);
        scenario.app_age = app_age;
        scenario.clock.scale = scale;
        scenario.latency.fixed_ms = 150;
        scenario.latency.jitter_ms = 100;
        let simulator = Simulator::start(scenario).await?;
        let took = run(&simulator, scale, true).await?;
        let ledger = simulator.ledger();
        let budget = Budget {
            requests_per_minute: Some(limit),
            share: 1.0,
        };
        let floor = budget.floor_seconds(ledger.requests);
        table.row([
            format!("{plan:?}"),
            format!("{app_age:?}"),
            count(ledger.requests),
            floor.to_string(),
            format!("{:.1}", took.as_secs_f64()),
            format!("{:.3}", took.as_secs_f64() / floor as f64),
            ledger.throttled.to_string(),
        ]);
    }
    line(table);
    Ok(())
}
