//! How many requests in flight are useful.
//!
//! The budget says how many requests may be sent, not how many help. More in flight
//! help as long as answers do not become slower; beyond that they only queue at
//! Salla. So the number grows while answers stay within twice their calmest time,
//! and is cut when they do not, or fail.

mod limit;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::pacing::Class;
use crate::pacing::line::{Line, Turn};
pub use limit::ConcurrencyLimit;

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
}
