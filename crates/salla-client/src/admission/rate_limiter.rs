//! A budget to wait for: the pacer behind a lock, with a queue in front of it, and in front of
//! that, where other processes spend from it as well, the permits that they share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use importer::metrics;
use importer::ports::clock::Clock;
use importer::ports::shared_budget::SharedBudget;
use jiff::SignedDuration;
use tokio::sync::Notify;

use super::fair_queue::{FairQueue, FairQueueGuard};
use super::shared_budget::{SharedPermit, SharedPermits};
use crate::pacing::{
    LatencyClass, Pacer, PacerSettings, PermitDecision, PermitId, RateHeaders, ResponseOutcome,
};

/// One budget, shared by everything that spends from it.
#[derive(Debug)]
pub struct RateLimiter {
    pacer: Mutex<Pacer>,
    shared: Option<Arc<SharedPermits>>,
    /// Only the first one of it asks the pacer.
    queue: FairQueue,
    changed: Notify,
    clock: Arc<dyn Clock>,
    counters: Mutex<RequestCounters>,
    gauge: Option<Mutex<BudgetGauge>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestCounters {
    pub sent: u64,
    pub throttled: u64,
    pub blocked: u64,
}

impl RateLimiter {
    pub fn new(settings: PacerSettings, clock: Arc<dyn Clock>, rng: fastrand::Rng) -> Self {
        Self {
            pacer: Mutex::new(Pacer::new(settings, rng)),
            shared: None,
            queue: FairQueue::default(),
            changed: Notify::new(),
            clock,
            counters: Mutex::default(),
            gauge: None,
        }
    }

    /// Adds what it has left to the gauge of this name.
    pub fn with_gauge(self, name: &'static str) -> Self {
        Self {
            gauge: Some(Mutex::new(BudgetGauge::new(name))),
            ..self
        }
    }

    /// The same budget, shared with other processes: what `shared` gives may be sent,
    /// whatever Salla's headers say is left, because they count the others too.
    pub fn shared_with(self, shared: Arc<dyn SharedBudget>) -> Self {
        let shared = SharedPermits::new(shared, self.clock.clone());
        Self {
            shared: Some(Arc::new(shared)),
            ..self
        }
    }

    /// Waits until one more request may be sent. First come, first served; a caller
    /// that is dropped leaves no trace.
    pub async fn acquire(self: &Arc<Self>, class: LatencyClass) -> Permit {
        let shared_permit = match &self.shared {
            Some(shared) => Some(shared.acquire().await),
            None => None,
        };
        let turn = self.queue.enter().await;
        self.permit(class, turn, shared_permit).await
    }

    /// For a request without which what others wait for does not become free.
    pub(crate) async fn acquire_first(self: &Arc<Self>, class: LatencyClass) -> Permit {
        let turn = self.queue.enter_first().await;
        self.permit(class, turn, None).await
    }

    /// For a request that already holds a permit of a scarcer budget, which must not wait
    /// for the whole queue; see [`FairQueue::enter_priority`] for how far that goes.
    pub(crate) async fn acquire_priority(self: &Arc<Self>, class: LatencyClass) -> Permit {
        let turn = self.queue.enter_priority().await;
        self.permit(class, turn, None).await
    }

    async fn permit(
        self: &Arc<Self>,
        class: LatencyClass,
        turn: FairQueueGuard<'_>,
        shared_permit: Option<SharedPermit>,
    ) -> Permit {
        loop {
            // Registered before the check, so that no change is missed.
            let changed = self.changed.notified();
            let now = self.clock.monotonic();
            let decision = self.pacer().next_permit(now, class);
            match decision {
                PermitDecision::Granted(id) => {
                    turn.mark_served();
                    return Permit::new(self.clone(), id, shared_permit);
                }
                PermitDecision::WaitForResponse => changed.await,
                PermitDecision::WaitUntil(moment) => tokio::select! {
                    () = changed => {}
                    () = self.clock.sleep(moment.saturating_sub(now)) => {}
                },
            }
        }
    }

    /// `X-RateLimit-Limit`, once a response has carried it.
    pub fn limit(&self) -> Option<u32> {
        self.pacer().limit()
    }

    pub(crate) fn limit_or_documented(&self) -> Option<u32> {
        self.pacer().limit_or_documented()
    }

    /// Replaces the documented limit of the shop's plan.
    pub fn set_documented_limit(&self, limit: Option<u32>) {
        self.pacer().set_documented_limit(limit);
        self.changed.notify_one();
    }

    /// How long nothing is sent from now on, after a 429 or a block.
    pub fn cooldown(&self) -> Duration {
        let now = self.clock.monotonic();
        let until = self.pacer().cooldown_until(now);
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

    /// Waits out the time after a 429 or a block in which nothing is sent.
    pub(crate) async fn wait_for_cooldown(&self) {
        loop {
            let cooldown = self.cooldown();
            if cooldown.is_zero() {
                return;
            }
            self.clock.sleep(cooldown).await;
        }
    }

    pub fn counters(&self) -> RequestCounters {
        *self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pacer(&self) -> MutexGuard<'_, Pacer> {
        self.pacer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, change: impl FnOnce(&mut RequestCounters)) {
        change(&mut self.counters.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn sent(&self, id: PermitId) {
        self.count(|counters| counters.sent += 1);
        let now = self.clock.monotonic();
        self.pacer().on_sent(id, now);
        self.changed.notify_one();
    }

    fn answered(&self, id: PermitId, headers: &RateHeaders, outcome: ResponseOutcome) {
        self.count_refusal(outcome);
        if let Some(gauge) = &self.gauge {
            let mut gauge = gauge.lock().unwrap_or_else(PoisonError::into_inner);
            gauge.update(headers);
        }
        let now = self.clock.monotonic();
        match &self.shared {
            None => self.pacer().on_response(id, now, headers, outcome),
            Some(shared) => self.answered_shared(shared, id, now, headers, outcome),
        }
        self.changed.notify_one();
    }

    /// The body of a response that was reported as accepted refuses the request.
    pub(crate) fn refused_in_body(
        &self,
        headers: &RateHeaders,
        outcome: ResponseOutcome,
        sent: Duration,
    ) {
        self.count_refusal(outcome);
        let now = self.clock.monotonic();
        self.pacer()
            .on_refusal_in_body(sent, now, headers.retry_after, outcome);
        if let Some(shared) = &self.shared
            && headers.has_budget()
        {
            shared.refused(self.cooldown());
        }
        self.changed.notify_one();
    }

    fn count_refusal(&self, outcome: ResponseOutcome) {
        self.count(|counters| match outcome {
            ResponseOutcome::Throttled => counters.throttled += 1,
            ResponseOutcome::Blocked => counters.blocked += 1,
            ResponseOutcome::Accepted
            | ResponseOutcome::CountedElsewhere
            | ResponseOutcome::Failed => {}
        });
    }

    /// Where permits are shared, the headers say only one thing that is not known: that the
    /// budget is exhausted, by a process that does not take part in the sharing.
    fn answered_shared(
        &self,
        shared: &SharedPermits,
        id: PermitId,
        now: Duration,
        headers: &RateHeaders,
        outcome: ResponseOutcome,
    ) {
        let mut pacer = self.pacer();
        // A reset beyond the longest period is wrong.
        let longest = pacer.counted_period();
        let until_reset = headers.until_reset(self.clock.now());
        let until_reset = until_reset.map(|wait| wait.min(longest));
        let shown = RateHeaders {
            retry_after: headers.retry_after.or(until_reset),
            ..headers.without_budget()
        };
        pacer.on_response(id, now, &shown, outcome);
        let exhausted = headers.remaining == Some(0);
        let wait = match outcome {
            ResponseOutcome::Throttled if headers.has_budget() => {
                pacer.cooldown_until(now).map(|until| until - now)
            }
            ResponseOutcome::Accepted if exhausted => until_reset,
            _ => None,
        };
        drop(pacer);
        if let Some(wait) = wait {
            shared.refused(wait);
        }
    }

    fn dropped(&self, id: PermitId) {
        self.pacer().on_dropped(id);
        self.changed.notify_one();
    }
}

/// The right to send one request. Dropped without a response it counts as cancelled, and
/// as spent if it had been sent.
#[derive(Debug)]
pub struct Permit {
    limiter: Arc<RateLimiter>,
    id: Option<PermitId>,
    shared_permit: Option<SharedPermit>,
}

impl Permit {
    fn new(limiter: Arc<RateLimiter>, id: PermitId, shared_permit: Option<SharedPermit>) -> Self {
        Self {
            limiter,
            id: Some(id),
            shared_permit,
        }
    }

    /// Whether it has been kept for too long to be used, because other processes may
    /// count on it from now on.
    pub fn has_expired(&self) -> bool {
        let now = self.limiter.clock.monotonic();
        let expires_at = self.shared_permit.as_ref().map(SharedPermit::expires_at);
        expires_at.is_some_and(|moment| moment <= now)
    }

    /// The limit of the budget that it is for.
    pub fn limit(&self) -> Option<u32> {
        self.limiter.limit_or_documented()
    }

    /// To be called right before the request leaves.
    pub fn sent(&mut self) {
        if let Some(shared_permit) = &mut self.shared_permit {
            shared_permit.used();
        }
        if let Some(id) = self.id {
            self.limiter.sent(id);
        }
    }

    /// To be called as soon as the headers of the response are there.
    pub fn answered(mut self, headers: &RateHeaders, outcome: ResponseOutcome) {
        if let Some(id) = self.id.take() {
            self.limiter.answered(id, headers, outcome);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(id) = self.id.take() {
            self.limiter.dropped(id);
        }
    }
}

/// One budget's part of what all are seen to have left: a sum, so that a shop more is no
/// label more. It goes with the budget.
#[derive(Debug)]
struct BudgetGauge {
    budget: &'static str,
    limit: f64,
    remaining: f64,
}

impl BudgetGauge {
    fn new(budget: &'static str) -> Self {
        Self {
            budget,
            limit: 0.0,
            remaining: 0.0,
        }
    }

    /// A response has come; headers that are silent change nothing.
    fn update(&mut self, headers: &RateHeaders) {
        let limit = headers.limit.map_or(self.limit, f64::from);
        let remaining = headers.remaining.map_or(self.remaining, f64::from);
        self.set(limit, remaining);
    }

    fn set(&mut self, limit: f64, remaining: f64) {
        metrics::budget_changed(self.budget, limit - self.limit, remaining - self.remaining);
        (self.limit, self.remaining) = (limit, remaining);
    }
}

impl Drop for BudgetGauge {
    fn drop(&mut self) {
        self.set(0.0, 0.0);
    }
}
