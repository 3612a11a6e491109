//! How long nothing is sent after a 429 or a block, and how fast a burst may go.

use std::time::Duration;

use super::settings::ResponseOutcome;

/// A 429 without `Retry-After` (docs/salla-api.md#rate-limits): from a second, doubling,
/// to two minutes.
const THROTTLED: CooldownSteps = CooldownSteps {
    base: 1.0,
    cap: 120.0,
};

/// A 403 block follows abuse and is not lifted in a hurry.
const BLOCKED: CooldownSteps = CooldownSteps {
    base: 60.0,
    cap: 900.0,
};

/// Even full jitter leaves the one second that Salla counts by.
const MIN_COOLDOWN: Duration = Duration::from_millis(1_050);

#[derive(Debug)]
pub(super) struct Cooldown {
    until: Duration,
    /// When the present cooldown began; responses to earlier requests do not extend it.
    since: Duration,
    in_a_row: u32,
    rng: fastrand::Rng,
}

struct CooldownSteps {
    base: f64,
    cap: f64,
}

impl CooldownSteps {
    fn step(&self, number: u32) -> f64 {
        (self.base * 2f64.powi(number.min(16) as i32)).min(self.cap)
    }
}

impl Cooldown {
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

    /// Begins a cooldown after the refusal of a request that was sent at `sent`.
    /// Several requests in flight are refused together and count once.
    pub(super) fn refused(
        &mut self,
        outcome: ResponseOutcome,
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
            (ResponseOutcome::Blocked, given) => {
                self.block_duration().max(given.unwrap_or_default())
            }
            (_, Some(given)) => given.max(MIN_COOLDOWN),
            (_, None) if repeated => return,
            (_, None) => self.jittered(),
        };
        self.until = self.until.max(now + wait);
    }

    /// Forbids anything before `moment`.
    pub(super) fn at_least_until(&mut self, moment: Duration) {
        self.until = self.until.max(moment);
    }

    fn block_duration(&self) -> Duration {
        Duration::from_secs_f64(BLOCKED.step(self.in_a_row.saturating_sub(1)))
    }

    fn jittered(&mut self) -> Duration {
        let step = THROTTLED.step(self.in_a_row.saturating_sub(1));
        Duration::from_secs_f64(self.rng.f64() * step).max(MIN_COOLDOWN)
    }
}

const MIN_SPACING: f64 = 0.025;
const MAX_SPACING: f64 = 1.0;
const SPACING_FADING: f64 = 0.9999;

/// The distance between the requests of a burst. Salla's headers set no pace, but the edge in
/// front of it is said to throttle bursts on its own account
/// (docs/salla-api.md#hosts-versions-and-headers). A 429 while budget was left teaches a
/// distance, which is forgotten slowly.
#[derive(Debug, Default)]
pub(super) struct BurstSpacing {
    seconds: f64,
}

impl BurstSpacing {
    pub(super) fn between(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    pub(super) fn refused(&mut self) {
        self.seconds = (self.seconds * 2.0).clamp(MIN_SPACING, MAX_SPACING);
    }

    pub(super) fn accepted(&mut self) {
        self.seconds *= SPACING_FADING;
        if self.seconds < MIN_SPACING / 2.0 {
            self.seconds = 0.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn cooldown() -> Cooldown {
        Cooldown::new(None, fastrand::Rng::with_seed(1))
    }

    #[test]
    fn retry_after_is_obeyed() {
        let mut cooldown = cooldown();
        cooldown.refused(ResponseOutcome::Throttled, S, 2 * S, Some(30 * S));
        assert_eq!(cooldown.until(2 * S), Some(32 * S));
        assert_eq!(cooldown.until(32 * S), None);
    }

    #[test]
    fn refusals_of_one_burst_count_once() {
        let mut cooldown = cooldown();
        for _ in 0..20 {
            cooldown.refused(ResponseOutcome::Throttled, S, 2 * S, None);
        }
        assert_eq!(cooldown.in_a_row(), 1);
    }

    #[test]
    fn without_retry_after_the_wait_doubles_up_to_two_minutes() {
        let mut cooldown = cooldown();
        let mut now = S;
        for number in 0..30 {
            cooldown.refused(ResponseOutcome::Throttled, now, now, None);
            let until = cooldown.until(now).unwrap();
            let max = (1u32 << number.min(7)).min(120) * S;
            assert!(
                until - now <= max.max(MIN_COOLDOWN),
                "{number}: {:?}",
                until - now
            );
            now = until;
        }
    }

    #[test]
    fn a_block_is_waited_out_from_a_minute_to_a_quarter_of_an_hour() {
        let mut cooldown = cooldown();
        let mut now = S;
        for minutes in [1, 2, 4, 8, 15, 15] {
            cooldown.refused(ResponseOutcome::Blocked, now, now, None);
            assert_eq!(cooldown.until(now), Some(now + minutes * 60 * S));
            now += minutes * 60 * S;
        }
    }
}
