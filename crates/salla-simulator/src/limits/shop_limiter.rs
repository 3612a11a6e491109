//! The budget of one shop, with the two kinds of limiter that Salla's one sentence about it allows.

use super::LimitDecision;
use crate::clock::SECOND;
use crate::scenario::{Block, LimiterKind, Limits};
use std::collections::VecDeque;

const WINDOW: i64 = 60 * SECOND;

/// A client that sends exactly one request a second must not be refused for
/// arriving a few milliseconds early; the long-run rate stays one a second.
const TOLERANCE: i64 = SECOND / 20;

#[derive(Debug, Default)]
pub(crate) struct ShopLimiter {
    window: Option<AddressPeriod>,
    bucket: Bucket,
    /// The 429s of the last minute, for the temporary block.
    refusals: VecDeque<i64>,
    blocked_until: i64,
}

#[derive(Clone, Copy, Debug)]
struct AddressPeriod {
    started: i64,
    used: u32,
    /// When the next request after exhaustion may come.
    overflow_at: Option<i64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    level: f64,
    at: i64,
}

impl ShopLimiter {
    pub(crate) fn decide(&mut self, now: i64, per_minute: u32, limits: &Limits) -> LimitDecision {
        match limits.temperament {
            LimiterKind::FixedWindow => self.decide_by_window(now, per_minute, limits),
            LimiterKind::LeakyBucket => self.decide_by_bucket(now, per_minute, limits),
        }
    }

    /// The end of the block, if there is one now.
    pub(crate) fn blocked_until(&self, now: i64) -> Option<i64> {
        (now < self.blocked_until).then_some(self.blocked_until)
    }

    /// Counts a 429 and blocks a client that gets too many.
    pub(crate) fn refused(&mut self, now: i64, block: Option<Block>) {
        let Some(block) = block else { return };
        self.refusals.push_back(now);
        self.refusals.retain(|at| now - at < WINDOW);
        if self.refusals.len() as u32 >= block.after_429s {
            self.refusals.clear();
            self.blocked_until = now + i64::from(block.seconds) * SECOND;
        }
    }

    /// Since or from when there is budget: now, the drain of a full bucket, or the end of the
    /// window. The one request a second in between does not count here, because a client may leave
    /// it unused.
    pub(crate) fn budget_from(&self, now: i64, per_minute: u32, limits: &Limits) -> i64 {
        match (limits.temperament, self.window) {
            (LimiterKind::FixedWindow, Some(window)) if now < window.started + WINDOW => {
                let spent = window.used + spent_by_other(limits, now - window.started);
                if spent < per_minute {
                    now
                } else {
                    window.started + WINDOW
                }
            }
            (LimiterKind::FixedWindow, _) => now,
            (LimiterKind::LeakyBucket, _) => {
                let over = self.bucket.level + 1.0 - f64::from(per_minute);
                self.bucket.at + drain_time(over, per_minute)
            }
        }
    }

    fn decide_by_window(&mut self, now: i64, per_minute: u32, limits: &Limits) -> LimitDecision {
        let mut window = self
            .window
            .filter(|window| now < window.started + WINDOW)
            .unwrap_or(AddressPeriod {
                started: now,
                used: 0,
                overflow_at: None,
            });
        let reset_at = window.started + WINDOW;
        let left =
            per_minute.saturating_sub(window.used + spent_by_other(limits, now - window.started));
        let allowed = left > 0 || window.admits_trickle(now);
        if left > 0 {
            window.used += 1;
        }
        if left == 1 {
            window.overflow_at = Some(now + SECOND);
        }
        self.window = Some(window);
        let remaining = left.saturating_sub(1);
        LimitDecision {
            allowed,
            limit: per_minute,
            remaining,
            reset_at,
            next_at: if remaining > 0 {
                now
            } else {
                window.overflow_at.unwrap_or(now).min(reset_at)
            },
        }
    }

    fn decide_by_bucket(&mut self, now: i64, per_minute: u32, limits: &Limits) -> LimitDecision {
        let minutes = (now - self.bucket.at) as f64 / WINDOW as f64;
        let net_drain = f64::from(per_minute) - f64::from(limits.other_app_per_minute);
        self.bucket.level =
            (self.bucket.level - minutes * net_drain).clamp(0.0, f64::from(per_minute));
        self.bucket.at = now;
        let allowed = self.bucket.level + 1.0 <= f64::from(per_minute);
        if allowed {
            self.bucket.level += 1.0;
        }
        let room = f64::from(per_minute) - self.bucket.level;
        LimitDecision {
            allowed,
            limit: per_minute,
            remaining: room as u32,
            reset_at: now + drain_time(self.bucket.level, per_minute),
            next_at: now + drain_time(1.0 - room, per_minute),
        }
    }
}

impl AddressPeriod {
    /// One request a second until the window ends.
    fn admits_trickle(&mut self, now: i64) -> bool {
        // Another app may have spent the last of the budget, unseen by us.
        let due = *self.overflow_at.get_or_insert(now + SECOND);
        let admitted = now >= due - TOLERANCE;
        if admitted {
            self.overflow_at = Some(due.max(now) + SECOND);
        }
        admitted
    }
}

fn spent_by_other(limits: &Limits, elapsed: i64) -> u32 {
    (i64::from(limits.other_app_per_minute) * elapsed / WINDOW) as u32
}

/// How long a bucket takes to lose this much.
fn drain_time(amount: f64, per_minute: u32) -> i64 {
    (amount.max(0.0) / f64::from(per_minute) * WINDOW as f64).ceil() as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn windows() -> Limits {
        Limits::default()
    }

    fn buckets() -> Limits {
        Limits {
            temperament: LimiterKind::LeakyBucket,
            ..Limits::default()
        }
    }

    #[test]
    fn a_window_gives_n_then_one_a_second_then_n_again() {
        let mut limiter = ShopLimiter::default();
        for used in 1..=120 {
            let decision = limiter.decide(0, 120, &windows());
            assert!(decision.allowed);
            assert_eq!(decision.remaining, 120 - used);
        }
        assert!(!limiter.decide(SECOND / 2, 120, &windows()).allowed);
        let trickle = (1..60)
            .filter(|second| limiter.decide(second * SECOND, 120, &windows()).allowed)
            .count();
        assert_eq!(trickle, 59);
        let again = limiter.decide(60 * SECOND, 120, &windows());
        assert!(again.allowed);
        assert_eq!(again.remaining, 119);
        assert_eq!(again.reset_at, 120 * SECOND);
    }

    #[test]
    fn the_other_app_spends_too() {
        let mut limiter = ShopLimiter::default();
        let limits = Limits {
            other_app_per_minute: 60,
            ..windows()
        };
        assert_eq!(limiter.decide(0, 120, &limits).remaining, 119);
        assert_eq!(limiter.decide(30 * SECOND, 120, &limits).remaining, 88);
    }

    #[test]
    fn a_bucket_lets_a_burst_through_and_then_its_drain() {
        let mut limiter = ShopLimiter::default();
        let burst = (0..200)
            .filter(|_| limiter.decide(0, 120, &buckets()).allowed)
            .count();
        assert_eq!(burst, 120);
        let refused = limiter.decide(0, 120, &buckets());
        assert_eq!(refused.next_at, SECOND / 2);
        assert_eq!(refused.reset_at, 60 * SECOND);
        let drained = (1..=10)
            .filter(|half| limiter.decide(half * SECOND / 2, 120, &buckets()).allowed)
            .count();
        assert_eq!(drained, 10);
    }

    #[test]
    fn too_many_refusals_bring_a_block() {
        let mut limiter = ShopLimiter::default();
        let block = Some(Block {
            after_429s: 3,
            seconds: 30,
        });
        for second in 0..3 {
            assert!(limiter.blocked_until(second * SECOND).is_none());
            limiter.refused(second * SECOND, block);
        }
        assert_eq!(limiter.blocked_until(20 * SECOND), Some(32 * SECOND));
        assert!(limiter.blocked_until(32 * SECOND).is_none());
    }

    proptest! {
        #[test]
        fn no_minute_of_a_window_exceeds_its_budget(gaps in proptest::collection::vec(0i64..2_000_000, 1..400)) {
            let mut limiter = ShopLimiter::default();
            let mut now = 0;
            let mut counts = std::collections::BTreeMap::<i64, u32>::new();
            for gap in gaps {
                now += gap;
                let decision = limiter.decide(now, 60, &windows());
                if decision.allowed {
                    *counts.entry(decision.reset_at).or_default() += 1;
                }
            }
            prop_assert!(counts.values().all(|count| *count <= 60 + 60));
        }
    }
}
