//! The one place that knows real time. Limits, token lifetimes, latencies and
//! the `Date` header go by a simulated clock that a scenario can speed up and a
//! test can push forward.

use crate::scenario::ClockSpec;
use jiff::Timestamp;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

pub(crate) const SECOND: i64 = 1_000_000;

/// Simulated time: the start, plus what has really passed times the scale,
/// plus what was added by hand.
#[derive(Clone, Debug)]
pub struct SimClock {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    start: i64,
    scale: f64,
    begun: Instant,
    added: AtomicI64,
    moved: Notify,
}

impl SimClock {
    pub(crate) fn new(spec: ClockSpec) -> Self {
        Self {
            inner: Arc::new(Inner {
                start: spec.start.as_microsecond(),
                scale: spec.scale,
                begun: real_now(),
                added: AtomicI64::new(0),
                moved: Notify::new(),
            }),
        }
    }

    pub fn now(&self) -> Timestamp {
        Timestamp::from_microsecond(self.micros()).unwrap_or(Timestamp::MAX)
    }

    /// Pushes the clock forward and wakes whatever now has waited enough.
    pub fn advance(&self, by: Duration) {
        let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        self.inner.added.fetch_add(micros, Ordering::SeqCst);
        self.inner.moved.notify_waiters();
    }

    /// The present in microseconds since 1970.
    pub(crate) fn micros(&self) -> i64 {
        let passed = self.inner.begun.elapsed().as_secs_f64() * self.inner.scale;
        self.inner.start + self.inner.added.load(Ordering::SeqCst) + (passed * SECOND as f64) as i64
    }

    /// Waits for a stretch of simulated time.
    pub(crate) async fn sleep(&self, simulated: Duration) {
        let until = self.micros() + simulated.as_micros() as i64;
        loop {
            let mut moved = std::pin::pin!(self.inner.moved.notified());
            moved.as_mut().enable();
            let left = until - self.micros();
            if left <= 0 {
                return;
            }
            if self.inner.scale > 0.0 {
                let real = Duration::from_secs_f64(left as f64 / 1e6 / self.inner.scale);
                tokio::select! {
                    () = real_sleep(real) => {}
                    () = moved => {}
                }
            } else {
                moved.await;
            }
        }
    }
}

/// The real present, for a simulation that looks like today.
#[expect(
    clippy::disallowed_methods,
    reason = "simulated time may start at the real time"
)]
pub fn present() -> Timestamp {
    Timestamp::now()
}

#[expect(
    clippy::disallowed_methods,
    reason = "simulated time is made from real time here"
)]
fn real_now() -> Instant {
    Instant::now()
}

#[expect(
    clippy::disallowed_methods,
    reason = "simulated time is made from real time here"
)]
async fn real_sleep(duration: Duration) {
    tokio::time::sleep(duration).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_driven_clock_moves_only_by_hand() {
        let clock = SimClock::new(ClockSpec {
            scale: 0.0,
            ..ClockSpec::default()
        });
        let before = clock.micros();
        let sleeper = tokio::spawn({
            let clock = clock.clone();
            async move { clock.sleep(Duration::from_secs(60)).await }
        });
        tokio::task::yield_now().await;
        clock.advance(Duration::from_secs(59));
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished());
        clock.advance(Duration::from_secs(1));
        sleeper.await.unwrap();
        assert_eq!(clock.micros() - before, 60 * SECOND);
    }

    #[tokio::test]
    async fn a_scaled_clock_runs_faster() {
        let clock = SimClock::new(ClockSpec {
            scale: 1_000.0,
            ..ClockSpec::default()
        });
        let before = clock.micros();
        clock.sleep(Duration::from_secs(5)).await;
        assert!(clock.micros() - before >= 5 * SECOND);
    }
}
