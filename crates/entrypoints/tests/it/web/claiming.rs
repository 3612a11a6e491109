//! Which of the app's accounts a shop belongs to: three ways, in any order, and no way from one
//! account to another.

use reqwest::Method;
use salla_simulator::Disorder;
use serde_json::{Value, json};

use super::api::token;
use super::served::{Browser, PUBLIC_URL, Served, one, until};
use super::signing_in::{exchange, get, open, send};
use crate::service::TestService;

const SETTLED: &str = "SELECT count(*) FROM salla_sync.arrivals WHERE settled_at IS NOT NULL";
const ACCOUNT: &str = "SELECT coalesce(account, '-') FROM salla_sync.shop_claims";
const RUNS: &str = "SELECT count(*) FROM salla_sync.sync_runs WHERE is_job";
const MONTHS: &str = "SELECT months::bigint FROM salla_sync.sync_runs
    ORDER BY number DESC LIMIT 1";

/// The app's own backend.
struct Backend<'a> {
    served: &'a Served,
    token: String,
}

impl Backend<'_> {
    async fn new<'a>(service: &TestService, served: &'a Served) -> Backend<'a> {
        let (token, _) = token(service, &["--scope", "connect"]).await;
        Backend { served, token }
    }

    async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        let bearer = format!("Bearer {}", self.token);
        let headers = [("authorization", bearer.as_str())];
        let reply = send(self.served, Method::POST, path, &headers, Some(body)).await;
        (reply.status, reply.body)
    }

    async fn shops(&self, account: &str) -> (u16, Value) {
        let path = format!("/api/v1/accounts/{account}");
        let reply = get(self.served, &self.token, &path).await;
        (reply.status, reply.body["shops"].clone())
    }

    async fn code(&self, account: &str) -> String {
        let (status, body) = self
            .post("/api/v1/codes", json!({ "account": account }))
            .await;
        assert_eq!(status, 201, "{body}");
        body["code"].as_str().unwrap().to_owned()
    }
}

/// Salla delivers tokens.
async fn authorize(service: &TestService, served: &Served) {
    let shop = service.simulator.first_shop();
    let (access, refresh) = shop.install_again();
    let now = service.simulator.clock().now();
    let webhook = shop.authorized((&access, &refresh), now);
    assert_eq!(served.signed().send(&webhook).await.unwrap(), 200);
}

/// Salla delivers what the merchant has typed.
async fn settings(service: &TestService, served: &Served, settings: Value) {
    let now = service.simulator.clock().now();
    let webhook = service
        .simulator
        .first_shop()
        .settings_updated(now, settings);
    assert_eq!(served.signed().send(&webhook).await.unwrap(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_wait_until_the_merchant_shows_up_or_are_forgotten() {
    let (service, served) = open(&["--claimed-only"]).await;
    authorize(&service, &served).await;
    // A second shop, whose merchant comes: the first one's tokens have been looked at by then.
    let other = service
        .simulator
        .add_shop(salla_simulator::ShopSpec::default());
    let (access, refresh) = (other.access_token(), other.refresh_token());
    let now = service.simulator.clock().now();
    let webhook = other.authorized((access, refresh), now);
    assert_eq!(served.signed().send(&webhook).await.unwrap(), 200);
    let opened = exchange(&served, &other.dashboard_token()).await;
    assert_eq!(
        (opened.status, &opened.body["wantsCode"]),
        (201, &json!(true))
    );
    until(&service, SETTLED, 1_i64).await;
    assert_eq!(one::<i64>(&service, RUNS).await, 1);
    assert_eq!(one::<String>(&service, ACCOUNT).await, "-");

    // Seven days later.
    let pool = service.open.database.pool();
    let age = "UPDATE salla_sync.arrivals SET received_at = received_at - interval '169 hours'";
    sqlx::query(age).execute(pool).await.unwrap();
    drop(served);
    let served = Served::start(&service, &["--claimed-only"]).await;
    until(&service, SETTLED, 2_i64).await;
    let kept = "SELECT count(*) FROM salla_sync.connections
        WHERE merchant_id IS NULL AND (access_token <> '' OR refresh_token IS NOT NULL)";
    assert_eq!(one::<i64>(&service, kept).await, 0);
    assert_eq!(one::<i64>(&service, RUNS).await, 1);
    let (_, said) = served.stop().await;
    assert!(said.contains("tokens_forgotten"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_in_the_settings_claims_a_shop_before_or_after_its_tokens() {
    for code_first in [true, false] {
        let (service, served) = open(&["--claimed-only"]).await;
        let backend = Backend::new(&service, &served).await;
        let code = backend.code("tenant-42").await;
        let typed = code.to_lowercase().replace('-', " ");
        let data = json!({"connect_code": typed, "syncDepthMonths": "24"});
        if code_first {
            let fields = json!([{"slug": "connect-code", "value": typed},
                {"slug": "sync-depth-months", "value": 24}]);
            let now = service.simulator.clock().now();
            let shop = service.simulator.first_shop();
            let step = shop.onboarding_step("connect-shop", now, fields);
            assert_eq!(served.signed().send(&step).await.unwrap(), 200);
            authorize(&service, &served).await;
        } else {
            authorize(&service, &served).await;
            settings(&service, &served, data.clone()).await;
        }
        until(&service, RUNS, 1_i64).await;
        assert_eq!(one::<String>(&service, ACCOUNT).await, "tenant-42");
        assert_eq!(one::<i64>(&service, MONTHS).await, 24);
        let (status, shops) = backend.shops("tenant-42").await;
        assert_eq!(
            (status, &shops[0]["sallaId"]),
            (200, &json!(service.simulator.merchant_id()))
        );
        assert_eq!(backend.shops("tenant-99").await.0, 404);
        // Salla sends all settings again with every change.
        settings(&service, &served, data).await;
        assert_eq!(one::<i64>(&service, RUNS).await, 1);
        let plain = "SELECT count(*) FROM salla_sync.claim_codes WHERE length(hmac) <> 32";
        assert_eq!(one::<i64>(&service, plain).await, 0);

        // Another account's code moves nothing, and stays good for another shop.
        let shop = service.simulator.first_shop();
        let thiefs = backend.code("tenant-99").await;
        settings(&service, &served, json!({ "connect_code": thiefs })).await;
        assert_eq!(one::<String>(&service, ACCOUNT).await, "tenant-42");
        let other = service
            .simulator
            .add_shop(salla_simulator::ShopSpec::default());
        let session = exchange(&served, &other.dashboard_token()).await;
        let bearer = format!("Bearer {}", session.body["session"].as_str().unwrap());
        let headers = [("authorization", bearer.as_str())];
        let claim = async |code: &str| {
            let body = Some(json!({ "code": code }));
            let path = "/api/v1/session/claim";
            let reply = send(&served, Method::POST, path, &headers, body).await;
            (
                reply.status,
                reply.body["code"].as_str().unwrap_or_default().to_owned(),
            )
        };
        assert_eq!(claim(&code).await, (409, "spent_code".to_owned()));
        assert_eq!(
            claim("0000-0000-0000-0000").await,
            (404, "unknown_code".to_owned())
        );
        assert_eq!(claim(&thiefs).await.0, 204);
        assert_eq!(claim(&thiefs).await.0, 204);
        let late = backend.code("tenant-99").await;
        let age = "UPDATE salla_sync.claim_codes SET expires_at = now() WHERE used_at IS NULL";
        let pool = service.open.database.pool();
        sqlx::query(age).execute(pool).await.unwrap();
        assert_eq!(claim(&late).await, (410, "expired_code".to_owned()));
        let more = backend.code("tenant-1").await;
        assert_eq!(claim(&more).await, (409, "other_account".to_owned()));
        for _ in 0..4 {
            claim("wrong").await;
        }
        assert_eq!(claim(&more).await, (429, "too_many_requests".to_owned()));

        let session = exchange(&served, &shop.dashboard_token()).await;
        assert_eq!(session.body["account"], "tenant-42");
        let sync = format!("/api/v1/merchants/{}/sync", shop.merchant_id());
        let status = get(&served, session.body["session"].as_str().unwrap(), &sync).await;
        assert_eq!(status.body["account"], "tenant-42");
        let (_, said) = served.stop().await;
        assert!(!said.contains(&code) && !said.contains(&typed), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_connects_a_shop_to_its_account_once_and_opens_its_page() {
    let (service, served) = open(&["--claimed-only"]).await;
    let backend = Backend::new(&service, &served).await;
    let link = async |body: Value| {
        let (status, body) = backend.post("/api/v1/page-links", body).await;
        assert_eq!(status, 201, "{body}");
        let url = body["url"].as_str().unwrap();
        url.strip_prefix(PUBLIC_URL).unwrap().to_owned()
    };
    let press = async |path: &str, origin: &str| {
        let headers = [("origin", origin)];
        send(&served, Method::POST, path, &headers, None).await
    };
    let path = link(json!({"account": "tenant-42", "syncDepthMonths": 24})).await;
    // Mail programs look at it; other sites press nothing.
    for _ in 0..2 {
        assert_eq!(served.get(&path).await.0, 200);
    }
    assert_eq!(press(&path, "https://evil.example").await.status, 403);
    let begun = press(&path, PUBLIC_URL).await;
    assert_eq!(begun.status, 200);
    assert_eq!(press(&path, PUBLIC_URL).await.status, 410);
    assert_eq!(served.get(&path).await.0, 410);
    let header = |name: &str| begun.headers[name].to_str().unwrap().to_owned();
    let mut browser = Browser::new(&served);
    browser.cookie = header("set-cookie").split(';').next().map(str::to_owned);
    let back = browser
        .decide(header("refresh").trim_start_matches("0; url="), "approve")
        .await;
    let (status, html) = browser.come_back(&back).await;
    assert_eq!(status, 200, "{html}");
    assert_eq!(one::<String>(&service, ACCOUNT).await, "tenant-42");
    assert_eq!(one::<i64>(&service, MONTHS).await, 24);

    // Another account's link does not connect the shop to that account.
    let path = link(json!({"account": "tenant-99"})).await;
    let begun = press(&path, PUBLIC_URL).await;
    let header = |name: &str| begun.headers[name].to_str().unwrap().to_owned();
    browser.cookie = header("set-cookie").split(';').next().map(str::to_owned);
    let back = browser
        .decide(header("refresh").trim_start_matches("0; url="), "approve")
        .await;
    let (status, html) = browser.come_back(&back).await;
    assert_eq!(status, 409);
    assert!(
        html.contains("Your shop belongs to another account"),
        "{html}"
    );
    assert_eq!(one::<String>(&service, ACCOUNT).await, "tenant-42");

    // To the page of a shop.
    let merchant = service.simulator.merchant_id().to_string();
    let path = link(json!({ "merchant": merchant })).await;
    let opened = press(&path, PUBLIC_URL).await;
    assert_eq!(
        (opened.status, opened.headers["location"].to_str().unwrap()),
        (303, "/app")
    );
    let cookie = opened.cookie().unwrap();
    let headers = [("cookie", cookie.as_str())];
    let who = send(&served, Method::GET, "/api/v1/session", &headers, None).await;
    assert_eq!(who.body["account"], "tenant-42");
    for body in [
        json!({}),
        json!({"account": "a", "merchant": "1"}),
        json!({"account": " "}),
        json!({"account": "x".repeat(201)}),
        json!({"account": "a", "syncDepthMonths": 13}),
    ] {
        let (status, reply) = backend.post("/api/v1/page-links", body.clone()).await;
        assert_eq!(status, 422, "{body}: {reply}");
    }
    let (status, _) = backend
        .post("/api/v1/page-links", json!({"merchant": "4711"}))
        .await;
    assert_eq!(status, 404);
}

/// Deliveries that are lost come no more; all others connect each shop to its account, once.
#[tokio::test(flavor = "multi_thread")]
async fn an_install_in_any_order_connects_its_shop_once() {
    let (service, served) = open(&["--claimed-only"]).await;
    let backend = Backend::new(&service, &served).await;
    let mut stories = Vec::new();
    for seed in 0..4_u64 {
        let shop = service
            .simulator
            .add_shop(salla_simulator::ShopSpec::default());
        let code = backend.code(&format!("tenant-{seed}")).await;
        let now = service.simulator.clock().now();
        let story = shop.install_story(now, json!({"connect_code": code, "other": "1"}));
        let disorder = Disorder {
            seed,
            shuffled: true,
            doubled: 5,
            lost: 0,
        };
        stories.push((story, disorder));
    }
    let target = served.signed();
    let delivering = stories
        .iter()
        .map(|(story, disorder)| target.deliver(story, *disorder));
    for delivery in futures::future::join_all(delivering)
        .await
        .into_iter()
        .flatten()
    {
        assert_eq!(delivery.statuses, [200], "{}", delivery.event);
    }
    until(&service, RUNS, 4_i64).await;
    until(&service, SETTLED, 4_i64).await;
    let accounts = "SELECT string_agg(account, ' ' ORDER BY account) FROM salla_sync.merchants
        JOIN salla_sync.shop_claims USING (salla_id)";
    let expected = "tenant-0 tenant-1 tenant-2 tenant-3";
    assert_eq!(one::<String>(&service, accounts).await, expected);
    assert_eq!(one::<i64>(&service, RUNS).await, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_are_handed_over_connect_only_claimed_shops_where_that_is_wanted() {
    let (service, served) = open(&["--claimed-only"]).await;
    let shop = service.simulator.first_shop();
    let backend = Backend::new(&service, &served).await;
    let (access, refresh) = shop.install_again();
    let path = format!("/api/v1/merchants/{}/connection", shop.merchant_id());
    let hand_over = async || {
        let bearer = format!("Bearer {}", backend.token);
        let headers = [("authorization", bearer.as_str())];
        let tokens = json!({ "accessToken": access, "refreshToken": refresh });
        let reply = send(&served, Method::PUT, &path, &headers, Some(tokens)).await;
        (reply.status, reply.body)
    };
    let (status, body) = hand_over().await;
    assert_eq!(
        (status, &body["code"]),
        (409, &"unclaimed".into()),
        "{body}"
    );
    let stored = "SELECT count(*) FROM salla_sync.connections";
    assert_eq!(one::<i64>(&service, stored).await, 0);
    assert_eq!(one::<i64>(&service, RUNS).await, 0);

    let code = backend.code("tenant-42").await;
    settings(&service, &served, json!({ "connect_code": code })).await;
    until(&service, ACCOUNT, "tenant-42".to_owned()).await;
    let (status, body) = hand_over().await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(one::<i64>(&service, RUNS).await, 1);
    let codes = "SELECT count(*) FROM salla_sync.audit_log WHERE action = 'code_created'";
    assert_eq!(one::<i64>(&service, codes).await, 1);
}
