//! What a pacer is given before its first request, and the types of its conversation.

use std::time::Duration;

use domain::plan::{CUSTOMERS_PER_WINDOW, CUSTOMERS_WINDOW_SECONDS};

/// What to do when responses carry no rate headers at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoHeadersPolicy {
    /// Spread the prior limit evenly; one request a second where there is none.
    EvenSpacing,
    /// Send the prior limit immediately, then wait until it has aged by one period.
    CountedPeriod,
    /// Where there are no headers, there is no limit.
    Unlimited,
}

#[derive(Clone, Debug)]
pub struct PacerSettings {
    /// The documented limit of the plan, until a response says better.
    pub documented_limit: Option<u32>,
    /// Share of the budget that is ours, in (0, 1]. Below 1 the requests after
    /// exhaustion are left to the shop's other software.
    pub share: f64,
    /// How long Salla counts before it starts again.
    pub period: Duration,
    /// Whether one request a second is sent after exhaustion.
    pub trickle: bool,
    pub without_headers: NoHeadersPolicy,
    /// Nothing is sent before this moment of the monotonic clock: a process that
    /// died a moment ago may have used up the current second.
    pub not_before: Option<Duration>,
}

impl PacerSettings {
    /// The budget of one shop (docs.salla.dev/421125m0).
    pub fn shop(documented_limit: Option<u32>, share: f64) -> Self {
        Self {
            documented_limit,
            share: share.clamp(0.01, 1.0),
            period: Duration::from_secs(60),
            trickle: share >= 1.0,
            without_headers: NoHeadersPolicy::EvenSpacing,
            not_before: None,
        }
    }

    /// The additional budget of `/customers*`: 500 requests in 10 minutes, by IP
    /// address, without the one request a second (docs/salla-api.md#rate-limits, change log 2.9.1).
    pub fn customers() -> Self {
        Self {
            documented_limit: u32::try_from(CUSTOMERS_PER_WINDOW).ok(),
            share: 1.0,
            period: Duration::from_secs(CUSTOMERS_WINDOW_SECONDS),
            trickle: false,
            without_headers: NoHeadersPolicy::CountedPeriod,
            not_before: None,
        }
    }

    /// Our share of this limit: at least one, as in `domain::plan::Budget::burst`.
    pub(super) fn share_of(&self, limit: u32) -> u32 {
        ((f64::from(limit) * self.share).floor() as u32).max(1)
    }

    /// How long one of our own requests is counted. Where nothing but our counting
    /// keeps the limit, a second more makes up for unequal ways to Salla.
    pub(super) fn counted_period(&self) -> Duration {
        match self.without_headers {
            NoHeadersPolicy::CountedPeriod => self.period + Duration::from_secs(1),
            NoHeadersPolicy::EvenSpacing | NoHeadersPolicy::Unlimited => self.period,
        }
    }
}

/// A kind of request whose responses take about equally long; at most [`LatencyClass::COUNT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LatencyClass(pub u8);

impl LatencyClass {
    pub const COUNT: usize = 10;

    pub(crate) fn index(self) -> usize {
        usize::from(self.0).min(Self::COUNT - 1)
    }
}

/// How a request ended, as far as pacing is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseOutcome {
    /// Salla processed it, with any response.
    Accepted,
    /// Salla processed it, but the headers report another budget.
    CountedElsewhere,
    /// 429.
    Throttled,
    /// 403 as a temporary block after over-use (docs.salla.dev/421123m0).
    Blocked,
    /// 5xx: it may or may not have been counted.
    Failed,
}

/// The right to send one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PermitId(pub(super) u64);

/// What to do with the next request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PermitDecision {
    /// Send it now.
    Granted(PermitId),
    /// Try again then, or when a response has come.
    WaitUntil(Duration),
    /// Try again when a request that was permitted is sent, answered or dropped.
    WaitForResponse,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SendMode {
    /// The first of a process, or of a time after a refusal.
    Solo,
    /// Within what is left.
    Burst,
    /// The one request a second after exhaustion.
    Trickle,
    /// The first after a reset.
    AfterReset,
}

/// A request that was permitted and has not ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct InFlight {
    pub(super) id: PermitId,
    pub(super) class: LatencyClass,
    pub(super) mode: SendMode,
    pub(super) sent: Option<Duration>,
    /// How long after the request before it.
    pub(super) gap: Option<Duration>,
}

/// The same before the permit exists.
#[derive(Clone, Copy, Debug)]
pub(super) enum SendDecision {
    Send(SendMode),
    Until(Duration),
    AfterResponse,
}
