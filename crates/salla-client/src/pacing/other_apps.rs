//! Whether another app spends from the same budget, how fast, and how to spend beside it.
//!
//! Salla's headers show the sum of what all of a shop's apps have spent, so whatever is
//! missing and was not ours shows that there is another one, without a refusal.
//! From then on three things are done:
//!
//! * The one request a second after exhaustion is left to it (see `trickle`). A second
//!   that both want is a race that one of us loses, and `Remaining` is 0 in either case,
//!   so nothing shows beforehand whether it is free. Beside an app that sends one
//!   request in 20 seconds, still four in 10,000 of ours would be refused, and nearly
//!   all of that app.
//! * What it may take between Salla's response and our next request is not spent.
//! * Samples show whether it is still there, which an exhausted budget would not show.
//!
//! What is sacrificed is thus the seconds after exhaustion, for as long as the other app keeps
//! being seen and for [`REMEMBERED_FOR`] longer; the budget itself is used to the full. What cannot
//! be helped is the refusal from which we learn of an app that has stayed out of sight until then,
//! because it sent nothing while there was budget left.
//!
//! Sampling: most of a period is spent immediately. The rest is sent one request at a time, each
//! twice as far into the period as the one before, so that their responses show whether another app
//! has spent anything meanwhile; and what is then left goes shortly before the reset. This costs
//! nothing, since the requests go in any case, and the doubling makes it safe: if no other app
//! showed for some time, it is unlikely that one spends as much as is left in as much time more.
//! Once the other app was seen, this period has no more to show, and the rest is spent immediately.

use std::time::Duration;

use super::period::BudgetPeriod;
use super::settings::{SendDecision, SendMode};

/// How long another app is expected back after it was last seen: two rounds of a job that runs
/// every five minutes, so that one of them may go unseen.
const REMEMBERED_FOR: Duration = Duration::from_secs(11 * 60);

/// Half-life, in seconds, of the estimated speed of another app that has not been seen again.
const HALF_LIFE: f64 = 300.0;

/// Requests at random times rarely exceed their mean by more than this many standard deviations.
const DEVIATIONS: f64 = 3.0;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct OtherApps {
    last: Option<Observation>,
}

#[derive(Clone, Copy, Debug)]
struct Observation {
    at: Duration,
    /// Requests a second.
    rate: f64,
}

impl OtherApps {
    /// Another app sent requests, about this many a second.
    pub(super) fn seen(&mut self, now: Duration, rate: f64) {
        let rate = rate.max(self.rate(now));
        self.last = Some(Observation { at: now, rate });
    }

    pub(super) fn are_active(&self, now: Duration) -> bool {
        self.last
            .is_some_and(|last| now.saturating_sub(last.at) < REMEMBERED_FOR)
    }

    /// How many requests a second the other app was last seen to send.
    pub(super) fn rate(&self, now: Duration) -> f64 {
        self.last.map_or(0.0, |last| {
            let age = now.saturating_sub(last.at).as_secs_f64();
            last.rate * 0.5f64.powf(age / HALF_LIFE)
        })
    }

    /// How many requests an app of this speed may send during the round trip of one of ours; never
    /// less than one.
    pub(super) fn requests_within(rate: f64, round_trip: Duration) -> usize {
        let mean = rate * round_trip.as_secs_f64();
        1 + (mean + DEVIATIONS * mean.sqrt()).ceil() as usize
    }
}

/// Kept back for sampling: more than another app is likely to take unseen, so that
/// samples find something left.
const SAMPLING_RESERVE: usize = 40;

/// Neither sampling nor caution takes more than this part of the limit.
const MAX_KEPT_PART: u32 = 3;

/// How long before the certain reset the rest must have arrived: the reset may be a second earlier,
/// and delays may be unequal.
const FINAL_BURST: Duration = Duration::from_secs(2);

/// What is left is taken as reported for this long; then one request goes alone.
const FRESH: Duration = Duration::from_secs(1);

/// The first sample goes no earlier into the period.
const FIRST_SAMPLE: Duration = Duration::from_secs(1);

/// How to spend the budget of a period beside other apps, which may have to be noticed first.
#[derive(Debug)]
pub(super) struct Sampling<'a> {
    pub(super) period: &'a BudgetPeriod,
    pub(super) other_apps: &'a OtherApps,
    /// Another app was seen, or must be suspected after too many refusals.
    pub(super) is_careful: bool,
    /// The one request a second after exhaustion could be ours.
    pub(super) may_trickle: bool,
    pub(super) in_flight: usize,
    pub(super) last_sent: Option<Duration>,
    pub(super) round_trip: Duration,
    /// When the reset is certain.
    pub(super) reset: Duration,
    /// What a request that keeps its distance to the last one would have to do.
    pub(super) burst: SendDecision,
}

impl Sampling<'_> {
    pub(super) fn decide(&self, now: Duration) -> SendDecision {
        let left = (self.period.lowest as usize).saturating_sub(self.in_flight);
        let max = (self.period.limit / MAX_KEPT_PART) as usize;
        let reserve = self.reserve(now).min(max);
        if left <= reserve {
            return SendDecision::Until(self.reset);
        }
        if left > SAMPLING_RESERVE.min(max) || !self.should_sample() {
            return self.burst(now);
        }
        let final_burst_at = self.final_burst_at(left);
        let next = self.next_sample_at();
        if now >= final_burst_at {
            self.burst(now)
        } else if now >= next {
            self.alone(SendDecision::Send(SendMode::Burst))
        } else {
            SendDecision::Until(next.min(final_burst_at))
        }
    }

    /// When the rest must go: one request alone, then as many at a time as have been in
    /// flight in this period before.
    fn final_burst_at(&self, left: usize) -> Duration {
        let rounds = 1 + left.div_ceil(self.period.busiest.max(1));
        let takes = self.round_trip * rounds as u32;
        self.reset.saturating_sub(FINAL_BURST + takes)
    }

    /// What another app may have taken since the last response and may yet take before
    /// our next request arrives.
    fn reserve(&self, now: Duration) -> usize {
        if !self.is_careful {
            return 0;
        }
        let known = self.other_apps.rate(now);
        let rate = if self.period.has_other_apps() {
            self.period.rate_of_other_apps(now).max(known)
        } else {
            self.period.highest_unseen_rate().min(known)
        };
        let unknown = now.saturating_sub(self.period.reported_at) + self.round_trip;
        OtherApps::requests_within(rate, unknown)
    }

    /// Whether samples can show something: the seconds after exhaustion
    /// could be ours again, and this period has not shown another app yet.
    fn should_sample(&self) -> bool {
        self.may_trickle && !self.period.has_other_apps()
    }

    /// Twice as far into the period as the last request.
    fn next_sample_at(&self) -> Duration {
        let last = self.last_sent.unwrap_or_default();
        let begun = self.period.seen_at;
        begun + (last.saturating_sub(begun) * 2).max(FIRST_SAMPLE)
    }

    /// What was reported a while ago may have been spent by other apps since.
    fn burst(&self, now: Duration) -> SendDecision {
        let fresh = now <= self.period.reported_at + FRESH + self.round_trip;
        if fresh {
            self.burst
        } else {
            self.alone(self.burst)
        }
    }

    fn alone(&self, decision: SendDecision) -> SendDecision {
        if self.in_flight == 0 {
            decision
        } else {
            SendDecision::AfterResponse
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn it_is_expected_back_for_eleven_minutes_and_its_speed_fades() {
        let mut others = OtherApps::default();
        assert!(!others.are_active(s(0)));
        others.seen(s(100), 2.0);
        assert!(others.are_active(s(100)) && others.are_active(s(759)));
        assert!(!others.are_active(s(760)));
        assert!((others.rate(s(400)) - 1.0).abs() < 1e-9);
        others.seen(s(400), 0.25);
        assert!((others.rate(s(400)) - 1.0).abs() < 1e-9, "the faster rules");
        others.seen(s(400), 3.0);
        assert!((others.rate(s(400)) - 3.0).abs() < 1e-9);
    }

    #[test]
    fn what_may_come_within_a_round_trip_is_rarely_exceeded() {
        let round_trip = Duration::from_millis(250);
        for (rate, expected) in [(0.0, 1), (0.05, 2), (1.0, 3), (4.0, 5), (36.0, 19)] {
            assert_eq!(
                OtherApps::requests_within(rate, round_trip),
                expected,
                "{rate}/s"
            );
        }
    }
}
