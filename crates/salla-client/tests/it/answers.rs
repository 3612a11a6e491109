//! The published errors and tokens, judged.

use jiff::Timestamp;
use reqwest::header::HeaderMap;
use salla_client::classify::{TokenVerdict, Verdict, after_split, classify, classify_token_answer};
use salla_client::envelope::{split_list, split_one};

use crate::published::example;

fn verdict(status: u16, name: &str) -> Option<Verdict> {
    let body = example(name)?;
    Some(classify(
        status,
        &HeaderMap::new(),
        &body,
        Timestamp::UNIX_EPOCH,
    ))
}

#[test]
fn every_published_error() {
    let scopes = vec!["orders.read".to_owned()];
    let invalid = Verdict::Invalid {
        code: Some("error".to_owned()),
        message: Some("alert.invalid_fields".to_owned()),
        fields: vec!["first_name".to_owned()],
    };
    let table = [
        (401, "error_401.json", Verdict::TokenRejected),
        (401, "error_401_inactive_user.json", Verdict::Inactive),
        (
            401,
            "error_401_scope.json",
            Verdict::ScopeMissing { scopes },
        ),
        (404, "error_404.json", Verdict::Gone),
        (404, "error_404_arabic.json", Verdict::Gone),
        (422, "error_422.json", invalid),
    ];
    for (status, name, expected) in table {
        let Some(verdict) = verdict(status, name) else {
            continue;
        };
        assert_eq!(verdict, expected, "{name}");
        // The same body under HTTP 200 is a success only at first sight.
        let body = example(name).unwrap();
        let at_first = classify(200, &HeaderMap::new(), &body, Timestamp::UNIX_EPOCH);
        assert_eq!(at_first, Verdict::Success, "{name}");
        assert_eq!(
            after_split(split_list(&body).unwrap_err()),
            expected,
            "{name}"
        );
        assert_eq!(
            after_split(split_one(&body).unwrap_err()),
            expected,
            "{name}"
        );
    }
}

#[test]
fn published_answers_of_the_token_endpoint() {
    let table = [
        (200, "token.json", TokenVerdict::Tokens),
        (200, "token_refresh.json", TokenVerdict::Tokens),
        (400, "error_invalid_grant.json", TokenVerdict::InvalidGrant),
        (401, "error_invalid_grant.json", TokenVerdict::InvalidGrant),
    ];
    for (status, name, expected) in table {
        let Some(body) = example(name) else { continue };
        let verdict =
            classify_token_answer(status, &HeaderMap::new(), &body, Timestamp::UNIX_EPOCH);
        assert_eq!(verdict, expected, "{status} {name}");
    }
}
