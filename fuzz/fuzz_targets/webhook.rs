//! Any bytes as a delivery: nothing panics, only what was signed is taken, and a
//! signature changes nothing about what a body means.
//!
//! The first line is the signature that it comes with, the rest is its body.

#![no_main]

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use reqwest::header::{HeaderMap, HeaderValue};
use ring::hmac;
use salla_client::webhook::{Event, SIGNATURE, WebhookError, WebhookSecret, read, receive};
use secrecy::SecretString;

const SECRET: &str = "a secret that chance does not know";

fuzz_target!(|delivery: &[u8]| {
    let mut parts = delivery.splitn(2, |byte| *byte == b'\n');
    let (Some(given), Some(body)) = (parts.next(), parts.next()) else {
        return;
    };
    let now = Timestamp::UNIX_EPOCH;
    let secret = WebhookSecret::new(&SecretString::from(SECRET)).expect("it is not empty");
    let meaning = read(body, now);
    if let Ok(event) = &meaning {
        check(event);
    }
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let signature = hex::encode(hmac::sign(&key, body));
    let taken = receive(&headers(signature.as_bytes()), body, &secret, now);
    assert_eq!(format!("{taken:?}"), format!("{meaning:?}"));
    let refused = receive(&headers(given), body, &secret, now);
    let is_refused = matches!(
        refused,
        Err(WebhookError::NotSigned | WebhookError::WrongSignature)
    );
    assert!(
        is_refused
            || given
                .trim_ascii()
                .eq_ignore_ascii_case(signature.as_bytes())
    );
});

fn headers(signature: &[u8]) -> HeaderMap {
    let value = HeaderValue::from_bytes(signature);
    value.into_iter().map(|value| (SIGNATURE, value)).collect()
}

fn check(event: &Event) {
    match event {
        Event::StoreAuthorized { merchant, .. }
        | Event::Uninstalled { merchant, .. }
        | Event::SettingsChanged { merchant, .. } => {
            assert!(*merchant > 0);
        }
        Event::RecordChanged { merchant, id, .. } | Event::RecordDeleted { merchant, id, .. } => {
            assert!(*merchant > 0 && *id > 0);
        }
        Event::Other { event } => assert!(event.len() <= 64 && !event.contains(' ')),
    }
}
