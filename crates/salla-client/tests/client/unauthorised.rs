//! The many meanings of a 401 (FACTS §4).

use std::sync::Arc;

use domain::failure::{Disconnection, Failure};
use importer::ports::platform::Platform;
use salla_client::SallaClient;
use salla_client::http::token_client;
use salla_client::oauth::{AppCredentials, OAuth};
use salla_client::tokens::{KeeperSettings, TokenKeeper, TokenSource};
use secrecy::SecretString;

use crate::connections::{ID, MemoryConnections, tokens};
use crate::fake_salla::{FakeSalla, Reply, clock, error, ok, shop};

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
async fn a_bad_token_is_renewed_and_the_request_repeated() {
    let (salla, connections) = scripted().await;
    salla.on(
        "/orders/5",
        [error(401, "The access token is invalid"), order()],
    );
    let client = client(&salla, &connections);
    assert!(client.order_detail(5).await.unwrap().is_some());
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
    let failure = client(&salla, &connections)
        .order_detail(5)
        .await
        .unwrap_err();
    assert_eq!(failure, Failure::Disconnected(Disconnection::ScopeMissing));
    assert!(salla.seen(TOKEN).is_empty());
    assert!(salla.seen("/store/info").is_empty());
}

#[tokio::test]
async fn an_unexplained_401_with_a_token_that_works_elsewhere_is_a_missing_scope() {
    let (salla, connections) = scripted().await;
    salla.on("/orders/5", [Reply::Says(401, &[], String::new())]);
    salla.on("/store/info", [shop()]);
    let failure = client(&salla, &connections)
        .order_detail(5)
        .await
        .unwrap_err();
    assert_eq!(failure, Failure::Disconnected(Disconnection::ScopeMissing));
    assert_eq!(salla.seen("/store/info").len(), 1);
    assert!(salla.seen(TOKEN).is_empty());
}

#[tokio::test]
async fn an_unexplained_401_with_a_token_that_works_nowhere_is_a_bad_token() {
    let (salla, connections) = scripted().await;
    salla.on("/orders/5", [Reply::Says(401, &[], String::new()), order()]);
    salla.on("/store/info", [Reply::Says(401, &[], String::new())]);
    client(&salla, &connections).order_detail(5).await.unwrap();
    assert_eq!(
        salla.seen("/store/info")[0].headers["authorization"],
        "Bearer first"
    );
    assert_eq!(salla.seen(TOKEN).len(), 1);
}

#[tokio::test]
async fn a_token_that_is_rejected_again_and_again_is_given_up() {
    let (salla, connections) = scripted().await;
    salla.on("/orders/5", [error(401, "The access token is invalid")]);
    let failure = client(&salla, &connections)
        .order_detail(5)
        .await
        .unwrap_err();
    assert_eq!(failure, Failure::Disconnected(Disconnection::TokenRejected));
    assert!(salla.seen("/orders/5").len() <= 7);
}
