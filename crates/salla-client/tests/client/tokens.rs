//! A refresh token is presented once.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use domain::failure::{Disconnection, Failure};
use importer::ports::clock::{Clock, with_timeout};
use importer::ports::connections::{ConnectionState, Connections, Presented, Tokens};
use importer::testing::clock::a_moment;
use jiff::SignedDuration;
use salla_client::http::token_client;
use salla_client::oauth::{AppCredentials, OAuth};
use salla_client::tokens::{KeeperSettings, TokenKeeper, wait_for_refreshes};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Notify;
use url::Url;

use crate::connections::{ID, MemoryConnections, tokens};
use crate::fake_salla::{FakeSalla, Reply, clock};

pub(crate) const PATH: &str = "/oauth2/token";

pub(crate) fn issues(access: &str, refresh: &str) -> Reply {
    let body = format!(
        r#"{{"access_token":"{access}","refresh_token":"{refresh}","expires_in":1209599}}"#
    );
    Reply::Says(200, &[], body)
}

pub(crate) fn keeper_at(
    url: &Url,
    connections: &Arc<MemoryConnections>,
    clock: &Arc<dyn Clock>,
) -> Arc<TokenKeeper> {
    TokenKeeper::new(KeeperSettings {
        connections: connections.clone(),
        connection: ID,
        oauth: OAuth::new(token_client().unwrap(), url.clone(), clock.clone()),
        app: Some(AppCredentials {
            client_id: "id".to_owned(),
            client_secret: SecretString::from("secret"),
        }),
        clock: clock.clone(),
    })
}

pub(crate) fn keeper(salla: &FakeSalla, connections: &Arc<MemoryConnections>) -> Arc<TokenKeeper> {
    keeper_at(&salla.url, connections, &clock())
}

pub(crate) fn stored() -> Arc<MemoryConnections> {
    MemoryConnections::holding(tokens("first", Some("r1")))
}

pub(crate) fn presented(clock: &Arc<dyn Clock>, times: u8, is_lost: bool) -> ConnectionState {
    ConnectionState::Refreshing(Presented {
        since: clock.now(),
        times,
        is_lost,
    })
}

pub(crate) async fn access(keeper: &Arc<TokenKeeper>) -> String {
    keeper
        .current()
        .await
        .unwrap()
        .secret
        .expose_secret()
        .to_owned()
}

#[tokio::test]
async fn fifty_rejections_at_once_make_one_refresh() {
    let salla = FakeSalla::start().await;
    salla.on(PATH, [issues("second", "r2")]);
    let connections = stored();
    let keeper = keeper(&salla, &connections);
    let token = keeper.current().await.unwrap();
    let mut rejections = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (keeper, token) = (keeper.clone(), token.clone());
        rejections.spawn(async move { keeper.rejected(&token).await });
    }
    for outcome in rejections.join_all().await {
        outcome.unwrap();
    }
    assert_eq!(access(&keeper).await, "second");
    let seen = salla.seen(PATH);
    assert_eq!(seen.len(), 1);
    assert_eq!(
        seen[0].body,
        "grant_type=refresh_token&refresh_token=r1&client_id=id&client_secret=secret"
    );
    assert_eq!(
        connections.row().tokens.refresh.unwrap().expose_secret(),
        "r2"
    );
    assert_eq!(keeper.refreshes(), 1);
}

#[tokio::test]
async fn two_processes_make_one_refresh() {
    let salla = FakeSalla::start().await;
    salla.on(PATH, [issues("second", "r2")]);
    let connections = stored();
    let (one, two) = (keeper(&salla, &connections), keeper(&salla, &connections));
    let (of_one, of_two) = (one.current().await.unwrap(), two.current().await.unwrap());
    let (first, second) = tokio::join!(one.rejected(&of_one), two.rejected(&of_two));
    first.and(second).unwrap();
    assert_eq!(
        (access(&one).await, access(&two).await),
        ("second".into(), "second".into())
    );
    assert_eq!(salla.seen(PATH).len(), 1);
}

pub(crate) fn ending_soon() -> Tokens {
    let soon = clock().now() + SignedDuration::from_hours(3);
    Tokens {
        expires_at: Some(soon),
        ..tokens("first", Some("r1"))
    }
}

#[tokio::test]
async fn a_token_that_ends_soon_is_refreshed_before_salla_refuses_it() {
    let salla = FakeSalla::start().await;
    salla.on(PATH, [issues("second", "r2")]);
    let connections = MemoryConnections::holding(ending_soon());
    let keeper = keeper(&salla, &connections);
    assert_eq!(access(&keeper).await, "second");
    assert_eq!(access(&keeper).await, "second");
    assert_eq!(salla.seen(PATH).len(), 1);
}

#[tokio::test]
async fn a_refused_refresh_parks_the_connection() {
    let refusal = r#"{"error":"invalid_grant","error_description":"…"}"#;
    for status in [400, 401] {
        let salla = FakeSalla::start().await;
        salla.on(PATH, [Reply::Says(status, &[], refusal.to_owned())]);
        let connections = stored();
        let keeper = keeper(&salla, &connections);
        let token = keeper.current().await.unwrap();
        for _ in 0..2 {
            let failure = keeper.rejected(&token).await.unwrap_err();
            assert_eq!(
                failure,
                Failure::Disconnected(Disconnection::RefreshRefused)
            );
        }
        assert_eq!(salla.seen(PATH).len(), 1);
    }
}

#[tokio::test]
async fn a_refused_refresh_is_forgotten_over_tokens_that_were_brought_meanwhile() {
    let salla = FakeSalla::start().await;
    let refusal = r#"{"error":"invalid_grant"}"#;
    salla.on(PATH, [Reply::Says(400, &[], refusal.to_owned())]);
    let connections = stored();
    let keeper = keeper(&salla, &connections);
    let token = keeper.current().await.unwrap();
    *connections.brought_late.lock().unwrap() = Some(tokens("brought", Some("r9")));
    keeper.rejected(&token).await.unwrap();
    assert_eq!(access(&keeper).await, "brought");
}

#[tokio::test]
async fn without_a_refresh_token_a_rejection_is_final() {
    let salla = FakeSalla::start().await;
    let connections = MemoryConnections::holding(tokens("first", None));
    let keeper = keeper(&salla, &connections);
    let token = keeper.current().await.unwrap();
    let failure = keeper.rejected(&token).await.unwrap_err();
    assert_eq!(failure, Failure::Disconnected(Disconnection::TokenRejected));
    assert!(salla.seen(PATH).is_empty());
}

#[tokio::test]
async fn a_refresh_that_could_not_be_sent_may_be_tried_again() {
    let connections = stored();
    let closed_port = Url::parse("http://127.0.0.1:9/").unwrap();
    let keeper = keeper_at(&closed_port, &connections, &clock());
    let token = keeper.current().await.unwrap();
    let failure = keeper.rejected(&token).await.unwrap_err();
    assert!(matches!(failure, Failure::Transient { .. }), "{failure:?}");
    assert_eq!(connections.row().state, ConnectionState::Active);
}

#[tokio::test]
async fn a_throttled_refresh_was_not_presented() {
    let salla = FakeSalla::start().await;
    let wait = Reply::Says(429, &[("retry-after", "7")], String::new());
    salla.on(PATH, [wait, issues("second", "r2")]);
    let keeper = keeper(&salla, &stored());
    let token = keeper.current().await.unwrap();
    let failure = keeper.rejected(&token).await.unwrap_err();
    let wait = Duration::from_secs(7);
    assert_eq!(failure, Failure::Throttled { wait });
    keeper.rejected(&token).await.unwrap();
    assert_eq!(access(&keeper).await, "second");
}

/// The token that was presented is spent, whatever the response says or does not say.
#[tokio::test]
async fn an_answer_without_a_new_refresh_token_leaves_none() {
    for body in [
        r#"{"access_token":"second"}"#,
        r#"{"access_token":"second","refresh_token":null}"#,
        r#"{"access_token":"second","refresh_token":""}"#,
        r#"{"access_token":"second","refresh_token":"r1"}"#,
    ] {
        let salla = FakeSalla::start().await;
        salla.on(PATH, [Reply::Says(200, &[], body.to_owned())]);
        let connections = stored();
        let keeper = keeper(&salla, &connections);
        let token = keeper.current().await.unwrap();
        keeper.rejected(&token).await.unwrap();
        assert_eq!(access(&keeper).await, "second", "{body}");
        assert!(connections.row().tokens.refresh.is_none(), "{body}");
        let token = keeper.current().await.unwrap();
        let failure = keeper.rejected(&token).await.unwrap_err();
        assert_eq!(failure, Failure::Disconnected(Disconnection::TokenRejected));
        assert_eq!(salla.seen(PATH).len(), 1, "{body}");
    }
}

#[tokio::test]
async fn another_process_that_withdraws_its_intent_clears_the_way() {
    let salla = FakeSalla::start().await;
    salla.on(PATH, [issues("second", "r2")]);
    let connections = stored();
    let clock = clock();
    let keeper = keeper_at(&salla.url, &connections, &clock);
    let token = keeper.current().await.unwrap();
    connections.set_state(presented(&clock, 1, false));
    let rejection = tokio::spawn({
        let keeper = keeper.clone();
        async move { keeper.rejected(&token).await }
    });
    clock.sleep(Duration::from_secs(5)).await;
    connections.set_state(ConnectionState::Active);
    rejection.await.unwrap().unwrap();
    assert_eq!(access(&keeper).await, "second");
}

#[tokio::test]
async fn newer_tokens_that_somebody_brought_are_used() {
    let salla = FakeSalla::start().await;
    let connections = stored();
    let keeper = keeper(&salla, &connections);
    let token = keeper.current().await.unwrap();
    connections.replace(tokens("brought", Some("r9")));
    keeper.rejected(&token).await.unwrap();
    assert_eq!(access(&keeper).await, "brought");
    assert!(salla.seen(PATH).is_empty());
}

#[tokio::test]
async fn a_pair_is_not_used_before_it_is_stored_and_not_lost_if_that_takes_long() {
    let salla = FakeSalla::start().await;
    salla.on(PATH, [issues("second", "r2")]);
    let connections = stored();
    *connections.outages.lock().unwrap() = 7;
    let keeper = keeper(&salla, &connections);
    let token = keeper.current().await.unwrap();
    let mut failures = 0;
    while let Err(failure) = keeper.rejected(&token).await {
        assert!(matches!(failure, Failure::Database { .. }), "{failure:?}");
        assert_eq!(
            connections
                .load(ID)
                .await
                .unwrap()
                .tokens
                .access
                .expose_secret(),
            "first"
        );
        failures += 1;
    }
    assert!((1..=3).contains(&failures), "{failures}");
    assert_eq!(access(&keeper).await, "second");
    assert_eq!(salla.seen(PATH).len(), 1);
}

/// The shop was deleted between the response and the attempts to store the pair: nothing is left
/// that this process had to wait for.
#[tokio::test]
async fn a_pair_of_a_connection_that_is_gone_is_not_kept() {
    for outages in [0, 2, 7] {
        let salla = FakeSalla::start().await;
        let released = Arc::new(Notify::new());
        let pair = r#"{"access_token":"second","refresh_token":"r2"}"#;
        salla.on(PATH, [Reply::Waits(released.clone(), pair.to_owned())]);
        let connections = stored();
        *connections.outages.lock().unwrap() = outages;
        let clock = clock();
        let keeper = keeper_at(&salla.url, &connections, &clock);
        let token = keeper.current().await.unwrap();
        let rejection = tokio::spawn({
            let (keeper, token) = (keeper.clone(), token.clone());
            async move { keeper.rejected(&token).await }
        });
        while salla.seen(PATH).is_empty() {
            a_moment().await;
        }
        connections.is_gone.store(true, Ordering::SeqCst);
        released.notify_one();
        let gone = Err(Failure::Disconnected(Disconnection::NotConnected));
        let first = rejection.await.unwrap();
        match outages {
            7 => assert!(matches!(first, Err(Failure::Database { .. })), "{first:?}"),
            _ => assert_eq!(first, gone, "{outages}"),
        }
        let hour = Duration::from_secs(3_600);
        let over = with_timeout(&*clock, hour, wait_for_refreshes()).await;
        assert!(over.is_some(), "{outages}");
        assert_eq!(keeper.rejected(&token).await, gone, "{outages}");
        assert_eq!(*connections.outages.lock().unwrap(), 0);
        assert_eq!(salla.seen(PATH).len(), 1, "{outages}");
    }
}

#[tokio::test]
async fn a_refresh_is_finished_even_if_its_caller_is_dropped() {
    let salla = FakeSalla::start().await;
    salla.on(PATH, [issues("second", "r2")]);
    let connections = stored();
    let keeper = keeper(&salla, &connections);
    let token = keeper.current().await.unwrap();
    let asking = tokio::spawn({
        let keeper = keeper.clone();
        async move { keeper.rejected(&token).await }
    });
    tokio::task::yield_now().await;
    asking.abort();
    while connections.row().version == 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!(connections.row().tokens.access.expose_secret(), "second");
}
