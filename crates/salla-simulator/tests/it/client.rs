//! A simple client: one connection for each request, no retry.

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{HeaderMap, Request};
use hyper_util::rt::TokioIo;
use salla_simulator::Simulator;
use serde_json::Value;

pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn number(&self, header: &str) -> i64 {
        self.header(header).unwrap().parse().unwrap()
    }
}

/// Sends one request; an error means that no response came.
pub(crate) async fn send(
    sim: &Simulator,
    request: Request<Full<Bytes>>,
) -> Result<Reply, hyper::Error> {
    let address = sim.accounts_url().replace("http://", "");
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let reply = sender.send_request(request).await?;
    let (head, body) = reply.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok(Reply {
        status: head.status.as_u16(),
        headers: head.headers,
        text: String::from_utf8(body.to_vec()).unwrap(),
    })
}

/// `GET` below `/admin/v2` with a token.
pub(crate) async fn get_with(
    sim: &Simulator,
    token: &str,
    path: &str,
) -> Result<Reply, hyper::Error> {
    let request = Request::get(format!("/admin/v2{path}"))
        .header("host", "localhost")
        .header("authorization", format!("Bearer {token}"))
        .body(Full::default())
        .unwrap();
    send(sim, request).await
}

pub(crate) async fn get(sim: &Simulator, path: &str) -> Reply {
    get_with(sim, sim.access_token(), path).await.unwrap()
}

pub(crate) async fn post(sim: &Simulator, path: &str, content_type: &str, body: &str) -> Reply {
    try_post(sim, path, content_type, body).await.unwrap()
}

pub(crate) async fn try_post(
    sim: &Simulator,
    path: &str,
    content_type: &str,
    body: &str,
) -> Result<Reply, hyper::Error> {
    let request = Request::post(path)
        .header("host", "localhost")
        .header("content-type", content_type)
        .body(Full::from(body.to_owned()))
        .unwrap();
    send(sim, request).await
}

/// All rows of a list, page by page, until `currentPage` is the last.
pub(crate) async fn all_rows(sim: &Simulator, path: &str) -> Vec<Value> {
    let separator = if path.contains('?') { '&' } else { '?' };
    let mut rows = Vec::new();
    for page in 1.. {
        let reply = get(sim, &format!("{path}{separator}per_page=60&page={page}")).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        let body = reply.json();
        rows.extend(body["data"].as_array().unwrap().iter().cloned());
        if body["pagination"]["currentPage"] == body["pagination"]["totalPages"] {
            break;
        }
    }
    rows
}
