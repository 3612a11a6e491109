//! One request a second after exhaustion (FACTS §6), as Salla sees it: at arrival.
//!
//! Two requests sent a second apart may arrive closer if the first one was held up on
//! its way. How long an answer took beyond the fastest of its kind bounds that delay
//! (see `latency`), but most of it is usually Salla's own work. So the bound is
//! believed fully at first and a little less after every few hundred requests that
//! went well, and fully again after one that did not. The price of a refusal is thus
//! paid at most once in tens of thousands of requests.
//!
//! Where refusals are the rule (another app lives on the same seconds, or this limiter
//! knows no such second) the seconds are left alone for minutes, then for an hour.

use std::time::Duration;

const SECOND: f64 = 1.0;
const LEAST_MARGIN: f64 = 0.02;
const MOST_MARGIN: f64 = 0.5;
/// Halves the margin in about 7,000 requests.
const MARGIN_FADING: f64 = 0.9999;

/// No request is assumed to have been on the way for longer.
const MOST_DELAY: f64 = 1.0;
const LEAST_TRUST_IN_DELAY: f64 = 0.1;
const CLEAN_REQUESTS_PER_STEP: u32 = 200;
const STEP: f64 = 0.8;
/// After a refusal the next steps wait for so many requests.
const FROZEN_REQUESTS: u32 = 20_000;

/// Two refusals close together show that the seconds are contested; five hundred
/// accepted requests forgive one of them.
const STRIKES: f64 = 1.5;
const STRIKE_FADING: f64 = 0.001;
const PAUSES: [Duration; 3] = [
    Duration::from_secs(4 * 60),
    Duration::from_secs(16 * 60),
    Duration::from_secs(64 * 60),
];

#[derive(Debug)]
pub(super) struct Overflow {
    margin: f64,
    /// Which part of a possible delay is waited out.
    caution: f64,
    /// So many accepted requests until it is lowered.
    until_step: u32,
    strikes: f64,
    pauses: usize,
    paused_until: Duration,
}

impl Overflow {
    pub(super) fn new() -> Self {
        Self {
            margin: LEAST_MARGIN,
            caution: 1.0,
            until_step: CLEAN_REQUESTS_PER_STEP,
            strikes: 0.0,
            pauses: 0,
            paused_until: Duration::ZERO,
        }
    }

    pub(super) fn is_open(&self, now: Duration) -> bool {
        now >= self.paused_until
    }

    pub(super) fn margin(&self) -> Duration {
        Duration::from_secs_f64(self.margin)
    }

    /// From one arrival to the next.
    pub(super) fn spacing(&self) -> Duration {
        Duration::from_secs_f64(SECOND + self.margin)
    }

    /// How much of `excess` a request may really have been late.
    pub(super) fn delay(&self, excess: f64) -> Duration {
        Duration::from_secs_f64((excess * self.caution).clamp(0.0, MOST_DELAY))
    }

    pub(super) fn longest_delay(&self) -> Duration {
        Duration::from_secs_f64(MOST_DELAY)
    }

    pub(super) fn accepted(&mut self) {
        self.margin = (self.margin * MARGIN_FADING).max(LEAST_MARGIN);
        self.strikes = (self.strikes - STRIKE_FADING).max(0.0);
        self.until_step -= 1;
        if self.until_step == 0 {
            self.until_step = CLEAN_REQUESTS_PER_STEP;
            self.caution = (self.caution * STEP).max(LEAST_TRUST_IN_DELAY);
            self.pauses = self.pauses.saturating_sub(1);
        }
    }

    pub(super) fn refused(&mut self, now: Duration) {
        self.margin = (self.margin * 2.0).min(MOST_MARGIN);
        self.caution = 1.0;
        self.until_step = FROZEN_REQUESTS;
        self.strikes += 1.0;
        if self.strikes >= STRIKES {
            // One strike stays, so that the first refusal after the pause renews it.
            self.strikes = 1.0;
            self.paused_until = now + PAUSES[self.pauses];
            self.pauses = (self.pauses + 1).min(PAUSES.len() - 1);
        }
    }
}
