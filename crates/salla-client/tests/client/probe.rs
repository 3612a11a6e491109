//! The probe reports what it found and no personal data.

use salla_client::probe::{MAX_REQUESTS, ProbeReport, probe};

use crate::fake_salla::{FakeSalla, Reply, error, ok, shop};

fn page(rows: &str, total: u64) -> Reply {
    Reply::Says(
        200,
        &[("x-ratelimit-limit", "120"), ("x-ratelimit-remaining", "9")],
        format!(
            r#"{{"status":200,"success":true,"data":{rows},"pagination":{{"count":1,
            "total":{total},"perPage":30,"currentPage":1,"totalPages":4,"links":{{}}}}}}"#
        ),
    )
}

const ORDER: &str = r#"{"id":987654321012345,"reference_id":987654321012346,
    "CANARY Noura":"CANARY","date":{"date":"2025-06-01 13:00:00.000000",
    "timezone":"Asia/Riyadh"},"customer":{"id":987654321012347,"first_name":"CANARY",
    "email":"CANARY@example.com"},"status":{"slug":"CANARY","name":"CANARY"},
    "items":[{"name":"CANARY","quantity":1}]}"#;

async fn salla() -> FakeSalla {
    let salla = FakeSalla::start().await;
    salla.on("/store/info", [shop()]);
    salla.on("/orders", [page(&format!("[{ORDER}]"), 100)]);
    salla.on("/orders/987654321012345", [ok(ORDER)]);
    let item =
        r#"[{"id":987654321012348,"name":"CANARY","quantity":1,"product_id":987654321012349}]"#;
    salla.on("/orders/items", [ok(item)]);
    let customer = r#"[{"id":987654321012347,"email":"CANARY@example.com","mobile":987654321}]"#;
    salla.on("/customers", [page(customer, 50)]);
    salla.on(
        "/products",
        [page(r#"[{"id":987654321012349,"name":"CANARY"}]"#, 7)],
    );
    let user = r#"{"name":"CANARY","merchant":{"id":987654321012350,"name":"CANARY"}}"#;
    salla.on(
        "/oauth2/user/info",
        [Reply::Says(200, &[], user.to_owned())],
    );
    salla
}

async fn probed(salla: &FakeSalla) -> ProbeReport {
    let found = probe(&salla.client(), salla.url.clone()).await.unwrap();
    assert!(found.requests <= MAX_REQUESTS, "{}", found.requests);
    found
}

fn answer<'a>(probe: &'a ProbeReport, question: &str) -> &'a str {
    let found = probe.findings.iter().find(|f| f.question == question);
    &found
        .unwrap_or_else(|| panic!("{question}: {probe:#?}"))
        .answer
}

#[tokio::test(flavor = "multi_thread")]
async fn no_value_and_no_token_gets_into_the_report() {
    let salla = salla().await;
    let found = probed(&salla).await;
    let told = serde_json::to_string(&found).unwrap();
    for secret in [
        "CANARY",
        "Noura",
        "9876543210",
        "example.com",
        "first\"",
        "A shop",
    ] {
        assert!(!told.contains(secret), "{secret}: {told}");
    }
    assert!(
        told.contains("reference_id"),
        "names of members are included: {told}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_answer_shows_is_found() {
    let salla = salla().await;
    let found = probed(&salla).await;
    let table = [
        (
            "Do responses have the rate headers, and what is the limit?",
            "120 requests a minute",
        ),
        ("How many orders does a page give?", "30"),
        ("What comes past the last page?", "rows"),
        ("Is expanded=true honoured (lists give whole orders)?", "no"),
        ("Does the detail of an order include its line items?", "no"),
        ("Do line items carry a product id?", "yes"),
        ("Does reference_id find one order?", "no"),
        ("Do date_from and date_to filter customers?", "unknown"),
        ("Is there a filter updated_at_min?", "no"),
        ("Is user info wrapped in data?", "no"),
        ("Does a 429 have Retry-After?", "unknown"),
    ];
    for (question, expected) in table {
        assert_eq!(answer(&found, question), expected, "{question}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_is_refused_does_not_end_the_others() {
    let salla = salla().await;
    salla.on(
        "/customers",
        [error(
            401,
            "The access token should have access to one of those scopes: customers.read",
        )],
    );
    salla.on("/orders/items", [error(422, "alert.invalid_fields")]);
    salla.on("/oauth2/user/info", [error(404, "gone")]);
    let found = probed(&salla).await;
    assert_eq!(answer(&found, "Can customers be listed?"), "unknown");
    assert_eq!(
        answer(&found, "Do line items carry a product id?"),
        "unknown"
    );
    assert_eq!(answer(&found, "Is user info wrapped in data?"), "unknown");
    assert_eq!(answer(&found, "How many products does a page give?"), "30");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_429_on_the_way_is_noted() {
    let salla = salla().await;
    let throttled = Reply::Says(429, &[("retry-after", "1")], String::new());
    salla.on("/products", [throttled, page("[]", 0)]);
    let found = probed(&salla).await;
    assert_eq!(answer(&found, "Does a 429 have Retry-After?"), "yes");
}
