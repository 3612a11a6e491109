//! One job: what its message requests, the work, and the resulting state of run and message.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use domain::certificate::Certificate;
use domain::failure::Failure;
use domain::failure_policy::{AttemptInfo, FailureAction, action_for, is_dead_letter};
use domain::job::HistoricalSync;
use domain::run::{RunId, RunState};
use domain::window::DayRange;
use jiff::Timestamp;
use tracing::Instrument as _;

use super::{PAUSE_AFTER_FAILURE, Worker};
use crate::clocks::TOLERANCE;
use crate::import::catch_up_plan;
use crate::import::progress::ProgressTracker;
use crate::import::{ImportOutcome, Importer, end_with_certificate, run_leased, with_lease};
use crate::ports::landing::RunLease;
use crate::ports::platform::Platform;
use crate::ports::queue::{Delivery, Disposition};
use crate::ports::runs::{Claim, LeaseHolder, Run, RunOptions};
use crate::stop::{StopSignal, stop_pair};

/// A run whose worker was lost so often in a row, without any progress, is what kills
/// them. Each time costs all other imports of that worker a restart.
const MAX_LOST_WORKERS: u32 = 10;

/// What a message requests, as the database has it.
enum JobTarget {
    Run(Box<Run>),
    /// It was done after the message was sent, or needs no work.
    AlreadyDone,
    /// No repetition can help.
    Invalid(String),
}

impl Worker {
    /// Does what a message requests and returns what to do with the message. The run is left in a
    /// state that fits that.
    pub async fn run_one(&self, delivery: &Delivery, stop: &StopSignal) -> Disposition {
        let job = match HistoricalSync::parse(&delivery.body) {
            Ok(job) => job,
            Err(unreadable) => {
                return Disposition::DeadLetter {
                    reason: format!("unreadable message: {unreadable}"),
                };
            }
        };
        match self.dispatch(&job, delivery, stop).await {
            Ok(disposition) => disposition,
            Err(failure) => {
                tracing::error!(%failure, merchant_id = %job.merchant, "cannot read the job from \
                     the database");
                self.snooze(PAUSE_AFTER_FAILURE)
            }
        }
    }

    async fn dispatch(
        &self,
        job: &HistoricalSync,
        delivery: &Delivery,
        stop: &StopSignal,
    ) -> Result<Disposition, Failure> {
        let run = match self.wanted(job, delivery).await? {
            JobTarget::Run(run) => run,
            JobTarget::AlreadyDone => return Ok(Disposition::Ack),
            JobTarget::Invalid(why) => return Ok(Disposition::DeadLetter { reason: why }),
        };
        if let Some(until) = run.waiting_until
            && run.state == RunState::Waiting
            && until > self.ports.clock.now()
        {
            return Ok(Disposition::Snooze { until });
        }
        if delivery.attempt > 1 && run.holder.is_none() && run.made_progress {
            // Its worker died, but not before it had gone further: a new message has all
            // attempts before it.
            self.ports
                .queue
                .send(&delivery.body, Duration::ZERO)
                .await?;
            return Ok(Disposition::Ack);
        }
        let settings = &self.settings.import;
        match self
            .ports
            .runs
            .claim(run.id, &settings.owner, settings.lease)
            .await?
        {
            Claim::NotRunnable(_) => Ok(Disposition::Ack),
            Claim::Taken(holder) => Ok(self.after_lease(&holder)),
            Claim::Granted(lease, run) => {
                let span =
                    tracing::info_span!("run", run_id = %run.id, merchant_id = %run.merchant);
                let worked = self.on_claim(lease, &run, delivery, stop);
                Ok(worked.instrument(span).await)
            }
        }
    }

    async fn wanted(
        &self,
        job: &HistoricalSync,
        delivery: &Delivery,
    ) -> Result<JobTarget, Failure> {
        let run = match job.run {
            Some(id) => match self.ports.jobs.find(id).await? {
                Some(run) if run.merchant == job.merchant => run,
                Some(_) => {
                    return Ok(JobTarget::Invalid(
                        "the run belongs to another merchant".to_owned(),
                    ));
                }
                None => return Ok(JobTarget::Invalid("there is no such run".to_owned())),
            },
            None => {
                if self.ports.jobs.shop(job.merchant).await?.is_none() {
                    return Ok(JobTarget::Invalid("unknown merchant".to_owned()));
                }
                let latest = self.ports.runs.latest_full(job.merchant).await?;
                if latest.is_some_and(|run| {
                    satisfies(&run, job, delivery.sent_at, self.ports.clock.now())
                }) {
                    return Ok(JobTarget::AlreadyDone);
                }
                self.start_or_join(job).await?
            }
        };
        if !run.is_job && run.state.can_be_claimed() {
            self.ports.jobs.adopt(run.id).await?;
        }
        match run.state.can_be_claimed() {
            true => Ok(JobTarget::Run(Box::new(run))),
            false => Ok(JobTarget::AlreadyDone),
        }
    }

    async fn start_or_join(&self, job: &HistoricalSync) -> Result<Run, Failure> {
        let options = RunOptions {
            months: job.months,
            max_orders: None,
            keep_raw: true,
            only: None,
        };
        let runs = self.ports.runs.as_ref();
        let now = self.ports.clock.now();
        if let Some(wanted) =
            catch_up_plan::wanted(runs, job.merchant, &options, false, now).await?
        {
            let (options, range) = (&wanted.options, wanted.range);
            let run = runs.create_or_join(job.merchant, options, range, Some(wanted.catch_up));
            return run.await;
        }
        let range = DayRange::last_months(domain::instant::riyadh_date(now), job.months);
        runs.create_or_join(job.merchant, &options, range, None)
            .await
    }

    async fn on_claim(
        &self,
        lease: RunLease,
        run: &Run,
        delivery: &Delivery,
        stop: &StopSignal,
    ) -> Disposition {
        let work = run.progress.pages + run.progress.order_details;
        tracing::info!(work, "the run was claimed");
        if delivery.attempt > MAX_LOST_WORKERS {
            let failure = Failure::Broken {
                message: format!(
                    "the worker of this run was lost {MAX_LOST_WORKERS} times in a row without any progress"
                ),
            };
            let left = self.release(lease, run, delivery, failure, None).await;
            return left.unwrap_or_else(|failure| self.not_recorded(&failure));
        }
        let (revoke, revoked) = stop_pair();
        self.active_runs().insert(run.id, (lease, revoke));
        let opened = OnceLock::new();
        let worked = tokio::select! {
            biased;
            () = revoked.requested() => Err(Failure::LeaseLost),
            worked = self.attempt(lease, run, &opened, stop) => worked,
        };
        self.active_runs().remove(&run.id);
        let left = match worked {
            Ok((importer, certificate)) => self.finish(&importer, lease, certificate).await,
            Err(failure) => {
                let wait = opened
                    .get()
                    .map(|platform| platform.budget().wait_of_successor);
                self.release(lease, run, delivery, failure, wait).await
            }
        };
        left.unwrap_or_else(|failure| self.not_recorded(&failure))
    }

    async fn attempt(
        &self,
        lease: RunLease,
        run: &Run,
        opened: &OnceLock<Arc<dyn Platform>>,
        stop: &StopSignal,
    ) -> Result<(Importer, Certificate), Failure> {
        let (runs, clock) = (self.ports.runs.as_ref(), self.ports.clock.as_ref());
        let opening = async {
            let open = self.ports.shops.open(run.merchant).await?;
            self.ports.runs.ensure_merchant(&open.shop).await?;
            Ok(open)
        };
        let duration = self.settings.import.lease;
        let open = with_lease(runs, clock, lease, duration, stop, opening).await?;
        let platform = opened.get_or_init(|| open.platform.clone());
        let importer = Importer {
            platform: platform.clone(),
            landing: self.ports.landing.clone(),
            runs: self.ports.runs.clone(),
            clock: self.ports.clock.clone(),
            tracker: Arc::new(ProgressTracker::new().0),
            settings: self.settings.import.clone(),
        };
        let certificate = run_leased(&importer, &open.shop, lease, run, &(), stop).await?;
        Ok((importer, certificate))
    }

    async fn finish(
        &self,
        importer: &Importer,
        lease: RunLease,
        certificate: Certificate,
    ) -> Result<Disposition, Failure> {
        match end_with_certificate(importer, lease, certificate).await {
            Ok(ImportOutcome::Failed { failure, .. }) => {
                tracing::error!(%failure, code = failure.code(), "the run FAILED");
                Ok(Disposition::Ack)
            }
            Ok(_) => {
                tracing::info!("the run is COMPLETED");
                Ok(Disposition::Ack)
            }
            Err(Failure::LeaseLost) => self.recheck(lease.run).await,
            Err(failure) => Err(failure),
        }
    }

    /// Leaves the run in the state that the failure requires. `wait`: until its next request, if
    /// that is known.
    async fn release(
        &self,
        lease: RunLease,
        run: &Run,
        delivery: &Delivery,
        failure: Failure,
        wait: Option<Duration>,
    ) -> Result<Disposition, Failure> {
        let now_at = self.ports.jobs.find(run.id).await?;
        let attempt = AttemptInfo {
            number: delivery.attempt,
            max_attempts: self.settings.max_attempts,
            made_progress: now_at.is_some_and(|now_at| now_at.made_progress),
        };
        let decision = action_for(&failure, attempt);
        if matches!(decision, FailureAction::Release) && !attempt.made_progress {
            tracing::warn!(
                "the turn ended before the run got further; if every turn does, turns are too \
                 short for this shop"
            );
        }
        tracing::warn!(%failure, code = failure.code(), ?decision, "the attempt ended");
        let left = match decision {
            FailureAction::Fail => self.ports.runs.fail(lease, &failure, None).await,
            FailureAction::RetryLater { delay: by, .. } => {
                let until = self.ports.clock.now() + jittered(by, run.id);
                self.ports.runs.wait(lease, until, &failure).await
            }
            FailureAction::Release => self.ports.runs.release(lease, wait).await,
            FailureAction::Reload => Err(Failure::LeaseLost),
        };
        match left {
            Ok(()) => Ok(self.disposition(decision, &failure, run.id)),
            Err(Failure::LeaseLost) => self.recheck(run.id).await,
            Err(failure) => Err(failure),
        }
    }

    fn disposition(&self, decision: FailureAction, failure: &Failure, run: RunId) -> Disposition {
        match decision {
            FailureAction::Fail if is_dead_letter(failure) => Disposition::DeadLetter {
                reason: format!("the run FAILED: {}", failure.code()),
            },
            FailureAction::Fail | FailureAction::Reload => Disposition::Ack,
            FailureAction::RetryLater {
                delay: by,
                counts_as_attempt: true,
            } => Disposition::Retry {
                after: jittered(by, run),
            },
            FailureAction::RetryLater {
                delay: by,
                counts_as_attempt: false,
            } => self.snooze(jittered(by, run)),
            FailureAction::Release => self.snooze(Duration::ZERO),
        }
    }

    /// The run is not ours any more: its state says what is left to do.
    async fn recheck(&self, run: RunId) -> Result<Disposition, Failure> {
        let run = self.ports.jobs.find(run).await?;
        match run {
            Some(run) if run.state.can_be_claimed() => Ok(run.holder.map_or_else(
                || self.snooze(Duration::ZERO),
                |holder| self.after_lease(&holder),
            )),
            _ => Ok(Disposition::Ack),
        }
    }

    /// The database did not store the run's last state. The message is delivered again, and its
    /// worker finds all the work done.
    fn not_recorded(&self, failure: &Failure) -> Disposition {
        tracing::error!(
            critical = true, %failure,
            "the run's state could not be recorded; its message will be delivered again"
        );
        self.snooze(PAUSE_AFTER_FAILURE)
    }

    fn snooze(&self, by: Duration) -> Disposition {
        Disposition::Snooze {
            until: self.ports.clock.now() + by,
        }
    }

    fn after_lease(&self, holder: &LeaseHolder) -> Disposition {
        let left = holder.until.duration_since(self.ports.clock.now());
        let left = Duration::try_from(left).unwrap_or_default();
        // The lease goes by the database's clock, which may be another one.
        self.snooze(left.min(self.settings.import.lease) + Duration::from_secs(1))
    }
}

/// A message without a run is satisfied by what was finished after it was sent, and by
/// what failed or was cancelled after that: another delivery of it must not begin
/// everything again.
fn satisfies(run: &Run, job: &HistoricalSync, sent_at: Timestamp, now: Timestamp) -> bool {
    // An end in the future was recorded while a clock was ahead and says nothing.
    let by_now = now + TOLERANCE;
    let ended_since = run
        .ended_at
        .is_some_and(|at| (sent_at..=by_now).contains(&at));
    match run.state {
        RunState::Completed => ended_since && run.options.months >= job.months,
        RunState::Failed => ended_since,
        RunState::Cancelled => run.created_at >= sent_at,
        _ => false,
    }
}

/// Up to a fifth more, different for each run: those that one outage stopped must not all resume
/// together.
fn jittered(by: Duration, run: RunId) -> Duration {
    let share = (run.0.as_u128() % 1_000) as f64 / 5_000.0;
    by.mul_f64(1.0 + share)
}
