//! Slices of a resource by creation day in Asia/Riyadh.

use jiff::ToSpan;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

/// Days from `from` to `to`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DayRange {
    pub from: Date,
    pub to: Date,
}

/// How far a query must reach beyond its window on each side so that neighbouring
/// windows leave no gap, whatever Salla's filters mean.
///
/// Whether `from_date` and `to_date` are inclusive is not documented
/// (docs/salla-api.md#list-of-orders). Where they are, adjacent windows request adjacent days, in
/// either time zone. Where they are exclusive, the named day is lost; planning finds out which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overlap {
    pub days_before: u8,
    pub days_after: u8,
}

impl Overlap {
    pub const INCLUSIVE: Self = Self {
        days_before: 0,
        days_after: 0,
    };
    pub const EXCLUSIVE: Self = Self {
        days_before: 2,
        days_after: 1,
    };
}

/// What to request, so that the windows of a range together miss nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueryRange {
    pub range: DayRange,
    pub overlap: Overlap,
}

impl QueryRange {
    /// The days to request, for one window of the range.
    ///
    /// Whether the filter's days are Riyadh's or UTC's is not documented either. Riyadh's day
    /// begins while UTC has the day before, so the first window of the range requests that one as
    /// well.
    pub fn of(&self, window: DayRange) -> DayRange {
        let begins_the_range = window.from <= self.range.from;
        window.widened(Overlap {
            days_before: self.overlap.days_before.max(u8::from(begins_the_range)),
            ..self.overlap
        })
    }

    /// Whether the window's request may list an order of that Riyadh day.
    pub fn may_list(&self, window: DayRange, riyadh_day: Date) -> bool {
        let day_later = Overlap {
            days_before: 0,
            days_after: 1,
        };
        self.of(window).widened(day_later).contains(riyadh_day)
    }
}

impl DayRange {
    /// `None` when `from` is after `to`.
    pub fn new(from: Date, to: Date) -> Option<Self> {
        (from <= to).then_some(Self { from, to })
    }

    /// The days of the last `months` months up to and including `to`.
    pub fn last_months(to: Date, months: u16) -> Self {
        let from = to.saturating_sub(i32::from(months).months());
        Self { from, to }
    }

    pub fn days(&self) -> u32 {
        let span = self.from.until(self.to).map(|s| s.get_days()).unwrap_or(0);
        u32::try_from(span).unwrap_or(0) + 1
    }

    pub fn contains(&self, day: Date) -> bool {
        self.from <= day && day <= self.to
    }

    /// The older and the newer half; `None` for a single day.
    pub fn split(&self) -> Option<(Self, Self)> {
        if self.from == self.to {
            return None;
        }
        let half = i64::from(self.days() / 2);
        let newer_from = self.from.saturating_add(half.days());
        Some((
            Self {
                from: self.from,
                to: newer_from.saturating_sub(1.day()),
            },
            Self {
                from: newer_from,
                to: self.to,
            },
        ))
    }

    pub fn widened(&self, overlap: Overlap) -> Self {
        Self {
            from: self
                .from
                .saturating_sub(i64::from(overlap.days_before).days()),
            to: self.to.saturating_add(i64::from(overlap.days_after).days()),
        }
    }

    /// Cuts the range into windows, newest first: `newest_days` first, so that the
    /// latest month is usable early, then pieces of at most `days` days.
    pub fn windows_newest_first(&self, newest_days: u32, days: u32) -> Vec<Self> {
        let mut windows = Vec::new();
        let mut to = self.to;
        let mut length = newest_days.clamp(1, days.max(1));
        loop {
            let from = to
                .saturating_sub((i64::from(length) - 1).days())
                .max(self.from);
            windows.push(Self { from, to });
            if from <= self.from {
                return windows;
            }
            to = from.saturating_sub(1.day());
            length = days.max(1);
        }
    }
}

impl std::fmt::Display for DayRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}..{}", self.from, self.to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn day(n: i64) -> Date {
        Date::constant(2023, 1, 1).saturating_add(n.days())
    }

    proptest! {
        #[test]
        fn windows_cover_the_range_without_gap_or_overlap(
            start in 0i64..800, length in 0i64..800, newest in 1u32..60, days in 1u32..200
        ) {
            let range = DayRange::new(day(start), day(start + length)).unwrap();
            let windows = range.windows_newest_first(newest, days);
            prop_assert_eq!(windows[0].to, range.to);
            prop_assert_eq!(windows.last().unwrap().from, range.from);
            for pair in windows.windows(2) {
                prop_assert_eq!(pair[1].to.saturating_add(1.day()), pair[0].from);
            }
            prop_assert_eq!(windows.iter().map(DayRange::days).sum::<u32>(), range.days());
            prop_assert!(windows.iter().all(|w| w.days() <= days.max(newest)));
        }

        #[test]
        fn halves_make_the_whole(start in 0i64..800, length in 1i64..800) {
            let range = DayRange::new(day(start), day(start + length)).unwrap();
            let (older, newer) = range.split().unwrap();
            prop_assert_eq!(older.from, range.from);
            prop_assert_eq!(newer.to, range.to);
            prop_assert_eq!(older.to.saturating_add(1.day()), newer.from);
        }

        /// With every meaning of a filter, some window requests each instant of the range, and is
        /// known to list it: this is what the reach is for.
        #[test]
        fn no_instant_of_the_range_is_left_out(
            first in 30i64..700, days in 1i64..60, per_window in 1u32..20,
            offset in 0i64..60, second_of_day in 0i64..86_400,
            from_inclusive: bool, to_inclusive: bool, utc: bool
        ) {
            // A single day comes back empty as soon as one end is exclusive.
            let exclusive = !from_inclusive || !to_inclusive;
            let overlap = if exclusive { Overlap::EXCLUSIVE } else { Overlap::INCLUSIVE };
            let range = DayRange::new(day(first), day(first + days - 1)).unwrap();
            let reach = QueryRange { range, overlap };
            let local_day = day(first + offset % days);
            let local = local_day.to_datetime(jiff::civil::Time::midnight())
                .saturating_add(second_of_day.seconds());
            let filtered_day = if utc { local.saturating_sub(3.hours()).date() } else { local.date() };
            let matches = |range: &DayRange| {
                (filtered_day > range.from || (from_inclusive && filtered_day == range.from))
                    && (filtered_day < range.to || (to_inclusive && filtered_day == range.to))
            };
            let windows = range.windows_newest_first(1, per_window);
            let listing: Vec<_> = windows.iter().filter(|w| matches(&reach.of(**w))).collect();
            prop_assert!(!listing.is_empty(), "{filtered_day} {range}");
            for window in listing {
                prop_assert!(reach.may_list(*window, local_day), "{local_day} {window}");
            }
        }
    }

    #[test]
    fn a_single_day_cannot_be_split() {
        assert_eq!(DayRange::new(day(1), day(1)).unwrap().split(), None);
        assert_eq!(DayRange::new(day(2), day(1)), None);
    }

    #[test]
    fn twelve_months_back_from_the_end_of_a_month() {
        let to: Date = "2024-02-29".parse().unwrap();
        let range = DayRange::last_months(to, 12);
        assert_eq!(range.to_string(), "2023-02-28..2024-02-29");
    }
}
