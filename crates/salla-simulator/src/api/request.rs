//! A request as the simulator sees it, taken apart once.

use crate::endpoint::Endpoint;
use crate::json::Language;
use bytes::Bytes;
use std::net::IpAddr;

#[derive(Debug)]
pub(crate) struct ClientRequest {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: Query,
    pub(crate) access_token: Option<String>,
    /// `S-Source`: the app that introspects a token.
    pub(crate) source: String,
    pub(crate) language: Language,
    pub(crate) content_type: String,
    pub(crate) body: Bytes,
    pub(crate) peer: IpAddr,
}

impl ClientRequest {
    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint::of_path(&self.path).0
    }

    /// The number in the path; no record has an id that is not a number.
    pub(crate) fn id(&self) -> Option<i64> {
        Endpoint::of_path(&self.path).1?.parse().ok()
    }
}

/// The parameters of a query string or a form.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    pub(crate) fn parse(text: &[u8]) -> Self {
        Self {
            pairs: form_urlencoded::parse(text).into_owned().collect(),
        }
    }

    /// The fields of a JSON object, for clients that post JSON to the token
    /// endpoint.
    pub(crate) fn from_json(body: &[u8]) -> Option<Self> {
        let fields: std::collections::BTreeMap<String, serde_json::Value> =
            serde_json::from_slice(body).ok()?;
        let text = |value: serde_json::Value| match value {
            serde_json::Value::String(text) => text,
            other => other.to_string(),
        };
        Some(Self {
            pairs: fields
                .into_iter()
                .map(|(key, value)| (key, text(value)))
                .collect(),
        })
    }

    pub(crate) fn pairs(&self) -> impl Iterator<Item = &(String, String)> {
        self.pairs.iter()
    }

    /// The last value of a parameter, as PHP takes it. An empty one counts as
    /// not given.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let last = self.pairs.iter().rev().find(|(key, _)| key == name);
        last.map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    pub(crate) fn number(&self, name: &str) -> Option<i64> {
        self.get(name)?.trim().parse().ok()
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        matches!(self.get(name), Some("true" | "1"))
    }

    /// All values of `name[]`, `name[0]` or plain `name`.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let belongs = |key: &str| {
            key.strip_prefix(name).is_some_and(|rest| {
                rest.is_empty() || (rest.starts_with('[') && rest.ends_with(']'))
            })
        };
        self.pairs
            .iter()
            .filter(|(key, value)| belongs(key) && !value.is_empty())
            .map(|(_, value)| value.as_str())
            .collect()
    }

    /// The same question without one of its parameters.
    pub(crate) fn without(&self, name: &str) -> Self {
        let others = self.pairs.iter().filter(|(key, _)| key != name);
        Self {
            pairs: others.cloned().collect(),
        }
    }

    /// The parameters in a fixed order, so that equal questions look equal.
    pub(crate) fn canonical(&self) -> Vec<&(String, String)> {
        let mut pairs: Vec<_> = self.pairs.iter().collect();
        pairs.sort();
        pairs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_values_are_found_in_all_spellings() {
        let query = Query::parse(b"status%5B%5D=1&status[1]=2&status=3&statuses=4&page=");
        assert_eq!(query.all("status"), ["1", "2", "3"]);
        assert_eq!(query.get("page"), None);
    }
}
