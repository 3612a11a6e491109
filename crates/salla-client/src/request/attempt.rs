//! One try: from waiting for the budget to a judged answer.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use domain::failure::Failure;
use domain::order::Version;
use importer::memory::{Need, Room};
use importer::metrics;
use importer::ports::clock::within;
use reqwest::header::{ACCEPT, ACCEPT_LANGUAGE, HeaderMap, USER_AGENT};
use secrecy::ExposeSecret;

use super::body::Reader;
use super::departure::Departure;
use super::endpoint::endpoint_kind;
use super::trouble::{self, Trouble};
use super::{Ask, Requester};
use crate::admission::{Permit, Slot};
use crate::classify::{Verdict, classify, retry_after};
use crate::oauth::endpoint;
use crate::pacing::{Outcome, RateHeaders};
use crate::tokens::AccessToken;

pub(super) struct Attempt {
    pub(super) outcome: Result<(Verdict, Bytes), Trouble>,
    /// Absent where no answer came.
    pub(super) status: Option<(u16, RateHeaders)>,
    /// Of the answer, as far as it may be repeated.
    pub(super) content_type: String,
    pub(super) token: AccessToken,
    /// When the request was sent: the version of whatever it returned.
    pub(super) version: Version,
    pub(super) sent: Duration,
}

/// So long a request waits with room for its answer; a budget that lets one request go
/// each second is worth waiting for, the next minute is not.
const WITH_ROOM: Duration = Duration::from_secs(2);

/// All that it takes to send a request.
struct Leave {
    permits: Permits,
    slot: Slot,
    room: Room,
    token: AccessToken,
}

/// Leave to send, by every budget that the request costs.
struct Permits {
    are_spent: bool,
    shop: Option<Permit>,
    customers: Option<Permit>,
    shop_limit: Option<u32>,
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

impl Requester {
    pub(super) async fn attempt(&self, ask: &Ask, need: Need) -> Result<Attempt, Failure> {
        self.attempt_with(ask, need, None).await
    }

    /// Tries once; with the given token, or with the current one.
    pub(super) async fn attempt_with(
        &self,
        ask: &Ask,
        need: Need,
        token: Option<&AccessToken>,
    ) -> Result<Attempt, Failure> {
        if token.is_none() {
            // A connection that no longer serves is found out before any waiting.
            self.tokens.current().await?;
        }
        let Leave {
            permits,
            slot,
            mut room,
            token,
        } = self.leave_to_send(ask, need, token).await?;
        let (version, sent) = (self.clock.now(), self.clock.monotonic());
        let permits = Arc::new(Mutex::new(permits));
        let mut status = None;
        let mut content_type = String::new();
        let answered = (&mut status, &mut content_type);
        let place = (&slot, &mut room);
        let exchange = self.exchange(ask, &token, &permits, place, sent, answered);
        // In a place of its own, because most requests of a process only wait.
        let outcome = Box::pin(exchange).await;
        match &outcome {
            Ok((Verdict::Success, body)) => {
                self.usual_sizes.note(ask.class, body.len());
                room.keep();
            }
            Ok(_) => keep_in_hand(room),
            Err(trouble) => {
                if !matches!(trouble, Trouble::Outgrown | Trouble::TooLarge(_)) {
                    slot.failed();
                }
                keep_in_hand(room);
            }
        }
        self.count(ask, &outcome, status.map(|(status, _)| status), sent);
        Ok(Attempt {
            outcome,
            status,
            content_type,
            token,
            version,
            sent,
        })
    }

    /// Waits for every budget that the request costs, for a place in flight, for room for
    /// its answer, and for a token that serves now.
    async fn leave_to_send(
        &self,
        ask: &Ask,
        need: Need,
        token: Option<&AccessToken>,
    ) -> Result<Leave, Failure> {
        let mut renewed = None;
        loop {
            let (permits, slot, room) = match ask.customers {
                true => self.permits_for_customers(ask, need).await,
                false => self.permits_and_room(ask, need).await,
            };
            let at_hand = token.cloned().or_else(|| self.tokens.at_hand());
            let Some(token) = at_hand.or_else(|| renewed.take()) else {
                // Renewing takes a request, and others could use what is held here.
                drop((permits, slot));
                keep_in_hand(room);
                renewed = Some(self.tokens.current().await?);
                continue;
            };
            let customers = permits.customers.as_ref();
            if !customers.is_some_and(Permit::has_expired) {
                return Ok(Leave {
                    permits,
                    slot,
                    room,
                    token,
                });
            }
        }
    }

    /// Neither room nor a permit is held while the other is waited for long. Whoever has
    /// room goes before the others of its shop, but gives it back if the shop's budget is
    /// spent, because other shops' may not be; only what is in hand stays. Whoever has leave
    /// to send and finds no room gives that and its place in flight back: those who have room
    /// may need both, and a permit is for the minute in which it was given.
    async fn permits_and_room(&self, ask: &Ask, need: Need) -> (Permits, Slot, Room) {
        let mut room = Room::of_this_fetch();
        loop {
            if let Some(enough) = room.take_if(|room| room.is_enough(need)) {
                let first = async {
                    let slot = self.concurrency.enter_first().await;
                    (slot, self.shop.acquire_first(ask.class).await)
                };
                if let Some((slot, shop)) = within(&*self.clock, WITH_ROOM, first).await {
                    return (self.permits(shop, None), slot, enough);
                }
                room = enough.without_answer();
            }
            let slot = self.concurrency.enter().await;
            let shop = self.shop.acquire(ask.class).await;
            let held = room.take().unwrap_or_else(Room::none);
            let held = match self.memory.enough_now(held, need) {
                Ok(enough) => return (self.permits(shop, None), slot, enough),
                Err(held) => held,
            };
            drop((shop, slot));
            room = Some(self.memory.enough(held, need).await);
        }
    }

    /// The customers' budget is waited for with nothing in hand that the shop's orders
    /// need, and what it gave is used soon: a shop that may send nothing does not ask for
    /// it, and with it in hand the shop's line is not waited for to its end.
    ///
    /// Their pages take no room as long as they are small: their budget lets only 500 through
    /// in ten minutes, and room must not be kept while a shop waits for its next minute. One
    /// that is not small and finds no room is asked for again with room of its own, of which
    /// there is as much as one of them takes.
    async fn permits_for_customers(&self, ask: &Ask, need: Need) -> (Permits, Slot, Room) {
        let room = match need.is_greatest() {
            true => self.memory.for_customers().await,
            false => Room::none(),
        };
        // Nobody closes it, so there always is a place.
        let _place = self.customers_lane.acquire().await.ok();
        self.shop.until_not_held().await;
        let customers = self.customers.acquire(ask.class).await;
        let slot = self.concurrency.enter_past_the_line().await;
        let shop = self.shop.acquire_past_the_line(ask.class).await;
        (self.permits(shop, Some(customers)), slot, room)
    }

    fn permits(&self, shop: Permit, customers: Option<Permit>) -> Permits {
        Permits {
            are_spent: false,
            shop: Some(shop),
            customers,
            shop_limit: self.shop.limit(),
        }
    }

    /// Sends the request and judges the answer.
    async fn exchange(
        &self,
        ask: &Ask,
        token: &AccessToken,
        permits: &Arc<Mutex<Permits>>,
        place: (&Slot, &mut Room),
        sent: Duration,
        (status, content_type): (&mut Option<(u16, RateHeaders)>, &mut String),
    ) -> Result<(Verdict, Bytes), Trouble> {
        let left = {
            let permits = Arc::downgrade(permits);
            move || {
                if let Some(permits) = permits.upgrade() {
                    lock(&permits).sent();
                }
            }
        };
        let request = self
            .http
            .get(endpoint(&self.api_url, &ask.path))
            .query(&ask.query)
            .bearer_auth(token.secret.expose_secret())
            .header(ACCEPT, "application/json")
            .header(ACCEPT_LANGUAGE, "ar")
            .header(USER_AGENT, &self.user_agent)
            .body(reqwest::Body::wrap(Departure(left)));
        let receiving = self.receive(ask, request, permits, place, sent);
        let answer = within(&*self.clock, self.timeout, receiving).await;
        let answer = answer.ok_or_else(|| Trouble::passing("no answer in time"))??;
        let now = self.clock.now();
        let verdict = classify(answer.status, &answer.headers, &answer.body, now);
        *status = Some((answer.status, self.rate_headers(&answer.headers)));
        *content_type = trouble::content_type(&answer.headers);
        // Whether a 403 is a block stands only in its body.
        lock(permits).answered(self.rate_headers(&answer.headers), outcome_of(&verdict));
        self.log(ask, &answer, sent);
        Ok((verdict, answer.body))
    }

    fn count(
        &self,
        ask: &Ask,
        outcome: &Result<(Verdict, Bytes), Trouble>,
        status: Option<u16>,
        sent: Duration,
    ) {
        let took = self.clock.monotonic().saturating_sub(sent);
        metrics::request_ended(endpoint_kind(&ask.path), status, took);
        match outcome {
            Ok((Verdict::Blocked { .. }, _)) => metrics::blocked(),
            Ok(_) => {}
            Err(trouble) => tracing::debug!(
                target: "salla.request",
                what = ask.what,
                path = ask.path,
                duration_ms = took.as_millis() as u64,
                %trouble,
                "no answer"
            ),
        }
    }

    async fn receive(
        &self,
        ask: &Ask,
        request: reqwest::RequestBuilder,
        permits: &Arc<Mutex<Permits>>,
        (slot, room): (&Slot, &mut Room),
        sent: Duration,
    ) -> Result<Answer, Trouble> {
        let response = request
            .send()
            .await
            .map_err(|error| Trouble::of_connection(&error))?;
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        match status {
            200..=299 | 404 => slot.answered(ask.class, self.clock.monotonic() - sent),
            500..=599 => slot.failed(),
            _ => {}
        }
        if let Some(outcome) = outcome_by_status(status) {
            lock(permits).answered(self.rate_headers(&headers), outcome);
        }
        let reader = Reader {
            memory: &self.memory,
            room,
            size: ask.size(),
        };
        let body = reader.read(response).await?;
        Ok(Answer {
            status,
            headers,
            body,
        })
    }

    fn rate_headers(&self, headers: &HeaderMap) -> RateHeaders {
        let text = |name: &str| headers.get(name)?.to_str().ok();
        RateHeaders {
            retry_after: retry_after(headers, self.clock.now()),
            ..RateHeaders::read(text)
        }
    }

    /// Neither token nor query, which may hold personal data.
    fn log(&self, ask: &Ask, answer: &Answer, sent: Duration) {
        let took = self.clock.monotonic().saturating_sub(sent);
        tracing::debug!(
            target: "salla.request",
            what = ask.what,
            path = ask.path,
            status = answer.status,
            bytes = answer.body.len(),
            duration_ms = took.as_millis() as u64,
            "answered"
        );
    }
}

impl Permits {
    /// The request leaves now. The client may take it up again on another connection if the
    /// first one turns out to be closed.
    fn sent(&mut self) {
        if std::mem::replace(&mut self.are_spent, true) {
            return;
        }
        for permit in [&mut self.shop, &mut self.customers].into_iter().flatten() {
            permit.sent();
        }
    }

    /// Reports an answer to each budget, once.
    fn answered(&mut self, headers: RateHeaders, outcome: Outcome) {
        let Some(shop) = self.shop.take() else { return };
        let Some(customers) = self.customers.take() else {
            return shop.answered(&headers, outcome);
        };
        if outcome == Outcome::Blocked {
            // It is this shop's: others are not blocked with it.
            customers.answered(&headers.without_budget(), Outcome::Failed);
            return shop.answered(&headers, outcome);
        }
        let elsewhere = match outcome {
            Outcome::Ok => Outcome::Elsewhere,
            // A 429 without rate headers may be meant for either.
            Outcome::Throttled if headers.has_budget() => Outcome::Failed,
            other => other,
        };
        if speaks_of_customers(&headers, customers.limit(), self.shop_limit) {
            shop.answered(&headers.without_budget(), elsewhere);
            customers.answered(&headers, outcome);
        } else {
            shop.answered(&headers, outcome);
            let outcome = if outcome == Outcome::Throttled {
                elsewhere
            } else {
                outcome
            };
            customers.answered(&headers.without_budget(), outcome);
        }
    }
}

/// Salla does not document which budget the headers of `/customers*` tell of. Their
/// limit does: it is the 500 of the customers' own budget, or in any case not the
/// limit that other answers have shown to be the shop's.
fn speaks_of_customers(headers: &RateHeaders, own: Option<u32>, shop: Option<u32>) -> bool {
    match headers.limit {
        None => false,
        limit => shop.is_some_and(|shop| Some(shop) != limit) || (shop.is_none() && limit == own),
    }
}

/// What the budget may be told as soon as the headers are there.
fn outcome_by_status(status: u16) -> Option<Outcome> {
    match status {
        429 => Some(Outcome::Throttled),
        403 => None,
        500..=599 => Some(Outcome::Failed),
        _ => Some(Outcome::Ok),
    }
}

fn outcome_of(verdict: &Verdict) -> Outcome {
    match verdict {
        Verdict::Blocked { .. } => Outcome::Blocked,
        _ => Outcome::Ok,
    }
}

/// Leaves the fetch what its earlier answers take.
fn keep_in_hand(room: Room) {
    if let Some(room) = room.without_answer() {
        room.keep();
    }
}

fn lock(permits: &Mutex<Permits>) -> MutexGuard<'_, Permits> {
    permits.lock().unwrap_or_else(PoisonError::into_inner)
}
