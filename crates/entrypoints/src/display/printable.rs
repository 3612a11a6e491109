//! Text from outside, such as the name of a shop, as a terminal may show it.

use std::borrow::Cow;

/// The text with control characters and those that change the direction of writing escaped.
/// They could forge lines, colour them, set the window's title, or let a line read
/// otherwise than it is.
pub fn printable(text: &str) -> Cow<'_, str> {
    escaped(text, must_be_escaped, |c, out| {
        out.extend(c.escape_default())
    })
}

/// Several lines, each of them [`printable`].
pub fn printable_lines(text: &str) -> Cow<'_, str> {
    let is_bad = |c| c != '\n' && must_be_escaped(c);
    escaped(text, is_bad, |c, out| out.extend(c.escape_default()))
}

/// JSON on one line that is still JSON of the same meaning: control characters can stand
/// only between its values, the others only inside its strings.
pub fn printable_json(json: &str) -> Cow<'_, str> {
    escaped(json, must_be_escaped, |c, out| match c {
        '\n' | '\r' | '\t' => out.push(' '),
        c => {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
    })
}

fn escaped(
    text: &str,
    is_bad: impl Fn(char) -> bool,
    escape: impl Fn(char, &mut String),
) -> Cow<'_, str> {
    if !text.contains(&is_bad) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match is_bad(c) {
            true => escape(c, &mut out),
            false => out.push(c),
        }
    }
    Cow::Owned(out)
}

fn must_be_escaped(c: char) -> bool {
    let changes_direction = matches!(
        c,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    // Separators of lines and paragraphs.
    c.is_control() || changes_direction || matches!(c, '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_could_deceive_is_shown_and_the_rest_is_left_alone() {
        let table = [
            ("متجر الرياض 🛍️ No. 1", "متجر الرياض 🛍️ No. 1"),
            ("\u{1b}]0;title\u{7}", "\\u{1b}]0;title\\u{7}"),
            ("\u{1b}[31mred", "\\u{1b}[31mred"),
            (
                "shop\r\nsalla-sync: all good",
                "shop\\r\\nsalla-sync: all good",
            ),
            ("abc\u{202e}fdp.exe", "abc\\u{202e}fdp.exe"),
            ("\u{9b}31m \u{7f} \u{0}", "\\u{9b}31m \\u{7f} \\u{0}"),
            (
                "a\u{2066}b\u{2069}\u{200f}",
                "a\\u{2066}b\\u{2069}\\u{200f}",
            ),
            ("a\u{2028}b", "a\\u{2028}b"),
        ];
        for (text, expected) in table {
            assert_eq!(printable(text), expected);
            assert_eq!(printable(&printable(text)), expected, "twice is as good");
        }
        assert_eq!(printable_lines("a\nb\r\n\u{1b}"), "a\nb\\r\n\\u{1b}");
    }

    #[test]
    fn raw_json_keeps_its_meaning() {
        let raw = "{\n\t\"name\":\"a\u{202e}b\u{7f}\u{9b}\"\r\n}";
        let shown = printable_json(raw);
        assert!(!shown.contains(must_be_escaped), "{shown}");
        let meaning = |json: &str| serde_json::from_str::<serde_json::Value>(json).unwrap();
        assert_eq!(meaning(&shown), meaning(raw));
    }

    proptest! {
        #[test]
        fn nothing_that_is_shown_controls_the_terminal(text in any::<String>()) {
            prop_assert!(!printable(&text).contains(must_be_escaped));
            let shown = printable_lines(&text);
            let is_bad = |c: char| c != '\n' && must_be_escaped(c);
            prop_assert!(!shown.contains(is_bad));
        }
    }
}
