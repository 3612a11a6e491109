//! What a response means for the request that it answers: status, headers and body go in,
//! one [`ResponseKind`] comes out (docs/salla-api.md#envelopes-and-errors and #rate-limits,
//! docs.salla.dev/421123m0).
//!
//! Only this module reads statuses and messages. It decides nothing about waiting, refreshing or
//! aborting; the request loop does.

mod messages;
mod token;

use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{HeaderMap, RETRY_AFTER};

use crate::envelope::{ApiError, EnvelopeError, printable, printable_list};
pub use token::{TokenResponseKind, classify_token_answer};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResponseKind {
    /// Split the body; if that fails, [`classify_envelope_error`] says what it means.
    Success,
    /// Salla no longer has the record.
    Gone,
    /// It will pass.
    RetryLater {
        reason: RetryReason,
        retry_after: Option<Duration>,
    },
    /// The shop's budget is spent. Some 429s carry no `Retry-After`.
    Throttled { retry_after: Option<Duration> },
    /// A temporary 403 after too many requests, or by the edge: wait long.
    Blocked { retry_after: Option<Duration> },
    /// The access token serves no more; a refresh may help.
    TokenRejected,
    /// A 401 that does not say why: `GET /store/info`, which needs no scope of the
    /// import, distinguishes a bad token from a missing scope. Refreshing for a missing
    /// scope would spend a single-use refresh token for nothing.
    UnexplainedUnauthorized,
    /// A 401 that names scopes; any one of them would do.
    ScopeMissing { scopes: Vec<String> },
    /// The merchant's account is not active.
    Inactive,
    /// The app may never do this.
    Forbidden,
    /// Salla does not accept the request: our mistake, or a parameter that it does
    /// not support.
    Invalid {
        code: Option<String>,
        message: Option<String>,
        fields: Vec<String>,
    },
    /// The response follows no contract that we know of.
    Malformed { what: String },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RetryReason {
    #[error("Salla responded with status {0}")]
    Status(u16),
    #[error("the response is not JSON, or was cut off")]
    NotJson,
}

/// Classifies a response by status, headers and body. The body of a success is not
/// parsed here but only looked at: it is about to be split anyway.
pub fn classify(status: u16, headers: &HeaderMap, body: &[u8], now: Timestamp) -> ResponseKind {
    let wait = retry_after(headers, now);
    match status {
        200..=299 if looks_like_json(body) => ResponseKind::Success,
        200..=299 => not_json(wait),
        _ => kind_of(status, ApiError::parse(body), wait),
    }
}

/// Classifies a body that was taken for a success and could not be split. Salla's
/// documentation shows 404 and 422 bodies under HTTP 200.
pub fn classify_envelope_error(error: EnvelopeError) -> ResponseKind {
    match error {
        EnvelopeError::NotJson => not_json(None),
        EnvelopeError::NotAnEnvelope(what) => ResponseKind::Malformed {
            what: format!("the response is not an envelope of Salla's API: {what}"),
        },
        EnvelopeError::Api(error) => match status_of(&error) {
            Some(status) => kind_of(status, Some(*error), None),
            None => ResponseKind::Malformed {
                what: error.to_string(),
            },
        },
    }
}

/// The table. `error` is absent where the body is not JSON: then it was written by
/// something between us and Salla, and says nothing about a record or a scope.
fn kind_of(status: u16, error: Option<ApiError>, wait: Option<Duration>) -> ResponseKind {
    match (status, error) {
        (429, _) => ResponseKind::Throttled { retry_after: wait },
        (408 | 425 | 500..=599, _) => ResponseKind::RetryLater {
            reason: RetryReason::Status(status),
            retry_after: wait,
        },
        (401, None) => ResponseKind::UnexplainedUnauthorized,
        (401, Some(error)) => messages::unauthorised(&error),
        (403, Some(error)) if messages::says_forbidden(&error) => ResponseKind::Forbidden,
        (403, _) => ResponseKind::Blocked { retry_after: wait },
        (404 | 410, Some(error)) if is_from_salla(&error) => ResponseKind::Gone,
        (400 | 422, Some(error)) => ResponseKind::Invalid {
            code: error.code.as_deref().map(printable).map(str::to_owned),
            message: error.message,
            fields: printable_list(&error.fields),
        },
        (400 | 404 | 410 | 422, None) => not_json(wait),
        (_, error) => unexpected(status, error),
    }
}

/// A 404 of the web framework itself means a wrong path of ours and must not make
/// a record disappear.
fn is_from_salla(error: &ApiError) -> bool {
    error.code.is_some() || error.status.is_some()
}

fn unexpected(status: u16, error: Option<ApiError>) -> ResponseKind {
    let code = error.and_then(|error| error.code);
    let code = code
        .map(|code| format!(", code {}", printable(&code)))
        .unwrap_or_default();
    ResponseKind::Malformed {
        what: format!("Salla responded with the unexpected status {status}{code}"),
    }
}

/// The status of an error envelope under HTTP 200: `status`, else a numeric code.
fn status_of(error: &ApiError) -> Option<u16> {
    let code = error.code.as_deref().and_then(|code| code.parse().ok());
    error.status.or(code).filter(|status| *status >= 400)
}

fn not_json(retry_after: Option<Duration>) -> ResponseKind {
    ResponseKind::RetryLater {
        reason: RetryReason::NotJson,
        retry_after,
    }
}

pub(crate) fn looks_like_json(body: &[u8]) -> bool {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    matches!(body.trim_ascii_start().first(), Some(b'{' | b'['))
}

/// No request waits longer because of a header, and no sum of it can overflow.
const MAX_RETRY_AFTER: Duration = Duration::from_hours(24);

/// How long the response requires to wait from `now` (RFC 9110 §10.2.3,
/// docs/salla-api.md#rate-limits); `None` where it does not say, or says it unreadably.
pub fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = seconds(text).or_else(|| until(text, now))?;
    Some(wait.min(MAX_RETRY_AFTER))
}

/// Whole seconds; a fraction, which the standard does not know, is rounded up.
fn seconds(text: &str) -> Option<Duration> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let more = u64::from(fraction.bytes().any(|byte| byte != b'0'));
    let whole: u64 = whole.parse().unwrap_or(u64::MAX);
    Some(Duration::from_secs(whole.saturating_add(more)))
}

fn until(text: &str, now: Timestamp) -> Option<Duration> {
    let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    Some(Duration::try_from(date.duration_since(now)).unwrap_or(Duration::ZERO))
}
