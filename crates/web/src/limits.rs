//! How often one caller may do what is worth trying many times.
//!
//! Counted in the database, for all servers together. An address stands for its subscriber: one
//! of IPv4, a /64 of IPv6. Addresses are stored as hashes.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use importer::ports::api_access::{RateLimits, Rule, Taken};

use crate::client::subscriber;
use crate::pages::Page;
use crate::problem::Problem;
use crate::secrets::hash;

const MINUTE: Duration = Duration::from_secs(60);

/// Of beginning to consent, and of coming back.
pub(crate) const CONSENTS: Rule = rule("consents", 30, MINUTE);
/// For dashboard tokens, each of which costs a request to Salla. An office has one address.
pub(crate) const EXCHANGES: Rule = rule("exchanges", 60, MINUTE);
/// Of tokens and sessions that are refused; good ones are not counted.
pub(crate) const REFUSED_TOKENS: Rule = rule("refused_tokens", 20, MINUTE);

/// Of links that are opened.
pub(crate) const LINKS: Rule = rule("links", 20, MINUTE);
/// Of codes that are typed, for each shop.
pub(crate) const CODES: Rule = rule("codes", 10, Duration::from_secs(3_600));

const fn rule(name: &'static str, burst: u32, per: Duration) -> Rule {
    Rule { name, burst, per }
}

#[derive(Clone)]
pub struct Limiter {
    pub limits: Arc<dyn RateLimits>,
}

impl Limiter {
    pub(crate) async fn take(&self, rule: Rule, from: Option<IpAddr>) -> Result<(), Problem> {
        let caller = from.map_or_else(
            || "unknown".to_owned(),
            |address| subscriber(address).to_string(),
        );
        self.take_as(rule, &caller).await
    }

    /// The same for what is not an address.
    pub(crate) async fn take_as(&self, rule: Rule, caller: &str) -> Result<(), Problem> {
        let hashed = hash(format!("{}\0{caller}", rule.name).as_bytes());
        match self.limits.take(rule, &hashed).await? {
            Taken::Granted => Ok(()),
            Taken::Exhausted { retry_after } => {
                tracing::warn!(security = true, rule = rule.name, "a rate limit is used up");
                Err(Problem::too_many(retry_after))
            }
        }
    }
}

/// What people see is a page.
pub(crate) fn for_browser(problem: Problem, headers: &HeaderMap) -> Response {
    let accepted = headers.get(header::ACCEPT);
    let accepted = accepted.and_then(|value| value.to_str().ok());
    let is_browser = accepted.is_some_and(|accepted| accepted.contains("text/html"));
    let status = problem.status();
    let response = problem.into_response();
    if !is_browser || status != StatusCode::TOO_MANY_REQUESTS {
        return response;
    }
    let mut page = Page::TooMany.into_response();
    let wait = response.headers().get(header::RETRY_AFTER).cloned();
    let wait = wait.unwrap_or(HeaderValue::from_static("60"));
    page.headers_mut().insert(header::RETRY_AFTER, wait);
    page
}
