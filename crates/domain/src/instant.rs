//! Instants as Salla sends them: never without the text they came from.
//!
//! Salla's dates exist in five forms, and some are UTC although they are labelled Asia/Riyadh
//! (docs/salla-api.md#dates). The raw text and the reading that was chosen stay beside the instant,
//! so that a wrong reading can be corrected later without a request.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::{Offset, TimeZone};
use serde::{Deserialize, Serialize};

crate::names! {
    /// How the raw text of a date was understood.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum DateReading {
        /// A civil time without offset, taken as Asia/Riyadh.
        Riyadh = "riyadh",
        /// A civil time in the zone that the date object itself names.
        NamedZone = "named_zone",
        /// The text carries its own offset or `Z`.
        Offset = "offset",
        /// Seconds since 1970 UTC.
        Epoch = "epoch",
    }
}

/// An instant, the text it was read from, and how it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SallaInstant {
    pub instant: Timestamp,
    pub raw: String,
    pub reading: DateReading,
}

impl SallaInstant {
    pub fn riyadh_date(&self) -> Date {
        riyadh_date(self.instant)
    }
}

/// The calendar day of `instant` in Asia/Riyadh.
///
/// Saudi Arabia has kept UTC+3 without daylight saving since 1947, so the offset
/// is a constant and needs no time-zone database.
pub fn riyadh_date(instant: Timestamp) -> Date {
    riyadh().to_datetime(instant).date()
}

/// Asia/Riyadh as a fixed offset of three hours.
pub fn riyadh() -> TimeZone {
    TimeZone::fixed(Offset::constant(3))
}

/// The first instant of `day` in Asia/Riyadh.
pub fn riyadh_midnight(day: Date) -> Timestamp {
    let offset = Offset::constant(3);
    offset
        .to_timestamp(day.to_datetime(jiff::civil::Time::midnight()))
        .unwrap_or(Timestamp::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_day_changes_at_riyadh_midnight() {
        let table = [
            ("2025-03-09T20:59:59Z", "2025-03-09"),
            ("2025-03-09T21:00:00Z", "2025-03-10"),
            ("2025-12-31T20:59:59.999999Z", "2025-12-31"),
            ("2025-12-31T21:00:00Z", "2026-01-01"),
        ];
        for (instant, day) in table {
            let instant: Timestamp = instant.parse().unwrap();
            assert_eq!(riyadh_date(instant).to_string(), day, "{instant}");
        }
    }

    #[test]
    fn midnight_is_the_first_instant_of_its_day() {
        let day: Date = "2025-01-01".parse().unwrap();
        let midnight = riyadh_midnight(day);
        assert_eq!(midnight.to_string(), "2024-12-31T21:00:00Z");
        assert_eq!(riyadh_date(midnight), day);
        let before = midnight - jiff::SignedDuration::from_nanos(1);
        assert_eq!(riyadh_date(before).to_string(), "2024-12-31");
    }
}
