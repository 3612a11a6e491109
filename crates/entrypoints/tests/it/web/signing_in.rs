//! Merchants who sign in, inside Salla's dashboard and by consent, and those who pretend to.

use reqwest::Method;
use reqwest::header::HeaderMap;
use salla_simulator::{Endpoint, Fault};
use serde_json::{Value, json};

use super::served::{Browser, PUBLIC_URL, Served, one, until};
use crate::process::{present_day, program, run};
use crate::service::TestService;
use crate::truth::small;

const APP: &str = "1234567890";
const SESSIONS: &str = "SELECT count(*) FROM salla_sync.sessions";
const CHANGE: &str = "UPDATE salla_sync.sessions SET ";

pub(super) async fn open(arguments: &[&str]) -> (TestService, Served) {
    let service = present_day(small(30)).await;
    let introspect = service.simulator.introspect_url();
    let settings = [
        ("SALLA_APP_ID", APP),
        ("SALLA_INTROSPECT_URL", introspect.as_str()),
        (
            "SALLA_SYNC_FRAME_ANCESTORS",
            "https://s.salla.sa http://localhost:4000",
        ),
    ];
    let served = Served::start_with(&service, arguments, &settings).await;
    (service, served)
}

/// What came of a request.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Value,
}

impl Reply {
    fn code(&self) -> (u16, &str) {
        (self.status, self.body["code"].as_str().unwrap_or_default())
    }

    /// The session that the browser is given, as it gives it back.
    pub(super) fn cookie(&self) -> Option<String> {
        let values = self.headers.get_all("set-cookie").iter();
        let mut values = values.map(|value| value.to_str().unwrap());
        let set = values.find(|value| value.starts_with("salla-sync-session="))?;
        for part in ["HttpOnly", "SameSite=Lax", "Path=/"] {
            assert!(set.contains(part), "{set}");
        }
        Some(set.split(';').next().unwrap().to_owned())
    }
}

pub(super) async fn send(
    served: &Served,
    method: Method,
    path: &str,
    headers: &[(&'static str, &str)],
    body: Option<Value>,
) -> Reply {
    let mut request = served.http.request(method, served.url(path));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    if let Some(body) = body {
        request = request
            .header("content-type", "application/json")
            .body(body.to_string());
    }
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let text = response.text().await.unwrap();
    Reply {
        status,
        headers,
        body: serde_json::from_str(&text).unwrap_or_default(),
    }
}

pub(super) async fn exchange(served: &Served, token: &str) -> Reply {
    let body = json!({ "token": token });
    send(served, Method::POST, "/api/v1/sessions", &[], Some(body)).await
}

/// A GET with a bearer.
pub(super) async fn get(served: &Served, session: &str, path: &str) -> Reply {
    let bearer = format!("Bearer {session}");
    send(
        served,
        Method::GET,
        path,
        &[("authorization", &bearer)],
        None,
    )
    .await
}

async fn change(service: &TestService, what: &'static str) {
    let pool = service.open.database.pool();
    sqlx::query(sqlx::AssertSqlSafe(format!("{CHANGE}{what}")))
        .execute(pool)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn only_whom_salla_vouches_for_is_let_into_the_frame() {
    let (service, served) = open(&[]).await;
    let shop = service.simulator.first_shop();
    let fault = |fault| service.simulator.queue_fault(Endpoint::Introspect, fault);
    for (token, expected) in [
        ("em_tok_unknown".to_owned(), 401),
        (shop.dashboard_token_of("99", 300), 401),
        (shop.dashboard_token_of(APP, -1), 401),
        (shop.access_token().to_owned(), 401),
        (String::new(), 422),
        ("em tok".to_owned(), 422),
        ("x".repeat(5_000), 422),
    ] {
        let reply = exchange(&served, &token).await;
        assert_eq!(reply.status, expected, "{token}: {}", reply.body);
    }
    service
        .simulator
        .set(|scenario| scenario.embedded.refusal_status = 422);
    let refused = exchange(&served, "em_tok_unknown").await;
    assert_eq!(refused.code(), (401, "dashboard_token_refused"));
    for trouble in [
        Fault::Status(500),
        Fault::EmptyStatus(503),
        Fault::Throttle,
        Fault::Reset,
        Fault::LostAnswer,
    ] {
        fault(trouble);
        let reply = exchange(&served, &shop.dashboard_token()).await;
        assert_eq!(reply.code(), (502, "salla_away"), "{trouble:?}");
    }
    for trouble in [
        Fault::EmptyStatus(403),
        Fault::TextStatus(404),
        Fault::DoneHtml(200),
    ] {
        fault(trouble);
        let reply = exchange(&served, &shop.dashboard_token()).await;
        assert_eq!(
            reply.code(),
            (401, "dashboard_token_refused"),
            "{trouble:?}"
        );
    }
    assert_eq!(one::<i64>(&service, SESSIONS).await, 0);

    let framed = send(
        &served,
        Method::GET,
        "/embedded?token=em_tok_x&lang=en",
        &[],
        None,
    )
    .await;
    let policy = framed.headers["content-security-policy"].to_str().unwrap();
    assert!(
        policy.ends_with("frame-ancestors https://s.salla.sa http://localhost:4000"),
        "{policy}"
    );
    assert!(!policy.contains("unsafe"), "{policy}");
    assert!(!framed.headers.contains_key("x-frame-options"));
    for path in [
        "/app",
        "/docs",
        "/oauth/callback",
        "/api/v1/session",
        "/assets/app.js",
        "/x",
    ] {
        let reply = send(&served, Method::GET, path, &[], None).await;
        let policy = reply.headers["content-security-policy"].to_str().unwrap();
        assert!(
            policy.contains("frame-ancestors 'none'"),
            "{path}: {policy}"
        );
        assert_eq!(reply.headers["x-frame-options"], "DENY", "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merchant_signs_in_before_the_tokens_come_and_sees_the_own_shop_alone() {
    let (service, served) = open(&["--with-worker"]).await;
    let shop = service.simulator.first_shop();
    let other = service
        .simulator
        .add_shop(salla_simulator::ShopSpec::default());
    let opened = exchange(&served, &shop.dashboard_token()).await;
    assert_eq!(opened.status, 201, "{}", opened.body);
    assert_eq!(opened.body["sallaId"], shop.merchant_id());
    let session = opened.body["session"].as_str().unwrap();
    let sync = format!("/api/v1/merchants/{}/sync", shop.merchant_id());
    // A shop without an account is not open to all.
    assert_eq!(
        get(&served, session, &sync).await.code(),
        (404, "unknown_merchant")
    );
    let others = exchange(&served, &other.dashboard_token()).await;
    let others = others.body["session"].as_str().unwrap();

    let (access, refresh) = shop.install_again();
    let now = service.simulator.clock().now();
    let webhook = shop.authorized((&access, &refresh), now);
    assert_eq!(served.signed().send(&webhook).await.unwrap(), 200);
    let state = "SELECT state FROM salla_sync.sync_runs ORDER BY number DESC LIMIT 1";
    until(&service, state, "COMPLETED".to_owned()).await;
    let status = get(&served, session, &sync).await;
    assert_eq!(
        (status.status, &status.body["run"]["percent"]),
        (200, &json!(100))
    );
    let who = get(&served, session, "/api/v1/session").await;
    assert_eq!(who.body["merchantId"], status.body["merchantId"]);
    for path in [
        "sync",
        "sync/certificate",
        "rejected-records",
        "notifications",
    ] {
        let path = format!("/api/v1/merchants/{}/{path}", shop.merchant_id());
        assert_eq!(
            get(&served, others, &path).await.code(),
            (404, "unknown_merchant"),
            "{path}"
        );
    }

    let bearer = format!("Bearer {session}");
    let headers = [("authorization", bearer.as_str())];
    let body = Some(json!({"syncDepthMonths": 24}));
    let started = send(&served, Method::POST, &sync, &headers, body).await;
    assert_eq!(
        (started.status, &started.body["outcome"]),
        (202, &"extended".into())
    );
    let hand_over = sync.replace("/sync", "/connection");
    let tokens = Some(json!({"accessToken": "x"}));
    let refused = send(&served, Method::PUT, &hand_over, &headers, tokens).await;
    assert_eq!(refused.code(), (403, "scope_missing"));

    // A bearer is no cookie, and what has expired or was revoked is nothing.
    let cookie = format!("salla-sync-session={session}");
    let carried = send(&served, Method::GET, &sync, &[("cookie", &cookie)], None).await;
    assert_eq!(carried.status, 401);
    change(&service, "expires_at = now() WHERE salla_id <> 0").await;
    assert_eq!(get(&served, session, &sync).await.status, 401);
    let again = exchange(&served, &shop.dashboard_token()).await;
    let session = again.body["session"].as_str().unwrap();
    assert_eq!(get(&served, session, &sync).await.status, 200);
    let number = shop.merchant_id().to_string();
    let revoked = run(program(
        &service,
        &["sessions", "revoke", "--shop", &number],
    ))
    .await;
    assert!(revoked.status.success());
    assert_eq!(get(&served, session, &sync).await.status, 401);

    let again = exchange(&served, &shop.dashboard_token()).await;
    let session = again.body["session"].as_str().unwrap();
    shop.uninstall();
    let gone = shop.app_event("app.uninstalled", service.simulator.clock().now());
    assert_eq!(served.signed().send(&gone).await.unwrap(), 200);
    assert_eq!(get(&served, session, &sync).await.status, 401);

    let log = run(program(
        &service,
        &["audit", "list", "--json", "--shop", &number],
    ))
    .await;
    let log: Value = serde_json::from_slice(&log.stdout).unwrap();
    let log = log.as_array().unwrap().iter();
    let actions: Vec<&str> = log.map(|entry| entry["action"].as_str().unwrap()).collect();
    for action in [
        "session_opened",
        "sessions_revoked",
        "shop_connected",
        "shop_uninstalled",
    ] {
        assert!(
            actions.contains(&action),
            "{action} is missing from {actions:?}"
        );
    }
    let (_, said) = served.stop().await;
    for secret in ["em_tok", "sss_", "ory_"] {
        assert!(!said.contains(secret), "{secret} was logged: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consent_signs_the_browser_in_with_a_cookie_that_only_own_pages_use() {
    let (service, served) = open(&[]).await;
    let mut browser = Browser::new(&served);
    let salla = browser.begin().await;
    let back = browser.decide(&salla, "approve").await;
    let connect = browser.cookie.clone().unwrap();
    let come_back = [("cookie", connect.as_str())];
    let page = send(&served, Method::GET, &back, &come_back, None).await;
    let first = page.cookie().unwrap();
    let cookie = first.as_str();
    let sync = format!("/api/v1/merchants/{}/sync", service.simulator.merchant_id());
    let look = |cookie: String| {
        let (served, sync) = (&served, &sync);
        async move { send(served, Method::GET, sync, &[("cookie", &cookie)], None).await }
    };
    let seen = look(first.clone()).await;
    assert_eq!((seen.status, seen.cookie()), (200, None));

    let start = Some(json!({"syncDepthMonths": 12}));
    let cross: &[&[(&'static str, &str)]] = &[
        &[],
        &[("origin", "https://evil.example")],
        &[("origin", "null")],
        &[("origin", PUBLIC_URL), ("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
    ];
    for headers in cross {
        let headers = [&[("cookie", cookie)], *headers].concat();
        let reply = send(&served, Method::POST, &sync, &headers, start.clone()).await;
        assert_eq!(reply.code(), (403, "wrong_origin"), "{headers:?}");
    }
    for headers in [("origin", PUBLIC_URL), ("sec-fetch-site", "same-origin")] {
        let headers = [("cookie", cookie), headers];
        let reply = send(&served, Method::POST, &sync, &headers, start.clone()).await;
        assert_eq!(reply.status, 202, "{headers:?}: {}", reply.body);
    }

    // The secret is replaced while it is used; the former one counts for a minute.
    change(&service, "rotated_at = now() - interval '16 minutes'").await;
    let rotated = look(first.clone()).await;
    let second = rotated.cookie().unwrap();
    assert_ne!(second, first);
    assert_eq!(look(first.clone()).await.status, 200);
    assert_eq!(look(second.clone()).await.status, 200);
    // After that another client has it, and the session ends for both.
    change(&service, "rotated_at = now() - interval '2 minutes'").await;
    let copied = look(first.clone()).await;
    assert_eq!(
        (copied.status, copied.cookie().as_deref()),
        (401, Some("salla-sync-session="))
    );
    assert_eq!(look(second.clone()).await.status, 401);
    let copied = "SELECT count(*) FROM salla_sync.audit_log WHERE action = 'session_copied'";
    assert_eq!(one::<i64>(&service, copied).await, 1);

    // The same page once more, and out again.
    let page = send(&served, Method::GET, &back, &come_back, None).await;
    let third = page.cookie().unwrap();
    let headers = [("cookie", third.as_str()), ("origin", PUBLIC_URL)];
    let out = send(&served, Method::DELETE, "/api/v1/session", &headers, None).await;
    assert_eq!(
        (out.status, out.cookie().as_deref()),
        (204, Some("salla-sync-session="))
    );
    assert_eq!(look(third).await.status, 401);
    let plain = "SELECT count(*) FROM salla_sync.sessions
        WHERE encode(hash, 'escape') LIKE 'sss_%' OR length(hash) <> 32";
    assert_eq!(one::<i64>(&service, plain).await, 0);
}

/// With a bearer inside the dashboard and with a cookie on own pages, as a service does.
#[tokio::test(flavor = "multi_thread")]
async fn a_merchant_reads_and_changes_whom_e_mails_about_the_own_shop_reach() {
    let (service, served) = open(&[]).await;
    let shop = service.simulator.first_shop();
    let other = service
        .simulator
        .add_shop(salla_simulator::ShopSpec::default());
    let mut browser = Browser::new(&served);
    let salla = browser.begin().await;
    let back = browser.decide(&salla, "approve").await;
    let connect = browser.cookie.clone().unwrap();
    let page = send(
        &served,
        Method::GET,
        &back,
        &[("cookie", connect.as_str())],
        None,
    )
    .await;
    let cookie = page.cookie().unwrap();
    let contact = format!("/api/v1/merchants/{}/contact", shop.merchant_id());
    let opened = exchange(&served, &shop.dashboard_token()).await;
    let bearer = format!("Bearer {}", opened.body["session"].as_str().unwrap());
    let by_bearer: &[(&'static str, &str)] = &[("authorization", &bearer)];
    let change = Some(json!({"email": "متجر 🌴", "language": "en"}));
    let refused = send(&served, Method::PUT, &contact, by_bearer, change).await;
    assert_eq!(refused.code(), (422, "invalid_value"));
    let change = Some(json!({"email": "owner@example.com", "language": "en"}));
    let changed = send(&served, Method::PUT, &contact, by_bearer, change).await;
    assert_eq!(changed.status, 200, "{}", changed.body);

    let by_cookie = [("cookie", cookie.as_str())];
    let seen = send(&served, Method::GET, &contact, &by_cookie, None).await;
    assert_eq!(
        (&seen.body["email"], &seen.body["language"]),
        (&"owner@example.com".into(), &"en".into())
    );
    let off = Some(json!({"wantsEmail": false}));
    let cross = send(&served, Method::PUT, &contact, &by_cookie, off.clone()).await;
    assert_eq!(cross.code(), (403, "wrong_origin"));
    let own = [("cookie", cookie.as_str()), ("origin", PUBLIC_URL)];
    let changed = send(&served, Method::PUT, &contact, &own, off).await;
    assert_eq!(
        (changed.status, &changed.body["wantsEmail"]),
        (200, &json!(false))
    );

    let others = exchange(&served, &other.dashboard_token()).await;
    let others = format!("Bearer {}", others.body["session"].as_str().unwrap());
    let others = [("authorization", others.as_str())];
    for (method, body) in [
        (Method::GET, None),
        (Method::PUT, Some(json!({"email": null}))),
    ] {
        let refused = send(&served, method, &contact, &others, body).await;
        assert_eq!(refused.code(), (404, "unknown_merchant"));
    }
    let audited = "SELECT string_agg(split_part(actor, ' ', 1) || ': ' || detail, '; '
                                     ORDER BY happened_at)
        FROM salla_sync.audit_log
        WHERE action = 'contact_changed' AND salla_id IS NOT NULL AND address IS NOT NULL";
    assert_eq!(
        one::<String>(&service, audited).await,
        "session: address, language; session: whether e-mails are wanted"
    );
}
