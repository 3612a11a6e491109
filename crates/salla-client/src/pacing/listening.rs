//! The budget while the seconds after exhaustion are not ours: spent to the full, and
//! with open ears. See `others` for the reasons.
//!
//! Most of a window is spent at once. Of the rest one request goes at a time, each
//! twice as far into the window as the one before, so that their answers show whether
//! another app has spent anything meanwhile; and what is then left goes shortly before
//! the reset. This costs nothing, since the requests go in any case, and the doubling
//! makes it safe: as long as nobody was heard for a while, it is unlikely that as much
//! as is left was spent in a while more. Once the other app has shown itself, there is
//! nothing more to be learnt in this window, and the rest is spent at once.

use std::time::Duration;

use super::flight::Mode;
use super::others::Others;
use super::pacer::{Decision, Pacer};
use super::window::Window;

/// Kept back for listening: more than another app is likely to take unseen, so that
/// those of our requests that listen find something left.
const LISTENING: usize = 40;

/// Neither listening nor caution takes more than this part of the limit.
const MOST_KEPT: u32 = 3;

/// So long before the reset is certain the rest has arrived: the reset may be a second
/// earlier than is certain, and ways may be unequal.
const LAST_CALL: Duration = Duration::from_secs(2);

/// What is left is taken as it was told for so long; then one request goes alone.
const FRESH: Duration = Duration::from_secs(1);

/// The first listening request goes no earlier into the window.
const FIRST: Duration = Duration::from_secs(1);

impl Pacer {
    /// Whether we may use the one request a second after exhaustion.
    pub(super) fn overflow_is_ours(&self, now: Duration) -> bool {
        self.settings.overflow && !self.is_careful(now)
    }

    /// Whether another app was seen, or must be suspected after too many refusals.
    fn is_careful(&self, now: Duration) -> bool {
        self.others.are_about(now) || !self.overflow.is_paid()
    }

    pub(super) fn decide_beside_others(&self, window: &Window, now: Duration) -> Decision {
        let reset = self.reset_certain_at(window, now);
        let left = (window.lowest as usize).saturating_sub(self.flights.len());
        let most = (window.limit / MOST_KEPT) as usize;
        let reserve = self.reserve(window, now).min(most);
        if left <= reserve {
            return Decision::Until(reset);
        }
        if left > LISTENING.min(most) || !self.listens(window) {
            return self.burst_beside_others(window, now);
        }
        let last_call = self.last_call(window, left, reset);
        let next = self.listens_next(window);
        if now >= last_call {
            self.burst_beside_others(window, now)
        } else if now >= next {
            self.alone(Decision::Go(Mode::Burst))
        } else {
            Decision::Until(next.min(last_call))
        }
    }

    /// When the rest must go: one request alone, then as many at a time as have been in
    /// flight in this window before.
    fn last_call(&self, window: &Window, left: usize, reset: Duration) -> Duration {
        let rounds = 1 + left.div_ceil(window.busiest.max(1));
        let takes = self.latency.round_trip() * rounds as u32;
        reset.saturating_sub(LAST_CALL + takes)
    }

    /// What another app may have taken since the last answer and may yet take before
    /// our next request arrives.
    fn reserve(&self, window: &Window, now: Duration) -> usize {
        if !self.is_careful(now) {
            return 0;
        }
        let known = self.others.rate(now);
        let rate = if window.shows_others() {
            window.rate_of_others(now).max(known)
        } else {
            window.highest_unseen_rate().min(known)
        };
        let unknown = now.saturating_sub(window.told_at) + self.latency.round_trip();
        Others::within(rate, unknown)
    }

    /// Whether something is to be learnt by listening: the seconds after exhaustion
    /// could be ours again, and this window has not shown another app yet.
    fn listens(&self, window: &Window) -> bool {
        self.settings.overflow && !window.shows_others()
    }

    /// Twice as far into the window as the last request.
    fn listens_next(&self, window: &Window) -> Duration {
        let last = self.last_sent.unwrap_or_default();
        window.seen_at + (last.saturating_sub(window.seen_at) * 2).max(FIRST)
    }

    /// What was told a while ago may have been spent by others since.
    fn burst_beside_others(&self, window: &Window, now: Duration) -> Decision {
        let go = self.spaced(now, self.gap.between(), Mode::Burst);
        let fresh = now <= window.told_at + FRESH + self.latency.round_trip();
        if fresh { go } else { self.alone(go) }
    }

    fn alone(&self, decision: Decision) -> Decision {
        if self.flights.is_empty() {
            decision
        } else {
            Decision::AfterAnswer
        }
    }
}
