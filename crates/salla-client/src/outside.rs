//! Words of others in our own sentences, which go to logs, to the database and to operators.

const MAX_CHARS: usize = 64;
const UNREADABLE: &str = "unreadable";

/// A code, or the name of a field or a scope, if it looks like one. Anything else could forge
/// a line, be endless, or be somebody's name.
pub(crate) fn readable(word: &str) -> &str {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    let is_readable = (1..=MAX_CHARS).contains(&word.len()) && word.bytes().all(is_good);
    if is_readable { word } else { UNREADABLE }
}

/// The first of them; a list may be endless as well.
pub(crate) fn readable_list(words: &[String]) -> Vec<String> {
    const MAX_WORDS: usize = 10;
    let words = words.iter().take(MAX_WORDS);
    words.map(|word| readable(word).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn codes_are_repeated_and_all_else_is_not() {
        let long = "x".repeat(64);
        for code in ["invalid_grant", "error", "422", "items.0.sku", "A-1", &long] {
            assert_eq!(readable(code), code);
        }
        let too_long = "x".repeat(65);
        let forged = "x\n2026-01-01T00:00:00Z ERROR";
        for text in [
            "",
            "two words",
            forged,
            "\u{1b}[31m",
            "اسم",
            "a@b.example",
            &too_long,
        ] {
            assert_eq!(readable(text), UNREADABLE, "{text:?}");
        }
        assert_eq!(readable_list(&vec!["a".to_owned(); 1_000]).len(), 10);
    }

    proptest! {
        #[test]
        fn whatever_is_sent_is_short_and_plain(word in any::<String>()) {
            let said = readable(&word);
            prop_assert!(said.len() <= MAX_CHARS && said.chars().all(|c| c.is_ascii_graphic()));
        }
    }
}
