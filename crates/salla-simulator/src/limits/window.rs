//! The additional limit of `/customers*`: so many requests in a window, by the
//! client's address and whatever the shop.

use super::Decision;
use crate::clock::SECOND;
use crate::scenario::CustomersLimit;
use std::collections::HashMap;
use std::net::IpAddr;

#[derive(Debug, Default)]
pub(crate) struct AddressLimiter {
    windows: HashMap<IpAddr, Window>,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    started: i64,
    used: u32,
}

impl AddressLimiter {
    pub(crate) fn decide(&mut self, address: IpAddr, now: i64, limit: CustomersLimit) -> Decision {
        let length = i64::from(limit.window_seconds) * SECOND;
        let fresh = Window {
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
        Decision {
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
