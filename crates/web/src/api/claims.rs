//! Which of the app's accounts a shop belongs to: codes and links that the app's backend gives to
//! its customers, and codes that merchants type in here.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::{Json, RequestExt as _};
use importer::claims::{CODES_LAST, LINKS_LAST, NotClaimed};
use importer::ports::api_access::ApiScope;
use importer::ports::audit::{Action, AuditEvent};
use importer::ports::claims::{Account, NewCode, NewLink, Opens, SyncDepth};
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Api;
use super::body::{Body, ClientAddress, Named};
use super::caller::{Caller, Sees};
use crate::client::Client;
use crate::limits::CODES;
use crate::links;
use crate::problem::Problem;
use crate::secrets::{new_secret, secret_hash};
use crate::sessions::no_randomness;

fn account(text: &str) -> Result<Account, Problem> {
    Account::new(text).ok_or_else(|| {
        let rule = format!("is a name of 1 to {} bytes", Account::MAX_BYTES);
        Problem::invalid("account", rule)
    })
}

fn depth(months: Option<u64>) -> Result<Option<SyncDepth>, Problem> {
    let Some(months) = months else {
        return Ok(None);
    };
    let depth = SyncDepth::of_months(months);
    depth
        .map(Some)
        .ok_or_else(|| Problem::invalid("syncDepthMonths", "is 12 or 24"))
}

/// A token of one shop names no accounts: it would reach beyond that shop.
fn require_all(caller: &Caller) -> Result<(), Problem> {
    caller.require(ApiScope::Connect)?;
    match caller.sees() {
        Sees::All => Ok(()),
        Sees::One(_) | Sees::None => Err(Problem::new(
            StatusCode::FORBIDDEN,
            "bound_token",
            "this token is bound to one shop and cannot name accounts",
            "use a token that is made without --shop",
        )),
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct CodeRequest {
    /// Your own name for your customer: whose the shop will be.
    #[schema(max_length = 200, example = "tenant-42")]
    account: String,
    /// How many months of orders there should be, 12 or 24, unless the merchant says otherwise.
    #[schema(example = 12)]
    sync_depth_months: Option<u64>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct CodeResponse {
    /// To be shown to your customer, who types it into the app's settings at Salla.
    #[schema(example = "7K2M-9QXD-4TBA-H0WN")]
    code: String,
    expires_at: Timestamp,
}

/// Makes a one-time code for an account
///
/// It counts for one hour and for one shop: the one into whose settings of the app it is typed
/// (`connect_code`), in its onboarding step or on the page inside the dashboard. It is not stored.
#[utoipa::path(
    post, path = "/api/v1/codes", operation_id = "createCode", tag = "accounts",
    request_body = CodeRequest,
    responses((status = 201, body = CodeResponse)),
    security(("token" = []))
)]
pub(super) async fn create_code(
    State(api): State<Arc<Api>>,
    caller: Caller,
    ClientAddress(address): ClientAddress,
    Body(request): Body<CodeRequest>,
) -> Result<(StatusCode, Json<CodeResponse>), Problem> {
    require_all(&caller)?;
    let account = account(&request.account)?;
    let depth = depth(request.sync_depth_months)?;
    let code = api.codes.issue(&*api.sessions.random);
    let code = code.ok_or_else(no_randomness)?;
    let hmac = api.codes.hmac(&code).ok_or_else(no_randomness)?;
    let expires_at = api.clock.now() + CODES_LAST;
    let new = NewCode {
        hmac,
        account,
        depth,
        expires_at,
    };
    let event = AuditEvent::new(Action::CodeCreated, caller.actor())
        .from(address)
        .detail(new.account.as_str());
    api.claims.claims.add_code(&new).await?;
    api.claims.audit.record(&event).await?;
    let response = CodeResponse {
        code: code.expose_secret().to_owned(),
        expires_at,
    };
    Ok((StatusCode::CREATED, Json(response)))
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AccountView {
    account: String,
    /// The latest first.
    shops: Vec<AccountShopView>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct AccountShopView {
    /// Salla's id of the shop.
    salla_id: i64,
    /// Absent until the shop is connected.
    merchant_id: Option<Uuid>,
    name: Option<String>,
    /// Since when the shop belongs to the account.
    since: Timestamp,
}

/// The shops of an account
#[utoipa::path(
    get, path = "/api/v1/accounts/{account}", operation_id = "getAccount", tag = "accounts",
    params(("account" = String, Path, description = "Your own name for your customer")),
    responses(
        (status = 200, body = AccountView),
        (status = 404, body = Problem, content_type = "application/problem+json",
         description = "No shop belongs to such an account"),
    ),
    security(("token" = []))
)]
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Named(named): Named,
) -> Result<Json<AccountView>, Problem> {
    require_all(&caller)?;
    let shops = match Account::new(&named) {
        Some(account) => api.claims.claims.of_account(&account).await?,
        None => Vec::new(),
    };
    if shops.is_empty() {
        return Err(Problem::new(
            StatusCode::NOT_FOUND,
            "unknown_account",
            "no shop belongs to such an account",
            "give your customer a code or a link, and try again once it was used",
        ));
    }
    let shops = shops.into_iter().map(|shop| AccountShopView {
        salla_id: shop.salla_id,
        merchant_id: shop.merchant.map(|merchant| merchant.0),
        name: shop.name,
        since: shop.named_at,
    });
    Ok(Json(AccountView {
        account: named,
        shops: shops.collect(),
    }))
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct LinkRequest {
    /// Your own name for your customer, who connects a shop with the link.
    #[schema(max_length = 200)]
    account: Option<String>,
    /// Instead: a shop, whose page the link opens. Our id of the merchant, or Salla's id of the shop.
    merchant: Option<String>,
    /// With an account: how many months of orders there should be, 12 or 24.
    sync_depth_months: Option<u64>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct LinkResponse {
    /// It grants access to anyone who opens it, so give it only to your customer.
    url: String,
    expires_at: Timestamp,
}

/// Makes a link for one of your customers
///
/// It is used once, within 15 minutes. With `account` it leads to Salla's consent, and the shop
/// that is connected belongs to that account; with `merchant` it signs in to the page of a shop.
#[utoipa::path(
    post, path = "/api/v1/page-links", operation_id = "createPageLink", tag = "accounts",
    request_body = LinkRequest,
    responses(
        (status = 201, body = LinkResponse),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 409, body = Problem, content_type = "application/problem+json",
         description = "This server does not know its own address"),
    ),
    security(("token" = []))
)]
pub(super) async fn create_link(
    State(api): State<Arc<Api>>,
    caller: Caller,
    ClientAddress(address): ClientAddress,
    Body(request): Body<LinkRequest>,
) -> Result<(StatusCode, Json<LinkResponse>), Problem> {
    caller.require(ApiScope::Connect)?;
    let depth = depth(request.sync_depth_months)?;
    let opens = match (request.account, request.merchant) {
        (Some(text), None) => {
            require_all(&caller)?;
            Opens::Account(account(&text)?)
        }
        (None, Some(named)) => {
            let merchant = api.merchant(&caller, ApiScope::Connect, &named).await;
            Opens::Shop(merchant?.shop.salla_id)
        }
        _ => {
            let rule = "or merchant is given, and not both";
            return Err(Problem::invalid("account", rule));
        }
    };
    let origin = api.sessions.origin.as_ref().ok_or_else(no_address)?;
    let secret = new_secret(links::PREFIX, &*api.sessions.random).ok_or_else(no_randomness)?;
    let expires_at = api.clock.now() + LINKS_LAST;
    let new = NewLink {
        hash: secret_hash(&secret),
        opens,
        depth,
        expires_at,
    };
    let event = AuditEvent::new(Action::LinkCreated, caller.actor()).from(address);
    let event = match &new.opens {
        Opens::Account(account) => event.detail(account.as_str()),
        Opens::Shop(salla_id) => event.shop(*salla_id),
    };
    api.claims.claims.add_link(&new).await?;
    api.claims.audit.record(&event).await?;
    let url = format!("{origin}/links/{}", secret.expose_secret());
    let response = LinkResponse { url, expires_at };
    Ok((StatusCode::CREATED, Json(response)))
}

fn no_address() -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "no_public_url",
        "this server does not know its own address, so it makes no links",
        "set SALLA_SYNC_PUBLIC_URL and start the server again",
    )
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ClaimRequest {
    /// As the merchant types it.
    code: String,
    /// How many months of orders there should be: 12 or 24.
    sync_depth_months: Option<u64>,
}

pub(crate) fn not_claimed(error: NotClaimed) -> Problem {
    let refused = |status, code, advice| Problem::new(status, code, error.to_string(), advice);
    match &error {
        NotClaimed::UnknownCode => refused(
            StatusCode::NOT_FOUND,
            "unknown_code",
            "type the code as the app shows it, or have it show another one",
        ),
        NotClaimed::ExpiredCode => refused(
            StatusCode::GONE,
            "expired_code",
            "have the app show another code: each counts for one hour",
        ),
        NotClaimed::SpentCode => refused(
            StatusCode::CONFLICT,
            "spent_code",
            "have the app show another code: each counts for one shop",
        ),
        NotClaimed::OtherAccount => refused(
            StatusCode::CONFLICT,
            "other_account",
            "sign in to the app with the account that has the shop, or ask the app's support",
        ),
        NotClaimed::Failure(failure) => failure.clone().into(),
    }
}

/// Claims the merchant's shop for the account of a code
#[utoipa::path(
    post, path = "/api/v1/session/claim", operation_id = "claimShop", tag = "accounts",
    request_body = ClaimRequest,
    responses(
        (status = 204),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 409, body = Problem, content_type = "application/problem+json",
         description = "Another shop has used the code, or the shop is another account's"),
        (status = 410, body = Problem, content_type = "application/problem+json",
         description = "The code has expired"),
        (status = 429, body = Problem, content_type = "application/problem+json",
         description = "Tried too often; Retry-After says until when"),
    ),
    security(("token" = []))
)]
pub(super) async fn claim(
    State(api): State<Arc<Api>>,
    caller: Caller,
    request: Request,
) -> Result<StatusCode, Problem> {
    let actor = caller.actor();
    let session = caller.session()?;
    let address = Client::of(request.extensions());
    let Body(request): Body<ClaimRequest> = request.extract().await?;
    let depth = depth(request.sync_depth_months)?;
    let limiter = &api.sessions.limiter;
    limiter
        .take_as(CODES, &session.salla_id.to_string())
        .await?;
    let hmac = api.codes.hmac(&SecretString::from(request.code));
    let hmac = hmac.ok_or_else(|| not_claimed(NotClaimed::UnknownCode))?;
    let claiming = api
        .claims
        .by_code(&hmac, session.salla_id, depth, (actor, address));
    claiming.await.map_err(not_claimed)?;
    Ok(StatusCode::NO_CONTENT)
}
