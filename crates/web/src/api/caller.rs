//! The caller: a service or an operator with a token, or a merchant who has signed in.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use domain::shop::MerchantId;
use importer::ports::api_access::{ApiScope, ApiToken};
use importer::ports::audit::Actor;
use importer::ports::sessions::{Carrier, Session};
use ring::rand::SecureRandom;
use secrecy::SecretString;

use super::Api;
use crate::client::Client;
use crate::limits::REFUSED_TOKENS;
use crate::problem::Problem;
use crate::secrets::{hash, new_secret};
use crate::sessions::{CookieSession, is_secret};

/// So that a token that leaks can be found by searching for it.
const PREFIX: &str = "sst_";

/// What a merchant does with their own shop.
const OF_MERCHANTS: [ApiScope; 2] = [ApiScope::Read, ApiScope::Operate];

/// A new token, to be shown once. `None`: the machine has no randomness to give.
pub fn new_token(random: &dyn SecureRandom) -> Option<SecretString> {
    new_secret(PREFIX, random)
}

/// What is stored of a token.
pub fn token_hash(token: &str) -> [u8; 32] {
    hash(token.as_bytes())
}

pub(super) enum Caller {
    Service(ApiToken),
    Merchant(Session),
}

/// Which merchants a caller sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sees {
    All,
    One(MerchantId),
    /// The merchant's shop is not known here yet.
    None,
}

impl Caller {
    pub(super) fn require(&self, scope: ApiScope) -> Result<(), Problem> {
        let (allowed, advice) = match self {
            Self::Service(token) => (
                token.scopes.as_slice(),
                "use a token that has it; `salla-sync tokens create` makes one",
            ),
            Self::Merchant(_) => (
                OF_MERCHANTS.as_slice(),
                "merchants who have signed in cannot do this; use a token of the API",
            ),
        };
        if allowed.contains(&scope) {
            return Ok(());
        }
        Err(Problem::new(
            StatusCode::FORBIDDEN,
            "scope_missing",
            format!("this token lacks the scope {}", scope.as_str()),
            advice,
        ))
    }

    pub(super) fn sees(&self) -> Sees {
        match self {
            Self::Service(token) => token.merchant.map_or(Sees::All, Sees::One),
            Self::Merchant(session) => session.merchant.map_or(Sees::None, Sees::One),
        }
    }

    /// The session of a merchant who has signed in: no token of the API has one.
    pub(super) fn session(self) -> Result<Session, Problem> {
        match self {
            Self::Merchant(session) => Ok(session),
            Self::Service(_) => Err(Problem::new(
                StatusCode::FORBIDDEN,
                "not_a_session",
                "a token of the API is no session of a merchant",
                "use a merchant's session here; `salla-sync tokens list` shows tokens",
            )),
        }
    }

    /// For the audit log.
    pub(super) fn actor(&self) -> Actor {
        match self {
            Self::Service(token) => Actor::Token(token.id),
            Self::Merchant(session) => Actor::Session(session.id),
        }
    }
}

impl FromRequestParts<Arc<Api>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Problem> {
        let address = Client::of(&parts.extensions);
        match parts.headers.get(header::AUTHORIZATION) {
            Some(given) => {
                let given = given.to_str().ok();
                let token = given.and_then(|value| {
                    let (scheme, token) = value.split_once(' ')?;
                    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
                });
                let token = token.ok_or_else(no_bearer)?;
                api.bearer(token, address).await
            }
            None => {
                let carried = parts.extensions.get::<CookieSession>();
                let session = carried.ok_or_else(no_bearer)?;
                Ok(Self::Merchant(session.0.clone()))
            }
        }
    }
}

impl Api {
    async fn bearer(&self, token: &str, address: Option<IpAddr>) -> Result<Caller, Problem> {
        let found = match is_secret(token) {
            true => {
                let (hash, sessions) = (hash(token.as_bytes()), &self.sessions.sessions);
                let found = sessions.find(&hash, Carrier::Bearer, address).await?;
                found.map(Caller::Merchant)
            }
            false => self
                .tokens
                .find(&token_hash(token))
                .await?
                .map(Caller::Service),
        };
        let Some(caller) = found else {
            tracing::warn!(security = true, "a token of the API was refused");
            let limiter = &self.sessions.limiter;
            limiter.take(REFUSED_TOKENS, address).await?;
            return Err(unknown("the token is unknown, expired or revoked"));
        };
        tracing::debug!(caller = %caller.actor(), "a token of the API was used");
        Ok(caller)
    }
}

fn no_bearer() -> Problem {
    unknown("the request carries no bearer token")
}

fn unknown(detail: &str) -> Problem {
    Problem::new(
        StatusCode::UNAUTHORIZED,
        "unauthorized",
        detail,
        "send `Authorization: Bearer sst_…` with a token of `salla-sync tokens create`; merchants \
         open the page again",
    )
}
