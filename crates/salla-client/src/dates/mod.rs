//! Salla's dates in the five forms in which they come (docs/salla-api.md#dates): an object with
//! a zone, a civil text without one, ISO 8601, the text of a JavaScript date, and
//! seconds since 1970.
//!
//! The text a date was read from is kept beside the instant, because some of
//! Salla's dates are UTC although they are labelled Asia/Riyadh; which ones is not
//! decided here.

mod civil;

use domain::instant::{DateReading, SallaInstant};
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::{Offset, TimeZone};
use serde::Deserialize;

use crate::lenient::number::western_digits;
use crate::lenient::{Json, Kind};

/// Saudi Arabia has kept UTC+3 without daylight saving since 1947.
const RIYADH: Offset = Offset::constant(3);

/// Seconds from 1973 to 5138. A smaller number is no date of a shop; and 20240215
/// is a day written without dashes and not a second of the year 1970.
const EPOCH_SECONDS: std::ops::Range<i64> = 100_000_000..100_000_000_000;

/// The value is there and is no date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotADate;

/// `{"date": "2024-02-15 08:23:05.000000", "timezone_type": 3, "timezone":
/// "Asia/Riyadh"}`: how PHP serialises a date.
#[derive(Default, Deserialize)]
#[serde(default)]
struct DateObject<'a> {
    #[serde(borrow)]
    date: Json<'a>,
    timezone: Json<'a>,
}

/// Reads a date of any form; `None` where Salla sends none.
pub(crate) fn instant(json: Json<'_>) -> Result<Option<SallaInstant>, NotADate> {
    match json.kind() {
        Kind::Absent => Ok(None),
        Kind::Text(text) => read(text.into_owned(), None).map(Some),
        Kind::Number(digits) => read(digits.to_owned(), None).map(Some),
        Kind::Object(object) => from_object(object),
        Kind::Flag(_) | Kind::List => Err(NotADate),
    }
}

/// The calendar day that a date names, whatever its zone: a birthday is no instant.
pub(crate) fn day(json: Json<'_>) -> Option<Date> {
    let text = match json.kind() {
        Kind::Text(text) => text,
        Kind::Object(object) => {
            let object: DateObject<'_> = serde_json::from_str(object).ok()?;
            object.date.text()?
        }
        _ => return None,
    };
    let text = western_digits(text.trim());
    civil::date_prefix(text.as_bytes())
}

fn from_object(object: &str) -> Result<Option<SallaInstant>, NotADate> {
    let object: DateObject<'_> = serde_json::from_str(object).map_err(|_| NotADate)?;
    match object.date.kind() {
        Kind::Absent => Ok(None),
        Kind::Text(text) => {
            let zone = object.timezone.text();
            read(text.into_owned(), zone.as_deref()).map(Some)
        }
        Kind::Number(digits) => read(digits.to_owned(), None).map(Some),
        _ => Err(NotADate),
    }
}

fn read(raw: String, zone: Option<&str>) -> Result<SallaInstant, NotADate> {
    let text = western_digits(raw.trim());
    let (instant, reading) = understand(&text, zone).ok_or(NotADate)?;
    Ok(SallaInstant {
        instant,
        raw,
        reading,
    })
}

/// The forms differ in their first characters, so each text is read once.
fn understand(text: &str, zone: Option<&str>) -> Option<(Timestamp, DateReading)> {
    let bytes = text.as_bytes();
    if bytes.first()?.is_ascii_alphabetic() {
        let (civil, offset) = civil::javascript(bytes)?;
        return Some((offset.to_timestamp(civil).ok()?, DateReading::Offset));
    }
    if bytes.iter().all(u8::is_ascii_digit) {
        return epoch(text);
    }
    let (civil, rest) = civil::date_time(bytes)?;
    match rest {
        [] => in_zone(civil, zone),
        _ => {
            let offset = civil::offset(rest)?;
            Some((offset.to_timestamp(civil).ok()?, DateReading::Offset))
        }
    }
}

fn epoch(digits: &str) -> Option<(Timestamp, DateReading)> {
    let seconds: i64 = digits.parse().ok()?;
    if !EPOCH_SECONDS.contains(&seconds) {
        return None;
    }
    Some((Timestamp::from_second(seconds).ok()?, DateReading::Epoch))
}

/// A civil time in the zone beside it. PHP names a zone by its IANA name, its offset (`+03:00`) or
/// its abbreviation, of which only UTC is certain.
fn in_zone(civil: DateTime, zone: Option<&str>) -> Option<(Timestamp, DateReading)> {
    match zone.map(str::trim) {
        None | Some("" | "Asia/Riyadh") => {
            Some((RIYADH.to_timestamp(civil).ok()?, DateReading::Riyadh))
        }
        Some(name) => {
            let zone = zone_named(name)?;
            Some((zone.to_timestamp(civil).ok()?, DateReading::NamedZone))
        }
    }
}

fn zone_named(name: &str) -> Option<TimeZone> {
    if matches!(name, "UTC" | "Z" | "GMT") {
        return Some(TimeZone::UTC);
    }
    match civil::offset(name.as_bytes()) {
        Some(offset) => Some(TimeZone::fixed(offset)),
        None => TimeZone::get(name).ok(),
    }
}

#[cfg(test)]
mod tests;
