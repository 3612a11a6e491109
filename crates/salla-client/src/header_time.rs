//! Times in the headers of a response, which servers and proxies write in several ways.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822;

/// What `Retry-After` and `X-RateLimit-Reset` say: how long from now, or until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderTime {
    After(Duration),
    At(Timestamp),
}

/// Smaller numbers cannot be a date; they are seconds from now.
const EARLIEST_EPOCH: u64 = 1_000_000_000;

/// Nor can larger ones (the year 5138), unless they are milliseconds.
const LATEST_EPOCH: u64 = 100_000_000_000;

const EARLIEST_MILLISECONDS: u64 = EARLIEST_EPOCH * 1_000;
const LATEST_MILLISECONDS: u64 = LATEST_EPOCH * 1_000;

impl HeaderTime {
    /// Reads seconds from now, seconds or milliseconds since 1970, or a date.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        let Some(number) = whole_number(text) else {
            return http_date(text).map(Self::At);
        };
        let epoch = match number {
            EARLIEST_EPOCH..LATEST_EPOCH => number,
            EARLIEST_MILLISECONDS..LATEST_MILLISECONDS => number.div_ceil(1_000),
            _ => return Some(Self::After(Duration::from_secs(number))),
        };
        let moment = Timestamp::from_second(i64::try_from(epoch).ok()?).ok()?;
        Some(Self::At(moment))
    }

    /// How long that is from `now`, which the clock of the machine that wrote it shows.
    pub(crate) fn wait_from(self, now: Timestamp) -> Duration {
        match self {
            Self::After(wait) => wait,
            Self::At(moment) => Duration::try_from(moment.duration_since(now)).unwrap_or_default(),
        }
    }
}

/// A fraction, which the standard does not know, is rounded up.
fn whole_number(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let more = u64::from(fraction.bytes().any(|byte| byte != b'0'));
    let whole: u64 = whole.parse().unwrap_or(u64::MAX);
    Some(whole.saturating_add(more))
}

/// `Date` and other dates of headers (RFC 9110 §5.6.7).
pub(crate) fn http_date(text: &str) -> Option<Timestamp> {
    Some(rfc2822::parse(text).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_of_writing_a_time_is_read() {
        let at = |second| Some(HeaderTime::At(Timestamp::from_second(second).unwrap()));
        let after = |seconds| Some(HeaderTime::After(Duration::from_secs(seconds)));
        let table = [
            ("30", after(30)),
            (" 0 ", after(0)),
            ("1.2", after(2)),
            ("999999999", after(999_999_999)),
            ("1750000060", at(1_750_000_060)),
            ("1750000060.0", at(1_750_000_060)),
            ("1750000060000", at(1_750_000_060)),
            ("1750000059001", at(1_750_000_060)),
            ("Sun, 15 Jun 2025 15:07:40 GMT", at(1_750_000_060)),
            ("99999999999999999999999", after(u64::MAX)),
            ("-5", None),
            ("soon", None),
            ("", None),
        ];
        for (text, expected) in table {
            assert_eq!(HeaderTime::read(text), expected, "{text}");
        }
    }
}
