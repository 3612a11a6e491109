//! How many requests in flight are useful.
//!
//! The budget says how many requests may be sent, not how many help. More in flight
//! help as long as responses do not become slower; beyond that they only queue at
//! Salla. So the number grows while responses stay within twice their fastest time,
//! and is cut when they do not, or fail. Where they are as slow with one or two in flight,
//! cutting cannot help: that is how fast Salla is now.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::fair_queue::{FairQueue, FairQueueGuard};
use crate::pacing::LatencyClass;

/// An import begins with several requests side by side, and a burst is soon at its height.
const START: f64 = 16.0;
/// Fewer than the hundred streams that many servers let a connection have.
const MAX: u32 = 96;
/// Up to this many times the fastest time requests do not queue at Salla, from the second on
/// they do.
const FAST_FACTOR: f64 = 2.0;
const SLOW_FACTOR: f64 = 3.0;
/// As many in flight, the one included that was answered, crowd nothing.
const QUIET: u32 = 2;
/// As many responses in a row without crowding show how fast Salla is.
const QUIET_RESPONSES: u32 = 10;
const SMOOTHING: f64 = 0.1;
const FORGETTING: f64 = 1.0 / 1024.0;
/// A mean of fewer responses is no measure.
const RESPONSES_FOR_A_MEAN: u32 = 4;

/// The limit to wait for.
#[derive(Debug)]
pub struct ConcurrencyLimiter {
    state: Mutex<State>,
    queue: FairQueue,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    limit: AdaptiveLimit,
    in_flight: usize,
}

impl ConcurrencyLimiter {
    pub fn new(max: u32) -> Self {
        Self {
            state: Mutex::new(State {
                limit: AdaptiveLimit::new(max),
                in_flight: 0,
            }),
            queue: FairQueue::default(),
            changed: Notify::new(),
        }
    }

    /// Waits for a slot, first come, first served.
    pub async fn acquire(self: &Arc<Self>) -> Slot {
        let turn = self.queue.enter().await;
        self.slot(turn).await
    }

    /// For a request without which what others wait for does not become free.
    pub(crate) async fn acquire_first(self: &Arc<Self>) -> Slot {
        let turn = self.queue.enter_first().await;
        self.slot(turn).await
    }

    /// For a request that holds a permit which others wait for.
    pub(crate) async fn acquire_priority(self: &Arc<Self>) -> Slot {
        let turn = self.queue.enter_priority().await;
        self.slot(turn).await
    }

    async fn slot(self: &Arc<Self>, turn: FairQueueGuard<'_>) -> Slot {
        loop {
            let changed = self.changed.notified();
            if self.try_acquire() {
                turn.mark_served();
                return Slot {
                    limiter: self.clone(),
                };
            }
            changed.await;
        }
    }

    fn try_acquire(&self) -> bool {
        let mut state = self.state();
        let free = state.in_flight < state.limit.current();
        if free {
            state.in_flight += 1;
        }
        free
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One request in flight.
#[derive(Debug)]
pub struct Slot {
    limiter: Arc<ConcurrencyLimiter>,
}

impl Slot {
    pub fn answered(&self, class: LatencyClass, took: Duration) {
        let mut state = self.limiter.state();
        let in_flight = state.in_flight;
        state.limit.answered(class, took, in_flight);
    }

    pub fn failed(&self) {
        self.limiter.state().limit.failed();
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.limiter.state().in_flight -= 1;
        self.limiter.changed.notify_one();
    }
}

/// How many requests in flight are useful, by what their responses took; no I/O, no lock.
#[derive(Debug)]
pub struct AdaptiveLimit {
    limit: f64,
    max: f64,
    /// Doubling per round trip until the first sign of crowding.
    slow_start: bool,
    classes: [ResponseTime; LatencyClass::COUNT],
    quiet: QuietResponses,
    /// No second cut before this many responses, which were under way at the first.
    cut_cooldown: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct ResponseTime {
    mean: f64,
    fastest: Option<f64>,
    responses: u32,
}

impl AdaptiveLimit {
    pub fn new(max: u32) -> Self {
        let max = f64::from(max.clamp(1, MAX));
        Self {
            limit: START.min(max),
            max,
            slow_start: true,
            classes: [ResponseTime::default(); LatencyClass::COUNT],
            quiet: QuietResponses::default(),
            cut_cooldown: 0,
        }
    }

    pub fn current(&self) -> usize {
        self.limit as usize
    }

    /// A response came after `took`, when `in_flight` requests were under way.
    pub fn answered(&mut self, class: LatencyClass, took: Duration, in_flight: usize) {
        self.cut_cooldown = self.cut_cooldown.saturating_sub(1);
        let is_quiet = in_flight <= QUIET as usize;
        let took = took.as_secs_f64();
        let response_time = &mut self.classes[class.index()];
        let Some(fastest) = response_time.fastest(took, is_quiet) else {
            return;
        };
        let slowness = response_time.mean / fastest;
        if !is_quiet {
            self.quiet = QuietResponses::default();
        } else if self.quiet.show_slowness(took / fastest) {
            return self.accept_slowness();
        }
        if slowness > SLOW_FACTOR && !is_quiet {
            self.cut(0.8);
        } else if slowness < FAST_FACTOR && in_flight * 2 > self.current() {
            self.grow();
        }
    }

    /// Salla is slower than it was, and not because of us; what one class shows holds for all.
    fn accept_slowness(&mut self) {
        for class in &mut self.classes {
            class.fastest = class.fastest.and(Some(class.mean));
        }
        self.slow_start = true;
    }

    /// A time-out, a cut connection or a 5xx.
    pub fn failed(&mut self) {
        self.cut_cooldown = self.cut_cooldown.saturating_sub(1);
        self.cut(0.5);
    }

    fn grow(&mut self) {
        let step = if self.slow_start {
            1.0
        } else {
            1.0 / self.limit
        };
        self.limit = (self.limit + step).min(self.max);
    }

    fn cut(&mut self, factor: f64) {
        if self.cut_cooldown == 0 {
            self.cut_cooldown = self.limit as u32;
            self.slow_start = false;
            self.limit = (self.limit * factor).max(1.0);
        }
    }
}

impl ResponseTime {
    /// The fastest that the smoothed time of this class has been; `None` while there is no
    /// measure. A lasting change is accepted in the end, but only where it cannot be
    /// our own crowding.
    fn fastest(&mut self, took: f64, is_quiet: bool) -> Option<f64> {
        self.responses = self.responses.saturating_add(1);
        let weight = SMOOTHING.max(1.0 / f64::from(self.responses));
        self.mean += (took - self.mean) * weight;
        if self.responses < RESPONSES_FOR_A_MEAN {
            return None;
        }
        let fastest = self.fastest.get_or_insert(self.mean);
        if is_quiet {
            *fastest += (self.mean - *fastest) * FORGETTING;
        }
        *fastest = self.mean.min(*fastest).max(1e-6);
        Some(*fastest)
    }
}

/// The latest responses in a row that came with few in flight.
#[derive(Clone, Copy, Debug, Default)]
struct QuietResponses {
    number: u32,
    /// The sum of what they took over the fastest of their kind.
    slowness: f64,
}

impl QuietResponses {
    /// Whether enough of them have been slow.
    fn show_slowness(&mut self, slowness: f64) -> bool {
        self.number += 1;
        // The requests of the first were sent when more were in flight.
        if self.number > QUIET {
            self.slowness += slowness;
        }
        if self.number < QUIET + QUIET_RESPONSES {
            return false;
        }
        let mean = std::mem::take(self).slowness / f64::from(QUIET_RESPONSES);
        mean > FAST_FACTOR
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_slot_is_free_again_when_dropped() {
        let concurrency = Arc::new(ConcurrencyLimiter::new(1));
        let slot = concurrency.acquire().await;
        let waiting = tokio::spawn({
            let concurrency = concurrency.clone();
            async move { drop(concurrency.acquire().await) }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(slot);
        waiting.await.unwrap();
    }

    /// A server that works on `useful` requests concurrently and queues the rest.
    fn settle(limit: &mut AdaptiveLimit, useful: usize) -> usize {
        for _ in 0..2_000 {
            let in_flight = limit.current();
            let queueing = in_flight as f64 / useful as f64;
            let took = Duration::from_secs_f64(0.1 * queueing.max(1.0));
            limit.answered(LatencyClass(0), took, in_flight);
        }
        limit.current()
    }

    fn one_by_one(limit: &mut AdaptiveLimit) {
        for _ in 0..RESPONSES_FOR_A_MEAN {
            limit.answered(LatencyClass(0), Duration::from_millis(100), 1);
        }
    }

    #[test]
    fn it_grows_quickly_where_nothing_queues() {
        let mut limit = AdaptiveLimit::new(32);
        for _ in 0..40 {
            let in_flight = limit.current();
            limit.answered(LatencyClass(0), Duration::from_millis(200), in_flight);
        }
        assert_eq!(limit.current(), 32);
    }

    #[test]
    fn it_settles_where_more_would_only_queue() {
        for useful in [2, 4, 8] {
            let mut limit = AdaptiveLimit::new(96);
            one_by_one(&mut limit);
            let settled = settle(&mut limit, useful);
            assert!(
                (useful..=useful * 4).contains(&settled),
                "{useful}: {settled}"
            );
        }
    }

    #[test]
    fn a_salla_that_is_slow_at_any_number_is_not_taken_for_a_crowded_one() {
        let mut limit = AdaptiveLimit::new(96);
        for class in [0, 1] {
            for _ in 0..RESPONSES_FOR_A_MEAN {
                limit.answered(LatencyClass(class), Duration::from_millis(100), 1);
            }
        }
        let mut slow_responses = |number| {
            for response in 0..number {
                let (class, in_flight) = (LatencyClass(response % 2), limit.current());
                limit.answered(class, Duration::from_secs(1), in_flight);
            }
            limit.current()
        };
        let after_hundred = slow_responses(100);
        assert!(after_hundred >= 12, "{after_hundred}");
        assert_eq!(slow_responses(100), 96);
    }

    #[test]
    fn only_ten_slow_responses_to_requests_that_were_sent_in_quiet_show_slowness() {
        let crowd = [20.0; QUIET as usize];
        for (then, number, shown) in [(3.0, 10, true), (3.0, 9, false), (1.5, 10, false)] {
            let mut quiet = QuietResponses::default();
            let responses = crowd.into_iter().chain(std::iter::repeat_n(then, number));
            let shows = responses.fold(false, |_, slowness| quiet.show_slowness(slowness));
            assert_eq!(shows, shown, "{number} of {then}");
        }
    }

    #[test]
    fn it_does_not_grow_on_requests_that_come_one_by_one() {
        let mut limit = AdaptiveLimit::new(32);
        for _ in 0..250 {
            one_by_one(&mut limit);
        }
        assert_eq!(limit.current(), START as usize);
    }

    #[test]
    fn failures_halve_it_once_per_round_and_never_below_one() {
        let mut limit = AdaptiveLimit::new(32);
        limit.limit = 32.0;
        for _ in 0..32 {
            limit.failed();
        }
        assert_eq!(limit.current(), 16);
        for _ in 0..1_000 {
            limit.failed();
        }
        assert_eq!(limit.current(), 1);
    }
}
