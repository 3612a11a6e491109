//! A budget to wait for: the pacer behind a lock, with a queue in front of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use importer::ports::clock::Clock;
use tokio::sync::Notify;

use super::flight::{PermitId, Verdict};
use super::headers::RateHeaders;
use super::pacer::Pacer;
use super::settings::{Class, Outcome, PacerSettings};

/// One budget, shared by everything that spends from it.
#[derive(Debug)]
pub struct Budget {
    pacer: Mutex<Pacer>,
    /// Only the foremost of those who wait looks at the pacer; tokio's mutex lets them
    /// in in the order in which they came.
    queue: tokio::sync::Mutex<()>,
    changed: Notify,
    clock: Arc<dyn Clock>,
    counters: Mutex<BudgetCounters>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BudgetCounters {
    pub sent: u64,
    pub throttled: u64,
    pub blocked: u64,
}

impl Budget {
    pub fn new(settings: PacerSettings, clock: Arc<dyn Clock>, rng: fastrand::Rng) -> Self {
        Self {
            pacer: Mutex::new(Pacer::new(settings, rng)),
            queue: tokio::sync::Mutex::new(()),
            changed: Notify::new(),
            clock,
            counters: Mutex::default(),
        }
    }

    /// Waits until one more request may be sent. First come, first served; a caller
    /// that gives up leaves no trace.
    pub async fn acquire(self: &Arc<Self>, class: Class) -> Permit {
        let _turn = self.queue.lock().await;
        loop {
            // Listening begins before looking, so that no change is missed.
            let changed = self.changed.notified();
            let now = self.clock.monotonic();
            let verdict = self.pacer().next_permit(now, class);
            match verdict {
                Verdict::Go(id) => return Permit::new(self.clone(), id),
                Verdict::WaitForResponse => changed.await,
                Verdict::WaitUntil(moment) => tokio::select! {
                    () = changed => {}
                    () = self.clock.sleep(moment.saturating_sub(now)) => {}
                },
            }
        }
    }

    /// `X-RateLimit-Limit`, once an answer has carried it.
    pub fn limit(&self) -> Option<u32> {
        self.pacer().limit()
    }

    fn limit_or_prior(&self) -> Option<u32> {
        self.pacer().limit_or_prior()
    }

    /// Replaces the documented limit of the shop's plan.
    pub fn set_prior_limit(&self, limit: Option<u32>) {
        self.pacer().set_prior_limit(limit);
        self.changed.notify_one();
    }

    /// How long everything is held from now on, after a 429 or a block.
    pub fn held_for(&self) -> Duration {
        let now = self.clock.monotonic();
        let until = self.pacer().held_until(now);
        until.map_or(Duration::ZERO, |until| until - now)
    }

    pub fn counters(&self) -> BudgetCounters {
        *self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pacer(&self) -> MutexGuard<'_, Pacer> {
        self.pacer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, change: impl FnOnce(&mut BudgetCounters)) {
        change(&mut self.counters.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn sent(&self, id: PermitId) {
        self.count(|counters| counters.sent += 1);
        let now = self.clock.monotonic();
        self.pacer().on_sent(id, now);
        self.changed.notify_one();
    }

    fn answered(&self, id: PermitId, headers: &RateHeaders, outcome: Outcome) {
        self.count(|counters| match outcome {
            Outcome::Throttled => counters.throttled += 1,
            Outcome::Blocked => counters.blocked += 1,
            Outcome::Ok | Outcome::Elsewhere | Outcome::Failed => {}
        });
        let now = self.clock.monotonic();
        self.pacer().on_response(id, now, headers, outcome);
        self.changed.notify_one();
    }

    fn dropped(&self, id: PermitId) {
        self.pacer().on_dropped(id);
        self.changed.notify_one();
    }
}

/// Leave to send one request. Dropped without an answer it counts as cancelled, and
/// as spent if it had been sent.
#[derive(Debug)]
pub struct Permit {
    budget: Arc<Budget>,
    id: Option<PermitId>,
}

impl Permit {
    fn new(budget: Arc<Budget>, id: PermitId) -> Self {
        Self {
            budget,
            id: Some(id),
        }
    }

    /// The limit of the budget that it is for.
    pub fn limit(&self) -> Option<u32> {
        self.budget.limit_or_prior()
    }

    /// To be called right before the request leaves.
    pub fn sent(&self) {
        if let Some(id) = self.id {
            self.budget.sent(id);
        }
    }

    /// To be called as soon as the headers of the answer are there.
    pub fn answered(mut self, headers: &RateHeaders, outcome: Outcome) {
        if let Some(id) = self.id.take() {
            self.budget.answered(id, headers, outcome);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(id) = self.id.take() {
            self.budget.dropped(id);
        }
    }
}
