//! The rate headers of an answer (docs/salla-api.md#rate-limits).

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822;

/// What one answer says about the budget. All parts may be absent: integrators have
/// met 429s without any of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateHeaders {
    /// Never 0: a shop that may send nothing would not have answered.
    pub limit: Option<u32>,
    pub remaining: Option<u32>,
    /// `X-RateLimit-Reset`: the end of the window, in seconds since 1970.
    pub reset_epoch: Option<i64>,
    /// `Date`: the server's clock, cut to seconds.
    pub date_epoch: Option<i64>,
    /// Read apart, by [`crate::classify::retry_after`].
    pub retry_after: Option<Duration>,
}

/// Smaller values of `X-RateLimit-Reset` cannot be a date; they are seconds from now.
const EARLIEST_EPOCH: i64 = 1_000_000_000;

/// Nor can larger ones (the year 5138); sums of smaller ones cannot overflow.
const LATEST_EPOCH: i64 = 100_000_000_000;

impl RateHeaders {
    /// Reads the headers through `get`, which looks one up by its lowercase name.
    pub fn read<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Self {
        let date_epoch = get("date").and_then(http_date);
        Self {
            limit: get("x-ratelimit-limit").and_then(count).filter(|&n| n > 0),
            remaining: get("x-ratelimit-remaining").and_then(count),
            reset_epoch: get("x-ratelimit-reset").and_then(|text| reset(text, date_epoch)),
            date_epoch,
            retry_after: None,
        }
    }

    /// Whether the answer says how much budget is left.
    pub fn has_budget(&self) -> bool {
        self.remaining.is_some()
    }

    /// How long until the window that the answer tells of is certainly over, by Salla's
    /// clock or, where it does not tell, by ours.
    pub(super) fn until_reset(&self, now: Timestamp) -> Option<Duration> {
        let reset = self.reset_epoch?;
        let now = self.date_epoch.unwrap_or_else(|| now.as_second());
        // Both are cut to seconds.
        u64::try_from(reset + 1 - now).ok().map(Duration::from_secs)
    }

    /// The same answer without what it says of the budget: for a budget that it
    /// does not speak of.
    pub fn without_budget(self) -> Self {
        Self {
            limit: None,
            remaining: None,
            reset_epoch: None,
            ..self
        }
    }
}

/// An over-drawn budget may be told as a negative number.
fn count(text: &str) -> Option<u32> {
    let number: i64 = text.trim().parse().ok()?;
    Some(u32::try_from(number.max(0)).unwrap_or(u32::MAX))
}

fn reset(text: &str, date_epoch: Option<i64>) -> Option<i64> {
    let number: i64 = text.trim().parse().ok()?;
    match number {
        ..EARLIEST_EPOCH => date_epoch.map(|date| date + number.max(0)),
        EARLIEST_EPOCH..LATEST_EPOCH => Some(number),
        LATEST_EPOCH.. => None,
    }
}

fn http_date(text: &str) -> Option<i64> {
    let zoned = rfc2822::DateTimeParser::new().parse_zoned(text).ok()?;
    Some(Timestamp::from(zoned).as_second())
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
}
