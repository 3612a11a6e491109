//! Tokens that are given as a file: a token, Salla's response with a pair of them, or the webhook
//! that brings them to an app.

use std::io::Read;
use std::path::Path;

use importer::ports::clock::{Clock as _, SystemClock};
use importer::ports::connections::Tokens;
use jiff::Timestamp;
use reqwest::header::{HeaderMap, HeaderValue};
use salla_client::webhook::{self, Event, SIGNATURE, WebhookError, WebhookSecret};
use secrecy::SecretString;

use super::token::{self, Kind};
use super::{SallaSettings, SettingsReader};
use crate::secret_files::{self, SecretFileError};

pub(super) const SECRET: &str = "SALLA_WEBHOOK_SECRET";
/// No token and no webhook comes near this.
const MAX_BYTES: u64 = 1 << 20;

/// What the webhook `app.store.authorize` gave.
#[derive(Clone, Debug)]
pub struct Authorization {
    pub salla: SallaSettings,
    /// Salla's id of the shop that the webhook names.
    pub merchant: i64,
    /// When the merchant authorized the app, as the webhook says.
    pub authorized_at: Option<Timestamp>,
    /// Whether its signature was looked at, and fits.
    pub is_checked: bool,
}

/// A file as it is, `-` for standard input, and when its content was received: lifetimes in seconds
/// count from then on.
fn contents(path: &Path) -> Result<(Vec<u8>, Timestamp), SecretFileError> {
    let now = SystemClock::real().now();
    if path == Path::new("-") {
        return Ok((read_to_end(std::io::stdin().lock())?, now));
    }
    let file = secret_files::open_named(path)?;
    let written = file.metadata()?.modified();
    let written = written.ok().and_then(|at| Timestamp::try_from(at).ok());
    Ok((read_to_end(file)?, written.unwrap_or(now)))
}

fn read_to_end(source: impl Read) -> std::io::Result<Vec<u8>> {
    let mut body = Vec::new();
    source.take(MAX_BYTES + 1).read_to_end(&mut body)?;
    if body.len() as u64 > MAX_BYTES {
        return Err(std::io::Error::other("it is longer than 1 MiB"));
    }
    Ok(body)
}

impl SettingsReader<'_> {
    pub(super) fn token_file(&mut self, path: &Path) -> Option<Tokens> {
        let (text, received_at) = self.contents("token file", path)?;
        let file = path.display();
        match token::parse(&text, received_at) {
            Ok(tokens) => self.checked(tokens, |kind| match kind {
                Kind::Access => format!("the access token in the token file {file}"),
                Kind::Refresh => format!("the refresh token in the token file {file}"),
            }),
            Err(problem) => {
                self.problem(format!("the token file {file} {problem}"));
                None
            }
        }
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
                "{SECRET} is set and the webhook has no signature: give its X-Salla-Signature with \
                 --signature, or --unsigned to accept it from any sender"
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
                let tokens = self.checked(tokens, |kind| match kind {
                    Kind::Access => "the access token in the webhook".to_owned(),
                    Kind::Refresh => "the refresh token in the webhook".to_owned(),
                });
                return Some(Authorization {
                    salla: self.with_app(tokens)?,
                    merchant,
                    authorized_at: created_at,
                    is_checked: signature.is_some(),
                });
            }
            Ok(_) => {
                "it is another event than app.store.authorize, which carries tokens".to_owned()
            }
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

    #[test]
    fn files_without_end_are_not_read_to_it() {
        let error = contents(Path::new("/dev/zero")).unwrap_err();
        assert!(error.to_string().contains("longer than"), "{error}");
        assert!(contents(Path::new("/")).is_err());
        assert_eq!(contents(Path::new("/dev/null")).unwrap().0, b"");
    }
}
