//! Easy mode, and what happens in shops: `POST /webhooks/salla`.
//!
//! Salla takes 200 and 201 for received and tries everything else three times. So everything that
//! was read gets a 200, and only what should be sent again does not.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use domain::failure::Failure;
use importer::claims::NotClaimed;
use importer::connect::{ConnectShops, Refused};
use importer::metrics;
use importer::ports::audit::Actor;
use importer::ports::claims::SyncDepth;
use importer::ports::webhooks::{Event, WebhookError};
use secrecy::SecretString;

use crate::codes::Codes;
use crate::limits::{CODES, Limiter};
use crate::problem::Problem;

/// A webhook with a whole order takes some ten thousand bytes.
const MAX_BODY: usize = 1 << 20;

/// Reads deliveries and knows those that are genuine.
pub trait Webhooks: Send + Sync {
    fn receive(&self, headers: &HeaderMap, body: &[u8]) -> Result<Event, WebhookError>;
}

pub struct WebhookDoor {
    pub webhooks: Arc<dyn Webhooks>,
    pub connect: ConnectShops,
    pub codes: Codes,
    pub limiter: Limiter,
}

pub(crate) fn routes(door: Option<Arc<WebhookDoor>>) -> Router {
    let Some(door) = door else {
        return Router::new().route("/webhooks/salla", post(closed));
    };
    Router::new()
        .route("/webhooks/salla", post(receive))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(door)
}

async fn closed() -> Problem {
    tracing::error!("a webhook was refused, because SALLA_WEBHOOK_SECRET is not set");
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "webhooks_not_configured",
        "deliveries cannot be verified here, so all are refused",
        "set the app's webhook secret and start the server again",
    )
}

/// What became of a delivery, as it is counted.
#[derive(Clone, Copy)]
struct Outcome(&'static str);

const ACCEPTED: Outcome = Outcome("accepted");
const IGNORED: Outcome = Outcome("ignored");
const REFUSED: Outcome = Outcome("refused");
const UNKNOWN_SHOP: Outcome = Outcome("unknown_shop");

async fn receive(
    State(door): State<Arc<WebhookDoor>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let body = match body {
        Ok(body) => body,
        Err(rejection) => {
            let too_large = rejection.status() == StatusCode::PAYLOAD_TOO_LARGE;
            metrics::webhook("none", if too_large { "too_large" } else { "unreadable" });
            return body_problem(too_large).into_response();
        }
    };
    let event = match door.webhooks.receive(&headers, &body) {
        Ok(event) => event,
        Err(error) => return refuse(error).into_response(),
    };
    let kind = kind(&event);
    match door.act(event).await {
        Ok(Outcome(outcome)) => {
            metrics::webhook(kind, outcome);
            (StatusCode::OK, "received\n").into_response()
        }
        Err(failure) => {
            metrics::webhook(kind, "failed");
            Problem::from(failure).into_response()
        }
    }
}

fn body_problem(too_large: bool) -> Problem {
    match too_large {
        true => Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too_large",
            format!("the body has more than {MAX_BODY} bytes"),
            "send less in one request",
        ),
        false => Problem::new(
            StatusCode::BAD_REQUEST,
            "unreadable",
            "the body did not arrive completely",
            "send it again",
        ),
    }
}

fn refuse(error: WebhookError) -> Problem {
    match error {
        WebhookError::NotSigned | WebhookError::WrongSignature => {
            metrics::webhook("none", "unsigned");
            tracing::warn!(security = true, %error, "a webhook was refused");
            Problem::new(
                StatusCode::UNAUTHORIZED,
                "unverified",
                format!("the delivery is refused: {error}"),
                "choose the strategy Signature or Token in the Salla Partners Portal, and give \
                 the same secret here",
            )
        }
        WebhookError::Unreadable(reason) => {
            metrics::webhook("none", "unreadable");
            tracing::error!(reason, "a genuine webhook could not be read");
            Problem::new(
                StatusCode::BAD_REQUEST,
                "unreadable",
                format!("the delivery is genuine, but cannot be read: {reason}"),
                "report it: Salla's webhooks have changed, or this program has a bug",
            )
        }
    }
}

fn kind(event: &Event) -> &'static str {
    match event {
        Event::StoreAuthorized { .. } => "authorized",
        Event::Uninstalled { .. } => "uninstalled",
        Event::RecordChanged { .. } => "changed",
        Event::RecordDeleted { .. } => "deleted",
        Event::SettingsChanged { .. } => "settings",
        Event::Other { .. } => "other",
    }
}

impl WebhookDoor {
    /// Salla shows the merchant nothing of what comes of it, so nothing is refused with a status.
    async fn settings_changed(
        &self,
        merchant: i64,
        code: Option<SecretString>,
        depth: Option<SyncDepth>,
    ) -> Result<Outcome, Failure> {
        let claims = self.connect.claims();
        let claimed = match code.map(|code| self.codes.hmac(&code)) {
            Some(Some(hmac)) => {
                let shop = merchant.to_string();
                if self.limiter.take_as(CODES, &shop).await.is_err() {
                    return Ok(REFUSED);
                }
                let by = (Actor::Salla, None);
                claims.by_code(&hmac, merchant, depth, by).await
            }
            Some(None) => Err(NotClaimed::UnknownCode),
            None => match depth {
                Some(depth) => claims.wish(merchant, depth).await,
                None => return Ok(IGNORED),
            },
        };
        match claimed {
            Ok(()) => Ok(ACCEPTED),
            Err(NotClaimed::Failure(failure)) => Err(failure),
            Err(refused) => {
                tracing::warn!(shop = merchant, %refused, "a code in the settings claims no shop");
                Ok(REFUSED)
            }
        }
    }

    async fn act(&self, event: Event) -> Result<Outcome, Failure> {
        match event {
            Event::StoreAuthorized {
                merchant,
                tokens,
                created_at,
            } => match self.connect.receive(merchant, &tokens, created_at).await {
                Ok(()) => {
                    self.connect.arrived.notify_one();
                    Ok(ACCEPTED)
                }
                Err(Refused::Failure(failure)) => Err(failure),
                Err(Refused::Outdated) => Ok(IGNORED),
                Err(refused) => {
                    tracing::warn!(shop = merchant, %refused, "delivered tokens were refused");
                    Ok(REFUSED)
                }
            },
            Event::Uninstalled {
                merchant,
                created_at,
            } => {
                self.connect.uninstall(merchant, created_at).await?;
                Ok(ACCEPTED)
            }
            Event::RecordChanged {
                merchant,
                resource,
                id,
            }
            | Event::RecordDeleted {
                merchant,
                resource,
                id,
            } => Ok(
                match self.connect.record_changed(merchant, resource, id).await? {
                    true => ACCEPTED,
                    false => UNKNOWN_SHOP,
                },
            ),
            Event::SettingsChanged {
                merchant,
                code,
                depth_months,
            } => {
                let depth = depth_months.and_then(SyncDepth::of_months);
                self.settings_changed(merchant, code, depth).await
            }
            Event::Other { event } => {
                tracing::debug!(event, "a webhook that concerns no import");
                Ok(IGNORED)
            }
        }
    }
}
