//! JSON written straight into a string. A page of sixty full orders is some
//! 400 KB, and building a tree for it would cost several times the rest of the
//! simulator. The writer puts commas where they belong by looking at the last
//! byte, so that callers only name keys and values.

use super::oddity::{Dating, Emptiness, Oddity};
use crate::scenario::{FloatDigits, Quirks};
use crate::shop::invalid::InvalidKind;
use crate::shop::{Currency, Money, riyadh};
use std::fmt::{Display, Write};

const RIYADH: &str = ".000000\",\"timezone_type\":3,\"timezone\":\"Asia/Riyadh\"}";

#[derive(Debug)]
pub(crate) struct Json {
    pub(crate) out: String,
    oddity: Oddity,
    broken: Option<InvalidKind>,
}

impl Json {
    pub(crate) fn new(capacity: usize, quirks: Quirks) -> Self {
        Self {
            out: String::with_capacity(capacity),
            oddity: Oddity::new(quirks),
            broken: None,
        }
    }

    /// Says which record follows: its oddities depend on nothing else.
    pub(crate) fn begin_record(&mut self, seed: u64, index: u64, broken: Option<InvalidKind>) {
        self.oddity.begin(seed, index);
        self.broken = broken;
    }

    pub(crate) fn broken(&self) -> Option<InvalidKind> {
        self.broken
    }

    pub(crate) fn key(&mut self, key: &str) -> &mut Self {
        if !self.out.ends_with('{') {
            self.out.push(',');
        }
        self.out.push('"');
        self.out.push_str(key);
        self.out.push_str("\":");
        self
    }

    pub(crate) fn open(&mut self) {
        self.separate();
        self.out.push('{');
    }

    pub(crate) fn close(&mut self) {
        self.out.push('}');
    }

    pub(crate) fn object(&mut self, key: &str, content: impl FnOnce(&mut Self)) {
        self.key(key).open();
        content(self);
        self.close();
    }

    pub(crate) fn array<T>(
        &mut self,
        key: &str,
        elements: impl IntoIterator<Item = T>,
        write: impl FnMut(&mut Self, T),
    ) {
        self.key(key);
        self.list(elements, write);
    }

    /// An array of objects, each with the members that are written for it.
    pub(crate) fn objects<T>(
        &mut self,
        key: &str,
        elements: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut Self, T),
    ) {
        self.array(key, elements, |json, element| {
            json.open();
            write(json, element);
            json.close();
        });
    }

    /// An array as a separate value.
    pub(crate) fn list<T>(
        &mut self,
        elements: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut Self, T),
    ) {
        self.separate();
        self.out.push('[');
        for element in elements {
            write(self, element);
        }
        self.out.push(']');
    }

    /// An entry that is no object, where the record is broken in this way.
    pub(crate) fn odd_entry(&mut self) {
        if self.broken == Some(InvalidKind::EntryNotAnObject) {
            self.text_value("entry");
        }
    }

    /// Text that is JSON already.
    pub(crate) fn raw(&mut self, key: &str, json: &str) {
        self.key(key);
        self.out.push_str(json);
    }

    /// Members that are the same in every record, as JSON.
    pub(crate) fn constant(&mut self, members: &str) {
        if !self.out.ends_with('{') {
            self.out.push(',');
        }
        self.out.push_str(members);
    }

    pub(crate) fn bool(&mut self, key: &str, value: bool) {
        self.raw(key, if value { "true" } else { "false" });
    }

    pub(crate) fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        self.text_value(value);
    }

    pub(crate) fn text_value(&mut self, value: &str) {
        self.separate();
        self.out.push('"');
        escape_into(&mut self.out, value);
        self.out.push('"');
    }

    /// A text put together on the way; the parts must not need escaping.
    pub(crate) fn display(&mut self, key: &str, value: impl Display) {
        self.key(key);
        self.out.push('"');
        let written = write!(self.out, "{value}");
        debug_assert!(written.is_ok(), "writing into a string cannot fail");
        self.out.push('"');
    }

    /// A text that may be missing: null, or one of the odd ways to say so.
    pub(crate) fn optional_text(&mut self, key: &str, value: Option<&str>) {
        match value {
            Some(value) => self.text(key, value),
            None if self.oddity.literal_null() => self.text(key, "null"),
            None => self.nothing(key),
        }
    }

    /// Something that is not there, in one of PHP's ways to say so.
    pub(crate) fn nothing(&mut self, key: &str) {
        match self.oddity.emptiness() {
            Emptiness::Null => self.raw(key, "null"),
            Emptiness::Object => self.raw(key, "{}"),
            Emptiness::Array => self.raw(key, "[]"),
            Emptiness::Absent => {}
        }
    }

    pub(crate) fn int(&mut self, key: &str, value: i64) {
        self.key(key);
        push_int(&mut self.out, value);
    }

    pub(crate) fn int_value(&mut self, value: i64) {
        self.separate();
        push_int(&mut self.out, value);
    }

    /// A number that may arrive as a string.
    pub(crate) fn loose_int(&mut self, key: &str, value: i64) {
        self.key(key);
        self.loose_number(|out| push_int(out, value));
    }

    pub(crate) fn money(&mut self, key: &str, amount: Money, currency: Currency) {
        self.key(key);
        self.out.push_str("{\"amount\":");
        let digits = self.oddity.float_digits();
        self.loose_number(|out| push_amount(out, amount, digits));
        self.close_money(currency);
    }

    /// A number with a fraction that is no money.
    pub(crate) fn fraction(&mut self, key: &str, value: Money) {
        self.key(key);
        push_amount(&mut self.out, value, self.oddity.float_digits());
    }

    /// The amount that a broken record spoils.
    pub(crate) fn main_money(&mut self, key: &str, amount: Money, currency: Currency) {
        if self.broken != Some(InvalidKind::AmountNotANumber) {
            return self.money(key, amount, currency);
        }
        self.key(key);
        self.out.push_str("{\"amount\":\"abc\"");
        self.close_money(currency);
    }

    /// The id that a broken record spoils.
    pub(crate) fn record_id(&mut self, id: i64) {
        match self.broken {
            Some(InvalidKind::IdMissing) => {}
            Some(InvalidKind::IdNotANumber) => self.text("id", "abc"),
            Some(InvalidKind::IdNegative) => self.int("id", -id),
            _ => self.int("id", id),
        }
        if let Some(long) = self.oddity.long_record(id) {
            self.key("filling");
            long.write(&mut self.out);
        }
    }

    pub(crate) fn quantity(&mut self, quantity: i64, first: bool) {
        if first && self.broken == Some(InvalidKind::QuantityNotANumber) {
            self.text("quantity", "x");
        } else {
            self.loose_int("quantity", quantity);
        }
    }

    /// The creation date, which a broken record spoils.
    pub(crate) fn main_date(&mut self, key: &str, epoch_seconds: i64) {
        let no_date = match self.broken {
            Some(InvalidKind::DateUnparsable) => Some("2025-13-45 99:61:00"),
            Some(InvalidKind::DateImplausible) => {
                let dates = [
                    "1970-01-01 03:00:00",
                    "-0001-11-30 00:00:00",
                    "9999-12-31 23:59:59",
                ];
                Some(dates[epoch_seconds.unsigned_abs() as usize % dates.len()])
            }
            _ => None,
        };
        if let Some(no_date) = no_date {
            self.key(key);
            self.out.push_str("{\"date\":\"");
            self.out.push_str(no_date);
            self.out.push_str(RIYADH);
        } else if self.oddity.utc_labelled() {
            self.date(key, epoch_seconds - 3 * 3600);
        } else {
            self.date(key, epoch_seconds);
        }
    }

    pub(crate) fn date(&mut self, key: &str, epoch_seconds: i64) {
        self.key(key);
        match self.oddity.dating() {
            Dating::Object => {
                self.out.push_str("{\"date\":\"");
                push_wall_clock(&mut self.out, epoch_seconds);
                self.out.push_str(RIYADH);
            }
            Dating::Plain => self.plain_date_value(epoch_seconds),
            Dating::IsoUtc => {
                let instant = riyadh::instant(epoch_seconds);
                let written = write!(self.out, "\"{instant}\"");
                debug_assert!(written.is_ok(), "writing into a string cannot fail");
            }
            Dating::Epoch => push_int(&mut self.out, epoch_seconds),
        }
    }

    /// `"YYYY-MM-DD HH:MM:SS"` in Riyadh.
    pub(crate) fn plain_date(&mut self, key: &str, epoch_seconds: i64) {
        self.key(key);
        self.plain_date_value(epoch_seconds);
    }

    fn plain_date_value(&mut self, epoch_seconds: i64) {
        self.out.push('"');
        push_wall_clock(&mut self.out, epoch_seconds);
        self.out.push('"');
    }

    fn close_money(&mut self, currency: Currency) {
        self.out.push_str(",\"currency\":\"");
        self.out.push_str(currency.code());
        self.out.push_str("\"}");
    }

    fn loose_number(&mut self, write: impl FnOnce(&mut String)) {
        if !self.oddity.string_number() {
            return write(&mut self.out);
        }
        let mut digits = String::new();
        write(&mut digits);
        self.out.push('"');
        if self.oddity.arabic_digits() {
            push_arabic(&mut self.out, &digits);
        } else {
            self.out.push_str(&digits);
        }
        self.out.push('"');
    }

    fn separate(&mut self) {
        if !matches!(self.out.as_bytes().last(), None | Some(b'[' | b':')) {
            self.out.push(',');
        }
    }
}

fn escape_into(out: &mut String, text: &str) {
    if !text
        .bytes()
        .any(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1F))
    {
        return out.push_str(text);
    }
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{0}'..='\u{1F}' => {
                out.push_str("\\u00");
                push_hex(out, character as u8);
            }
            _ => out.push(character),
        }
    }
}

fn push_hex(out: &mut String, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for digit in [byte >> 4, byte & 15] {
        out.push(char::from(DIGITS[usize::from(digit)]));
    }
}

pub(crate) fn push_int(out: &mut String, value: i64) {
    if value < 0 {
        out.push('-');
    }
    let mut digits = [b'0'; 20];
    let mut start = digits.len();
    let mut left = value.unsigned_abs();
    loop {
        start -= 1;
        digits[start] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    push_ascii(out, &digits[start..]);
}

/// An amount as PHP writes the float that it keeps it in.
fn push_amount(out: &mut String, amount: Money, digits: FloatDigits) {
    let is_whole = amount.0 % 1000 == 0;
    let float = amount.0 as f64 / 1000.0;
    let written = match digits {
        _ if is_whole => return push_money(out, amount),
        FloatDigits::Shortest => return push_money(out, amount),
        FloatDigits::Seventeen => {
            let before_the_point = float.abs().log10().floor() as i32 + 1;
            format!("{float:.*}", (17 - before_the_point).max(0) as usize)
        }
        // A double has fewer binary digits behind its point, so this is exact.
        FloatDigits::All => format!("{float:.100}"),
    };
    out.push_str(written.trim_end_matches('0'));
}

/// An amount without trailing zeros: `55`, `302.5`, `13.04`.
pub(crate) fn push_money(out: &mut String, amount: Money) {
    if amount.0 < 0 {
        out.push('-');
    }
    let thousandths = amount.0.abs();
    push_int(out, thousandths / 1000);
    let fraction = thousandths % 1000;
    if fraction != 0 {
        out.push('.');
        for place in [100, 10, 1] {
            out.push(digit(fraction / place));
            if fraction % place == 0 {
                break;
            }
        }
    }
}

fn push_wall_clock(out: &mut String, epoch_seconds: i64) {
    let local = riyadh::wall_clock(epoch_seconds);
    let mut text = *b"0000-00-00 00:00:00";
    let year = local.year();
    let pairs = [
        (0, (year / 100) as i8),
        (2, (year % 100) as i8),
        (5, local.month()),
        (8, local.day()),
        (11, local.hour()),
        (14, local.minute()),
        (17, local.second()),
    ];
    for (place, number) in pairs {
        text[place] += (number / 10) as u8;
        text[place + 1] += (number % 10) as u8;
    }
    push_ascii(out, &text);
}

/// Bytes that are digits and separators, and therefore text.
fn push_ascii(out: &mut String, ascii: &[u8]) {
    out.push_str(std::str::from_utf8(ascii).unwrap_or_default());
}

fn digit(number: i64) -> char {
    char::from(b'0' + (number % 10) as u8)
}

/// Digits as Arabic writes them, with the Arabic decimal separator.
pub(crate) fn push_arabic(out: &mut String, western: &str) {
    out.extend(western.chars().map(|character| match character {
        '0'..='9' => {
            char::from_u32('٠' as u32 + (character as u32 - '0' as u32)).unwrap_or(character)
        }
        '.' => '٫',
        other => other,
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn money(thousandths: i64) -> String {
        let mut out = String::new();
        push_money(&mut out, Money(thousandths));
        out
    }

    #[test]
    fn amounts_are_as_short_as_php_writes_them() {
        assert_eq!(money(55_000), "55");
        assert_eq!(money(302_500), "302.5");
        assert_eq!(money(13_040), "13.04");
        assert_eq!(money(12_345), "12.345");
        assert_eq!(money(-1_005), "-1.005");
        assert_eq!(money(50), "0.05");
    }

    #[test]
    fn amounts_are_as_long_as_php_writes_them() {
        let written = |thousandths, digits| {
            let mut out = String::new();
            push_amount(&mut out, Money(thousandths), digits);
            out
        };
        assert_eq!(
            written(67_200, FloatDigits::Seventeen),
            "67.200000000000003"
        );
        assert_eq!(written(50, FloatDigits::Seventeen), "0.050000000000000003");
        assert_eq!(
            written(-1_005, FloatDigits::Seventeen),
            "-1.0049999999999999"
        );
        assert_eq!(
            written(67_200, FloatDigits::All),
            "67.2000000000000028421709430404007434844970703125"
        );
        assert_eq!(written(302_500, FloatDigits::All), "302.5");
        assert_eq!(written(55_000, FloatDigits::All), "55");
    }

    #[test]
    fn commas_fall_into_place() {
        let mut json = Json::new(64, Quirks::default());
        json.open();
        json.int("a", -12);
        json.array("b", [1, 2], Json::int_value);
        json.object("c", |json| json.text("d", "say \"hi\""));
        json.array("e", [(), ()], |json, ()| {
            json.open();
            json.close();
        });
        json.close();
        assert_eq!(
            json.out,
            r#"{"a":-12,"b":[1,2],"c":{"d":"say \"hi\""},"e":[{},{}]}"#
        );
    }

    #[test]
    fn dates_are_in_riyadh() {
        let mut json = Json::new(64, Quirks::default());
        json.open();
        json.date("date", 1_749_978_000);
        assert!(json.out.contains("2025-06-15 12:00:00.000000"));
    }
}
