//! Refusals that only a body shows, and waits that Salla requires.

use std::sync::Arc;
use std::time::Duration;

use domain::failure::Failure;
use importer::ports::clock::{Clock, SystemClock};
use importer::ports::platform::Platform as _;
use jiff::Timestamp;
use salla_client::http::http_client;
use salla_client::retry::RetryPolicy;
use salla_client::tokens::TokenSource;
use salla_client::{ClientSettings, SallaClient, customers_budget};
use secrecy::SecretString;

use crate::fake_salla::{FakeSalla, Reply, SingleRequests as _, error, shop};
use crate::requests::{list, orders};

const BY_STATUS: &str = r#"{"status":429,"success":false,"error":{"code":"error","message":"x"}}"#;
const BY_CODE: &str = r#"{"status":200,"success":false,"error":{"code":429}}"#;
const BY_SLUG: &str = r#"{"success":false,"error":{"code":"too_many_requests"}}"#;
const BLOCKED: &str = r#"{"status":403,"success":false,"error":{"message":"You are blocked"}}"#;

const TWO_SECONDS: &[(&str, &str)] = &[("retry-after", "2")];

/// Status 200 and a body that says something else.
fn says(headers: &'static [(&'static str, &'static str)], body: &str) -> Reply {
    Reply::Says(200, headers, body.to_owned())
}

fn fixed() -> TokenSource {
    TokenSource::Fixed(SecretString::from("first"))
}

/// A client for which a quarter of an hour passes in a second.
fn hurried(salla: &FakeSalla) -> ClientSettings {
    let start = Timestamp::from_second(1_750_000_000).unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::scaled(start, 1_000.0));
    let customers = customers_budget(clock.clone(), 1);
    let http = http_client().unwrap();
    ClientSettings {
        timeout: Duration::from_hours(24),
        ..ClientSettings::new(salla.url.clone(), http, clock, fixed(), customers)
    }
}

#[tokio::test]
async fn a_throttle_in_the_body_is_waited_out_and_costs_no_attempt() {
    for body in [BY_STATUS, BY_CODE, BY_SLUG] {
        let salla = FakeSalla::start().await;
        let throttled = std::iter::repeat_n(says(TWO_SECONDS, body), 12);
        salla.on("/orders", throttled.chain([list()]));
        let settings = salla.settings(fixed());
        let clock = settings.clock.clone();
        let client = SallaClient::new(settings);
        let begun = clock.monotonic();
        client.page(&orders(1)).await.unwrap();
        let took = clock.monotonic() - begun;
        assert!(took >= 12 * Duration::from_secs(2), "{body}: {took:?}");
        assert_eq!(client.budget().throttled, 12, "{body}");
        assert_eq!(client.budget().retries, 0, "{body}");
        assert_eq!(salla.seen("/orders").len(), 13, "{body}");
    }
}

#[tokio::test]
async fn a_throttle_in_the_body_that_names_no_time_is_repeated_less_and_less() {
    let salla = FakeSalla::start().await;
    salla.on("/orders", [says(&[], BY_SLUG)]);
    let mut settings = hurried(&salla);
    settings.retry = RetryPolicy {
        throttled: Duration::from_secs(600),
        ..RetryPolicy::default()
    };
    let failure = SallaClient::new(settings).page(&orders(1)).await;
    let wait = match failure.unwrap_err() {
        Failure::Throttled { wait } => wait,
        other => panic!("{other:?}"),
    };
    assert!(wait >= Duration::from_secs(1), "{wait:?}");
    let requests = salla.seen("/orders").len();
    assert!((10..100).contains(&requests), "{requests}");
}

#[tokio::test]
async fn a_block_in_the_body_is_waited_out() {
    let salla = FakeSalla::start().await;
    salla.on("/orders", [says(&[], BLOCKED), list()]);
    let settings = salla.settings(fixed());
    let clock = settings.clock.clone();
    let client = SallaClient::new(settings);
    let begun = clock.monotonic();
    client.page(&orders(1)).await.unwrap();
    assert!(clock.monotonic() - begun >= Duration::from_secs(60));
    assert_eq!(client.budget().throttled, 1);
}

/// Taken for a success, it would say that the token serves and a scope is missing.
#[tokio::test]
async fn a_throttle_in_the_body_does_not_disconnect_a_shop() {
    let salla = FakeSalla::start().await;
    let unexplained = Reply::Says(401, &[], String::new());
    salla.on("/orders", [unexplained, list()]);
    salla.on("/store/info", [says(TWO_SECONDS, BY_STATUS), shop()]);
    let client = salla.client();
    client.page(&orders(1)).await.unwrap();
    assert_eq!(client.budget().throttled, 1);
}

#[tokio::test]
async fn a_long_wait_that_a_503_requires_does_not_end_the_request() {
    let salla = FakeSalla::start().await;
    let maintenance = Reply::Says(503, &[("retry-after", "900")], String::new());
    salla.on("/orders", [maintenance, list()]);
    let settings = hurried(&salla);
    let clock = settings.clock.clone();
    let client = SallaClient::new(settings);
    let begun = clock.monotonic();
    client.page(&orders(1)).await.unwrap();
    assert!(clock.monotonic() - begun >= Duration::from_secs(900));
    assert_eq!(salla.seen("/orders").len(), 2);
}

#[tokio::test]
async fn what_is_longer_than_a_request_may_wait_is_left_to_the_run() {
    let salla = FakeSalla::start().await;
    let maintenance = Reply::Says(503, &[("retry-after", "5000")], String::new());
    salla.on("/orders", [maintenance, error(404, "never requested")]);
    let failure = salla.client().page(&orders(1)).await.unwrap_err();
    let wait = Duration::from_secs(5_000);
    assert_eq!(failure, Failure::Throttled { wait });
    assert_eq!(salla.seen("/orders").len(), 1);
}
