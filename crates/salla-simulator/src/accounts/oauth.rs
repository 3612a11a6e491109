//! `/oauth2/auth` and `/oauth2/token` (docs.salla.dev/421118m0), and introspection.

use super::grants::{Grants, Refresh, Tokens};
use crate::api::{ClientRequest, Query, Response};
use crate::clock::SECOND;
use crate::endpoint::Endpoint;
use crate::ledger::Ledger;
use crate::scenario::{Consent, LifetimeField, Oauth, Scenario, ShopState};
use jiff::Timestamp;
use std::sync::Mutex;

/// The one app that is registered with the simulator.
pub(crate) const CLIENT_ID: &str = "simulated-client-id";
pub(crate) const CLIENT_SECRET: &str = "simulated-client-secret";

const INVALID_GRANT: &str = "The provided authorization grant or refresh token is invalid, \
    expired, revoked, does not match the redirection URI used in the authorization request, \
    or was issued to another client.";

/// `GET /oauth2/auth`: the merchant consents immediately, refuses, or sees a page to decide on, as
/// the scenario says. An optional `shop` names which of the simulator's shops (counted from 0) it
/// is.
pub(crate) fn authorize(
    request: &ClientRequest,
    grants: &Mutex<Grants>,
    scenario: &Scenario,
    shops: usize,
) -> Response {
    let query = &request.query;
    if query.get("client_id") != Some(CLIENT_ID) {
        return Response::oauth_error(401, "invalid_client", "Client authentication failed.");
    }
    let (Some(redirect_uri), Some("code")) =
        (query.get("redirect_uri"), query.get("response_type"))
    else {
        return invalid_request("redirect_uri or response_type is missing.");
    };
    let shop = query
        .number("shop")
        .map_or(0, |number| number.max(0) as usize);
    if shop >= shops {
        return invalid_request("There is no such shop.");
    }
    let state = query.get("state").unwrap_or("");
    let decision = match query.get(DECISION) {
        Some("approve") => Consent::Approved,
        Some("deny") => Consent::Denied,
        _ => scenario.oauth.consent,
    };
    match decision {
        Consent::Page => consent_page(query),
        Consent::Denied => Response::redirect(refusal(redirect_uri, state)),
        Consent::Approved => {
            let code = crate::locked(grants).code(shop, redirect_uri);
            Response::redirect(callback(redirect_uri, &code, &scenario.oauth.scopes, state))
        }
    }
}

fn invalid_request(description: &str) -> Response {
    Response::oauth_error(400, "invalid_request", description)
}

/// What the two links of the consent page add to the request.
const DECISION: &str = "decision";

fn consent_page(query: &Query) -> Response {
    let link = |decision: &str| {
        let pairs = query.pairs().filter(|(key, _)| key != DECISION);
        let text = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(pairs)
            .append_pair(DECISION, decision)
            .finish();
        text.replace('&', "&amp;")
    };
    Response::page(format!(
        "<!DOCTYPE html>\n<html lang=\"ar\" dir=\"rtl\"><head><meta charset=\"utf-8\">\
         <title>سلة</title></head><body><h1>يطلب التطبيق الوصول إلى متجرك</h1>\
         <p><a id=\"approve\" href=\"?{}\">موافقة</a></p>\
         <p><a id=\"deny\" href=\"?{}\">رفض</a></p></body></html>\n",
        link("approve"),
        link("deny"),
    ))
}

fn refusal(redirect_uri: &str, state: &str) -> String {
    let parameters = form_urlencoded::Serializer::new(String::new())
        .append_pair("error", "access_denied")
        .append_pair(
            "error_description",
            "The resource owner denied the request.",
        )
        .append_pair("state", &state.replace('-', ""))
        .finish();
    with_parameters(redirect_uri, &parameters)
}

fn with_parameters(redirect_uri: &str, parameters: &str) -> String {
    let separator = if redirect_uri.contains('?') { '&' } else { '?' };
    format!("{redirect_uri}{separator}{parameters}")
}

/// Salla strips hyphens from `state`: a UUID comes back changed.
fn callback(redirect_uri: &str, code: &str, scopes: &[String], state: &str) -> String {
    let parameters = form_urlencoded::Serializer::new(String::new())
        .append_pair("code", code)
        .append_pair("scope", &scopes.join(" "))
        .append_pair("state", &state.replace('-', ""))
        .finish();
    with_parameters(redirect_uri, &parameters)
}

/// `POST /oauth2/token`: exchange and refresh, from a form or from JSON.
pub(crate) fn token(
    request: &ClientRequest,
    now: i64,
    grants: &Mutex<Grants>,
    scenario: &Scenario,
    ledger: &Mutex<Ledger>,
) -> Response {
    let Some(fields) = fields(request) else {
        return invalid_request("The body cannot be read.");
    };
    if fields.get("client_id") != Some(CLIENT_ID)
        || fields.get("client_secret") != Some(CLIENT_SECRET)
    {
        return Response::oauth_error(401, "invalid_client", "Client authentication failed.");
    }
    let tokens = match fields.get("grant_type") {
        Some("authorization_code") => exchange(&fields, now, grants, &scenario.oauth),
        Some("refresh_token") => refresh(&fields, now, grants, scenario, ledger),
        _ => {
            return Response::oauth_error(
                400,
                "unsupported_grant_type",
                "The grant type is not supported.",
            );
        }
    };
    match tokens {
        Some(tokens) => issued(&tokens, now, &scenario.oauth),
        None => Response::oauth_error(
            scenario.oauth.invalid_grant_status,
            &scenario.oauth.invalid_grant_code,
            INVALID_GRANT,
        ),
    }
}

/// The refresh token that a request presents.
pub(crate) fn presented(request: &ClientRequest) -> Option<String> {
    if request.endpoint() != Endpoint::OauthToken {
        return None;
    }
    let fields = fields(request)?;
    fields.get("refresh_token").map(str::to_owned)
}

fn fields(request: &ClientRequest) -> Option<Query> {
    if request.content_type.starts_with("application/json") {
        Query::from_json(&request.body)
    } else {
        Some(Query::parse(&request.body))
    }
}

fn exchange(fields: &Query, now: i64, grants: &Mutex<Grants>, oauth: &Oauth) -> Option<Tokens> {
    let redirect_uri = fields.get("redirect_uri").unwrap_or("");
    crate::locked(grants).redeem(fields.get("code")?, redirect_uri, now, oauth)
}

fn refresh(
    fields: &Query,
    now: i64,
    grants: &Mutex<Grants>,
    scenario: &Scenario,
    ledger: &Mutex<Ledger>,
) -> Option<Tokens> {
    if scenario.shop_state == ShopState::Uninstalled {
        return None;
    }
    let outcome = crate::locked(grants).refresh(fields.get("refresh_token")?, now, &scenario.oauth);
    let mut ledger = crate::locked(ledger);
    match outcome {
        Refresh::Renewed(tokens) => {
            ledger.refreshed();
            Some(tokens)
        }
        Refresh::Reused { was_answered } => {
            ledger.refresh_reused(was_answered);
            None
        }
        Refresh::Refused => None,
    }
}

fn issued(tokens: &Tokens, now: i64, oauth: &Oauth) -> Response {
    let mut members = vec![format!(r#""access_token":"{}""#, tokens.access)];
    let lifetime = oauth.lifetime_members.clone();
    let lifetime = lifetime.unwrap_or_else(|| lifetime_members(now, oauth));
    members.extend((!lifetime.is_empty()).then_some(lifetime));
    if !oauth.omit_refresh_token {
        members.push(format!(r#""refresh_token":"{}""#, tokens.refresh));
    }
    members.push(format!(r#""scope":"{}""#, oauth.scopes.join(" ")));
    members.push(r#""token_type":"bearer""#.to_owned());
    Response::json(200, format!("{{{}}}", members.join(",")))
}

fn lifetime_members(now: i64, oauth: &Oauth) -> String {
    let seconds = oauth.access_token_seconds;
    let (field, value) = match oauth.lifetime_field {
        LifetimeField::ExpiresIn => ("expires_in", seconds),
        LifetimeField::ExpiresSeconds => ("expires", seconds),
        LifetimeField::ExpiresEpoch => ("expires", now / SECOND + seconds),
    };
    format!(r#""{field}":{value}"#)
}

/// The person who looks at every dashboard here.
const PERSON: i64 = 77_001;

/// `POST /exchange-authority/v1/introspect`: whose a token of the dashboard is
/// (docs.salla.dev/embedded-sdk).
pub(crate) fn introspect(
    request: &ClientRequest,
    now: i64,
    grants: &Mutex<Grants>,
    merchant_of: impl FnOnce(usize) -> Option<i64>,
    scenario: &Scenario,
) -> Response {
    let fields = Query::from_json(&request.body);
    let token = fields.as_ref().and_then(|fields| fields.get("token"));
    let known = token.and_then(|token| crate::locked(grants).introspect(token).cloned());
    let found = known
        .filter(|known| known.app == request.source && known.expires_at > now)
        .and_then(|known| Some((merchant_of(known.shop)?, known.expires_at)));
    let Some((merchant, expires_at)) = found else {
        return Response::refused_introspection(scenario.embedded.refusal_status);
    };
    let end = Timestamp::from_second(expires_at / SECOND).unwrap_or_default();
    let body = serde_json::json!({
        "status": 200,
        "success": true,
        "data": { "merchant_id": merchant, "user_id": PERSON, "exp": end.to_string() },
    });
    Response::json(200, body.to_string())
}
