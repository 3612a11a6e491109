//! Whole imports within Salla's limits, on scaled time, beside the floor: the least
//! time that the limits allow for the requests that are necessary.
//!
//! The time is that of the simulator's clock from the first request to the last one, since each of
//! them spends the budget. Simulator and importer share a process and so a clock; the simulator has
//! separate threads, because Salla does not wait while the importer's are busy.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use domain::plan::Budget;
use importer::import::Observer;
use importer::import::progress::{Progress, ProgressTracker};
use importer::ports::clock::{Clock, SystemClock};
use importer::ports::runs::{Held, Run};
use jiff::ToSpan as _;
use salla_simulator::{AppAge, Plan, Simulator};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::roles::{Address, Job, run};
use crate::server::BenchServer;
use crate::throughput::small;

const DATABASE: &str = "salla_bench";

/// A shop's plan, what the app may see, its orders, and how fast time runs. Processor time
/// does not shrink with the scale, so where it is a part worth mentioning, in whole orders
/// and in short imports, time runs as it is.
struct Case {
    plan: Plan,
    limit: u32,
    app_age: AppAge,
    orders: u64,
    scale: f64,
}

const fn case(plan: Plan, limit: u32, app_age: AppAge, orders: u64, scale: f64) -> Case {
    Case {
        plan,
        limit,
        app_age,
        orders,
        scale,
    }
}

/// A burst never takes no time, so each minute lets a few requests less through than the
/// floor counts, and at the end they may have to be made at one a second: up to a minute
/// late in all, which is much of a short import and little of a long one. Both are here.
const CASES: [Case; 9] = [
    case(Plan::Plus, 120, AppAge::Expanded, 18_000, 1.0),
    case(Plan::Plus, 120, AppAge::FullDetails, 700, 15.0),
    case(Plan::Plus, 120, AppAge::LightDetails, 350, 15.0),
    case(Plan::Pro, 360, AppAge::LightDetails, 800, 1.0),
    case(Plan::Pro, 360, AppAge::FullDetails, 1_600, 1.0),
    case(Plan::Pro, 360, AppAge::FullDetails, 8_000, 20.0),
    case(Plan::Special, 720, AppAge::LightDetails, 1_500, 1.0),
    case(Plan::Special, 720, AppAge::FullDetails, 3_000, 1.0),
    case(Plan::Special, 720, AppAge::FullDetails, 15_000, 15.0),
];

/// How one import kept to the limits; all times are the shop's.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct LimitResult {
    pub(crate) plan: String,
    pub(crate) what: String,
    pub(crate) scale: f64,
    /// One scan of each list, and the details: the minimum.
    pub(crate) necessary: u64,
    pub(crate) sent: u64,
    pub(crate) floor_seconds: u64,
    pub(crate) seconds: f64,
    pub(crate) throttled: u64,
    /// Until the headers of the newest thirty days were complete.
    pub(crate) newest_days_seconds: Option<f64>,
}

impl LimitResult {
    pub(crate) fn ratio(&self) -> f64 {
        self.seconds / self.floor_seconds.max(1) as f64
    }
}

/// All cases, or those of one plan.
pub(crate) async fn measure(
    server: &BenchServer,
    plan: Option<&str>,
) -> anyhow::Result<Vec<LimitResult>> {
    let mut all = Vec::new();
    let is_wanted = |case: &&Case| plan.is_none_or(|plan| plan == format!("{:?}", case.plan));
    for case in CASES.iter().filter(is_wanted) {
        all.push(measure_one(server, case).await?);
    }
    Ok(all)
}

async fn measure_one(server: &BenchServer, case: &Case) -> anyhow::Result<LimitResult> {
    let database_url = server.new_database(DATABASE).await?;
    let mut scenario = small(case.orders, case.plan);
    scenario.app_age = case.app_age;
    scenario.clock.scale = case.scale;
    scenario.latency.fixed_ms = 150;
    scenario.latency.jitter_ms = 100;
    let threads = Threads::new()?;
    let simulator = threads.spawn(Simulator::start(scenario)).await??;
    let address = Address::of(&simulator);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::scaled(address.now, case.scale));
    let (tracker, progress) = ProgressTracker::new();
    let newest = tokio::spawn(newest_days(progress, clock.clone(), address.now));
    let planned = Planned::default();
    let job = Job {
        address,
        database_url,
        keep_raw: true,
    };
    run(&job, clock, Arc::new(tracker), &planned).await?;
    let ledger = simulator.ledger();
    let necessary = planned.0.get().copied().unwrap_or_default();
    let budget = Budget {
        requests_per_minute: Some(case.limit),
        share: 1.0,
    };
    let first = ledger.first_request_ms.unwrap_or_default();
    let last = ledger.last_request_ms.unwrap_or_default();
    let seconds = (last - first) as f64 / 1_000.0;
    Ok(LimitResult {
        plan: format!("{:?}", case.plan),
        what: what(case.app_age).to_owned(),
        scale: case.scale,
        necessary,
        sent: ledger.requests,
        floor_seconds: budget.floor_seconds(necessary),
        seconds,
        throttled: ledger.throttled,
        newest_days_seconds: newest.await?,
    })
}

/// A runtime that may be dropped where another one runs.
struct Threads(Option<tokio::runtime::Runtime>);

impl Threads {
    fn new() -> std::io::Result<Self> {
        let mut threads = tokio::runtime::Builder::new_multi_thread();
        let threads = threads.worker_threads(2).enable_all().build()?;
        Ok(Self(Some(threads)))
    }
}

impl std::ops::Deref for Threads {
    type Target = tokio::runtime::Runtime;

    fn deref(&self) -> &Self::Target {
        self.0.as_ref().expect("it is there until it is dropped")
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(threads) = self.0.take() {
            threads.shutdown_background();
        }
    }
}

fn what(app_age: AppAge) -> &'static str {
    match app_age {
        AppAge::Expanded => "whole orders in lists",
        AppAge::FullDetails => "details",
        AppAge::LightDetails => "details and items",
    }
}

/// Records how many requests are necessary.
#[derive(Default)]
struct Planned(OnceLock<u64>);

impl Observer for Planned {
    fn waiting(&self, _: &Held) {}
    fn claimed(&self, _: &Run, _: bool) {}

    fn planned(&self, plan: &domain::plan::Plan) {
        let _ = self.0.set(plan.necessary_requests());
    }
}

/// When the progress first says that the headers of the newest thirty days are
/// complete; `None` if the import ends before.
async fn newest_days(
    mut progress: watch::Receiver<Progress>,
    clock: Arc<dyn Clock>,
    now: jiff::Timestamp,
) -> Option<f64> {
    let begun = clock.monotonic();
    let today = domain::instant::riyadh_date(now);
    let first_day = today.checked_sub(29.days()).ok()?;
    let complete = progress
        .wait_for(|progress| {
            progress
                .lists_complete_since
                .is_some_and(|day| day <= first_day)
        })
        .await;
    let took: Duration = clock.monotonic() - begun;
    complete.is_ok().then_some(took.as_secs_f64())
}
