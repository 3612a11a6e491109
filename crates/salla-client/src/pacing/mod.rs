//! Sends as fast as Salla's request budget allows and not one request faster.
//!
//! [`Pacer`] has the rules: a state machine without I/O, clock or lock. It takes in the time,
//! what was sent and what came back, and decides whether the next request may be sent now, at
//! a given time, or only after a response. Requests wait at a [`RateLimiter`].
//!
//! [`RateLimiter`]: crate::admission::RateLimiter
//!
//! What Salla says of its budget (docs/salla-api.md#rate-limits, docs.salla.dev/421125m0)
//! leaves open how it is counted, so the rules rest only on what holds for every reading:
//!
//! 1. The first request goes alone; its response shows limit, remaining and reset.
//! 2. Within one reset the *lowest* `Remaining` seen rules, less whatever is in flight
//!    and may not be counted in it yet. A later reset replaces all that; an earlier one
//!    is a response that was overtaken. A leaky bucket fits the same rule: each of its
//!    responses moves the reset.
//! 3. An exhausted budget still allows one request a second until its reset. The second
//!    is kept as Salla sees it, at arrival; see `trickle`.
//! 4. When the reset has certainly passed, one request goes alone to learn the new
//!    budget, and the rest follows its response.
//! 5. While another app is seen to spend from the same budget, those seconds are left to
//!    it, and so is what it may take while a request of ours is on its way; see `other_apps`.
//! 6. After a 429 or a block nothing is sent for a while (cooldown); then requests go one by
//!    one until a response shows budget again.
//!
//! What other apps spend is read off the headers. Only where processes of ours share a budget
//! that belongs to an address, they agree on it beforehand: see `admission::shared_budget`.
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
