//! One attempt at a request: the exchange, from the admitted request to the classified response.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use domain::order::Version;
use http_body::{Body, Frame, SizeHint};
use importer::admission::{Growth, Load, MemoryLimit, MemoryPermit};
use importer::ports::clock::{Clock, with_timeout};
use reqwest::header::{ACCEPT, ACCEPT_LANGUAGE, CONTENT_TYPE, HeaderMap, HeaderValue, USER_AGENT};
use secrecy::ExposeSecret;
use url::Url;

use super::{ApiRequest, AttemptError};
use crate::admission::{BudgetPermits, Slot};
use crate::classify::{ResponseKind, classify, retry_after};
use crate::oauth::endpoint;
use crate::pacing::{LatencyClass, RateHeaders, ResponseOutcome};
use crate::tokens::AccessToken;

/// No error that Salla writes comes near this, and what another host writes in its place is
/// told from its beginning.
const MAX_ERROR_BYTES: usize = 64 << 10;

pub(super) struct Attempt {
    pub(super) outcome: Result<HttpResponse, AttemptError>,
    pub(super) token: AccessToken,
    /// When the request was sent: the version of whatever it returned.
    pub(super) version: Version,
    pub(super) sent: Duration,
}

pub(super) struct HttpResponse {
    pub(super) kind: ResponseKind,
    pub(super) status: u16,
    pub(super) headers: RateHeaders,
    /// As far as it may be repeated.
    pub(super) content_type: String,
    pub(super) body: Bytes,
}

/// An admitted request and what sends it.
pub(super) struct Exchange<'a> {
    pub(super) http: &'a reqwest::Client,
    pub(super) api_url: &'a Url,
    pub(super) user_agent: &'a str,
    pub(super) clock: &'a dyn Clock,
    pub(super) timeout: Duration,
    pub(super) memory_limit: &'a MemoryLimit,
    pub(super) request: &'a ApiRequest,
    pub(super) token: &'a AccessToken,
    pub(super) slot: &'a Slot,
    /// When the exchange begins.
    pub(super) sent: Duration,
}

impl Exchange<'_> {
    /// Sends the request and classifies its response, which `memory` grows with.
    pub(super) async fn run(
        self,
        budgets: BudgetPermits,
        memory: &mut MemoryPermit,
    ) -> Result<HttpResponse, AttemptError> {
        let budgets = Arc::new(Mutex::new(budgets));
        let receiving = self.receive(&budgets, memory);
        let response = with_timeout(self.clock, self.timeout, receiving).await;
        let (status, headers, body) =
            response.ok_or_else(|| AttemptError::transient("no response in time"))??;
        let kind = classify(status, &headers, &body, self.clock.now());
        // Whether a 403 is a block stands only in its body.
        let outcome = match kind {
            ResponseKind::Blocked { .. } => ResponseOutcome::Blocked,
            _ => ResponseOutcome::Accepted,
        };
        let rate_headers = self.rate_headers(&headers);
        lock(&budgets).answered(rate_headers, outcome);
        // Neither token nor query, which may hold personal data.
        tracing::debug!(
            target: "salla.request",
            what = self.request.description,
            path = self.request.path,
            status,
            bytes = body.len(),
            duration_ms = self.elapsed().as_millis() as u64,
            "answered"
        );
        Ok(HttpResponse {
            kind,
            status,
            headers: rate_headers,
            content_type: content_type(&headers),
            body,
        })
    }

    fn http_request(&self, budgets: &Arc<Mutex<BudgetPermits>>) -> reqwest::RequestBuilder {
        let budgets = Arc::downgrade(budgets);
        let sent = move || {
            if let Some(budgets) = budgets.upgrade() {
                lock(&budgets).sent();
            }
        };
        self.http
            .get(endpoint(self.api_url, &self.request.path))
            .query(&self.request.query)
            .bearer_auth(self.token.secret.expose_secret())
            .header(ACCEPT, "application/json")
            .header(ACCEPT_LANGUAGE, "ar")
            .header(USER_AGENT, self.user_agent)
            .body(reqwest::Body::wrap(SendSignal(sent)))
    }

    async fn receive(
        &self,
        budgets: &Arc<Mutex<BudgetPermits>>,
        memory: &mut MemoryPermit,
    ) -> Result<(u16, HeaderMap, Bytes), AttemptError> {
        let sending = self.http_request(budgets).send().await;
        let response = sending.map_err(|error| AttemptError::of_connection(&error))?;
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        match status {
            200..=299 | 404 => self.slot.answered(self.request.class, self.elapsed()),
            500..=599 => self.slot.failed(),
            _ => {}
        }
        if let Some(outcome) = outcome_by_status(status) {
            lock(budgets).answered(self.rate_headers(&headers), outcome);
        }
        let body = self.read(response, memory).await?;
        Ok((status, headers, body))
    }

    /// Reads a body, within what it may take of the memory that all shops share.
    async fn read(
        &self,
        mut response: reqwest::Response,
        memory: &mut MemoryPermit,
    ) -> Result<Bytes, AttemptError> {
        let is_error = !response.status().is_success();
        let announced = response.content_length().unwrap_or(0);
        // A page's usual size, so that it is not moved while it grows.
        let expected = usize::try_from(announced).unwrap_or(0).min(1 << 20);
        let mut body = BytesMut::with_capacity(expected);
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|_| AttemptError::transient("the response was cut off"))?
        {
            let length = body.len() + chunk.len();
            if is_error && length > MAX_ERROR_BYTES {
                body.extend_from_slice(&chunk[..MAX_ERROR_BYTES - body.len()]);
                break;
            }
            self.grow(memory, Load::of_bytes(length))?;
            body.extend_from_slice(&chunk);
        }
        self.grow(memory, Load::of(&body))?;
        memory.shrink(self.request.size());
        Ok(body.freeze())
    }

    fn grow(&self, memory: &mut MemoryPermit, response: Load) -> Result<(), AttemptError> {
        let size = self.request.size();
        match memory.grow(self.memory_limit, size, response) {
            Growth::Fits => Ok(()),
            Growth::Outgrown => Err(AttemptError::Outgrown),
            Growth::TooLarge => Err(AttemptError::TooLarge(size.max_bytes())),
        }
    }

    fn elapsed(&self) -> Duration {
        self.clock.monotonic().saturating_sub(self.sent)
    }

    fn rate_headers(&self, headers: &HeaderMap) -> RateHeaders {
        let text = |name: &str| headers.get(name)?.to_str().ok();
        RateHeaders {
            retry_after: retry_after(headers, self.clock.now()),
            ..RateHeaders::read(text)
        }
    }
}

/// What the budgets are reported as soon as the headers are there.
fn outcome_by_status(status: u16) -> Option<ResponseOutcome> {
    match status {
        429 => Some(ResponseOutcome::Throttled),
        403 => None,
        500..=599 => Some(ResponseOutcome::Failed),
        _ => Some(ResponseOutcome::Accepted),
    }
}

/// The name of a media type; anything else that a server may send is not repeated.
fn content_type(headers: &HeaderMap) -> String {
    let value = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    let name = value.and_then(|value| value.split(|byte| *byte == b';').next());
    let name = name.map(|name| String::from_utf8_lossy(name.trim_ascii()));
    let is_name = |text: &str| {
        let is_sign = |byte: u8| byte.is_ascii_alphanumeric() || b"/+.-".contains(&byte);
        (1..=64).contains(&text.len()) && text.bytes().all(is_sign)
    };
    match name {
        None => "without content type".to_owned(),
        Some(name) if is_name(&name) => name.into_owned(),
        Some(_) => "with an unreadable content type".to_owned(),
    }
}

fn lock(budgets: &Mutex<BudgetPermits>) -> MutexGuard<'_, BudgetPermits> {
    budgets.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The body of a request that has none, which reports when the request really leaves. The HTTP
/// client asks it whether there is anything to send right when it writes the head, on HTTP/1
/// and on HTTP/2, and then it calls this.
///
/// Between handing a request to the HTTP client and its first byte lie a queue, perhaps a
/// connection that has to be made, and in a burst milliseconds in which the processors are
/// busy with something else. Pacing reckons with the moment at which requests leave.
struct SendSignal<F>(F);

impl<F: Fn()> Body for SendSignal<F> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        (self.0)();
        true
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(0)
    }
}

/// How long the responses of each kind were of late, so that as much memory is taken for the
/// next.
#[derive(Debug, Default)]
pub struct UsualSizes([AtomicUsize; LatencyClass::COUNT]);

impl UsualSizes {
    pub(super) fn of(&self, class: LatencyClass) -> usize {
        self.slot(class).load(Ordering::Relaxed)
    }

    /// One long response among many short ones is soon forgotten.
    pub(super) fn note(&self, class: LatencyClass, bytes: usize) {
        let slot = self.slot(class);
        let before = slot.load(Ordering::Relaxed);
        slot.store(bytes.max(before - before / 8), Ordering::Relaxed);
    }

    fn slot(&self, class: LatencyClass) -> &AtomicUsize {
        &self.0[class.index()]
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use axum::http::Version;
    use axum::response::Redirect;
    use axum::routing::get;

    use super::*;
    use crate::http;

    /// Answers with how many requests had left when it arrived, which version of HTTP it
    /// speaks, and whether the request announces a body.
    async fn server(left: Arc<AtomicU32>) -> String {
        let here = get(move |version: Version, headers: HeaderMap| async move {
            let has_body =
                headers.contains_key("content-length") || headers.contains_key("transfer-encoding");
            format!("{} {version:?} {has_body}", left.load(Ordering::SeqCst))
        });
        let moved = get(|| async { Redirect::temporary("/here") });
        let app = axum::Router::new()
            .route("/here", here)
            .route("/moved", moved);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        format!("http://{address}")
    }

    async fn send(client: reqwest::Client, path: &str) -> String {
        let left = Arc::new(AtomicU32::new(0));
        let url = server(left.clone()).await + path;
        let signal = SendSignal(move || {
            left.fetch_add(1, Ordering::SeqCst);
        });
        let request = client.get(url).body(reqwest::Body::wrap(signal));
        request.send().await.unwrap().text().await.unwrap()
    }

    #[tokio::test]
    async fn it_is_noticed_once_before_the_request_arrives() {
        let client = http::builder().build().unwrap();
        assert_eq!(send(client, "/here").await, "1 HTTP/1.1 false");
        let client = http::builder().http2_prior_knowledge();
        let answer = send(client.build().unwrap(), "/here").await;
        assert_eq!(answer, "1 HTTP/2.0 false");
    }

    #[tokio::test]
    async fn a_redirect_is_followed_and_is_not_reported_as_another_request() {
        let client = http::builder().build().unwrap();
        assert_eq!(send(client, "/moved").await, "1 HTTP/1.1 false");
    }

    #[tokio::test]
    async fn a_request_that_finds_no_connection_never_leaves() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let left = Arc::new(AtomicU32::new(0));
        let counter = left.clone();
        let signal = SendSignal(move || {
            counter.fetch_add(1, Ordering::SeqCst);
        });
        let request = http::builder().build().unwrap().get(url);
        let request = request.body(reqwest::Body::wrap(signal));
        assert!(request.send().await.is_err());
        assert_eq!(left.load(Ordering::SeqCst), 0);
    }
}
