//! The HTTP server of salla-sync: consent pages, webhooks, the API, health and metrics.
//!
//! It reads requests, decides who may access what, and formats responses. The work is done by the
//! use cases of `importer`; everything behind their ports comes from outside.
//!
//! - [`router`] joins all routes; [`server::serve`] serves them within [`server::Limits`].
//! - [`oauth`] connects a shop by consent, [`webhooks`] by what Salla delivers.
//! - [`api`] starts and follows imports, and describes itself as OpenAPI.
//! - [`observed`] serves `/livez`, `/readyz` and `/metrics`, also without the rest:
//!
//! ```
//! use std::sync::Arc;
//!
//! struct Process;
//!
//! #[async_trait::async_trait]
//! impl web::Observed for Process {
//!     async fn ready(&self) -> Result<(), String> {
//!         Err("the database does not respond".to_owned())
//!     }
//!
//!     async fn metrics(&self) -> String {
//!         "salla_sync_database_up 0\n".to_owned()
//!     }
//! }
//!
//! let router = web::observed::routes(Arc::new(Process));
//! # drop(router);
//! ```

#![forbid(unsafe_code)]

pub mod api;
mod client;
mod codes;
pub mod embedded;
mod frame;
pub mod limits;
mod links;
pub mod oauth;
pub mod observed;
pub mod pages;
mod problem;
mod secrets;
pub mod server;
pub mod sessions;
mod state;
pub mod webhooks;

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use importer::ports::clock::Clock;
use tower_http::catch_panic::CatchPanicLayer;

pub use client::{Peer, TrustedProxies};
pub use codes::Codes;
pub use frame::Random;
pub use observed::Observed;
pub use problem::Problem;
pub use state::States;

/// What is open. A door that is not configured says so.
pub struct Doors {
    pub observed: Arc<dyn Observed>,
    pub consents: Option<Arc<oauth::ConsentDoor>>,
    pub webhooks: Option<Arc<webhooks::WebhookDoor>>,
    pub api: Arc<api::Api>,
    /// How merchants who have signed in are known again.
    pub sessions: Arc<sessions::SessionDoor>,
    /// Who may frame the page inside the dashboard; no one if it is not set up.
    pub embedded: Option<embedded::EmbeddedDoor>,
    /// Whose word about the address of a client counts.
    pub proxies: TrustedProxies,
    /// Browsers reach this server by https only.
    pub is_https: bool,
    pub random: Random,
    pub clock: Arc<dyn Clock>,
}

pub fn router(doors: Doors) -> Router {
    let frame = frame::Frame {
        proxies: Arc::new(doors.proxies),
        is_https: doors.is_https,
        random: doors.random,
        clock: doors.clock,
    };
    Router::new()
        .merge(links::routes(doors.consents.clone()))
        .merge(oauth::routes(doors.consents))
        .merge(webhooks::routes(doors.webhooks))
        .merge(
            Router::new()
                .merge(api::routes(doors.api))
                .merge(embedded::own_page())
                .route_layer(from_fn_with_state(doors.sessions, sessions::carry)),
        )
        .merge(embedded::routes(doors.embedded))
        .merge(pages::routes())
        .merge(observed::routes(doors.observed))
        .fallback(async || Problem::not_found())
        .method_not_allowed_fallback(async || Problem::method_not_allowed())
        .layer(CatchPanicLayer::custom(frame::panicked))
        .layer(from_fn_with_state(frame, frame::around))
}
