//! A server that answers from a script and keeps a log.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use domain::failure::Failure;
use domain::order::{Order, OrderItem};
use importer::admission::FetchPermit;
use importer::ports::clock::{Clock, SystemClock};
use importer::ports::platform::{Page, PageRequest, Platform as _, VersionedRecord};
use jiff::Timestamp;
use salla_client::http::http_client;
use salla_client::tokens::TokenSource;
use salla_client::{ClientSettings, SallaClient, customers_budget};
use secrecy::SecretString;
use tokio::sync::Notify;
use url::Url;

/// So much faster than the wall's time does the tests' go.
pub(crate) const SCALE: f64 = 100.0;

#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Says(u16, &'static [(&'static str, &'static str)], String),
    /// Status 200 and these bytes.
    Sends(Vec<u8>),
    /// The headers come, and half of the body.
    CutOff,
    /// Nothing ever comes.
    Hangs,
    /// Status 200 and this text, once the test lets it go.
    Waits(Arc<Notify>, String),
    /// The connection ends without a response.
    HangsUp,
}

#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
}

#[derive(Debug, Default)]
struct Script {
    /// What to answer by path; the last reply stays.
    replies: HashMap<String, VecDeque<Reply>>,
    seen: Vec<Seen>,
}

#[derive(Clone, Debug)]
pub(crate) struct FakeSalla {
    script: Arc<Mutex<Script>>,
    pub(crate) url: Url,
}

pub(crate) fn ok(data: &str) -> Reply {
    Reply::Says(
        200,
        &[],
        format!(r#"{{"status":200,"success":true,"data":{data}}}"#),
    )
}

pub(crate) fn error(status: u16, message: &str) -> Reply {
    let body = format!(
        r#"{{"status":{status},"success":false,"error":{{"code":"error","message":"{message}"}}}}"#
    );
    Reply::Says(status, &[], body)
}

pub(crate) fn shop() -> Reply {
    ok(r#"{"id":7,"name":"A shop","plan":"pro","status":"active"}"#)
}

impl FakeSalla {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let script = Arc::new(Mutex::new(Script::default()));
        let router = Router::new().fallback(answer).with_state(script.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self {
            script,
            url: Url::parse(&url).unwrap(),
        }
    }

    pub(crate) fn on(&self, path: &str, replies: impl IntoIterator<Item = Reply>) {
        let mut script = self.script.lock().unwrap();
        script
            .replies
            .insert(path.to_owned(), replies.into_iter().collect());
    }

    pub(crate) fn seen(&self, path: &str) -> Vec<Seen> {
        let script = self.script.lock().unwrap();
        script
            .seen
            .iter()
            .filter(|seen| seen.path == path)
            .cloned()
            .collect()
    }

    /// The usual client with a fixed token.
    pub(crate) fn client(&self) -> SallaClient {
        SallaClient::new(self.settings(TokenSource::Fixed(SecretString::from("first"))))
    }

    pub(crate) fn settings(&self, tokens: TokenSource) -> ClientSettings {
        let clock = clock();
        let customers = customers_budget(clock.clone(), 1);
        let http = http_client().unwrap();
        ClientSettings::new(self.url.clone(), http, clock, tokens, customers)
    }
}

/// Requests of which each is a fetch, whose memory is released with its response.
pub(crate) trait SingleRequests {
    fn page(&self, request: &PageRequest) -> impl Future<Output = Result<Page, Failure>> + Send;

    fn detail(
        &self,
        order_id: i64,
    ) -> impl Future<Output = Result<Option<VersionedRecord<Order>>, Failure>> + Send;

    fn items(
        &self,
        order_id: i64,
    ) -> impl Future<Output = Result<Option<VersionedRecord<Vec<OrderItem>>>, Failure>> + Send;
}

impl SingleRequests for SallaClient {
    async fn page(&self, request: &PageRequest) -> Result<Page, Failure> {
        self.list_page(request, &mut FetchPermit::default()).await
    }

    async fn detail(&self, order_id: i64) -> Result<Option<VersionedRecord<Order>>, Failure> {
        self.order_detail(order_id, &mut FetchPermit::default())
            .await
    }

    async fn items(
        &self,
        order_id: i64,
    ) -> Result<Option<VersionedRecord<Vec<OrderItem>>>, Failure> {
        self.order_items(order_id, &mut FetchPermit::default())
            .await
    }
}

pub(crate) fn clock() -> Arc<dyn Clock> {
    let start = Timestamp::from_second(1_750_000_000).unwrap();
    Arc::new(SystemClock::scaled(start, SCALE))
}

async fn answer(State(script): State<Arc<Mutex<Script>>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let headers = parts.headers.iter();
    let seen = Seen {
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: headers
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect(),
        body: String::from_utf8(body.to_vec()).unwrap(),
    };
    let reply = next(&script, seen);
    render(reply).await
}

fn next(script: &Mutex<Script>, seen: Seen) -> Reply {
    let mut script = script.lock().unwrap();
    let path = seen.path.clone();
    script.seen.push(seen);
    let replies = script.replies.entry(path).or_default();
    match replies.len() {
        0 => error(404, "nothing is scripted here"),
        1 => replies[0].clone(),
        _ => replies.pop_front().unwrap(),
    }
}

async fn render(reply: Reply) -> Response {
    match reply {
        Reply::Says(status, headers, body) => {
            let mut response = Response::builder().status(status);
            for (name, value) in headers {
                response = response.header(*name, *value);
            }
            response.body(Body::from(body)).unwrap()
        }
        Reply::Sends(bytes) => Response::new(Body::from(bytes)),
        Reply::CutOff => {
            let half = Ok(Bytes::from_static(b"{\"status\":200,\"succ"));
            let end = Err(std::io::Error::other("cut off"));
            Response::new(Body::from_stream(futures::stream::iter([half, end])))
        }
        Reply::Hangs => std::future::pending().await,
        Reply::Waits(released, text) => {
            released.notified().await;
            Response::new(Body::from(text))
        }
        Reply::HangsUp => {
            // A moment, so that concurrent callers meet in the same refresh.
            #[expect(clippy::disallowed_methods, reason = "the server lives in real time")]
            tokio::time::sleep(Duration::from_millis(20)).await;
            panic!("this ends the connection, as scripted")
        }
    }
}
