//! Webhooks: tokens, removals and changes, genuine and forged, twice, late and in any order.

use std::time::Duration;

use domain::shop::MerchantId;
use jiff::{SignedDuration, Timestamp};
use salla_simulator::{AppAge, Disorder, Endpoint, Fault, Original, Scenario, Strategy, Webhook};

use super::served::{FORMER, SECRET, Served, one, until};
use crate::process::{present_day, program, run, within};
use crate::service::TestService;
use crate::truth::small;

const STORED: &str = "SELECT count(*) FROM salla_sync.connections";
const SETTLED: &str = "SELECT count(*) FROM salla_sync.arrivals WHERE settled_at IS NOT NULL";
const OUTCOME: &str = "SELECT outcome FROM salla_sync.arrivals ORDER BY received_at DESC LIMIT 1";
const CURRENT: &str = "SELECT count(*) FROM salla_sync.connections
    WHERE is_current AND state = 'ACTIVE'";
const RUNS: &str = "SELECT count(*) FROM salla_sync.sync_runs WHERE is_job";
const MERCHANT: &str = "SELECT id FROM salla_sync.merchants";
const STATE: &str = "SELECT state FROM salla_sync.sync_runs ORDER BY number DESC LIMIT 1";

fn now(service: &TestService) -> Timestamp {
    service.simulator.clock().now()
}

fn tokens(service: &TestService) -> (String, String) {
    service.simulator.first_shop().install_again()
}

fn authorized(
    service: &TestService,
    (access, refresh): &(String, String),
    at: Timestamp,
) -> Webhook {
    let shop = service.simulator.first_shop();
    shop.authorized((access, refresh), at)
}

/// Salla does not wait while the shop is asked who it is and its import begins.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_confirmed_at_once() {
    let mut scenario = small(60);
    scenario.latency.fixed_ms = 2_000;
    let service = present_day(scenario).await;
    let served = Served::start(&service, &["--with-worker"]).await;
    within(Duration::from_secs(1), async || {
        let webhook = authorized(&service, &tokens(&service), now(&service));
        let began = tokio::time::Instant::now();
        assert_eq!(served.signed().send(&webhook).await.unwrap(), 200);
        began.elapsed()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_stored_before_they_are_confirmed_and_connect_their_shop_once() {
    let service = present_day(small(60)).await;
    let served = Served::start(&service, &["--with-worker"]).await;
    let webhook = authorized(&service, &tokens(&service), now(&service));
    assert_eq!(served.signed().send(&webhook).await.unwrap(), 200);
    assert_eq!(one::<i64>(&service, STORED).await, 1);
    until(&service, STATE, "COMPLETED".to_owned()).await;
    assert_eq!(one::<i64>(&service, CURRENT).await, 1);
    let plain = "SELECT count(*) FROM salla_sync.connections
        WHERE encode(access_token, 'escape') LIKE '%ory_%'";
    assert_eq!(one::<i64>(&service, plain).await, 0);

    for _ in 0..3 {
        assert_eq!(served.signed().send(&webhook).await.unwrap(), 200);
    }
    until(&service, SETTLED, 1_i64).await;
    assert_eq!(one::<i64>(&service, STORED).await, 1);
    assert_eq!(one::<i64>(&service, RUNS).await, 1);
    let (exit, said) = served.stop().await;
    assert_eq!(exit, Some(0), "{said}");
    for secret in ["ory_", SECRET, FORMER] {
        assert!(!said.contains(secret), "{secret} was logged: {said}");
    }
}

/// Nothing is lost with a process that dies between confirming tokens and looking at them.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_nobody_has_looked_at_are_looked_at_by_the_next_process() {
    let service = present_day(small(20)).await;
    let outage = salla_simulator::OutageLength::Requests(1_000_000);
    service
        .simulator
        .begin_outage(salla_simulator::Fault::Status(503), outage);
    let served = Served::start(&service, &[]).await;
    let webhook = authorized(&service, &tokens(&service), now(&service));
    assert_eq!(served.signed().send(&webhook).await.unwrap(), 200);
    assert_eq!(one::<i64>(&service, SETTLED).await, 0);
    drop(served);
    service.simulator.set(|scenario| scenario.outages.clear());
    let _served = Served::start(&service, &[]).await;
    until(&service, SETTLED, 1_i64).await;
    assert_eq!(one::<String>(&service, OUTCOME).await, "connected");
    assert_eq!(one::<i64>(&service, RUNS).await, 1);
}

/// Salla delivers them once, and neither response says anything of them: a page in place of JSON,
/// and a refusal of the token that the shop has just accepted.
#[tokio::test(flavor = "multi_thread")]
async fn one_response_that_is_wrong_does_not_cost_an_installation() {
    let service = present_day(small(20)).await;
    for fault in [Fault::Html, Fault::Status(401)] {
        service.simulator.queue_fault(Endpoint::UserInfo, fault);
    }
    let served = Served::start(&service, &[]).await;
    let webhook = authorized(&service, &tokens(&service), now(&service));
    for said in ["is no JSON object", "that the shop has just accepted"] {
        assert_eq!(served.signed().send(&webhook).await.unwrap(), 200);
        served.until_said(said).await;
    }
    assert_eq!(served.signed().send(&webhook).await.unwrap(), 200);
    until(&service, SETTLED, 1_i64).await;
    assert_eq!(one::<String>(&service, OUTCOME).await, "connected");
    assert_eq!(one::<i64>(&service, RUNS).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_salla_has_signed_is_taken() {
    let service = present_day(small(1)).await;
    let served = Served::start(&service, &[]).await;
    let webhook = authorized(&service, &tokens(&service), now(&service));
    let mut forged = webhook.clone();
    forged.body.push(b' ');
    let signature = webhook.signature(SECRET);
    let send_forged = async {
        let request = served.http.post(served.url("/webhooks/salla"));
        let request = request
            .header("x-salla-signature", &signature)
            .body(forged.body.clone());
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(send_forged.await, 401);
    let table = [
        (Strategy::None, 401),
        (Strategy::Signature("another".to_owned()), 401),
        (Strategy::Signature(String::new()), 401),
        (Strategy::Token("another".to_owned()), 401),
        (Strategy::Token(format!("Bearer {SECRET}")), 401),
    ];
    for (strategy, expected) in table {
        let status = served
            .webhooks(strategy.clone())
            .send(&webhook)
            .await
            .unwrap();
        assert_eq!(status, expected, "{strategy:?}");
    }
    assert_eq!(one::<i64>(&service, STORED).await, 0);

    let unknown = Webhook {
        event: "app.trial.started".to_owned(),
        body: br#"{"event":"app.trial.started","merchant":1,"data":null}"#.to_vec(),
    };
    for strategy in [
        Strategy::Signature(SECRET.to_owned()),
        Strategy::Signature(FORMER.to_owned()),
        Strategy::Token(SECRET.to_owned()),
        Strategy::Token(FORMER.to_owned()),
    ] {
        let status = served
            .webhooks(strategy.clone())
            .send(&unknown)
            .await
            .unwrap();
        assert_eq!(status, 200, "{strategy:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_bodies_are_refused_and_unknown_events_are_not() {
    let service = present_day(small(1)).await;
    let served = Served::start(&service, &[]).await;
    let large = format!(
        r#"{{"event":"order.created","merchant":1,"data":{{"id":1,"x":"{}"}}}}"#,
        "x".repeat(1 << 20)
    );
    let table: [(&str, u16); 12] = [
        (&large, 413),
        ("", 400),
        ("{", 400),
        ("[]", 400),
        ("null", 400),
        (r#"{"event":[],"merchant":[],"data":"x"}"#, 400),
        (
            r#"{"event":"app.store.authorize","merchant":1,"data":{"access_token":{}}}"#,
            400,
        ),
        (
            r#"{"event":"app.store.authorize","merchant":"'; DROP TABLE x; --","data":{}}"#,
            400,
        ),
        (
            r#"{"event":"shipment.creating","merchant":1,"data":{}}"#,
            200,
        ),
        (
            r#"{"event":"app.something.new","merchant":1,"data":[]}"#,
            200,
        ),
        (
            r#"{"event":"abandoned.cart","merchant":1,"data":{"متجر":"🌴"}}"#,
            200,
        ),
        // A shop that was never connected here.
        (
            r#"{"event":"order.created","merchant":99,"data":{"id":5}}"#,
            200,
        ),
    ];
    for (body, expected) in table {
        let webhook = Webhook {
            event: String::new(),
            body: body.as_bytes().to_vec(),
        };
        let status = served.signed().send(&webhook).await.unwrap();
        let shown: String = body.chars().take(80).collect();
        assert_eq!(status, expected, "{shown}");
    }
    let (_, metrics) = served.get("/metrics").await;
    for (event, outcome, least) in [
        ("other", "ignored", 3.0),
        ("changed", "unknown_shop", 1.0),
        ("none", "unreadable", 7.0),
        ("none", "too_large", 1.0),
    ] {
        let series =
            format!(r#"salla_sync_webhooks_total{{event="{event}",outcome="{outcome}"}} "#);
        let value = metrics.lines().find_map(|line| line.strip_prefix(&series));
        let value: f64 = value
            .unwrap_or_else(|| panic!("{series}\n{metrics}"))
            .parse()
            .unwrap();
        assert!(value >= least, "{series}{value}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_another_shop_or_with_wrong_permissions_connect_none() {
    let service = present_day(small(1)).await;
    let served = Served::start(&service, &[]).await;
    let other = service
        .simulator
        .add_shop(service.simulator.scenario().shop.clone());
    let swapped = other.authorized(
        (
            service.simulator.access_token(),
            service.simulator.refresh_token(),
        ),
        now(&service),
    );
    assert_eq!(served.signed().send(&swapped).await.unwrap(), 200);
    until(&service, OUTCOME, "other_shop".to_owned()).await;
    assert_eq!(one::<i64>(&service, CURRENT).await, 0);
    served.until_said("wrong_shop").await;

    let genuine = authorized(&service, &tokens(&service), now(&service));
    let text = String::from_utf8(genuine.body).unwrap();
    for (from, to) in [
        ("orders.read", "orders.read_write"),
        ("products.read", "brands.read"),
    ] {
        let webhook = Webhook {
            event: genuine.event.clone(),
            body: text.replace(from, to).into_bytes(),
        };
        assert_eq!(served.signed().send(&webhook).await.unwrap(), 200);
    }
    assert_eq!(
        one::<i64>(&service, STORED).await,
        1,
        "the first one, which is parked"
    );
    served.until_said("scopes_refused").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn older_tokens_do_not_replace_newer_ones() {
    let service = present_day(small(1)).await;
    let served = Served::start(&service, &["--import-on-connect", "never"]).await;
    let (older, newer) = (tokens(&service), tokens(&service));
    let hour = SignedDuration::from_hours(1);
    let (older, newer) = (
        authorized(&service, &older, now(&service) - hour),
        authorized(&service, &newer, now(&service)),
    );
    assert_eq!(served.signed().send(&newer).await.unwrap(), 200);
    until(&service, OUTCOME, "connected".to_owned()).await;
    let current = "SELECT id::text FROM salla_sync.connections WHERE is_current";
    let before: String = one(&service, current).await;
    assert_eq!(served.signed().send(&older).await.unwrap(), 200);
    until(&service, OUTCOME, "outdated".to_owned()).await;
    assert_eq!(one::<String>(&service, current).await, before);
    assert_eq!(one::<i64>(&service, RUNS).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_app_forgets_its_tokens_and_stops_its_work() {
    let service = present_day(small(40)).await;
    // No worker: the run is PENDING when the app is removed.
    let served = Served::start(&service, &[]).await;
    let shop = service.simulator.first_shop();
    let installed_at = now(&service);
    let first = authorized(&service, &tokens(&service), installed_at);
    assert_eq!(served.signed().send(&first).await.unwrap(), 200);
    until(&service, STATE, "PENDING".to_owned()).await;

    let removed_at = installed_at + SignedDuration::from_secs(60);
    let removed = shop.app_event("app.uninstalled", removed_at);
    shop.uninstall();
    for _ in 0..2 {
        assert_eq!(served.signed().send(&removed).await.unwrap(), 200);
    }
    assert_eq!(one::<String>(&service, STATE).await, "CANCELLED");
    let forgotten = "SELECT count(*) FROM salla_sync.connections
        WHERE access_token = '' AND refresh_token IS NULL AND state = 'DISCONNECTED'
          AND disconnected_why = 'uninstalled'";
    assert_eq!(one::<i64>(&service, forgotten).await, 1);
    let clock_runs = "SELECT count(*) FROM salla_sync.merchants WHERE uninstalled_at IS NOT NULL";
    assert_eq!(one::<i64>(&service, clock_runs).await, 1);
    // The first delivery comes once more, late: nothing of it is taken up again.
    assert_eq!(served.signed().send(&first).await.unwrap(), 200);
    assert_eq!(one::<i64>(&service, CURRENT).await, 0);
    assert_eq!(one::<i64>(&service, forgotten).await, 1);

    // The app is installed again, and the removal comes a third time, behind it.
    let again = authorized(
        &service,
        &tokens(&service),
        removed_at + SignedDuration::from_secs(60),
    );
    assert_eq!(served.signed().send(&again).await.unwrap(), 200);
    until(&service, CURRENT, 1_i64).await;
    until(&service, STATE, "PENDING".to_owned()).await;
    assert_eq!(served.signed().send(&removed).await.unwrap(), 200);
    assert_eq!(one::<i64>(&service, CURRENT).await, 1);
    assert_eq!(one::<i64>(&service, clock_runs).await, 0);
    assert_eq!(one::<String>(&service, STATE).await, "PENDING");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_may_come_in_any_order_and_twice() {
    for seed in 0..3 {
        let service = present_day(small(40)).await;
        let served = Served::start(&service, &[]).await;
        let shop = service.simulator.first_shop();
        let at = now(&service);
        let names = [
            "app.trial.started",
            "app.installed",
            "app.settings.updated",
            "app.subscription.started",
            "app.updated",
            "app.feedback.created",
        ];
        let mut webhooks: Vec<Webhook> =
            names.iter().map(|name| shop.app_event(name, at)).collect();
        webhooks.push(authorized(&service, &tokens(&service), at));
        webhooks.push(authorized(
            &service,
            &tokens(&service),
            at + SignedDuration::from_secs(1),
        ));
        for (number, event) in [
            "order.created",
            "order.status.updated",
            "product.price.updated",
            "customer.updated",
            "customer.login",
        ]
        .iter()
        .enumerate()
        {
            webhooks.push(shop.record_event(event, 1_000 + number as i64));
        }
        let disorder = Disorder {
            seed,
            shuffled: true,
            doubled: 5,
            lost: 0,
        };
        let deliveries = served.signed().deliver(&webhooks, disorder).await;
        assert!(deliveries.len() > webhooks.len(), "some came twice");
        for delivery in deliveries {
            assert_eq!(delivery.statuses, [200], "{delivery:?}");
        }
        until(&service, SETTLED, 2_i64).await;
        assert_eq!(one::<i64>(&service, CURRENT).await, 1, "seed {seed}");
        assert_eq!(one::<i64>(&service, RUNS).await, 1, "seed {seed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_records_are_noted_and_never_stored_themselves() {
    let service = present_day(small(30)).await;
    service.import().await;
    let served = Served::start(&service, &[]).await;
    let shop = service.simulator.first_shop();
    let events = [
        ("order.updated", 11),
        ("order.deleted", 12),
        ("order.status.updated", 13),
        ("product.created", 14),
        ("customer.updated", 15),
        ("customer.login", 16),
    ];
    for (event, id) in events {
        for _ in 0..2 {
            let webhook = shop.record_event(event, id);
            assert_eq!(
                served.signed().send(&webhook).await.unwrap(),
                200,
                "{event}"
            );
        }
    }
    let marked: Vec<(String, i64)> = sqlx::query_as(
        "SELECT resource::text, salla_id FROM salla_sync.changed_records ORDER BY salla_id",
    )
    .fetch_all(service.open.database.pool())
    .await
    .unwrap();
    let expected = [
        ("orders", 11),
        ("orders", 12),
        ("orders", 13),
        ("products", 14),
        ("customers", 15),
    ];
    assert_eq!(
        marked,
        expected.map(|(resource, id)| (resource.to_owned(), id))
    );
    let unknown = "SELECT count(*) FROM salla.orders WHERE id BETWEEN 11 AND 13";
    assert_eq!(one::<i64>(&service, unknown).await, 0);
}

const GONE: &str = "SELECT count(*) FROM salla_sync.source_records WHERE gone_at IS NOT NULL";
const MARKED: &str = "SELECT count(*) FROM salla_sync.changed_records";

#[tokio::test(flavor = "multi_thread")]
async fn records_that_change_after_an_import_are_in_the_tables_soon() {
    for app_age in [AppAge::Expanded, AppAge::LightDetails] {
        let service = present_day(Scenario {
            app_age,
            ..small(60)
        })
        .await;
        let served = Served::start(&service, &["--with-worker"]).await;
        let webhook = authorized(&service, &tokens(&service), now(&service));
        assert_eq!(served.signed().send(&webhook).await.unwrap(), 200);
        until(&service, STATE, "COMPLETED".to_owned()).await;
        let pool = service.open.database.pool();
        let (runs, merchant) = (
            service.open.runs(),
            MerchantId(one(&service, MERCHANT).await),
        );
        let finished = runs.latest_finished(merchant).await.unwrap().unwrap();
        let ids = async |sql: &'static str| -> Vec<i64> {
            sqlx::query_scalar(sql).fetch_all(pool).await.unwrap()
        };
        let orders = ids("SELECT id FROM salla.orders ORDER BY id LIMIT 3").await;
        let products = ids("SELECT id FROM salla.products ORDER BY id LIMIT 2").await;
        let customers = ids("SELECT id FROM salla.customers ORDER BY id LIMIT 1").await;

        let shop = service.simulator.first_shop();
        assert!(shop.edit_order(orders[0], Original::Canceled));
        assert!(shop.edit_order_items(orders[1]));
        assert!(shop.delete_order(orders[2]));
        let new = shop.insert_order(now(&service));
        assert!(shop.edit_product(products[0]));
        assert!(shop.delete_product(products[1]));
        let another = shop.insert_product();
        assert!(shop.edit_customer(customers[0]));
        let range = finished.covers;
        assert_ne!(
            service.compare_rows(merchant, range).await,
            Vec::<String>::new()
        );
        for (event, id) in [
            ("order.status.updated", orders[0]),
            ("order.updated", orders[1]),
            ("order.deleted", orders[2]),
            ("order.created", new),
            ("product.price.updated", products[0]),
            ("product.deleted", products[1]),
            ("product.created", another),
            ("customer.updated", customers[0]),
            // Unknown.
            ("order.updated", 4_711),
            ("product.updated", 4_712),
            ("customer.updated", 4_713),
        ] {
            let webhook = shop.record_event(event, id);
            assert_eq!(served.signed().send(&webhook).await.unwrap(), 200);
        }
        until(&service, MARKED, 0_i64).await;
        assert_eq!(
            service.compare_rows(merchant, range).await,
            Vec::<String>::new(),
            "{app_age:?}"
        );
        assert_eq!(one::<i64>(&service, GONE).await, 2 + 3, "{app_age:?}");
        assert_eq!(one::<i64>(&service, RUNS).await, 1, "no run was needed");
        let counted = "SELECT s.orders = (SELECT count(*) FROM salla.orders)
                          AND s.products = (SELECT count(*) FROM salla.products)
            FROM salla_sync.merchant_sync_status s";
        assert!(one::<bool>(&service, counted).await, "{app_age:?}");
    }
}

/// As a merchant who removes the app, but by hand.
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_lists_connections_and_forgets_one() {
    let service = present_day(small(10)).await;
    let served = Served::start(&service, &[]).await;
    let webhook = authorized(&service, &tokens(&service), now(&service));
    assert_eq!(served.signed().send(&webhook).await.unwrap(), 200);
    until(&service, STATE, "PENDING".to_owned()).await;
    let shop = service.simulator.merchant_id().to_string();
    let list = async || {
        let output = run(program(&service, &["connections", "list", "--json"])).await;
        assert!(output.status.success());
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
    };
    let before = list().await;
    assert_eq!(before[0]["shop"]["salla_id"].to_string(), shop);
    assert_eq!(before[0]["state"], "connected");
    let forget = |shop: String| {
        run(program(
            &service,
            &["connections", "forget", "--shop", &shop],
        ))
    };
    assert_eq!(forget("4711".to_owned()).await.status.code(), Some(2));
    assert!(forget(shop).await.status.success());
    let after = list().await;
    assert_eq!(
        (&after[0]["state"], &after[0]["reason"]),
        (&"disconnected".into(), &"uninstalled".into())
    );
    assert_eq!(one::<String>(&service, STATE).await, "CANCELLED");
    let left = "SELECT count(*) FROM salla_sync.connections WHERE access_token <> ''";
    assert_eq!(one::<i64>(&service, left).await, 0);
}
