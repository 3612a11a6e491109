//! What went wrong with a try, and the sentence for whoever reads it in the end.

use bytes::Bytes;
use domain::failure::Failure;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};

use crate::http;

/// Why a try failed that may be repeated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Trouble {
    /// A 5xx, a cut connection, a truncated body.
    #[error("{0}")]
    Passing(String),
    /// JSON, but not what Salla documents.
    #[error("{0}")]
    Broken(String),
    /// The answer needs more room than is free, and has to be asked for again with it.
    #[error("there was no room for the answer")]
    Outgrown,
    /// No room is enough for it.
    #[error(
        "the answer is longer than {} MiB, or is made of more values than fit into memory",
        .0 >> 20
    )]
    TooLarge(usize),
    /// No JSON, or half of it.
    #[error("the answer (status {status}, {content_type}) is not JSON, or was cut off")]
    NotJson {
        status: u16,
        content_type: String,
        body: Bytes,
    },
}

impl Trouble {
    pub(super) fn passing(what: &str) -> Self {
        Self::Passing(what.to_owned())
    }

    /// The body that is no JSON, where that is what went wrong.
    pub(super) fn unread(&self) -> Option<Bytes> {
        match self {
            Self::NotJson { body, .. } => Some(body.clone()),
            _ => None,
        }
    }

    pub(super) fn unexplained_401() -> Self {
        Self::passing("Salla answered with status 401 and does not say why")
    }

    /// The error's own text would hold the address with its query.
    pub(super) fn of_connection(error: &reqwest::Error) -> Self {
        let way = error.url().and_then(http::way_to);
        Self::Passing(no_connection(error, way.as_ref()))
    }
}

fn no_connection(error: &reqwest::Error, way: Option<&http::Way>) -> String {
    let what = if error.is_timeout() {
        "no connection in time"
    } else if error.is_connect() {
        "there is no connection to Salla"
    } else if error.is_body() || error.is_decode() {
        "the answer was cut off"
    } else {
        "the connection was cut"
    };
    let way = way.map(|way| format!(" {way}")).unwrap_or_default();
    let reason = http::reason(error).map(|reason| format!(": {reason}"));
    format!("{what}{way}{}", reason.unwrap_or_default())
}

/// "listing orders of 2025-01-01 to 2025-01-31, page 3: Salla answered with status 503 (8 tries)".
pub(super) fn tell(what: &str, trouble: Trouble, tries: u32) -> Failure {
    let what = format!("{what}: {trouble} ({tries} tries)");
    match trouble {
        Trouble::Passing(_) | Trouble::Outgrown => Failure::Transient { what },
        Trouble::TooLarge(_) => Failure::TooLarge { what },
        Trouble::Broken(_) => Failure::Broken { what },
        Trouble::NotJson { .. } => Failure::NotJson { what },
    }
}

/// The name of a media type; anything else that a server may send is not repeated.
pub(super) fn content_type(headers: &HeaderMap) -> String {
    let value = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    let name = value.and_then(|value| value.split(|byte| *byte == b';').next());
    let name = name.map(|name| String::from_utf8_lossy(name.trim_ascii()));
    let is_name = |text: &str| {
        let is_sign = |byte: u8| byte.is_ascii_alphanumeric() || b"/+.-".contains(&byte);
        (1..=64).contains(&text.len()) && text.bytes().all(is_sign)
    };
    match name {
        None => "without content type".to_owned(),
        Some(name) if is_name(&name) => name.into_owned(),
        Some(_) => "with an unreadable content type".to_owned(),
    }
}

pub(super) fn invalid(what: &str, code: Option<String>, fields: &[String]) -> Failure {
    let code = code.map(|code| format!(" ({code})")).unwrap_or_default();
    let about = match fields {
        [] => String::new(),
        fields => format!(", about {}", fields.join(", ")),
    };
    Failure::Broken {
        what: format!("{what}: Salla does not accept the request{code}{about}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_in_the_way_is_named() {
        let client = http::http_client().unwrap();
        let error = client.get("http://127.0.0.1:1/orders?token=secret");
        let error = error.send().await.unwrap_err();
        let refused = "there is no connection to Salla: connection refused";
        assert_eq!(no_connection(&error, None), refused);
        assert_eq!(Trouble::of_connection(&error).to_string(), refused);
        let way = http::Way {
            address: "proxy.example:3128".to_owned(),
            variable: "HTTPS_PROXY",
        };
        assert_eq!(
            no_connection(&error, Some(&way)),
            "there is no connection to Salla through the proxy proxy.example:3128 (HTTPS_PROXY): \
             connection refused"
        );
    }
}
