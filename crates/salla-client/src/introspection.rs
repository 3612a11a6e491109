//! What Salla says of a token that its dashboard hands to a page inside it
//! (docs/salla-api.md#embedded-apps).
//!
//! The response grants access, so nothing here is lenient: everything but a plain success for this
//! app is a refusal.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use importer::ports::clock::{Clock, with_timeout};
use importer::ports::sessions::{Introspected, Introspection, IntrospectionError};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderName};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use crate::oauth::answer_to;

const SOURCE: HeaderName = HeaderName::from_static("s-source");
/// A merchant looks at an empty frame meanwhile.
const TIMEOUT: Duration = Duration::from_secs(10);

/// One app at Salla's introspection.
#[derive(Clone, Debug)]
pub struct AppIntrospection {
    pub http: reqwest::Client,
    /// The whole address, as it is.
    pub url: Url,
    /// The app's number in the Salla Partners Portal.
    pub app_id: String,
    pub clock: Arc<dyn Clock>,
}

#[async_trait]
impl Introspection for AppIntrospection {
    async fn introspect(&self, token: &SecretString) -> Result<Introspected, IntrospectionError> {
        // What Salla's own kit sends beside the token.
        let body = json!({
            "env": "prod",
            "token": token.expose_secret(),
            "iss": "merchant-dashboard",
            "subject": "embedded-page",
        });
        let request = self
            .http
            .post(self.url.clone())
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/json")
            .header(SOURCE, &self.app_id)
            .body(body.to_string());
        let no_answer = |reason: String| IntrospectionError::NoAnswer(reason);
        let answer = with_timeout(&*self.clock, TIMEOUT, answer_to(request)).await;
        let (status, _, body) = answer
            .ok_or_else(|| no_answer("no response in time".to_owned()))?
            .map_err(|error| no_answer(error.to_string()))?;
        if status >= 500 || status == 429 {
            return Err(no_answer(format!("status {status}")));
        }
        read(status, &body, &self.app_id).map_err(IntrospectionError::Refused)
    }
}

#[derive(Deserialize)]
struct AnswerWire {
    #[serde(default)]
    status: Value,
    success: bool,
    data: DataWire,
}

#[derive(Deserialize)]
struct DataWire {
    merchant_id: Value,
    #[serde(default)]
    user_id: Value,
    exp: Value,
    /// Salla names no app; if it ever does, it has to be this one.
    #[serde(default)]
    app_id: Value,
    #[serde(default)]
    aud: Value,
}

fn read(status: u16, body: &[u8], app_id: &str) -> Result<Introspected, &'static str> {
    if status != 200 {
        return Err("Salla refuses it");
    }
    let answer: AnswerWire =
        serde_json::from_slice(body).map_err(|_| "the response is not the documented one")?;
    let status = &answer.status;
    if !answer.success || !(status.is_null() || number(status) == Some(200)) {
        return Err("Salla refuses it");
    }
    let data = answer.data;
    for app in [&data.app_id, &data.aud] {
        let named = app.as_str().map_or_else(|| app.to_string(), str::to_owned);
        if !app.is_null() && named != app_id {
            return Err("it is another app's");
        }
    }
    Ok(Introspected {
        merchant: number(&data.merchant_id)
            .filter(|merchant| *merchant > 0)
            .ok_or("the response names no merchant")?,
        person: number(&data.user_id),
        expires_at: end(&data.exp).ok_or("the response has no expiry")?,
    })
}

fn number(value: &Value) -> Option<i64> {
    match value {
        Value::String(text) => text.parse().ok(),
        other => other.as_i64(),
    }
}

/// A text without a zone is read as UTC, the later reading in Saudi Arabia: that the token counts
/// now is what Salla has just said.
fn end(value: &Value) -> Option<Timestamp> {
    if let Some(seconds) = number(value) {
        return Timestamp::from_second(seconds).ok();
    }
    let text = value.as_str()?;
    if let Ok(instant) = text.parse() {
        return Some(instant);
    }
    let civil: DateTime = text.parse().ok()?;
    Some(civil.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    const APP: &str = "1234567890";

    fn read_ok(data: &str) -> Result<Introspected, &'static str> {
        let body = format!(r#"{{"status":200,"success":true,"data":{data}}}"#);
        read(200, body.as_bytes(), APP)
    }

    #[test]
    fn a_plain_success_names_the_merchant() {
        for (merchant, exp) in [
            ("1305146709", r#""2030-01-02T03:04:05Z""#),
            (r#""1305146709""#, r#""2030-01-02T06:04:05.000+03:00""#),
            ("1305146709", r#""2030-01-02 03:04:05""#),
            ("1305146709", "1893553445"),
        ] {
            let data = format!(r#"{{"merchant_id":{merchant},"user_id":7,"exp":{exp}}}"#);
            let introspected = read_ok(&data).unwrap();
            assert_eq!(introspected.merchant, 1_305_146_709);
            assert_eq!(introspected.person, Some(7));
            assert_eq!(introspected.expires_at.as_second(), 1_893_553_445, "{exp}");
        }
        let ours = format!(r#"{{"merchant_id":1,"exp":1893553445,"app_id":{APP},"aud":"{APP}"}}"#);
        assert!(read_ok(&ours).is_ok());
    }

    #[test]
    fn everything_else_is_a_refusal() {
        let good = r#"{"merchant_id":1,"exp":"2030-01-02T03:04:05Z"}"#;
        let whole = |start: &str| format!("{{{start}\"data\":{good}}}");
        let bodies = [
            String::new(),
            "null".to_owned(),
            "[]".to_owned(),
            "true".to_owned(),
            good.to_owned(),
            whole(""),
            whole(r#""success":false,"#),
            whole(r#""success":"true","#),
            whole(r#""success":1,"#),
            whole(r#""status":401,"success":true,"#),
            whole(r#""status":"422","success":true,"#),
            whole(r#""success":true,"success":true,"#),
            r#"{"success":true}"#.to_owned(),
            r#"{"success":true,"data":[]}"#.to_owned(),
            r#"{"success":true,"data":null}"#.to_owned(),
        ];
        for body in bodies {
            assert!(read(200, body.as_bytes(), APP).is_err(), "{body}");
        }
        for data in [
            "{}",
            r#"{"merchant_id":1}"#,
            r#"{"exp":1893553445}"#,
            r#"{"merchant_id":0,"exp":1893553445}"#,
            r#"{"merchant_id":-1,"exp":1893553445}"#,
            r#"{"merchant_id":1.5,"exp":1893553445}"#,
            r#"{"merchant_id":"متجر","exp":1893553445}"#,
            r#"{"merchant_id":1,"exp":"soon"}"#,
            r#"{"merchant_id":1,"exp":null}"#,
            r#"{"merchant_id":1,"merchant_id":2,"exp":1893553445}"#,
            r#"{"merchant_id":1,"exp":1893553445,"app_id":99}"#,
            r#"{"merchant_id":1,"exp":1893553445,"aud":"99"}"#,
            r#"{"merchant_id":1,"exp":1893553445,"aud":["1234567890","99"]}"#,
        ] {
            assert!(read_ok(data).is_err(), "{data}");
        }
        let body = format!(r#"{{"status":200,"success":true,"data":{good}}}"#);
        assert!(read(200, body.as_bytes(), APP).is_ok());
        for status in [201, 202, 204, 301, 400, 401, 403, 404, 422] {
            assert!(read(status, body.as_bytes(), APP).is_err(), "{status}");
        }
    }
}
