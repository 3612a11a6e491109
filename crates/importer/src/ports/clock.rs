//! Time comes in by the front door, so that an import of hours is tested in
//! milliseconds.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

/// Both clocks of the import. They may run faster than the wall's (a scaled clock),
/// but always at the same rate as each other.
#[async_trait]
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The time of day; may jump when somebody sets the clock.
    fn now(&self) -> Timestamp;

    /// Time since some fixed moment; never goes back.
    fn monotonic(&self) -> Duration;

    /// Returns once [`Clock::monotonic`] has grown by `duration`. Safe to cancel.
    async fn sleep(&self, duration: Duration);

    /// How many seconds of this clock pass in one of the wall's: for who has to reckon
    /// with a clock that is not this one, such as the database's.
    fn pace(&self) -> f64 {
        1.0
    }
}

/// The machine's clock, optionally running `scale` times as fast from `start` on.
///
/// It is built on tokio's clock, so a test that pauses tokio's time drives it.
#[derive(Debug)]
pub struct SystemClock {
    origin: tokio::time::Instant,
    start: Timestamp,
    scale: f64,
}

impl SystemClock {
    /// The real time at its real pace.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place where the machine's time enters"
    )]
    pub fn real() -> Self {
        Self::scaled(Timestamp::now(), 1.0)
    }

    /// A clock that shows `start` now and runs `scale` times as fast as the wall's.
    pub fn scaled(start: Timestamp, scale: f64) -> Self {
        Self {
            origin: tokio::time::Instant::now(),
            start,
            scale,
        }
    }
}

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        jiff::SignedDuration::try_from(self.monotonic())
            .ok()
            .and_then(|elapsed| self.start.checked_add(elapsed).ok())
            .unwrap_or(Timestamp::MAX)
    }

    fn monotonic(&self) -> Duration {
        self.origin.elapsed().mul_f64(self.scale)
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that sleeps on the machine's clock"
    )]
    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration.div_f64(self.scale)).await;
    }

    fn pace(&self) -> f64 {
        self.scale
    }
}

/// Runs `work` but gives up after `limit` of this clock.
pub async fn within<T>(
    clock: &dyn Clock,
    limit: Duration,
    work: impl Future<Output = T>,
) -> Option<T> {
    tokio::select! {
        biased;
        value = work => Some(value),
        () = clock.sleep(limit) => None,
    }
}
