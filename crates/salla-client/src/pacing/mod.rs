//! Sends as fast as Salla's request budget allows and not one request faster.
//!
//! [`Pacer`] is the rule book: a state machine without I/O, clock or lock. It is told
//! the time, what was sent and what came back, and says whether the next request may
//! go now, at a given time, or only after a response. [`RateLimiter`] makes it something to
//! wait for.
//!
//! [`RateLimiter`]: crate::admission::RateLimiter
//!
//! What Salla says of its budget (docs/salla-api.md#rate-limits, docs.salla.dev/421125m0)
//! leaves open how it is counted, so the rules rest only on what holds for every reading:
//!
//! 1. The first request goes alone; its response tells limit, remaining and reset.
//! 2. Within one reset the *lowest* `Remaining` seen rules, less whatever is in flight
//!    and may not be counted in it yet. A later reset replaces all that; an earlier one
//!    is a response that was overtaken. A leaky bucket fits the same rule: each of its
//!    answers moves the reset.
//! 3. An exhausted budget still allows one request a second until its reset. The second
//!    is kept as Salla sees it, at arrival; see `trickle`.
//! 4. When the reset has certainly passed, one request goes alone to learn the new
//!    budget, and the rest follows its response.
//! 5. While another app is seen to spend from the same budget, those seconds are left to
//!    it, and so is what it may take while a request of ours is on its way; see `other_apps`.
//! 6. A 429 or a block holds everything; afterwards requests go one by one until an
//!    answer shows budget again.
//!
//! A budget that somebody else spends from is read off the headers. Only where processes
//! of ours share one that belongs to an address, they agree on it beforehand: see
//! `admission::shared_budget`.
//!
//! Not here: retrying (`retry`), and what has locks and waits (`admission`).

mod arrival;
mod cooldown;
mod headers;
mod other_apps;
mod pacer;
mod period;
mod settings;
mod trickle;

pub use headers::RateHeaders;
pub use pacer::Pacer;
pub use settings::{
    LatencyClass, NoHeadersPolicy, PacerSettings, PermitDecision, PermitId, ResponseOutcome,
};
