//! Many shops in one worker: how much of their joint budgets is used, and how much memory
//! it takes. `cargo bench --bench many_shops -- SHOPS ORDERS [SHARE]`
//!
//! Where the machine is too slow for all that the budgets of so many shops allow, a SHARE
//! of them, such as 0.5, still shows whether each shop gets what is its own.
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
use entrypoints::config::{AppKeys, AppSettings, DatabaseSettings, SallaSettings};
use entrypoints::wiring::{self, OpenDatabase};
use futures::stream::{self, StreamExt as _};
use importer::ports::clock::{Clock as _, SystemClock};
use importer::ports::connections::Tokens;
use importer::ports::runs::RunOptions;
use salla_simulator::{AppAge, Plan, Scenario, ShopSpec, Simulator};

const KEY: &str = "bench:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// Seconds in which even a spent budget comes back.
const STANDSTILL: f64 = 90.0;

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
    let numbers: Vec<f64> = std::env::args()
        .filter_map(|arg| arg.parse().ok())
        .collect();
    let number = |place: usize, usual: f64| numbers.get(place).copied().unwrap_or(usual);
    let asked = Asked {
        shops: number(0, 1_000.0) as u64,
        orders: number(1, 300.0) as u64,
        share: number(2, 1.0),
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(measure(asked));
}

struct Asked {
    shops: u64,
    orders: u64,
    share: f64,
}

impl Asked {
    /// What Salla and the share allow all shops of the plan Plus together in one second:
    /// 120 requests a minute, and beyond them one a second where nothing is held back.
    fn requests_per_second(&self) -> f64 {
        let overflow = if self.share < 1.0 { 0.0 } else { 1.0 };
        let each = (120.0 * self.share).floor() / 60.0 + overflow;
        each * self.shops as f64
    }
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

async fn measure(asked: Asked) {
    let Asked { shops, orders, .. } = asked;
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
    let worker = work(&simulator, &database, asked.share);
    let (mut most_memory, mut last, mut last_change) = (0, 0, 0.0);
    // From when every shop has begun until the first may have ended.
    let mut steady: Vec<(f64, u64)> = Vec::new();
    for sample in 0_u64.. {
        tokio::time::sleep(Duration::from_secs(1)).await;
        most_memory = most_memory.max(memory(&worker));
        let (seconds, ledger) = (begun.elapsed().as_secs_f64(), simulator.ledger());
        if seconds > 60.0 && last < shops * orders * 3 / 4 {
            steady.push((seconds, ledger.requests));
        }
        if !sample.is_multiple_of(5) {
            continue;
        }
        let complete: i64 = sqlx::query_scalar("SELECT count(*) FROM salla.orders WHERE has_items")
            .fetch_one(database.pool())
            .await
            .unwrap();
        println!(
            "{seconds:6.1} s  {complete:7} orders complete  {:7} requests  {:4} refused  {:4} MB",
            ledger.requests,
            ledger.throttled,
            memory(&worker) / 1_000_000
        );
        if complete.unsigned_abs() > last {
            (last, last_change) = (complete.unsigned_abs(), seconds);
        }
        if last == shops * orders || seconds - last_change > STANDSTILL {
            break;
        }
    }
    let done = last_change;
    let ledger = simulator.ledger();
    println!(
        "{shops} shops of {orders} orders: all {last} orders after {done:.0} s, {:.0} requests a \
         second, {} refused, at most {} MB",
        ledger.requests as f64 / done,
        ledger.throttled,
        most_memory / 1_000_000
    );
    if let Some((first, last)) = whole_minutes(&steady) {
        let rate = (last.1 - first.1) as f64 / (last.0 - first.0);
        println!(
            "second {:.0} to {:.0}: {rate:.0} requests a second, {:.1} % of the joint budgets",
            first.0,
            last.0,
            100.0 * rate / asked.requests_per_second()
        );
    }
}

/// The longest stretch of whole minutes: budgets come back once a minute and are spent in
/// bursts, so any other stretch holds a burst too many or too few.
fn whole_minutes(steady: &[(f64, u64)]) -> Option<((f64, u64), (f64, u64))> {
    let (first, last) = (steady.first()?, steady.last()?);
    let minutes = ((last.0 - first.0) / 60.0).floor();
    let end = first.0 + minutes * 60.0;
    let last = steady.iter().find(|sample| sample.0 >= end)?;
    (minutes >= 1.0).then_some((*first, *last))
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
                    api_url: simulator.api_url().parse().unwrap(),
                    accounts_url: simulator.accounts_url().parse().unwrap(),
                    egress_group: "default".to_owned(),
                    keys: Some(AppKeys {
                        client_id: simulator.client_id().to_owned(),
                        client_secret: simulator.client_secret().into(),
                    }),
                },
                tokens: Tokens {
                    access: shop.access_token().into(),
                    refresh: Some(shop.refresh_token().into()),
                    expires_at: None,
                    scope: None,
                },
            };
            let merchant = connect(open, &salla, clock).await;
            open.jobs().start(merchant, options, range).await.unwrap();
        }
    });
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

fn work(simulator: &Simulator, database: &TestDatabase, share: f64) -> Worker {
    let child = Command::new(env!("CARGO_BIN_EXE_salla-sync"))
        .args(["work", "--jobs", "1000", "--budget-share"])
        .arg(share.to_string())
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
