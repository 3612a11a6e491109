//! The fixed layouts, read by hand: a page of orders holds hundreds of dates and
//! nearly all are `2024-02-15 08:23:05.000000`.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::Offset;

const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

/// `YYYY-MM-DD`, and whatever follows. A month or day 0 is no date: MySQL writes
/// "no date" as `0000-00-00 00:00:00`.
pub(super) fn date_prefix(text: &[u8]) -> Option<Date> {
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
pub(super) fn date_time(text: &[u8]) -> Option<(DateTime, &[u8])> {
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
pub(super) fn offset(text: &[u8]) -> Option<Offset> {
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
pub(super) fn javascript(text: &[u8]) -> Option<(DateTime, Offset)> {
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
