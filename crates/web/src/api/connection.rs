//! Tokens that the app's backend has obtained.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use domain::connection_change::Tags;
use importer::connect::Refused;
use importer::ports::api_access::ApiScope;
use importer::ports::connections::Tokens;
use importer::ports::merchants::MerchantRef;
use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::body::{Body, Named};
use super::caller::{Caller, Sees};
use super::{Api, unknown_merchant};
use crate::problem::Problem;

/// No token comes near this.
const MAX_TOKEN: usize = 4_096;

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ConnectionRequest {
    access_token: String,
    /// With it the tokens are owned: this database refreshes them from now on, and no other
    /// software may do so. Without it they are lent: they are used until Salla refuses them.
    refresh_token: Option<String>,
    /// When the access token ends.
    expires_at: Option<Timestamp>,
    /// What it allows, as Salla said.
    scope: Option<String>,
    /// Names and values of your own, at most 20, which are sent with each event about the
    /// connection. Without them those of the former connection stay.
    tags: Option<BTreeMap<String, String>>,
}

impl ConnectionRequest {
    fn tokens(self) -> Result<Tokens, Problem> {
        let token = |name: &str, text: String| {
            let is_token = (1..=MAX_TOKEN).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_graphic());
            match is_token {
                true => Ok(SecretString::from(text)),
                false => Err(Problem::invalid(
                    name,
                    "is not a token: it has blanks, or no end",
                )),
            }
        };
        let refresh = self.refresh_token;
        Ok(Tokens {
            access: token("accessToken", self.access_token)?,
            refresh: refresh
                .map(|text| token("refreshToken", text))
                .transpose()?,
            expires_at: self.expires_at,
            scope: self.scope,
        })
    }
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ConnectionResponse {
    merchant_id: Uuid,
    salla_id: i64,
    name: String,
    /// `owned` or `lent`.
    mode: &'static str,
    /// Other tokens of the shop served until now.
    was_connected: bool,
    /// The import that was started or joined, if imports start automatically.
    run_id: Option<Uuid>,
}

fn refused(refused: Refused) -> Problem {
    let conflict =
        |code, detail: String, advice| Problem::new(StatusCode::CONFLICT, code, detail, advice);
    match refused {
        Refused::OtherShop { named, opened } => conflict(
            "other_shop",
            format!("the tokens belong to shop {opened} and not {named}; neither was connected"),
            "hand over the tokens of this shop",
        ),
        Refused::Outdated => conflict(
            "outdated",
            "newer tokens of this shop are already in use".to_owned(),
            "do nothing, unless the shop is disconnected: then obtain new tokens",
        ),
        Refused::Scopes(problem) => Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "scopes_refused",
            problem.to_string(),
            "set the app's scopes in the Salla Partners Portal and obtain new tokens",
        ),
        Refused::Failure(domain::failure::Failure::Disconnected(reason)) => Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            reason.code(),
            reason.to_string(),
            "obtain new tokens from Salla and hand those over",
        ),
        Refused::Failure(failure) => failure.into(),
        Refused::Unclaimed => conflict(
            "unclaimed",
            "only claimed shops are connected here, and this one is not claimed; the tokens were \
             not stored"
                .to_owned(),
            "give your customer a code or a link, and hand the tokens over again once the shop is \
             claimed",
        ),
        Refused::OtherAccount => conflict(
            "other_account",
            "the shop belongs to another account, and was not moved".to_owned(),
            "hand over the tokens with the account that has the shop",
        ),
        Refused::Redeem(error) => Problem::new(
            StatusCode::BAD_GATEWAY,
            "salla_refused",
            error.to_string(),
            "try again later",
        ),
    }
}

/// Stores a shop's tokens
///
/// The shop is named by Salla's id, or by our id if it was connected before; tokens that open
/// another one connect none. May be repeated: tokens are known again by their hashes.
#[utoipa::path(
    put, path = "/api/v1/merchants/{merchant}/connection", operation_id = "putConnection",
    tag = "connections",
    params(Named),
    request_body = ConnectionRequest,
    responses(
        (status = 200, body = ConnectionResponse),
        (status = 409, body = Problem, content_type = "application/problem+json"),
    ),
    security(("token" = []))
)]
pub(super) async fn put(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Named(named): Named,
    Body(request): Body<ConnectionRequest>,
) -> Result<Json<ConnectionResponse>, Problem> {
    caller.require(ApiScope::Connect)?;
    let wanted = MerchantRef::parse(&named).ok_or_else(unknown_merchant)?;
    let known = api.visible(&caller, wanted).await?;
    let salla_id = match (known, wanted) {
        (Some(known), _) => known.shop.salla_id,
        // A shop that is new here; a token of one shop sees no other.
        (None, MerchantRef::Platform(number)) if caller.sees() == Sees::All => number,
        (None, _) => return Err(unknown_merchant()),
    };
    let tags = request.tags.clone().map(Tags::new).transpose();
    let tags = tags.map_err(|rule| Problem::invalid("tags", rule))?;
    let tokens = request.tokens()?;
    let mode = if tokens.refresh.is_some() {
        "owned"
    } else {
        "lent"
    };
    let (tags, actor) = (tags.as_ref(), caller.actor());
    let connected = api.connect.hand_over(salla_id, &tokens, tags, actor).await;
    let connected = connected.map_err(refused)?;
    Ok(Json(ConnectionResponse {
        merchant_id: connected.merchant.0,
        salla_id: connected.shop.salla_id,
        name: connected.shop.name,
        mode,
        was_connected: connected.was_connected,
        run_id: connected.run.map(|run| run.id.0),
    }))
}
