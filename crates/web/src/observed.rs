//! What a process shows of itself: whether it lives, whether it can work, what it counts.

use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What there is to show. Nothing in it changes anything or names a merchant.
#[async_trait]
pub trait Observed: Send + Sync {
    /// Whether work can be done here, or why not.
    async fn ready(&self) -> Result<(), String>;

    /// In Prometheus' text format.
    async fn metrics(&self) -> String;
}

/// `/livez` (also `/healthz`), `/readyz` and `/metrics`.
pub fn routes(observed: Arc<dyn Observed>) -> Router {
    Router::new()
        .route("/livez", get(live))
        .route("/healthz", get(live))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(observed)
}

async fn live() -> &'static str {
    "alive\n"
}

async fn ready(State(observed): State<Arc<dyn Observed>>) -> Response {
    match observed.ready().await {
        Ok(()) => "ready\n".into_response(),
        Err(problem) => (StatusCode::SERVICE_UNAVAILABLE, format!("{problem}\n")).into_response(),
    }
}

async fn metrics(State(observed): State<Arc<dyn Observed>>) -> Response {
    let text = observed.metrics().await;
    ([(header::CONTENT_TYPE, PROMETHEUS_TEXT)], text).into_response()
}
