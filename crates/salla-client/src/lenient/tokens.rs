//! The tokens of a text that should be JSON, each made into one that JSON has.

use std::fmt::Write as _;

use serde_json::value::RawValue;

const REPLACEMENT: char = '\u{fffd}';

pub(super) fn is_json(text: &str) -> bool {
    serde_json::from_str::<&RawValue>(text).is_ok()
}

/// Every token as JSON has it; what they make together may still be none.
pub(super) fn mended(text: &str) -> String {
    let mut mender = Mender {
        rest: text,
        out: String::with_capacity(text.len() + 64),
    };
    while mender.token() {}
    mender.out
}

/// Blank, but not in JSON.
pub(super) fn is_blank(c: char) -> bool {
    c.is_whitespace() || c == '\u{feff}'
}

struct Mender<'a> {
    rest: &'a str,
    out: String,
}

impl Mender<'_> {
    /// Whether there was another one.
    fn token(&mut self) -> bool {
        let Some(first) = self.rest.chars().next() else {
            return false;
        };
        match first {
            '"' => self.string(),
            '{' | '[' | ':' | ',' | ' ' | '\n' | '\r' | '\t' => self.copy(1),
            '}' | ']' => {
                self.drop_last_comma();
                self.copy(1);
            }
            blank if is_blank(blank) || blank.is_ascii_control() => {
                self.skip(blank.len_utf8());
                self.out.push(' ');
            }
            _ => self.word(),
        }
        true
    }

    fn string(&mut self) {
        self.copy(1);
        loop {
            let is_plain = |byte: u8| byte >= 0x20 && !matches!(byte, b'"' | b'\\');
            let plain = self.rest.bytes().take_while(|byte| is_plain(*byte)).count();
            self.copy(plain);
            match self.rest.bytes().next() {
                None => return,
                Some(b'"') => return self.copy(1),
                Some(b'\\') => self.escape(),
                Some(control) => {
                    self.skip(1);
                    // Writing to a string cannot fail.
                    let _ = write!(self.out, "\\u{control:04x}");
                }
            }
        }
    }

    /// An escape that JSON does not know is a backslash and what follows it; half of a
    /// pair of surrogates is no character.
    fn escape(&mut self) {
        match self.rest.as_bytes().get(1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.copy(2),
            Some(b'u') => match code_unit(self.rest) {
                Some(0xd800..=0xdbff) if is_low_surrogate(&self.rest[6..]) => self.copy(12),
                Some(0xd800..=0xdfff) => {
                    self.skip(6);
                    self.out.push(REPLACEMENT);
                }
                Some(_) => self.copy(6),
                None => self.backslash(),
            },
            _ => self.backslash(),
        }
    }

    fn backslash(&mut self) {
        self.skip(1);
        self.out.push_str("\\\\");
    }

    /// What stands outside of quotes: a number, `true`, `false`, `null`, or no JSON.
    fn word(&mut self) {
        let ends = |c: char| is_blank(c) || c.is_ascii_control() || "{}[]:,\"".contains(c);
        let length = self.rest.find(ends).unwrap_or(self.rest.len());
        let word = &self.rest[..length];
        if is_json(word) {
            return self.copy(length);
        }
        self.skip(length);
        match word.chars().all(|c| c == REPLACEMENT) {
            true => self.out.push(' '),
            false => self.out.push_str(&quoted(word)),
        }
    }

    fn drop_last_comma(&mut self) {
        let kept = self.out.trim_end_matches([' ', '\n', '\r', '\t']);
        if let Some(kept) = kept.strip_suffix(',') {
            self.out.truncate(kept.len());
        }
    }

    fn copy(&mut self, bytes: usize) {
        self.out.push_str(&self.rest[..bytes]);
        self.skip(bytes);
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = &self.rest[bytes..];
    }
}

/// The text as a JSON string.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The number in `\uXXXX`, with which the text begins.
fn code_unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    let are_digits = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    are_digits.then(|| u16::from_str_radix(digits, 16).ok())?
}

fn is_low_surrogate(text: &str) -> bool {
    code_unit(text).is_some_and(|unit| (0xdc00..=0xdfff).contains(&unit))
}
