//! Imports that are started over the API, again and again.

use std::collections::BTreeSet;

use salla_simulator::{Endpoint, InvalidRates};
use serde_json::{Value, json};

use super::api::{ApiFixture, Reply, SYNC};
use super::served::{TIMEOUT, one, pause, until};
use crate::truth::small;

#[tokio::test(flavor = "multi_thread")]
async fn an_import_is_started_followed_and_extended() {
    let mut scenario = small(120);
    scenario.shop.months = 30;
    scenario.invalid = InvalidRates {
        orders: 0.05,
        ..InvalidRates::default()
    };
    let api = ApiFixture::open(scenario, &["--with-worker"]).await;
    let before = api.get(SYNC).await;
    assert_eq!((before.status, &before.body["run"]), (200, &Value::Null));
    assert_eq!(before.body["sallaId"], api.merchant);
    assert_eq!(before.body["connection"]["state"], "connected");
    assert_eq!(api.get(&format!("{SYNC}/certificate")).await.status, 404);

    let started = api.post(SYNC, json!({"syncDepthMonths": 12})).await;
    assert_eq!(started.status, 202, "{}", started.body);
    assert_eq!(started.body["outcome"], "begun");
    let status_url = started.location.unwrap();
    assert_eq!(started.body["statusUrl"], status_url);
    let state = "SELECT state FROM salla_sync.sync_runs ORDER BY number DESC LIMIT 1";
    until(&api.service, state, "COMPLETED".to_owned()).await;

    // By our own id, as the status URL has it.
    let done = api.get(&status_url).await;
    let run = &done.body["run"];
    assert_eq!(
        (&run["state"], &run["percent"]),
        (&"COMPLETED".into(), &100.into())
    );
    assert_eq!(run["id"], started.body["runId"]);
    assert_eq!(run["coverage"]["totalsSince"], run["days"]["from"]);
    assert_eq!(run["coverage"]["lineItemsSince"], run["days"]["from"]);
    assert_eq!(
        (&run["eta"], &run["lastError"]),
        (&Value::Null, &Value::Null)
    );
    let orders: i64 = one(&api.service, "SELECT orders FROM salla_sync.sync_runs").await;
    assert_eq!(run["resources"]["orders"], orders);
    let certificate = api.get(&format!("{SYNC}/certificate")).await;
    assert_eq!(certificate.status, 200);
    assert!(
        certificate.body["windows"].is_array(),
        "{}",
        certificate.body
    );

    // The history is there: from now on only what is new is read, and each end has a certificate.
    let as_of = |reply: &Reply| {
        let as_of = reply.body["as_of"].as_str().unwrap();
        as_of.parse::<jiff::Timestamp>().unwrap()
    };
    let shop = api.service.simulator.first_shop();
    shop.insert_order(api.service.clock.now());
    let caught_up = api.start_and_finish(12, "catching_up").await;
    assert_eq!(caught_up.orders, orders.cast_unsigned() + 1);
    let newer = api.get(&format!("{SYNC}/certificate")).await;
    assert!(as_of(&newer) > as_of(&certificate));

    let details = || {
        let ledger = api.service.simulator.ledger();
        ledger.by_endpoint.get(&Endpoint::Order).copied()
    };
    let before = details().unwrap_or(0);
    let extended = api.start_and_finish(24, "extended").await;
    assert!(extended.orders > caught_up.orders);
    let requested = details().unwrap_or(0) - before;
    let older = extended.orders - caught_up.orders;
    assert!(requested <= older + 8, "{requested} for {older} orders");
    let certificate = api.get(&format!("{SYNC}/certificate")).await;
    let today = domain::instant::riyadh_date(api.service.clock.now());
    let from = domain::window::DayRange::last_months(today, 24).from;
    assert_eq!(certificate.body["range"]["from"], from.to_string());

    // A lower depth takes nothing away.
    let again = api.start_and_finish(12, "catching_up").await;
    assert_eq!((again.orders, again.months), (extended.orders, 24));
    let rows = "SELECT count(*) FROM salla.orders";
    let rows: i64 = one(&api.service, rows).await;
    assert_eq!(again.orders, rows.cast_unsigned());
}

/// What the status says of a shop whose run is over.
struct Standing {
    orders: u64,
    months: u64,
}

impl ApiFixture {
    /// A finished shop's counts never fall meanwhile.
    async fn start_and_finish(&self, depth: u16, outcome: &str) -> Standing {
        let before = self.get(SYNC).await;
        let counts = |reply: &Reply| {
            let resources = &reply.body["run"]["resources"];
            ["orders", "ordersCompleted", "customers", "products"]
                .map(|name| resources[name].as_u64().unwrap())
        };
        let mut least = counts(&before);
        let started = self.post(SYNC, json!({"syncDepthMonths": depth})).await;
        assert_eq!(started.status, 202, "{}", started.body);
        assert_eq!(started.body["outcome"], outcome, "{}", started.body);
        let began = tokio::time::Instant::now();
        loop {
            let reply = self.get(SYNC).await;
            let now = counts(&reply);
            let falls = least.iter().zip(now).any(|(before, now)| now < *before);
            assert!(!falls, "{least:?} became {now:?}");
            least = now;
            if reply.body["run"]["state"] == "COMPLETED" {
                assert_eq!(reply.body["run"]["id"], started.body["runId"]);
                return Standing {
                    orders: now[0],
                    months: reply.body["run"]["syncDepthMonths"].as_u64().unwrap(),
                };
            }
            assert!(began.elapsed() < TIMEOUT, "{}", reply.body);
            pause().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn starting_at_once_gives_one_run_and_commands_steer_it() {
    let api = ApiFixture::open(small(10), &[]).await;
    assert_eq!(
        api.post(&format!("{SYNC}/pause"), json!({})).await.status,
        404
    );
    let starts = (0..8).map(|_| api.post(SYNC, json!({"syncDepthMonths": 12})));
    let starts = futures::future::join_all(starts).await;
    let runs: BTreeSet<String> = starts
        .iter()
        .map(|start| start.body["runId"].to_string())
        .collect();
    assert_eq!(runs.len(), 1);
    assert!(starts.iter().all(|start| start.status == 202));
    // Another depth waits until this one is over.
    let other = api.post(SYNC, json!({"syncDepthMonths": 24})).await;
    assert_eq!(
        (other.status, &other.body["outcome"]),
        (202, &"joined".into())
    );
    assert_eq!(other.body["syncDepthMonths"], 12);

    let table = [
        ("pause", 200, "PAUSED"),
        ("pause", 200, "PAUSED"),
        ("restart", 409, ""),
        ("resume", 200, "PENDING"),
        ("cancel", 200, "CANCELLED"),
        ("resume", 409, ""),
        ("restart", 200, "PENDING"),
    ];
    for (command, status, state) in table {
        let reply = api.post(&format!("{SYNC}/{command}"), json!({})).await;
        assert_eq!(reply.status, status, "{command}: {}", reply.body);
        match status {
            200 => assert_eq!(reply.body["run"]["state"], state, "{command}"),
            _ => assert_eq!(reply.body["code"], "wrong_state", "{command}"),
        }
    }
}
