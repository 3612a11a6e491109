//! What every request goes through: its id, its time, and the headers of its response.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use importer::ports::clock::{Clock, with_timeout};
use ring::rand::SecureRandom;
use tracing::Instrument as _;

use crate::client::{Client, TrustedProxies};
use crate::problem::Problem;

/// Where chance comes from.
pub type Random = Arc<dyn SecureRandom + Send + Sync>;

/// For a response to be made. Salla drops a webhook after thirty seconds.
const TIMEOUT: Duration = Duration::from_secs(25);
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const MAX_REQUEST_ID: usize = 64;

/// Pages that run nothing, load nothing from elsewhere, and cannot be framed.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; form-action 'self'; \
     base-uri 'none'; frame-ancestors 'none'";

/// A response with this among its extensions is for a frame: its own policy says whose.
#[derive(Clone, Copy)]
pub(crate) struct Framed;

#[derive(Clone)]
pub(crate) struct Frame {
    pub(crate) proxies: Arc<TrustedProxies>,
    pub(crate) is_https: bool,
    pub(crate) random: Random,
    pub(crate) clock: Arc<dyn Clock>,
}

/// The path is logged and the query is not: it may hold a code.
pub(crate) async fn around(
    State(frame): State<Frame>,
    mut request: Request,
    next: Next,
) -> Response {
    let id = request_id(request.headers(), &frame.random);
    let span = tracing::info_span!(
        "http_request",
        request_id = id.to_str().unwrap_or_default(),
        method = %request.method(),
        path = request.uri().path(),
    );
    request.headers_mut().insert(REQUEST_ID, id.clone());
    let client = Client::find(request.extensions(), request.headers(), &frame.proxies);
    if let Some(client) = client {
        request.extensions_mut().insert(client);
    }
    let began = frame.clock.monotonic();
    let response = async {
        let response = with_timeout(&*frame.clock, TIMEOUT, next.run(request)).await;
        let response = response.unwrap_or_else(|| Problem::too_late().into_response());
        tracing::info!(
            status = response.status().as_u16(),
            milliseconds = (frame.clock.monotonic() - began).as_millis() as u64,
            "served"
        );
        response
    };
    let mut response = response.instrument(span).await;
    let is_framed = response.extensions().get::<Framed>().is_some();
    secure(response.headers_mut(), frame.is_https, is_framed);
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// The caller's, where it can stand in a log; a new one otherwise.
fn request_id(headers: &HeaderMap, random: &Random) -> HeaderValue {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let given = headers
        .get(REQUEST_ID)
        .filter(|id| (1..=MAX_REQUEST_ID).contains(&id.len()) && id.as_bytes().iter().all(is_part));
    if let Some(given) = given {
        return given.clone();
    }
    let mut bytes = [0; 16];
    // An id that is not random is one that is not unique, and nothing worse.
    let _ = random.fill(&mut bytes);
    HeaderValue::from_str(&hex::encode(bytes)).unwrap_or(HeaderValue::from_static("none"))
}

fn secure(headers: &mut HeaderMap, is_https: bool, is_framed: bool) {
    let always = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::CACHE_CONTROL, "no-store"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
    ];
    for (name, value) in always {
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    // It has no origins, so a page with it cannot be framed.
    if !is_framed {
        headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    }
    if is_https {
        headers.insert(
            header::STRICT_TRANSPORT_SECURITY,
            HeaderValue::from_static("max-age=31536000"),
        );
    }
}

/// The panic itself is in the log, where the hook has written it.
pub(crate) fn panicked(_: Box<dyn Any + Send + 'static>) -> Response {
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "bug",
        "a bug in this program failed the request",
        "report it with the request id; sending it again will hardly help",
    )
    .into_response()
}
