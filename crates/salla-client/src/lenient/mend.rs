//! JSON with a few wrong bytes in it, made into JSON.
//!
//! Strict readers refuse a whole page because of one byte that is no UTF-8, one raw control
//! character or one escape that JSON does not know: a stray byte in one name would cost all records
//! beside it. Only what was refused comes here, so that valid responses cost nothing. What is
//! changed is written down as it is read from then on: a byte that is no text becomes U+FFFD, a raw
//! control character its escape, a bare word such as `NaN` a string, which is no number if one is
//! expected.
//!
//! Nothing is completed: a response that was cut off stays cut off.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde_json::value::RawValue;

/// The body itself where it is JSON, else what mending makes of it, if anything.
pub(crate) fn readable(body: &[u8]) -> Cow<'_, [u8]> {
    if serde_json::from_slice::<&RawValue>(body).is_ok() {
        return Cow::Borrowed(body);
    }
    match mend(body) {
        Some(text) => Cow::Owned(text.into_bytes()),
        None => Cow::Borrowed(body),
    }
}

/// JSON made from a body that is none; nothing where that cannot be done.
pub(crate) fn mend(body: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(body);
    let text = text.trim_start_matches(|c: char| is_blank(c) || c.is_ascii_control());
    if !text.starts_with(['{', '[']) {
        return None;
    }
    let text = mended(text);
    if is_json(&text) {
        return Some(text);
    }
    with_broken_ones_quoted(&text).filter(|text| is_json(text))
}

// The rows of a page if some of them are not JSON.

/// The page with each entry of its `data` that is not JSON as a string, which is no record, so that
/// the others can be read. `None` if no list is found.
fn with_broken_ones_quoted(page: &str) -> Option<String> {
    let begin = first_row(page)?;
    let mut rows = Vec::new();
    let mut rest = &page[begin..];
    loop {
        let row = &rest[..value_end(rest)];
        rest = &rest[row.len()..];
        match row.trim() {
            "" => {}
            row if is_json(row) => rows.push(row.to_owned()),
            row => rows.push(quoted(row)),
        }
        match rest.strip_prefix(',') {
            Some(next) => rest = next,
            None => break,
        }
    }
    Some([&page[..begin], &rows.join(","), rest].concat())
}

/// Where the first row begins.
fn first_row(page: &str) -> Option<usize> {
    let mut rest = page.strip_prefix('{')?;
    loop {
        let member = &rest[..value_end(rest)];
        if let Some(rows) = rows_of(member) {
            return Some(page.len() - rest.len() + (member.len() - rows.len()));
        }
        rest = rest[member.len()..].strip_prefix(',')?;
    }
}

fn rows_of(member: &str) -> Option<&str> {
    let value = member.trim_start().strip_prefix("\"data\"")?;
    let value = value.trim_start().strip_prefix(':')?;
    value.trim_start().strip_prefix('[')
}

/// Length of the value at the start of the text: to the first comma or bracket outside its own
/// brackets.
fn value_end(text: &str) -> usize {
    let (mut depth, mut is_string, mut is_escaped) = (0_usize, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = is_string,
            b'"' => is_string = !is_string,
            _ if is_string => {}
            b'{' | b'[' => depth += 1,
            b',' | b'}' | b']' if depth == 0 => return at,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
    }
    text.len()
}

// The tokens of a text that should be JSON, each made into one that JSON has.

const REPLACEMENT: char = '\u{fffd}';

fn is_json(text: &str) -> bool {
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
fn is_blank(c: char) -> bool {
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
fn quoted(text: &str) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    #[test]
    fn what_is_mended() {
        let table: [(&[u8], &str); 22] = [
            (b"{\"a\":\"\xd8x\"}", "{\"a\":\"\u{fffd}x\"}"),
            (b"{\"a\":\"\xc0\xa2\"}", "{\"a\":\"\u{fffd}\u{fffd}\"}"),
            (
                b"{\"a\":\"\xed\xa0\x80\"}",
                "{\"a\":\"\u{fffd}\u{fffd}\u{fffd}\"}",
            ),
            (b"{\"a\":\"\xd9\"}", "{\"a\":\"\u{fffd}\"}"),
            (b"{\"a\xff\":1}", "{\"a\u{fffd}\":1}"),
            (
                b"{\"a\":\"x\ny\x00\x1f\"}",
                r#"{"a":"x\u000ay\u0000\u001f"}"#,
            ),
            (br#"{"a":"\ud800x"}"#, "{\"a\":\"\u{fffd}x\"}"),
            (br#"{"a":"\ude00\ud83d"}"#, "{\"a\":\"\u{fffd}\u{fffd}\"}"),
            (
                br#"{"a":"\ud83d\ude00\u00e9"}"#,
                r#"{"a":"\ud83d\ude00\u00e9"}"#,
            ),
            (br#"{"a":"\x41\'\u12"}"#, r#"{"a":"\\x41\\'\\u12"}"#),
            (
                br#"{"a":"\"\\\/\b\f\n\r\t"}"#,
                r#"{"a":"\"\\\/\b\f\n\r\t"}"#,
            ),
            (
                br#"{"a":NaN,"b":-Infinity}"#,
                r#"{"a":"NaN","b":"-Infinity"}"#,
            ),
            (
                br#"{"a":.5,"b":+1,"c":007}"#,
                r#"{"a":".5","b":"+1","c":"007"}"#,
            ),
            (b"{\"a\":1\xd80.5}", "{\"a\":\"1\u{fffd}0.5\"}"),
            (br#"{a:1,"b":undefined}"#, r#"{"a":1,"b":"undefined"}"#),
            (br#"{"a":[1,2, ],}"#, r#"{"a":[1,2]}"#),
            (b"{\"a\":1}\x00\x00", "{\"a\":1}  "),
            (b"{\xff\"a\":1,\xc2\xa0\"b\":2}", "{ \"a\":1, \"b\":2}"),
            (b"\xef\xbb\xbf\xef\xbb\xbf{\"a\":1}", "{\"a\":1}"),
            (b"[1,2,]", "[1,2]"),
            (
                br#"{"a":1.50,"b":-0.0,"c":1e5,"d":null}"#,
                r#"{"a":1.50,"b":-0.0,"c":1e5,"d":null}"#,
            ),
            (b"{\"a\":\"\\\n\"}", r#"{"a":"\\\u000a"}"#),
        ];
        for (body, expected) in table {
            let body_text = String::from_utf8_lossy(body);
            let text = mend(body).unwrap_or_else(|| panic!("not mended: {body_text}"));
            assert_eq!(text, expected, "{body_text}");
        }
    }

    #[test]
    fn what_is_no_json_stays_none() {
        let table: [&[u8]; 10] = [
            b"",
            b"<html>\xff</html>",
            b"Service Unavailable",
            b"{\"a\":\"\xff",
            b"{\"a\":\"\xff\"",
            b"{\"a\":1 \"b\":2}",
            b"{\"a\":1}{\"b\":2}",
            b"{\"a\":[}",
            b"\xff\xfe{\x00\"\x00",
            b"{'a':1,,}",
        ];
        for body in table {
            assert_eq!(mend(body), None, "{}", String::from_utf8_lossy(body));
        }
    }

    fn whole() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        let members = leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..6)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        });
        prop::collection::vec(members, 0..4).prop_map(Value::from)
    }

    proptest! {
        #[test]
        fn sound_json_stays_as_it_is(value in whole()) {
            let text = value.to_string();
            prop_assert_eq!(mend(text.as_bytes()), Some(text.clone()));
            prop_assert!(matches!(readable(text.as_bytes()), Cow::Borrowed(_)));
        }

        #[test]
        fn what_is_mended_is_json(bytes: Vec<u8>, cut in 0_usize..60) {
            let mut body = br#"{"data":[{"id":1,"name":"#.to_vec();
            body.extend(&bytes);
            body.extend(br#""},{"id":2}]}"#);
            body.truncate(body.len().saturating_sub(cut));
            if let Some(text) = mend(&body) {
                prop_assert!(is_json(&text), "{}", text);
            }
        }

        /// A stray byte inside a text costs nothing but itself.
        #[test]
        fn a_stray_byte_in_a_text_changes_only_that_text(
            before in "[a-zء-ي ]{0,8}", byte in prop_oneof![0_u8..0x20, 0x80_u8..=0xff], after in "[a-z ]{0,8}",
        ) {
            let mut body = br#"{"a":1.50,"b":""#.to_vec();
            body.extend(before.as_bytes());
            body.push(byte);
            body.extend(after.as_bytes());
            body.extend(br#"","c":"d"}"#);
            let mended: Value = serde_json::from_slice(&readable(&body)).unwrap();
            prop_assert_eq!(&mended["c"], "d");
            let text = mended["b"].as_str().unwrap();
            prop_assert!(text.ends_with(&after) && text.starts_with(&before), "{}", text);
        }
    }

    #[test]
    fn a_broken_row_becomes_a_text() {
        let table = [
            (
                r#"{"status":200,"data":[{"id":1},{"id":2 "x":[3,"]"]},{"id":4}],"success":true}"#,
                r#"{"status":200,"data":[{"id":1},"{\"id\":2 \"x\":[3,\"]\"]}",{"id":4}],"success":true}"#,
            ),
            (
                r#"{"a":{"data":[7 7]}, "data" : [ {"id":1} , ,{"id":}]}"#,
                r#"{"a":{"data":[7 7]}, "data" : [{"id":1},"{\"id\":}"]}"#,
            ),
            (r#"{"data":[]}"#, r#"{"data":[]}"#),
        ];
        for (page, expected) in table {
            assert_eq!(with_broken_ones_quoted(page).as_deref(), Some(expected));
        }
    }

    #[test]
    fn without_a_list_there_are_no_rows() {
        for page in [
            "[1 2]",
            r#"{"data":{"id":1 "x":2}}"#,
            r#"{"x":["data",[1 2]]}"#,
            "{",
        ] {
            assert_eq!(with_broken_ones_quoted(page), None, "{page}");
        }
    }
}
