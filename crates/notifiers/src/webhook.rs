//! Outgoing webhooks, signed as the Standard Webhooks specification says
//! (<https://www.standardwebhooks.com>), so that receivers verify them with a library.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::failure::Failure;
use domain::notification::Audience;
use importer::ports::clock::Clock;
use importer::ports::notifications::{Alert, Alerts, ConnectionChange, Notice, Notifier};
use reqwest::StatusCode;
use ring::hmac;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use url::Url;

use crate::payload;

/// A receiver that takes longer gets the request again later.
const TIMEOUT: Duration = Duration::from_secs(10);
const PREFIX: &str = "whsec_";
/// As the specification requires.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// The key that signs, known to the receiver.
#[derive(Clone)]
pub struct Secret(hmac::Key);

/// Says what is wrong without quoting it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecretError;

impl std::fmt::Display for SecretError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(
            "is not whsec_ followed by 24 to 64 bytes in base64; make one with \
             echo \"whsec_$(openssl rand -base64 32)\"",
        )
    }
}

impl std::error::Error for SecretError {}

impl Secret {
    pub fn parse(text: &SecretString) -> Result<Self, SecretError> {
        let encoded = text
            .expose_secret()
            .strip_prefix(PREFIX)
            .ok_or(SecretError)?;
        let key = STANDARD.decode(encoded).map_err(|_| SecretError)?;
        if !KEY_BYTES.contains(&key.len()) {
            return Err(SecretError);
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &key)))
    }

    /// The value of `webhook-signature`.
    fn sign(&self, id: &str, timestamp: i64, body: &str) -> String {
        let signed = format!("{id}.{timestamp}.{body}");
        let tag = hmac::sign(&self.0, signed.as_bytes());
        format!("v1,{}", STANDARD.encode(tag))
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// One receiver. Its address may hold a secret, so only its host is ever shown.
#[derive(Clone)]
pub struct Webhook {
    name: &'static str,
    audience: Audience,
    url: Url,
    secret: Secret,
    http: reqwest::Client,
    /// The proxy on the way to it, in words.
    way: Option<String>,
    clock: Arc<dyn Clock>,
}

/// How a receiver is reached.
#[derive(Debug)]
pub struct Route {
    /// With what all clients of the program have in common.
    pub client: reqwest::ClientBuilder,
    /// The proxy on the way, in words.
    pub way: Option<String>,
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhook")
            .field("name", &self.name)
            .field("host", &self.url.host_str())
            .finish_non_exhaustive()
    }
}

impl Webhook {
    /// `url`: http or https.
    pub fn new(
        audience: Audience,
        url: Url,
        secret: Secret,
        route: Route,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Failure> {
        let http = route
            .client
            .timeout(TIMEOUT)
            // A signed body is for one receiver and not for where it points to.
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("salla-sync/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| Failure::Bug {
                message: format!("the HTTP client cannot be set up: {error}"),
            })?;
        let name = match audience {
            Audience::Merchant => "webhook",
            Audience::Operator => "operator_webhook",
        };
        Ok(Self {
            name,
            audience,
            url,
            secret,
            http,
            way: route.way,
            clock,
        })
    }

    async fn post(&self, id: &str, payload: &Value) -> Result<(), Failure> {
        let body = payload.to_string();
        let timestamp = self.clock.now().as_second();
        let request = self
            .http
            .post(self.url.clone())
            .header("content-type", "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp.to_string())
            .header("webhook-signature", self.secret.sign(id, timestamp, &body))
            .body(body);
        match request.send().await {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(self.refused(answer.status())),
            Err(error) if error.is_timeout() => Err(self.failed("did not respond in 10 s")),
            Err(error) if error.is_connect() => Err(self.failed("cannot be reached")),
            Err(_) => Err(self.failed("broke off")),
        }
    }

    fn refused(&self, status: StatusCode) -> Failure {
        let what = self.about(&format!("responded with status {status}"));
        match is_lasting(status) {
            true => Failure::Broken { message: what },
            false => Failure::Transient { message: what },
        }
    }

    fn failed(&self, what: &str) -> Failure {
        Failure::Transient {
            message: self.about(what),
        }
    }

    fn about(&self, what: &str) -> String {
        let host = self.url.host_str().unwrap_or("the webhook's host");
        let way = self.way.as_ref().map(|way| format!(" {way}"));
        let way = way.unwrap_or_default();
        format!("{} to {host}{way}: it {what}", self.name)
    }
}

/// Whether the same request would get the same response until the address, the secret or the
/// receiver change. What a retry may solve is not among these: 408, 425, 429 and the receiver's own
/// errors.
fn is_lasting(status: StatusCode) -> bool {
    status.is_client_error() && !matches!(status.as_u16(), 408 | 425 | 429)
}

#[async_trait]
impl Notifier for Webhook {
    fn name(&self) -> &'static str {
        self.name
    }

    fn audience(&self) -> Audience {
        self.audience
    }

    async fn deliver(&self, notice: &Notice) -> Result<(), Failure> {
        let payload = payload::notice(notice, self.audience);
        self.post(&notice.id.to_string(), &payload).await
    }

    /// The app's backend informs the merchant for us.
    fn takes_connection_changes(&self) -> bool {
        self.audience == Audience::Merchant
    }

    async fn deliver_connection_change(&self, change: &ConnectionChange) -> Result<(), Failure> {
        let payload = payload::connection_change(change);
        self.post(&change.id.to_string(), &payload).await
    }
}

#[async_trait]
impl Alerts for Webhook {
    async fn raise(&self, alert: &Alert) -> Result<(), Failure> {
        // It is not tried again, so no two that are sent may be taken for one.
        let of = alert.run.map_or_else(String::new, |run| run.to_string());
        let id = format!("alert_{}_{of}_{}", alert.code, alert.at.as_nanosecond());
        self.post(&id, &payload::alert(alert)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's reference implementations.
    #[test]
    fn signatures_are_those_of_the_specification() {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned().into();
        let Ok(secret) = Secret::parse(&secret) else {
            panic!("the secret is of the right form");
        };
        let signature = secret.sign(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            r#"{"test": 2432232314}"#,
        );
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn only_secrets_of_the_right_form_are_taken() {
        for text in ["", "whsec_", "whsec_c2hvcnQ=", "secret", "whsec_%%%"] {
            let error = Secret::parse(&text.to_owned().into()).err();
            assert_eq!(error, Some(SecretError), "{text}");
        }
    }
}
