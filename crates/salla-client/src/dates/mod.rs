//! Salla's dates in the five forms in which they come (docs/salla-api.md#dates): an object with
//! a zone, a civil text without one, ISO 8601, the text of a JavaScript date, and
//! seconds since 1970.
//!
//! The text a date was read from is kept beside the instant, because some of
//! Salla's dates are UTC although they are labelled Asia/Riyadh; which ones is not
//! decided here.

use domain::instant::{DateReading, SallaInstant};
use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
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
    date_prefix(text.as_bytes())
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
        let (civil, offset) = javascript(bytes)?;
        return Some((offset.to_timestamp(civil).ok()?, DateReading::Offset));
    }
    if bytes.iter().all(u8::is_ascii_digit) {
        return epoch(text);
    }
    let (civil, rest) = date_time(bytes)?;
    match rest {
        [] => in_zone(civil, zone),
        _ => {
            let offset = offset(rest)?;
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
    match offset(name.as_bytes()) {
        Some(offset) => Some(TimeZone::fixed(offset)),
        None => TimeZone::get(name).ok(),
    }
}

#[cfg(test)]
mod tests;

// The fixed layouts, read by hand: a page of orders holds hundreds of dates and
// nearly all are `2024-02-15 08:23:05.000000`.

const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

/// `YYYY-MM-DD`, and whatever follows. A month or day 0 is no date: MySQL writes
/// "no date" as `0000-00-00 00:00:00`.
fn date_prefix(text: &[u8]) -> Option<Date> {
    let (date, _) = split_date(text)?;
    Some(date)
}

fn split_date(text: &[u8]) -> Option<(Date, &[u8])> {
    let (head, rest) = text.split_at_checked(10)?;
    if head[4] != b'-' || head[7] != b'-' {
        return None;
    }
    let year = number(&head[..4])?;
    let month = number(&head[5..7])?;
    let day = number(&head[8..])?;
    if year == 0 {
        return None;
    }
    let date = Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()?;
    Some((date, rest))
}

/// `YYYY-MM-DD[( |T)HH:MM:SS[.f…]]`, and what follows: an offset, or nothing.
fn date_time(text: &[u8]) -> Option<(DateTime, &[u8])> {
    let (date, rest) = split_date(text)?;
    match rest {
        [] => Some((date.to_datetime(Time::midnight()), rest)),
        [b' ' | b'T', clock @ ..] => {
            let (time, rest) = split_time(clock)?;
            Some((date.to_datetime(time), rest))
        }
        _ => None,
    }
}

fn split_time(text: &[u8]) -> Option<(Time, &[u8])> {
    let (head, rest) = text.split_at_checked(8)?;
    if head[2] != b':' || head[5] != b':' {
        return None;
    }
    let (nanosecond, rest) = fraction(rest)?;
    let part = |range| i8::try_from(number(&head[range])?).ok();
    let time = Time::new(part(0..2)?, part(3..5)?, part(6..8)?, nanosecond).ok()?;
    Some((time, rest))
}

/// `.ffffff` as nanoseconds; digits beyond the ninth are of no consequence.
fn fraction(text: &[u8]) -> Option<(i32, &[u8])> {
    let [b'.', text @ ..] = text else {
        return Some((0, text));
    };
    let length = text.iter().take_while(|b| b.is_ascii_digit()).count();
    if length == 0 {
        return None;
    }
    let (digits, rest) = text.split_at(length);
    let padded = digits.iter().chain(std::iter::repeat(&b'0')).take(9);
    let nanosecond = padded.fold(0_i32, |sum, digit| sum * 10 + i32::from(digit - b'0'));
    Some((nanosecond, rest))
}

/// `Z`, `+03:00`, `+0300` or `+03`, with or without a blank before it.
fn offset(text: &[u8]) -> Option<Offset> {
    let text = text.trim_ascii();
    if matches!(text, b"Z" | b"z") {
        return Some(Offset::UTC);
    }
    let (sign, digits) = match text {
        [b'+', digits @ ..] => (1, digits),
        [b'-', digits @ ..] => (-1, digits),
        _ => return None,
    };
    let (hours, minutes) = match digits {
        [h1, h2] => (number(&[*h1, *h2])?, 0),
        [h1, h2, m1, m2] | [h1, h2, b':', m1, m2] => (number(&[*h1, *h2])?, number(&[*m1, *m2])?),
        _ => return None,
    };
    if minutes > 59 {
        return None;
    }
    let seconds = (i32::from(hours) * 60 + i32::from(minutes)) * 60;
    Offset::from_seconds(sign * seconds).ok()
}

/// `Sun Jun 26 2022 12:21:48 GMT+0300`, perhaps with the name of the zone behind
/// it in brackets. The name of the weekday is not checked.
fn javascript(text: &[u8]) -> Option<(DateTime, Offset)> {
    let mut words = text.split(|b| *b == b' ').filter(|word| !word.is_empty());
    let (_weekday, month) = (words.next()?, words.next()?);
    let (day, year) = (words.next()?, words.next()?);
    let (clock, zone) = (words.next()?, words.next()?);
    let month = MONTHS.iter().position(|name| name.as_slice() == month)? + 1;
    let (month, day) = (i8::try_from(month).ok()?, i8::try_from(number(day)?).ok()?);
    let date = Date::new(number(year)?, month, day).ok()?;
    let (time, []) = split_time(clock)? else {
        return None;
    };
    let offset = match zone {
        b"GMT" | b"UTC" | b"Z" => Offset::UTC,
        _ => offset(zone.strip_prefix(b"GMT").or(zone.strip_prefix(b"UTC"))?)?,
    };
    Some((date.to_datetime(time), offset))
}

/// At most four digits.
fn number(digits: &[u8]) -> Option<i16> {
    if digits.is_empty() || digits.len() > 4 {
        return None;
    }
    digits.iter().try_fold(0_i16, |sum, digit| {
        digit
            .is_ascii_digit()
            .then(|| sum * 10 + i16::from(digit - b'0'))
    })
}
