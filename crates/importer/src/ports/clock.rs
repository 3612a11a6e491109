//! Time comes in by the front door, so that an import of hours is tested in
//! milliseconds.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};

/// Both clocks of the import. They may run faster than the wall's (a scaled clock),
/// but always at the same rate as each other.
#[async_trait]
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The time of day; may jump when the clock is set.
    fn now(&self) -> Timestamp;

    /// Time since some fixed moment; never goes back.
    fn monotonic(&self) -> Duration;

    /// Returns once [`Clock::monotonic`] has grown by `duration`. Safe to cancel.
    async fn sleep(&self, duration: Duration);

    /// How many seconds of this clock pass in one of the wall's: for code that uses another clock,
    /// such as the database's.
    fn rate(&self) -> f64 {
        1.0
    }

    /// Whether it shows what the machine's clock shows, so that other machines' clocks can
    /// be compared with it.
    fn follows_machine(&self) -> bool {
        false
    }
}

/// Smaller differences are not worth a jump: NTP evens them out.
const STEP: SignedDuration = SignedDuration::from_secs(1);

/// A machine's clock that is set back by no more than this is waited for: what is read next
/// must not look older than what was read last.
const STANDSTILL: SignedDuration = SignedDuration::from_secs(30);

/// The machine's clock, optionally running `scale` times as fast from `start` on.
///
/// Its pace is that of tokio's clock, so a test that pauses tokio's time drives it. The time of day
/// follows the machine's: the monotonic clock stands still while a machine sleeps, and does not
/// change when the time is set.
#[derive(Debug)]
pub struct SystemClock {
    origin: tokio::time::Instant,
    scale: f64,
    machine: Option<MachineTime>,
    day: Mutex<TimeOfDay>,
}

struct MachineTime(Box<dyn Fn() -> Timestamp + Send + Sync>);

impl std::fmt::Debug for MachineTime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MachineTime")
    }
}

#[derive(Debug)]
struct TimeOfDay {
    /// What it was when the monotonic clock stood at zero.
    start: Timestamp,
    /// The latest that was shown.
    shown: Timestamp,
}

impl SystemClock {
    /// The real time at its real pace.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place where the machine's time enters"
    )]
    pub fn real() -> Self {
        Self::following(Timestamp::now)
    }

    /// A clock that goes by the time of day that `machine` shows.
    pub fn following(machine: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        let start = machine();
        Self {
            machine: Some(MachineTime(Box::new(machine))),
            ..Self::scaled(start, 1.0)
        }
    }

    /// A clock that shows `start` now and runs `scale` times as fast as the wall's.
    pub fn scaled(start: Timestamp, scale: f64) -> Self {
        Self {
            origin: tokio::time::Instant::now(),
            scale,
            machine: None,
            day: Mutex::new(TimeOfDay {
                start,
                shown: start,
            }),
        }
    }

    /// What it shows, and how far the machine's clock has jumped away from it, if it has.
    fn read(&self, day: &mut TimeOfDay) -> (Timestamp, Option<SignedDuration>) {
        let elapsed = SignedDuration::try_from(self.monotonic()).unwrap_or(SignedDuration::MAX);
        let own = day.start.checked_add(elapsed).unwrap_or(Timestamp::MAX);
        let Some(MachineTime(machine)) = &self.machine else {
            return (own, None);
        };
        let machine = machine();
        let step = machine.duration_since(own);
        if step.abs() <= STEP {
            return (own, None);
        }
        day.start = machine.checked_sub(elapsed).unwrap_or(Timestamp::MIN);
        (machine, Some(step))
    }
}

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let mut day = self.day.lock().unwrap_or_else(PoisonError::into_inner);
        let (now, step) = self.read(&mut day);
        if let Some(step) = step {
            tracing::warn!(
                seconds = step.as_secs_f64(),
                "the machine's clock was set, or the machine slept; using its new time"
            );
        }
        let ahead = day.shown.duration_since(now);
        if ahead.is_negative() || ahead > STANDSTILL {
            day.shown = now;
        }
        day.shown
    }

    fn follows_machine(&self) -> bool {
        self.machine.is_some()
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

    fn rate(&self) -> f64 {
        self.scale
    }
}

/// Runs `work`, but aborts after `limit` of this clock.
pub async fn with_timeout<T>(
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// A clock that follows a machine whose time of day is set by hand; tokio's time is
    /// paused and stands still.
    fn followed(start: &str) -> (SystemClock, impl Fn(i64)) {
        let machine = Arc::new(Mutex::new(start.parse::<Timestamp>().unwrap()));
        let shown = machine.clone();
        let clock = SystemClock::following(move || *shown.lock().unwrap());
        let set = move |seconds| {
            let mut machine = machine.lock().unwrap();
            *machine += SignedDuration::from_secs(seconds);
        };
        (clock, set)
    }

    #[tokio::test(start_paused = true)]
    async fn it_follows_a_machine_that_has_slept_or_was_set() {
        let (clock, set) = followed("2025-06-15T09:00:00Z");
        for (step, expected) in [
            (8 * 3_600, "2025-06-15T17:00:00Z"),
            (1, "2025-06-15T17:00:00Z"),
            (1, "2025-06-15T17:00:02Z"),
            (-3 * 3_600, "2025-06-15T14:00:02Z"),
        ] {
            set(step);
            assert_eq!(
                clock.now().to_string(),
                expected,
                "after a step of {step} s"
            );
        }
        assert_eq!(clock.monotonic(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn it_waits_for_a_machine_that_was_set_back_a_little() {
        let (clock, set) = followed("2025-06-15T09:00:00Z");
        let before = clock.now();
        set(-20);
        assert_eq!(clock.now(), before);
        for _ in 0..21 {
            clock.sleep(Duration::from_secs(1)).await;
            set(1);
            assert!(clock.now() >= before);
        }
        assert_eq!(clock.now().to_string(), "2025-06-15T09:00:01Z");
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_machine_s_own_clock_follows_it() {
        let start = "2025-06-15T09:00:00Z".parse().unwrap();
        assert!(!SystemClock::scaled(start, 60.0).follows_machine());
        assert!(SystemClock::real().follows_machine());
    }
}
