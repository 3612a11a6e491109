//! The API as services use it.

use std::collections::BTreeSet;

use reqwest::Method;
use salla_simulator::{Endpoint, InvalidRates, ShopSpec};
use serde_json::{Value, json};

use super::served::{Served, TIMEOUT, one, pause, until};
use crate::process::{present_day, program, run};
use crate::service::TestService;
use crate::truth::small;

/// A service with a shop that is connected, and a token.
struct Office {
    service: TestService,
    served: Served,
    token: String,
    merchant: i64,
}

/// What came of a request.
struct Reply {
    status: u16,
    body: Value,
    location: Option<String>,
}

pub(super) async fn token(service: &TestService, arguments: &[&str]) -> (String, String) {
    let all = [&["tokens", "create", "--json", "--name", "test"], arguments].concat();
    let output = run(program(service, &all)).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |name: &str| shown[name].as_str().unwrap().to_owned();
    (text("token"), text("id"))
}

const ALL: [&str; 8] = [
    "--scope", "read", "--scope", "operate", "--scope", "records", "--scope", "connect",
];

impl Office {
    async fn open(scenario: salla_simulator::Scenario, arguments: &[&str]) -> Self {
        let service = present_day(scenario).await;
        service.connect().await;
        let (token, _) = token(&service, &ALL).await;
        Self {
            served: Served::start(&service, arguments).await,
            merchant: service.simulator.merchant_id(),
            service,
            token,
        }
    }

    async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Reply {
        self.send_as(&self.token, method, path, body).await
    }

    async fn send_as(&self, token: &str, method: Method, path: &str, body: Option<Value>) -> Reply {
        let path = path.replace("{m}", &self.merchant.to_string());
        let mut request = self.served.http.request(method, self.served.url(&path));
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(body.to_string());
        }
        reply(request).await
    }

    async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, None).await
    }

    async fn post(&self, path: &str, body: Value) -> Reply {
        self.send(Method::POST, path, Some(body)).await
    }
}

async fn reply(request: reqwest::RequestBuilder) -> Reply {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let header = |name: &str| {
        let value = response.headers().get(name);
        value.map(|value| value.to_str().unwrap().to_owned())
    };
    let (location, content_type) = (header("location"), header("content-type"));
    let text = response.text().await.unwrap();
    let body: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
    if status >= 400 {
        assert_eq!(
            content_type.as_deref(),
            Some("application/problem+json"),
            "{text}"
        );
        assert_eq!(body["status"], status, "{text}");
        for name in ["type", "title", "code", "detail", "advice"] {
            let text = body[name].as_str().unwrap_or_default();
            assert!(!text.is_empty(), "{name} is missing from {body}");
        }
    }
    Reply {
        status,
        body,
        location,
    }
}

const SYNC: &str = "/api/v1/merchants/{m}/sync";

#[tokio::test(flavor = "multi_thread")]
async fn an_import_is_started_followed_and_extended() {
    let mut scenario = small(120);
    scenario.shop.months = 30;
    scenario.invalid = InvalidRates {
        orders: 0.05,
        ..InvalidRates::default()
    };
    let office = Office::open(scenario, &["--with-worker"]).await;
    let before = office.get(SYNC).await;
    assert_eq!((before.status, &before.body["run"]), (200, &Value::Null));
    assert_eq!(before.body["sallaId"], office.merchant);
    assert_eq!(before.body["connection"]["state"], "connected");
    assert_eq!(office.get(&format!("{SYNC}/certificate")).await.status, 404);

    let started = office.post(SYNC, json!({"syncDepthMonths": 12})).await;
    assert_eq!(started.status, 202, "{}", started.body);
    assert_eq!(started.body["outcome"], "begun");
    let status_url = started.location.unwrap();
    assert_eq!(started.body["statusUrl"], status_url);
    let state = "SELECT state FROM salla_sync.sync_runs ORDER BY number DESC LIMIT 1";
    until(&office.service, state, "COMPLETED".to_owned()).await;

    // By our own id, as the status URL has it.
    let done = office.get(&status_url).await;
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
    let orders: i64 = one(&office.service, "SELECT orders FROM salla_sync.sync_runs").await;
    assert_eq!(run["resources"]["orders"], orders);
    let certificate = office.get(&format!("{SYNC}/certificate")).await;
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
    let shop = office.service.simulator.first_shop();
    shop.insert_order(office.service.clock.now());
    let caught_up = office.start_and_finish(12, "catching_up").await;
    assert_eq!(caught_up.orders, orders.cast_unsigned() + 1);
    let newer = office.get(&format!("{SYNC}/certificate")).await;
    assert!(as_of(&newer) > as_of(&certificate));

    let details = || {
        let ledger = office.service.simulator.ledger();
        ledger.by_endpoint.get(&Endpoint::Order).copied()
    };
    let before = details().unwrap_or(0);
    let extended = office.start_and_finish(24, "extended").await;
    assert!(extended.orders > caught_up.orders);
    let requested = details().unwrap_or(0) - before;
    let older = extended.orders - caught_up.orders;
    assert!(requested <= older + 8, "{requested} for {older} orders");
    let certificate = office.get(&format!("{SYNC}/certificate")).await;
    let today = domain::instant::riyadh_date(office.service.clock.now());
    let from = domain::window::DayRange::last_months(today, 24).from;
    assert_eq!(certificate.body["range"]["from"], from.to_string());

    // A lower depth takes nothing away.
    let again = office.start_and_finish(12, "catching_up").await;
    assert_eq!((again.orders, again.months), (extended.orders, 24));
    let rows = "SELECT count(*) FROM salla.orders";
    let rows: i64 = one(&office.service, rows).await;
    assert_eq!(again.orders, rows.cast_unsigned());
}

/// What the status says of a shop whose run is over.
struct Standing {
    orders: u64,
    months: u64,
}

impl Office {
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
    let office = Office::open(small(10), &[]).await;
    assert_eq!(
        office
            .post(&format!("{SYNC}/pause"), json!({}))
            .await
            .status,
        404
    );
    let starts = (0..8).map(|_| office.post(SYNC, json!({"syncDepthMonths": 12})));
    let starts = futures::future::join_all(starts).await;
    let runs: BTreeSet<String> = starts
        .iter()
        .map(|start| start.body["runId"].to_string())
        .collect();
    assert_eq!(runs.len(), 1);
    assert!(starts.iter().all(|start| start.status == 202));
    // Another depth waits until this one is over.
    let other = office.post(SYNC, json!({"syncDepthMonths": 24})).await;
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
        let reply = office.post(&format!("{SYNC}/{command}"), json!({})).await;
        assert_eq!(reply.status, status, "{command}: {}", reply.body);
        match status {
            200 => assert_eq!(reply.body["run"]["state"], state, "{command}"),
            _ => assert_eq!(reply.body["code"], "wrong_state", "{command}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_understood_is_refused_by_name() {
    let office = Office::open(small(1), &[]).await;
    let url = office
        .served
        .url(&SYNC.replace("{m}", &office.merchant.to_string()));
    let send = |body: String, content_type: &'static str| {
        let request = office.served.http.post(&url).bearer_auth(&office.token);
        reply(request.header("content-type", content_type).body(body))
    };
    let large = format!(r#"{{"syncDepthMonths":12,"x":"{}"}}"#, "x".repeat(70_000));
    let table: [(&str, &str, u16, &str); 14] = [
        ("", "application/json", 400, "malformed_body"),
        ("{", "application/json", 400, "malformed_body"),
        ("\u{feff}متجر🌴", "application/json", 400, "malformed_body"),
        ("[]", "application/json", 422, "invalid_body"),
        ("null", "application/json", 422, "invalid_body"),
        ("{}", "application/json", 422, "invalid_body"),
        (
            r#"{"syncDepthMonths":"12"}"#,
            "application/json",
            422,
            "invalid_body",
        ),
        (
            r#"{"syncDepthMonths":12.5}"#,
            "application/json",
            422,
            "invalid_body",
        ),
        (
            r#"{"syncDepthMonths":-12}"#,
            "application/json",
            422,
            "invalid_body",
        ),
        (
            r#"{"syncDepthMonths":12,"again":true}"#,
            "application/json",
            422,
            "invalid_body",
        ),
        (
            r#"{"syncDepthMonths":13}"#,
            "application/json",
            422,
            "invalid_value",
        ),
        (
            r#"{"syncDepthMonths":18446744073709551615}"#,
            "application/json",
            422,
            "invalid_value",
        ),
        (r#"{"syncDepthMonths":12}"#, "text/plain", 415, "not_json"),
        (&large, "application/json", 413, "too_large"),
    ];
    for (body, content_type, status, code) in table {
        let reply = send(body.to_owned(), content_type).await;
        let shown: String = body.chars().take(60).collect();
        assert_eq!(reply.status, status, "{shown}: {}", reply.body);
        assert_eq!(reply.body["code"], code, "{shown}: {}", reply.body);
    }
    for named in [
        "0",
        "-1",
        "99",
        "x",
        "'; DROP TABLE x",
        "%00",
        "متجر🌴",
        "0199d0a2-7c1e-7a11-8f00-000000000001",
        "9223372036854775808",
    ] {
        let reply = office.get(&format!("/api/v1/merchants/{named}/sync")).await;
        assert_eq!(reply.status, 404, "{named}: {}", reply.body);
    }
    for query in ["limit=0", "limit=201", "cursor=x", "resource=x", "code=x"] {
        let path = format!("/api/v1/merchants/{{m}}/rejected-records?{query}");
        let reply = office.get(&path).await;
        assert_eq!(reply.status, 422, "{query}: {}", reply.body);
    }
    for query in ["limit=x", "unread=2", "cursor=x"] {
        let path = format!("/api/v1/merchants/{{m}}/notifications?{query}");
        assert_eq!(office.get(&path).await.status, 400, "{query}");
    }
    assert_eq!(office.send(Method::PATCH, SYNC, None).await.status, 405);
    let runs = "SELECT count(*) FROM salla_sync.sync_runs";
    assert_eq!(one::<i64>(&office.service, runs).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_scoped_hashed_and_end_when_they_are_revoked() {
    let office = Office::open(small(1), &[]).await;
    for token in [
        "",
        "sst_",
        "sst_0000",
        &office.token[..office.token.len() - 1],
    ] {
        let reply = office.send_as(token, Method::GET, SYNC, None).await;
        assert_eq!(
            (reply.status, &reply.body["code"]),
            (401, &"unauthorized".into())
        );
    }
    let stored = "SELECT count(*) FROM salla_sync.api_tokens
        WHERE length(hash) = 32 AND encode(hash, 'escape') NOT LIKE '%sst_%'";
    assert_eq!(one::<i64>(&office.service, stored).await, 1);

    let (reader, id) = token(&office.service, &["--scope", "read"]).await;
    let start = Some(json!({"syncDepthMonths": 12}));
    assert_eq!(
        office
            .send_as(&reader, Method::GET, SYNC, None)
            .await
            .status,
        200
    );
    let raw = "/api/v1/merchants/{m}/rejected-records?raw=true";
    for (method, path, body) in [(Method::POST, SYNC, start), (Method::GET, raw, None)] {
        let reply = office.send_as(&reader, method, path, body).await;
        assert_eq!(
            (reply.status, &reply.body["code"]),
            (403, &"scope_missing".into()),
            "{path}"
        );
    }
    let listed = run(program(&office.service, &["tokens", "list"])).await;
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.contains(&id) && !listed.contains("sst_"), "{listed}");
    let revoked = run(program(&office.service, &["tokens", "revoke", &id])).await;
    assert!(revoked.status.success());
    assert_eq!(
        office
            .send_as(&reader, Method::GET, SYNC, None)
            .await
            .status,
        401
    );
    let unknown = "0199d0a2-7c1e-7a11-8f00-000000000001";
    let revoked = run(program(&office.service, &["tokens", "revoke", unknown])).await;
    assert_eq!(revoked.status.code(), Some(2));

    let (short, _) = token(&office.service, &["--scope", "read", "--days", "1"]).await;
    assert_eq!(
        office.send_as(&short, Method::GET, SYNC, None).await.status,
        200
    );
    let expire = "UPDATE salla_sync.api_tokens SET expires_at = now() WHERE expires_at IS NOT NULL";
    sqlx::query(expire)
        .execute(office.service.open.database.pool())
        .await
        .unwrap();
    assert_eq!(
        office.send_as(&short, Method::GET, SYNC, None).await.status,
        401
    );
}

/// The end of an import of each shop is notified, and something of each was rejected.
async fn two_shops() -> (Office, i64) {
    let mut scenario = small(60);
    scenario.invalid = InvalidRates {
        orders: 0.1,
        ..InvalidRates::default()
    };
    scenario.shops.push(ShopSpec {
        name: "متجر آخر".to_owned(),
        ..scenario.shop.clone()
    });
    let office = Office::open(scenario, &["--with-worker"]).await;
    let other = office.service.simulator.shops()[1].clone();
    let mut salla = office.service.salla();
    salla.tokens.access = other.access_token().into();
    salla.tokens.refresh = Some(other.refresh_token().into());
    office.service.connect_with(&salla).await;
    for merchant in [office.merchant, other.merchant_id()] {
        let path = format!("/api/v1/merchants/{merchant}/sync");
        let started = office.post(&path, json!({"syncDepthMonths": 12})).await;
        assert_eq!(started.status, 202, "{}", started.body);
    }
    let notified = "SELECT count(*) FROM salla_sync.notifications";
    until(&office.service, notified, 2_i64).await;
    (office, other.merchant_id())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_one_shop_sees_nothing_of_another() {
    let (office, other) = two_shops().await;
    let shop = office.merchant.to_string();
    let all = [&ALL[..], &["--shop", &shop]].concat();
    let (own, _) = token(&office.service, &all).await;
    let sql = "SELECT n.id::text FROM salla_sync.notifications n
        JOIN salla_sync.merchants m ON m.id = n.merchant_id WHERE m.salla_id = ";
    let id_of = async |salla_id: i64| -> String {
        let sql = sqlx::AssertSqlSafe(format!("{sql}{salla_id}"));
        let pool = office.service.open.database.pool();
        sqlx::query_scalar(sql).fetch_one(pool).await.unwrap()
    };
    let (mine, theirs) = (id_of(office.merchant).await, id_of(other).await);

    let document = office.get("/openapi.json").await.body;
    let paths = document["paths"].as_object().unwrap().iter();
    let paths: Vec<_> = paths
        .filter(|(path, _)| path.contains("{merchant}"))
        .collect();
    assert_eq!(paths.len(), 12);
    for (path, operations) in paths {
        for method in operations.as_object().unwrap().keys() {
            let body = match path.as_str() {
                path if path.ends_with("/sync") => json!({"syncDepthMonths": 24}),
                path if path.ends_with("/read") => json!({"ids": [theirs]}),
                path if path.ends_with("/connection") => json!({"accessToken": "ory_at_x"}),
                _ => json!({}),
            };
            let method: Method = method.to_uppercase().parse().unwrap();
            let body = (method != Method::GET).then_some(body);
            let path = path.replace("{merchant}", &other.to_string());
            let reply = office.send_as(&own, method.clone(), &path, body).await;
            assert_eq!(reply.status, 404, "{method} {path}: {}", reply.body);
            assert_eq!(reply.body["code"], "unknown_merchant", "{path}");
            assert!(!reply.body.to_string().contains("متجر آخر"));
        }
    }
    // Of its own shop it sees its own, and marks no other's.
    let read = "/api/v1/merchants/{m}/notifications/read";
    let mark = |ids: Value| office.send_as(&own, Method::POST, read, Some(json!({"ids": ids})));
    let refused = mark(json!([mine, theirs])).await;
    assert_eq!(
        (refused.status, &refused.body["code"]),
        (404, &"unknown_notification".into())
    );
    let unread = "SELECT count(*) FROM salla_sync.notifications WHERE read_at IS NULL";
    assert_eq!(one::<i64>(&office.service, unread).await, 2);
    assert_eq!(mark(json!([mine])).await.status, 204);
    assert_eq!(mark(json!([mine])).await.status, 204);
    assert_eq!(one::<i64>(&office.service, unread).await, 1);
    let listed = "/api/v1/merchants/{m}/notifications";
    let listed = office.send_as(&own, Method::GET, listed, None).await.body;
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    assert_eq!(listed["items"][0]["id"], mine);
    assert_eq!(listed["items"][0]["kind"], "SYNC_COMPLETE");
    assert!(listed["items"][0]["title"]["ar"].is_string());
    assert_eq!(listed["nextCursor"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn rejected_records_come_in_pages_and_raw_only_where_it_is_asked_for() {
    let (office, _) = two_shops().await;
    let path = "/api/v1/merchants/{m}/rejected-records";
    let count = "SELECT count(*) FROM salla_sync.rejected_records r
        JOIN salla_sync.merchants m ON m.id = r.merchant_id
        WHERE resolved_at IS NULL AND m.name <> 'متجر آخر'";
    let expected: i64 = one(&office.service, count).await;
    assert!(expected >= 2, "{expected}");
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = office.get(&format!("{path}?limit=2{cursor}")).await.body;
        let items = page["items"].as_array().unwrap().clone();
        assert!(items.len() <= 2);
        seen.extend(items);
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen.len() as i64, expected);
    assert!(seen.iter().all(|record| record["raw"].is_null()));
    let raw = office.get(&format!("{path}?raw=true&limit=1")).await.body;
    assert!(!raw["items"][0]["raw"].as_str().unwrap().is_empty());
    let filtered = office.get(&format!("{path}?resource=customers")).await.body;
    assert_eq!(filtered["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_without_tokens_is_not_imported() {
    let office = Office::open(small(1), &[]).await;
    let end = "UPDATE salla_sync.connections SET state = 'DISCONNECTED',
        disconnected_why = 'refresh_refused'";
    sqlx::query(end)
        .execute(office.service.open.database.pool())
        .await
        .unwrap();
    let status = office.get(SYNC).await.body;
    assert_eq!(status["connection"]["state"], "disconnected");
    assert_eq!(status["connection"]["reason"], "refresh_refused");
    let reply = office.post(SYNC, json!({"syncDepthMonths": 12})).await;
    assert_eq!(
        (reply.status, &reply.body["code"]),
        (409, &"not_connected".into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_describes_itself_without_the_internet() {
    let office = Office::open(small(1), &[]).await;
    let (status, text) = office.served.get("/openapi.json").await;
    assert_eq!(status, 200);
    let document: Value = serde_json::from_str(&text).unwrap();
    assert!(
        document["openapi"].as_str().unwrap().starts_with("3.1."),
        "{text}"
    );
    let (status, page) = office.served.get("/docs").await;
    assert_eq!(status, 200);
    assert!(
        !page.contains("<script") && !page.contains("http://"),
        "{page}"
    );
    for (path, operations) in document["paths"].as_object().unwrap() {
        for operation in operations.as_object().unwrap().values() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(
                page.contains(&format!("id=\"{id}\"")),
                "{path} is missing from the page"
            );
            assert!(operation["summary"].is_string(), "{path}");
            assert!(operation["responses"]["401"].is_object(), "{path}");
        }
    }
    // All that is referred to is there.
    for reference in text.split("\"$ref\":\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(
            document["components"]["schemas"][name].is_object(),
            "{name}"
        );
        assert!(page.contains(&format!("id=\"type-{name}\"")), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_hands_over_the_tokens_of_its_shops() {
    let service = present_day(small(10)).await;
    let (token, _) = token(&service, &ALL).await;
    let office = Office {
        served: Served::start(&service, &[]).await,
        merchant: service.simulator.merchant_id(),
        service,
        token,
    };
    let path = "/api/v1/merchants/{m}/connection";
    let put = |path: &'static str, body: Value| office.send(Method::PUT, path, Some(body));
    let (access, refresh) = office.service.simulator.first_shop().install_again();
    let owned = json!({"accessToken": access, "refreshToken": refresh});
    let first = put(path, owned.clone()).await;
    assert_eq!(first.status, 200, "{}", first.body);
    assert_eq!(first.body["mode"], "owned");
    assert_eq!(first.body["sallaId"], office.merchant);
    assert!(first.body["runId"].is_string());
    let again = put(path, owned.clone()).await;
    assert_eq!(
        (again.status, &again.body["runId"]),
        (200, &first.body["runId"])
    );
    let stored = "SELECT count(*) FROM salla_sync.connections";
    assert_eq!(one::<i64>(&office.service, stored).await, 1);

    // Newer ones take their place, without a refresh token; the older ones do not come back.
    let (newer, _) = office.service.simulator.first_shop().install_again();
    let lent = put(path, json!({"accessToken": newer})).await;
    assert_eq!(
        (lent.status, &lent.body["mode"]),
        (200, &"lent".into()),
        "{}",
        lent.body
    );
    assert_eq!(lent.body["wasConnected"], true);
    let tagged = json!({"accessToken": newer, "tags": {"tenant": "42"}});
    assert_eq!(put(path, tagged).await.status, 200);
    let tags = "SELECT tags::text FROM salla_sync.connections WHERE is_current";
    assert_eq!(
        one::<String>(&office.service, tags).await,
        r#"{"tenant": "42"}"#
    );
    let noted =
        "SELECT string_agg(kind, ',' ORDER BY changed_at, id) FROM salla_sync.connection_changes";
    assert_eq!(
        one::<String>(&office.service, noted).await,
        "CONNECTION_CREATED,CONNECTION_REPLACED"
    );
    let old = put(path, owned).await;
    assert_eq!((old.status, &old.body["code"]), (409, &"outdated".into()));

    let wrong = put(
        "/api/v1/merchants/4711/connection",
        json!({"accessToken": newer}),
    )
    .await;
    assert_eq!(wrong.status, 409, "{}", wrong.body);
    let table = [
        (
            json!({"accessToken": "ory_at_unknown"}),
            422,
            "token_rejected",
        ),
        (json!({"accessToken": "two words"}), 422, "invalid_value"),
        (json!({"accessToken": ""}), 422, "invalid_value"),
        (
            json!({"accessToken": "x".repeat(5_000)}),
            422,
            "invalid_value",
        ),
        (json!({"refreshToken": refresh}), 422, "invalid_body"),
        (
            json!({"accessToken": "ory_at_y", "tags": {"a b": "x"}}),
            422,
            "invalid_value",
        ),
        (
            json!({"accessToken": "ory_at_y", "tags": {"a": 1}}),
            422,
            "invalid_body",
        ),
        (
            json!({"accessToken": "ory_at_y", "scope": "orders.read_write"}),
            422,
            "scopes_refused",
        ),
    ];
    for (body, status, code) in table {
        let reply = put(path, body.clone()).await;
        assert_eq!(
            (reply.status, &reply.body["code"]),
            (status, &code.into()),
            "{body}"
        );
        assert!(!reply.body.to_string().contains("ory_"), "{}", reply.body);
    }
    assert!(
        !office.served.said().contains("ory_"),
        "{}",
        office.served.said()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_is_sent_as_it_changes_until_the_import_is_over() {
    let office = Office::open(small(300), &["--with-worker"]).await;
    let started = office.post(SYNC, json!({"syncDepthMonths": 12})).await;
    assert_eq!(started.status, 202);
    let path = format!("{SYNC}/events").replace("{m}", &office.merchant.to_string());
    let request = office.served.http.get(office.served.url(&path));
    let response = request.bearer_auth(&office.token).send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    // The stream ends by itself.
    let stream = tokio::time::timeout(super::served::TIMEOUT, response.text());
    let text = stream.await.unwrap().unwrap();
    let states: Vec<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str::<Value>(data).unwrap())
        .map(|status| status["run"]["state"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(states.last().unwrap(), "COMPLETED", "{states:?}");
    assert!(text.starts_with("event: status\n"), "{text}");
    let refused = office.send_as("", Method::GET, &path, None).await;
    assert_eq!(refused.status, 401);
}
