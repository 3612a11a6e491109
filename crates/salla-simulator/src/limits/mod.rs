//! Request budgets (docs.salla.dev/421125m0). A decision is taken at the
//! moment a request arrives; how long its answer takes does not matter.

mod shop_limiter;
mod window;

pub(crate) use shop_limiter::ShopLimiter;
pub(crate) use window::AddressLimiter;

use crate::clock::SECOND;
use crate::scenario::RetryAfter;

/// What the budget says to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Decision {
    pub(crate) allowed: bool,
    pub(crate) limit: u32,
    pub(crate) remaining: u32,
    /// When the budget is full again, in microseconds.
    pub(crate) reset_at: i64,
    /// When the next request would be let through, in microseconds.
    pub(crate) next_at: i64,
}

impl Decision {
    /// The documented headers; `Retry-After` only on a refusal.
    pub(crate) fn headers(&self, now: i64, retry_after: RetryAfter) -> Vec<(&'static str, String)> {
        let mut headers = vec![
            ("x-ratelimit-limit", self.limit.to_string()),
            ("x-ratelimit-remaining", self.remaining.to_string()),
            ("x-ratelimit-reset", ceil_seconds(self.reset_at).to_string()),
        ];
        if let Some(moment) = self.come_back(retry_after) {
            headers.push(("retry-after", ceil_seconds(moment - now).max(1).to_string()));
        }
        headers
    }

    /// When a refused client is told to come back, in microseconds.
    pub(crate) fn come_back(&self, retry_after: RetryAfter) -> Option<i64> {
        match retry_after {
            _ if self.allowed => None,
            RetryAfter::Absent => None,
            RetryAfter::UntilReset => Some(self.reset_at),
            RetryAfter::UntilNext => Some(self.next_at),
        }
    }
}

fn ceil_seconds(micros: i64) -> i64 {
    micros.div_euclid(SECOND) + i64::from(micros.rem_euclid(SECOND) > 0)
}
