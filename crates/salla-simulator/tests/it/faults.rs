//! Every kind of fault does what its name says, once.

use crate::client::{get, get_with};
use salla_simulator::*;
use std::time::Duration;

async fn start() -> Simulator {
    let mut scenario = Scenario::default();
    scenario.clock.scale = 0.0;
    Simulator::start(scenario).await.unwrap()
}

/// The fault ends with the next request.
async fn is_well_again(sim: &Simulator) {
    let reply = get(sim, "/orders").await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.json()["success"], true);
}

#[tokio::test]
async fn statuses_come_in_salla_s_or_the_edge_s_clothes() {
    let sim = start().await;
    for status in [500, 502, 503, 504] {
        sim.queue_fault(Endpoint::Orders, Fault::Status(status));
        let reply = get(&sim, "/orders").await;
        assert_eq!(reply.status, status);
        let from_edge = matches!(status, 502 | 504);
        assert_eq!(
            reply
                .header("content-type")
                .unwrap()
                .starts_with("text/html"),
            from_edge
        );
        is_well_again(&sim).await;
    }
}

#[tokio::test]
async fn the_edge_may_answer_without_json_or_without_anything() {
    let sim = start().await;
    for status in [502, 503, 504] {
        for endpoint in [Endpoint::Orders, Endpoint::UserInfo] {
            sim.queue_fault(endpoint, Fault::EmptyStatus(status));
            sim.queue_fault(endpoint, Fault::TextStatus(status));
        }
        for path in ["/orders", "/oauth2/user/info"] {
            let empty = get(&sim, path).await;
            assert_eq!((empty.status, empty.text.as_str()), (status, ""));
            let text = get(&sim, path).await;
            assert_eq!(text.status, status);
            assert_eq!(text.header("content-type"), Some("text/plain"));
            assert!(!text.text.is_empty() && !text.text.starts_with(['{', '<']));
        }
    }
    sim.set(|scenario| scenario.faults.empty_502 = 1.0);
    assert_eq!(get(&sim, "/orders").await.text, "");
}

#[tokio::test]
async fn faults_keep_to_their_endpoint_and_their_order() {
    let sim = start().await;
    sim.queue_fault(Endpoint::Order, Fault::Status(500));
    sim.queue_fault(Endpoint::Order, Fault::Status(503));
    is_well_again(&sim).await;
    assert_eq!(get(&sim, "/orders/1").await.status, 500);
    assert_eq!(get(&sim, "/orders/1").await.status, 503);
    assert_eq!(get(&sim, "/orders/1").await.status, 404);
}

#[tokio::test]
async fn a_reset_does_nothing_and_a_lost_answer_does_everything() {
    let sim = start().await;
    sim.queue_fault(Endpoint::Orders, Fault::Reset);
    assert!(get_with(&sim, sim.access_token(), "/orders").await.is_err());
    let reply = get(&sim, "/orders").await;
    assert_eq!(reply.number("x-ratelimit-remaining"), 359);
    sim.queue_fault(Endpoint::Orders, Fault::LostAnswer);
    assert!(get_with(&sim, sim.access_token(), "/orders").await.is_err());
    let reply = get(&sim, "/orders").await;
    assert_eq!(reply.number("x-ratelimit-remaining"), 357);
    assert_eq!(sim.ledger().unanswered, 2);
}

#[tokio::test]
async fn truncated_json_and_html_pretend_to_be_well() {
    let sim = start().await;
    let whole = get(&sim, "/orders").await.text.len();
    sim.queue_fault(Endpoint::Orders, Fault::Truncate);
    let half = get(&sim, "/orders").await;
    assert_eq!(half.status, 200);
    assert!(half.text.len() <= whole / 2 + 1);
    assert!(serde_json::from_str::<serde_json::Value>(&half.text).is_err());
    sim.queue_fault(Endpoint::Orders, Fault::Html);
    let page = get(&sim, "/orders").await;
    assert_eq!(page.status, 200);
    assert!(page.text.starts_with("<!DOCTYPE html>"));
    is_well_again(&sim).await;
}

#[tokio::test]
async fn a_throttle_refuses_in_spite_of_the_budget() {
    let sim = start().await;
    sim.queue_fault(Endpoint::Orders, Fault::Throttle);
    let refused = get(&sim, "/orders").await;
    assert_eq!(refused.status, 429);
    assert!(refused.number("x-ratelimit-remaining") > 0);
    is_well_again(&sim).await;
}

#[tokio::test]
async fn a_hanging_request_never_ends_and_a_slow_one_does() {
    let sim = start().await;
    sim.queue_fault(Endpoint::Orders, Fault::Hang);
    let hanging = tokio::time::timeout(Duration::from_millis(50), get(&sim, "/orders")).await;
    assert!(hanging.is_err());
    sim.clock().advance(Duration::from_secs(3_600));
    is_well_again(&sim).await;

    sim.queue_fault(Endpoint::Orders, Fault::Slow(30_000));
    let slow = get(&sim, "/orders");
    tokio::pin!(slow);
    let early = tokio::time::timeout(Duration::from_millis(50), &mut slow).await;
    assert!(early.is_err());
    sim.clock().advance(Duration::from_secs(30));
    assert_eq!(slow.await.status, 200);
}

#[tokio::test]
async fn chances_come_true_and_spare_the_accounts() {
    let sim = start().await;
    sim.set(|scenario| {
        scenario.faults.status_500 = 1.0;
        scenario
            .endpoint_faults
            .insert(Endpoint::Products, FaultRates::default());
    });
    assert_eq!(get(&sim, "/orders").await.status, 500);
    assert_eq!(get(&sim, "/products").await.status, 200);
    let form = format!(
        "grant_type=refresh_token&refresh_token={}&client_id={}&client_secret={}",
        sim.refresh_token(),
        sim.client_id(),
        sim.client_secret(),
    );
    let refreshed = crate::client::post(
        &sim,
        "/oauth2/token",
        "application/x-www-form-urlencoded",
        &form,
    )
    .await;
    assert_eq!(refreshed.status, 200);
}

#[tokio::test]
async fn a_stopped_simulator_closes_its_connections() {
    let sim = start().await;
    sim.queue_fault(Endpoint::Orders, Fault::Hang);
    let address = sim.accounts_url().replace("http://", "");
    let token = sim.access_token().to_owned();
    let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
    let request = format!(
        "GET /admin/v2/orders HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes())
        .await
        .unwrap();
    sim.until_requests(1).await;
    sim.stop().await;
    let mut rest = Vec::new();
    let ended = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut rest).await;
    assert!(ended.is_err() || rest.is_empty());
    assert!(tokio::net::TcpStream::connect(&address).await.is_err());
}

#[tokio::test]
async fn the_accounts_host_fails_only_when_the_scenario_says_so() {
    let sim = start().await;
    for endpoint in [Endpoint::OauthToken, Endpoint::UserInfo] {
        sim.queue_fault(endpoint, Fault::Status(503));
        sim.queue_fault(endpoint, Fault::Throttle);
    }
    for status in [503, 429] {
        let token = crate::client::post(&sim, "/oauth2/token", "text/plain", "").await;
        assert_eq!(token.status, status);
        let user = get(&sim, "/oauth2/user/info").await;
        assert_eq!(user.status, status);
    }
    assert_eq!(get(&sim, "/oauth2/user/info").await.status, 200);
}
