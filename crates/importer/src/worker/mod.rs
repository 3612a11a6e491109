//! Jobs from the queue. A message only says which run to look at: what is to be done
//! is read from the database, and the claim of the run decides who does it. So a message
//! may come twice, late or out of order.

mod job;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::run::RunId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tracing::Instrument as _;

use crate::import::ImportSettings;
use crate::ports::clock::{Clock, with_timeout};
use crate::ports::jobs::Jobs;
use crate::ports::landing::{Landing, RunLease};
use crate::ports::platform::Shops;
use crate::ports::queue::{Delivery, Queue, ReceiptStatus};
use crate::ports::runs::Runs;
use crate::stop::{StopHandle, StopSignal, stop_pair};

/// How long a receive waits for a message; a stop waits for it.
const POLL: Duration = Duration::from_secs(2);
/// Pause after a failed receive.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(5);
/// Maximum number of messages in one receive; a worker that stops releases them.
const MAX_RECEIVED: usize = 10;
/// Each import begins with a burst of its shop's budget, and each minute repeats it. Where
/// many began together, their bursts would fall together ever after, and all of them wait
/// for the processors. Messages that were received together start together, and the next
/// ones so much later for each of them.
const START_STAGGER: Duration = Duration::from_millis(60);
/// Releasing a job takes a moment, unless the database is unavailable; a lease that is not released
/// expires.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(20);
/// How much longer a message's lease is than the run's, so that the next worker finds the run free.
const LEASE_MARGIN: Duration = Duration::from_secs(2);
/// How often a worker checks whether its run was paused or cancelled.
const WATCH_PERIOD: Duration = Duration::from_secs(1);

pub struct Worker {
    ports: WorkerPorts,
    settings: WorkerSettings,
    /// Runs that are worked on now, each with the handle that ends the work.
    active_runs: Mutex<HashMap<RunId, (RunLease, StopHandle)>>,
}

#[derive(Clone, Debug)]
pub struct WorkerSettings {
    /// Concurrent runs; at least 1.
    pub jobs: usize,
    /// Maximum number of attempts in a row without progress before a run ends FAILED.
    pub max_attempts: u32,
    /// A run is released to another worker after this time, if messages cannot be leased forever.
    pub longest_turn: Option<Duration>,
    pub import: ImportSettings,
}

/// Everything a worker works with.
pub struct WorkerPorts {
    pub queue: Arc<dyn Queue>,
    pub jobs: Arc<dyn Jobs>,
    pub runs: Arc<dyn Runs>,
    pub landing: Arc<dyn Landing>,
    pub shops: Arc<dyn Shops>,
    pub clock: Arc<dyn Clock>,
}

impl Worker {
    pub fn new(ports: WorkerPorts, settings: WorkerSettings) -> Self {
        Self {
            ports,
            settings,
            active_runs: Mutex::default(),
        }
    }

    /// Takes jobs until a stop is requested, then releases what it has.
    pub async fn run(self: &Arc<Self>, stop: &StopSignal) {
        let watcher = self.clone();
        let watching = tokio::spawn(async move { watcher.watch_commands().await });
        let slots = Arc::new(Semaphore::new(self.settings.jobs.max(1)));
        let mut running = JoinSet::new();
        while let Some(slot) = free_slot(&slots, stop).await {
            let wanted = slots.available_permits().min(MAX_RECEIVED - 1) + 1;
            let mut slot = Some(slot);
            let deliveries = self.receive(wanted, stop).await;
            let apart = START_STAGGER * u32::try_from(deliveries.len()).unwrap_or(u32::MAX);
            for delivery in deliveries {
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
            self.pause(apart, stop).await;
        }
        let giving_back = async {
            while let Some(ended) = running.join_next().await {
                report_panic(ended);
            }
        };
        if with_timeout(&*self.ports.clock, SHUTDOWN_GRACE, giving_back)
            .await
            .is_none()
        {
            tracing::error!(
                "some jobs could not be released; other workers take them when their leases expire"
            );
        }
        watching.abort();
    }

    async fn receive(&self, most: usize, stop: &StopSignal) -> Vec<Delivery> {
        let most = u32::try_from(most).unwrap_or(u32::MAX);
        let receiving = self.ports.queue.receive(most, self.visibility(), POLL);
        // A database that is away must not hold up the end.
        let deliveries = tokio::select! {
            biased;
            deliveries = receiving => deliveries,
            () = stop.requested_for(&*self.ports.clock, POLL * 2) => Ok(vec![]),
        };
        match deliveries {
            Ok(deliveries) => deliveries,
            Err(failure) => {
                tracing::error!(%failure, "no job could be received; trying again");
                self.pause(PAUSE_AFTER_FAILURE, stop).await;
                vec![]
            }
        }
    }

    async fn pause(&self, duration: Duration, stop: &StopSignal) {
        tokio::select! {
            () = stop.requested() => {}
            () = self.ports.clock.sleep(duration) => {}
        }
    }

    fn visibility(&self) -> Duration {
        self.settings.import.lease + LEASE_MARGIN
    }

    /// Works on one message that the caller has received, until the run ends or a stop is
    /// requested, and returns whether the message is settled: if not, it is delivered again when
    /// its lease expires.
    pub async fn take_turn(self: &Arc<Self>, delivery: Delivery, stop: &StopSignal) -> bool {
        // The queue's own lease may be far longer: the others must not wait that long for a worker
        // that died.
        let kept = self
            .ports
            .queue
            .extend(&delivery.receipt, self.visibility())
            .await;
        if let Err(failure) = kept {
            tracing::warn!(%failure, "the message's lease could not be extended");
        }
        tokio::select! {
            is_settled = self.handle(delivery, stop) => is_settled,
            never = self.watch_commands() => match never {},
        }
    }

    /// One message from its delivery until it is settled, which it is unless this says `false`.
    async fn handle(&self, delivery: Delivery, stop: &StopSignal) -> bool {
        let span = tracing::info_span!("job", job_id = %delivery.id, attempt = delivery.attempt);
        async {
            let (handle, turn) = stop_pair();
            let disposition = tokio::select! {
                biased;
                disposition = self.run_one(&delivery, &turn) => disposition,
                never = self.extend_visibility(&delivery) => match never {},
                never = self.end(&handle, stop) => match never {},
            };
            tracing::info!(?disposition, "the job is settled");
            match self
                .ports
                .queue
                .settle(&delivery.receipt, disposition)
                .await
            {
                Ok(ReceiptStatus::Valid) => true,
                Ok(ReceiptStatus::Stale) => {
                    tracing::info!("the receipt is stale: another worker has received the message");
                    true
                }
                // It comes back and finds the run as it was left.
                Err(failure) => {
                    tracing::error!(%failure, "the message could not be settled");
                    false
                }
            }
        }
        .instrument(span)
        .await
    }

    /// Keeps the message from other workers meanwhile. If another one receives it all the same,
    /// that does no harm: only one can claim the run.
    async fn extend_visibility(&self, delivery: &Delivery) -> std::convert::Infallible {
        loop {
            self.ports.clock.sleep(self.visibility() / 4).await;
            let kept = self
                .ports
                .queue
                .extend(&delivery.receipt, self.visibility());
            if let Err(failure) = kept.await {
                tracing::warn!(%failure, "the message's lease could not be extended");
            }
        }
    }

    /// Ends a turn when a stop is requested, or when it has reached its maximum duration.
    async fn end(&self, turn: &StopHandle, stop: &StopSignal) -> std::convert::Infallible {
        match self.settings.longest_turn {
            Some(longest) => tokio::select! {
                () = stop.requested() => {}
                () = self.ports.clock.sleep(longest) => {
                    tracing::info!("the run is released to another worker: its message cannot be \
                         leased for longer");
                }
            },
            None => stop.requested().await,
        }
        turn.stop();
        std::future::pending().await
    }

    /// Ends the work on runs that are no longer ours, which would otherwise be found out
    /// only when something lands.
    async fn watch_commands(&self) -> std::convert::Infallible {
        loop {
            self.ports.clock.sleep(WATCH_PERIOD).await;
            let leases: Vec<RunLease> = self
                .active_runs()
                .values()
                .map(|(lease, _)| *lease)
                .collect();
            if leases.is_empty() {
                continue;
            }
            match self.ports.jobs.lost_leases(&leases).await {
                Ok(lost) => {
                    for run in lost {
                        if let Some((_, revoke)) = self.active_runs().get(&run) {
                            revoke.stop();
                        }
                    }
                }
                Err(failure) => tracing::debug!(%failure, "the leases could not be compared"),
            }
        }
    }

    fn active_runs(&self) -> std::sync::MutexGuard<'_, HashMap<RunId, (RunLease, StopHandle)>> {
        self.active_runs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A free slot, or `None` once a stop is requested.
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
            "a job ended abnormally; its message is delivered again when its lease expires"
        );
    }
}
