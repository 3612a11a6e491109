//! How much memory a worker takes if its shops send the longest responses that are read, plain and
//! compressed: one shop, and a dozen together.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use domain::window::DayRange;
use entrypoints::config::{AppKeys, AppSettings, DatabaseSettings, EGRESS_GROUP, SallaSettings};
use entrypoints::wiring::{self, OpenDatabase};
use importer::ports::clock::{Clock, SystemClock};
use importer::ports::connections::Tokens;
use importer::ports::jobs::Jobs as _;
use importer::ports::runs::RunOptions;
use salla_simulator::{
    AppAge, Filling, LongRecords, Plan, Scenario, ShopHandle, ShopSpec, Simulator,
};
use serde::{Deserialize, Serialize};

use crate::server::BenchServer;
use crate::throughput::small;
use crate::usage;

const DATABASE: &str = "bench_memory";
const KEY: &str = "bench:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const SHOPS: [u64; 2] = [1, 12];
const PATIENCE: Duration = Duration::from_secs(900);

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// The most that a worker had resident while it imported some shops.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Held {
    pub(crate) what: String,
    pub(crate) shops: u64,
    pub(crate) seconds: f64,
    /// What the simulator sent, compressed where it was.
    pub(crate) sent_mb: f64,
    pub(crate) peak_mb: f64,
}

/// A worker that does not outlive the measurement.
struct Worker(Child);

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

pub(crate) async fn measure(server: &BenchServer) -> anyhow::Result<Vec<Held>> {
    let mut all = Vec::new();
    for shops in SHOPS {
        for (what, details, gzip) in [
            ("pages", false, false),
            ("pages, gzip", false, true),
            ("details", true, false),
            ("details, gzip", true, true),
        ] {
            let scenario = scenario(shops, details, gzip);
            all.push(import(server, (what, shops), scenario).await?);
        }
    }
    Ok(all)
}

/// Sixty records of a page, or one record alone, are little less than what is read at most.
fn scenario(shops: u64, details: bool, gzip: bool) -> Scenario {
    let orders = match (details, shops) {
        (false, _) => 240,
        (true, 1) => 60,
        (true, _) => 12,
    };
    let mut scenario = small(orders, Plan::Unlimited);
    scenario.limits.customers.enabled = false;
    scenario.latency.fixed_ms = 0;
    scenario.latency.jitter_ms = 0;
    if details {
        scenario.app_age = AppAge::FullDetails;
        // Pages of what has no details would be longer than any that is read.
        scenario.shop.customers = 0;
        scenario.shop.products = 4;
        scenario.shop.categories = 2;
    }
    scenario.quirks.gzip = gzip;
    scenario.quirks.long_records = Some(LongRecords {
        bytes: if details { 3 * MIB } else { 126 * KIB },
        one_of: 1,
        // What compresses best is the most in memory for the least on the way.
        filling: if gzip {
            Filling::Letter
        } else {
            Filling::Noise
        },
    });
    let shop = scenario.shop.clone();
    let another = |seed| ShopSpec {
        seed,
        ..shop.clone()
    };
    scenario.shops = (2..=shops).map(another).collect();
    scenario.moved_to(salla_simulator::present())
}

async fn import(
    server: &BenchServer,
    (what, shops): (&str, u64),
    scenario: Scenario,
) -> anyhow::Result<Held> {
    let url = server.new_database(DATABASE).await?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::real());
    let simulator = Simulator::start(scenario).await?;
    let settings = DatabaseSettings::Url(url.as_str().into());
    let open = wiring::open_database(&settings, Some(KEY.to_owned().into()), clock.clone()).await?;
    for shop in simulator.shops() {
        start(&simulator, &shop, &open, clock.clone()).await?;
    }
    let (begun, sent) = (clock.monotonic(), simulator.ledger().body_bytes);
    let worker = Worker(
        Command::new(env!("CARGO_BIN_EXE_salla-sync"))
            .args(["work", "--jobs", "16"])
            .env("DATABASE_URL", &url)
            .env("SALLA_SYNC_KEY", KEY)
            .env("SALLA_API_URL", simulator.api_url())
            .env("SALLA_ACCOUNTS_URL", simulator.accounts_url())
            .env("SALLA_CLIENT_ID", simulator.client_id())
            .env("SALLA_CLIENT_SECRET", simulator.client_secret())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?,
    );
    while !are_completed(&open, shops).await? {
        let waited = clock.monotonic() - begun;
        ensure!(waited < PATIENCE, "{what} of {shops} shops take too long");
        clock.sleep(Duration::from_millis(50)).await;
    }
    let held = Held {
        what: what.to_owned(),
        shops,
        seconds: (clock.monotonic() - begun).as_secs_f64(),
        sent_mb: (simulator.ledger().body_bytes - sent) as f64 / MIB as f64,
        peak_mb: usage::peak_memory(worker.0.id())?,
    };
    drop(worker);
    open.database.close().await;
    server.drop_database(DATABASE).await?;
    Ok(held)
}

async fn start(
    simulator: &Simulator,
    shop: &ShopHandle,
    open: &OpenDatabase,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<()> {
    let salla = SallaSettings {
        app: AppSettings {
            api_url: simulator.api_url().parse()?,
            accounts_url: simulator.accounts_url().parse()?,
            egress_group: EGRESS_GROUP.to_owned(),
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
    let connected = wiring::connect_and_store(open, &salla, clock.clone()).await?;
    let range = DayRange::last_months(domain::instant::riyadh_date(clock.now()), 12);
    let options = RunOptions {
        months: 12,
        max_orders: None,
        keep_raw: true,
        only: None,
    };
    let jobs = open.database.jobs();
    let started = jobs.start(connected.merchant, &options, range).await;
    started.context("the import does not start")?;
    Ok(())
}

async fn are_completed(open: &OpenDatabase, shops: u64) -> anyhow::Result<bool> {
    let sql = "SELECT count(*) FILTER (WHERE state = 'COMPLETED'),
                      count(*) FILTER (WHERE state IN ('FAILED', 'CANCELLED'))
                 FROM salla_sync.sync_runs";
    let (completed, failed): (i64, i64) =
        sqlx::query_as(sql).fetch_one(open.database.pool()).await?;
    ensure!(failed == 0, "an import has failed");
    Ok(completed.cast_unsigned() == shops)
}
