//! One retry budget per request. Time-outs, cut connections, truncated bodies and
//! 5xx all draw on it, whatever layer noticed them, so that two layers of eight
//! tries never become sixty-four. What Salla requires to wait does not: it has its own limit,
//! beyond which the run waits instead of the request.

use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryPolicy {
    /// Attempts altogether, the first included.
    pub attempts: u32,
    pub base: Duration,
    pub cap: Duration,
    /// No further attempt begins once this much time was lost, without what Salla requires.
    pub total: Duration,
    /// How long 429s, blocks and `Retry-After` may delay one request in all.
    pub throttled: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 8,
            base: Duration::from_millis(500),
            cap: Duration::from_secs(60),
            total: Duration::from_secs(600),
            throttled: Duration::from_secs(3_600),
        }
    }
}

/// A refusal that names no time is followed by at least this, and at first by no more.
const FIRST_COOLDOWN: Duration = Duration::from_secs(1);

/// The attempts of one request and the waits between them.
#[derive(Debug)]
pub struct Backoff {
    policy: RetryPolicy,
    failed: u32,
    refused: u32,
    /// Time spent on failed attempts and our own waits between them. Waiting for budget does not
    /// count: it is not an error.
    spent: Duration,
    /// What Salla has required to wait so far.
    required: Duration,
}

impl Backoff {
    pub fn new(policy: RetryPolicy) -> Self {
        Self {
            policy,
            failed: 0,
            refused: 0,
            spent: Duration::ZERO,
            required: Duration::ZERO,
        }
    }

    pub fn failed(&self) -> u32 {
        self.failed
    }

    /// An attempt failed after `took`. How long to wait before the next one, by
    /// exponential back-off with full jitter; `None` if that was the last.
    pub fn after_failure(
        &mut self,
        took: Duration,
        retry_after: Option<Duration>,
        rng: &mut fastrand::Rng,
    ) -> Option<Duration> {
        let jittered = self.jittered(self.policy.base, self.failed, rng);
        self.failed += 1;
        self.spent += took + jittered;
        let more = self.failed < self.policy.attempts && self.spent <= self.policy.total;
        more.then(|| jittered.max(retry_after.unwrap_or_default()))
    }

    /// How long to wait after a refusal that names no time, in the same way.
    pub fn after_refusal(&mut self, rng: &mut fastrand::Rng) -> Duration {
        let jittered = self.jittered(FIRST_COOLDOWN, self.refused, rng);
        self.refused += 1;
        jittered.max(FIRST_COOLDOWN)
    }

    /// Whether one request may wait for `required` too, after all that Salla has required so far.
    pub fn may_wait(&mut self, required: Duration) -> bool {
        self.required += required;
        self.required <= self.policy.throttled
    }

    fn jittered(&self, base: Duration, before: u32, rng: &mut fastrand::Rng) -> Duration {
        let doubled = base * 2u32.pow(before.min(20));
        doubled.min(self.policy.cap).mul_f64(rng.f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(policy: RetryPolicy, took: Duration) -> Vec<Duration> {
        let mut rng = fastrand::Rng::with_seed(3);
        let mut backoff = Backoff::new(policy);
        std::iter::from_fn(|| backoff.after_failure(took, None, &mut rng)).collect()
    }

    #[test]
    fn eight_attempts_have_seven_growing_waits_between_them() {
        let policy = RetryPolicy::default();
        let waits = waits(policy, Duration::ZERO);
        assert_eq!(waits.len(), 7);
        for (number, wait) in waits.iter().enumerate() {
            assert!(
                *wait <= policy.base * 2u32.pow(number as u32),
                "{number}: {wait:?}"
            );
        }
    }

    #[test]
    fn the_total_time_ends_the_tries_as_well() {
        let waits = waits(RetryPolicy::default(), Duration::from_secs(200));
        assert!(waits.len() < 3, "{waits:?}");
    }

    #[test]
    fn what_salla_requires_is_waited_for_and_counts_apart() {
        let mut rng = fastrand::Rng::with_seed(3);
        for seconds in [20, 250, 900] {
            let mut backoff = Backoff::new(RetryPolicy::default());
            let required = Duration::from_secs(seconds);
            for _ in 0..3 {
                let wait = backoff.after_failure(Duration::ZERO, Some(required), &mut rng);
                assert_eq!(wait, Some(required));
                assert!(backoff.may_wait(required), "{seconds}");
            }
        }
        let mut backoff = Backoff::new(RetryPolicy::default());
        assert!(backoff.may_wait(Duration::from_secs(3_600)));
        assert!(!backoff.may_wait(Duration::from_secs(1)));
    }

    #[test]
    fn refusals_without_a_time_are_further_and_further_apart() {
        let mut rng = fastrand::Rng::with_seed(3);
        let policy = RetryPolicy::default();
        let mut backoff = Backoff::new(policy);
        let waits: Vec<_> = (0..60).map(|_| backoff.after_refusal(&mut rng)).collect();
        assert_eq!(waits[0], FIRST_COOLDOWN);
        let within = |wait: &Duration| (FIRST_COOLDOWN..=policy.cap).contains(wait);
        assert!(waits.iter().all(within), "{waits:?}");
        assert!(waits.iter().sum::<Duration>() > 60 * FIRST_COOLDOWN * 10);
    }
}
