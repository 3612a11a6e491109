//! The words that distinguish Salla's 401s and 403s (docs/salla-api.md#envelopes-and-errors). The
//! codes do not: nearly all are `Unauthorized` or `error`. Messages come in the language of the
//! request, Arabic by default.

use super::ResponseKind;
use crate::envelope::{ApiError, printable};

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
pub(super) fn unauthorised(error: &ApiError) -> ResponseKind {
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

pub(super) fn says_forbidden(error: &ApiError) -> bool {
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
