//! Days and moments in Riyadh. Saudi Arabia keeps UTC+3 all year round, so
//! plain arithmetic is right and no time zone database is needed.

use jiff::civil::{Date, DateTime};
use jiff::tz::Offset;
use jiff::{Timestamp, ToSpan};

pub(crate) const DAY_SECONDS: i64 = 86_400;
const OFFSET: Offset = Offset::constant(3);
const OFFSET_SECONDS: i64 = 3 * 3600;

/// The day in Riyadh as a count of days since 1970-01-01.
pub(crate) fn day_number(epoch_seconds: i64) -> i64 {
    (epoch_seconds + OFFSET_SECONDS).div_euclid(DAY_SECONDS)
}

/// The first second of a numbered day in Riyadh.
pub(crate) fn day_start(day: i64) -> i64 {
    day * DAY_SECONDS - OFFSET_SECONDS
}

pub(crate) fn number_of(date: Date) -> i64 {
    let epoch = Date::constant(1970, 1, 1);
    i64::from(epoch.until(date).map_or(0, |span| span.get_days()))
}

pub(crate) fn date_of(day: i64) -> Date {
    Date::constant(1970, 1, 1).saturating_add(day.days())
}

/// The wall clock in Riyadh at a moment.
pub(crate) fn wall_clock(epoch_seconds: i64) -> DateTime {
    OFFSET.to_datetime(instant(epoch_seconds))
}

/// The moment at which Riyadh's wall clocks show `local`.
pub(crate) fn moment(local: DateTime) -> i64 {
    OFFSET
        .to_timestamp(local)
        .map_or(i64::MAX, Timestamp::as_second)
}

/// A moment as jiff's type. Moments outside jiff's range cannot be asked for:
/// all of ours come from dates that jiff has parsed.
pub(crate) fn instant(epoch_seconds: i64) -> Timestamp {
    Timestamp::from_second(epoch_seconds).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn midnight_in_riyadh_is_nine_in_the_evening_in_utc() {
        let day = number_of(Date::constant(2025, 6, 15));
        assert_eq!(instant(day_start(day)).to_string(), "2025-06-14T21:00:00Z");
        assert_eq!(day_number(day_start(day)), day);
        assert_eq!(day_number(day_start(day) - 1), day - 1);
        assert_eq!(date_of(day), Date::constant(2025, 6, 15));
        assert_eq!(moment(wall_clock(day_start(day) + 5)), day_start(day) + 5);
    }
}
