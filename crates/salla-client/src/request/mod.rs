//! Requests to Salla: what they are, what they return, and what can go wrong with them.

mod attempt;
mod refusal;
mod requester;

use std::time::Duration;

use bytes::Bytes;
use domain::failure::Failure;
use domain::order::Version;
use importer::admission::{MemoryPermit, ResponseSize};
use tracing::Span;

use crate::http;
use crate::pacing::{LatencyClass, RateHeaders};
use crate::retry::{Backoff, RetryPolicy};
pub use attempt::UsualSizes;
pub use requester::Requester;

/// One request to Salla.
#[derive(Clone, Debug)]
pub struct ApiRequest {
    /// For logs and failures: "listing orders of 2025-01-01 to 2025-01-31, page 3". Holds no personal data.
    pub description: String,
    pub path: String,
    pub query: Vec<(&'static str, String)>,
    pub class: LatencyClass,
    /// Whether it also costs the budget of `/customers*`.
    pub customers: bool,
}

impl ApiRequest {
    /// What the response may take in memory. Only lists have pages.
    pub(crate) fn size(&self) -> ResponseSize {
        match self.query.iter().any(|(name, _)| *name == "page") {
            _ if self.customers => ResponseSize::Customers,
            true => ResponseSize::Page,
            false => ResponseSize::Record,
        }
    }
}

/// `GET /store/info`, which needs no scope of the import.
const STORE_INFO: &str = "store/info";

/// The request whose response distinguishes a bad token from a missing scope.
pub fn store_info() -> ApiRequest {
    ApiRequest {
        description: "requesting the shop".to_owned(),
        path: STORE_INFO.to_owned(),
        query: Vec::new(),
        class: LatencyClass(0),
        customers: false,
    }
}

/// The kind of endpoint, for counting requests without ids: the same set for every shop,
/// however large.
pub(super) fn endpoint_kind(path: &str) -> &'static str {
    match path {
        STORE_INFO => "store_info",
        "orders" => "orders",
        "orders/items" => "order_items",
        "orders/statuses" => "order_statuses",
        "customers" => "customers",
        "products" => "products",
        "categories" => "categories",
        _ if path.starts_with("orders/") => "order",
        _ if path.starts_with("customers/") => "customer",
        _ if path.starts_with("products/") => "product",
        _ => "other",
    }
}

/// What Salla sent, as read, and when the request was sent that returned it.
#[derive(Clone, Debug)]
pub struct Versioned<T> {
    pub value: T,
    pub version: Version,
}

/// A response as it came, whatever its status.
#[derive(Clone, Debug)]
pub struct RawResponse {
    pub status: u16,
    pub headers: RateHeaders,
    pub body: Bytes,
    /// Of each 429 on the way here: whether it said when to come back.
    pub throttles: Vec<bool>,
}

/// What one request has been through, and what its fetch has of the memory.
struct RequestState<'a> {
    memory: &'a mut MemoryPermit,
    backoff: Backoff,
    /// Attempts so far, those that the retry policy does not count included.
    sent: u32,
    refreshes: u32,
    /// Refreshes of tokens that have served nothing.
    futile_refreshes: u32,
    /// A response has outgrown its memory.
    has_outgrown: bool,
}

impl<'a> RequestState<'a> {
    fn new(retry: RetryPolicy, memory: &'a mut MemoryPermit) -> Self {
        Self {
            memory,
            backoff: Backoff::new(retry),
            sent: 0,
            refreshes: 0,
            futile_refreshes: 0,
            has_outgrown: false,
        }
    }

    /// What is logged within names the attempt.
    fn next_attempt(&mut self) -> Span {
        self.sent += 1;
        tracing::info_span!("request", attempt = self.sent)
    }
}

enum AttemptOutcome<T> {
    Done(Option<Versioned<T>>),
    Retry(Retry),
}

/// How an attempt ended that did not end the request.
enum Retry {
    /// Now, or when the budget allows: it costs no attempt.
    Now,
    Failed(AttemptError, Option<Duration>),
    Throttled,
}

/// Why an attempt failed that may be repeated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum AttemptError {
    /// A 5xx, a cut connection, a truncated body.
    #[error("{0}")]
    Transient(String),
    /// JSON, but not what Salla documents.
    #[error("{0}")]
    Malformed(String),
    /// The response needs more memory than is free, and must be requested again with it.
    #[error("there was no memory for the response")]
    Outgrown,
    /// No memory is enough for it.
    #[error(
        "the response is longer than {} MiB, or has more values than fit into memory",
        .0 >> 20
    )]
    TooLarge(usize),
    /// No JSON, or half of it.
    #[error("the response (status {status}, {content_type}) is not JSON, or was cut off")]
    NotJson {
        status: u16,
        content_type: String,
        body: Bytes,
    },
}

impl AttemptError {
    fn transient(what: &str) -> Self {
        Self::Transient(what.to_owned())
    }

    fn unexplained_401() -> Self {
        Self::transient("Salla responded with status 401 without a reason")
    }

    /// The error's own text would hold the address with its query.
    fn of_connection(error: &reqwest::Error) -> Self {
        let way = error.url().and_then(http::way_to);
        Self::Transient(no_connection(error, way.as_ref()))
    }

    /// The body that is no JSON, where that is what went wrong.
    fn unread(&self) -> Option<Bytes> {
        match self {
            Self::NotJson { body, .. } => Some(body.clone()),
            _ => None,
        }
    }

    /// "listing orders of 2025-01-01 to 2025-01-31, page 3: Salla responded with status 503 (8 tries)".
    fn into_failure(self, description: &str, tries: u32) -> Failure {
        let what = format!("{description}: {self} ({tries} tries)");
        match self {
            Self::Transient(_) | Self::Outgrown => Failure::Transient { message: what },
            Self::TooLarge(_) => Failure::TooLarge { message: what },
            Self::Malformed(_) => Failure::Broken { message: what },
            Self::NotJson { .. } => Failure::NotJson { message: what },
        }
    }
}

fn no_connection(error: &reqwest::Error, way: Option<&http::Way>) -> String {
    let what = if error.is_timeout() {
        "no connection in time"
    } else if error.is_connect() {
        "there is no connection to Salla"
    } else if error.is_body() || error.is_decode() {
        "the response was cut off"
    } else {
        "the connection was cut"
    };
    let way = way.map(|way| format!(" {way}")).unwrap_or_default();
    let reason = http::reason(error).map(|reason| format!(": {reason}"));
    format!("{what}{way}{}", reason.unwrap_or_default())
}

fn not_accepted(description: &str, code: Option<String>, fields: &[String]) -> Failure {
    let code = code.map(|code| format!(" ({code})")).unwrap_or_default();
    let about = match fields {
        [] => String::new(),
        fields => format!(", about {}", fields.join(", ")),
    };
    Failure::Broken {
        message: format!("{description}: Salla does not accept the request{code}{about}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_id_gets_into_a_label() {
        let table = [
            ("orders", "orders"),
            ("orders/1027339291", "order"),
            ("orders/items", "order_items"),
            ("customers/5", "customer"),
            ("store/info", "store_info"),
            ("5/6", "other"),
        ];
        for (path, kind) in table {
            assert_eq!(endpoint_kind(path), kind, "{path}");
        }
    }

    #[tokio::test]
    async fn what_is_in_the_way_is_named() {
        let client = http::http_client().unwrap();
        let error = client.get("http://127.0.0.1:1/orders?token=secret");
        let error = error.send().await.unwrap_err();
        let refused = "there is no connection to Salla: connection refused";
        assert_eq!(no_connection(&error, None), refused);
        assert_eq!(AttemptError::of_connection(&error).to_string(), refused);
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
