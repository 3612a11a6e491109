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

use serde_json::value::RawValue;

use super::rows;
use super::tokens::{is_blank, is_json, mended};

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
    rows::with_broken_ones_quoted(&text).filter(|text| is_json(text))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

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
}
