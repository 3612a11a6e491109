//! Whether a delivery is Salla's (docs/salla-api.md#signatures). Both comparisons take constant
//! time.

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName};
use ring::hmac;
use secrecy::{ExposeSecret, SecretString};

use super::WebhookError;

/// Carries HMAC-SHA256 of the raw body in hexadecimal digits.
pub const SIGNATURE: HeaderName = HeaderName::from_static("x-salla-signature");
const STRATEGY: HeaderName = HeaderName::from_static("x-salla-security-strategy");

/// The app's webhook secret, as the Salla Partners Portal shows it.
#[derive(Clone)]
pub struct WebhookSecret {
    key: hmac::Key,
    /// What the secret itself is signed with: a token is compared by its signature.
    own: hmac::Tag,
}

impl std::fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WebhookSecret")
    }
}

impl WebhookSecret {
    /// `None`: an empty secret, which is no secret.
    pub fn new(text: &SecretString) -> Option<Self> {
        let text = text.expose_secret().trim().as_bytes();
        let key = hmac::Key::new(hmac::HMAC_SHA256, text);
        let own = hmac::sign(&key, text);
        (!text.is_empty()).then_some(Self { key, own })
    }

    /// The sender chooses the strategy, which gives nothing away: either needs the
    /// secret. Deliveries without a strategy's name are known by what they carry.
    pub(super) fn check(&self, headers: &HeaderMap, body: &[u8]) -> Result<(), WebhookError> {
        let value = |name| headers.get(name).map(|value| value.as_bytes().trim_ascii());
        let (signature, token) = (value(SIGNATURE), value(AUTHORIZATION));
        let strategy = value(STRATEGY).map(<[u8]>::to_ascii_lowercase);
        let fits = match (strategy.as_deref(), signature, token) {
            (Some(b"signature") | None, Some(signature), _) => self.has_signed(signature, body),
            (Some(b"token") | None, _, Some(token)) => self.is(token),
            _ => return Err(WebhookError::NotSigned),
        };
        match fits {
            true => Ok(()),
            false => Err(WebhookError::WrongSignature),
        }
    }

    fn has_signed(&self, digits: &[u8], body: &[u8]) -> bool {
        hex::decode(digits).is_ok_and(|tag| hmac::verify(&self.key, body, &tag).is_ok())
    }

    fn is(&self, token: &[u8]) -> bool {
        hmac::verify(&self.key, token, self.own.as_ref()).is_ok()
    }
}
