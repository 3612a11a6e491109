//! What all phases of a run work with, and in which order they send their requests.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use domain::ceiling::Ceiling;
use domain::failure::Failure;
use domain::rejection::RejectionLimit;
use domain::resource::Resource;
use domain::window::{DayRange, Overlap, QueryRange};
use jiff::Timestamp;
use tokio::sync::{Semaphore, watch};

use super::pages::Portions;
use super::planning::PlannedPages;
use super::progress::ProgressTracker;
use crate::admission::MemoryLimit;
use crate::ports::clock::Clock;
use crate::ports::landing::{Landed, Landing, RunLease};
use crate::ports::platform::Platform;
use crate::ports::runs::{Runs, StoredWindow};

/// Concurrent pages, from the request until they have landed: one of 60 whole orders takes about a
/// megabyte while it is decoded.
pub(super) const MAX_PAGES: usize = 64;

/// Pages of customers have separate permits, which they may hold for many minutes, because they
/// wait for a budget that many shops share. They are small.
pub(super) const MAX_CUSTOMER_PAGES: usize = 16;

/// What the phases of an import work with; one per claimed run.
#[derive(Clone)]
pub(crate) struct RunContext {
    pub platform: Arc<dyn Platform>,
    pub landing: Arc<dyn Landing>,
    pub runs: Arc<dyn Runs>,
    pub clock: Arc<dyn Clock>,
    pub tracker: Arc<ProgressTracker>,
    pub lease: RunLease,
    pub reach: QueryRange,
    pub rejection_limit: RejectionLimit,
    /// Where the shop's lists stop.
    pub ceiling: SharedCeiling,
    /// How many rows of its lists fit into an answer.
    pub portions: Portions,
    pub max_orders: Option<u64>,
    /// What planning has read already.
    pub planned: PlannedPages,
    /// When the run was started for the first time, and not later by Salla's dates.
    pub began_at: Timestamp,
    /// For pages that are under way, of all windows together but those of customers.
    pub pages_in_memory: Arc<Semaphore>,
    /// The same for pages of customers.
    pub customers_in_memory: Arc<Semaphore>,
    /// For batches that are being landed.
    pub landing_permits: Arc<Semaphore>,
    /// Of all runs of the process.
    pub memory: MemoryLimit,
    /// Records so far whose version lay in the future.
    pub from_future: Arc<AtomicU64>,
}

impl RunContext {
    /// Says each time that their number has doubled that records were read while a clock was
    /// ahead.
    fn report_future(&self, landed: &Landed) {
        if landed.from_future == 0 {
            return;
        }
        let before = self
            .from_future
            .fetch_add(landed.from_future, Ordering::Relaxed);
        let records = before + landed.from_future;
        if before.checked_ilog2() < records.checked_ilog2() {
            tracing::warn!(
                records,
                "versions in the future were replaced: a clock was ahead when they were read"
            );
        }
    }

    pub(super) fn permits_for(&self, resource: Resource) -> Arc<Semaphore> {
        match resource {
            Resource::Customers => self.customers_in_memory.clone(),
            _ => self.pages_in_memory.clone(),
        }
    }

    /// The days to ask for, so that neighbouring windows leave no gap.
    pub(super) fn days_to_query(&self, window: &StoredWindow) -> Option<DayRange> {
        window.days.map(|days| match window.resource {
            Resource::Customers => days.widened(OVERLAP),
            _ => self.reach.of(days),
        })
    }

    /// Stops the run when too many records of one kind were rejected: our reading is probably
    /// wrong.
    pub(super) async fn check_rejections(&self, landed: &Landed) -> Result<(), Failure> {
        self.report_future(landed);
        if landed.rejected == 0 {
            return Ok(());
        }
        for tally in self.landing.rejection_tally(self.lease).await? {
            if self.rejection_limit.exceeded(tally.count, tally.seen) {
                return Err(Failure::TooManyRejections {
                    resource: tally.resource.as_str(),
                    code: tally.code.as_str(),
                    count: tally.count,
                    seen: tally.seen,
                });
            }
        }
        Ok(())
    }

    /// A list has stopped after `rows` rows.
    pub(super) async fn learn_ceiling(&self, rows: u64) -> Result<(), Failure> {
        let ceiling = Ceiling::of(rows);
        if self.ceiling.lower(ceiling) {
            tracing::warn!(rows, "Salla shows no more rows of a list");
            self.runs.remember_ceiling(self.lease, ceiling).await?;
        }
        Ok(())
    }

    /// A list has shown rows beyond the ceiling: what taught it was something else, or
    /// Salla shows more by now.
    pub(super) async fn forget_ceiling(&self) -> Result<(), Failure> {
        tracing::warn!(
            rows = self.ceiling.get().rows(),
            "Salla shows rows beyond the ceiling"
        );
        self.ceiling.forget();
        let lease = self.lease;
        self.runs.remember_ceiling(lease, Ceiling::UNKNOWN).await
    }
}

/// The newest orders come first, so that the last month is usable early. All others find out
/// meanwhile how long their lists are, and continue as soon as every page of the newest has been
/// requested: requests are sent in that order, so waiting for the responses as well would only
/// leave budget unused.
#[derive(Clone)]
pub(super) enum StartOrder {
    /// Those after it wait until all clones of it are gone.
    First {
        _alive: watch::Sender<()>,
    },
    After(watch::Receiver<()>),
    /// No receiver waits.
    Free,
}

impl StartOrder {
    /// One for those that go first and one for those after them.
    pub(super) fn first_and_after() -> (Self, Self) {
        let (first, after) = watch::channel(());
        (Self::First { _alive: first }, Self::After(after))
    }

    /// Waits for those ahead, if there are any.
    pub(super) async fn wait_turn(&mut self) {
        if let Self::After(first) = self {
            // Nothing is ever sent: it fails once all senders are gone.
            while first.changed().await.is_ok() {}
        }
    }

    /// All that was to be asked for has been asked for.
    pub(super) fn release_followers(&mut self) {
        *self = Self::Free;
    }
}

/// Whether the filter's ends are inclusive, and whose days it means, is not tried out:
/// windows of customers overlap by as much as it takes in any case.
pub(super) const OVERLAP: Overlap = Overlap::EXCLUSIVE;

/// Batches of a run that are landed concurrently: while the database works on one, the next is
/// being encoded. Two keep two processors busy; over a network some of them wait for the server,
/// and with six it still has work.
pub(super) const CONCURRENT_LANDINGS: usize = 6;

/// Where the shop's lists stop, for all windows of a run.
#[derive(Clone, Debug)]
pub(crate) struct SharedCeiling(Arc<Mutex<Ceiling>>);

impl SharedCeiling {
    pub(crate) fn new(ceiling: Ceiling) -> Self {
        Self(Arc::new(Mutex::new(ceiling)))
    }

    pub(super) fn get(&self) -> Ceiling {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether that is news.
    fn lower(&self, ceiling: Ceiling) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = *known;
        *known = before.min(ceiling);
        *known != before
    }

    fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Ceiling::UNKNOWN;
    }
}
