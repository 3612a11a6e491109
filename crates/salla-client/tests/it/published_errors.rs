//! The published errors and tokens, judged.

use jiff::Timestamp;
use reqwest::header::HeaderMap;
use salla_client::classify::{
    ResponseKind, TokenResponseKind, classify, classify_envelope_error, classify_token_answer,
};
use salla_client::envelope::{split_list, split_one};

use crate::published::example;

fn kind(status: u16, name: &str) -> Option<ResponseKind> {
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
    let invalid = ResponseKind::Invalid {
        code: Some("error".to_owned()),
        message: Some("alert.invalid_fields".to_owned()),
        fields: vec!["first_name".to_owned()],
    };
    let table = [
        (401, "error_401.json", ResponseKind::TokenRejected),
        (401, "error_401_inactive_user.json", ResponseKind::Inactive),
        (
            401,
            "error_401_scope.json",
            ResponseKind::ScopeMissing { scopes },
        ),
        (404, "error_404.json", ResponseKind::Gone),
        (404, "error_404_arabic.json", ResponseKind::Gone),
        (422, "error_422.json", invalid),
    ];
    for (status, name, expected) in table {
        let Some(kind) = kind(status, name) else {
            continue;
        };
        assert_eq!(kind, expected, "{name}");
        // The same body under HTTP 200 is a success only at first sight.
        let body = example(name).unwrap();
        let at_first = classify(200, &HeaderMap::new(), &body, Timestamp::UNIX_EPOCH);
        assert_eq!(at_first, ResponseKind::Success, "{name}");
        assert_eq!(
            classify_envelope_error(split_list(&body).unwrap_err(), None),
            expected,
            "{name}"
        );
        assert_eq!(
            classify_envelope_error(split_one(&body).unwrap_err(), None),
            expected,
            "{name}"
        );
    }
}

#[test]
fn published_answers_of_the_token_endpoint() {
    let table = [
        (200, "token.json", TokenResponseKind::Tokens),
        (200, "token_refresh.json", TokenResponseKind::Tokens),
        (
            400,
            "error_invalid_grant.json",
            TokenResponseKind::InvalidGrant,
        ),
        (
            401,
            "error_invalid_grant.json",
            TokenResponseKind::InvalidGrant,
        ),
    ];
    for (status, name, expected) in table {
        let Some(body) = example(name) else { continue };
        let kind = classify_token_answer(status, &HeaderMap::new(), &body, Timestamp::UNIX_EPOCH);
        assert_eq!(kind, expected, "{status} {name}");
    }
}
