//! The line between Salla and the database: fetches and landings of one pass, side by
//! side.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use domain::failure::Failure;
use futures::FutureExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, JoinSet};
use tracing::Instrument as _;

use super::context::Workshop;
use crate::admission::{self, Room, Share};
use crate::ports::clock::Clock;

/// Fetched records wait for a landing that is free; a batch is made of all that are
/// there, so that it is small while Salla sets the pace and large while the database
/// does.
pub(super) struct Line<T, L> {
    fetches: JoinSet<Result<InMemory<T>, Failure>>,
    fetched: Vec<InMemory<T>>,
    landings: JoinSet<Result<L, Failure>>,
    batches: Batches,
    clock: Arc<dyn Clock>,
    /// When the first of those came that wait for a landing.
    waiting_since: Duration,
    places: Arc<Semaphore>,
    /// Of all lines of the run.
    landing_turns: Arc<Semaphore>,
    /// A turn that has come and is not used yet.
    turn: Option<OwnedSemaphorePermit>,
    share: Share,
    /// Why nothing more is fetched; what was fetched before is landed all the same.
    failure: Option<Failure>,
}

/// How much is landed together.
#[derive(Clone, Copy)]
pub(super) struct Batches {
    pub(super) most: usize,
    /// So long what was fetched waits for more, as long as more is under way.
    pub(super) gather: Duration,
}

/// What takes memory from the moment it is asked for until it has landed.
struct InMemory<T> {
    value: T,
    space: Space,
}

/// Of what the run may have in memory, and of what the process may.
type Space = (Option<OwnedSemaphorePermit>, Room);

/// What happened on the line.
pub(super) enum Step<L> {
    /// Something was fetched, and there is room for more.
    Fetched,
    Landed(L),
    /// Nothing is under way any more.
    Idle,
}

/// Stands in the line for a place from now on, and not only from when it is polled: tasks
/// that are spawned one after the other begin in any order, and whoever has precedence could
/// find all places taken by those behind.
fn in_turn(places: Arc<Semaphore>) -> impl Future<Output = Option<OwnedSemaphorePermit>> {
    let mut place = Box::pin(places.acquire_owned());
    let at_once = (&mut place).now_or_never();
    async move {
        let place = match at_once {
            Some(place) => place,
            None => place.await,
        };
        // Nobody closes it, so there always is a permit.
        place.ok()
    }
}

impl<T: Send + 'static, L: Send + 'static> Line<T, L> {
    /// `places` is for so much of this run as may be under way at once, from the request
    /// until it has landed; lines may share it. Thus a slow database does not fill the
    /// memory.
    pub(super) fn new(batches: Batches, places: Arc<Semaphore>, shop: &Workshop) -> Self {
        Self {
            fetches: JoinSet::new(),
            fetched: Vec::new(),
            landings: JoinSet::new(),
            batches,
            clock: shop.clock.clone(),
            waiting_since: Duration::ZERO,
            places,
            landing_turns: shop.landing_turns.clone(),
            turn: None,
            share: shop.memory.share(),
            failure: None,
        }
    }

    /// How many more fetches there is room for.
    pub(super) fn room(&self) -> usize {
        if self.failure.is_some() {
            return 0;
        }
        self.share.in_flight().saturating_sub(self.fetches.len())
    }

    /// Fetches are tasks of their own, so they go on while a batch is landed.
    pub(super) fn fetch(
        &mut self,
        fetch: impl Future<Output = Result<T, Failure>> + Send + 'static,
    ) {
        let place = in_turn(self.places.clone());
        // Most fetches only wait, and each layer of futures around one would take as much
        // memory as the fetch itself.
        let fetch = Box::pin(fetch);
        self.fetches.spawn(async move {
            let of_run = place.await;
            let (value, of_process) = admission::fetching(fetch).await;
            Ok(InMemory {
                value: value?,
                space: (of_run, of_process),
            })
        });
    }

    /// Waits until something happens. A fetch that failed ends the line, once everything
    /// that was fetched before has landed.
    pub(super) async fn step<F>(&mut self, land: impl Fn(Vec<T>) -> F) -> Result<Step<L>, Failure>
    where
        F: Future<Output = Result<L, Failure>> + Send + 'static,
    {
        self.start_landings(land);
        let clock = self.clock.clone();
        let gathering = self.gathering();
        tokio::select! {
            biased;
            Some(landed) = self.landings.join_next() => Ok(Step::Landed(joined(landed)?)),
            turn = self.landing_turns.clone().acquire_owned(), if self.wants_to_land() => {
                // Nobody closes it, so there always is a permit.
                self.turn = turn.ok();
                Ok(Step::Fetched)
            }
            () = clock.sleep(gathering.unwrap_or_default()), if gathering.is_some() => {
                Ok(Step::Fetched)
            }
            Some(fetched) = self.fetches.join_next() => {
                self.receive(joined(fetched));
                while self.fetched.len() < self.batches.most
                    && let Some(next) = self.fetches.try_join_next()
                {
                    self.receive(joined(next));
                }
                Ok(Step::Fetched)
            }
            else => self.failure.take().map_or(Ok(Step::Idle), Err),
        }
    }

    fn receive(&mut self, fetched: Result<InMemory<T>, Failure>) {
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
        while self.wants_to_land() {
            let at_once = || self.landing_turns.clone().try_acquire_owned().ok();
            let Some(turn) = self.turn.take().or_else(at_once) else {
                return;
            };
            let rest = self.fetched.len().min(self.batches.most);
            let (batch, space): (Vec<T>, Vec<_>) = self
                .fetched
                .drain(..rest)
                .map(|fetched| (fetched.value, fetched.space))
                .unzip();
            let landing = land(batch);
            let landing = async move {
                let landed = landing.await;
                drop((turn, space));
                landed
            };
            self.landings.spawn(landing.in_current_span());
        }
    }

    fn wants_to_land(&self) -> bool {
        // A second landing waits for a full batch, or many small ones would take turns
        // where few large ones do.
        let is_worth_it = self.is_full()
            || self.fetches.is_empty()
            || (self.landings.is_empty() && self.gathering().is_none());
        !self.fetched.is_empty() && is_worth_it
    }

    fn is_full(&self) -> bool {
        self.fetched.len() >= self.batches.most
    }

    /// How long what was fetched still waits for more to land with it.
    fn gathering(&self) -> Option<Duration> {
        let until = self.waiting_since + self.batches.gather;
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
            what: format!("a step of a pass ended abnormally: {error}"),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_place_is_given_to_who_asked_first_whoever_is_polled_first() {
        let places = Arc::new(Semaphore::new(1));
        let taken = places.clone().acquire_owned().await;
        let first = tokio::spawn(in_turn(places.clone()));
        let second = tokio::spawn(in_turn(places.clone()));
        let mut third = Box::pin(places.clone().acquire_owned());
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
