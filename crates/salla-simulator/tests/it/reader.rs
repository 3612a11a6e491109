//! A lenient reader, written from Salla's documentation and not from the
//! simulator's code: it decodes every oddity that is called decodable.

use jiff::civil::DateTime;
use jiff::tz::Offset;
use jiff::{Timestamp, civil};
use rust_decimal::Decimal;
use serde_json::Value;

/// A number, a string of one, or a string in Arabic-Indic digits.
pub(crate) fn decimal(value: &Value) -> Option<Decimal> {
    let text = match value {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        _ => return None,
    };
    let western = text.chars().map(|character| match character {
        '٠'..='٩' => char::from_digit(character as u32 - '٠' as u32, 10).unwrap(),
        '٫' => '.',
        other => other,
    });
    western.collect::<String>().parse().ok()
}

pub(crate) fn amount(value: &Value) -> Option<Decimal> {
    decimal(&value["amount"])
}

/// A positive number.
pub(crate) fn id(value: &Value) -> Option<i64> {
    value.as_i64().filter(|id| *id > 0)
}

/// The moment in epoch seconds, from any of the forms of a date.
pub(crate) fn moment(value: &Value) -> Option<i64> {
    let moment = match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => instant(text).or_else(|| riyadh(text)),
        Value::Object(object) => riyadh(object.get("date")?.as_str()?),
        _ => None,
    };
    moment.filter(|moment| CENTURY.contains(moment))
}

/// No shop of this platform is older, and none of these tests lives longer.
const CENTURY: std::ops::Range<i64> = 946_684_800..4_102_444_800;

fn instant(text: &str) -> Option<i64> {
    text.parse::<Timestamp>().ok().map(Timestamp::as_second)
}

fn riyadh(text: &str) -> Option<i64> {
    let local: DateTime = text.parse().ok()?;
    Some(Offset::constant(3).to_timestamp(local).ok()?.as_second())
}

/// Null, `{}`, `[]`, the word "null" and an absent field all mean nothing.
pub(crate) fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.is_empty(),
        Value::Array(elements) => elements.is_empty(),
        Value::String(text) => text == "null",
        _ => false,
    }
}

pub(crate) fn day(text: &str) -> civil::Date {
    text.parse().unwrap()
}
