//! What a response means for the request that it answers: status, headers and body go in,
//! one [`ResponseKind`] comes out (docs/salla-api.md#envelopes-and-errors and #rate-limits,
//! docs.salla.dev/421123m0).
//!
//! Only this module reads statuses and messages. It decides nothing about waiting, refreshing or
//! aborting; the request loop does.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};
use serde::Deserialize;

use crate::envelope::{ApiError, EnvelopeError, printable, printable_list};
use crate::header_time::{HeaderTime, http_date};
use crate::lenient::{Json, read_object, readable};

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
/// documentation shows 404 and 422 bodies under HTTP 200. `wait` is what the response's
/// `Retry-After` says.
pub fn classify_envelope_error(error: EnvelopeError, wait: Option<Duration>) -> ResponseKind {
    match error {
        EnvelopeError::NotJson => not_json(wait),
        EnvelopeError::NotAnEnvelope(what) => ResponseKind::Malformed {
            what: format!("the response is not an envelope of Salla's API: {what}"),
        },
        EnvelopeError::Api(error) => match status_of(&error) {
            Some(status) => kind_of(status, Some(*error), wait),
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
        (401, Some(error)) => unauthorised(&error),
        (403, Some(error)) if says_forbidden(&error) => ResponseKind::Forbidden,
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

/// Codes that only name a status that passes.
const TRANSIENT_CODES: [(&str, u16); 3] = [
    ("too_many_requests", 429),
    ("server_error", 500),
    ("service_unavailable", 503),
];

/// The status of an error envelope under HTTP 200: `status` or a numeric code, whichever is one
/// of an error, else what a documented code stands for.
fn status_of(error: &ApiError) -> Option<u16> {
    let code = error.code.as_deref().unwrap_or_default();
    let numbers = [error.status, code.parse().ok()];
    let status = numbers.into_iter().flatten().find(|status| *status >= 400);
    status.or_else(|| {
        let mut codes = TRANSIENT_CODES.into_iter();
        let (_, status) = codes.find(|(name, _)| name.eq_ignore_ascii_case(code))?;
        Some(status)
    })
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

/// How long the response requires to wait (RFC 9110 §10.2.3, docs/salla-api.md#rate-limits);
/// `None` where it does not say, or says it unreadably. A date is measured by the clock that the
/// response shows, and by ours, `now`, where it shows none.
pub fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = |name: HeaderName| headers.get(name)?.to_str().ok();
    let required = HeaderTime::read(text(RETRY_AFTER)?)?;
    let now = text(DATE).and_then(http_date).unwrap_or(now);
    Some(required.wait_from(now).min(MAX_RETRY_AFTER))
}

// The words that distinguish Salla's 401s and 403s (docs/salla-api.md#envelopes-and-errors). The
// codes do not: nearly all are `Unauthorized` or `error`. Messages come in the language of the
// request, Arabic by default.

/// "The access token should have access to one of those scopes: orders.read".
const SCOPE: &[&str] = &["scope"];

/// "غير مفعل": not activated.
const INACTIVE: &[&str] = &["غير مفعل", "not active", "not activated", "inactive"];

/// As messages and as codes; the last one is RFC 6750's.
const TOKEN_REJECTED: &[&str] = &[
    "access token is invalid",
    "token is not valid",
    "invalid-token",
    "invalid_token",
];

/// "لا يدعم": does not support (the feature); "صلاحي": permission(s).
const FORBIDDEN: &[&str] = &["permission", "does not support", "لا يدعم", "صلاحي"];

/// A scope first, because its message also mentions the access token.
fn unauthorised(error: &ApiError) -> ResponseKind {
    if says(error, SCOPE) {
        return ResponseKind::ScopeMissing {
            scopes: scopes(error.message.as_deref().unwrap_or_default()),
        };
    }
    if says(error, INACTIVE) {
        return ResponseKind::Inactive;
    }
    if says(error, TOKEN_REJECTED) {
        return ResponseKind::TokenRejected;
    }
    ResponseKind::UnexplainedUnauthorized
}

fn says_forbidden(error: &ApiError) -> bool {
    says(error, FORBIDDEN)
}

fn says(error: &ApiError, phrases: &[&str]) -> bool {
    let texts = [error.message.as_deref(), error.code.as_deref()];
    texts.into_iter().flatten().any(|text| {
        let text = text.to_lowercase();
        phrases.iter().any(|phrase| text.contains(phrase))
    })
}

/// The scopes behind the colon.
fn scopes(message: &str) -> Vec<String> {
    let (_, list) = message.rsplit_once(':').unwrap_or_default();
    list.split([',', ' ', '،'])
        .map(|scope| scope.trim_matches(['.', '"', '\'', '[', ']']))
        .filter(|scope| !scope.is_empty())
        .map(|scope| printable(scope).to_owned())
        .collect()
}

// Responses of `POST /oauth2/token`, which carry no envelope.
//
// Refresh tokens are single-use, so what matters is not whether to retry but whether the token was
// used. If that is not certain, it counts as unknown: the careful case. Whether the request was
// sent at all is not checked here.

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenResponseKind {
    /// The body holds an access token.
    Tokens,
    /// The refresh token or code is spent, expired or revoked: the merchant must
    /// reinstall. It is never presented again.
    InvalidGrant,
    /// The server refused before it looked at the token, which is as good as before: the
    /// operator must look at the app's credentials.
    Refused { code: &'static str },
    /// Refused before it was looked at.
    Throttled { retry_after: Option<Duration> },
    /// The token may have been used although no new one arrived.
    Lost { status: u16 },
}

/// What says that the token itself is dead. Ory Hydra, whose tokens Salla's look like, has
/// several words for it; `invalid_grant` is documented as 401 and was seen as 400.
const DEAD: [&str; 5] = [
    "invalid_grant",
    "token_inactive",
    "token_expired",
    "invalid_token",
    "access_denied",
];

/// Refusals because of the app or the form of the request, before any token is checked.
/// `invalid_request` is not among these: Hydra responds with it when one token is presented twice
/// concurrently.
const UNTOUCHED: [&str; 4] = [
    "invalid_client",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
];

#[derive(Default, Deserialize)]
#[serde(default)]
struct TokenAnswer<'a> {
    #[serde(borrow)]
    access_token: Json<'a>,
    error: Json<'a>,
}

pub fn classify_token_answer(
    status: u16,
    headers: &HeaderMap,
    body: &[u8],
    now: Timestamp,
) -> TokenResponseKind {
    if status == 429 {
        return TokenResponseKind::Throttled {
            retry_after: retry_after(headers, now),
        };
    }
    let lost = TokenResponseKind::Lost { status };
    let body = readable(body);
    let Ok(answer) = read_object::<TokenAnswer<'_>>(&body) else {
        return lost;
    };
    match (status, answer.error.text().as_deref()) {
        (200..=299, None) if !answer.access_token.is_absent() => TokenResponseKind::Tokens,
        (400..=499, Some(code)) if DEAD.contains(&code) => TokenResponseKind::InvalidGrant,
        (400..=499, Some(code)) => UNTOUCHED
            .into_iter()
            .find(|untouched| *untouched == code)
            .map_or(lost, |code| TokenResponseKind::Refused { code }),
        _ => lost,
    }
}
