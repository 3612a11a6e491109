//! Dates that can be true. `0000-00-00`, `-0001-11-30`, the first second of 1970 and the
//! year 9999 are what software writes for "no date", and a date that is not true must
//! neither count in a window nor set the place from which changes are read.

use jiff::civil::{Date, date};
use jiff::{SignedDuration, Timestamp};

use crate::instant::{riyadh_date, riyadh_midnight};

/// Salla is younger, but shops bring records of other platforms along.
const FIRST_DAY: Date = date(2000, 1, 1);

/// No customer is older.
const FIRST_BIRTHDAY: Date = date(1900, 1, 1);

/// Zones that are confused and clocks that differ make no more than this.
const AHEAD: SignedDuration = SignedDuration::from_hours(48);

/// The dates that a record can have that was requested at some time.
#[derive(Clone, Copy, Debug)]
pub struct PlausibleDates {
    first: Timestamp,
    last: Timestamp,
}

impl PlausibleDates {
    pub fn at(now: Timestamp) -> Self {
        Self {
            first: riyadh_midnight(FIRST_DAY),
            last: now.checked_add(AHEAD).unwrap_or(Timestamp::MAX),
        }
    }

    pub fn contain(&self, instant: Timestamp) -> bool {
        (self.first..=self.last).contains(&instant)
    }

    pub fn contain_birthday(&self, day: Date) -> bool {
        (FIRST_BIRTHDAY..=riyadh_date(self.last)).contains(&day)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_true() {
        let dates = PlausibleDates::at("2025-06-15T12:00:00Z".parse().unwrap());
        let table = [
            ("1970-01-01T00:00:00Z", false),
            ("1999-12-31T20:59:59Z", false),
            ("1999-12-31T21:00:00Z", true),
            ("2025-06-15T12:00:00Z", true),
            ("2025-06-17T12:00:00Z", true),
            ("2025-06-17T12:00:01Z", false),
            ("9999-12-30T00:00:00Z", false),
        ];
        for (instant, is_plausible) in table {
            assert_eq!(
                dates.contain(instant.parse().unwrap()),
                is_plausible,
                "{instant}"
            );
        }
        for (day, is_plausible) in [
            ("1899-12-31", false),
            ("1900-01-01", true),
            ("1970-01-01", true),
            ("2025-06-15", true),
            ("2026-01-01", false),
        ] {
            assert_eq!(
                dates.contain_birthday(day.parse().unwrap()),
                is_plausible,
                "{day}"
            );
        }
        assert!(PlausibleDates::at(Timestamp::MAX).contain(Timestamp::MAX));
    }
}
