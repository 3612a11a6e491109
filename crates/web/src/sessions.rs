//! How browsers carry the sessions of merchants: as a cookie on our own pages, as a bearer in the
//! frame inside Salla's dashboard, where no cookie arrives.
//!
//! What a cookie carries comes along with every request that any page sends here. So requests
//! that change something count only if the browser says that a page of this server sent them.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use domain::failure::Failure;
use importer::ports::sessions::{Carrier, OpenedBy, Session};
use importer::sessions::MerchantSessions;
use jiff::Timestamp;
use ring::rand::SecureRandom;
use secrecy::{ExposeSecret as _, SecretString};

use crate::client::Client;
use crate::frame::Random;
use crate::limits::Limiter;
use crate::problem::Problem;
use crate::secrets::{self, hash, secret_hash};

/// So that a secret that leaks can be found by searching for it.
pub(crate) const PREFIX: &str = "sss_";

/// What all doors need to know merchants again.
pub struct SessionDoor {
    pub sessions: MerchantSessions,
    pub limiter: Limiter,
    pub random: Random,
    /// How browsers name the pages of this server, as in `https://sync.example.com`; without it
    /// no cookie counts.
    pub origin: Option<String>,
    /// Browsers come by https, so cookies may say so.
    pub is_https: bool,
}

/// A session that a cookie carries, found by [`carry`] for those behind it.
#[derive(Clone, Debug)]
pub(crate) struct CookieSession(pub(crate) Session);

/// A secret to be shown once. `None`: the machine has no randomness to give.
pub(crate) fn new_secret(random: &dyn SecureRandom) -> Option<SecretString> {
    secrets::new_secret(PREFIX, random)
}

pub(crate) fn no_randomness() -> Failure {
    Failure::Bug {
        message: "this machine provides no random numbers for a session".to_owned(),
    }
}

impl SessionDoor {
    /// With the prefix no other host of the domain can set it.
    fn cookie_name(&self) -> &'static str {
        match self.is_https {
            true => "__Host-salla-sync-session",
            false => "salla-sync-session",
        }
    }

    fn cookie(&self, value: &str, seconds: i64) -> HeaderValue {
        let secure = if self.is_https { "; Secure" } else { "" };
        let name = self.cookie_name();
        let text =
            format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
        // It is made of letters and digits.
        HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""))
    }

    fn cookie_of(&self, secret: &SecretString, ends_at: Timestamp) -> HeaderValue {
        let now = self.sessions.clock.now();
        let seconds = ends_at.duration_since(now).as_secs().max(0);
        self.cookie(secret.expose_secret(), seconds)
    }

    /// Takes the cookie away from the browser.
    pub(crate) fn no_cookie(&self) -> HeaderValue {
        self.cookie("", 0)
    }

    /// Lets a browser in, and gives the cookie that says so.
    pub(crate) async fn sign_in(
        &self,
        salla_id: i64,
        opened_by: OpenedBy,
        address: Option<IpAddr>,
    ) -> Result<HeaderValue, Failure> {
        let secret = new_secret(&*self.random).ok_or_else(no_randomness)?;
        let hash = secret_hash(&secret);
        let session = self.sessions.sign_in(salla_id, opened_by, hash, address);
        let session = session.await?;
        Ok(self.cookie_of(&secret, session.expires_at))
    }

    /// The hash of the secret in the cookie, if there is one of the form of ours.
    fn presented(&self, headers: &HeaderMap) -> Option<[u8; 32]> {
        self.origin.as_ref()?;
        let value = cookie(headers, self.cookie_name())?;
        is_secret(value).then(|| hash(value.as_bytes()))
    }
}

/// Whether a text has the form of a secret.
pub(crate) fn is_secret(text: &str) -> bool {
    text.strip_prefix(PREFIX).is_some_and(secrets::are_digits)
}

/// The value of a cookie.
pub(crate) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let cookies = headers.get_all(header::COOKIE).iter();
    let mut cookies = cookies
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='));
    Some(cookies.find(|(found, _)| *found == name)?.1)
}

/// Whether a page of this server has sent the request, as the browser says. Pages cannot write
/// these headers; old browsers send only one of them, and no browser sends neither with a request
/// that changes something.
pub(crate) fn is_from_own_page(headers: &HeaderMap, own: &str) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    match (text("sec-fetch-site"), text("origin")) {
        // Pages that send no referrer have no origin either.
        (Some("same-origin"), None | Some("null")) => true,
        (Some("same-origin") | None, Some(origin)) => origin == own,
        _ => false,
    }
}

fn changes_nothing(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// Knows the merchant by the cookie, if the request carries nothing else to be known by, and
/// replaces the secret of a session that is used for long.
pub(crate) async fn carry(
    State(door): State<Arc<SessionDoor>>,
    mut request: Request,
    next: Next,
) -> Response {
    let has_bearer = request.headers().contains_key(header::AUTHORIZATION);
    let presented = match has_bearer {
        true => None,
        false => door.presented(request.headers()),
    };
    let Some(from) = presented else {
        return next.run(request).await;
    };
    let own = door.origin.as_deref().unwrap_or_default();
    if !changes_nothing(request.method()) && !is_from_own_page(request.headers(), own) {
        tracing::warn!(
            security = true,
            "a request from another site had a merchant's cookie; it was refused"
        );
        return wrong_origin().into_response();
    }
    let address = Client::of(request.extensions());
    let found = door.sessions.find(&from, Carrier::Cookie, address).await;
    let session = match found {
        Ok(Some(session)) => session,
        Ok(None) => {
            let mut response = next.run(request).await;
            response
                .headers_mut()
                .append(header::SET_COOKIE, door.no_cookie());
            return response;
        }
        Err(failure) => return Problem::from(failure).into_response(),
    };
    request
        .extensions_mut()
        .insert(CookieSession(session.clone()));
    let mut response = next.run(request).await;
    let is_set = response.headers().contains_key(header::SET_COOKIE);
    if door.sessions.is_due(&session) && !is_set {
        match door.rotate(&session, &from).await {
            Ok(Some(cookie)) => {
                response.headers_mut().append(header::SET_COOKIE, cookie);
            }
            Ok(None) => {}
            Err(failure) => tracing::warn!(%failure, "the secret of a session was not replaced"),
        }
    }
    response
}

impl SessionDoor {
    async fn rotate(
        &self,
        session: &Session,
        from: &[u8; 32],
    ) -> Result<Option<HeaderValue>, Failure> {
        let secret = new_secret(&*self.random).ok_or_else(no_randomness)?;
        let to = secret_hash(&secret);
        let expires_at = self.sessions.rotate(session, from, &to).await?;
        Ok(expires_at.map(|expires_at| self.cookie_of(&secret, expires_at)))
    }
}

fn wrong_origin() -> Problem {
    Problem::new(
        StatusCode::FORBIDDEN,
        "wrong_origin",
        "the request has a merchant's cookie, but a page of this server did not send it",
        "send it from a page of this server, or with a token instead of the cookie",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "https://sync.example.com";

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(name, value)| {
            let name = axum::http::HeaderName::from_static(name);
            (name, HeaderValue::from_str(value).unwrap())
        });
        pairs.collect()
    }

    #[test]
    fn only_pages_of_this_server_change_something_with_a_cookie() {
        let (site, origin) = ("sec-fetch-site", "origin");
        let table: &[(&[(&'static str, &str)], bool)] = &[
            (&[(site, "same-origin"), (origin, OWN)], true),
            (&[(site, "same-origin")], true),
            (&[(site, "same-origin"), (origin, "null")], true),
            (&[(site, "cross-site"), (origin, "null")], false),
            (&[(origin, OWN)], true),
            (&[], false),
            (&[(site, "none")], false),
            (&[(site, "none"), (origin, OWN)], false),
            (&[(site, "cross-site"), (origin, OWN)], false),
            (&[(site, "same-site"), (origin, OWN)], false),
            (
                &[(site, "same-origin"), (origin, "https://s.salla.sa")],
                false,
            ),
            (&[(origin, "null")], false),
            (&[(origin, "https://s.salla.sa")], false),
            (&[(origin, "https://sync.example.com.evil.example")], false),
            (&[(origin, "https://sync.example.com:8443")], false),
            (&[(origin, "http://sync.example.com")], false),
            (&[(origin, "https://SYNC.example.com/")], false),
        ];
        for (pairs, expected) in table {
            assert_eq!(
                is_from_own_page(&headers(pairs), OWN),
                *expected,
                "{pairs:?}"
            );
        }
    }

    #[test]
    fn a_cookie_is_found_among_others_by_its_whole_name() {
        let found = headers(&[("cookie", "a=1; salla-sync-session=x=y ;b=2")]);
        assert_eq!(cookie(&found, "salla-sync-session"), Some("x=y"));
        let other = headers(&[("cookie", "xsalla-sync-session=1; salla-sync-sessionx=2")]);
        assert_eq!(cookie(&other, "salla-sync-session"), None);
    }

    #[test]
    fn secrets_have_a_form_and_are_never_the_same() {
        let random = ring::rand::SystemRandom::new();
        let new = || new_secret(&random).unwrap().expose_secret().to_owned();
        let secret = new();
        assert!(is_secret(&secret) && secret != new());
        for text in [
            "",
            "sss_",
            &secret[4..],
            &secret[..60],
            &format!("{secret}0"),
            "sst_00",
        ] {
            assert!(!is_secret(text), "{text}");
        }
    }
}
