//! Request budgets (docs.salla.dev/421125m0). A decision is taken at the moment a request arrives;
//! how long its response takes does not matter.

mod shop_limiter;

pub(crate) use shop_limiter::ShopLimiter;

use crate::clock::SECOND;
use crate::scenario::{CustomersLimit, RetryAfter};
use std::collections::HashMap;
use std::net::IpAddr;

/// What the budget says to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LimitDecision {
    pub(crate) allowed: bool,
    pub(crate) limit: u32,
    pub(crate) remaining: u32,
    /// When the budget is full again, in microseconds.
    pub(crate) reset_at: i64,
    /// When the next request would be let through, in microseconds.
    pub(crate) next_at: i64,
}

impl LimitDecision {
    /// The documented headers; `Retry-After` only on a refusal.
    pub(crate) fn headers(&self, now: i64, retry_after: RetryAfter) -> Vec<(&'static str, String)> {
        let mut headers = vec![
            ("x-ratelimit-limit", self.limit.to_string()),
            ("x-ratelimit-remaining", self.remaining.to_string()),
            ("x-ratelimit-reset", ceil_seconds(self.reset_at).to_string()),
        ];
        if let Some(moment) = self.retry_at(retry_after) {
            headers.push(("retry-after", ceil_seconds(moment - now).max(1).to_string()));
        }
        headers
    }

    /// When a refused client may try again, in microseconds.
    pub(crate) fn retry_at(&self, retry_after: RetryAfter) -> Option<i64> {
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

/// The additional limit of `/customers*`: a number of requests in a window, by the client's
/// address, for all shops together.
#[derive(Debug, Default)]
pub(crate) struct AddressLimiter {
    windows: HashMap<IpAddr, AddressPeriod>,
}

#[derive(Clone, Copy, Debug)]
struct AddressPeriod {
    started: i64,
    used: u32,
}

impl AddressLimiter {
    pub(crate) fn decide(
        &mut self,
        address: IpAddr,
        now: i64,
        limit: CustomersLimit,
    ) -> LimitDecision {
        let length = i64::from(limit.window_seconds) * SECOND;
        let fresh = AddressPeriod {
            started: now,
            used: 0,
        };
        let window = self.windows.entry(address).or_insert(fresh);
        if now >= window.started + length {
            *window = fresh;
        }
        let allowed = window.used < limit.requests;
        window.used += u32::from(allowed);
        let reset_at = window.started + length;
        let remaining = limit.requests - window.used;
        LimitDecision {
            allowed,
            limit: limit.requests,
            remaining,
            reset_at,
            next_at: if remaining > 0 { now } else { reset_at },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn five_hundred_in_ten_minutes_for_each_address() {
        let mut limiter = AddressLimiter::default();
        let (here, there) = (
            IpAddr::from(Ipv4Addr::LOCALHOST),
            IpAddr::from([10, 0, 0, 1]),
        );
        let limit = CustomersLimit::default();
        for _ in 0..500 {
            assert!(limiter.decide(here, 0, limit).allowed);
        }
        let refused = limiter.decide(here, 599 * SECOND, limit);
        assert!(!refused.allowed);
        assert_eq!(refused.reset_at, 600 * SECOND);
        assert!(limiter.decide(there, 0, limit).allowed);
        assert!(limiter.decide(here, 600 * SECOND, limit).allowed);
    }
}
