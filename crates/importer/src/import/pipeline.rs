//! The concurrent fetches and landings of one scan, or of the details.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use domain::failure::Failure;
use futures::FutureExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, JoinSet};
use tracing::Instrument as _;

use super::context::RunContext;
use crate::admission::{FetchPermit, PipelineShare};
use crate::ports::clock::Clock;

/// Fetched records wait for a landing that is free; a batch is made of all that are
/// there, so that it is small while Salla sets the pace and large while the database
/// does.
pub(super) struct FetchPipeline<T, L> {
    fetches: JoinSet<Result<Buffered<T>, Failure>>,
    fetched: Vec<Buffered<T>>,
    landings: JoinSet<Result<L, Failure>>,
    batches: BatchPolicy,
    clock: Arc<dyn Clock>,
    /// When the first of those came that wait for a landing.
    waiting_since: Duration,
    run_permits: Arc<Semaphore>,
    /// Of all pipelines of the run.
    landing_permits: Arc<Semaphore>,
    /// A landing permit that is not used yet.
    landing_permit: Option<OwnedSemaphorePermit>,
    share: PipelineShare,
    /// Why nothing more is fetched; what was fetched before is landed all the same.
    failure: Option<Failure>,
}

/// How much is landed together.
#[derive(Clone, Copy)]
pub(super) struct BatchPolicy {
    pub(super) max_records: usize,
    /// How long fetched results wait for more, if more are in flight.
    pub(super) linger: Duration,
}

/// What takes memory from the moment it is asked for until it has landed.
struct Buffered<T> {
    value: T,
    permit: FetchPermit,
}

/// What happened in the pipeline.
pub(super) enum PipelineEvent<L> {
    /// Something was fetched, and more can be.
    Fetched,
    Landed(L),
    /// Nothing is under way any more.
    Idle,
}

/// Queues for a permit from now on, and not only from when it is polled: tasks that are spawned
/// one after the other begin in any order, so fetches that were created later could take all
/// permits first.
fn enqueue_acquire(run_permits: Arc<Semaphore>) -> impl Future<Output = FetchPermit> {
    let mut permit = Box::pin(run_permits.acquire_owned());
    let now = (&mut permit).now_or_never();
    async move {
        let permit = match now {
            Some(permit) => permit,
            None => permit.await,
        };
        // `acquire` fails only if the semaphore is closed, and this one never is.
        FetchPermit::of_run(permit.ok())
    }
}

impl<T: Send + 'static, L: Send + 'static> FetchPipeline<T, L> {
    /// `run_permits` limits the concurrent fetches of this run, from the request until they have
    /// landed; pipelines may share it. Thus a slow database does not fill the memory.
    pub(super) fn new(batches: BatchPolicy, run_permits: Arc<Semaphore>, ctx: &RunContext) -> Self {
        Self {
            fetches: JoinSet::new(),
            fetched: Vec::new(),
            landings: JoinSet::new(),
            batches,
            clock: ctx.clock.clone(),
            waiting_since: Duration::ZERO,
            run_permits,
            landing_permits: ctx.landing_permits.clone(),
            landing_permit: None,
            share: ctx.memory.register_pipeline(),
            failure: None,
        }
    }

    /// How many more fetches may begin.
    pub(super) fn capacity(&self) -> usize {
        if self.failure.is_some() {
            return 0;
        }
        self.share
            .max_in_flight()
            .saturating_sub(self.fetches.len())
    }

    /// Fetches are separate tasks, so they continue while a batch is landed.
    pub(super) fn fetch<F>(&mut self, fetch: impl FnOnce(FetchPermit) -> F + Send + 'static)
    where
        F: Future<Output = Result<(T, FetchPermit), Failure>> + Send + 'static,
    {
        let permit = enqueue_acquire(self.run_permits.clone());
        self.fetches.spawn(async move {
            // Most fetches only wait, and each layer of futures around one would take as much
            // memory as the fetch itself.
            let fetch = Box::pin(fetch(permit.await));
            let (value, permit) = fetch.await?;
            Ok(Buffered { value, permit })
        });
    }

    /// Waits until something happens. A fetch that failed ends the pipeline, once everything
    /// that was fetched before has landed.
    pub(super) async fn next_event<F>(
        &mut self,
        land: impl Fn(Vec<T>) -> F,
    ) -> Result<PipelineEvent<L>, Failure>
    where
        F: Future<Output = Result<L, Failure>> + Send + 'static,
    {
        self.start_landings(land);
        let clock = self.clock.clone();
        let linger_left = self.linger_left();
        tokio::select! {
            biased;
            Some(landed) = self.landings.join_next() => Ok(PipelineEvent::Landed(joined(landed)?)),
            permit = self.landing_permits.clone().acquire_owned(), if self.should_land() => {
                // `acquire` fails only if the semaphore is closed, and this one never is.
                self.landing_permit = permit.ok();
                Ok(PipelineEvent::Fetched)
            }
            () = clock.sleep(linger_left.unwrap_or_default()), if linger_left.is_some() => {
                Ok(PipelineEvent::Fetched)
            }
            Some(fetched) = self.fetches.join_next() => {
                self.receive(joined(fetched));
                while self.fetched.len() < self.batches.max_records
                    && let Some(next) = self.fetches.try_join_next()
                {
                    self.receive(joined(next));
                }
                Ok(PipelineEvent::Fetched)
            }
            else => self.failure.take().map_or(Ok(PipelineEvent::Idle), Err),
        }
    }

    fn receive(&mut self, fetched: Result<Buffered<T>, Failure>) {
        match fetched {
            Ok(fetched) => {
                if self.fetched.is_empty() {
                    self.waiting_since = self.clock.monotonic();
                }
                self.fetched.push(fetched);
            }
            Err(failure) => {
                self.fetches = JoinSet::new();
                self.failure.get_or_insert(failure);
            }
        }
    }

    fn start_landings<F>(&mut self, land: impl Fn(Vec<T>) -> F)
    where
        F: Future<Output = Result<L, Failure>> + Send + 'static,
    {
        while self.should_land() {
            let now = || self.landing_permits.clone().try_acquire_owned().ok();
            let Some(permit) = self.landing_permit.take().or_else(now) else {
                return;
            };
            let rest = self.fetched.len().min(self.batches.max_records);
            let (batch, permits): (Vec<T>, Vec<_>) = self
                .fetched
                .drain(..rest)
                .map(|fetched| (fetched.value, fetched.permit))
                .unzip();
            let landing = land(batch);
            let landing = async move {
                let landed = landing.await;
                drop((permit, permits));
                landed
            };
            self.landings.spawn(landing.in_current_span());
        }
    }

    fn should_land(&self) -> bool {
        // A second landing waits for a full batch, or many small ones would take turns
        // where few large ones do.
        let is_worth_it = self.is_full()
            || self.fetches.is_empty()
            || (self.landings.is_empty() && self.linger_left().is_none());
        !self.fetched.is_empty() && is_worth_it
    }

    fn is_full(&self) -> bool {
        self.fetched.len() >= self.batches.max_records
    }

    /// How long what was fetched still waits for more to land with it.
    fn linger_left(&self) -> Option<Duration> {
        let until = self.waiting_since + self.batches.linger;
        let rest = until.saturating_sub(self.clock.monotonic());
        let waits = !self.fetched.is_empty() && !self.is_full() && !self.fetches.is_empty();
        (waits && !rest.is_zero()).then_some(rest)
    }

    /// Lets the landings end that have begun; what was only fetched is dropped.
    pub(super) async fn finish_landings(&mut self) -> Result<Vec<L>, Failure> {
        self.fetches.abort_all();
        self.fetched.clear();
        let mut landed = Vec::new();
        while let Some(next) = self.landings.join_next().await {
            landed.push(joined(next)?);
        }
        Ok(landed)
    }
}

fn joined<T>(result: Result<Result<T, Failure>, JoinError>) -> Result<T, Failure> {
    result.unwrap_or_else(|error| {
        Err(Failure::Bug {
            message: format!("a task of the pipeline failed: {error}"),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_permit_goes_to_the_fetch_that_was_created_first() {
        let run_permits = Arc::new(Semaphore::new(1));
        let taken = run_permits.clone().acquire_owned().await;
        let first = tokio::spawn(enqueue_acquire(run_permits.clone()));
        let second = tokio::spawn(enqueue_acquire(run_permits.clone()));
        let mut third = Box::pin(run_permits.clone().acquire_owned());
        assert!((&mut third).now_or_never().is_none());
        drop(taken);
        let first = first.await.unwrap();
        assert!(
            (&mut third).now_or_never().is_none(),
            "the second is before it"
        );
        drop(first);
        drop(second.await.unwrap());
        assert!(third.await.is_ok());
    }
}
