//! Answers of `POST /oauth2/token` (docs.salla.dev/421118m0, FACTS §2.4), which
//! carry no envelope.
//!
//! Refresh tokens are single-use, so the question is not whether to try again but
//! whether the token may have been spent. Whether the request was sent at all is
//! not asked here.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::HeaderMap;
use serde::Deserialize;

use super::retry_after;
use crate::lenient::{Json, Object};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenVerdict {
    /// The body holds an access token.
    Tokens,
    /// The refresh token or code is spent, expired or revoked: the merchant must
    /// reinstall. Documented as 401, seen as 400.
    InvalidGrant,
    /// The server refused for another reason and issued nothing, for example
    /// `invalid_client`: the operator must look at the credentials.
    Refused { code: String },
    /// Refused before it was looked at.
    Throttled { retry_after: Option<Duration> },
    /// The token may be spent although no new one arrived. Never present it again.
    Lost { status: u16 },
}

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
) -> TokenVerdict {
    if status == 429 {
        return TokenVerdict::Throttled {
            retry_after: retry_after(headers, now),
        };
    }
    let answer: Object<TokenAnswer<'_>> = serde_json::from_slice(body).unwrap_or_default();
    let answer = answer.get();
    let error = answer.and_then(|a| a.error.text());
    match (status, error.as_deref()) {
        (200..=299, None) if answer.is_some_and(|a| !a.access_token.is_absent()) => {
            TokenVerdict::Tokens
        }
        (400..=499, Some("invalid_grant")) => TokenVerdict::InvalidGrant,
        (400..=499, Some(code)) => TokenVerdict::Refused {
            code: code.to_owned(),
        },
        _ => TokenVerdict::Lost { status },
    }
}
