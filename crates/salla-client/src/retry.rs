//! One retry budget per request. Time-outs, cut connections, truncated bodies and
//! 5xx all draw on it, whatever layer noticed them, so that two layers of eight
//! tries never become sixty-four.

use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryPolicy {
    /// Attempts altogether, the first included.
    pub attempts: u32,
    pub base: Duration,
    pub cap: Duration,
    /// No further attempt begins later than this after the first.
    pub total: Duration,
    /// How long 429s and blocks may delay one request; they cost no attempt.
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

/// The attempts of one request and the waits between them.
#[derive(Debug)]
pub struct Backoff {
    policy: RetryPolicy,
    failed: u32,
    /// Time spent on failed attempts and the waits between them. Waiting for budget does not count:
    /// it is not an error.
    spent: Duration,
}

impl Backoff {
    pub fn new(policy: RetryPolicy) -> Self {
        Self {
            policy,
            failed: 0,
            spent: Duration::ZERO,
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
        self.failed += 1;
        let doubled = self.policy.base * 2u32.pow((self.failed - 1).min(20));
        let jittered = doubled.min(self.policy.cap).mul_f64(rng.f64());
        let wait = jittered.max(retry_after.unwrap_or_default());
        self.spent += took + wait;
        let more = self.failed < self.policy.attempts && self.spent <= self.policy.total;
        more.then_some(wait)
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
    fn a_wait_that_salla_asked_for_is_kept() {
        let mut rng = fastrand::Rng::with_seed(3);
        let mut backoff = Backoff::new(RetryPolicy::default());
        let retry_after = Duration::from_secs(20);
        let wait = backoff.after_failure(Duration::ZERO, Some(retry_after), &mut rng);
        assert_eq!(wait, Some(retry_after));
    }
}
