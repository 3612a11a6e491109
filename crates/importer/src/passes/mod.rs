//! The passes, the heart of the import: `sequence` says what comes when, `walk` reads
//! lists page by page, [`details`] completes orders one by one, `closing` catches up with
//! what changed meanwhile, and `ceiling` reads lists in slices that are longer than Salla
//! shows of them.

mod behind;
pub(crate) mod catching_up;
pub(crate) mod ceiling;
mod changes;
pub(crate) mod closing;
mod created;
pub mod details;
mod ends;
mod gone;
pub(crate) mod known;
mod line;
mod place;
mod precedence;
mod route;
pub(crate) mod sequence;
pub(crate) mod walk;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use domain::failure::Failure;
use domain::rejection::RejectionLimit;
use domain::resource::Resource;
use domain::window::{DayRange, Reach};
use jiff::Timestamp;
use tokio::sync::Semaphore;

use crate::memory::Memory;
use crate::planned::PlannedPages;
use crate::portions::Portions;
use crate::ports::clock::Clock;
use crate::ports::landing::{Landed, Landing, RunLease};
use crate::ports::platform::Platform;
use crate::ports::runs::{Runs, StoredWindow};
use crate::progress::Tracker;

/// Pages that are under way at once, from the request until they have landed: one of 60
/// whole orders takes about a megabyte while it is decoded.
pub const PAGES_IN_MEMORY: usize = 40;

/// Pages of customers have a place of their own, which they may have to keep for many
/// minutes, because they wait for a budget that many shops share. They are small.
pub const CUSTOMERS_IN_MEMORY: usize = 16;

pub use ceiling::SharedCeiling;
pub use line::LANDINGS;
pub use precedence::Precedence;

/// What both passes work with; one per claimed run.
#[derive(Clone)]
pub struct Workshop {
    pub platform: Arc<dyn Platform>,
    pub landing: Arc<dyn Landing>,
    pub runs: Arc<dyn Runs>,
    pub clock: Arc<dyn Clock>,
    pub tracker: Arc<Tracker>,
    pub lease: RunLease,
    pub reach: Reach,
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
    pub landing_turns: Arc<Semaphore>,
    /// Of all runs of the process.
    pub memory: Memory,
    /// Records so far whose version lay in the future.
    pub from_future: Arc<AtomicU64>,
}

impl Workshop {
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
                "versions that lay in the future were replaced: a clock was ahead when they were \
                 read"
            );
        }
    }

    fn places_for(&self, resource: Resource) -> Arc<Semaphore> {
        match resource {
            Resource::Customers => self.customers_in_memory.clone(),
            _ => self.pages_in_memory.clone(),
        }
    }

    /// The days to ask for, so that neighbouring windows leave no gap.
    fn days_to_ask(&self, window: &StoredWindow) -> Option<DayRange> {
        window.days.map(|days| match window.resource {
            Resource::Customers => days.widened(created::OVERLAP),
            _ => self.reach.of(days),
        })
    }

    /// Stops the run when so many records of one kind were set aside that our
    /// reading is probably wrong.
    async fn check_rejections(&self, landed: &Landed) -> Result<(), Failure> {
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
}
