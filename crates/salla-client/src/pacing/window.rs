//! What the answers of one reset have told.

use std::time::Duration;

use super::headers::RateHeaders;

/// While another app was seen to spend, this part of the limit is not sent in one go.
const RESERVED_PART: u32 = 60;

/// For so long after another app was seen.
const OTHERS_MEMORY: Duration = Duration::from_secs(600);

/// `X-RateLimit-Reset` is cut to seconds, so the reset is certain only a second later.
const CUT: i64 = 1;

#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) reset_epoch: Option<i64>,
    pub(super) limit: u32,
    /// The lowest `Remaining` of all answers.
    pub(super) lowest: u32,
    /// When the first of the answers came.
    pub(super) seen_at: Duration,
    /// Our requests that this window may have counted, besides those in flight.
    own: u32,
    /// What had been spent before the first of the answers.
    spent_at_first: i64,
}

/// How an answer relates to what is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Age {
    Stale,
    Same,
    Newer,
}

impl Window {
    /// `None` if the answer says nothing of what is left.
    pub(super) fn begin(
        headers: &RateHeaders,
        prior_limit: Option<u32>,
        now: Duration,
    ) -> Option<Self> {
        let remaining = headers.remaining?;
        let limit = headers
            .limit
            .or(prior_limit)
            .unwrap_or(remaining)
            .max(remaining);
        Some(Self {
            reset_epoch: headers.reset_epoch,
            limit,
            lowest: remaining,
            seen_at: now,
            own: 1,
            // Part of it may be our own, from before a restart or still in flight.
            spent_at_first: i64::from(limit) - i64::from(remaining) - 1,
        })
    }

    /// A window that nobody has told us of. Besides the request that opened it, a few
    /// that we sent before may already have fallen into it.
    pub(super) fn assumed(limit: u32, now: Duration) -> Self {
        Self {
            reset_epoch: None,
            limit,
            lowest: limit.saturating_sub(limit / RESERVED_PART + 2),
            seen_at: now,
            own: 1,
            spent_at_first: 0,
        }
    }

    pub(super) fn age_of(&self, headers: &RateHeaders) -> Age {
        match (headers.reset_epoch, self.reset_epoch) {
            (Some(answer), Some(known)) if answer < known => Age::Stale,
            (Some(answer), Some(known)) if answer > known => Age::Newer,
            (Some(_), None) => Age::Newer,
            _ => Age::Same,
        }
    }

    /// Takes in another answer of the same reset; says whether others spend too.
    pub(super) fn narrow(&mut self, remaining: u32, in_flight: usize) -> bool {
        self.own += 1;
        self.lowest = self.lowest.min(remaining);
        self.strangers(in_flight) > self.spent_at_first
    }

    /// A request of ours ended without an answer that says what is left; it may have
    /// been counted all the same.
    pub(super) fn assume_counted(&mut self) {
        self.own += 1;
        self.lowest = self.lowest.saturating_sub(1);
    }

    /// How much of the budget others must have spent, at least.
    fn strangers(&self, in_flight: usize) -> i64 {
        let spent = i64::from(self.limit) - i64::from(self.lowest);
        spent - i64::from(self.own) - in_flight as i64
    }

    /// The moment of Salla's clock at which the reset has certainly passed.
    pub(super) fn certain_epoch(&self) -> Option<i64> {
        self.reset_epoch.map(|epoch| epoch + CUT)
    }
}

/// Whether another app spends from the same budget.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Others {
    seen_at: Option<Duration>,
}

impl Others {
    pub(super) fn seen(&mut self, now: Duration) {
        self.seen_at = Some(now);
    }

    /// What of the budget goes one request a second, because another app may take it
    /// between Salla's answer and our next request.
    pub(super) fn reserve(&self, limit: u32, now: Duration) -> usize {
        match self.seen_at {
            Some(seen) if now.saturating_sub(seen) < OTHERS_MEMORY => {
                (limit / RESERVED_PART).max(1) as usize
            }
            _ => 0,
        }
    }
}
