//! A webhook against a receiver.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::job::NotificationKind;
use domain::notification::Audience;
use domain::run::RunId;
use domain::shop::MerchantId;
use importer::notifier_contract;
use importer::ports::clock::SystemClock;
use importer::ports::notifications::{Alert, Alerts as _, Notice, Notifier};
use importer::ports::runs::{RecordedFailure, ShopSummary, StoredProgress};
use importer::testing::notifier::{NotifierFixture, OtherSide};
use notifiers::{Route, Secret, Webhook};
use uuid::Uuid;

const KEY: &[u8; 32] = b"a key of thirty-two bytes, known";

type Seen = Arc<Mutex<Vec<(HeaderMap, String)>>>;

/// A receiver that responds with `status`, and what it has seen.
async fn receiver(status: u16) -> (url::Url, Seen) {
    let seen = Seen::default();
    let kept = seen.clone();
    let status = StatusCode::from_u16(status).unwrap();
    let handler = move |headers: HeaderMap, body: String| async move {
        kept.lock().unwrap().push((headers, body));
        (status, [("location", "http://127.0.0.1:1/elsewhere")])
    };
    let app = Router::new().route("/hooks/path-secret", post(handler));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    let url = format!("http://{address}/hooks/path-secret");
    (url.parse().unwrap(), seen)
}

fn webhook(url: url::Url, audience: Audience) -> Webhook {
    let secret = format!("whsec_{}", STANDARD.encode(KEY)).into();
    let secret = Secret::parse(&secret).unwrap();
    // Fails only if a provider is installed already, and then that one serves.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let route = Route {
        client: reqwest::Client::builder().no_proxy(),
        way: None,
    };
    Webhook::new(audience, url, secret, route, Arc::new(SystemClock::real())).unwrap()
}

fn notice() -> Notice {
    Notice {
        id: Uuid::from_u128(7),
        kind: NotificationKind::SyncFailed,
        shop: ShopSummary {
            merchant: MerchantId(Uuid::from_u128(1)),
            salla_id: 42,
            name: "متجر النخلة".to_owned(),
            plan: "plus".to_owned(),
        },
        run: RunId(Uuid::from_u128(2)),
        ended_at: "2026-06-15T09:00:00Z".parse().unwrap(),
        progress: StoredProgress {
            orders: 1_234,
            ..StoredProgress::default()
        },
        failure: Some(RecordedFailure {
            code: "broken".to_owned(),
            message: "the envelope cannot be read".to_owned(),
            advice: "run `salla-sync doctor`".to_owned(),
        }),
    }
}

#[tokio::test]
async fn a_receiver_can_verify_what_it_gets() {
    let (url, seen) = receiver(204).await;
    webhook(url, Audience::Merchant)
        .deliver(&notice())
        .await
        .unwrap();
    let (headers, body) = seen.lock().unwrap().pop().unwrap();
    let header = |name: &str| headers[name].to_str().unwrap().to_owned();
    assert_eq!(header("webhook-id"), Uuid::from_u128(7).to_string());
    let signed = format!(
        "{}.{}.{body}",
        header("webhook-id"),
        header("webhook-timestamp")
    );
    let signature = header("webhook-signature");
    let tag = STANDARD
        .decode(signature.strip_prefix("v1,").unwrap())
        .unwrap();
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, KEY);
    ring::hmac::verify(&key, signed.as_bytes(), &tag).unwrap();
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["type"], "SYNC_FAILED");
    assert_eq!(body["data"]["failure_code"], "broken");
    assert_eq!(body["data"]["advice"], serde_json::Value::Null);
    assert!(
        body["data"]["body"]["ar"]
            .as_str()
            .unwrap()
            .contains("1,234")
    );
}

#[tokio::test]
async fn operators_get_the_command_to_type() {
    let (url, seen) = receiver(200).await;
    let webhook = webhook(url, Audience::Operator);
    webhook.deliver(&notice()).await.unwrap();
    let alert = Alert {
        code: "stalled",
        summary: "a run makes no progress".to_owned(),
        advice: "salla-sync runs show".to_owned(),
        merchant: None,
        run: Some(RunId(Uuid::from_u128(2))),
        at: "2026-06-15T09:00:00Z".parse().unwrap(),
    };
    webhook.raise(&alert).await.unwrap();
    let bodies: Vec<serde_json::Value> = seen
        .lock()
        .unwrap()
        .iter()
        .map(|(_, body)| serde_json::from_str(body).unwrap())
        .collect();
    assert_eq!(bodies[0]["data"]["advice"], "run `salla-sync doctor`");
    assert_eq!(bodies[1]["type"], "ALERT");
    assert_eq!(bodies[1]["data"]["advice"], "salla-sync runs show");
}

#[tokio::test]
async fn only_transient_failures_are_worth_another_try() {
    let table = [
        (302, true),
        (400, false),
        (401, false),
        (404, false),
        (408, true),
        (410, false),
        (425, true),
        (429, true),
        (500, true),
        (503, true),
    ];
    for (status, passes) in table {
        let (url, _) = receiver(status).await;
        let delivery = webhook(url, Audience::Merchant).deliver(&notice()).await;
        assert_eq!(
            delivery.unwrap_err().resumes_by_itself(),
            passes,
            "{status}"
        );
    }
}

#[tokio::test]
async fn what_is_no_success_is_a_failure_that_shows_nothing_secret() {
    for status in [302, 400, 410, 500] {
        let (url, seen) = receiver(status).await;
        let webhook = webhook(url, Audience::Merchant);
        let failure = webhook.deliver(&notice()).await.unwrap_err();
        let said = format!("{failure} {webhook:?}");
        assert!(said.contains(&status.to_string()), "{said}");
        assert!(said.contains("127.0.0.1"), "{said}");
        assert!(!said.contains("path-secret"), "{said}");
        assert_eq!(
            seen.lock().unwrap().len(),
            1,
            "no other server got a request"
        );
    }
    let closed_port = "http://127.0.0.1:1/hooks/path-secret".parse().unwrap();
    let failure = webhook(closed_port, Audience::Merchant)
        .deliver(&notice())
        .await;
    let said = failure.unwrap_err().to_string();
    assert!(said.contains("cannot be reached"), "{said}");
    assert!(!said.contains("path-secret"), "{said}");
}

/// A receiver that responds as it was set to.
struct Fixture {
    webhook: Arc<Webhook>,
    taken: Arc<Mutex<Vec<String>>>,
    next: Arc<Mutex<VecDeque<OtherSide>>>,
}

async fn fixture() -> Fixture {
    let taken = Arc::new(Mutex::new(Vec::new()));
    let next = Arc::new(Mutex::new(VecDeque::new()));
    let (kept, script) = (taken.clone(), next.clone());
    let handler = move |headers: HeaderMap| async move {
        let does = script.lock().unwrap().pop_front();
        match does {
            None => {
                let name = headers["webhook-id"].to_str().unwrap().to_owned();
                kept.lock().unwrap().push(name);
                StatusCode::NO_CONTENT
            }
            Some(OtherSide::RefusesForNow) => StatusCode::SERVICE_UNAVAILABLE,
            Some(OtherSide::Refuses) => StatusCode::GONE,
            // What serves a request ends with it, and with that its connection.
            Some(OtherSide::HangsUp) => panic!("the other side hangs up"),
        }
    };
    let app = Router::new().route("/hooks/path-secret", post(handler));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    let url = format!("http://{address}/hooks/path-secret");
    let webhook = webhook(url.parse().unwrap(), Audience::Merchant);
    Fixture {
        webhook: Arc::new(webhook),
        taken,
        next,
    }
}

#[async_trait]
impl NotifierFixture for Fixture {
    fn notifier(&self) -> Arc<dyn Notifier> {
        self.webhook.clone()
    }

    async fn next(&self, does: OtherSide) {
        self.next.lock().unwrap().push_back(does);
    }

    async fn taken(&self) -> Vec<String> {
        self.taken.lock().unwrap().clone()
    }

    fn unspeakable(&self) -> Vec<String> {
        vec!["path-secret".to_owned(), STANDARD.encode(KEY)]
    }
}

notifier_contract!(fixture);
