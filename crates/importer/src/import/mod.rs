//! The story of a run: find the merchant, claim the run, plan, scan, complete,
//! certify.

mod catch_up;
mod catch_up_lists;
mod catch_up_orders;
pub(crate) mod catch_up_plan;
mod ceiling;
mod changes;
mod claim;
mod context;
pub(crate) mod details;
mod ends;
mod gone;
mod known;
pub(crate) mod pages;
mod pipeline;
pub mod planning;
pub mod progress;
mod reader;
mod reading;
mod reconcile;
mod scan;
mod sequence;
mod shortfall;
mod slices;
mod unchanged;
mod watermark;

use std::sync::Arc;
use std::time::Duration;

use domain::ceiling::Ceiling;
use domain::certificate::{Certificate, Proof};
use domain::failure::Failure;
use domain::instant::riyadh_date;
use domain::plan::Plan;
use domain::rejection::RejectionLimit;
use domain::resource::Resource;
use domain::run::{RunState, WindowId};
use domain::shop::{MerchantId, ShopInfo};
use domain::window::DayRange;
use tokio::sync::Semaphore;
use tracing::Instrument as _;

use self::catch_up::catch_up;
use self::claim::claim_or_wait;
use self::context::{
    CONCURRENT_LANDINGS, MAX_CUSTOMER_PAGES, MAX_PAGES, RunContext, SharedCeiling,
};
use self::pages::Portions;
use self::planning::{PlanRequest, PlannedPages, plan_run};
use crate::admission::MemoryLimit;
use crate::clocks;
use crate::ports::clock::Clock;
use crate::ports::landing::{Landing, RunLease};
use crate::ports::platform::{BudgetStatus, Platform};
use crate::ports::runs::Owner;
use crate::ports::runs::{Claim, Held, LeaseHolder, Run, RunOptions, Runs};

pub use self::reading::Reading;

use self::progress::{Phase, Progress, ProgressTracker};
use self::sequence::{rescan_windows, run_phases};
use self::watermark::ZONE_AMBIGUITY;
use crate::stop::StopSignal;

/// Everything an import works with; each member is a port or a plain value.
#[derive(Clone)]
pub struct Importer {
    pub platform: Arc<dyn Platform>,
    pub landing: Arc<dyn Landing>,
    pub runs: Arc<dyn Runs>,
    pub clock: Arc<dyn Clock>,
    pub tracker: Arc<ProgressTracker>,
    pub settings: ImportSettings,
}

#[derive(Clone, Debug)]
pub struct ImportSettings {
    /// This process, as `status` and others that want the run see it.
    pub owner: Owner,
    /// Wait for the lease of another process that may be gone, instead of giving up.
    pub waits_for_lease: bool,
    /// Another process may take the run over once so much time has passed without a
    /// heartbeat.
    pub lease: Duration,
    /// Share of Salla's budget that this import may use, in (0, 1].
    pub budget_share: f64,
    pub rejection_limit: RejectionLimit,
    /// One for all imports of a process; where there are many, their clients share it.
    pub memory: MemoryLimit,
}

/// How an import ended. A failure that leaves the run as it is, so that the next start resumes it,
/// is `Interrupted`.
#[derive(Debug)]
pub enum ImportOutcome {
    Completed(Box<Certificate>),
    /// The run was paused or cancelled.
    Halted(Box<Run>),
    /// Another process holds the run.
    Taken(LeaseHolder),
    Interrupted(Failure),
    Failed {
        failure: Failure,
        /// Present when everything was read but does not balance.
        certificate: Option<Box<Certificate>>,
    },
}

/// What happens to a run meanwhile, for observers.
pub trait Observer: Send + Sync {
    /// Another process holds the run, and its lease is waited for.
    fn waiting(&self, held: &Held);
    /// The run was claimed; `resumed` when it was begun before.
    fn claimed(&self, run: &Run, resumed: bool);
    /// The plan is made and nothing has been fetched yet.
    fn planned(&self, plan: &Plan);
    /// A run that was begun earlier is complete, and it was for less than what is wanted now.
    fn goes_on(&self, _: &Run, _: &Certificate) {}
}

/// No observer.
impl Observer for () {
    fn waiting(&self, _: &Held) {}
    fn claimed(&self, _: &Run, _: bool) {}
    fn planned(&self, _: &Plan) {}
}

/// The maximum number of runs that one command may work on: another process's, one that was started
/// for less, and its own; and once more if midnight passes.
const MAX_RUNS: u32 = 6;

/// Imports `options.months` of `shop`, or brings it up to date where they are there. What was
/// begun for less is finished first where that is of use, and the rest is read after it: it ends
/// `Completed` only if all that was asked for is there.
///
/// An `Err` means that the database could not be asked for the state of the run.
pub async fn import(
    importer: &Importer,
    shop: &ShopInfo,
    options: &RunOptions,
    reading: Reading,
    observer: &dyn Observer,
    stop: StopSignal,
) -> Result<ImportOutcome, Failure> {
    let merchant = importer.runs.ensure_merchant(shop).await?;
    for _ in 0..MAX_RUNS {
        let run = begin(importer, merchant, options, reading).await?;
        let worked = match claim_or_wait(importer, run.id, observer, &stop).await {
            Err(Failure::Stopped) => return Ok(ImportOutcome::Interrupted(Failure::Stopped)),
            Err(failure) => return Err(failure),
            Ok(Claim::Taken(holder)) => return Ok(ImportOutcome::Taken(holder)),
            // It ended while it was waited for.
            Ok(Claim::NotRunnable(run)) => match halted(run) {
                Some(halted) => return Ok(halted),
                None => continue,
            },
            Ok(Claim::Granted(lease, run)) => {
                let (id, merchant) = (run.id, run.merchant);
                let span = tracing::info_span!("run", run_id = %id, merchant_id = %merchant);
                let worked = run_and_end(importer, shop, lease, &run, observer, &stop);
                (worked.instrument(span).await?, run)
            }
        };
        match worked {
            (ImportOutcome::Completed(certificate), run)
                if !reading.is_done_by(&run, options, riyadh_date(importer.clock.now())) =>
            {
                observer.goes_on(&run, &certificate);
            }
            (outcome, _) => return Ok(outcome),
        }
    }
    Ok(ImportOutcome::Interrupted(Failure::Transient {
        message: format!(
            "{MAX_RUNS} runs of this shop did not import everything that was requested"
        ),
    }))
}

/// The run that does what is wanted, or the one that is not over.
async fn begin(
    importer: &Importer,
    merchant: MerchantId,
    options: &RunOptions,
    reading: Reading,
) -> Result<Run, Failure> {
    let runs = importer.runs.as_ref();
    let now = importer.clock.now();
    let refreshes_lists = reading == Reading::ChangesAndLists;
    if reading != Reading::Everything
        && let Some(wanted) =
            catch_up_plan::wanted(runs, merchant, options, refreshes_lists, now).await?
    {
        let (options, range) = (&wanted.options, wanted.range);
        let catch_up = Some(wanted.catch_up);
        return runs
            .create_or_join(merchant, options, range, catch_up)
            .await;
    }
    let (options, range) = catch_up_plan::everything(runs, merchant, options, now).await?;
    runs.create_or_join(merchant, &options, range, None).await
}

/// The run, if it was stopped.
fn halted(run: Box<Run>) -> Option<ImportOutcome> {
    matches!(run.state, RunState::Paused | RunState::Cancelled)
        .then_some(ImportOutcome::Halted(run))
}

async fn run_and_end(
    importer: &Importer,
    shop: &ShopInfo,
    lease: RunLease,
    run: &Run,
    observer: &dyn Observer,
    stop: &StopSignal,
) -> Result<ImportOutcome, Failure> {
    match run_leased(importer, shop, lease, run, observer, stop).await {
        Ok(certificate) => end_with_certificate(importer, lease, certificate).await,
        Err(failure) => end_with_failure(importer, lease, failure).await,
    }
}

/// Works on a claimed run up to its certificate while its lease is kept alive. The run
/// stays claimed.
pub(crate) async fn run_leased(
    importer: &Importer,
    shop: &ShopInfo,
    lease: RunLease,
    run: &Run,
    observer: &dyn Observer,
    stop: &StopSignal,
) -> Result<Certificate, Failure> {
    observer.claimed(run, run.plan.is_some());
    let work = run_to_certificate(importer, shop, lease, run, observer);
    let (runs, clock) = (importer.runs.as_ref(), importer.clock.as_ref());
    with_lease(runs, clock, lease, importer.settings.lease, stop, work).await
}

/// Does `work` for a claimed run until it ends, the lease is lost or a stop is asked
/// for, and keeps the lease alive meanwhile.
pub(crate) async fn with_lease<T>(
    runs: &dyn Runs,
    clock: &dyn Clock,
    lease: RunLease,
    duration: Duration,
    stop: &StopSignal,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::select! {
        biased;
        () = stop.requested() => Err(Failure::Stopped),
        failure = renew_lease(runs, clock, lease, duration) => Err(failure),
        result = work => result,
    }
}

/// Ends the run by what its certificate says.
pub(crate) async fn end_with_certificate(
    importer: &Importer,
    lease: RunLease,
    certificate: Certificate,
) -> Result<ImportOutcome, Failure> {
    let Some(cause) = certificate.imbalance() else {
        importer.runs.complete(lease, &certificate).await?;
        importer.tracker.phase(Phase::Done);
        return Ok(ImportOutcome::Completed(Box::new(certificate)));
    };
    let failure = Failure::Unbalanced {
        windows: certificate.unbalanced().count(),
        cause,
    };
    importer
        .runs
        .fail(lease, &failure, Some(&certificate))
        .await?;
    Ok(ImportOutcome::Failed {
        failure,
        certificate: Some(Box::new(certificate)),
    })
}

async fn end_with_failure(
    importer: &Importer,
    lease: RunLease,
    failure: Failure,
) -> Result<ImportOutcome, Failure> {
    if failure == Failure::LeaseLost {
        let latest = importer.runs.latest(lease.merchant).await?;
        let halted = latest.and_then(|run| halted(Box::new(run)));
        return Ok(halted.unwrap_or(ImportOutcome::Interrupted(failure)));
    }
    if failure.resumes_by_itself() {
        // The run resumes from its checkpoint even if it cannot be released now: then its lease
        // expires.
        let wait = importer.platform.budget().wait_of_successor;
        if let Err(error) = importer.runs.release(lease, Some(wait)).await {
            tracing::warn!(%error, "the run could not be released; its lease will expire");
        }
        return Ok(ImportOutcome::Interrupted(failure));
    }
    importer.runs.fail(lease, &failure, None).await?;
    Ok(ImportOutcome::Failed {
        failure,
        certificate: None,
    })
}

/// Heartbeats until the lease is lost. One beat may fail, because the database may
/// be restarting; the fencing number keeps a run safe that has lost its lease
/// meanwhile.
async fn renew_lease(
    runs: &dyn Runs,
    clock: &dyn Clock,
    lease: RunLease,
    duration: Duration,
) -> Failure {
    loop {
        clock.sleep(duration / 4).await;
        match runs.extend_lease(lease, duration).await {
            Ok(()) => {}
            Err(Failure::LeaseLost) => return Failure::LeaseLost,
            Err(error) => tracing::warn!(%error, "a heartbeat failed"),
        }
    }
}

async fn run_to_certificate(
    importer: &Importer,
    shop: &ShopInfo,
    lease: RunLease,
    run: &Run,
    observer: &dyn Observer,
) -> Result<Certificate, Failure> {
    let (platform, clock) = (importer.platform.as_ref(), importer.clock.as_ref());
    clocks::ensure_agreement(importer.runs.as_ref(), platform, clock).await?;
    let planned = match run.options.only {
        Some(_) => PlannedPages::default(),
        None => PlannedPages::within(importer.settings.memory.clone()),
    };
    let plan = plan(importer, shop, lease, run, &planned).await?;
    if run.catches_up.is_none() {
        observer.planned(&plan);
    }
    importer.tracker.planned(&plan);
    importer.tracker.resumed(&run.progress);
    let ceiling = importer.runs.ceiling(lease.merchant).await?;
    let ctx = RunContext {
        planned,
        ..run_context(importer, lease, run, &plan, ceiling)
    };
    let read = async {
        match run.catches_up {
            Some(_) => catch_up(&ctx, &plan).await,
            None => run_phases(&ctx, &plan).await,
        }
    };
    let as_of = tokio::select! {
        biased;
        result = read => result?,
        failure = report_status(importer, lease) => return Err(failure),
    };
    let certificate = importer.runs.certify(lease, as_of).await?;
    let altered = altered_windows(&certificate);
    if altered.is_empty() {
        return Ok(certificate);
    }
    // Rows were changed here during the run, or after it had failed.
    tokio::select! {
        biased;
        result = rescan_windows(&ctx, &altered) => result?,
        failure = report_status(importer, lease) => return Err(failure),
    };
    importer.runs.certify(lease, as_of).await
}

/// Windows that were read whole, and whose rows are not what was read.
fn altered_windows(certificate: &Certificate) -> Vec<WindowId> {
    let altered = certificate.unbalanced().filter(|window| {
        let listing = &window.listing;
        !listing.is_sliced && matches!(listing.proof(), Proof::Proven | Proof::Settled)
    });
    altered.map(|window| window.listing.window).collect()
}

/// The plan of the run: the one it was begun with, or a new one from a probe.
async fn plan(
    importer: &Importer,
    shop: &ShopInfo,
    lease: RunLease,
    run: &Run,
    planned: &PlannedPages,
) -> Result<Plan, Failure> {
    if let Some(plan) = &run.plan {
        return Ok(plan.clone());
    }
    if let Some(catch_up) = run.catches_up {
        let share = importer.settings.budget_share;
        return catch_up_plan::plan(importer.runs.as_ref(), lease, run, catch_up, share).await;
    }
    importer.tracker.phase(Phase::Planning);
    let wanted = PlanRequest {
        shop,
        range: run.range,
        share: importer.settings.budget_share,
        max_orders: run.options.max_orders,
        ceiling: importer.runs.ceiling(lease.merchant).await?,
        is_pressed: lease.fencing_token > 1,
    };
    let (platform, clock) = (importer.platform.as_ref(), importer.clock.as_ref());
    let plan = plan_run(platform, clock, &wanted, planned).await?;
    let only = run.options.only.map(|only| only.resource);
    let plan = match only {
        Some(resource) => plan.only(resource),
        None => plan,
    };
    let whole = [
        Resource::OrderStatuses,
        Resource::Categories,
        Resource::Products,
        Resource::Customers,
    ];
    let whole = whole
        .into_iter()
        .filter(|r| only.is_none_or(|only| only == *r));
    let windows: Vec<(Resource, Option<DayRange>)> = plan
        .windows
        .iter()
        .map(|days| (Resource::Orders, Some(*days)))
        .chain(whole.map(|resource| (resource, None)))
        .collect();
    importer.runs.save_plan(lease, &plan, &windows).await?;
    Ok(plan)
}

fn run_context(
    importer: &Importer,
    lease: RunLease,
    run: &Run,
    plan: &Plan,
    ceiling: Ceiling,
) -> RunContext {
    RunContext {
        began_at: run.started_at.unwrap_or(run.created_at)
            - clocks::MAX_CLOCK_SKEW
            - ZONE_AMBIGUITY,
        platform: importer.platform.clone(),
        landing: importer.landing.clone(),
        runs: importer.runs.clone(),
        clock: importer.clock.clone(),
        tracker: importer.tracker.clone(),
        lease,
        reach: plan.probe.reach(),
        rejection_limit: importer.settings.rejection_limit,
        ceiling: SharedCeiling::new(ceiling),
        portions: Portions::default(),
        max_orders: plan.probe.max_orders,
        planned: PlannedPages::default(),
        pages_in_memory: Arc::new(Semaphore::new(MAX_PAGES)),
        customers_in_memory: Arc::new(Semaphore::new(MAX_CUSTOMER_PAGES)),
        landing_permits: Arc::new(Semaphore::new(CONCURRENT_LANDINGS)),
        memory: importer.settings.memory.clone(),
        from_future: Arc::default(),
    }
}

/// Shorter waits are part of ordinary pacing.
const MIN_REPORTED_COOLDOWN: Duration = Duration::from_secs(10);

/// If nothing has arrived for this time while customers wait for their budget, the run waits for
/// customers; this is reported again at this interval.
const CUSTOMER_WAIT_REPORT_AFTER: Duration = Duration::from_secs(300);

/// What is worth writing down.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ReportedWait {
    Not,
    Cooldown,
    /// For customers; nothing has arrived for this many times [`CUSTOMER_WAIT_REPORT_AFTER`].
    Customers(u64),
}

/// An import that neither progresses nor waits for this time releases its run: the process that
/// takes it over starts with new connections. Longer than any database work may take.
const STANDSTILL: Duration = Duration::from_secs(30 * 60);

/// Whether anything has happened since.
#[derive(Default)]
struct Motion {
    /// Requests that were sent or tried again, requests done, and rejected records.
    counts: [u64; 4],
    at: Duration,
}

impl Motion {
    fn stands_still(&mut self, progress: &Progress, budget: &BudgetStatus) -> bool {
        let counts = [
            budget.requests,
            budget.retries,
            progress.requests_done,
            progress.rejected,
        ];
        let waits = !budget.cooldown.is_zero() || budget.customers_waiting;
        if waits || self.counts != counts {
            (self.counts, self.at) = (counts, progress.elapsed);
        }
        progress.elapsed.saturating_sub(self.at) >= STANDSTILL
    }
}

/// Keeps the status row fresh; ends only by failing.
async fn report_status(importer: &Importer, lease: RunLease) -> Failure {
    let begun = importer.clock.monotonic();
    let mut last = None;
    let (mut requests, mut came_at) = (0, Duration::ZERO);
    let mut motion = Motion::default();
    loop {
        importer.clock.sleep(Duration::from_secs(1)).await;
        let elapsed = importer.clock.monotonic().saturating_sub(begun);
        let budget = importer.platform.budget();
        let progress = importer.tracker.tick(elapsed, budget.cooldown);
        if motion.stands_still(&progress, &budget) {
            return Failure::Transient {
                message: format!(
                    "nothing was requested and nothing has landed for {} minutes",
                    STANDSTILL.as_secs() / 60
                ),
            };
        }
        if progress.requests_done != requests {
            (requests, came_at) = (progress.requests_done, elapsed);
        }
        let quiet = (elapsed - came_at).as_secs() / CUSTOMER_WAIT_REPORT_AFTER.as_secs();
        let waits = if budget.cooldown >= MIN_REPORTED_COOLDOWN {
            ReportedWait::Cooldown
        } else if budget.customers_waiting && quiet > 0 {
            ReportedWait::Customers(quiet)
        } else {
            ReportedWait::Not
        };
        let percent = progress.percent();
        if last == Some((percent, waits)) {
            continue;
        }
        let wait = match waits {
            ReportedWait::Not => None,
            ReportedWait::Cooldown => Some(budget.cooldown),
            ReportedWait::Customers(_) => Some(CUSTOMER_WAIT_REPORT_AFTER * 2),
        };
        let waits_until = wait.map(|wait| importer.clock.now() + wait);
        match importer
            .runs
            .report_progress(lease, percent, waits_until)
            .await
        {
            Ok(()) => last = Some((percent, waits)),
            Err(Failure::LeaseLost) => return Failure::LeaseLost,
            Err(error) => {
                tracing::debug!(%error, "the progress was not recorded")
            }
        }
    }
}
