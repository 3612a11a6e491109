//! The many meanings of a 401 (docs/salla-api.md#envelopes-and-errors).

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use domain::failure::{Disconnection, Failure};
use importer::ports::platform::Platform;
use salla_client::SallaClient;
use salla_client::http::token_client;
use salla_client::oauth::{AppCredentials, OAuth};
use salla_client::tokens::{KeeperSettings, TokenKeeper, TokenSource};
use secrecy::SecretString;

use crate::connections::{ID, MemoryConnections, tokens};
use crate::fake_salla::{FakeSalla, Reply, SingleRequests as _, clock, error, ok, shop};

const TOKEN: &str = "/oauth2/token";

fn client(salla: &FakeSalla, connections: &Arc<MemoryConnections>) -> SallaClient {
    let clock = clock();
    let keeper = TokenKeeper::new(KeeperSettings {
        connections: connections.clone(),
        connection: ID,
        oauth: OAuth::new(token_client().unwrap(), salla.url.clone(), clock.clone()),
        app: Some(AppCredentials {
            client_id: "id".to_owned(),
            client_secret: SecretString::from("secret"),
        }),
        clock,
    });
    SallaClient::new(salla.settings(TokenSource::Kept(keeper)))
}

async fn scripted() -> (FakeSalla, Arc<MemoryConnections>) {
    let salla = FakeSalla::start().await;
    let body = r#"{"access_token":"second","refresh_token":"r2"}"#.to_owned();
    salla.on(TOKEN, [Reply::Says(200, &[], body)]);
    (
        salla,
        MemoryConnections::holding(tokens("first", Some("r1"))),
    )
}

fn order() -> Reply {
    ok(r#"{"id":5,"date":{"date":"2025-01-01 10:00:00.000000","timezone":"Asia/Riyadh"}}"#)
}

#[tokio::test]
async fn a_bad_token_is_refreshed_and_the_request_repeated() {
    let (salla, connections) = scripted().await;
    salla.on(
        "/orders/5",
        [error(401, "The access token is invalid"), order()],
    );
    let client = client(&salla, &connections);
    assert!(client.detail(5).await.unwrap().is_some());
    let seen = salla.seen("/orders/5");
    assert_eq!(seen[0].headers["authorization"], "Bearer first");
    assert_eq!(seen[1].headers["authorization"], "Bearer second");
    assert_eq!(client.budget().token_refreshes, 1);
    assert_eq!(client.budget().retries, 0);
}

#[tokio::test]
async fn a_missing_scope_never_spends_a_refresh_token() {
    let (salla, connections) = scripted().await;
    let message = "The access token should have access to one of those scopes: orders.read";
    salla.on("/orders/5", [error(401, message)]);
    let failure = client(&salla, &connections).detail(5).await.unwrap_err();
    assert_eq!(failure, Failure::Disconnected(Disconnection::ScopeMissing));
    assert!(salla.seen(TOKEN).is_empty());
    assert!(salla.seen("/store/info").is_empty());
}

#[tokio::test]
async fn an_unexplained_401_with_a_token_that_works_elsewhere_is_a_missing_scope() {
    let (salla, connections) = scripted().await;
    salla.on("/orders/5", [Reply::Says(401, &[], String::new())]);
    salla.on("/store/info", [shop()]);
    let failure = client(&salla, &connections).detail(5).await.unwrap_err();
    assert_eq!(failure, Failure::Disconnected(Disconnection::ScopeMissing));
    assert_eq!(salla.seen("/store/info").len(), 1);
    assert!(salla.seen(TOKEN).is_empty());
}

#[tokio::test]
async fn an_unexplained_401_with_a_token_that_works_nowhere_is_a_bad_token() {
    let (salla, connections) = scripted().await;
    salla.on("/orders/5", [Reply::Says(401, &[], String::new()), order()]);
    salla.on("/store/info", [Reply::Says(401, &[], String::new())]);
    client(&salla, &connections).detail(5).await.unwrap();
    assert_eq!(
        salla.seen("/store/info")[0].headers["authorization"],
        "Bearer first"
    );
    assert_eq!(salla.seen(TOKEN).len(), 1);
}

#[tokio::test]
async fn a_token_that_is_rejected_again_and_again_is_given_up() {
    let (salla, connections) = scripted().await;
    let rejects = error(401, "The access token is invalid");
    salla.on("/orders/5", [rejects.clone()]);
    salla.on("/store/info", [rejects]);
    let failure = client(&salla, &connections).detail(5).await.unwrap_err();
    assert_eq!(failure, Failure::Disconnected(Disconnection::TokenRejected));
    assert!(salla.seen("/orders/5").len() <= 7);
}

#[tokio::test]
async fn an_endpoint_that_rejects_every_token_spends_few_of_them() {
    let (salla, connections) = scripted().await;
    let pair = |number| format!(r#"{{"access_token":"a{number}","refresh_token":"r{number}"}}"#);
    salla.on(
        TOKEN,
        (2..9).map(|number| Reply::Says(200, &[], pair(number))),
    );
    salla.on("/orders/5", [error(401, "The access token is invalid")]);
    salla.on("/store/info", [shop()]);
    let failure = client(&salla, &connections).detail(5).await.unwrap_err();
    assert_eq!(failure, Failure::Disconnected(Disconnection::ScopeMissing));
    assert_eq!(salla.seen(TOKEN).len(), 3);
}

/// Serves one request with each token, so that all others under way meet its end.
#[derive(Debug, Default)]
struct ShortLived {
    issued: u32,
    is_used: bool,
}

async fn short_lived(
    State(state): State<Arc<Mutex<ShortLived>>>,
    request: Request,
) -> (StatusCode, String) {
    let mut state = state.lock().unwrap();
    if request.uri().path() == TOKEN {
        *state = ShortLived {
            issued: state.issued + 1,
            is_used: false,
        };
        let number = state.issued;
        let pair = format!(r#"{{"access_token":"t{number}","refresh_token":"r{number}"}}"#);
        return (StatusCode::OK, pair);
    }
    let sent = request.headers()["authorization"].to_str().unwrap();
    let is_current = sent == format!("Bearer t{}", state.issued);
    if !is_current || std::mem::replace(&mut state.is_used, true) {
        let body = r#"{"status":401,"success":false,"error":{"code":"error","message":"The access token is invalid"}}"#;
        return (StatusCode::UNAUTHORIZED, body.to_owned());
    }
    let body = r#"{"status":200,"success":true,"data":{"id":5,"date":{"date":"2025-01-01 10:00:00.000000","timezone":"Asia/Riyadh"}}}"#;
    (StatusCode::OK, body.to_owned())
}

#[tokio::test]
async fn requests_outlive_tokens_that_serve_fewer_than_are_under_way() {
    const REQUESTS: i64 = 24;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let router = Router::new().fallback(short_lived);
    let router = router.with_state(Arc::<Mutex<ShortLived>>::default());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let mut salla = FakeSalla::start().await;
    salla.url = url.parse().unwrap();
    let connections = MemoryConnections::holding(tokens("t0", Some("r0")));
    let client = client(&salla, &connections);
    let requests = (1..=REQUESTS).map(|id| client.detail(id));
    for answer in futures::future::join_all(requests).await {
        assert!(answer.unwrap().is_some());
    }
    assert!(client.budget().token_refreshes >= REQUESTS as u64 - 1);
}
