//! What the OAuth server's answers hold. They carry no envelope, and Salla's own
//! sources disagree on names, units and frames (docs/salla-api.md#token-response and #user-info).

use importer::ports::connections::Tokens;
use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::UserInfo;
use crate::lenient::{Json, Object, read_object, readable};

#[derive(Default, Deserialize)]
#[serde(default)]
struct TokenWire<'a> {
    #[serde(borrow)]
    access_token: Json<'a>,
    refresh_token: Json<'a>,
    scope: Json<'a>,
    expires: Json<'a>,
    expires_in: Json<'a>,
}

/// Reads a token answer or the `data` of `app.store.authorize`, received at `now`.
pub fn read_tokens(body: &[u8], now: Timestamp) -> Option<Tokens> {
    let body = readable(body);
    let wire: TokenWire<'_> = read_object(&body).ok()?;
    let expiries = [wire.expires_in, wire.expires].map(|lifetime| expiry(lifetime, now));
    Some(Tokens {
        access: token(wire.access_token)?,
        refresh: token(wire.refresh_token),
        // Where the two contradict each other the later one costs least: a token that ends
        // sooner is replaced once Salla refuses it.
        expires_at: expiries.into_iter().flatten().max(),
        scope: wire.scope.string(),
    })
}

/// What cannot be in a header is not a token: one with a damaged byte is useless.
fn token(json: Json<'_>) -> Option<SecretString> {
    let text = json.string()?;
    let is_token = text.bytes().all(|byte| byte.is_ascii_graphic());
    is_token.then(|| SecretString::from(text))
}

/// From these numbers on a lifetime can only be a date, in seconds and in milliseconds:
/// Salla's sources disagree on the unit.
const EPOCH_SECONDS: i64 = 1_000_000_000;
const EPOCH_MILLISECONDS: i64 = 100 * EPOCH_SECONDS;

/// When a token ends, if that can be made out. No token lives for no time at all.
fn expiry(lifetime: Json<'_>, now: Timestamp) -> Option<Timestamp> {
    let text = lifetime.text()?;
    match lifetime.decimal() {
        Ok(number) => match i64::try_from(number?.trunc()).ok()? {
            number if number >= EPOCH_MILLISECONDS => Timestamp::from_millisecond(number).ok(),
            number if number > EPOCH_SECONDS => Timestamp::from_second(number).ok(),
            number if number > 0 => now.checked_add(SignedDuration::from_secs(number)).ok(),
            _ => None,
        },
        Err(_) => text.trim().parse().ok(),
    }
}

/// Whether this is JSON that can say anything about tokens or persons.
pub(super) fn is_object(body: &[u8]) -> bool {
    read_object::<IgnoredAny>(&readable(body)).is_ok()
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PersonWire<'a> {
    /// The person again, where there is an envelope.
    #[serde(borrow)]
    data: Object<MerchantOf<'a>>,
    merchant: Object<MerchantWire<'a>>,
    store: Object<MerchantWire<'a>>,
    email: Json<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct MerchantOf<'a> {
    #[serde(borrow)]
    merchant: Object<MerchantWire<'a>>,
    /// The old name of `merchant`.
    store: Object<MerchantWire<'a>>,
    email: Json<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct MerchantWire<'a> {
    #[serde(borrow)]
    id: Json<'a>,
    name: Json<'a>,
    plan: Json<'a>,
    domain: Json<'a>,
}

pub(super) fn read_user_info(body: &[u8]) -> Option<UserInfo> {
    let body = readable(body);
    let person: PersonWire<'_> = read_object(&body).ok()?;
    let wrapped = person.data.get();
    let merchant = wrapped
        .and_then(|data| data.merchant.get().or(data.store.get()))
        .or(person.merchant.get())
        .or(person.store.get())?;
    Some(UserInfo {
        merchant_id: merchant.id.integer().ok().flatten()?,
        merchant_name: merchant.name.string(),
        plan: merchant.plan.string(),
        domain: merchant.domain.string(),
        email: wrapped
            .and_then(|data| data.email.string())
            .or_else(|| person.email.string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    fn now() -> Timestamp {
        Timestamp::from_second(1_750_000_000).unwrap()
    }

    #[test]
    fn the_lifetime_is_read_by_both_names_and_in_both_units() {
        let table = [
            (r#""expires_in":1209599"#, Some(1_751_209_599)),
            (r#""expires":1209599"#, Some(1_751_209_599)),
            (r#""expires_in":"1209599""#, Some(1_751_209_599)),
            (r#""expires_in":1209599.75"#, Some(1_751_209_599)),
            (r#""expires":1751000000"#, Some(1_751_000_000)),
            (r#""expires":"1751000000""#, Some(1_751_000_000)),
            (r#""expires":1751000000000"#, Some(1_751_000_000)),
            (r#""expires":"2025-06-27T04:53:20Z""#, Some(1_751_000_000)),
            (
                r#""expires_in":0,"expires":1751000000"#,
                Some(1_751_000_000),
            ),
            (
                r#""expires_in":60,"expires":1751000000"#,
                Some(1_751_000_000),
            ),
            (
                r#""expires_in":1209599,"expires":1740000000"#,
                Some(1_751_209_599),
            ),
        ];
        for (member, expected) in table {
            let body = format!(r#"{{"access_token":"a",{member}}}"#);
            let tokens = read_tokens(body.as_bytes(), now()).unwrap();
            assert_eq!(
                tokens.expires_at.map(Timestamp::as_second),
                expected,
                "{member}"
            );
        }
    }

    #[test]
    fn a_lifetime_that_makes_no_sense_says_nothing() {
        for member in [
            r#""expires_in":0"#,
            r#""expires_in":-1209599"#,
            r#""expires_in":"0""#,
            r#""expires_in":0.4"#,
            r#""expires_in":"soon""#,
            r#""expires_in":9223372036854775807"#,
            r#""expires_in":1e300"#,
            r#""expires_in":true"#,
            r#""expires_in":[1209599]"#,
            r#""expires_in":{}"#,
            r#""expires_in":"","expires":null"#,
            r#""expires_in":0,"expires":0"#,
            r#""expires":null"#,
            r#""scope":"x""#,
        ] {
            let body = format!(r#"{{"access_token":"a",{member}}}"#);
            let tokens = read_tokens(body.as_bytes(), now()).unwrap();
            assert_eq!(tokens.expires_at, None, "{member}");
        }
    }

    #[test]
    fn an_answer_without_an_access_token_holds_no_tokens() {
        assert!(read_tokens(br#"{"refresh_token":"r"}"#, now()).is_none());
        assert!(read_tokens(b"[]", now()).is_none());
        let tokens = read_tokens(br#"{"access_token":"a","refresh_token":"r"}"#, now()).unwrap();
        assert_eq!(tokens.refresh.unwrap().expose_secret(), "r");
    }

    /// A refresh token is spent by then: it must not be lost with a byte of something else.
    #[test]
    fn a_stray_byte_beside_the_tokens_costs_neither() {
        let body =
            b"\xef\xbb\xbf{\"access_token\":\"a\",\"refresh_token\":\"r\",\"scope\":\"\xd8\x01\"}";
        let headers = reqwest::header::HeaderMap::new();
        let kind = crate::classify::classify_token_answer(200, &headers, body, now());
        assert_eq!(kind, crate::classify::TokenResponseKind::Tokens);
        let tokens = read_tokens(body, now()).unwrap();
        assert_eq!(tokens.access.expose_secret(), "a");
        assert_eq!(tokens.refresh.unwrap().expose_secret(), "r");
        let info = read_user_info(b"{\"merchant\":{\"id\":7,\"name\":\"\xd8\"}}").unwrap();
        assert_eq!(info.merchant_id, 7);
    }

    #[test]
    fn a_damaged_token_is_none() {
        for token in ["a\\u0000b", "a b", "\\ud800", "a\\nb", "\u{fffd}"] {
            let body = format!(r#"{{"access_token":"{token}","refresh_token":"r"}}"#);
            assert!(read_tokens(body.as_bytes(), now()).is_none(), "{token}");
        }
    }

    #[test]
    fn user_info_is_read_with_and_without_an_envelope() {
        let forms = [
            r#"{"status":200,"success":true,"data":{"id":1,"merchant":{"id":7,"plan":"pro"}}}"#,
            r#"{"id":1,"merchant":{"id":7,"plan":"pro"}}"#,
            r#"{"data":{"id":1,"store":{"id":7,"plan":"pro"}}}"#,
        ];
        for form in forms {
            let info = read_user_info(form.as_bytes()).unwrap();
            assert_eq!(
                (info.merchant_id, info.plan.as_deref()),
                (7, Some("pro")),
                "{form}"
            );
        }
        assert_eq!(read_user_info(br#"{"data":{"id":1}}"#), None);
        let forms = [
            r#"{"data":{"email":"a@example.com","merchant":{"id":7,"email":"x"}}}"#,
            r#"{"email":"a@example.com","merchant":{"id":7}}"#,
        ];
        for form in forms {
            let info = read_user_info(form.as_bytes()).unwrap();
            assert_eq!(info.email.as_deref(), Some("a@example.com"), "{form}");
            assert!(!format!("{info:?}").contains("example"), "{info:?}");
        }
    }
}
