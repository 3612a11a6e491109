//! Events about shops' connections for the app's backend.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use crate::job::{Message, MessageError};
use crate::shop::MerchantId;

crate::names! {
    /// What became of a shop's connection.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub enum ConnectionChangeKind {
        /// The shop had none.
        Created = "CONNECTION_CREATED",
        /// Newer tokens took the place of others that served.
        Replaced = "CONNECTION_REPLACED",
        /// Its tokens no longer serve.
        Broken = "CONNECTION_BROKEN",
        /// Its tokens serve again, or new ones do.
        Recovered = "CONNECTION_RECOVERED",
    }
}

/// Names and values that the app's backend gave with the tokens and receives with each change; they
/// have no meaning here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tags(BTreeMap<String, String>);

const MAX_TAGS: usize = 20;
const MAX_NAME_BYTES: usize = 64;
const MAX_VALUE_BYTES: usize = 256;

impl Tags {
    /// At most 20, with names of up to 64 letters, digits, `_`, `-` and `.`, and values of up to
    /// 256 bytes without control characters. The error says which rule is broken.
    pub fn new(tags: BTreeMap<String, String>) -> Result<Self, &'static str> {
        let is_name = |name: &String| {
            let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
            (1..=MAX_NAME_BYTES).contains(&name.len()) && name.chars().all(is_part)
        };
        let is_value =
            |value: &String| value.len() <= MAX_VALUE_BYTES && !value.chars().any(char::is_control);
        if tags.len() > MAX_TAGS {
            return Err("holds at most 20 tags");
        }
        if !tags.keys().all(is_name) {
            return Err("has names of 1 to 64 letters, digits, _, - and .");
        }
        if !tags.values().all(is_value) {
            return Err("has values of at most 256 bytes, without control characters");
        }
        Ok(Self(tags))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let tags = self.0.iter();
        tags.map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// Notify the app's backend of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionChangeJob {
    pub merchant: MerchantId,
    pub change: Uuid,
}

const TYPE: &str = "CONNECTION_CHANGED";

impl ConnectionChangeJob {
    /// The text to put on the queue.
    pub fn to_json(&self) -> String {
        let message = json!({
            "version": 1,
            "notificationType": TYPE,
            "merchantId": self.merchant,
            "changeId": self.change,
        });
        message.to_string()
    }

    /// `None`: the message is about something else.
    pub fn parse(text: &str) -> Option<Result<Self, MessageError>> {
        let message = Message::parse(text).ok()?;
        if message.text("notificationType").ok()? != TYPE {
            return None;
        }
        let read = || {
            Ok(Self {
                merchant: MerchantId(message.id("merchantId")?),
                change: message.id("changeId")?,
            })
        };
        Some(read())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::NotificationJob;

    fn tags(pairs: &[(&str, &str)]) -> Result<Tags, &'static str> {
        let pairs = pairs.iter();
        Tags::new(
            pairs
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        )
    }

    #[test]
    fn tags_are_few_and_short() {
        assert!(tags(&[("tenant", "42"), ("a.b-c_d", "مستأجر 😀"), ("empty", "")]).is_ok());
        for wrong in [
            [("", "x")],
            [("a b", "x")],
            [("متجر", "x")],
            [("a", "x\ny")],
            [(&"n".repeat(65), "x")],
            [("a", &"v".repeat(257))],
        ] {
            assert!(tags(&wrong).is_err(), "{wrong:?}");
        }
        let names: Vec<String> = (0..21).map(|number| format!("n{number}")).collect();
        let many: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "x")).collect();
        assert!(tags(&many).is_err());
        assert!(tags(&many[..20]).is_ok());
    }

    #[test]
    fn a_change_and_an_ending_are_not_taken_for_each_other() {
        let job = ConnectionChangeJob {
            merchant: MerchantId(Uuid::from_u128(1)),
            change: Uuid::from_u128(2),
        };
        let text = job.to_json();
        assert_eq!(ConnectionChangeJob::parse(&text), Some(Ok(job)));
        assert!(NotificationJob::parse(&text).is_err());
        for other in [
            "",
            "{}",
            r#"{"version":1,"notificationType":"SYNC_FAILED"}"#,
        ] {
            assert_eq!(ConnectionChangeJob::parse(other), None, "{other}");
        }
        let broken = text.replace("changeId", "other");
        let unreadable = ConnectionChangeJob::parse(&broken).unwrap().unwrap_err();
        assert_eq!(unreadable.to_string(), "changeId is missing");
    }

    #[test]
    fn kinds_have_stable_names() {
        for kind in ConnectionChangeKind::ALL {
            assert_eq!(ConnectionChangeKind::parse(kind.as_str()), Some(kind));
        }
        assert_eq!(ConnectionChangeKind::parse("created"), None);
    }
}
