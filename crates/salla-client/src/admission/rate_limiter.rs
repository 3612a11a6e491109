//! A budget to wait for: the pacer behind a lock, with a queue in front of it, and where
//! other processes spend from it as well, a gate in front of that.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use importer::metrics;
use importer::ports::budgets::SharedBudget;
use importer::ports::clock::Clock;
use jiff::SignedDuration;
use tokio::sync::Notify;

use super::fair_queue::{Line, Turn};
use super::shared_budget::{Gate, Ticket};
use crate::pacing::{Class, Outcome, Pacer, PacerSettings, PermitId, RateHeaders, Verdict};

/// One budget, shared by everything that spends from it.
#[derive(Debug)]
pub struct Budget {
    pacer: Mutex<Pacer>,
    gate: Option<Arc<Gate>>,
    /// Only the foremost of those who wait looks at the pacer.
    line: Line,
    changed: Notify,
    clock: Arc<dyn Clock>,
    counters: Mutex<BudgetCounters>,
    meter: Option<Mutex<Meter>>,
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
            gate: None,
            line: Line::default(),
            changed: Notify::new(),
            clock,
            counters: Mutex::default(),
            meter: None,
        }
    }

    /// Counts what it has left among the budgets of this name.
    pub fn metered_as(self, name: &'static str) -> Self {
        Self {
            meter: Some(Mutex::new(Meter::new(name))),
            ..self
        }
    }

    /// The same budget, shared with other processes: what `shared` gives may be sent,
    /// whatever Salla's headers say is left, because they also tell of the others.
    pub fn shared_with(self, shared: Arc<dyn SharedBudget>) -> Self {
        let gate = Gate::new(shared, self.clock.clone());
        Self {
            gate: Some(Arc::new(gate)),
            ..self
        }
    }

    /// Waits until one more request may be sent. First come, first served; a caller
    /// that gives up leaves no trace.
    pub async fn acquire(self: &Arc<Self>, class: Class) -> Permit {
        let ticket = match &self.gate {
            Some(gate) => Some(gate.pass().await),
            None => None,
        };
        let turn = self.line.wait().await;
        self.permit(class, turn, ticket).await
    }

    /// For a request without which what others wait for does not become free.
    pub(crate) async fn acquire_first(self: &Arc<Self>, class: Class) -> Permit {
        let turn = self.line.go_first().await;
        self.permit(class, turn, None).await
    }

    /// For a request that already holds a permit of a scarcer budget, which must not wait
    /// for the whole line; see [`Line::go_past`] for how far that goes.
    pub(crate) async fn acquire_past_the_line(self: &Arc<Self>, class: Class) -> Permit {
        let turn = self.line.go_past().await;
        self.permit(class, turn, None).await
    }

    async fn permit(
        self: &Arc<Self>,
        class: Class,
        turn: Turn<'_>,
        ticket: Option<Ticket>,
    ) -> Permit {
        loop {
            // Listening begins before looking, so that no change is missed.
            let changed = self.changed.notified();
            let now = self.clock.monotonic();
            let verdict = self.pacer().next_permit(now, class);
            match verdict {
                Verdict::Go(id) => {
                    turn.served();
                    return Permit::new(self.clone(), id, ticket);
                }
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

    /// As [`Pacer::wait_of_successor`].
    pub fn wait_of_successor(&self) -> Duration {
        let now = self.clock.monotonic();
        self.pacer().wait_of_successor(now)
    }

    /// Salla's clock minus ours, as [`Pacer::clock_offset`] has it.
    pub fn clock_offset(&self) -> Option<SignedDuration> {
        let pacer = self.pacer();
        pacer.clock_offset(self.clock.now(), self.clock.monotonic())
    }

    /// Waits until nothing is held after a 429 or a block.
    pub(crate) async fn until_not_held(&self) {
        loop {
            let held = self.held_for();
            if held.is_zero() {
                return;
            }
            self.clock.sleep(held).await;
        }
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
        if let Some(meter) = &self.meter {
            let mut meter = meter.lock().unwrap_or_else(PoisonError::into_inner);
            meter.told(headers);
        }
        let now = self.clock.monotonic();
        match &self.gate {
            None => self.pacer().on_response(id, now, headers, outcome),
            Some(gate) => self.answered_behind(gate, id, now, headers, outcome),
        }
        self.changed.notify_one();
    }

    /// Behind a gate the headers tell only one thing that is not known: that the budget
    /// is exhausted, which others know too late who do not take part in the sharing.
    fn answered_behind(
        &self,
        gate: &Gate,
        id: PermitId,
        now: Duration,
        headers: &RateHeaders,
        outcome: Outcome,
    ) {
        let mut pacer = self.pacer();
        // A reset beyond the longest window is not to be believed.
        let longest = pacer.counted_window();
        let until_reset = headers.until_reset(self.clock.now());
        let until_reset = until_reset.map(|wait| wait.min(longest));
        let told = RateHeaders {
            retry_after: headers.retry_after.or(until_reset),
            ..headers.without_budget()
        };
        pacer.on_response(id, now, &told, outcome);
        let exhausted = headers.remaining == Some(0);
        let wait = match outcome {
            Outcome::Throttled if headers.has_budget() => {
                pacer.held_until(now).map(|until| until - now)
            }
            Outcome::Ok if exhausted => until_reset,
            _ => None,
        };
        drop(pacer);
        if let Some(wait) = wait {
            gate.refused(wait);
        }
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
    ticket: Option<Ticket>,
}

impl Permit {
    fn new(budget: Arc<Budget>, id: PermitId, ticket: Option<Ticket>) -> Self {
        Self {
            budget,
            id: Some(id),
            ticket,
        }
    }

    /// Whether it has been kept for too long to be used, because other processes may
    /// count on it from now on.
    pub fn has_expired(&self) -> bool {
        let now = self.budget.clock.monotonic();
        let expires_at = self.ticket.as_ref().map(Ticket::expires_at);
        expires_at.is_some_and(|moment| moment <= now)
    }

    /// The limit of the budget that it is for.
    pub fn limit(&self) -> Option<u32> {
        self.budget.limit_or_prior()
    }

    /// To be called right before the request leaves.
    pub fn sent(&mut self) {
        if let Some(ticket) = &mut self.ticket {
            ticket.used();
        }
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

/// One budget's part of what all are seen to have left: a sum, so that a shop more is no
/// label more. It goes with the budget.
#[derive(Debug)]
pub(super) struct Meter {
    budget: &'static str,
    limit: f64,
    remaining: f64,
}

impl Meter {
    pub(super) fn new(budget: &'static str) -> Self {
        Self {
            budget,
            limit: 0.0,
            remaining: 0.0,
        }
    }

    /// An answer has come; headers that are silent change nothing.
    pub(super) fn told(&mut self, headers: &RateHeaders) {
        let limit = headers.limit.map_or(self.limit, f64::from);
        let remaining = headers.remaining.map_or(self.remaining, f64::from);
        self.show(limit, remaining);
    }

    fn show(&mut self, limit: f64, remaining: f64) {
        metrics::budget_changed(self.budget, limit - self.limit, remaining - self.remaining);
        (self.limit, self.remaining) = (limit, remaining);
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.show(0.0, 0.0);
    }
}
