//! The line between Salla and the database: fetches and landings of one pass, side by
//! side.

use std::future::Future;

use domain::failure::Failure;
use tokio::task::{JoinError, JoinSet};

/// Requests of one pass that are under way at once. The client's budget and its
/// concurrency limit decide how many are really sent; this only bounds memory: a
/// page of 60 whole orders takes about a megabyte while it is decoded.
const IN_FLIGHT: usize = 16;

/// Batches that are landed at once: while the database works on one, the other is
/// being encoded.
const LANDINGS: usize = 2;

/// Fetched records wait for a landing that is free; a batch is made of all that are
/// there, so that it is small while Salla sets the pace and large while the database
/// does.
pub(super) struct Line<T, L> {
    fetches: JoinSet<Result<T, Failure>>,
    fetched: Vec<T>,
    landings: JoinSet<Result<L, Failure>>,
    most_per_commit: usize,
}

/// What happened on the line.
pub(super) enum Step<L> {
    /// Something was fetched, and there is room for more.
    Fetched,
    Landed(L),
    /// Nothing is under way any more.
    Idle,
}

impl<T: Send + 'static, L: Send + 'static> Line<T, L> {
    pub(super) fn new(most_per_commit: usize) -> Self {
        Self {
            fetches: JoinSet::new(),
            fetched: Vec::new(),
            landings: JoinSet::new(),
            most_per_commit,
        }
    }

    /// How many more fetches there is room for. What waits for a landing takes part
    /// of it, so that a slow database does not fill the memory.
    pub(super) fn room(&self) -> usize {
        let waiting = self.fetched.len().saturating_sub(self.most_per_commit);
        IN_FLIGHT.saturating_sub(self.fetches.len() + waiting)
    }

    /// Fetches are tasks of their own, so they go on while a batch is landed.
    pub(super) fn fetch(
        &mut self,
        fetch: impl Future<Output = Result<T, Failure>> + Send + 'static,
    ) {
        self.fetches.spawn(fetch);
    }

    /// Waits until something happens.
    pub(super) async fn step<F>(&mut self, land: impl Fn(Vec<T>) -> F) -> Result<Step<L>, Failure>
    where
        F: Future<Output = Result<L, Failure>> + Send + 'static,
    {
        self.start_landings(land);
        tokio::select! {
            biased;
            Some(landed) = self.landings.join_next() => Ok(Step::Landed(joined(landed)?)),
            Some(fetched) = self.fetches.join_next() => {
                self.fetched.push(joined(fetched)?);
                while self.fetched.len() < self.most_per_commit
                    && let Some(next) = self.fetches.try_join_next()
                {
                    self.fetched.push(joined(next)?);
                }
                Ok(Step::Fetched)
            }
            else => Ok(Step::Idle),
        }
    }

    fn start_landings<F>(&mut self, land: impl Fn(Vec<T>) -> F)
    where
        F: Future<Output = Result<L, Failure>> + Send + 'static,
    {
        while !self.fetched.is_empty() && self.landings.len() < LANDINGS {
            let is_full = self.fetched.len() >= self.most_per_commit;
            // A second landing waits for a full batch, or many small ones would take
            // turns where few large ones do.
            if !is_full && !self.landings.is_empty() && !self.fetches.is_empty() {
                return;
            }
            let rest = self.fetched.len().min(self.most_per_commit);
            let batch = self.fetched.drain(..rest).collect();
            self.landings.spawn(land(batch));
        }
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
