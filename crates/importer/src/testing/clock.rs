//! A clock that stands still until a test moves it, and waiting for what no event announces.

use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;

use crate::ports::clock::{Clock, SystemClock};

/// No sleeper wakes before the test advances it: what happens meanwhile was not caused by the
/// passing of time. Real I/O continues beside it, which tokio's paused time would race with.
#[derive(Debug)]
pub struct DrivenClock {
    start: Timestamp,
    elapsed: watch::Sender<Duration>,
    sleepers: watch::Sender<usize>,
}

impl DrivenClock {
    pub fn new(start: Timestamp) -> Self {
        Self {
            start,
            elapsed: watch::Sender::new(Duration::ZERO),
            sleepers: watch::Sender::new(0),
        }
    }

    pub fn advance(&self, by: Duration) {
        self.elapsed
            .send_modify(|elapsed| *elapsed = elapsed.saturating_add(by));
    }

    /// Waits until at least `count` tasks sleep on this clock.
    pub async fn until_asleep(&self, sleepers: usize) {
        let mut asleep = self.sleepers.subscribe();
        // It ends only with the sender, which we hold.
        let _ = asleep.wait_for(|asleep| *asleep >= sleepers).await;
    }
}

#[async_trait]
impl Clock for DrivenClock {
    fn now(&self) -> Timestamp {
        SignedDuration::try_from(self.monotonic())
            .ok()
            .and_then(|elapsed| self.start.checked_add(elapsed).ok())
            .unwrap_or(Timestamp::MAX)
    }

    fn monotonic(&self) -> Duration {
        *self.elapsed.borrow()
    }

    async fn sleep(&self, duration: Duration) {
        let mut elapsed = self.elapsed.subscribe();
        let until = elapsed.borrow().saturating_add(duration);
        let _asleep = Asleep::on(&self.sleepers);
        // As above.
        let _ = elapsed.wait_for(|elapsed| *elapsed >= until).await;
    }
}

/// Counts a sleeper, also one whose sleep is cancelled.
struct Asleep<'a>(&'a watch::Sender<usize>);

impl<'a> Asleep<'a> {
    fn on(sleepers: &'a watch::Sender<usize>) -> Self {
        sleepers.send_modify(|sleepers| *sleepers += 1);
        Self(sleepers)
    }
}

impl Drop for Asleep<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|sleepers| *sleepers -= 1);
    }
}

const MOMENT: Duration = Duration::from_millis(5);

/// Passes between two looks at what is waited for, and leaves the processor to it: looking
/// without a pause takes from it what it needs to get there.
pub async fn a_moment() {
    SystemClock::real().sleep(MOMENT).await;
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn it_stands_until_it_is_moved() {
        let start = "2025-06-15T09:00:00Z".parse().unwrap();
        let clock = Arc::new(DrivenClock::new(start));
        let sleeper = clock.clone();
        let sleep = tokio::spawn(async move { sleeper.sleep(Duration::from_secs(60)).await });
        clock.until_asleep(1).await;
        clock.advance(Duration::from_secs(59));
        tokio::task::yield_now().await;
        assert!(!sleep.is_finished());
        clock.advance(Duration::from_secs(1));
        sleep.await.unwrap();
        assert_eq!(clock.now().to_string(), "2025-06-15T09:01:00Z");
        assert_eq!(*clock.sleepers.borrow(), 0);
    }
}
