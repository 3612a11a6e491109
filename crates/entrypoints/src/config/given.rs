//! Tokens that are given as a file: a token, Salla's answer with a pair of them, or the
//! webhook that brings them to an app.

use std::io::Read as _;
use std::path::Path;

use importer::ports::clock::{Clock as _, SystemClock};
use importer::ports::connections::Tokens;
use jiff::Timestamp;
use reqwest::header::{HeaderMap, HeaderValue};
use salla_client::oauth::read_tokens;
use salla_client::webhook::{self, Event, SIGNATURE, WebhookError, WebhookSecret};
use secrecy::SecretString;

use super::{Reader, SallaSettings};

const SECRET: &str = "SALLA_WEBHOOK_SECRET";

/// What the webhook `app.store.authorize` gave.
#[derive(Clone, Debug)]
pub struct Authorization {
    pub salla: SallaSettings,
    /// Salla's number of the shop that the webhook names.
    pub merchant: i64,
    /// When the merchant authorized the app, as the webhook says.
    pub authorized_at: Option<Timestamp>,
    /// Whether its signature was looked at, and fits.
    pub is_checked: bool,
}

/// A file as it is, `-` for standard input, and when what it holds was received: what
/// lives for so many seconds does so from then on.
fn contents(path: &Path) -> std::io::Result<(Vec<u8>, Timestamp)> {
    let now = SystemClock::real().now();
    if path == Path::new("-") {
        let mut body = Vec::new();
        return std::io::stdin().read_to_end(&mut body).map(|_| (body, now));
    }
    let written = std::fs::metadata(path)?.modified();
    let written = written.ok().and_then(|at| Timestamp::try_from(at).ok());
    Ok((std::fs::read(path)?, written.unwrap_or(now)))
}

/// A bare token, or Salla's token answer as it is.
fn parse_tokens(text: &[u8], received_at: Timestamp) -> Option<Tokens> {
    let text = text.trim_ascii();
    if text.starts_with(b"{") {
        return read_tokens(text, received_at);
    }
    let token = std::str::from_utf8(text).ok()?;
    let is_one_word = !token.is_empty() && !token.contains(char::is_whitespace);
    is_one_word.then(|| Tokens {
        access: token.into(),
        refresh: None,
        expires_at: None,
        scope: None,
    })
}

impl Reader<'_> {
    pub(super) fn token_file(&mut self, path: &Path) -> Option<Tokens> {
        let (text, received_at) = self.contents("token file", path)?;
        let tokens = parse_tokens(&text, received_at);
        if tokens.is_none() {
            self.problem(format!(
                "the token file {} holds neither a single token nor JSON with access_token; the \
                 body of a webhook is for `salla-sync connect --from-webhook`",
                path.display()
            ));
        }
        tokens
    }

    fn contents(&mut self, what: &str, path: &Path) -> Option<(Vec<u8>, Timestamp)> {
        contents(path)
            .map_err(|error| self.problem(format!("the {what} {}: {error}", path.display())))
            .ok()
    }

    /// The tokens in the body of `app.store.authorize`. With a signature it has to be
    /// Salla's; without one it is taken where nothing is there to check it with, or where
    /// that is wanted.
    pub fn authorization(
        &mut self,
        path: &Path,
        signature: Option<&str>,
        unsigned: bool,
    ) -> Option<Authorization> {
        let secret = self.text(SECRET).map(SecretString::from);
        let secret = secret.as_ref().and_then(WebhookSecret::new);
        if signature.is_some() && secret.is_none() {
            self.problem(format!(
                "--signature is given but {SECRET}, which it is checked with, is not set (Salla \
                 Partners Portal, your app, Webhooks)"
            ));
            return None;
        }
        if signature.is_none() && secret.is_some() && !unsigned {
            self.problem(format!(
                "{SECRET} is set and the webhook comes without its signature: give its \
                 X-Salla-Signature with --signature, or --unsigned to take it from whoever sent it"
            ));
            return None;
        }
        let (body, received_at) = self.contents("webhook", path)?;
        let read = match signature.zip(secret.as_ref()) {
            Some((hex, secret)) => receive(hex, &body, secret, received_at),
            None => webhook::read(&body, received_at),
        };
        let problem = match read {
            Ok(Event::StoreAuthorized {
                merchant,
                tokens,
                created_at,
            }) => {
                return Some(Authorization {
                    salla: self.with_app(Some(tokens))?,
                    merchant,
                    authorized_at: created_at,
                    is_checked: signature.is_some(),
                });
            }
            Ok(_) => "it is another one than app.store.authorize, which brings tokens".to_owned(),
            Err(error) => error.to_string(),
        };
        self.problem(format!("the webhook {}: {problem}", path.display()));
        None
    }
}

fn receive(
    hex: &str,
    body: &[u8],
    secret: &WebhookSecret,
    received_at: Timestamp,
) -> Result<Event, WebhookError> {
    let value = HeaderValue::from_str(hex).map_err(|_| WebhookError::WrongSignature)?;
    let headers = HeaderMap::from_iter([(SIGNATURE, value)]);
    webhook::receive(&headers, body, secret, received_at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret as _;

    #[test]
    fn token_files_hold_a_token_or_sallas_answer() {
        let received_at = Timestamp::from_second(1_750_000_000).unwrap();
        let table = [
            ("ory_at_x\n", Some(("ory_at_x", None, None))),
            (
                r#"{"access_token":"a","refresh_token":"r","expires":1751000000}"#,
                Some(("a", Some("r"), Some(1_751_000_000))),
            ),
            (
                r#"{"access_token":"a","expires_in":1209599}"#,
                Some(("a", None, Some(1_751_209_599))),
            ),
            ("two words", None),
            ("", None),
            ("{}", None),
            (
                r#"{"event":"app.store.authorize","data":{"access_token":"a"}}"#,
                None,
            ),
        ];
        for (text, expected) in table {
            let tokens = parse_tokens(text.as_bytes(), received_at);
            let found = tokens.as_ref().map(|tokens| {
                (
                    tokens.access.expose_secret(),
                    tokens.refresh.as_ref().map(SecretString::expose_secret),
                    tokens.expires_at.map(Timestamp::as_second),
                )
            });
            assert_eq!(found, expected, "{text}");
        }
    }
}
