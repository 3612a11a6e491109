//! The caller: a service or an operator with a token.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use domain::shop::MerchantId;
use importer::ports::api_tokens::{ApiScope, ApiToken};
use ring::rand::SecureRandom;
use secrecy::SecretString;

use super::Api;
use crate::problem::Problem;
use crate::state::hash;

/// So that a token that leaks can be found by searching for it.
const PREFIX: &str = "sst_";
const BYTES: usize = 32;

/// A new token, to be shown once. `None`: the machine has no randomness to give.
pub fn new_token(random: &dyn SecureRandom) -> Option<SecretString> {
    let mut bytes = [0; BYTES];
    random.fill(&mut bytes).ok()?;
    Some(format!("{PREFIX}{}", hex::encode(bytes)).into())
}

/// What is stored of a token. It has 256 random bits, so nobody finds one by trying.
pub fn token_hash(token: &str) -> [u8; 32] {
    hash(token.as_bytes())
}

pub(super) struct Caller(ApiToken);

impl Caller {
    pub(super) fn require(&self, scope: ApiScope) -> Result<(), Problem> {
        if self.0.scopes.contains(&scope) {
            return Ok(());
        }
        Err(Problem::new(
            StatusCode::FORBIDDEN,
            "scope_missing",
            format!("this token lacks the scope {}", scope.as_str()),
            "use a token that has it; `salla-sync tokens create` makes one",
        ))
    }

    /// The only merchant that the caller sees.
    pub(super) fn merchant(&self) -> Option<MerchantId> {
        self.0.merchant
    }
}

impl FromRequestParts<Arc<Api>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Problem> {
        let unknown = |detail: &str| {
            Problem::new(
                StatusCode::UNAUTHORIZED,
                "unauthorized",
                detail,
                "send `Authorization: Bearer sst_…` with a token of `salla-sync tokens create`",
            )
        };
        let given = parts.headers.get(header::AUTHORIZATION);
        let given = given.and_then(|value| value.to_str().ok());
        let token = given.and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        });
        let token = token.ok_or_else(|| unknown("the request carries no bearer token"))?;
        let found = api.tokens.find(&token_hash(token)).await?;
        let found = found.ok_or_else(|| {
            tracing::warn!(security = true, "a token of the API was refused");
            unknown("the token is unknown, expired or revoked")
        })?;
        tracing::debug!(token = %found.id, "a token of the API was used");
        Ok(Self(found))
    }
}
