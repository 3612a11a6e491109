//! Custom mode: a merchant's browser goes to Salla to consent, and comes back with a code.
//!
//! A code is only redeemed for the browser that started, so an attacker cannot connect another
//! merchant's shop to their account, or theirs to another's.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use importer::connect::{ConnectShops, Refused};
use importer::metrics;
use importer::ports::clock::{Clock, with_timeout};
use importer::ports::consents::{Consents, RedeemError, Returned, Use};
use importer::ports::sessions::OpenedBy;
use secrecy::SecretString;
use serde::Deserialize;
use tokio::sync::RwLock;
use tracing::Instrument as _;

use crate::client::Client;
use crate::frame::Random;
use crate::limits::{CONSENTS, for_browser};
use crate::pages::Page;
use crate::secrets::hash;
use crate::sessions::{SessionDoor, cookie};
use crate::state::{Checked, LASTS, States, is_browser, new_browser};

/// How long a second load of the page waits for the first.
const WAIT_FOR_FIRST: Duration = Duration::from_secs(10);
/// The browser gets a page by then; the work continues.
const WAIT_FOR_PAGE: Duration = Duration::from_secs(15);
const LOOK_EVERY: Duration = Duration::from_millis(100);

pub struct ConsentDoor {
    pub connect: ConnectShops,
    pub consents: Arc<dyn Consents>,
    pub states: States,
    pub random: Random,
    pub clock: Arc<dyn Clock>,
    /// Read while a code is being redeemed: who wants it whole waits for all of them.
    pub redeeming: Arc<RwLock<()>>,
    /// Browsers come by https, so cookies may say so.
    pub is_https: bool,
    /// A merchant who has consented is signed in.
    pub sessions: Arc<SessionDoor>,
}

pub(crate) fn routes(door: Option<Arc<ConsentDoor>>) -> Router {
    let Some(door) = door else {
        let closed = async || Page::NotOffered;
        return Router::new()
            .route("/connect", get(closed))
            .route("/oauth/callback", get(closed));
    };
    Router::new()
        .route("/connect", get(begin))
        .route("/oauth/callback", get(come_back))
        .with_state(door)
}

async fn begin(State(door): State<Arc<ConsentDoor>>, request: Request) -> Response {
    let headers = request.headers().clone();
    let address = Client::of(request.extensions());
    if let Err(problem) = door.sessions.limiter.take(CONSENTS, address).await {
        return for_browser(problem, &headers);
    }
    match door.new_state(&headers) {
        Some((browser, state)) => door.send_to_salla(&browser, &state),
        None => Page::Failed.into_response(),
    }
}

#[derive(Deserialize)]
struct Parameters {
    code: Option<String>,
    state: Option<String>,
    error: Option<String>,
}

async fn come_back(
    State(door): State<Arc<ConsentDoor>>,
    parameters: Result<Query<Parameters>, QueryRejection>,
    request: Request,
) -> Response {
    let Ok(Query(parameters)) = parameters else {
        return Page::Unreadable.into_response();
    };
    let address = Client::of(request.extensions());
    let headers = request.headers().clone();
    if let Err(problem) = door.sessions.limiter.take(CONSENTS, address).await {
        return for_browser(problem, &headers);
    }
    let page = ConsentDoor::come_back(&door, &headers, parameters).await;
    metrics::consent_ended(page.outcome());
    let signed_in = match page.signs_in() {
        Some(salla_id) => {
            let signing_in = door.sessions.sign_in(salla_id, OpenedBy::Consent, address);
            signing_in.await.map(Some)
        }
        None => Ok(None),
    };
    let mut response = page.into_response();
    match signed_in {
        Ok(Some(cookie)) => {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
        Ok(None) => {}
        // The shop is connected all the same.
        Err(failure) => tracing::error!(%failure, "a merchant could not be signed in"),
    }
    response
}

impl ConsentDoor {
    /// With the prefix no other host of the domain can set it.
    fn cookie_name(&self) -> &'static str {
        match self.is_https {
            true => "__Host-salla-sync-connect",
            false => "salla-sync-connect",
        }
    }

    /// A browser and a state that only it can bring back. `None`: the machine has no randomness
    /// to give.
    pub(crate) fn new_state(&self, headers: &HeaderMap) -> Option<(String, String)> {
        let random = &*self.random;
        // The same for all its tabs, each of which may come back.
        let known = self.browser(headers).map(str::to_owned);
        let browser = known.or_else(|| new_browser(random));
        let issued = browser.and_then(|browser| {
            let state = self.states.issue(&browser, self.clock.now(), random)?;
            Some((browser, state))
        });
        if issued.is_none() {
            tracing::error!("this machine provides no random numbers, so no shop can be connected");
        }
        issued
    }

    pub(crate) fn send_to_salla(&self, browser: &str, state: &str) -> Response {
        let address = self.connect.ports.accounts.consent_address(state);
        let headers = [
            (header::LOCATION, address),
            (header::SET_COOKIE, self.cookie(browser)),
        ];
        (StatusCode::SEE_OTHER, headers).into_response()
    }

    fn cookie(&self, browser: &str) -> String {
        let secure = if self.is_https { "; Secure" } else { "" };
        let (name, age) = (self.cookie_name(), LASTS.as_secs());
        format!("{name}={browser}; Path=/; Max-Age={age}; HttpOnly; SameSite=Lax{secure}")
    }

    fn browser<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        cookie(headers, self.cookie_name()).filter(|value| is_browser(value))
    }

    async fn come_back(door: &Arc<Self>, headers: &HeaderMap, parameters: Parameters) -> Page {
        let state = parameters.state.unwrap_or_default();
        let now = door.clock.now();
        let checked = door.states.check(&state, door.browser(headers), now);
        let (state, expires_at) = match checked {
            // A refusal connects nothing, in any state.
            _ if parameters.error.is_some() => {
                return denied(&parameters.error.unwrap_or_default());
            }
            Checked::NotOurs => return Page::BeginHere,
            Checked::Forged => return suspicious("forged", Page::Suspicious),
            Checked::OtherBrowser => return suspicious("other_browser", Page::Suspicious),
            Checked::Expired => return suspicious("expired", Page::Expired),
            Checked::Good { hash, expires_at } => (hash, expires_at),
        };
        let Some(code) = parameters.code.filter(|code| !code.is_empty()) else {
            return Page::Unreadable;
        };
        let returned = Returned {
            state,
            code: hash(code.as_bytes()),
            expires_at,
        };
        match door.consents.use_once(&returned).await {
            Ok(Use::First) => {}
            Ok(Use::Repeated(shown)) => return door.shown_before(&returned, shown).await,
            Ok(Use::Replayed) => return suspicious("replayed", Page::Suspicious),
            Err(failure) => {
                tracing::error!(%failure, "a consent could not be used");
                return Page::Failed;
            }
        }
        // A code brings tokens once, so a browser that goes away must not end this.
        let redeeming = door.clone().redeem(state, SecretString::from(code));
        let redeeming = tokio::spawn(redeeming.in_current_span());
        match with_timeout(&*door.clock, WAIT_FOR_PAGE, redeeming).await {
            Some(Ok(page)) => page,
            Some(Err(_)) => Page::Failed,
            None => Page::Busy,
        }
    }

    async fn redeem(self: Arc<Self>, state: [u8; 32], code: SecretString) -> Page {
        let _under_way = self.redeeming.read().await;
        let link = match self.connect.ports.claims.link_of_state(&state).await {
            Ok(link) => link,
            Err(failure) => {
                tracing::error!(%failure, "the link that started a consent could not be read");
                return Page::Failed;
            }
        };
        let page = page_of(self.connect.redeem(&code, link).await);
        let text = serde_json::to_string(&page).unwrap_or_default();
        if let Err(failure) = self.consents.finish(&state, &text).await {
            tracing::warn!(%failure, "the merchant's result could not be stored");
        }
        page
    }

    /// A browser that loads the page twice is shown the same twice.
    async fn shown_before(&self, returned: &Returned, shown: Option<String>) -> Page {
        let deadline = self.clock.monotonic() + WAIT_FOR_FIRST;
        let mut shown = shown;
        while shown.is_none() && self.clock.monotonic() < deadline {
            self.clock.sleep(LOOK_EVERY).await;
            match self.consents.use_once(returned).await {
                Ok(Use::Repeated(now)) => shown = now,
                Ok(Use::First | Use::Replayed) => return Page::Busy,
                Err(failure) => {
                    tracing::error!(%failure, "the merchant's result could not be read");
                    return Page::Failed;
                }
            }
        }
        let page = shown.and_then(|shown| serde_json::from_str(&shown).ok());
        page.unwrap_or(Page::Busy)
    }
}

/// The text may come from an attacker, so it is not repeated.
fn denied(error: &str) -> Page {
    match error {
        "access_denied" | "consent_required" | "login_required" => Page::Denied,
        _ => {
            tracing::warn!("Salla sent a merchant back with another error than a refusal");
            Page::Denied
        }
    }
}

fn suspicious(reason: &'static str, page: Page) -> Page {
    tracing::warn!(
        security = true,
        reason,
        "a consent returned with an invalid state; nothing was redeemed"
    );
    page
}

fn page_of(connected: Result<importer::connect::Connected, Refused>) -> Page {
    let refused = match connected {
        Ok(connected) if connected.was_connected => {
            return Page::AlreadyConnected {
                salla_id: Some(connected.shop.salla_id),
                shop: connected.shop.name,
            };
        }
        Ok(connected) => {
            return Page::Connected {
                salla_id: Some(connected.shop.salla_id),
                shop: connected.shop.name,
                imports: connected.run.is_some(),
            };
        }
        Err(refused) => refused,
    };
    tracing::warn!(%refused, "a consent connected no shop");
    match refused {
        Refused::Redeem(RedeemError::CodeRefused) => Page::CodeRefused,
        Refused::Redeem(RedeemError::NoAnswer { .. }) => Page::SallaAway,
        Refused::Redeem(RedeemError::AppRefused { .. }) => Page::Failed,
        Refused::Scopes(_) => Page::Scopes,
        Refused::OtherShop { .. } => Page::OtherShop,
        Refused::Outdated => Page::Outdated,
        Refused::OtherAccount | Refused::Unclaimed => Page::OtherAccount,
        // The tokens are stored, so the rest needs no merchant.
        Refused::Failure(failure) if failure.resumes_by_itself() => Page::Pending,
        Refused::Failure(_) => Page::Failed,
    }
}

impl Page {
    /// The shop whose merchant has just shown who they are.
    fn signs_in(&self) -> Option<i64> {
        match self {
            Self::Connected { salla_id, .. } | Self::AlreadyConnected { salla_id, .. } => *salla_id,
            _ => None,
        }
    }

    /// For the count of consents.
    fn outcome(&self) -> &'static str {
        match self {
            Self::Connected { .. } => "connected",
            Self::AlreadyConnected { .. } => "already_connected",
            Self::Denied => "denied",
            Self::BeginHere => "begun_elsewhere",
            Self::Suspicious => "suspicious",
            Self::Expired => "expired",
            Self::Busy => "busy",
            Self::CodeRefused => "code_refused",
            Self::SallaAway => "platform_away",
            Self::Pending => "pending",
            Self::Scopes => "scopes_refused",
            Self::Outdated => "outdated",
            Self::OtherShop => "other_shop",
            Self::OtherAccount => "other_account",
            Self::TooMany => "too_many",
            Self::Failed | Self::NotOffered | Self::Link | Self::LinkOver | Self::ToSalla => {
                "failed"
            }
            Self::Unreadable => "unreadable",
        }
    }
}
