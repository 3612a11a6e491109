//! Responses of `POST /oauth2/token`, which carry no envelope.
//!
//! Refresh tokens are single-use, so what matters is not whether to retry but whether the token was
//! used. If that is not certain, it counts as unknown: the careful case. Whether the request was
//! sent at all is not checked here.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::HeaderMap;
use serde::Deserialize;

use super::retry_after;
use crate::lenient::{Json, read_object, readable};

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
