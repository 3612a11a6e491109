//! Merchants who sign in with what Salla's dashboard hands to the page inside it, and out.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::{Json, RequestExt as _};
use importer::claims::shown_up;
use importer::ports::audit::Actor;
use importer::ports::claims::ClaimedBy;
use importer::ports::merchants::MerchantRef;
use importer::ports::sessions::{Carrier, IntrospectionError, Session};
use importer::sessions::ExchangeError;
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Api;
use super::body::Body;
use super::caller::Caller;
use super::claims::not_claimed;
use crate::client::Client;
use crate::limits::EXCHANGES;
use crate::problem::Problem;
use crate::secrets::secret_hash;
use crate::sessions::{new_secret, no_randomness};

/// Salla's have some hundred bytes.
const MAX_TOKEN: usize = 4_096;

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ExchangeRequest {
    /// What Salla's dashboard has put behind the address of the frame, as `token`.
    token: String,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ExchangeResponse {
    /// To be sent as `Authorization: Bearer …`, and held in memory only.
    session: String,
    #[serde(flatten)]
    view: SessionView,
}

/// Who has signed in.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct SessionView {
    /// Salla's id of the shop.
    salla_id: i64,
    /// Absent until the shop is known here.
    merchant_id: Option<Uuid>,
    /// The shop's name.
    name: Option<String>,
    /// Until when the session counts unless it is used.
    expires_at: Timestamp,
    /// Whose customer the merchant is in the app, once that is known.
    account: Option<String>,
    /// The app wants to know whose customer this is: POST /api/v1/session/claim takes the code
    /// that it shows.
    wants_code: bool,
}

impl SessionView {
    async fn new(api: &Api, session: &Session) -> Result<Self, Problem> {
        let wanted = MerchantRef::Platform(session.salla_id);
        let found = match session.merchant {
            Some(own) => api.merchants.find(wanted, Some(own)).await?,
            None => None,
        };
        let account = api.claims.claims.of_shop(session.salla_id).await?;
        let account = account.and_then(|claim| claim.account);
        Ok(Self {
            wants_code: account.is_none() && api.connect.settings.claimed_only,
            account,
            salla_id: session.salla_id,
            merchant_id: session.merchant.map(|merchant| merchant.0),
            name: found.map(|found| found.shop.name),
            expires_at: session.expires_at,
        })
    }
}

fn refused(error: ExchangeError) -> Problem {
    match error {
        ExchangeError::NotOffered => Problem::new(
            StatusCode::NOT_FOUND,
            "embedded_not_configured",
            "no page inside Salla's dashboard is set up here",
            "set SALLA_APP_ID and start the server again",
        ),
        ExchangeError::Introspection(IntrospectionError::Refused(reason)) => Problem::new(
            StatusCode::UNAUTHORIZED,
            "dashboard_token_refused",
            format!("Salla does not vouch for this token: {reason}"),
            "open the app in Salla's dashboard again: its tokens end soon",
        ),
        ExchangeError::Introspection(IntrospectionError::NoAnswer(_)) => Problem::new(
            StatusCode::BAD_GATEWAY,
            "salla_away",
            "Salla did not respond, so the token could not be verified",
            "send the request again in a moment",
        ),
        ExchangeError::Failure(failure) => failure.into(),
    }
}

/// Signs a merchant in from inside Salla's dashboard
///
/// Salla verifies the token's owner; every response but a plain success for this app is a refusal.
/// The session is a bearer of one hour, because cookies do not reach a frame; with another token
/// there is another one.
#[utoipa::path(
    post, path = "/api/v1/sessions", operation_id = "createSession", tag = "sessions",
    request_body = ExchangeRequest,
    responses(
        (status = 201, body = ExchangeResponse),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json",
         description = "No page inside the dashboard is set up here"),
        (status = 429, body = Problem, content_type = "application/problem+json",
         description = "Tried too often; Retry-After says until when"),
        (status = 502, body = Problem, content_type = "application/problem+json",
         description = "Salla did not respond"),
    ),
)]
pub(super) async fn create(
    State(api): State<Arc<Api>>,
    request: Request,
) -> Result<Response, Problem> {
    let address = Client::of(request.extensions());
    api.sessions.limiter.take(EXCHANGES, address).await?;
    let Body(request): Body<ExchangeRequest> = request.extract().await?;
    let token = request.token;
    let is_token =
        (1..=MAX_TOKEN).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_token {
        return Err(Problem::invalid(
            "token",
            "is not a token: it has blanks, or no end",
        ));
    }
    let secret = new_secret(&*api.sessions.random).ok_or_else(no_randomness)?;
    let (token, hash) = (SecretString::from(token), secret_hash(&secret));
    let exchange = api.sessions.sessions.exchange(&token, hash, address);
    let session = exchange.await.map_err(refused)?;
    let claim = shown_up(session.salla_id, ClaimedBy::Embedded);
    let actor = Actor::Session(session.id);
    let claimed = api.claims.claim(&claim, actor, address).await;
    claimed.map_err(not_claimed)?;
    let body = ExchangeResponse {
        session: secret.expose_secret().to_owned(),
        view: SessionView::new(&api, &session).await?,
    };
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

/// Who has signed in with this session
#[utoipa::path(
    get, path = "/api/v1/session", operation_id = "getSession", tag = "sessions",
    responses((status = 200, body = SessionView)),
    security(("token" = []))
)]
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    caller: Caller,
) -> Result<Json<SessionView>, Problem> {
    let session = caller.session()?;
    Ok(Json(SessionView::new(&api, &session).await?))
}

/// Signs out: the session no longer counts
#[utoipa::path(
    delete, path = "/api/v1/session", operation_id = "deleteSession", tag = "sessions",
    responses((status = 204)),
    security(("token" = []))
)]
pub(super) async fn close(
    State(api): State<Arc<Api>>,
    caller: Caller,
    request: Request,
) -> Result<Response, Problem> {
    let session = caller.session()?;
    let address = Client::of(request.extensions());
    api.sessions.sessions.close(&session, address).await?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    if session.carrier == Carrier::Cookie {
        let headers = response.headers_mut();
        headers.append(header::SET_COOKIE, api.sessions.no_cookie());
    }
    Ok(response)
}
