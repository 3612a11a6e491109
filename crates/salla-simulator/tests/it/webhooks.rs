//! Webhooks on their way: signed, tried again, twice, lost.

use crate::client::get_with;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use salla_simulator::*;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

/// A signature and a body.
type Delivery = (Option<String>, Vec<u8>);

/// What an app got, and how it responds.
struct App {
    address: SocketAddr,
    got: Arc<Mutex<Vec<Delivery>>>,
}

impl App {
    /// Fails every second time.
    async fn flaky() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let got = Arc::new(Mutex::new(Vec::new()));
        let app = got.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let app = app.clone();
                let service = service_fn(move |request: Request<Incoming>| {
                    let app = app.clone();
                    async move {
                        let signature = request.headers().get("x-salla-signature");
                        let signature = signature.map(|text| text.to_str().unwrap().to_owned());
                        let body = request.into_body().collect().await.unwrap().to_bytes();
                        let mut got = app.lock().unwrap();
                        got.push((signature, body.to_vec()));
                        let status = if got.len() % 2 == 1 { 500 } else { 200 };
                        let response = Response::builder().status(status);
                        Ok::<_, Infallible>(response.body(Full::<Bytes>::default()).unwrap())
                    }
                });
                let serving = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service);
                tokio::spawn(serving);
            }
        });
        Self { address, got }
    }

    fn target(&self) -> WebhookTarget {
        WebhookTarget {
            address: self.address,
            path: "/webhooks".to_owned(),
            strategy: Strategy::Signature("secret".to_owned()),
        }
    }
}

#[tokio::test]
async fn a_webhook_is_signed_and_tried_until_it_is_received() {
    let sim = Simulator::start(Scenario::default()).await.unwrap();
    let app = App::flaky().await;
    let shop = sim.first_shop();
    let webhook = shop.record_event("order.updated", 5);
    let delivered = app
        .target()
        .deliver(std::slice::from_ref(&webhook), Disorder::default())
        .await;
    assert_eq!(delivered[0].statuses, [500, 200]);
    let got = app.got.lock().unwrap().clone();
    assert_eq!(got.len(), 2);
    assert_eq!(
        got[0],
        (Some(webhook.signature("secret")), webhook.body.clone())
    );
    let body: serde_json::Value = serde_json::from_slice(&webhook.body).unwrap();
    assert_eq!(body["merchant"], sim.merchant_id());
    assert_eq!(body["data"]["id"], 5);
    assert_eq!(webhook.signature("secret").len(), 64);
}

#[tokio::test]
async fn disorder_doubles_loses_and_shuffles_the_same_way_for_a_seed() {
    let sim = Simulator::start(Scenario::default()).await.unwrap();
    let app = App::flaky().await;
    let shop = sim.first_shop();
    let webhooks: Vec<Webhook> = (0..20)
        .map(|id| shop.record_event("order.updated", id))
        .collect();
    let disorder = Disorder {
        seed: 7,
        shuffled: true,
        doubled: 4,
        lost: 3,
    };
    let first = app.target().deliver(&webhooks, disorder).await;
    let lost = first
        .iter()
        .filter(|delivery| delivery.statuses.is_empty())
        .count();
    assert!(lost > 0 && first.len() > 20, "{lost} of {}", first.len());
    let second = app.target().deliver(&webhooks, disorder).await;
    assert_eq!(first.len(), second.len());
}

#[tokio::test]
async fn the_tokens_of_a_webhook_work_until_the_app_is_removed() {
    let sim = Simulator::start(Scenario::default()).await.unwrap();
    let shop = sim.first_shop();
    let (access, refresh) = shop.install_again();
    let webhook = shop.authorized((&access, &refresh), sim.clock().now());
    let body: serde_json::Value = serde_json::from_slice(&webhook.body).unwrap();
    assert_eq!(body["event"], "app.store.authorize");
    assert_eq!(body["data"]["access_token"], access);
    assert!(body["data"]["expires"].as_i64().unwrap() > 1_000_000_000);
    assert_eq!(
        get_with(&sim, &access, "/store/info").await.unwrap().status,
        200
    );
    shop.uninstall();
    for token in [&access, sim.access_token()] {
        assert_eq!(
            get_with(&sim, token, "/store/info").await.unwrap().status,
            401
        );
    }
}
