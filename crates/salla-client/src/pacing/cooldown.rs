//! How long everything is held after a 429 or a block, and how fast a burst may go.

use std::time::Duration;

use super::settings::Outcome;

/// A 429 without `Retry-After` (docs/salla-api.md#rate-limits): from a second, doubling,
/// to two minutes.
const THROTTLED: Steps = Steps {
    base: 1.0,
    cap: 120.0,
};

/// A 403 block follows abuse and is not lifted in a hurry.
const BLOCKED: Steps = Steps {
    base: 60.0,
    cap: 900.0,
};

/// Even full jitter leaves the one second that Salla counts by.
const LEAST: Duration = Duration::from_millis(1_050);

#[derive(Debug)]
pub(super) struct Holds {
    until: Duration,
    /// When the present hold was set; answers to earlier requests do not raise it.
    since: Duration,
    in_a_row: u32,
    rng: fastrand::Rng,
}

struct Steps {
    base: f64,
    cap: f64,
}

impl Steps {
    fn step(&self, number: u32) -> f64 {
        (self.base * 2f64.powi(number.min(16) as i32)).min(self.cap)
    }
}

impl Holds {
    pub(super) fn new(not_before: Option<Duration>, rng: fastrand::Rng) -> Self {
        Self {
            until: not_before.unwrap_or_default(),
            since: Duration::ZERO,
            in_a_row: 0,
            rng,
        }
    }

    pub(super) fn until(&self, now: Duration) -> Option<Duration> {
        (now < self.until).then_some(self.until)
    }

    /// Refusals without an accepted request in between.
    pub(super) fn in_a_row(&self) -> u32 {
        self.in_a_row
    }

    pub(super) fn accepted(&mut self) {
        self.in_a_row = 0;
    }

    /// Holds everything after the refusal of a request that was sent at `sent`.
    /// Several requests in flight are refused together and count once.
    pub(super) fn refused(
        &mut self,
        outcome: Outcome,
        sent: Duration,
        now: Duration,
        retry_after: Option<Duration>,
    ) {
        let repeated = self.in_a_row > 0 && sent < self.since;
        if !repeated {
            self.in_a_row += 1;
            self.since = now;
        }
        let wait = match (outcome, retry_after) {
            (Outcome::Blocked, given) => self.block().max(given.unwrap_or_default()),
            (_, Some(given)) => given.max(LEAST),
            (_, None) if repeated => return,
            (_, None) => self.jittered(),
        };
        self.until = self.until.max(now + wait);
    }

    /// Forbids anything before `moment`.
    pub(super) fn at_least_until(&mut self, moment: Duration) {
        self.until = self.until.max(moment);
    }

    fn block(&self) -> Duration {
        Duration::from_secs_f64(BLOCKED.step(self.in_a_row.saturating_sub(1)))
    }

    fn jittered(&mut self) -> Duration {
        let step = THROTTLED.step(self.in_a_row.saturating_sub(1));
        Duration::from_secs_f64(self.rng.f64() * step).max(LEAST)
    }
}

const LEAST_GAP: f64 = 0.025;
const MOST_GAP: f64 = 1.0;
const GAP_FADING: f64 = 0.9999;

/// The distance between the requests of a burst. Salla's headers set no pace, but the edge in
/// front of it is said to throttle bursts on its own account
/// (docs/salla-api.md#hosts-versions-and-headers). A 429 while budget was left teaches a
/// distance, which is forgotten slowly.
#[derive(Debug, Default)]
pub(super) struct Gap {
    seconds: f64,
}

impl Gap {
    pub(super) fn between(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    pub(super) fn refused(&mut self) {
        self.seconds = (self.seconds * 2.0).clamp(LEAST_GAP, MOST_GAP);
    }

    pub(super) fn accepted(&mut self) {
        self.seconds *= GAP_FADING;
        if self.seconds < LEAST_GAP / 2.0 {
            self.seconds = 0.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn holds() -> Holds {
        Holds::new(None, fastrand::Rng::with_seed(1))
    }

    #[test]
    fn retry_after_is_obeyed() {
        let mut holds = holds();
        holds.refused(Outcome::Throttled, S, 2 * S, Some(30 * S));
        assert_eq!(holds.until(2 * S), Some(32 * S));
        assert_eq!(holds.until(32 * S), None);
    }

    #[test]
    fn refusals_of_one_burst_count_once() {
        let mut holds = holds();
        for _ in 0..20 {
            holds.refused(Outcome::Throttled, S, 2 * S, None);
        }
        assert_eq!(holds.in_a_row(), 1);
    }

    #[test]
    fn without_retry_after_the_wait_doubles_up_to_two_minutes() {
        let mut holds = holds();
        let mut now = S;
        for number in 0..30 {
            holds.refused(Outcome::Throttled, now, now, None);
            let until = holds.until(now).unwrap();
            let most = (1u32 << number.min(7)).min(120) * S;
            assert!(
                until - now <= most.max(LEAST),
                "{number}: {:?}",
                until - now
            );
            now = until;
        }
    }

    #[test]
    fn a_block_is_waited_out_from_a_minute_to_a_quarter_of_an_hour() {
        let mut holds = holds();
        let mut now = S;
        for minutes in [1, 2, 4, 8, 15, 15] {
            holds.refused(Outcome::Blocked, now, now, None);
            assert_eq!(holds.until(now), Some(now + minutes * 60 * S));
            now += minutes * 60 * S;
        }
    }
}
