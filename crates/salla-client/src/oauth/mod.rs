//! Salla's OAuth server (docs/salla-api.md#oauth-and-tokens, docs.salla.dev/421118m0).
//!
//! `POST /oauth2/token` is sent once and never again by this module: what an error
//! says is whether the token that was presented may be spent.

mod parse;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use domain::contact::EmailAddress;
use domain::failure::Failure;
use domain::scopes::NEEDED;
use importer::ports::clock::{Clock, with_timeout};
use importer::ports::connections::Tokens;
use importer::ports::consents::{Accounts, RedeemError, ShopAccount};
use jiff::Timestamp;
use reqwest::header::{ACCEPT, HeaderMap};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::classify::{TokenResponseKind, classify_token_answer};
pub use parse::read_tokens;
use parse::{is_object, read_user_info};

/// The app as registered in the Salla Partners Portal.
#[derive(Clone, Debug)]
pub struct AppCredentials {
    pub client_id: String,
    pub client_secret: SecretString,
}

/// Why no tokens came.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not a byte of the request was sent, or it was turned away unread: what it
    /// would have presented is as good as before.
    #[error("Salla's OAuth server cannot be reached: {what}")]
    NotSent {
        what: &'static str,
        retry_after: Option<Duration>,
    },
    #[error("Salla's OAuth server refused the token or code as used, expired or revoked")]
    InvalidGrant,
    #[error("Salla's OAuth server refused the request: {code}")]
    Refused { code: &'static str },
    /// What was presented may be spent.
    #[error("the response of Salla's OAuth server was lost: {what}")]
    Lost { what: String },
}

/// Who installed the app and where.
#[derive(Clone, PartialEq, Eq)]
pub struct UserInfo {
    pub merchant_id: i64,
    pub merchant_name: Option<String>,
    pub plan: Option<String>,
    pub domain: Option<String>,
    /// Of the person who installed the app.
    pub email: Option<String>,
}

/// The person's data is not needed.
impl std::fmt::Debug for UserInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UserInfo")
            .field("merchant_id", &self.merchant_id)
            .finish_non_exhaustive()
    }
}

#[derive(Clone, Debug)]
pub struct OAuth {
    http: reqwest::Client,
    accounts_url: Url,
    clock: Arc<dyn Clock>,
    timeout: Duration,
}

const TIMEOUT: Duration = Duration::from_secs(30);

/// Tokens and persons take a few hundred bytes.
const MAX_BYTES: usize = 1 << 20;

/// Where the merchant's browser goes to consent. Scopes are joined by a space, as
/// documented, and `offline_access` is added: without it no refresh token is issued.
pub fn authorize_url(
    accounts_url: &Url,
    client_id: &str,
    redirect_uri: &str,
    scopes: &[&str],
    state: &str,
) -> Url {
    let mut scopes = scopes.to_vec();
    if !scopes.contains(&"offline_access") {
        scopes.push("offline_access");
    }
    let mut url = endpoint(accounts_url, "oauth2/auth");
    url.query_pairs_mut()
        .append_pair("client_id", client_id)
        .append_pair("response_type", "code")
        .append_pair("redirect_uri", redirect_uri)
        .append_pair("scope", &scopes.join(" "))
        .append_pair("state", state);
    url
}

/// `path` below `base`, whether or not `base` ends in a slash.
pub(crate) fn endpoint(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    let whole = format!(
        "{}/{}",
        base.path().trim_end_matches('/'),
        path.trim_start_matches('/')
    );
    url.set_path(&whole);
    url
}

impl OAuth {
    /// `http` must never retry automatically: see [`crate::http::token_client`].
    pub fn new(http: reqwest::Client, accounts_url: Url, clock: Arc<dyn Clock>) -> Self {
        Self {
            http,
            accounts_url,
            clock,
            timeout: TIMEOUT,
        }
    }

    /// Redeems the code of a consent; it works once.
    pub async fn exchange_code(
        &self,
        app: &AppCredentials,
        code: &str,
        redirect_uri: &str,
    ) -> Result<Tokens, TokenError> {
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", redirect_uri),
            ("scope", "offline_access"),
        ];
        self.ask_for_tokens(app, &form).await
    }

    /// Presents a refresh token; it works once.
    pub async fn refresh(
        &self,
        app: &AppCredentials,
        refresh_token: &SecretString,
    ) -> Result<Tokens, TokenError> {
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh_token.expose_secret()),
        ];
        self.ask_for_tokens(app, &form).await
    }

    async fn ask_for_tokens(
        &self,
        app: &AppCredentials,
        grant: &[(&str, &str)],
    ) -> Result<Tokens, TokenError> {
        let mut form = grant.to_vec();
        form.push(("client_id", &app.client_id));
        form.push(("client_secret", app.client_secret.expose_secret()));
        let request = self
            .http
            .post(endpoint(&self.accounts_url, "oauth2/token"))
            .header(ACCEPT, "application/json")
            .form(&form);
        let asked_at = self.clock.now();
        let answer = with_timeout(&*self.clock, self.timeout, answer_to(request)).await;
        let (status, headers, body) = answer.ok_or_else(no_response)??;
        interpret(status, &headers, &body, asked_at)
    }

    /// Whether Salla's OAuth server is there, found out without presenting anything that can
    /// be spent: a refusal of the access token is as good as any other response. What stands in
    /// front of the server, such as a page about maintenance, does not count: it would swallow the
    /// next request as well.
    pub async fn responds(&self, access_token: &SecretString) -> Result<(), String> {
        let (status, body) = self
            .person(access_token)
            .await
            .map_err(|error| error.to_string())?;
        match is_of_the_server(status, &body) {
            true => Ok(()),
            false => Err(format!("status {status}, not the server's response")),
        }
    }

    /// `GET /oauth2/user/info` (docs/salla-api.md#user-info); Salla's own sources
    /// disagree on whether it has an envelope, so both forms are read.
    pub async fn user_info(&self, access_token: &SecretString) -> Result<UserInfo, Failure> {
        let transient = |what: String| Failure::Transient {
            message: format!("requesting the merchant of the app: {what}"),
        };
        let (status, body) = self
            .person(access_token)
            .await
            .map_err(|error| transient(error.to_string()))?;
        match status {
            200..=299 if !is_object(&body) => {
                Err(transient("the response is no JSON object".to_owned()))
            }
            200..=299 => read_user_info(&body).ok_or_else(|| Failure::Broken {
                message: "requesting the merchant of the app: the response names no merchant"
                    .to_owned(),
            }),
            401 => Err(domain::failure::Disconnection::TokenRejected.into()),
            _ => Err(transient(format!("Salla responded with status {status}"))),
        }
    }

    async fn person(&self, access_token: &SecretString) -> Result<(u16, Bytes), TokenError> {
        let request = self
            .http
            .get(endpoint(&self.accounts_url, "oauth2/user/info"))
            .header(ACCEPT, "application/json")
            .bearer_auth(access_token.expose_secret());
        let answer = with_timeout(&*self.clock, self.timeout, answer_to(request)).await;
        let (status, _, body) = answer.ok_or_else(no_response)??;
        Ok((status, body))
    }
}

/// Whether the OAuth server itself said this: of all its responses only a 401 may lack a JSON
/// object.
fn is_of_the_server(status: u16, body: &[u8]) -> bool {
    match status {
        401 => true,
        429 => false,
        200..=299 | 400..=499 => is_object(body),
        _ => false,
    }
}

fn no_response() -> TokenError {
    TokenError::Lost {
        what: "no response in time".to_owned(),
    }
}

pub(crate) async fn answer_to(
    request: reqwest::RequestBuilder,
) -> Result<(u16, HeaderMap, Bytes), TokenError> {
    let response = request.send().await.map_err(|error| {
        if error.is_connect() || error.is_builder() {
            TokenError::NotSent {
                what: "there is no connection",
                retry_after: None,
            }
        } else {
            lost(&error)
        }
    })?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = body_of(response).await?;
    Ok((status, headers, body))
}

async fn body_of(mut response: reqwest::Response) -> Result<Bytes, TokenError> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| lost(&error))? {
        if body.len() + chunk.len() > MAX_BYTES {
            return Err(TokenError::Lost {
                what: "the response is longer than 1 MiB".to_owned(),
            });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// The error's own text would hold the address.
fn lost(error: &reqwest::Error) -> TokenError {
    let what = if error.is_timeout() {
        "no response in time"
    } else {
        "the connection was cut"
    };
    TokenError::Lost {
        what: what.to_owned(),
    }
}

fn interpret(
    status: u16,
    headers: &HeaderMap,
    body: &[u8],
    now: Timestamp,
) -> Result<Tokens, TokenError> {
    match classify_token_answer(status, headers, body, now) {
        TokenResponseKind::Tokens => {
            let tokens = read_tokens(body, now).ok_or_else(|| TokenError::Lost {
                what: "the response has no access token".to_owned(),
            })?;
            // A token that was just issued has not expired, even if the response says so.
            let expires_at = tokens.expires_at.filter(|end| *end > now);
            Ok(Tokens {
                expires_at,
                ..tokens
            })
        }
        TokenResponseKind::InvalidGrant => Err(TokenError::InvalidGrant),
        TokenResponseKind::Refused { code } => Err(TokenError::Refused { code }),
        TokenResponseKind::Throttled { retry_after } => Err(TokenError::NotSent {
            what: "it requires a wait",
            retry_after,
        }),
        TokenResponseKind::Lost { status } => Err(TokenError::Lost {
            what: format!("status {status}"),
        }),
    }
}

/// One app at Salla's accounts host.
#[derive(Clone, Debug)]
pub struct AppAccounts {
    pub oauth: OAuth,
    pub app: AppCredentials,
    /// Where browsers come back to, exactly as the app's registration has it.
    pub redirect_uri: String,
}

#[async_trait]
impl Accounts for AppAccounts {
    fn consent_address(&self, state: &str) -> String {
        let host = &self.oauth.accounts_url;
        let (id, redirect_uri) = (&self.app.client_id, &self.redirect_uri);
        authorize_url(host, id, redirect_uri, &NEEDED, state).into()
    }

    async fn redeem(&self, code: &SecretString) -> Result<Tokens, RedeemError> {
        let exchange =
            self.oauth
                .exchange_code(&self.app, code.expose_secret(), &self.redirect_uri);
        exchange.await.map_err(|error| match error {
            TokenError::InvalidGrant => RedeemError::CodeRefused,
            TokenError::Refused { code } => RedeemError::AppRefused { code },
            TokenError::NotSent { .. } | TokenError::Lost { .. } => RedeemError::NoAnswer {
                reason: error.to_string(),
            },
        })
    }

    async fn shop_of(&self, access_token: &SecretString) -> Result<ShopAccount, Failure> {
        let info = self.oauth.user_info(access_token).await?;
        Ok(ShopAccount {
            salla_id: info.merchant_id,
            email: info.email.as_deref().and_then(EmailAddress::parse),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_server_itself_counts_as_a_response() {
        const OBJECT: &str = r#"{"error":"invalid_token"}"#;
        const PAGE: &str = "<!DOCTYPE html><html><title>Back soon</title></html>";
        for (status, object, other) in [
            (200, true, false),
            (204, true, false),
            (301, false, false),
            (302, false, false),
            (400, true, false),
            (401, true, true),
            (403, true, false),
            (404, true, false),
            (429, false, false),
            (500, false, false),
            (503, false, false),
        ] {
            assert_eq!(
                is_of_the_server(status, OBJECT.as_bytes()),
                object,
                "{status}"
            );
            for body in ["", PAGE, "[]", "null", "\"ok\"", r#"{"error":"#] {
                let found = is_of_the_server(status, body.as_bytes());
                assert_eq!(found, other, "{status} {body}");
            }
        }
    }

    #[test]
    fn consent_is_requested_with_spaces_and_offline_access() {
        let base = Url::parse("https://accounts.salla.sa/").unwrap();
        let scopes = ["orders.read", "customers.read"];
        let url = authorize_url(&base, "id", "https://example.org/callback", &scopes, "s1");
        let scope = url.query_pairs().find(|(key, _)| key == "scope").unwrap().1;
        assert_eq!(url.path(), "/oauth2/auth");
        assert_eq!(scope, "orders.read customers.read offline_access");
    }

    #[test]
    fn an_endpoint_keeps_the_path_of_its_base() {
        for base in [
            "https://api.salla.dev/admin/v2",
            "https://api.salla.dev/admin/v2/",
        ] {
            let url = endpoint(&Url::parse(base).unwrap(), "/orders/1");
            assert_eq!(url.as_str(), "https://api.salla.dev/admin/v2/orders/1");
        }
    }
}
