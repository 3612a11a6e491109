//! The doors of `serve` behind a function URL: one request, one response.

use std::sync::Arc;

use aws::lambda::{HttpRequest, HttpResponse};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, Request, header};
use database::Database;
use domain::failure::Failure;
use futures::StreamExt as _;
use importer::ports::clock::Clock;
use tower_service::Service as _;
use web::Peer;

use crate::config::WebSettings;
use crate::monitoring::{ProcessMonitor, install_metrics};
use crate::wiring::OpenDatabase;
use crate::wiring::web::Behind;

/// What Lambda takes of a response.
const MAX_BODY: usize = 6 << 20;

/// An event stream ends after its first event, because every second that a function waits is paid
/// for: the client reconnects automatically, this often.
const AGAIN: &[u8] = b"retry: 5000\n";

pub(super) struct Doors {
    router: Router,
}

impl Doors {
    pub(super) fn new(
        open: &OpenDatabase,
        own_rows: &Database,
        behind: &Behind,
        web: &WebSettings,
        clock: &Arc<dyn Clock>,
    ) -> anyhow::Result<Self> {
        let recorded = install_metrics()?;
        let observed = ProcessMonitor::new(recorded, &open.queues, clock.clone());
        let doors = behind.doors(open, own_rows, web, Arc::new(observed), clock)?;
        Ok(Self {
            router: web::router(doors),
        })
    }

    pub(super) async fn respond(&self, request: HttpRequest) -> Result<HttpResponse, Failure> {
        respond(self.router.clone(), request).await
    }
}

async fn respond(mut router: Router, request: HttpRequest) -> Result<HttpResponse, Failure> {
    let mut built = Request::builder()
        .method(request.method.as_str())
        .uri(&request.target);
    for (name, value) in &request.headers {
        let name = HeaderName::from_bytes(name.as_bytes());
        let value = HeaderValue::from_bytes(value.as_bytes());
        if let (Ok(name), Ok(value)) = (name, value) {
            built = built.header(name, value);
        }
    }
    if let Some(source) = request.source {
        built = built.extension(Peer(source));
    }
    let Ok(request) = built.body(Body::from(request.body)) else {
        return Ok(HttpResponse {
            status: 400,
            ..HttpResponse::default()
        });
    };
    let Ok(response) = router.call(request).await;
    let (parts, body) = response.into_parts();
    let headers: Vec<(String, String)> = parts
        .headers
        .iter()
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.to_string(), value)
        })
        .collect();
    let is_stream = parts
        .headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
    let body = match is_stream {
        true => snapshot(body).await,
        false => axum::body::to_bytes(body, MAX_BODY).await,
    };
    let body = body.map_err(|_| Failure::Bug {
        message: "a response is longer than Lambda accepts".to_owned(),
    })?;
    Ok(HttpResponse {
        status: parts.status.as_u16(),
        headers,
        body: body.into(),
    })
}

/// The first event.
async fn snapshot(body: Body) -> Result<Bytes, axum::Error> {
    let mut text = AGAIN.to_vec();
    let mut stream = body.into_data_stream();
    while let Some(part) = stream.next().await {
        text.extend_from_slice(&part?);
        if text.ends_with(b"\n\n") {
            break;
        }
    }
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use axum::response::sse::{Event, Sse};
    use axum::routing::{get, post};

    use super::*;

    fn request(method: &str, target: &str) -> HttpRequest {
        HttpRequest {
            method: method.to_owned(),
            source: None,
            target: target.to_owned(),
            headers: vec![("x-name".to_owned(), "value".to_owned())],
            body: b"body".to_vec(),
        }
    }

    #[tokio::test]
    async fn an_event_stream_is_one_event_and_when_to_come_again() {
        let stream = get(async || {
            let events = futures::stream::iter(["1", "2"])
                .map(|data| Ok::<_, Infallible>(Event::default().event("status").data(data)))
                .chain(futures::stream::pending());
            Sse::new(events)
        });
        let router = Router::new().route("/events", stream);
        let response = respond(router, request("GET", "/events")).await.unwrap();
        let text = String::from_utf8(response.body).unwrap();
        assert_eq!(text, "retry: 5000\nevent: status\ndata: 1\n\n");
    }

    #[tokio::test]
    async fn a_request_reaches_its_handler_whole() {
        let echo = post(async |headers: axum::http::HeaderMap, body: String| {
            format!("{} {body}", headers["x-name"].to_str().unwrap())
        });
        let router = Router::new().route("/echo", echo);
        let response = respond(router.clone(), request("POST", "/echo?a=1")).await;
        let response = response.unwrap();
        assert_eq!(
            (response.status, &response.body[..]),
            (200, &b"value body"[..])
        );
        for (method, target, status) in [("GET", "/echo", 405), ("POST", "no path", 400)] {
            let response = respond(router.clone(), request(method, target)).await;
            assert_eq!(response.unwrap().status, status, "{method} {target}");
        }
    }
}
