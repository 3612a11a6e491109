//! Deliveries of webhooks: who sent them, and what they mean.

use importer::ports::connections::Tokens;
use jiff::Timestamp;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use ring::hmac;
use salla_client::webhook::{Event, WebhookError, WebhookSecret, read, receive};
use secrecy::{ExposeSecret, SecretString};

use crate::published::example;

const SECRET: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const BODY: &str =
    r#"{"event":"order.created","merchant":7,"created_at":"x","data":{"id":5,"note":"a\/b"}}"#;

fn now() -> Timestamp {
    Timestamp::from_second(1_750_000_000).unwrap()
}

fn signature(secret: &str, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    hex::encode(hmac::sign(&key, body.as_bytes()))
}

type Headers<'a> = &'a [(&'static str, &'a str)];

fn headers(values: Headers<'_>) -> HeaderMap {
    let header = |(name, value): &(&'static str, &str)| {
        let value = HeaderValue::from_str(value).unwrap();
        (HeaderName::from_static(name), value)
    };
    values.iter().map(header).collect()
}

fn check(values: Headers<'_>, body: &str) -> Result<(), WebhookError> {
    let secret = WebhookSecret::new(&SecretString::from(SECRET)).unwrap();
    receive(&headers(values), body.as_bytes(), &secret, now()).map(|_| ())
}

/// What an event says, in a line.
fn said(body: &str) -> String {
    match read(body.as_bytes(), now()) {
        Ok(Event::StoreAuthorized {
            merchant, tokens, ..
        }) => {
            format!("{merchant} gives {}", tokens_said(&tokens))
        }
        Ok(Event::Uninstalled { merchant, .. }) => format!("{merchant} leaves"),
        Ok(Event::RecordChanged {
            merchant,
            resource,
            id,
        }) => format!("{merchant} changed {resource} {id}"),
        Ok(Event::RecordDeleted {
            merchant,
            resource,
            id,
        }) => format!("{merchant} deleted {resource} {id}"),
        Ok(Event::SettingsChanged {
            merchant,
            code,
            depth_months,
        }) => {
            let code = code.map(|code| code.expose_secret().to_owned());
            format!("{merchant} sets {code:?} and {depth_months:?}")
        }
        Ok(Event::Other { event }) => format!("other {event}"),
        Err(error) => error.to_string(),
    }
}

fn tokens_said(tokens: &Tokens) -> String {
    let refresh = tokens.refresh.as_ref();
    format!(
        "{} {} until {:?} for {}",
        tokens.access.expose_secret(),
        refresh.map_or("none", |token| token.expose_secret()),
        tokens.expires_at.map(Timestamp::as_second),
        tokens.scope.as_deref().unwrap_or("nothing")
    )
}

#[test]
fn a_known_signature_is_recognised() {
    // From another implementation: openssl dgst -sha256 -hmac.
    let secret = WebhookSecret::new(&SecretString::from("key")).unwrap();
    let hex = "f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8";
    let headers = headers(&[("x-salla-signature", hex)]);
    let body = b"The quick brown fox jumps over the lazy dog";
    let error = receive(&headers, body, &secret, now()).unwrap_err();
    assert_eq!(
        error,
        WebhookError::Unreadable("it is not JSON, or was cut off")
    );
}

#[test]
fn only_what_the_secret_signed_is_taken() {
    let good = signature(SECRET, BODY);
    let upper = good.to_uppercase();
    let by_another = signature("another secret", BODY);
    // What the vendor's own sample would sign: the body serialized again.
    let of_another_body = signature(SECRET, &BODY.replace("\\/", "/"));
    let strategy = "x-salla-security-strategy";
    let name = "x-salla-signature";
    let wrong = Err(WebhookError::WrongSignature);
    let unsigned = Err(WebhookError::NotSigned);
    let table: &[(Headers<'_>, Result<(), WebhookError>)] = &[
        (&[(strategy, "Signature"), (name, &good)], Ok(())),
        (&[(strategy, "signature"), (name, &good)], Ok(())),
        (&[(name, &good)], Ok(())),
        (&[(name, &upper)], Ok(())),
        (&[(name, &by_another)], wrong),
        (&[(name, &of_another_body)], wrong),
        (&[(name, &good[..62])], wrong),
        (&[(name, "")], wrong),
        (&[(name, "not hexadecimal")], wrong),
        (&[(name, SECRET)], wrong),
        (
            &[(strategy, "Signature"), ("authorization", SECRET)],
            unsigned,
        ),
        (&[(strategy, "Token"), ("authorization", SECRET)], Ok(())),
        (&[("authorization", SECRET)], Ok(())),
        (&[(strategy, "Token"), ("authorization", "Bearer x")], wrong),
        (
            &[(strategy, "Token"), ("authorization", &SECRET[1..])],
            wrong,
        ),
        (&[(strategy, "Token"), ("authorization", "")], wrong),
        (&[(strategy, "Token"), (name, &good)], unsigned),
        // A signature that does not fit is not made good by anything beside it.
        (&[(name, &by_another), ("authorization", SECRET)], wrong),
        (&[(strategy, "None"), (name, &good)], unsigned),
        (&[], unsigned),
    ];
    for (headers, expected) in table {
        assert_eq!(check(headers, BODY), *expected, "{headers:?}");
    }
}

#[test]
fn an_empty_secret_is_none() {
    for text in ["", " \n"] {
        assert!(WebhookSecret::new(&SecretString::from(text)).is_none());
    }
    let secret = WebhookSecret::new(&SecretString::from(SECRET)).unwrap();
    assert_eq!(format!("{secret:?}"), "WebhookSecret");
}

#[test]
fn what_events_mean() {
    let table = [
        // Orders, by where their id stands.
        (("order.created", r#"{"id":5}"#), "7 changed orders 5"),
        (("order.updated", r#"{"id":"5"}"#), "7 changed orders 5"),
        (
            ("order.cancelled", r#"{"id":5,"status":{}}"#),
            "7 changed orders 5",
        ),
        (("order.deleted", r#"{"id":5}"#), "7 deleted orders 5"),
        (
            (
                "order.status.updated",
                r#"{"id":9,"status":"تم","order":{"id":"5"}}"#,
            ),
            "7 changed orders 5",
        ),
        (
            ("order.shipment.created", r#"{"id":9,"order_id":5}"#),
            "7 changed orders 5",
        ),
        (("order.something.new", r#"{"id":5}"#), "7 changed orders 5"),
        // Products and customers.
        (("product.created", r#"{"id":5}"#), "7 changed products 5"),
        (
            ("product.quantity.low", r#"{"id":5}"#),
            "7 changed products 5",
        ),
        (
            ("product.price.updated", r#"{"id":5,"price":{"old":1}}"#),
            "7 changed products 5",
        ),
        (
            ("product.image.deleted", r#"{"id":5}"#),
            "7 changed products 5",
        ),
        (
            ("product.deleted", r#"{"id":5,"name":[]}"#),
            "7 deleted products 5",
        ),
        (("customer.created", r#"{"id":5}"#), "7 changed customers 5"),
        (
            ("customer.updated", r#"{"id":"٥"}"#),
            "7 changed customers 5",
        ),
        (("customer.login", r#"{"id":5}"#), "other customer.login"),
        (("customer.otp.request", "{}"), "other customer.otp.request"),
        // Apps.
        (("app.uninstalled", "{}"), "7 leaves"),
        (("app.installed", r#"{"id":1}"#), "other app.installed"),
        (("abandoned.cart", "null"), "other abandoned.cart"),
        (
            (
                "app.store.authorize",
                r#"{"access_token":"a","refresh_token":"r","expires":1751000000,"scope":"s"}"#,
            ),
            "7 gives a r until Some(1751000000) for s",
        ),
        (
            (
                "app.store.authorize",
                r#"{"access_token":"a","expires_in":"1209599"}"#,
            ),
            "7 gives a none until Some(1751209599) for nothing",
        ),
    ];
    for ((event, data), expected) in table {
        let body = format!(r#"{{"event":"{event}","merchant":"7","data":{data}}}"#);
        assert_eq!(said(&body), expected, "{body}");
    }
}

#[test]
fn what_cannot_be_read_says_why_and_nothing_else() {
    let table = [
        ("secret", "it is not JSON, or was cut off"),
        (r#"{"event":"order.cre"#, "it is not JSON, or was cut off"),
        (r#"["secret"]"#, "it is not an object"),
        (r#"{"merchant":7,"data":{"id":5}}"#, "it names no event"),
        (
            r#"{"event":"order.created","event":"x","merchant":7}"#,
            "a member occurs twice",
        ),
        (
            r#"{"event":"secret words"}"#,
            "its event has no name of Salla's form",
        ),
        (
            r#"{"event":"order.created","data":{"id":5}}"#,
            "it names no merchant",
        ),
        (
            r#"{"event":"order.created","merchant":0,"data":{"id":5}}"#,
            "it names no merchant",
        ),
        (
            r#"{"event":"order.created","merchant":7}"#,
            "it has no data",
        ),
        (
            r#"{"event":"order.created","merchant":7,"data":["secret"]}"#,
            "it has no data",
        ),
        (
            r#"{"event":"order.created","merchant":7,"data":{"id":"secret"}}"#,
            "its data names no record",
        ),
        (
            r#"{"event":"order.status.updated","merchant":7,"data":{"id":5,"order":[]}}"#,
            "its data names no record",
        ),
        (
            r#"{"event":"order.created","merchant":7,"data":{"id":5,"id":6}}"#,
            "a member of its data occurs twice",
        ),
        (
            r#"{"event":"app.store.authorize","merchant":7,"data":{"refresh_token":"secret"}}"#,
            "its data has no access token",
        ),
    ];
    for (body, why) in table {
        assert_eq!(
            said(body),
            format!("its body cannot be read: {why}"),
            "{body}"
        );
    }
    let long = format!(r#"{{"event":"{}"}}"#, "a".repeat(65));
    assert!(said(&long).ends_with("no name of Salla's form"));
}

#[test]
fn tokens_are_never_shown() {
    let body = r#"{"event":"app.store.authorize","merchant":7,
        "data":{"access_token":"secret","refresh_token":"secret"}}"#;
    let event = read(body.as_bytes(), now()).unwrap();
    assert!(!format!("{event:?}").contains("secret"));
}

#[test]
fn the_published_deliveries_are_understood() {
    let table = [
        (
            "app_store_authorize_webhook.json",
            "1234509876 gives ory_at_EXAMPLE ory_rt_EXAMPLE until Some(1634819484) for \
             settings.read branches.read offline_access",
        ),
        ("app_uninstalled_webhook.json", "1234509876 leaves"),
        ("app_installed_webhook.json", "other app.installed"),
        (
            "order_created_webhook.json",
            "1305146709 changed orders 2116149737",
        ),
        // Its `data.id` is 198290473.
        (
            "order_status_updated_webhook.json",
            "193718979 changed orders 629263027",
        ),
        (
            "product_created_webhook.json",
            "1305146709 changed products 1025569331",
        ),
    ];
    for (name, expected) in table {
        if let Some(body) = example(name) {
            assert_eq!(
                said(std::str::from_utf8(&body).unwrap()),
                expected,
                "{name}"
            );
        }
    }
}

/// The signature is that of the bytes as they came, and one of them being no text changes
/// nothing about the record that is named.
#[test]
fn a_damaged_body_is_checked_as_it_came() {
    let body =
        b"{\"event\":\"order.updated\",\"merchant\":7,\"data\":{\"id\":5,\"note\":\"\xd8\x01\"}}";
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let signature = hex::encode(hmac::sign(&key, body));
    let secret = WebhookSecret::new(&SecretString::from(SECRET)).unwrap();
    let headers = headers(&[("x-salla-signature", &signature)]);
    let event = receive(&headers, body, &secret, now()).unwrap();
    assert!(
        matches!(event, Event::RecordChanged { id: 5, .. }),
        "{event:?}"
    );
    let text = String::from_utf8_lossy(body);
    let replaced = receive(&headers, text.as_bytes(), &secret, now());
    assert_eq!(replaced.unwrap_err(), WebhookError::WrongSignature);
}
