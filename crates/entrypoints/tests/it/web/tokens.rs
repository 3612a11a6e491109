//! Who may see and do what over the API.

use reqwest::Method;
use salla_simulator::{InvalidRates, ShopSpec};
use serde_json::{Value, json};

use super::api::{ALL, ApiFixture, SYNC, token};
use super::served::{Served, one, until};
use crate::process::{present_day, program, run};
use crate::truth::small;

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_scoped_hashed_and_end_when_they_are_revoked() {
    let api = ApiFixture::open(small(1), &[]).await;
    for token in ["", "sst_", "sst_0000", &api.token[..api.token.len() - 1]] {
        let reply = api.send_as(token, Method::GET, SYNC, None).await;
        assert_eq!(
            (reply.status, &reply.body["code"]),
            (401, &"unauthorized".into())
        );
    }
    let stored = "SELECT count(*) FROM salla_sync.api_tokens
        WHERE length(hash) = 32 AND encode(hash, 'escape') NOT LIKE '%sst_%'";
    assert_eq!(one::<i64>(&api.service, stored).await, 1);

    let (reader, id) = token(&api.service, &["--scope", "read"]).await;
    let start = Some(json!({"syncDepthMonths": 12}));
    assert_eq!(
        api.send_as(&reader, Method::GET, SYNC, None).await.status,
        200
    );
    let raw = "/api/v1/merchants/{m}/rejected-records?raw=true";
    for (method, path, body) in [(Method::POST, SYNC, start), (Method::GET, raw, None)] {
        let reply = api.send_as(&reader, method, path, body).await;
        assert_eq!(
            (reply.status, &reply.body["code"]),
            (403, &"scope_missing".into()),
            "{path}"
        );
    }
    let listed = run(program(&api.service, &["tokens", "list"])).await;
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.contains(&id) && !listed.contains("sst_"), "{listed}");
    let revoked = run(program(&api.service, &["tokens", "revoke", &id])).await;
    assert!(revoked.status.success());
    assert_eq!(
        api.send_as(&reader, Method::GET, SYNC, None).await.status,
        401
    );
    let unknown = "0199d0a2-7c1e-7a11-8f00-000000000001";
    let revoked = run(program(&api.service, &["tokens", "revoke", unknown])).await;
    assert_eq!(revoked.status.code(), Some(2));

    let (short, _) = token(&api.service, &["--scope", "read", "--days", "1"]).await;
    assert_eq!(
        api.send_as(&short, Method::GET, SYNC, None).await.status,
        200
    );
    let expire = "UPDATE salla_sync.api_tokens SET expires_at = now() WHERE expires_at IS NOT NULL";
    sqlx::query(expire)
        .execute(api.service.open.database.pool())
        .await
        .unwrap();
    assert_eq!(
        api.send_as(&short, Method::GET, SYNC, None).await.status,
        401
    );
}

/// The end of an import of each shop is notified, and something of each was rejected.
async fn two_shops() -> (ApiFixture, i64) {
    let mut scenario = small(60);
    scenario.invalid = InvalidRates {
        orders: 0.1,
        ..InvalidRates::default()
    };
    scenario.shops.push(ShopSpec {
        name: "متجر آخر".to_owned(),
        ..scenario.shop.clone()
    });
    let api = ApiFixture::open(scenario, &["--with-worker"]).await;
    let other = api.service.simulator.shops()[1].clone();
    let mut salla = api.service.salla();
    salla.tokens.access = other.access_token().into();
    salla.tokens.refresh = Some(other.refresh_token().into());
    api.service.connect_with(&salla).await;
    for merchant in [api.merchant, other.merchant_id()] {
        let path = format!("/api/v1/merchants/{merchant}/sync");
        let started = api.post(&path, json!({"syncDepthMonths": 12})).await;
        assert_eq!(started.status, 202, "{}", started.body);
    }
    let notified = "SELECT count(*) FROM salla_sync.notifications";
    until(&api.service, notified, 2_i64).await;
    (api, other.merchant_id())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_one_shop_sees_nothing_of_another() {
    let (api, other) = two_shops().await;
    let shop = api.merchant.to_string();
    let all = [&ALL[..], &["--shop", &shop]].concat();
    let (own, _) = token(&api.service, &all).await;
    let sql = "SELECT n.id::text FROM salla_sync.notifications n
        JOIN salla_sync.merchants m ON m.id = n.merchant_id WHERE m.salla_id = ";
    let id_of = async |salla_id: i64| -> String {
        let sql = sqlx::AssertSqlSafe(format!("{sql}{salla_id}"));
        let pool = api.service.open.database.pool();
        sqlx::query_scalar(sql).fetch_one(pool).await.unwrap()
    };
    let (mine, theirs) = (id_of(api.merchant).await, id_of(other).await);

    let document = api.get("/openapi.json").await.body;
    let paths = document["paths"].as_object().unwrap().iter();
    let paths: Vec<_> = paths
        .filter(|(path, _)| path.contains("{merchant}"))
        .collect();
    assert_eq!(paths.len(), 13);
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
            let reply = api.send_as(&own, method.clone(), &path, body).await;
            assert_eq!(reply.status, 404, "{method} {path}: {}", reply.body);
            assert_eq!(reply.body["code"], "unknown_merchant", "{path}");
            assert!(!reply.body.to_string().contains("متجر آخر"));
        }
    }
    // It sees its own shop's notifications, and marks no other's.
    let read = "/api/v1/merchants/{m}/notifications/read";
    let mark = |ids: Value| api.send_as(&own, Method::POST, read, Some(json!({"ids": ids})));
    let refused = mark(json!([mine, theirs])).await;
    assert_eq!(
        (refused.status, &refused.body["code"]),
        (404, &"unknown_notification".into())
    );
    let unread = "SELECT count(*) FROM salla_sync.notifications WHERE read_at IS NULL";
    assert_eq!(one::<i64>(&api.service, unread).await, 2);
    assert_eq!(mark(json!([mine])).await.status, 204);
    assert_eq!(mark(json!([mine])).await.status, 204);
    assert_eq!(one::<i64>(&api.service, unread).await, 1);
    let listed = "/api/v1/merchants/{m}/notifications";
    let listed = api.send_as(&own, Method::GET, listed, None).await.body;
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    assert_eq!(listed["items"][0]["id"], mine);
    assert_eq!(listed["items"][0]["kind"], "SYNC_COMPLETE");
    assert!(listed["items"][0]["title"]["ar"].is_string());
    assert_eq!(listed["nextCursor"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn rejected_records_come_in_pages_and_raw_only_where_it_is_asked_for() {
    let (api, _) = two_shops().await;
    let path = "/api/v1/merchants/{m}/rejected-records";
    let count = "SELECT count(*) FROM salla_sync.rejected_records r
        JOIN salla_sync.merchants m ON m.id = r.merchant_id
        WHERE resolved_at IS NULL AND m.name <> 'متجر آخر'";
    let expected: i64 = one(&api.service, count).await;
    assert!(expected >= 2, "{expected}");
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = api.get(&format!("{path}?limit=2{cursor}")).await.body;
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
    let raw = api.get(&format!("{path}?raw=true&limit=1")).await.body;
    assert!(!raw["items"][0]["raw"].as_str().unwrap().is_empty());
    let filtered = api.get(&format!("{path}?resource=customers")).await.body;
    assert_eq!(filtered["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_without_tokens_is_not_imported() {
    let api = ApiFixture::open(small(1), &[]).await;
    let end = "UPDATE salla_sync.connections SET state = 'DISCONNECTED',
        disconnected_why = 'refresh_refused'";
    sqlx::query(end)
        .execute(api.service.open.database.pool())
        .await
        .unwrap();
    let status = api.get(SYNC).await.body;
    assert_eq!(status["connection"]["state"], "disconnected");
    assert_eq!(status["connection"]["reason"], "refresh_refused");
    let reply = api.post(SYNC, json!({"syncDepthMonths": 12})).await;
    assert_eq!(
        (reply.status, &reply.body["code"]),
        (409, &"not_connected".into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_describes_itself_without_the_internet() {
    let api = ApiFixture::open(small(1), &[]).await;
    let (status, text) = api.served.get("/openapi.json").await;
    assert_eq!(status, 200);
    let document: Value = serde_json::from_str(&text).unwrap();
    assert!(
        document["openapi"].as_str().unwrap().starts_with("3.1."),
        "{text}"
    );
    let (status, page) = api.served.get("/docs").await;
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
    let api = ApiFixture {
        served: Served::start(&service, &[]).await,
        merchant: service.simulator.merchant_id(),
        service,
        token,
    };
    let path = "/api/v1/merchants/{m}/connection";
    let put = |path: &'static str, body: Value| api.send(Method::PUT, path, Some(body));
    let (access, refresh) = api.service.simulator.first_shop().install_again();
    let owned = json!({"accessToken": access, "refreshToken": refresh});
    let first = put(path, owned.clone()).await;
    assert_eq!(first.status, 200, "{}", first.body);
    assert_eq!(first.body["mode"], "owned");
    assert_eq!(first.body["sallaId"], api.merchant);
    assert!(first.body["runId"].is_string());
    let again = put(path, owned.clone()).await;
    assert_eq!(
        (again.status, &again.body["runId"]),
        (200, &first.body["runId"])
    );
    let stored = "SELECT count(*) FROM salla_sync.connections";
    assert_eq!(one::<i64>(&api.service, stored).await, 1);

    // Newer ones take their place, without a refresh token; the older ones do not come back.
    let (newer, _) = api.service.simulator.first_shop().install_again();
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
        one::<String>(&api.service, tags).await,
        r#"{"tenant": "42"}"#
    );
    let noted =
        "SELECT string_agg(kind, ',' ORDER BY changed_at, id) FROM salla_sync.connection_changes";
    assert_eq!(
        one::<String>(&api.service, noted).await,
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
    assert!(!api.served.said().contains("ory_"), "{}", api.served.said());
}
