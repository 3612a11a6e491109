//! Jobs from the queue. A message only says which run to look at: what is to be done
//! is read from the database, and the claim of the run decides who does it. So a message
//! may come twice, late or out of order.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::certificate::Certificate;
use domain::disposition::{Attempt, Decision, decide};
use domain::failure::Failure;
use domain::job::HistoricalSync;
use domain::run::{RunId, RunState};
use domain::shop::ShopInfo;
use domain::window::DayRange;
use jiff::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tracing::Instrument as _;

use crate::import::{ImportSettings, Importer, Outcome, end, holding, work};
use crate::ports::clock::Clock;
use crate::ports::jobs::Jobs;
use crate::ports::landing::{Landing, RunLease};
use crate::ports::queue::{Delivery, Disposition, Queue, Standing};
use crate::ports::runs::{Claim, Holder, Run, RunOptions, Runs};
use crate::ports::shops::Shops;
use crate::progress::Tracker;
use crate::stop::{StopHandle, StopSignal, stop_pair};

/// A receive waits so long for a message; a stop waits for it.
const POLL: Duration = Duration::from_secs(2);
/// After the queue could not be asked.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(5);
/// So many messages are taken at once; a worker that stops gives them back.
const MOST_AT_ONCE: usize = 10;
/// A message comes back so much later than the run's lease runs out, so that whoever
/// receives it finds the run free.
const AFTER_THE_LEASE: Duration = Duration::from_secs(2);
/// A run whose worker was lost so often in a row, without any progress, is what kills
/// them. Each time costs all other imports of that worker a restart.
const MOST_LOST: u32 = 10;
/// How often it is looked whether somebody has paused or cancelled a run.
const WATCH_PERIOD: Duration = Duration::from_secs(1);

/// Everything a worker works with.
pub struct Worker {
    pub queue: Arc<dyn Queue>,
    pub jobs: Arc<dyn Jobs>,
    pub runs: Arc<dyn Runs>,
    pub landing: Arc<dyn Landing>,
    pub shops: Arc<dyn Shops>,
    pub clock: Arc<dyn Clock>,
    pub settings: WorkerSettings,
    held: Mutex<HashMap<RunId, (RunLease, StopHandle)>>,
}

#[derive(Clone, Debug)]
pub struct WorkerSettings {
    /// Runs that are worked on at once; at least 1.
    pub jobs: usize,
    /// So many attempts in a row may bring nothing before a run ends FAILED.
    pub max_attempts: u32,
    pub import: ImportSettings,
}

/// The adapters of a [`Worker`].
pub struct WorkerPorts {
    pub queue: Arc<dyn Queue>,
    pub jobs: Arc<dyn Jobs>,
    pub runs: Arc<dyn Runs>,
    pub landing: Arc<dyn Landing>,
    pub shops: Arc<dyn Shops>,
    pub clock: Arc<dyn Clock>,
}

/// What a message asks for, as the database knows it.
enum Wanted {
    Run(Box<Run>),
    /// It was done after the message was sent, or needs no work.
    Satisfied,
    /// No repetition can help.
    Senseless(String),
}

impl Worker {
    pub fn new(ports: WorkerPorts, settings: WorkerSettings) -> Self {
        Self {
            queue: ports.queue,
            jobs: ports.jobs,
            runs: ports.runs,
            landing: ports.landing,
            shops: ports.shops,
            clock: ports.clock,
            settings,
            held: Mutex::default(),
        }
    }

    /// Takes jobs until a stop is asked for, then gives back what it has.
    pub async fn run(self: &Arc<Self>, stop: &StopSignal) {
        let watcher = self.clone();
        let watching = tokio::spawn(async move { watcher.watch_commands().await });
        let slots = Arc::new(Semaphore::new(self.settings.jobs.max(1)));
        let mut running = JoinSet::new();
        while let Some(slot) = free_slot(&slots, stop).await {
            let wanted = slots.available_permits().min(MOST_AT_ONCE - 1) + 1;
            let mut slot = Some(slot);
            for delivery in self.receive(wanted, stop).await {
                let slot = slot
                    .take()
                    .or_else(|| slots.clone().try_acquire_owned().ok());
                let (worker, stop) = (self.clone(), stop.clone());
                running.spawn(async move {
                    worker.handle(delivery, &stop).await;
                    drop(slot);
                });
            }
            while let Some(ended) = running.try_join_next() {
                report_panic(ended);
            }
        }
        while let Some(ended) = running.join_next().await {
            report_panic(ended);
        }
        watching.abort();
    }

    async fn receive(&self, most: usize, stop: &StopSignal) -> Vec<Delivery> {
        let most = u32::try_from(most).unwrap_or(u32::MAX);
        match self.queue.receive(most, self.visibility(), POLL).await {
            Ok(deliveries) => deliveries,
            Err(failure) => {
                tracing::error!(%failure, "no job could be received; trying again");
                tokio::select! {
                    () = stop.requested() => {}
                    () = self.clock.sleep(PAUSE_AFTER_FAILURE) => {}
                }
                vec![]
            }
        }
    }

    fn visibility(&self) -> Duration {
        self.settings.import.lease + AFTER_THE_LEASE
    }

    /// One message from its delivery until it is settled.
    async fn handle(&self, delivery: Delivery, stop: &StopSignal) {
        let span = tracing::info_span!("job", job_id = %delivery.id, attempt = delivery.attempt);
        async {
            let disposition = tokio::select! {
                biased;
                disposition = self.run_one(&delivery, stop) => disposition,
                never = self.keep(&delivery) => match never {},
            };
            tracing::info!(?disposition, "the job is settled");
            match self.queue.settle(&delivery.receipt, disposition).await {
                Ok(Standing::Held) => {}
                Ok(Standing::Stale) => {
                    tracing::info!("the message was somebody else's by then");
                }
                // It comes back and finds the run as it was left.
                Err(failure) => tracing::error!(%failure, "the message could not be settled"),
            }
        }
        .instrument(span)
        .await;
    }

    /// Keeps the message from others while it is worked on. One that somebody else has
    /// received all the same does no harm: the claim of the run keeps them apart.
    async fn keep(&self, delivery: &Delivery) -> std::convert::Infallible {
        loop {
            self.clock.sleep(self.visibility() / 4).await;
            let kept = self.queue.extend(&delivery.receipt, self.visibility());
            if let Err(failure) = kept.await {
                tracing::warn!(%failure, "the message's lease could not be extended");
            }
        }
    }

    /// Works on what a message asks for and says what becomes of the message. The run is
    /// left in the state that the message's disposition fits.
    pub async fn run_one(&self, delivery: &Delivery, stop: &StopSignal) -> Disposition {
        let job = match HistoricalSync::parse(&delivery.body) {
            Ok(job) => job,
            Err(unreadable) => {
                return Disposition::Bury {
                    why: format!("unreadable message: {unreadable}"),
                };
            }
        };
        match self.look(&job, delivery, stop).await {
            Ok(disposition) => disposition,
            Err(failure) => {
                tracing::error!(%failure, merchant_id = %job.merchant, "the database could not be asked about the job");
                self.later(PAUSE_AFTER_FAILURE)
            }
        }
    }

    async fn look(
        &self,
        job: &HistoricalSync,
        delivery: &Delivery,
        stop: &StopSignal,
    ) -> Result<Disposition, Failure> {
        let run = match self.wanted(job, delivery).await? {
            Wanted::Run(run) => run,
            Wanted::Satisfied => return Ok(Disposition::Done),
            Wanted::Senseless(why) => return Ok(Disposition::Bury { why }),
        };
        if let Some(until) = run.waiting_until
            && run.state == RunState::Waiting
            && until > self.clock.now()
        {
            return Ok(Disposition::Snooze { until });
        }
        if delivery.attempt > 1 && run.holder.is_none() && went_on(&run) {
            // Its worker died, but not before it had gone further: a new message has all
            // attempts before it.
            self.queue.send(&delivery.body, Duration::ZERO).await?;
            return Ok(Disposition::Done);
        }
        let settings = &self.settings.import;
        match self
            .runs
            .claim(run.id, &settings.owner, settings.lease)
            .await?
        {
            Claim::Over(_) => Ok(Disposition::Done),
            Claim::Taken(holder) => Ok(self.after_lease(&holder)),
            Claim::Granted(lease, run) => {
                let span =
                    tracing::info_span!("run", run_id = %run.id, merchant_id = %run.merchant);
                let worked = self.on_claim(lease, &run, delivery, stop);
                Ok(worked.instrument(span).await)
            }
        }
    }

    async fn wanted(&self, job: &HistoricalSync, delivery: &Delivery) -> Result<Wanted, Failure> {
        let run = match job.run {
            Some(id) => match self.jobs.find(id).await? {
                Some(run) if run.merchant == job.merchant => run,
                Some(_) => {
                    return Ok(Wanted::Senseless(
                        "the run belongs to another merchant".to_owned(),
                    ));
                }
                None => return Ok(Wanted::Senseless("there is no such run".to_owned())),
            },
            None => {
                if self.jobs.shop(job.merchant).await?.is_none() {
                    return Ok(Wanted::Senseless("unknown merchant".to_owned()));
                }
                let latest = self.runs.latest_of_everything(job.merchant).await?;
                if latest.is_some_and(|run| satisfies(&run, job, delivery.sent_at)) {
                    return Ok(Wanted::Satisfied);
                }
                self.start_or_join(job).await?
            }
        };
        if !run.is_job && run.state.can_be_claimed() {
            self.jobs.adopt(run.id).await?;
        }
        match run.state.can_be_claimed() {
            true => Ok(Wanted::Run(Box::new(run))),
            false => Ok(Wanted::Satisfied),
        }
    }

    async fn start_or_join(&self, job: &HistoricalSync) -> Result<Run, Failure> {
        let options = RunOptions {
            months: job.months,
            max_orders: None,
            keep_raw: true,
            only: None,
        };
        let today = domain::instant::riyadh_date(self.clock.now());
        let range = DayRange::last_months(today, job.months);
        self.runs
            .create_or_join(job.merchant, &options, range)
            .await
    }

    async fn on_claim(
        &self,
        lease: RunLease,
        run: &Run,
        delivery: &Delivery,
        stop: &StopSignal,
    ) -> Disposition {
        tracing::info!(work = run.progress.work(), "the run was claimed");
        if delivery.attempt > MOST_LOST {
            let failure = Failure::Broken {
                what: format!(
                    "the worker of this run was lost {MOST_LOST} times in a row without any progress"
                ),
            };
            return match self.give_back(lease, run, delivery, failure).await {
                Ok(disposition) => disposition,
                Err(failure) => self.not_recorded(&failure),
            };
        }
        let (revoke, revoked) = stop_pair();
        self.held().insert(run.id, (lease, revoke));
        let worked = tokio::select! {
            biased;
            () = revoked.requested() => Err(Failure::LeaseLost),
            worked = self.attempt(lease, run, stop) => worked,
        };
        self.held().remove(&run.id);
        let left = match worked {
            Ok((importer, certificate)) => self.finish(&importer, lease, certificate).await,
            Err(failure) => self.give_back(lease, run, delivery, failure).await,
        };
        left.unwrap_or_else(|failure| self.not_recorded(&failure))
    }

    async fn attempt(
        &self,
        lease: RunLease,
        run: &Run,
        stop: &StopSignal,
    ) -> Result<(Importer, Certificate), Failure> {
        let (runs, clock) = (self.runs.as_ref(), self.clock.as_ref());
        let opening = async {
            let open = self.shops.open(run.merchant).await?;
            self.runs.ensure_merchant(&open.shop).await?;
            Ok(open)
        };
        let duration = self.settings.import.lease;
        let open = holding(runs, clock, lease, duration, stop, opening).await?;
        let importer = Importer {
            platform: open.platform,
            landing: self.landing.clone(),
            runs: self.runs.clone(),
            clock: self.clock.clone(),
            tracker: Arc::new(Tracker::new().0),
            settings: self.settings.import.clone(),
        };
        let shop: &ShopInfo = &open.shop;
        let certificate = work(&importer, shop, lease, run, &(), stop).await?;
        Ok((importer, certificate))
    }

    async fn finish(
        &self,
        importer: &Importer,
        lease: RunLease,
        certificate: Certificate,
    ) -> Result<Disposition, Failure> {
        match end(importer, lease, certificate).await {
            Ok(Outcome::Failed { failure, .. }) => {
                tracing::error!(%failure, code = failure.code(), "the run FAILED");
                Ok(Disposition::Done)
            }
            Ok(_) => {
                tracing::info!("the run is COMPLETED");
                Ok(Disposition::Done)
            }
            Err(Failure::LeaseLost) => self.look_again(lease.run).await,
            Err(failure) => Err(failure),
        }
    }

    /// Leaves the run as the failure asks for.
    async fn give_back(
        &self,
        lease: RunLease,
        run: &Run,
        delivery: &Delivery,
        failure: Failure,
    ) -> Result<Disposition, Failure> {
        let now_at = self.jobs.find(run.id).await?;
        let attempt = Attempt {
            number: delivery.attempt,
            most: self.settings.max_attempts,
            made_progress: now_at.is_some_and(|now_at| went_on(&now_at)),
        };
        let decision = decide(&failure, attempt);
        tracing::warn!(%failure, code = failure.code(), ?decision, "the attempt ended");
        let left = match decision {
            Decision::Fail => self.runs.fail(lease, &failure, None).await,
            Decision::Wait { by, .. } => {
                let until = self.clock.now() + jittered(by, run.id);
                self.runs.wait(lease, until, &failure).await
            }
            Decision::GiveBack => self.runs.release(lease).await,
            Decision::LookAgain => Err(Failure::LeaseLost),
        };
        match left {
            Ok(()) => Ok(self.disposition(decision, &failure, run.id)),
            Err(Failure::LeaseLost) => self.look_again(run.id).await,
            Err(failure) => Err(failure),
        }
    }

    fn disposition(&self, decision: Decision, failure: &Failure, run: RunId) -> Disposition {
        match decision {
            Decision::Fail if belongs_to_the_dead_letters(failure) => Disposition::Bury {
                why: format!("the run FAILED: {}", failure.code()),
            },
            Decision::Fail | Decision::LookAgain => Disposition::Done,
            Decision::Wait { by, counts: true } => Disposition::Retry {
                after: jittered(by, run),
            },
            Decision::Wait { by, counts: false } => self.later(jittered(by, run)),
            Decision::GiveBack => self.later(Duration::ZERO),
        }
    }

    /// The run is not ours any more: its state tells what is left to do.
    async fn look_again(&self, run: RunId) -> Result<Disposition, Failure> {
        let run = self.jobs.find(run).await?;
        match run {
            Some(run) if run.state.can_be_claimed() => Ok(run.holder.map_or_else(
                || self.later(Duration::ZERO),
                |holder| self.after_lease(&holder),
            )),
            _ => Ok(Disposition::Done),
        }
    }

    /// The database did not take the run's last state. The message comes back, and
    /// whoever receives it finds all the work done.
    fn not_recorded(&self, failure: &Failure) -> Disposition {
        tracing::error!(
            critical = true, %failure,
            "the run's state could not be recorded; its message is tried again"
        );
        self.later(PAUSE_AFTER_FAILURE)
    }

    fn later(&self, by: Duration) -> Disposition {
        Disposition::Snooze {
            until: self.clock.now() + by,
        }
    }

    fn after_lease(&self, holder: &Holder) -> Disposition {
        let left = holder.until.duration_since(self.clock.now());
        let left = Duration::try_from(left).unwrap_or_default();
        // The lease goes by the database's clock, which may be another one.
        self.later(left.min(self.settings.import.lease) + Duration::from_secs(1))
    }

    /// Ends the work on runs that are no longer ours, which would otherwise be found out
    /// only when something lands.
    async fn watch_commands(&self) {
        loop {
            self.clock.sleep(WATCH_PERIOD).await;
            let leases: Vec<RunLease> = self.held().values().map(|(lease, _)| *lease).collect();
            if leases.is_empty() {
                continue;
            }
            match self.jobs.lost(&leases).await {
                Ok(lost) => {
                    for run in lost {
                        if let Some((_, revoke)) = self.held().get(&run) {
                            revoke.stop();
                        }
                    }
                }
                Err(failure) => tracing::debug!(%failure, "the leases could not be compared"),
            }
        }
    }

    fn held(&self) -> std::sync::MutexGuard<'_, HashMap<RunId, (RunLease, StopHandle)>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A free slot, or nothing once a stop is asked for.
async fn free_slot(slots: &Arc<Semaphore>, stop: &StopSignal) -> Option<OwnedSemaphorePermit> {
    tokio::select! {
        biased;
        () = stop.requested() => None,
        slot = slots.clone().acquire_owned() => slot.ok(),
    }
}

fn report_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(
            critical = true, %error,
            "a job broke off; its message comes back when the lease has run out"
        );
    }
}

/// Whether rows have landed since the run was claimed last.
fn went_on(run: &Run) -> bool {
    run.progress.work() > run.work_at_claim
}

/// A message without a run is satisfied by what was finished after it was sent, and by
/// what failed or was cancelled after that: another delivery of it must not begin
/// everything again.
fn satisfies(run: &Run, job: &HistoricalSync, sent_at: Timestamp) -> bool {
    let ended_since = run.ended_at.is_some_and(|at| at >= sent_at);
    match run.state {
        RunState::Completed => ended_since && run.options.months >= job.months,
        RunState::Failed => ended_since,
        RunState::Cancelled => run.created_at >= sent_at,
        _ => false,
    }
}

/// What an operator or a developer has to look at before the message makes sense again.
fn belongs_to_the_dead_letters(failure: &Failure) -> bool {
    match failure {
        Failure::Broken { .. }
        | Failure::Bug { .. }
        | Failure::Transient { .. }
        | Failure::Throttled { .. }
        | Failure::Database { .. } => true,
        Failure::Disconnected(_)
        | Failure::TooManyRejections { .. }
        | Failure::Unbalanced { .. }
        | Failure::LeaseLost
        | Failure::Stopped => false,
    }
}

/// Up to a fifth more, different for each run: those that one outage stopped must not
/// all come back at once.
fn jittered(by: Duration, run: RunId) -> Duration {
    let share = (run.0.as_u128() % 1_000) as f64 / 5_000.0;
    by.mul_f64(1.0 + share)
}
