//! Many shops in one worker: how much of their joint budgets is used, and how much memory
//! it takes. `cargo bench --bench many_shops -- SHOPS ORDERS`
//!
//! The simulator runs at real pace in this process, the worker in one of its own. What
//! is measured is the orders' part: the lists of customers share one budget of Salla's
//! for each address, which no worker can hurry, and which the import of orders must not
//! wait for.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measurement that cannot go on must say so at once, and its arguments and \
              the time come from outside"
)]

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use database::testing::TestDatabase;
use domain::shop::MerchantId;
use domain::window::DayRange;
use entrypoints::config::{AppKeys, AppSettings, DatabaseSettings, GivenTokens, SallaSettings};
use entrypoints::wiring::{self, OpenDatabase};
use futures::stream::{self, StreamExt as _};
use importer::ports::clock::{Clock as _, SystemClock};
use importer::ports::runs::RunOptions;
use salla_simulator::{AppAge, Plan, Scenario, ShopSpec, Simulator};

const KEY: &str = "bench:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

const CONNECT_AT_ONCE: usize = 50;

/// A process that does not outlive the measurement.
struct Worker(Child);

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn main() {
    let numbers: Vec<u64> = std::env::args()
        .filter_map(|arg| arg.parse().ok())
        .collect();
    let shops = numbers.first().copied().unwrap_or(1_000);
    let orders = numbers.get(1).copied().unwrap_or(300);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(measure(shops, orders));
}

fn shop(number: u64, orders: u64) -> ShopSpec {
    ShopSpec {
        orders,
        customers: 20,
        products: 20,
        categories: 4,
        months: 11,
        plan: Plan::Plus,
        seed: number,
        ..ShopSpec::default()
    }
}

async fn measure(shops: u64, orders: u64) {
    let scenario = Scenario {
        shop: shop(1, orders),
        shops: (2..=shops).map(|number| shop(number, orders)).collect(),
        app_age: AppAge::FullDetails,
        ..Scenario::default()
    };
    let simulator = Simulator::start(scenario.moved_to(salla_simulator::present()))
        .await
        .unwrap();
    let database = TestDatabase::create().await;
    start_all(&simulator, &database).await;
    simulator.reset_ledger();
    let begun = std::time::Instant::now();
    let worker = work(&simulator, &database);
    let (mut most_memory, mut last) = (0, 0);
    let done = loop {
        tokio::time::sleep(Duration::from_secs(5)).await;
        most_memory = most_memory.max(memory(&worker));
        let complete: i64 = sqlx::query_scalar("SELECT count(*) FROM salla.orders WHERE has_items")
            .fetch_one(database.pool())
            .await
            .unwrap();
        let seconds = begun.elapsed().as_secs_f64();
        let ledger = simulator.ledger();
        println!(
            "{seconds:6.1} s  {complete:7} orders complete  {:7} requests  {:4} refused  {:4} MB",
            ledger.requests,
            ledger.throttled,
            memory(&worker) / 1_000_000
        );
        if complete == last && complete > 0 {
            break seconds - 5.0;
        }
        last = complete;
    };
    let ledger = simulator.ledger();
    println!(
        "{shops} shops of {orders} orders: all {last} orders after {done:.0} s, {:.0} requests a \
         second, {} refused, at most {} MB",
        ledger.requests as f64 / done,
        ledger.throttled,
        most_memory / 1_000_000
    );
}

/// Connects every shop and starts its import.
async fn start_all(simulator: &Simulator, database: &TestDatabase) {
    let clock: Arc<SystemClock> = Arc::new(SystemClock::real());
    let settings = DatabaseSettings::Url(database.url().into());
    let open = wiring::open_database(&settings, Some(KEY.to_owned().into()), clock.clone())
        .await
        .unwrap();
    let today = domain::instant::riyadh_date(clock.now());
    let range = DayRange::last_months(today, 12);
    let options = RunOptions {
        months: 12,
        max_orders: None,
        keep_raw: true,
        only: None,
    };
    let open = &open;
    let starts = simulator.shops().into_iter().map(|shop| {
        let (clock, options) = (clock.clone(), &options);
        async move {
            let salla = SallaSettings {
                app: AppSettings {
                    api_url: simulator.api_url(),
                    accounts_url: simulator.accounts_url(),
                    egress_group: "default".to_owned(),
                    keys: Some(AppKeys {
                        client_id: simulator.client_id().to_owned(),
                        client_secret: simulator.client_secret().into(),
                    }),
                },
                tokens: GivenTokens {
                    access: shop.access_token().into(),
                    refresh: Some(shop.refresh_token().into()),
                },
            };
            let merchant = connect(open, &salla, clock).await;
            open.jobs().start(merchant, options, range).await.unwrap();
        }
    });
    // Each waits for a second after the last request of a shop that may be its own.
    stream::iter(starts)
        .buffer_unordered(CONNECT_AT_ONCE)
        .collect::<()>()
        .await;
}

async fn connect(
    open: &OpenDatabase,
    salla: &SallaSettings,
    clock: Arc<SystemClock>,
) -> MerchantId {
    wiring::connect_and_store(open, salla, clock)
        .await
        .unwrap()
        .merchant
}

fn work(simulator: &Simulator, database: &TestDatabase) -> Worker {
    let child = Command::new(env!("CARGO_BIN_EXE_salla-sync"))
        .args(["work", "--jobs", "1000"])
        .env_clear()
        .env("DATABASE_URL", database.url())
        .env("SALLA_SYNC_KEY", KEY)
        .env("SALLA_API_URL", simulator.api_url())
        .env("SALLA_ACCOUNTS_URL", simulator.accounts_url())
        .env("SALLA_CLIENT_ID", simulator.client_id())
        .env("SALLA_CLIENT_SECRET", simulator.client_secret())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    Worker(child)
}

/// Resident bytes of the worker.
fn memory(worker: &Worker) -> u64 {
    let statm = std::fs::read_to_string(format!("/proc/{}/statm", worker.0.id())).unwrap();
    let pages: u64 = statm.split_whitespace().nth(1).unwrap().parse().unwrap();
    pages * 4_096
}
