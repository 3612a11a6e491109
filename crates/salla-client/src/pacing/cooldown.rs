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
    /// Requests that were sent before belong to this cooldown or to what caused it.
    until: Duration,
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
            in_a_row: 0,
            rng,
        }
    }

    pub(super) fn until(&self, now: Duration) -> Option<Duration> {
        (now < self.until).then_some(self.until)
    }

    /// Cooldowns without an accepted request in between.
    pub(super) fn in_a_row(&self) -> u32 {
        self.in_a_row
    }

    /// A request that was sent at `sent` was accepted.
    pub(super) fn accepted(&mut self, sent: Duration) {
        if sent >= self.until {
            self.in_a_row = 0;
        }
    }

    /// Begins a cooldown after the refusal of a request that was sent at `sent`, or returns
    /// `false`: requests in flight are refused together, and only the first of them teaches
    /// anything. A later one only extends the cooldown, if it names a time.
    ///
    /// No named time is shorter than ours, which grows: a time that was named and waited out
    /// in vain would otherwise be waited out in vain forever.
    pub(super) fn refused(
        &mut self,
        outcome: ResponseOutcome,
        sent: Duration,
        now: Duration,
        retry_after: Option<Duration>,
    ) -> bool {
        let begins = sent >= self.until;
        self.in_a_row += u32::from(begins);
        let named = retry_after.map(|named| named.max(MIN_COOLDOWN));
        let ours = match outcome {
            ResponseOutcome::Blocked => Some(self.block_duration()),
            _ if begins => Some(self.jittered()),
            _ => None,
        };
        if let Some(wait) = named.max(ours) {
            self.until = self.until.max(now + wait);
        }
        begins
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

const MIN_SPACING: Duration = Duration::from_millis(25);
const MAX_SPACING: Duration = Duration::from_secs(1);
/// Half-life, in seconds, of a learned distance: one refusal is not paid for with hours, and an
/// edge that keeps refusing what is faster refuses one request in thousands.
const SPACING_HALF_LIFE: f64 = 1_200.0;

/// The distance between the requests of a burst. Salla's headers set no pace, but the edge in
/// front of it is said to throttle bursts on its own account
/// (docs/salla-api.md#hosts-versions-and-headers). A 429 while budget was left teaches a
/// distance, which is forgotten slowly.
#[derive(Debug, Default)]
pub(super) struct BurstSpacing {
    learned: Duration,
    learned_at: Duration,
}

impl BurstSpacing {
    pub(super) fn between(&self, now: Duration) -> Duration {
        let age = now.saturating_sub(self.learned_at).as_secs_f64();
        let faded = self.learned.mul_f64(0.5f64.powf(age / SPACING_HALF_LIFE));
        if faded < MIN_SPACING / 2 {
            return Duration::ZERO;
        }
        faded
    }

    /// A request was refused that was sent this long after the one before it. Twice the distance
    /// is learned, unless the request kept that already.
    pub(super) fn refused(&mut self, gap: Option<Duration>, now: Duration) {
        let longer = (self.between(now) * 2).clamp(MIN_SPACING, MAX_SPACING);
        if gap.is_some_and(|gap| gap < longer) {
            self.learned = longer;
            self.learned_at = now;
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
    fn refusals_of_one_burst_count_once_whatever_is_accepted_in_between() {
        let mut cooldown = cooldown();
        let refused = ResponseOutcome::Throttled;
        assert!(cooldown.refused(refused, S, 2 * S, None));
        for _ in 0..20 {
            cooldown.accepted(S);
            assert!(!cooldown.refused(refused, S, 2 * S, None));
            // Permitted before the cooldown, sent in its course.
            assert!(!cooldown.refused(refused, 2 * S, 3 * S, None));
        }
        assert_eq!(cooldown.in_a_row(), 1);
        assert_eq!(cooldown.until(2 * S), Some(2 * S + MIN_COOLDOWN));
        assert!(cooldown.refused(refused, 4 * S, 4 * S, None));
        assert_eq!(cooldown.in_a_row(), 2);
        let until = cooldown.until(4 * S).unwrap();
        cooldown.accepted(until);
        assert_eq!(cooldown.in_a_row(), 0);
    }

    #[test]
    fn a_late_refusal_extends_the_cooldown_only_if_it_names_a_time() {
        let mut cooldown = cooldown();
        cooldown.refused(ResponseOutcome::Throttled, S, S, None);
        cooldown.refused(ResponseOutcome::Throttled, S, 5 * S, None);
        assert_eq!(cooldown.until(5 * S), None);
        cooldown.refused(ResponseOutcome::Throttled, S, 5 * S, Some(9 * S));
        assert_eq!(cooldown.until(5 * S), Some(14 * S));
    }

    #[test]
    fn a_named_wait_that_proves_wrong_again_and_again_is_not_enough() {
        for named in [Duration::ZERO, S] {
            let mut cooldown = cooldown();
            let mut now = S;
            for number in 0..20 {
                cooldown.refused(ResponseOutcome::Throttled, now, now, Some(named));
                let until = cooldown.until(now).unwrap();
                assert!(number > 0 || until - now == MIN_COOLDOWN);
                now = until;
            }
            assert!(now > 180 * S, "{now:?}");
        }
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

    #[test]
    fn a_distance_is_learned_where_it_would_have_helped_and_fades_within_the_hour() {
        let ms = Duration::from_millis;
        let mut spacing = BurstSpacing::default();
        for (gap, learned) in [
            (None, 0),
            (Some(ms(30)), 0),
            (Some(ms(24)), 25),
            (Some(ms(26)), 50),
            (Some(ms(400)), 50),
            (Some(ms(51)), 100),
            (Some(ms(0)), 200),
            (Some(ms(0)), 400),
            (Some(ms(0)), 800),
            (Some(ms(900)), 1_000),
            (Some(ms(1_001)), 1_000),
        ] {
            spacing.refused(gap, S);
            assert_eq!(spacing.between(S), ms(learned), "{gap:?}");
        }
        assert_eq!(spacing.between(1_201 * S), ms(500));
        assert_eq!(spacing.between(3_601 * S), ms(125));
        assert_eq!(spacing.between(9_000 * S), Duration::ZERO);
    }
}
