//! How many requests in flight are useful.
//!
//! The budget says how many requests may be sent, not how many help. More in flight
//! help as long as answers do not become slower; beyond that they only queue at
//! Salla. So the number grows while answers stay within twice their calmest time,
//! and is cut when they do not, or fail.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::fair_queue::{Line, Turn};
use crate::pacing::Class;

/// The questions that an import begins with go side by side, and a burst is soon at its
/// height.
const START: f64 = 16.0;
/// Fewer than the hundred streams that many servers let a connection have.
const MOST: u32 = 96;
/// Answers slower than so many times the calmest mean that requests queue.
const CALM: f64 = 2.0;
const CROWDED: f64 = 3.0;
const SMOOTHING: f64 = 0.1;
const FORGETTING: f64 = 1.0 / 1024.0;
/// A mean of fewer answers is no measure of calm.
const ANSWERS_FOR_A_MEAN: u32 = 4;

/// The limit to wait for.
#[derive(Debug)]
pub struct Concurrency {
    state: Mutex<State>,
    line: Line,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    limit: ConcurrencyLimit,
    in_flight: usize,
}

impl Concurrency {
    pub fn new(most: u32) -> Self {
        Self {
            state: Mutex::new(State {
                limit: ConcurrencyLimit::new(most),
                in_flight: 0,
            }),
            line: Line::default(),
            changed: Notify::new(),
        }
    }

    /// Waits for a slot, first come, first served.
    pub async fn enter(self: &Arc<Self>) -> Slot {
        let turn = self.line.wait().await;
        self.slot(turn).await
    }

    /// For a request without which what others wait for does not become free.
    pub(crate) async fn enter_first(self: &Arc<Self>) -> Slot {
        let turn = self.line.go_first().await;
        self.slot(turn).await
    }

    /// For a request that holds a permit which others wait for.
    pub(crate) async fn enter_past_the_line(self: &Arc<Self>) -> Slot {
        let turn = self.line.go_past().await;
        self.slot(turn).await
    }

    async fn slot(self: &Arc<Self>, turn: Turn<'_>) -> Slot {
        loop {
            let changed = self.changed.notified();
            if self.try_enter() {
                turn.served();
                return Slot {
                    concurrency: self.clone(),
                };
            }
            changed.await;
        }
    }

    fn try_enter(&self) -> bool {
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
    concurrency: Arc<Concurrency>,
}

impl Slot {
    pub fn answered(&self, class: Class, took: Duration) {
        let mut state = self.concurrency.state();
        let in_flight = state.in_flight;
        state.limit.answered(class, took, in_flight);
    }

    pub fn failed(&self) {
        self.concurrency.state().limit.failed();
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.concurrency.state().in_flight -= 1;
        self.concurrency.changed.notify_one();
    }
}

/// How many requests in flight are useful, by what their answers took; no I/O, no lock.
#[derive(Debug)]
pub struct ConcurrencyLimit {
    limit: f64,
    most: f64,
    /// Doubling per round trip until the first sign of crowding.
    slow_start: bool,
    classes: [Pace; Class::COUNT],
    /// No second cut before this many answers, which were under way at the first.
    spared: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Pace {
    mean: f64,
    calmest: Option<f64>,
    answers: u32,
}

impl ConcurrencyLimit {
    pub fn new(most: u32) -> Self {
        let most = f64::from(most.clamp(1, MOST));
        Self {
            limit: START.min(most),
            most,
            slow_start: true,
            classes: [Pace::default(); Class::COUNT],
            spared: 0,
        }
    }

    pub fn current(&self) -> usize {
        self.limit as usize
    }

    /// An answer came after `took`, when `in_flight` requests were under way.
    pub fn answered(&mut self, class: Class, took: Duration, in_flight: usize) {
        self.spared = self.spared.saturating_sub(1);
        let pace = &mut self.classes[class.index()];
        let Some(slowness) = pace.slowness(took.as_secs_f64(), in_flight <= 2) else {
            return;
        };
        if slowness > CROWDED {
            self.cut(0.8);
        } else if slowness < CALM && in_flight * 2 > self.current() {
            self.grow();
        }
    }

    /// A time-out, a cut connection or a 5xx.
    pub fn failed(&mut self) {
        self.spared = self.spared.saturating_sub(1);
        self.cut(0.5);
    }

    fn grow(&mut self) {
        let step = if self.slow_start {
            1.0
        } else {
            1.0 / self.limit
        };
        self.limit = (self.limit + step).min(self.most);
    }

    fn cut(&mut self, factor: f64) {
        if self.spared == 0 {
            self.spared = self.limit as u32;
            self.slow_start = false;
            self.limit = (self.limit * factor).max(1.0);
        }
    }
}

impl Pace {
    /// The smoothed time of this class over its calmest; `None` while there is no
    /// measure. A lasting change is accepted in the end, but only where it cannot be
    /// our own crowding.
    fn slowness(&mut self, took: f64, is_quiet: bool) -> Option<f64> {
        self.answers = self.answers.saturating_add(1);
        let weight = SMOOTHING.max(1.0 / f64::from(self.answers));
        self.mean += (took - self.mean) * weight;
        if self.answers < ANSWERS_FOR_A_MEAN {
            return None;
        }
        let calmest = self.calmest.get_or_insert(self.mean);
        if is_quiet {
            *calmest += (self.mean - *calmest) * FORGETTING;
        }
        *calmest = self.mean.min(*calmest);
        Some(self.mean / calmest.max(1e-6))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_slot_is_free_again_when_dropped() {
        let concurrency = Arc::new(Concurrency::new(1));
        let slot = concurrency.enter().await;
        let waiting = tokio::spawn({
            let concurrency = concurrency.clone();
            async move { drop(concurrency.enter().await) }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(slot);
        waiting.await.unwrap();
    }

    /// A server that works on `useful` requests at once and lets the rest queue.
    fn settle(limit: &mut ConcurrencyLimit, useful: usize) -> usize {
        for _ in 0..2_000 {
            let in_flight = limit.current();
            let queueing = in_flight as f64 / useful as f64;
            let took = Duration::from_secs_f64(0.1 * queueing.max(1.0));
            limit.answered(Class(0), took, in_flight);
        }
        limit.current()
    }

    fn one_by_one(limit: &mut ConcurrencyLimit) {
        for _ in 0..ANSWERS_FOR_A_MEAN {
            limit.answered(Class(0), Duration::from_millis(100), 1);
        }
    }

    #[test]
    fn it_grows_quickly_where_nothing_queues() {
        let mut limit = ConcurrencyLimit::new(32);
        for _ in 0..40 {
            let in_flight = limit.current();
            limit.answered(Class(0), Duration::from_millis(200), in_flight);
        }
        assert_eq!(limit.current(), 32);
    }

    #[test]
    fn it_settles_where_more_would_only_queue() {
        for useful in [2, 4, 8] {
            let mut limit = ConcurrencyLimit::new(96);
            one_by_one(&mut limit);
            let settled = settle(&mut limit, useful);
            assert!(
                (useful..=useful * 4).contains(&settled),
                "{useful}: {settled}"
            );
        }
    }

    #[test]
    fn it_does_not_grow_on_requests_that_come_one_by_one() {
        let mut limit = ConcurrencyLimit::new(32);
        for _ in 0..250 {
            one_by_one(&mut limit);
        }
        assert_eq!(limit.current(), START as usize);
    }

    #[test]
    fn failures_halve_it_once_per_round_and_never_below_one() {
        let mut limit = ConcurrencyLimit::new(32);
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
