//! The status of an import as it changes, without polling.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Sse;
use axum::response::sse::Event;
use domain::run::RunState;
use futures::Stream;
use futures::stream::unfold;
use importer::ports::api_tokens::ApiScope;

use super::Api;
use super::body::Named;
use super::caller::Caller;
use super::view::StatusView;
use crate::problem::Problem;

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Proxies end connections on which nothing comes.
const SIGN_OF_LIFE: u32 = 15;
/// Shorter than a connection lasts: the reader connects again.
const LOOKS: u32 = 240;

/// Where one reader is.
struct Follower {
    api: Arc<Api>,
    caller: Caller,
    named: String,
    sent: String,
    unchanged: u32,
    looks: u32,
    is_over: bool,
}

/// Follows a shop's latest import
///
/// Server-sent events named `status`, each with what GET …/sync returns, whenever that has
/// changed. The stream ends when the import is over, and after four minutes in any case: connect
/// again. Browsers read it with `fetch`, because `EventSource` sends no token.
#[utoipa::path(
    get, path = "/api/v1/merchants/{merchant}/sync/events", operation_id = "followSync",
    tag = "sync",
    params(("merchant" = String, Path, description = "Our id of the merchant or Salla's number")),
    responses(
        (status = 200, body = StatusView, content_type = "text/event-stream"),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 403, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    ),
    security(("token" = []))
)]
pub(super) async fn follow(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Named(named): Named,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    api.merchant(&caller, ApiScope::Read, &named).await?;
    let follower = Follower {
        api,
        caller,
        named,
        sent: String::new(),
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
            if status != self.sent {
                self.unchanged = 0;
                self.sent.clone_from(&status);
                return Some(Event::default().event("status").data(status));
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
        let merchant = api
            .merchant(&self.caller, ApiScope::Read, &self.named)
            .await?;
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
