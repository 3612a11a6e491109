//! One request a second after exhaustion (docs/salla-api.md#rate-limits), as Salla sees
//! it: at arrival.
//!
//! Two requests sent a second apart may arrive closer if the first one was delayed on
//! its way. How long a response took beyond the fastest of its kind bounds that delay
//! (see `arrival`), but most of it is usually Salla's own work. So the bound is
//! assumed fully at first and a little less after every few hundred requests that
//! went well, and fully again after one that did not. The price of a refusal is thus
//! paid at most once in tens of thousands of requests.
//!
//! If a burst has shown in which order requests arrive, that shows more, and immediately (see
//! `arrival`). After a refusal it is not used until trust in the bound grows.
//!
//! A refusal that this cannot explain means that the second was not ours alone (see
//! `other_apps`) or that this limiter knows no such second. Either way a refusal has to be
//! paid for: the first one is on credit, and then the seconds are left alone until
//! enough requests have been accepted for it. However the limiter may count, in the
//! long run at most one in [`PRICE`] requests is refused here.

use std::time::Duration;

use super::arrival::ArrivalDelays;

const SECOND: f64 = 1.0;
const MIN_MARGIN: f64 = 0.02;
const MAX_MARGIN: f64 = 0.5;
/// Where requests are known to arrive less than [`MIN_MARGIN`] late, the margin need not
/// make up for ways that were not seen.
const MARGIN_OF_EQUAL_DELAYS: f64 = 0.25;
/// Halves the margin in about 7,000 requests.
const MARGIN_FADING: f64 = 0.9999;

/// No request is assumed to have been on the way for longer.
const MAX_DELAY: f64 = 1.0;
const MIN_TRUST_IN_DELAY: f64 = 0.1;
const CLEAN_REQUESTS_PER_STEP: u32 = 200;
const STEP: f64 = 0.8;
/// Number of requests that the next steps wait for after a refusal.
const FROZEN_REQUESTS: u32 = 20_000;

/// Accepted requests that pay for one refusal (ARCHITECTURE.md#numbers-to-hold).
const PRICE: i64 = 10_000;
/// The price of one refusal that nothing explains. However many there were, after as many
/// accepted requests another one is risked.
const MAX_DEBT: i64 = 2 * PRICE;

#[derive(Debug)]
pub(super) struct Trickle {
    margin: f64,
    /// Which part of a possible delay is waited out.
    caution: f64,
    /// What the order of arrivals has proven, and whether that is relied on.
    pub(super) arrival_delays: ArrivalDelays,
    trusts_order: bool,
    /// Accepted requests until it is lowered.
    until_step: u32,
    /// Accepted requests that no refusal has used up, at most the price of one.
    credit: i64,
    /// Refusals that were charged double.
    unexplained: i64,
}

impl Trickle {
    pub(super) fn new() -> Self {
        Self {
            margin: MIN_MARGIN,
            caution: 1.0,
            arrival_delays: ArrivalDelays::default(),
            trusts_order: true,
            until_step: CLEAN_REQUESTS_PER_STEP,
            credit: PRICE,
            unexplained: 0,
        }
    }

    /// Whether all refusals so far are paid for.
    pub(super) fn is_in_credit(&self) -> bool {
        self.credit >= 0
    }

    pub(super) fn margin(&self) -> Duration {
        Duration::from_secs_f64(self.margin)
    }

    /// From one arrival to the next.
    pub(super) fn spacing(&self) -> Duration {
        let part = match self.delays_are_equal() {
            true => MARGIN_OF_EQUAL_DELAYS,
            false => 1.0,
        };
        Duration::from_secs_f64(SECOND + self.margin * part)
    }

    /// How much of `excess` a request may really have been late.
    pub(super) fn delay(&self, excess: f64) -> Duration {
        Duration::from_secs_f64(self.assumed(excess))
    }

    fn assumed(&self, excess: f64) -> f64 {
        let possible = match self.trusts_order {
            true => self.arrival_delays.of(excess),
            false => excess,
        };
        possible.min(excess * self.caution).clamp(0.0, MAX_DELAY)
    }

    /// The same of a request whose response was no later than is ordinary.
    fn min_assumed(&self, excess: f64) -> f64 {
        let proven = self.arrival_delays.proven().filter(|_| self.trusts_order);
        proven
            .map_or(excess, |late| late.min(excess))
            .min(excess * self.caution)
    }

    fn delays_are_equal(&self) -> bool {
        let proven = self.arrival_delays.proven().filter(|_| self.trusts_order);
        proven.is_some_and(|late| late < MIN_MARGIN)
    }

    pub(super) fn longest_delay(&self) -> Duration {
        Duration::from_secs_f64(MAX_DELAY)
    }

    /// A request went well, whether or not the budget was exhausted.
    pub(super) fn record_success(&mut self) {
        self.credit = (self.credit + 1).min(PRICE);
    }

    /// A request was refused for which other apps may be the reason.
    pub(super) fn record_refusal(&mut self) {
        self.credit = (self.credit - PRICE).max(-MAX_DEBT);
    }

    pub(super) fn accepted(&mut self) {
        self.margin = (self.margin * MARGIN_FADING).max(MIN_MARGIN);
        self.until_step -= 1;
        if self.until_step == 0 {
            self.until_step = CLEAN_REQUESTS_PER_STEP;
            self.caution = (self.caution * STEP).max(MIN_TRUST_IN_DELAY);
            self.trusts_order = true;
        }
    }

    /// Returns whether the refusal may be our own doing: a request that was delayed by
    /// more than we cared to wait, of a delay that may have been `excess`. More care
    /// cures that. A refusal for any other reason is likely to come again and costs
    /// double, until the reason is known.
    pub(super) fn refused(&mut self, excess: f64) -> bool {
        // Half the margin, because the fastest way may be faster than we have seen.
        let doubt = excess - self.min_assumed(excess);
        let gambled = self.delays_are_equal() || doubt > MIN_MARGIN / 2.0;
        self.margin = (self.margin * 2.0).min(MAX_MARGIN);
        self.caution = 1.0;
        self.trusts_order = false;
        self.until_step = FROZEN_REQUESTS;
        self.record_refusal();
        if !gambled {
            self.record_refusal();
            self.unexplained += 1;
        }
        gambled
    }

    /// Another app was seen; whatever was refused, was refused for its sake.
    pub(super) fn refund_unexplained(&mut self) {
        let repaid = PRICE * std::mem::take(&mut self.unexplained);
        self.credit = (self.credit + repaid).min(PRICE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record_success(trickle: &mut Trickle, requests: i64) {
        for _ in 0..requests {
            trickle.record_success();
        }
    }

    #[test]
    fn a_refusal_of_our_own_doing_is_on_credit_once_in_ten_thousand() {
        let mut trickle = Trickle::new();
        for _ in 0..CLEAN_REQUESTS_PER_STEP {
            trickle.accepted();
        }
        assert!(
            trickle.refused(0.5),
            "a fifth of half a second was not waited out"
        );
        assert!(trickle.is_in_credit());
        assert!(!trickle.refused(0.5), "now all of it was");
        assert!(!trickle.is_in_credit());
    }

    #[test]
    fn an_unexplained_refusal_costs_double_until_it_is_explained() {
        let mut trickle = Trickle::new();
        assert!(!trickle.refused(0.0));
        record_success(&mut trickle, PRICE - 1);
        assert!(!trickle.is_in_credit());
        trickle.record_success();
        assert!(trickle.is_in_credit());
        assert!(!trickle.refused(0.0));
        assert!(!trickle.is_in_credit());
        trickle.refund_unexplained();
        assert!(trickle.is_in_credit());
        trickle.record_refusal();
        trickle.refund_unexplained();
        assert!(!trickle.is_in_credit(), "explained once, repaid once");
    }

    #[test]
    fn no_more_than_one_refusal_is_ever_on_credit() {
        let mut trickle = Trickle::new();
        record_success(&mut trickle, 5 * PRICE);
        trickle.record_refusal();
        assert!(trickle.is_in_credit());
        trickle.record_refusal();
        assert!(!trickle.is_in_credit());
    }

    #[test]
    fn the_debt_is_never_more_than_that_of_one_unexplained_refusal() {
        let mut trickle = Trickle::new();
        for _ in 0..96 {
            trickle.refused(0.0);
            trickle.record_refusal();
        }
        record_success(&mut trickle, MAX_DEBT - 1);
        assert!(!trickle.is_in_credit());
        trickle.record_success();
        assert!(trickle.is_in_credit());
    }

    #[test]
    fn the_margin_doubles_after_a_refusal_and_fades() {
        let mut trickle = Trickle::new();
        assert_eq!(trickle.margin(), Duration::from_millis(20));
        assert_eq!(trickle.spacing(), Duration::from_millis(1_020));
        for doubled in [40, 80, 160, 320, 500, 500] {
            trickle.refused(0.0);
            assert_eq!(trickle.margin(), Duration::from_millis(doubled));
        }
        for _ in 0..7_000 {
            trickle.accepted();
        }
        let faded = trickle.margin().as_secs_f64();
        assert!((0.24..0.26).contains(&faded), "{faded}");
    }

    #[test]
    fn a_possible_delay_is_assumed_a_little_less_every_two_hundred_requests() {
        let mut trickle = Trickle::new();
        assert_eq!(trickle.delay(0.5), Duration::from_millis(500));
        assert_eq!(trickle.delay(3.0), trickle.longest_delay());
        for _ in 0..CLEAN_REQUESTS_PER_STEP {
            assert_eq!(trickle.delay(0.5), Duration::from_millis(500));
            trickle.accepted();
        }
        assert_eq!(trickle.delay(0.5), Duration::from_millis(400));
        for _ in 0..100 * CLEAN_REQUESTS_PER_STEP {
            trickle.accepted();
        }
        assert_eq!(trickle.delay(0.5), Duration::from_millis(50));
        trickle.refused(0.0);
        for _ in 0..FROZEN_REQUESTS - 1 {
            trickle.accepted();
        }
        assert_eq!(trickle.delay(0.5), Duration::from_millis(500));
    }
}
