//! What cannot be understood is refused by name.

use reqwest::Method;

use super::api::{ApiFixture, SYNC, reply};
use super::served::one;
use crate::truth::small;

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_understood_is_refused_by_name() {
    let api = ApiFixture::open(small(1), &[]).await;
    let url = api
        .served
        .url(&SYNC.replace("{m}", &api.merchant.to_string()));
    let send = |body: String, content_type: &'static str| {
        let request = api.served.http.post(&url).bearer_auth(&api.token);
        reply(request.header("content-type", content_type).body(body))
    };
    let large = format!(r#"{{"syncDepthMonths":12,"x":"{}"}}"#, "x".repeat(70_000));
    let deep = format!(r#"{{"syncDepthMonths":{}12"#, "[".repeat(30_000));
    let deep_unknown = format!(r#"{{"x":{}"#, r#"{"x":"#.repeat(5_000));
    let table: [(&str, &str, u16, &str); 22] = [
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
        (
            r#"{"syncDepthMonths":12,"syncDepthMonths":24}"#,
            "application/json",
            422,
            "invalid_body",
        ),
        (
            r#"{"syncDepthMonths":12,"عمق 🌴":24}"#,
            "application/json",
            422,
            "invalid_body",
        ),
        (
            r#"{"syncDepthMonths":"12'; DROP TABLE salla_sync.sync_runs; --"}"#,
            "application/json",
            422,
            "invalid_body",
        ),
        (
            r#"{"syncDepthMonths":1e400}"#,
            "application/json",
            400,
            "malformed_body",
        ),
        (&deep, "application/json", 422, "invalid_body"),
        (&deep_unknown, "application/json", 422, "invalid_body"),
        (
            r#"{"syncDepthMonths":12} {}"#,
            "application/json",
            400,
            "malformed_body",
        ),
        (
            r#"{"syncDepthMonths":12}"#,
            "application/x-www-form-urlencoded",
            415,
            "not_json",
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
        let reply = api.get(&format!("/api/v1/merchants/{named}/sync")).await;
        assert_eq!(reply.status, 404, "{named}: {}", reply.body);
    }
    for list in ["rejected-records", "notifications"] {
        for (query, status) in [
            ("limit=0", 422),
            ("limit=201", 422),
            ("limit=4294967295", 422),
            ("limit=4294967296", 400),
            ("limit=-1", 400),
            ("limit=x", 400),
            ("limit=1&limit=2", 400),
            ("cursor=x", 422),
            ("cursor=%00", 422),
            ("cursor=' OR true --", 422),
            ("cursor=متجر🌴", 422),
            ("cursor=%ff", 422),
        ] {
            let path = format!("/api/v1/merchants/{{m}}/{list}?{query}");
            let reply = api.get(&path).await;
            assert_eq!(reply.status, status, "{list} {query}: {}", reply.body);
        }
    }
    for (query, status) in [("resource=x", 422), ("code=x", 422), ("raw=2", 400)] {
        let path = format!("/api/v1/merchants/{{m}}/rejected-records?{query}");
        assert_eq!(api.get(&path).await.status, status, "{query}");
    }
    let unread = "/api/v1/merchants/{m}/notifications?unread=2";
    assert_eq!(api.get(unread).await.status, 400);
    for method in [
        Method::PATCH,
        Method::DELETE,
        Method::OPTIONS,
        Method::TRACE,
    ] {
        let request = api.served.http.request(method.clone(), &url);
        let response = request.bearer_auth(&api.token).send().await.unwrap();
        assert_eq!(response.status().as_u16(), 405, "{method}");
        let allowed = response.headers()["allow"].to_str().unwrap();
        assert!(
            allowed.contains("GET") && allowed.contains("POST"),
            "{allowed}"
        );
    }
    let head = api.served.http.head(&url).bearer_auth(&api.token);
    let head = head.send().await.unwrap();
    assert_eq!(head.status().as_u16(), 200);
    assert_eq!(head.headers()["content-type"], "application/json");
    assert_eq!(head.text().await.unwrap(), "");
    let head = api.served.http.head(&url).send().await.unwrap();
    assert_eq!(head.status().as_u16(), 401);
    let runs = "SELECT count(*) FROM salla_sync.sync_runs";
    assert_eq!(one::<i64>(&api.service, runs).await, 0);
}
