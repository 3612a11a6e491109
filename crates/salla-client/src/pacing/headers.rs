//! The rate headers of a response (docs/salla-api.md#rate-limits), and what time it is at Salla.

use std::time::Duration;

use jiff::Timestamp;

use crate::header_time::{HeaderTime, http_date};

/// What one response says about the budget. All parts may be absent: integrators have
/// met 429s without any of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateHeaders {
    /// Never 0: a shop that may send nothing would not have answered.
    pub limit: Option<u32>,
    pub remaining: Option<u32>,
    /// `X-RateLimit-Reset`: the end of the period, in seconds since 1970.
    pub reset_epoch: Option<i64>,
    /// `Date`: the server's clock, cut to seconds.
    pub date_epoch: Option<i64>,
    /// Read apart, by [`crate::classify::retry_after`].
    pub retry_after: Option<Duration>,
}

/// No period is longer, and no sum with one that is shorter can overflow.
const LONGEST_PERIOD: Duration = Duration::from_hours(24);

impl RateHeaders {
    /// Reads the headers through `get`, which looks one up by its lowercase name.
    pub fn read<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Self {
        let date_epoch = get("date").and_then(http_date).map(Timestamp::as_second);
        Self {
            limit: get("x-ratelimit-limit").and_then(count).filter(|&n| n > 0),
            remaining: get("x-ratelimit-remaining").and_then(count),
            reset_epoch: get("x-ratelimit-reset").and_then(|text| reset(text, date_epoch)),
            date_epoch,
            retry_after: None,
        }
    }

    /// Whether the response says how much budget is left.
    pub fn has_budget(&self) -> bool {
        self.remaining.is_some()
    }

    /// How long until the period that the response reports is certainly over, by Salla's
    /// clock or, where it does not say, by ours.
    pub(crate) fn until_reset(&self, now: Timestamp) -> Option<Duration> {
        let reset = self.reset_epoch?;
        let now = self.date_epoch.unwrap_or_else(|| now.as_second());
        // Both are cut to seconds.
        u64::try_from(reset + 1 - now).ok().map(Duration::from_secs)
    }

    /// The same response without what it says of the budget: for a budget that it
    /// does not report.
    pub fn without_budget(self) -> Self {
        Self {
            limit: None,
            remaining: None,
            reset_epoch: None,
            ..self
        }
    }
}

/// An overdrawn budget may be reported as a negative number.
fn count(text: &str) -> Option<u32> {
    let number: i64 = text.trim().parse().ok()?;
    Some(u32::try_from(number.max(0)).unwrap_or(u32::MAX))
}

fn reset(text: &str, date_epoch: Option<i64>) -> Option<i64> {
    match HeaderTime::read(text)? {
        HeaderTime::At(moment) => Some(moment.as_second()),
        HeaderTime::After(wait) if wait > LONGEST_PERIOD => None,
        HeaderTime::After(wait) => Some(date_epoch? + i64::try_from(wait.as_secs()).ok()?),
    }
}

/// Two clocks drift apart by less than this; older bounds are widened by it.
const DRIFT: f64 = 1e-4;

/// How long the estimate is not used after a contradiction.
const UNTRUSTED_FOR: Duration = Duration::from_secs(300);

/// What time it is at Salla, as two bounds.
///
/// `X-RateLimit-Reset` is a moment of Salla's clock, so to use it we must know how far
/// that clock is from ours. Each response's `Date` header bounds it: the server wrote a
/// time between `date` and `date + 1 s` at some moment between our sending and our
/// receiving. The bounds of many responses intersect to within a few milliseconds.
#[derive(Debug, Default)]
pub(super) struct ClockOffset {
    bounds: Option<Bounds>,
    untrusted_until: Duration,
}

/// Salla's clock minus our monotonic one, in seconds.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    low: f64,
    high: f64,
    at: Duration,
}

impl ClockOffset {
    /// Takes in the `Date` of a response.
    pub(super) fn observe(&mut self, date_epoch: i64, sent: Duration, received: Duration) {
        let sample = Bounds {
            low: date_epoch as f64 - received.as_secs_f64(),
            high: date_epoch as f64 + 1.0 - sent.as_secs_f64(),
            at: received,
        };
        self.intersect(sample);
    }

    /// Takes in that Salla's clock had not reached `epoch` when it dealt with a
    /// request sent then.
    pub(super) fn observe_not_reached(&mut self, epoch: i64, sent: Duration, received: Duration) {
        let sample = Bounds {
            low: f64::NEG_INFINITY,
            high: epoch as f64 - sent.as_secs_f64(),
            at: received,
        };
        if self.bounds.is_some() {
            self.intersect(sample);
        }
    }

    /// The moment of our clock at which Salla's has certainly reached `epoch`;
    /// `None` as long as nothing is certain.
    pub(super) fn local_time_after(&self, epoch: i64, now: Duration) -> Option<Duration> {
        if now < self.untrusted_until {
            return None;
        }
        let bounds = self.bounds?.widened(now);
        let local = epoch as f64 - bounds.low;
        Duration::try_from_secs_f64(local.max(0.0)).ok()
    }

    /// By how much Salla's clock is at least ahead of one that shows `shown` seconds since
    /// 1970 now, and at most; `None` as long as no response has said what time it is.
    pub(super) fn ahead_of(&self, shown: f64, now: Duration) -> Option<(f64, f64)> {
        let bounds = self.bounds?.widened(now);
        let ours = shown - now.as_secs_f64();
        Some((bounds.low - ours, bounds.high - ours))
    }

    fn intersect(&mut self, sample: Bounds) {
        let known = self.bounds.map_or(sample, |b| b.widened(sample.at));
        let both = Bounds {
            low: known.low.max(sample.low),
            high: known.high.min(sample.high),
            at: sample.at,
        };
        if both.low <= both.high {
            self.bounds = Some(both);
        } else {
            // A clock was set, or `Date` is written by another machine than the one that
            // counts: start again, and rely on nothing for a while.
            self.bounds = sample.low.is_finite().then_some(sample);
            self.untrusted_until = sample.at + UNTRUSTED_FOR;
        }
    }
}

impl Bounds {
    fn widened(self, now: Duration) -> Self {
        let drift = now.saturating_sub(self.at).as_secs_f64() * DRIFT;
        Self {
            low: self.low - drift,
            high: self.high + drift,
            at: now.max(self.at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &'static str)]) -> RateHeaders {
        RateHeaders::read(|name| pairs.iter().find(|p| p.0 == name).map(|p| p.1))
    }

    #[test]
    fn salla_s_four_headers_and_the_date_are_read() {
        let headers = read(&[
            ("x-ratelimit-limit", "120"),
            ("x-ratelimit-remaining", "119"),
            ("x-ratelimit-reset", "1750000060"),
            ("date", "Sun, 15 Jun 2025 15:06:40 GMT"),
        ]);
        let expected = RateHeaders {
            limit: Some(120),
            remaining: Some(119),
            reset_epoch: Some(1_750_000_060),
            date_epoch: Some(1_750_000_000),
            retry_after: None,
        };
        assert_eq!(headers, expected);
    }

    #[test]
    fn odd_values_are_read_as_what_they_must_mean() {
        let date = ("date", "Sun, 15 Jun 2025 15:06:40 GMT");
        let relative = read(&[date, ("x-ratelimit-reset", "59")]);
        assert_eq!(relative.reset_epoch, Some(1_750_000_059));
        for reset in ["1750000060000", "Sun, 15 Jun 2025 15:07:40 GMT"] {
            let absolute = read(&[("x-ratelimit-reset", reset)]);
            assert_eq!(absolute.reset_epoch, Some(1_750_000_060), "{reset}");
        }
        assert_eq!(read(&[("x-ratelimit-remaining", "-3")]).remaining, Some(0));
        assert_eq!(read(&[("x-ratelimit-limit", "0")]).limit, None);
    }

    #[test]
    fn rubbish_is_as_good_as_absent() {
        let headers = read(&[
            ("x-ratelimit-limit", "many"),
            ("x-ratelimit-remaining", ""),
            ("x-ratelimit-reset", "soon"),
            ("date", "yesterday"),
        ]);
        assert_eq!(headers, RateHeaders::default());
        let far = read(&[("x-ratelimit-reset", "9223372036854775807")]);
        assert_eq!(far, RateHeaders::default());
    }

    fn at(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    /// Salla's clock shows `local + OFFSET`.
    const OFFSET: f64 = 1_750_000_000.4;

    fn answer(clock: &mut ClockOffset, sent: f64) {
        let received = sent + 0.1;
        let date = (sent + 0.05 + OFFSET).floor() as i64;
        clock.observe(date, at(sent), at(received));
    }

    #[test]
    fn many_responses_bound_the_clock_offset_to_within_a_latency() {
        let mut clock = ClockOffset::default();
        assert_eq!(clock.local_time_after(1_750_000_060, at(1.0)), None);
        for request in 0..50 {
            answer(&mut clock, f64::from(request) * 1.02);
        }
        let reset = clock
            .local_time_after(1_750_000_060, at(51.0))
            .unwrap()
            .as_secs_f64();
        let truth = 1_750_000_060.0 - OFFSET;
        assert!(
            (truth..truth + 0.08).contains(&reset),
            "{reset} instead of {truth}"
        );
    }

    #[test]
    fn a_contradiction_makes_it_uncertain_for_a_while() {
        let mut clock = ClockOffset::default();
        answer(&mut clock, 1.0);
        clock.observe(1_760_000_000, at(2.0), at(2.1));
        assert_eq!(clock.local_time_after(1_760_000_060, at(3.0)), None);
        assert!(clock.local_time_after(1_760_000_060, at(303.0)).is_some());
    }

    #[test]
    fn a_date_says_how_far_the_clocks_are_apart() {
        let mut clock = ClockOffset::default();
        assert_eq!(clock.ahead_of(OFFSET, at(1.0)), None);
        answer(&mut clock, 1.0);
        for ahead in [0.0, 10_800.0, -172_800.0] {
            let (low, high) = clock.ahead_of(OFFSET + 1.1 - ahead, at(1.1)).unwrap();
            assert!(
                low <= ahead && ahead <= high && high - low < 1.2,
                "{low}..{high}"
            );
        }
    }

    #[test]
    fn a_reset_that_had_not_come_refutes_a_date_that_is_ahead() {
        let mut clock = ClockOffset::default();
        answer(&mut clock, 1.0);
        clock.observe_not_reached(1_749_999_000, at(1.0), at(1.1));
        assert_eq!(clock.local_time_after(1_749_999_000, at(2.0)), None);
    }
}
