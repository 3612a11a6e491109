//! What Salla says went wrong (docs/salla-api.md#envelopes-and-errors).

use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::BTreeMap;

use crate::lenient::{Json, Object};

/// Longer messages are cut: they end up in log lines.
const MESSAGE_CHARS: usize = 300;

/// Why a response holds no records.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// No JSON, or JSON that was cut off: this is transient.
    #[error("the response is not JSON, or was cut off")]
    NotJson,
    /// Valid JSON, but not the documented envelope: a developer must look at it.
    #[error("the response is not an envelope of Salla's API: {0}")]
    NotAnEnvelope(&'static str),
    #[error("{0}")]
    Api(Box<ApiError>),
}

/// An error envelope without what may be personal in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApiError {
    /// `status` in the body, which may differ from the HTTP status.
    pub status: Option<u16>,
    /// A slug or a number; also the `error` of a bare OAuth error.
    pub code: Option<String>,
    /// In the language of the request, Arabic by default; words that may be an address, a person's
    /// number or a token are masked.
    pub message: Option<String>,
    /// Names of the fields that were complained about, without their texts.
    pub fields: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct ErrorBody<'a> {
    #[serde(borrow)]
    code: Json<'a>,
    message: Json<'a>,
    fields: Object<BTreeMap<String, IgnoredAny>>,
}

impl ApiError {
    pub(super) fn new(
        status: Option<u16>,
        error: &Object<ErrorBody<'_>>,
        framework_message: Json<'_>,
    ) -> Self {
        let (code, message, fields) = match error {
            Object::Is(body) => {
                let fields = body.fields.get();
                let names = fields.map(|f| f.keys().cloned().collect());
                (body.code.string(), body.message, names.unwrap_or_default())
            }
            Object::Text(code) => (Some(code.clone()), Json::default(), Vec::new()),
            _ => (None, Json::default(), Vec::new()),
        };
        Self {
            status,
            code,
            message: message.or(framework_message).text().map(|m| masked(&m)),
            fields,
        }
    }
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Salla responded with an error")?;
        if let Some(status) = self.status {
            write!(f, ", status {status}")?;
        }
        if let Some(code) = &self.code {
            write!(f, ", code {}", printable(code))?;
        }
        if !self.fields.is_empty() {
            write!(f, ", about {}", printable_list(&self.fields).join(", "))?;
        }
        Ok(())
    }
}

fn masked(message: &str) -> String {
    let words = message.split_whitespace();
    let words: Vec<_> = words
        .map(|word| if is_private(word) { "…" } else { word })
        .collect();
    words.join(" ").chars().take(MESSAGE_CHARS).collect()
}

/// Mail addresses, phone and card numbers, and the tokens of Salla's OAuth server.
fn is_private(word: &str) -> bool {
    let digits = word.chars().filter(|c| c.is_numeric()).count();
    word.contains('@') || digits >= 4 || word.contains("ory_")
}

const MAX_CHARS: usize = 64;
const UNREADABLE: &str = "unreadable";

/// Others' words in our own sentences, which go to logs, to the database and to operators: a code,
/// or the name of a field or a scope, if it looks like one. Anything else could forge a line, be
/// endless, or be a person's name.
pub(crate) fn printable(word: &str) -> &str {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    let is_printable = (1..=MAX_CHARS).contains(&word.len()) && word.bytes().all(is_good);
    if is_printable { word } else { UNREADABLE }
}

/// The first of them; a list may be endless as well.
pub(crate) fn printable_list(words: &[String]) -> Vec<String> {
    const MAX_WORDS: usize = 10;
    let words = words.iter().take(MAX_WORDS);
    words.map(|word| printable(word).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn codes_are_repeated_and_all_else_is_not() {
        let long = "x".repeat(64);
        for code in ["invalid_grant", "error", "422", "items.0.sku", "A-1", &long] {
            assert_eq!(printable(code), code);
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
            assert_eq!(printable(text), UNREADABLE, "{text:?}");
        }
        assert_eq!(printable_list(&vec!["a".to_owned(); 1_000]).len(), 10);
    }

    proptest! {
        #[test]
        fn whatever_is_sent_is_short_and_plain(word in any::<String>()) {
            let said = printable(&word);
            prop_assert!(said.len() <= MAX_CHARS && said.chars().all(|c| c.is_ascii_graphic()));
        }
    }
}
