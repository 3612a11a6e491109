//! `/api/v1`: what services and operators may read and do, described by `/openapi.json`.
//!
//! A merchant is addressed by our id or by Salla's id of the shop. A caller that may see only one
//! merchant finds no other: the restriction is part of the query that looks the merchant up, and
//! everything else is looked up by that query's result.

mod body;
mod caller;
mod claims;
mod connection;
mod contact;
mod docs;
mod events;
mod notifications;
mod paging;
mod rejected;
mod session;
mod sync;
mod view;

use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use importer::claims::ClaimShops;
use importer::connect::ConnectShops;
use importer::ports::api_access::{ApiScope, ApiTokens, EventTickets};
use importer::ports::clock::Clock;
use importer::ports::contacts::Contacts;
use importer::ports::jobs::Jobs;
use importer::ports::merchants::{MerchantRecord, MerchantRef, Merchants};
use importer::ports::notifications::Inbox;
use importer::ports::overview::Overview;
use importer::start::Starter;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{
    ComponentsBuilder, Content, InfoBuilder, OpenApi, OpenApiBuilder, PathItem, Ref, RefOr,
    ResponseBuilder,
};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use caller::{new_token, token_hash};

use caller::{Caller, Sees};

use crate::codes::Codes;
use crate::frame::Random;
use crate::problem::Problem;
use crate::sessions::SessionDoor;

/// No request of the API comes near this.
const MAX_BODY: usize = 64 << 10;

/// What stands behind the API.
pub struct Api {
    pub tokens: Arc<dyn ApiTokens>,
    pub merchants: Arc<dyn Merchants>,
    pub jobs: Arc<dyn Jobs>,
    pub overview: Arc<dyn Overview>,
    pub inbox: Arc<dyn Inbox>,
    pub contacts: Arc<dyn Contacts>,
    pub starter: Starter,
    pub connect: ConnectShops,
    pub sessions: Arc<SessionDoor>,
    pub claims: ClaimShops,
    pub codes: Codes,
    pub tickets: Arc<dyn EventTickets>,
    pub random: Random,
    pub clock: Arc<dyn Clock>,
}

pub(crate) fn routes(api: Arc<Api>) -> Router {
    let (router, mut document) = described().with_state(api).split_for_parts();
    let operations = document.paths.paths.values_mut().flat_map(operations);
    operations.for_each(complete);
    let page = docs::page(&document);
    router
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .route("/openapi.json", get(move || async move { Json(document) }))
        .route("/docs", get(move || async move { page }))
}

fn described() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::with_openapi(outline())
        .routes(routes!(sync::start, sync::status))
        .routes(routes!(sync::pause))
        .routes(routes!(sync::resume))
        .routes(routes!(sync::cancel))
        .routes(routes!(sync::restart))
        .routes(routes!(sync::certificate))
        .routes(routes!(events::follow))
        .routes(routes!(events::issue_ticket))
        .routes(routes!(connection::put))
        .routes(routes!(contact::get, contact::put))
        .routes(routes!(rejected::list))
        .routes(routes!(notifications::list))
        .routes(routes!(notifications::mark_read))
        .routes(routes!(session::create))
        .routes(routes!(claims::create_code))
        .routes(routes!(claims::show))
        .routes(routes!(claims::create_link))
        .routes(routes!(claims::claim))
        .routes(routes!(session::show, session::close))
}

fn operations(path: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem {
        get,
        put,
        post,
        delete,
        patch,
        ..
    } = path;
    [get, put, post, delete, patch].into_iter().flatten()
}

/// Adds what all routes of a kind have: one that accepts a token accepts a merchant's cookie as well,
/// and whatever a request carries or names may be refused.
fn complete(operation: &mut Operation) {
    let mut refusals = Vec::new();
    if let Some(security) = &mut operation.security {
        security.push(SecurityRequirement::new("session", [""; 0]));
        refusals.extend(["401", "403"]);
    }
    if operation.request_body.is_some() {
        refusals.extend(["400", "413", "415", "422"]);
    }
    let mut parameters = operation.parameters.iter().flatten();
    if parameters.any(|parameter| matches!(parameter, RefOr::T(of) if of.name == "merchant")) {
        refusals.push("404");
    }
    let problem = Content::new(Some(Ref::from_schema_name("Problem")));
    let problem = ResponseBuilder::new().content("application/problem+json", problem);
    let problem = RefOr::T(problem.build());
    for status in refusals {
        let responses = operation.responses.responses.entry(status.to_owned());
        responses.or_insert_with(|| problem.clone());
    }
}

fn outline() -> OpenApi {
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some(
            "A token of `salla-sync tokens create`, or a merchant's session of \
             POST /api/v1/sessions, which sees its own shop only.",
        ))
        .build();
    let cookie = ApiKeyValue::with_description(
        "__Host-salla-sync-session",
        "A merchant's session on pages of this server. Requests that change something need the \
         headers Origin or Sec-Fetch-Site, which browsers send automatically.",
    );
    let info = InfoBuilder::new()
        .title("salla-sync")
        .version("1")
        .description(Some(
            "Imports of Salla shops: start them, follow them, and see their results. Problems are \
             application/problem+json (RFC 9457).",
        ));
    let components = ComponentsBuilder::new()
        .security_scheme("token", SecurityScheme::Http(bearer))
        .security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)))
        .build();
    OpenApiBuilder::new()
        .info(info.build())
        .components(Some(components))
        .build()
}

impl Api {
    /// The merchant that a path names, if the caller may see it and do this.
    async fn merchant(
        &self,
        caller: &Caller,
        scope: ApiScope,
        named: &str,
    ) -> Result<MerchantRecord, Problem> {
        caller.require(scope)?;
        let wanted = MerchantRef::parse(named).ok_or_else(unknown_merchant)?;
        self.visible(caller, wanted)
            .await?
            .ok_or_else(unknown_merchant)
    }

    async fn visible(
        &self,
        caller: &Caller,
        wanted: MerchantRef,
    ) -> Result<Option<MerchantRecord>, Problem> {
        let own = match caller.sees() {
            Sees::None => return Ok(None),
            Sees::One(own) => Some(own),
            Sees::All => None,
        };
        Ok(self.merchants.find(wanted, own).await?)
    }
}

fn unknown_merchant() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "unknown_merchant",
        "there is no such merchant, or this token does not see it",
        "name it by Salla's id of the shop or by its id here, and check the token",
    )
}
