//! What a date filter lets through. Salla documents neither the zone nor
//! whether the bounds belong to the range, so the scenario decides.

use super::request::Query;
use super::response::Response;
use crate::scenario::{DateFilter, FilterZone};
use crate::shop::riyadh::{self, DAY_SECONDS};
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use std::ops::Range;

/// The moments that pass, in epoch seconds.
pub(crate) type Moments = Range<i64>;

pub(crate) const ALL_TIME: Moments = i64::MIN..i64::MAX;

/// A bound as written: a whole day, or a moment.
#[derive(Clone, Copy, Debug)]
enum Bound {
    Day(Date),
    Local(DateTime),
    Instant(Timestamp),
}

pub(crate) fn moments(
    query: &Query,
    from: &str,
    to: &str,
    filter: DateFilter,
) -> Result<Moments, Response> {
    let start = parse(query, from)?.map_or(ALL_TIME.start, |bound| {
        let (first, after) = extent(bound, filter.zone);
        if filter.from_inclusive { first } else { after }
    });
    let end = parse(query, to)?.map_or(ALL_TIME.end, |bound| {
        let (first, after) = extent(bound, filter.zone);
        if filter.to_inclusive { after } else { first }
    });
    Ok(start..end.max(start))
}

fn parse(query: &Query, name: &str) -> Result<Option<Bound>, Response> {
    let Some(text) = query.get(name) else {
        return Ok(None);
    };
    read(text.trim())
        .map(Some)
        .ok_or_else(|| Response::invalid_field(name, "صيغة التاريخ غير صحيحة"))
}

fn read(text: &str) -> Option<Bound> {
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Some(Bound::Instant(instant));
    }
    if text.len() == 10 {
        let day = text.parse().or_else(|_| Date::strptime("%d-%m-%Y", text));
        return day.ok().map(Bound::Day);
    }
    text.parse().ok().map(Bound::Local)
}

/// The first second of a bound and the first second after it.
fn extent(bound: Bound, zone: FilterZone) -> (i64, i64) {
    let zone_shift = match zone {
        FilterZone::Riyadh => 0,
        FilterZone::Utc => 3 * 3600,
    };
    match bound {
        Bound::Day(date) => {
            let start = riyadh::day_start(riyadh::number_of(date)) + zone_shift;
            (start, start + DAY_SECONDS)
        }
        Bound::Local(local) => {
            let moment = riyadh::moment(local) + zone_shift;
            (moment, moment + 1)
        }
        Bound::Instant(instant) => (instant.as_second(), instant.as_second() + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments_of(text: &str, filter: DateFilter) -> Moments {
        moments(
            &Query::parse(text.as_bytes()),
            "from_date",
            "to_date",
            filter,
        )
        .unwrap()
    }

    #[test]
    fn days_are_whole_and_inclusive_by_default() {
        let one_day = moments_of(
            "from_date=2025-06-15&to_date=2025-06-15",
            DateFilter::default(),
        );
        assert_eq!(one_day.end - one_day.start, DAY_SECONDS);
        assert_eq!(
            riyadh::wall_clock(one_day.start).to_string(),
            "2025-06-15T00:00:00"
        );
    }

    #[test]
    fn exclusive_bounds_leave_their_own_day_out() {
        let exclusive = DateFilter {
            from_inclusive: false,
            to_inclusive: false,
            zone: FilterZone::Riyadh,
        };
        let middle = moments_of("from_date=2025-06-14&to_date=2025-06-16", exclusive);
        assert_eq!(
            middle,
            moments_of(
                "from_date=2025-06-15&to_date=2025-06-15",
                DateFilter::default()
            )
        );
    }

    #[test]
    fn utc_days_begin_three_hours_later() {
        let utc = DateFilter {
            zone: FilterZone::Utc,
            ..DateFilter::default()
        };
        let riyadh = moments_of("from_date=2025-06-15", DateFilter::default());
        assert_eq!(
            moments_of("from_date=2025-06-15", utc).start - riyadh.start,
            3 * 3600
        );
    }

    #[test]
    fn times_and_other_spellings_are_understood() {
        let exact = moments_of("from_date=2025-06-15T12:00:00", DateFilter::default());
        assert_eq!(exact.start, 1_749_978_000);
        assert_eq!(
            moments_of("from_date=2025-06-15+12:00:00", DateFilter::default()),
            exact
        );
        let query = Query::parse(b"from_date=yesterday");
        assert!(moments(&query, "from_date", "to_date", DateFilter::default()).is_err());
    }
}
