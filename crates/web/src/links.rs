//! Links that the app's backend gives to its customers. Opening one shows a page with a button,
//! because mail programs open links before people do; the button uses it.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use importer::ports::claims::Opens;
use importer::ports::sessions::OpenedBy;

use crate::client::Client;
use crate::limits::{LINKS, for_browser};
use crate::oauth::ConsentDoor;
use crate::pages::Page;
use crate::problem::Problem;
use crate::secrets::hash;
use crate::sessions::is_from_own_page;

/// Of their secrets.
pub(crate) const PREFIX: &str = "ssl_";

pub(crate) fn routes(door: Option<Arc<ConsentDoor>>) -> Router {
    let Some(door) = door else {
        return Router::new().route("/links/{link}", get(async || Page::NotOffered));
    };
    Router::new()
        .route("/links/{link}", get(show).post(follow))
        .with_state(door)
}

/// Asks for confirmation, and uses nothing.
async fn show(
    State(door): State<Arc<ConsentDoor>>,
    Path(link): Path<String>,
    request: Request,
) -> Response {
    let address = Client::of(request.extensions());
    let headers = request.headers().clone();
    match door.check_link(&link, address).await {
        Ok(true) => {
            let mut page = Page::Link.into_response();
            // The button's request names its page, so that no other site can press it.
            let policy = HeaderValue::from_static("same-origin");
            page.headers_mut().insert(header::REFERRER_POLICY, policy);
            page
        }
        Ok(false) => Page::LinkOver.into_response(),
        Err(problem) => for_browser(problem, &headers),
    }
}

async fn follow(
    State(door): State<Arc<ConsentDoor>>,
    Path(link): Path<String>,
    request: Request,
) -> Response {
    let address = Client::of(request.extensions());
    let headers = request.headers().clone();
    match door.check_link(&link, address).await {
        Ok(true) => {}
        Ok(false) => return Page::LinkOver.into_response(),
        Err(problem) => return for_browser(problem, &headers),
    }
    let own = door.sessions.origin.clone().unwrap_or_default();
    // Another site would have a merchant signed in to a shop that is not theirs.
    if !is_from_own_page(&headers, &own) {
        return Page::Suspicious.into_response();
    }
    match door.follow_link(&link, &headers, address).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    }
}

impl ConsentDoor {
    async fn check_link(&self, link: &str, address: Option<IpAddr>) -> Result<bool, Problem> {
        self.sessions.limiter.take(LINKS, address).await?;
        let hash = hash(link.as_bytes());
        Ok(self.connect.ports.claims.has_link(&hash).await?)
    }

    async fn follow_link(
        &self,
        link: &str,
        headers: &HeaderMap,
        address: Option<IpAddr>,
    ) -> Result<Response, Problem> {
        let Some((browser, state)) = self.new_state(headers) else {
            return Ok(Page::Failed.into_response());
        };
        let (link, begun) = (hash(link.as_bytes()), hash(state.as_bytes()));
        let claims = &self.connect.ports.claims;
        let Some(link) = claims.use_link(&link, Some(&begun)).await? else {
            return Ok(Page::LinkOver.into_response());
        };
        match link.opens {
            // No redirect: browsers hold all addresses that a form leads to against the policy
            // of its page, and Salla may send a merchant on to sign in.
            Opens::Account(_) => {
                let to_salla = self.send_to_salla(&browser, &state);
                let mut page = Page::ToSalla.into_response();
                let (sent, headers) = (to_salla.headers(), page.headers_mut());
                let location = sent.get(header::LOCATION).and_then(|to| to.to_str().ok());
                let refresh = format!("0; url={}", location.unwrap_or_default());
                if let Ok(refresh) = HeaderValue::from_str(&refresh) {
                    headers.insert(header::REFRESH, refresh);
                }
                if let Some(cookie) = sent.get(header::SET_COOKIE) {
                    headers.append(header::SET_COOKIE, cookie.clone());
                }
                Ok(page)
            }
            Opens::Shop(salla_id) => {
                let sessions = &self.sessions;
                let cookie = sessions.sign_in(salla_id, OpenedBy::Link, address).await?;
                let headers = [
                    (header::LOCATION, HeaderValue::from_static("/app")),
                    (header::SET_COOKIE, cookie),
                ];
                Ok((StatusCode::SEE_OTHER, headers).into_response())
            }
        }
    }
}
