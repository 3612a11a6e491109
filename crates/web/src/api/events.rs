//! The status of an import as it changes, without polling.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, StatusCode};
use axum::response::Sse;
use axum::response::sse::Event;
use domain::run::RunState;
use domain::shop::MerchantId;
use futures::Stream;
use futures::stream::unfold;
use importer::ports::api_access::ApiScope;
use importer::ports::merchants::{MerchantRecord, MerchantRef};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::body::{Named, Parameters};
use super::caller::Caller;
use super::view::StatusView;
use super::{Api, unknown_merchant};
use crate::problem::Problem;
use crate::secrets::{hash, new_digits};

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Proxies end connections on which nothing comes.
const SIGN_OF_LIFE: u32 = 15;
/// Shorter than a connection lasts: the reader connects again.
const LOOKS: u32 = 240;
/// Before a reader connects again.
const PAUSE: Duration = Duration::from_secs(1);

/// For a page to open the stream with it.
const TICKET_LASTS: SignedDuration = SignedDuration::from_secs(30);

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Who may follow a merchant's imports.
enum Reader {
    Caller(Caller),
    /// A ticket that is redeemed by now. Its merchant is the only one.
    Ticket(MerchantId),
}

impl Reader {
    async fn merchant(&self, api: &Api, named: &str) -> Result<MerchantRecord, Problem> {
        match self {
            Self::Caller(caller) => api.merchant(caller, ApiScope::Read, named).await,
            Self::Ticket(own) => {
                let wanted = MerchantRef::parse(named).ok_or_else(unknown_merchant)?;
                let found = api.merchants.find(wanted, Some(*own)).await?;
                found.ok_or_else(unknown_merchant)
            }
        }
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Opening {
    /// A ticket of POST …/sync/events/tickets, in place of the bearer token.
    ticket: Option<String>,
}

/// A reader, and the event that it has seen last.
pub(super) struct Follows {
    reader: Reader,
    seen: Option<String>,
}

impl FromRequestParts<Arc<Api>> for Follows {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Problem> {
        let Parameters(Opening { ticket }) =
            Parameters::<Opening>::from_request_parts(parts, api).await?;
        let seen = parts.headers.get(LAST_EVENT_ID);
        let seen = seen.and_then(|id| id.to_str().ok()).map(str::to_owned);
        let reader = match ticket {
            Some(ticket) => {
                let redeemed = api.tickets.redeem(&hash(ticket.as_bytes())).await?;
                Reader::Ticket(redeemed.ok_or_else(no_such_ticket)?)
            }
            None => Reader::Caller(Caller::from_request_parts(parts, api).await?),
        };
        Ok(Self { reader, seen })
    }
}

fn no_such_ticket() -> Problem {
    Problem::new(
        StatusCode::UNAUTHORIZED,
        "unauthorized",
        "the ticket is unknown, used or older than 30 seconds",
        "request a new one with POST …/sync/events/tickets each time you open the stream",
    )
}

/// Where one reader is.
struct Follower {
    api: Arc<Api>,
    reader: Reader,
    named: String,
    seen: Option<String>,
    unchanged: u32,
    looks: u32,
    is_over: bool,
}

/// Follows a shop's latest import
///
/// Server-sent events named `status`, each with what GET …/sync returns, whenever that has
/// changed. With `Last-Event-ID` a status that is the same as then is not sent again. The stream
/// ends when the import is over, and after four minutes in any case: connect again. Browsers read
/// it with `fetch`, or with `EventSource` and a ticket, because `EventSource` sends no token.
#[utoipa::path(
    get, path = "/api/v1/merchants/{merchant}/sync/events", operation_id = "followSync",
    tag = "sync",
    params(Named, Opening,
           ("last-event-id" = Option<String>, Header, description = "The `id` of the last event \
                received")),
    responses(
        (status = 200, body = StatusView, content_type = "text/event-stream"),
        (status = 400, body = Problem, content_type = "application/problem+json"),
    ),
    security(("token" = []), ())
)]
pub(super) async fn follow(
    State(api): State<Arc<Api>>,
    Named(named): Named,
    Follows { reader, seen }: Follows,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    reader.merchant(&api, &named).await?;
    let follower = Follower {
        api,
        reader,
        named,
        seen,
        unchanged: 0,
        looks: 0,
        is_over: false,
    };
    Ok(Sse::new(unfold(follower, async |mut follower| {
        let event = follower.next().await?;
        Some((Ok(event), follower))
    })))
}

impl Follower {
    /// `None`: nothing more is sent on this connection.
    async fn next(&mut self) -> Option<Event> {
        while !self.is_over && self.looks < LOOKS {
            if self.looks > 0 {
                self.api.clock.sleep(LOOK_EVERY).await;
            }
            self.looks += 1;
            let Ok((status, is_over)) = self.look().await else {
                return None;
            };
            self.is_over = is_over;
            let id = hex::encode(&hash(status.as_bytes())[..8]);
            if self.seen.as_ref() != Some(&id) {
                self.unchanged = 0;
                self.seen = Some(id.clone());
                let event = Event::default().event("status").id(id).retry(PAUSE);
                return Some(event.data(status));
            }
            self.unchanged += 1;
            if self.unchanged >= SIGN_OF_LIFE {
                self.unchanged = 0;
                return Some(Event::default().comment("nothing new"));
            }
        }
        None
    }

    async fn look(&self) -> Result<(String, bool), Problem> {
        let api = &self.api;
        let merchant = self.reader.merchant(api, &self.named).await?;
        let run = api.latest_run(&merchant).await?;
        let is_over = run.as_ref().is_some_and(|latest| {
            matches!(
                latest.run.state,
                RunState::Completed | RunState::Failed | RunState::Cancelled
            )
        });
        let view = run.map(|latest| api.view(&latest));
        let status = StatusView::new(merchant, view);
        Ok((serde_json::to_string(&status).unwrap_or_default(), is_over))
    }
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct TicketView {
    /// For `?ticket=` of GET …/sync/events. It serves once.
    ticket: String,
    expires_at: Timestamp,
}

/// Gives out a ticket that opens the stream of events once, within 30 seconds
#[utoipa::path(
    post, path = "/api/v1/merchants/{merchant}/sync/events/tickets",
    operation_id = "issueEventTicket", tag = "sync",
    params(Named),
    responses((status = 201, body = TicketView)),
    security(("token" = []))
)]
pub(super) async fn issue_ticket(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Named(named): Named,
) -> Result<(StatusCode, Json<TicketView>), Problem> {
    let merchant = api.merchant(&caller, ApiScope::Read, &named).await?;
    let ticket = new_digits(&*api.random).ok_or_else(no_randomness)?;
    let expires_at = api.clock.now() + TICKET_LASTS;
    let hashed = hash(ticket.as_bytes());
    let issued = api
        .tickets
        .issue(&hashed, merchant.shop.merchant, expires_at);
    issued.await?;
    let view = TicketView { ticket, expires_at };
    Ok((StatusCode::CREATED, Json(view)))
}

fn no_randomness() -> Problem {
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "no_randomness",
        "this machine provides no random numbers for a ticket",
        "follow the stream with the bearer token instead",
    )
}
