//! `/api/v1`: what services and operators may read and do, described by `/openapi.json`.
//!
//! A merchant is addressed by our id or by Salla's number of the shop. Whoever may see only one
//! merchant finds no other: the restriction is part of the query that looks the merchant up, and
//! everything else is looked up by what that query gave.

mod body;
mod caller;
mod connection;
mod docs;
mod events;
mod notifications;
mod rejected;
mod sync;
mod view;

use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use importer::connect::ConnectShops;
use importer::ports::api_tokens::{ApiScope, ApiTokens};
use importer::ports::clock::Clock;
use importer::ports::jobs::Jobs;
use importer::ports::merchants::{MerchantRecord, MerchantRef, Merchants};
use importer::ports::notifications::Inbox;
use importer::ports::overview::Overview;
use importer::start::Starter;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, OpenApi, OpenApiBuilder};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use caller::{new_token, token_hash};

use caller::Caller;

use crate::problem::Problem;

/// No request of the API comes near this.
const MAX_BODY: usize = 64 << 10;
/// Entries of a page that says nothing of its length, and of the longest.
const DEFAULT_LIMIT: u32 = 50;
const MAX_LIMIT: u32 = 200;

/// What stands behind the API.
pub struct Api {
    pub tokens: Arc<dyn ApiTokens>,
    pub merchants: Arc<dyn Merchants>,
    pub jobs: Arc<dyn Jobs>,
    pub overview: Arc<dyn Overview>,
    pub inbox: Arc<dyn Inbox>,
    pub starter: Starter,
    pub connect: ConnectShops,
    pub clock: Arc<dyn Clock>,
}

pub(crate) fn routes(api: Arc<Api>) -> Router {
    let (router, document) = described().with_state(api).split_for_parts();
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
        .routes(routes!(connection::put))
        .routes(routes!(rejected::list))
        .routes(routes!(notifications::list))
        .routes(routes!(notifications::mark_read))
}

fn outline() -> OpenApi {
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("A token of `salla-sync tokens create`."))
        .build();
    let info = InfoBuilder::new()
        .title("salla-sync")
        .version("1")
        .description(Some(
            "Imports of Salla shops: start them, follow them, and see what became of them. \
             Problems are application/problem+json (RFC 9457).",
        ));
    let components = ComponentsBuilder::new()
        .security_scheme("token", SecurityScheme::Http(bearer))
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
        let found = self.merchants.find(wanted, caller.merchant()).await?;
        found.ok_or_else(unknown_merchant)
    }
}

fn unknown_merchant() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "unknown_merchant",
        "there is no such merchant, or this token does not see it",
        "name it by Salla's number of the shop or by its id here, and check the token",
    )
}

fn limit(requested: Option<u32>) -> Result<u32, Problem> {
    match requested.unwrap_or(DEFAULT_LIMIT) {
        limit @ 1..=MAX_LIMIT => Ok(limit),
        _ => Err(Problem::invalid(
            "limit",
            format!("is a number from 1 to {MAX_LIMIT}"),
        )),
    }
}
