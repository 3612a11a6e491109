//! When a request really leaves.
//!
//! Between handing a request to the HTTP client and its first byte lie a queue, perhaps a
//! connection that has to be made, and in a burst milliseconds in which the processors are
//! busy with something else. Pacing reckons with the moment at which requests leave.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// The body of a request that has none. The HTTP client asks it whether there is anything
/// to send right when it writes the head, on HTTP/1 and on HTTP/2, and then it calls this.
pub(super) struct Departure<F>(pub(super) F);

impl<F: Fn()> Body for Departure<F> {
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use axum::http::{HeaderMap, Version};
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

    async fn ask(client: reqwest::Client, path: &str) -> String {
        let left = Arc::new(AtomicU32::new(0));
        let url = server(left.clone()).await + path;
        let departure = Departure(move || {
            left.fetch_add(1, Ordering::SeqCst);
        });
        let request = client.get(url).body(reqwest::Body::wrap(departure));
        request.send().await.unwrap().text().await.unwrap()
    }

    #[tokio::test]
    async fn it_is_noticed_once_before_the_request_arrives() {
        let client = http::builder().build().unwrap();
        assert_eq!(ask(client, "/here").await, "1 HTTP/1.1 false");
        let client = http::builder().http2_prior_knowledge();
        let answer = ask(client.build().unwrap(), "/here").await;
        assert_eq!(answer, "1 HTTP/2.0 false");
    }

    #[tokio::test]
    async fn a_redirect_is_followed_and_is_not_a_departure_of_its_own() {
        let client = http::builder().build().unwrap();
        assert_eq!(ask(client, "/moved").await, "1 HTTP/1.1 false");
    }

    #[tokio::test]
    async fn a_request_that_finds_no_connection_never_leaves() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let left = Arc::new(AtomicU32::new(0));
        let counter = left.clone();
        let departure = Departure(move || {
            counter.fetch_add(1, Ordering::SeqCst);
        });
        let request = http::builder().build().unwrap().get(url);
        let request = request.body(reqwest::Body::wrap(departure));
        assert!(request.send().await.is_err());
        assert_eq!(left.load(Ordering::SeqCst), 0);
    }
}
