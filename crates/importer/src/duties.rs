//! What a worker does again and again besides its jobs.
//!
//! Where a process stands still between two invocations, each duty has its round with every event
//! of a schedule instead.

use std::time::Duration;

use async_trait::async_trait;
use domain::failure::Failure;
use futures::future::join_all;

use crate::ports::clock::{Clock, with_timeout};
use crate::stop::{StopSignal, stop_pair};

/// How long a round may continue after a stop was requested. A database that is away must not
/// hold up the end.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);

#[async_trait]
pub trait Duty: Send + Sync {
    /// For people, in the log.
    fn name(&self) -> &'static str;

    /// Between two rounds.
    fn pause(&self) -> Duration;

    /// Does what there is to do now. Several processes may do so concurrently, and any of them may
    /// be ended in the middle. A long round ends early when a stop is requested.
    async fn round(&self, stop: &StopSignal) -> Result<(), Failure>;
}

/// Does a duty until a stop is requested.
pub async fn repeat(duty: &dyn Duty, clock: &dyn Clock, stop: &StopSignal) {
    loop {
        let done = tokio::select! {
            biased;
            done = duty.round(stop) => done,
            () = stop.requested_for(clock, SHUTDOWN_GRACE) => return,
        };
        // What fails is due again.
        let _: Result<(), Failure> = done.inspect_err(|failure| report(duty, failure));
        tokio::select! {
            biased;
            () = stop.requested() => return,
            () = clock.sleep(duty.pause()) => {}
        }
    }
}

/// One round of each, for `limit` at most. None waits for another or for its success; the first failure is returned.
pub async fn all_once(
    duties: &[&dyn Duty],
    clock: &dyn Clock,
    limit: Duration,
) -> Result<(), Failure> {
    let (_never, stop) = stop_pair();
    let stop = &stop;
    let rounds = duties.iter().map(|duty| async move {
        let done = with_timeout(clock, limit, duty.round(stop)).await;
        let done = done.unwrap_or_else(|| {
            Err(Failure::Transient {
                message: format!(
                    "{}: not finished in time; the next round continues",
                    duty.name()
                ),
            })
        });
        done.inspect_err(|failure| report(*duty, failure))
    });
    join_all(rounds).await.into_iter().collect()
}

fn report(duty: &dyn Duty, failure: &Failure) {
    tracing::error!(duty = duty.name(), %failure, "a duty in the background failed; trying again");
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::ports::clock::SystemClock;

    enum Kind {
        Works,
        Fails,
        Hangs,
    }

    struct Counted(Kind, Arc<AtomicUsize>);

    #[async_trait]
    impl Duty for Counted {
        fn name(&self) -> &'static str {
            "counting"
        }

        fn pause(&self) -> Duration {
            Duration::from_secs(10)
        }

        async fn round(&self, _: &StopSignal) -> Result<(), Failure> {
            self.1.fetch_add(1, Ordering::Relaxed);
            match self.0 {
                Kind::Works => Ok(()),
                Kind::Fails => Err(Failure::Bug {
                    message: "it fails".to_owned(),
                }),
                Kind::Hangs => std::future::pending().await,
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_duty_keeps_another_from_its_round() {
        let (clock, rounds) = (SystemClock::real(), Arc::new(AtomicUsize::new(0)));
        let duty = |kind| Counted(kind, rounds.clone());
        let (fails, hangs, works) = (duty(Kind::Fails), duty(Kind::Hangs), duty(Kind::Works));
        let limit = Duration::from_secs(40);
        let all = all_once(&[&fails, &hangs, &works], &clock, limit).await;
        assert!(matches!(all, Err(Failure::Bug { .. })), "{all:?}");
        assert_eq!(rounds.load(Ordering::Relaxed), 3);
        let late = all_once(&[&works, &hangs], &clock, limit).await;
        assert!(matches!(late, Err(Failure::Transient { .. })), "{late:?}");
        assert_eq!(all_once(&[&works], &clock, limit).await, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_duty_that_fails_is_done_again_until_a_stop() {
        for (kind, expected) in [(Kind::Works, 3), (Kind::Fails, 3), (Kind::Hangs, 1)] {
            let (clock, rounds) = (SystemClock::real(), Arc::new(AtomicUsize::new(0)));
            let duty = Counted(kind, rounds.clone());
            let (handle, stop) = stop_pair();
            let stopping = async {
                clock.sleep(Duration::from_secs(25)).await;
                handle.stop();
            };
            tokio::join!(repeat(&duty, &clock, &stop), stopping);
            assert_eq!(rounds.load(Ordering::Relaxed), expected);
        }
    }
}
