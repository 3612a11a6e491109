//! The table of response kinds, case by case.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{DATE, HeaderMap, HeaderValue, RETRY_AFTER};
use salla_client::classify::{
    ResponseKind, RetryReason, TokenResponseKind, classify, classify_envelope_error,
    classify_token_answer, retry_after,
};
use salla_client::envelope::EnvelopeError;

const HTML: &str = "<!DOCTYPE html><html><title>Attention Required! | Cloudflare</title></html>";

fn now() -> Timestamp {
    "2025-01-01T00:00:00Z".parse().unwrap()
}

fn error(status: u16, code: &str, message: &str) -> String {
    format!(
        r#"{{"status":{status},"success":false,"error":{{"code":{code},"message":"{message}"}}}}"#
    )
}

fn judge(status: u16, wait: Option<&'static str>, body: &str) -> ResponseKind {
    let mut headers = HeaderMap::new();
    if let Some(wait) = wait {
        headers.insert(RETRY_AFTER, HeaderValue::from_static(wait));
    }
    classify(status, &headers, body.as_bytes(), now())
}

fn later(status: u16) -> ResponseKind {
    ResponseKind::RetryLater {
        reason: RetryReason::Status(status),
        retry_after: None,
    }
}

const NOT_JSON: ResponseKind = ResponseKind::RetryLater {
    reason: RetryReason::NotJson,
    retry_after: None,
};

const BLOCKED: ResponseKind = ResponseKind::Blocked { retry_after: None };

#[test]
fn answers_that_pass() {
    let table = [
        (200, r#"{"status":200}"#, ResponseKind::Success),
        (200, "\u{feff} {}", ResponseKind::Success),
        (200, HTML, NOT_JSON),
        (200, "", NOT_JSON),
        (200, "upstream error", NOT_JSON),
        (408, "", later(408)),
        (425, "", later(425)),
        (
            500,
            r#"{"status":500,"success":false,"error":{}}"#,
            later(500),
        ),
        (502, HTML, later(502)),
        (503, "", later(503)),
        (522, HTML, later(522)),
        (400, HTML, NOT_JSON),
        (404, HTML, NOT_JSON),
        (422, "", NOT_JSON),
        (429, "", ResponseKind::Throttled { retry_after: None }),
        (429, HTML, ResponseKind::Throttled { retry_after: None }),
        (429, "{}", ResponseKind::Throttled { retry_after: None }),
    ];
    for (status, body, expected) in table {
        assert_eq!(judge(status, None, body), expected, "{status} {body}");
    }
}

#[test]
fn unauthorised_means_five_different_things() {
    let scopes = |list: &[&str]| ResponseKind::ScopeMissing {
        scopes: list.iter().map(|s| (*s).to_owned()).collect(),
    };
    let table = [
        (
            r#""Unauthorized""#,
            "The access token is invalid",
            ResponseKind::TokenRejected,
        ),
        (r#""Invalid-token""#, "x", ResponseKind::TokenRejected),
        (
            r#""Unauthorized""#,
            "Token is not valid",
            ResponseKind::TokenRejected,
        ),
        (
            r#""Unauthorized""#,
            "The User is not exists.",
            ResponseKind::UnexplainedUnauthorized,
        ),
        (
            r#""Unauthorized""#,
            "غير مصرح",
            ResponseKind::UnexplainedUnauthorized,
        ),
        ("null", "", ResponseKind::UnexplainedUnauthorized),
        (
            r#""Unauthorized""#,
            "عفوا, حسابك غير مفعل",
            ResponseKind::Inactive,
        ),
        (
            r#""Unauthorized""#,
            "The access token should have access to one of those scopes: orders.read, orders.read_write",
            scopes(&["orders.read", "orders.read_write"]),
        ),
        (r#""Unauthorized""#, "Insufficient scope", scopes(&[])),
    ];
    for (code, message, expected) in table {
        let body = error(401, code, message);
        assert_eq!(judge(401, None, &body), expected, "{message}");
    }
    assert_eq!(
        judge(401, None, HTML),
        ResponseKind::UnexplainedUnauthorized
    );
    let oauth = r#"{"error":"invalid_token","error_description":"expired"}"#;
    assert_eq!(judge(401, None, oauth), ResponseKind::TokenRejected);
}

#[test]
fn a_403_is_forever_only_where_it_says_so() {
    let table = [
        (
            "Application does not have permission to access",
            ResponseKind::Forbidden,
        ),
        ("التطبيق لا يدعم هذه الميزة", ResponseKind::Forbidden),
        ("ليس لديك صلاحية", ResponseKind::Forbidden),
        ("Too many requests, you are blocked", BLOCKED),
        ("", BLOCKED),
    ];
    for (message, expected) in table {
        let body = error(403, r#""error""#, message);
        assert_eq!(judge(403, None, &body), expected, "{message}");
    }
    assert_eq!(judge(403, None, HTML), BLOCKED);
    let wait = Some(Duration::from_secs(60));
    assert_eq!(
        judge(403, Some("60"), ""),
        ResponseKind::Blocked { retry_after: wait }
    );
}

#[test]
fn a_404_of_the_framework_takes_no_record_away() {
    let body = error(404, "404", "gone");
    assert_eq!(judge(404, None, &body), ResponseKind::Gone);
    assert_eq!(judge(410, None, &body), ResponseKind::Gone);
    let framework = r#"{"message":"The route orderz could not be found."}"#;
    assert!(matches!(
        judge(404, None, framework),
        ResponseKind::Malformed { .. }
    ));
}

#[test]
fn the_rest_is_for_the_operator() {
    for status in [100, 301, 405, 406, 413, 415, 451] {
        let kind = judge(status, None, &error(status, r#""x""#, "y"));
        assert!(
            matches!(kind, ResponseKind::Malformed { .. }),
            "{status}: {kind:?}"
        );
    }
}

#[test]
fn an_invalid_request_names_fields_and_no_values() {
    let body = r#"{"status":422,"success":false,"error":{"code":"validation_failed",
        "message":"mail ali@example.com and phone +966501234567 are taken",
        "fields":{"locales.0.iso_code":["ali@example.com"],"mobile":["0501234567"]}}}"#;
    insta::assert_debug_snapshot!(judge(422, None, body), @r#"
    Invalid {
        code: Some(
            "validation_failed",
        ),
        message: Some(
            "mail … and phone … are taken",
        ),
        fields: [
            "locales.0.iso_code",
            "mobile",
        ],
    }
    "#);
}

#[test]
fn errors_under_http_200() {
    let body = |text: &str| {
        let split = salla_client::envelope::split_list(text.as_bytes());
        classify_envelope_error(split.unwrap_err(), None)
    };
    assert_eq!(body(&error(404, r#""error""#, "gone")), ResponseKind::Gone);
    assert_eq!(
        body(&error(429, r#""error""#, "slow")),
        ResponseKind::Throttled { retry_after: None }
    );
    assert_eq!(body(&error(500, r#""error""#, "x")), later(500));
    let only_a_code = r#"{"success":false,"error":{"code":404,"message":"gone"}}"#;
    assert_eq!(body(only_a_code), ResponseKind::Gone);
    let nothing = r#"{"success":false,"error":{"code":"error","message":"?"}}"#;
    assert!(matches!(body(nothing), ResponseKind::Malformed { .. }));
    let not_json = classify_envelope_error(EnvelopeError::NotJson, None);
    assert_eq!(not_json, NOT_JSON);
    assert!(matches!(body("[]"), ResponseKind::Malformed { .. }));
}

#[test]
fn a_throttle_under_http_200_is_known_by_any_of_its_signs() {
    let table = [
        (
            r#"{"success":false,"error":{"code":"too_many_requests"}}"#,
            429,
        ),
        (r#"{"success":false,"error":{"code":429}}"#, 429),
        (
            r#"{"status":200,"success":false,"error":{"code":429}}"#,
            429,
        ),
        (
            r#"{"status":200,"success":false,"error":{"code":"429"}}"#,
            429,
        ),
        (
            r#"{"status":429,"success":false,"error":{"code":"error"}}"#,
            429,
        ),
        (
            r#"{"status":200,"success":false,"error":{"code":"Server_Error"}}"#,
            500,
        ),
        (r#"{"success":false,"error":"service_unavailable"}"#, 503),
    ];
    let retry_after = Some(Duration::from_secs(2));
    for (text, status) in table {
        let error = salla_client::envelope::split_list(text.as_bytes()).unwrap_err();
        let expected = match status {
            429 => ResponseKind::Throttled { retry_after },
            status => ResponseKind::RetryLater {
                reason: RetryReason::Status(status),
                retry_after,
            },
        };
        assert_eq!(
            classify_envelope_error(error, retry_after),
            expected,
            "{text}"
        );
    }
}

#[test]
fn retry_after_in_seconds_or_as_a_date() {
    let table = [
        ("30", Some(30)),
        (" 0 ", Some(0)),
        ("1.2", Some(2)),
        ("Wed, 01 Jan 2025 00:01:30 GMT", Some(90)),
        ("Tue, 31 Dec 2024 23:00:00 GMT", Some(0)),
        ("99999999999999999999999", Some(86_400)),
        ("Fri, 01 Jan 2055 00:00:00 GMT", Some(86_400)),
        ("soon", None),
        ("-5", None),
        ("", None),
    ];
    for (text, expected) in table {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(text))]);
        let expected = expected.map(Duration::from_secs);
        assert_eq!(retry_after(&headers, now()), expected, "{text}");
    }
    assert_eq!(retry_after(&HeaderMap::new(), now()), None);
}

#[test]
fn a_moment_is_measured_by_the_clock_of_the_response() {
    // Salla's clock is three hours ahead of ours.
    let ahead = Some("Wed, 01 Jan 2025 03:00:00 GMT");
    let table = [
        (ahead, "Wed, 01 Jan 2025 03:00:30 GMT", 30),
        (ahead, "1735700460", 60),
        (ahead, "45", 45),
        (None, "1735689660", 60),
        (None, "1735689660000", 60),
        (Some("yesterday"), "1735689660", 60),
    ];
    for (date, text, expected) in table {
        let mut headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(text))]);
        headers.extend(date.map(|date| (DATE, HeaderValue::from_static(date))));
        let expected = Some(Duration::from_secs(expected));
        assert_eq!(retry_after(&headers, now()), expected, "{date:?} {text}");
    }
}

#[test]
fn the_token_endpoint() {
    let refused = |code| TokenResponseKind::Refused { code };
    let table = [
        (
            200,
            r#"{"access_token":"a","refresh_token":"b"}"#,
            TokenResponseKind::Tokens,
        ),
        (
            200,
            r#"{"access_token":""}"#,
            TokenResponseKind::Lost { status: 200 },
        ),
        (
            200,
            r#"{"access_token":"a"#,
            TokenResponseKind::Lost { status: 200 },
        ),
        (200, HTML, TokenResponseKind::Lost { status: 200 }),
        (
            400,
            r#"{"error":"invalid_grant"}"#,
            TokenResponseKind::InvalidGrant,
        ),
        (
            401,
            r#"{"error":"invalid_grant"}"#,
            TokenResponseKind::InvalidGrant,
        ),
        (
            401,
            r#"{"error":"invalid_client"}"#,
            refused("invalid_client"),
        ),
        (
            400,
            r#"{"error":"invalid_request"}"#,
            TokenResponseKind::Lost { status: 400 },
        ),
        (
            429,
            HTML,
            TokenResponseKind::Throttled { retry_after: None },
        ),
        (
            500,
            r#"{"error":"invalid_grant"}"#,
            TokenResponseKind::Lost { status: 500 },
        ),
        (502, HTML, TokenResponseKind::Lost { status: 502 }),
        (403, HTML, TokenResponseKind::Lost { status: 403 }),
    ];
    for (status, body, expected) in table {
        let kind = classify_token_answer(status, &HeaderMap::new(), body.as_bytes(), now());
        assert_eq!(kind, expected, "{status} {body}");
    }
}
