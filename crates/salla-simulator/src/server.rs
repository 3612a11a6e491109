//! HTTP/1.1 on a socket of this machine. Each connection is served by hyper directly, because a
//! fault may end it without a response.

use crate::api::{ClientRequest, Query, Response};
use crate::control;
use crate::exchange::exchange;
use crate::json::Language;
use crate::platform::Platform;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::Request;
use hyper::body::Incoming;
use hyper::header::{ACCEPT_LANGUAGE, AUTHORIZATION, CONTENT_TYPE, DATE, HeaderName};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

const LARGEST_REQUEST_BODY: usize = 1 << 20;

/// The connection is to be cut instead of answered.
#[derive(Debug)]
struct HangUp;

impl std::fmt::Display for HangUp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the scenario cuts this connection")
    }
}

impl std::error::Error for HangUp {}

/// Serves until it is aborted, and takes its connections with it.
pub(crate) async fn serve(listener: TcpListener, platform: Arc<Platform>) {
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                connections.spawn(serve_connection(stream, peer, platform.clone()));
            }
            Err(error) => tracing::warn!(%error, "accepting a connection failed"),
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn serve_connection(mut stream: TcpStream, peer: SocketAddr, platform: Arc<Platform>) {
    // Without this, every response waits for the client's delayed acknowledgement: 44 ms a page
    // that Salla does not charge.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY was refused");
    }
    let service = service_fn(|request| respond(platform.clone(), peer, request));
    let served = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(&mut stream), service)
        .await;
    // A cut connection ends with a reset and not with a polite farewell.
    if served.is_err()
        && let Err(error) = stream.set_zero_linger()
    {
        tracing::debug!(%error, "the connection could not be reset");
    }
}

async fn respond(
    platform: Arc<Platform>,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Result<hyper::Response<Full<Bytes>>, HangUp> {
    let request = read(peer, request).await?;
    let response = if request.path.starts_with(control::PREFIX) {
        control::respond(&platform, &request)
    } else {
        exchange(&platform, request).await.ok_or(HangUp)?
    };
    Ok(http_response(&platform, response))
}

async fn read(peer: SocketAddr, request: Request<Incoming>) -> Result<ClientRequest, HangUp> {
    let (head, body) = request.into_parts();
    let header = |name: &HeaderName| {
        let value = head.headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or("").to_owned()
    };
    let body = Limited::new(body, LARGEST_REQUEST_BODY);
    let body = body.collect().await.map_err(|_| HangUp)?.to_bytes();
    Ok(ClientRequest {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query: Query::parse(head.uri.query().unwrap_or("").as_bytes()),
        access_token: header(&AUTHORIZATION)
            .strip_prefix("Bearer ")
            .map(str::to_owned),
        source: header(&HeaderName::from_static("s-source")),
        language: if header(&ACCEPT_LANGUAGE).starts_with("en") {
            Language::English
        } else {
            Language::Arabic
        },
        content_type: header(&CONTENT_TYPE),
        body,
        peer: peer.ip(),
    })
}

fn http_response(platform: &Platform, response: Response) -> hyper::Response<Full<Bytes>> {
    let ahead = jiff::SignedDuration::from_secs(platform.scenario().date_ahead_seconds);
    let now = platform.clock.now();
    let date = now
        .checked_add(ahead)
        .unwrap_or(now)
        .strftime("%a, %d %b %Y %H:%M:%S GMT")
        .to_string();
    let mut written = hyper::Response::builder()
        .status(response.status)
        .header(CONTENT_TYPE, response.content_type)
        .header(DATE, date);
    for (name, value) in response.headers {
        written = written.header(name, value);
    }
    written
        .body(Full::new(response.body))
        .expect("every status and header here is made from valid parts")
}
