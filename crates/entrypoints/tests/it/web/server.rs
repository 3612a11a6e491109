//! The server itself: what it shows, what it bears, how it ends.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::served::{Browser, Served, pause, until};
use crate::process::present_day;
use crate::truth::small;

#[tokio::test(flavor = "multi_thread")]
async fn it_shows_that_it_lives_and_whether_it_can_work() {
    let service = present_day(small(1)).await;
    let served = Served::start(&service, &[]).await;
    for (path, expected) in [
        ("/livez", "alive\n"),
        ("/healthz", "alive\n"),
        ("/readyz", "ready\n"),
    ] {
        assert_eq!(served.get(path).await, (200, expected.to_owned()), "{path}");
    }
    let (status, metrics) = served.get("/metrics").await;
    assert_eq!(status, 200);
    assert!(metrics.contains("salla_sync_database_up 1"), "{metrics}");
    let forget = "DELETE FROM salla_sync._sqlx_migrations
        WHERE version = (SELECT max(version) FROM salla_sync._sqlx_migrations)";
    sqlx::query(forget)
        .execute(service.open.database.pool())
        .await
        .unwrap();
    while served.get("/readyz").await.0 == 200 {
        pause().await;
    }
    let (status, problem) = served.get("/readyz").await;
    assert_eq!(status, 503);
    assert!(problem.contains("salla-sync migrate"), "{problem}");
    assert_eq!(served.get("/livez").await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_response_has_an_id_and_the_headers_that_protect_it() {
    let service = present_day(small(1)).await;
    let served = Served::start(&service, &[]).await;
    let mut ids = Vec::new();
    for (path, status) in [
        ("/livez", 200),
        ("/nothing", 404),
        ("/connect", 303),
        ("/oauth/callback", 200),
    ] {
        let request = served.http.get(served.url(path));
        let response = request.send().await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{path}");
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        assert!(
            header("content-security-policy").contains("frame-ancestors 'none'"),
            "{path}"
        );
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("referrer-policy"), "no-referrer");
        assert_eq!(header("cache-control"), "no-store");
        let id = header("x-request-id");
        assert!(!ids.contains(&id));
        ids.push(id);
    }
    let with = async |id: &str| {
        let request = served
            .http
            .get(served.url("/livez"))
            .header("x-request-id", id);
        let response = request.send().await.unwrap();
        response.headers()["x-request-id"]
            .to_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(with("caller-1.2_3").await, "caller-1.2_3");
    for wrong in ["two words", "<script>", &"x".repeat(65)] {
        assert_ne!(with(wrong).await, wrong);
    }
    let response = served
        .http
        .get(served.url("/nothing"))
        .send()
        .await
        .unwrap();
    assert_eq!(
        response.headers()["content-type"],
        "application/problem+json"
    );
    let problem: serde_json::Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    assert_eq!(
        (&problem["status"], &problem["code"]),
        (&404.into(), &"not_found".into())
    );
    let response = served.http.post(served.url("/livez")).send().await.unwrap();
    assert_eq!(response.status().as_u16(), 405);
}

/// A connection for each of those who never send a request: the others get theirs.
#[tokio::test(flavor = "multi_thread")]
async fn connections_that_ask_for_nothing_keep_nobody_out() {
    let service = present_day(small(1)).await;
    let served = Served::start(&service, &[]).await;
    let mut idle = Vec::new();
    for number in 0..1_100 {
        let Ok(mut stream) = TcpStream::connect(served.address).await else {
            break;
        };
        let begun: &[u8] = match number % 2 {
            0 => b"",
            _ => b"GET /livez HTTP/1.1\r\nHost: x\r\nX: ",
        };
        // The oldest ones are closed meanwhile.
        drop(stream.write_all(begun).await);
        idle.push(stream);
    }
    let alive = tokio::time::timeout(Duration::from_secs(10), served.get("/livez")).await;
    assert_eq!(alive.unwrap().0, 200);
    let mut browser = Browser::new(&served);
    assert_eq!(browser.connect().await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_is_finished_before_the_end() {
    let mut scenario = small(1);
    scenario.latency.fixed_ms = 700;
    let service = present_day(scenario).await;
    let served = Served::start(&service, &[]).await;
    let mut browser = Browser::new(&served);
    let salla = browser.begin().await;
    let back = browser.decide(&salla, "approve").await;
    // It sends Salla three requests, so it takes two seconds.
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    let cookie = browser.cookie.clone().unwrap();
    let request = format!("GET {back} HTTP/1.1\r\nHost: x\r\nCookie: {cookie}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let before = service.simulator.ledger().requests;
    while service.simulator.ledger().requests == before {
        pause().await;
    }
    let (exit, said) = served.stop().await;
    assert_eq!(exit, Some(0), "{said}");
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    assert!(response.starts_with("HTTP/1.1 200"), "{response}");
    assert!(response.contains("Your shop is connected"), "{response}");
}

/// Its code is spent, so what it brought must not be lost with the browser.
#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_goes_away_has_connected_its_shop_all_the_same() {
    let mut scenario = small(1);
    scenario.latency.fixed_ms = 300;
    let service = present_day(scenario).await;
    let served = Served::start(&service, &[]).await;
    let mut browser = Browser::new(&served);
    let salla = browser.begin().await;
    let back = browser.decide(&salla, "approve").await;
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    let cookie = browser.cookie.clone().unwrap();
    let request = format!("GET {back} HTTP/1.1\r\nHost: x\r\nCookie: {cookie}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let before = service.simulator.ledger().requests;
    while service.simulator.ledger().requests == before {
        pause().await;
    }
    drop(stream);
    let runs = "SELECT count(*) FROM salla_sync.sync_runs WHERE is_job";
    until(&service, runs, 1_i64).await;
    let (status, html) = browser.come_back(&back).await;
    assert_eq!(status, 200);
    assert!(html.contains("Your shop is connected"), "{html}");
}
