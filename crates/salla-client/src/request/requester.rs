//! One request from start to end: wait for admission, send, classify, and again, within one retry
//! budget.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use domain::failure::{Disconnection, Failure};
use importer::admission::{FetchPermit, MemoryPermit, Need};
use importer::metrics;
use importer::ports::clock::Clock;
use importer::ports::platform::BudgetStatus;
use tracing::Instrument as _;
use url::Url;

use super::attempt::{Attempt, Exchange, HttpResponse, UsualSizes};
use super::{
    ApiRequest, AttemptError, AttemptOutcome, RawResponse, RequestState, Retry, STORE_INFO,
    Versioned, endpoint_kind, not_accepted, store_info,
};
use crate::admission::{Admission, Demand, RequestPermit};
use crate::classify::{ResponseKind, RetryReason};
use crate::envelope::EnvelopeError;
use crate::retry::RetryPolicy;
use crate::tokens::{AccessToken, TokensServed};

/// Refreshing tokens of which none has served anything more often than this within one request
/// cannot help.
const MAX_FUTILE_REFRESHES: u32 = 6;

/// A request may meet the ends of many tokens' lives, where they serve fewer requests than are
/// under way. From the third on, Salla has to reject the token elsewhere too before it is
/// refreshed: an endpoint that takes no token spends no more of them.
const UNQUESTIONED_REFRESHES: u32 = 3;

/// Bounds what a request costs in all.
const MAX_REFRESHES: u32 = 100;

/// Sends the requests of one shop.
#[derive(Debug)]
pub struct Requester {
    pub http: reqwest::Client,
    pub api_url: Url,
    pub clock: Arc<dyn Clock>,
    pub admission: Admission,
    pub tokens_served: TokensServed,
    pub usual_sizes: UsualSizes,
    pub retry: RetryPolicy,
    /// For a whole request, from sending to the last byte of its response.
    pub timeout: Duration,
    pub user_agent: String,
    pub rng: Mutex<fastrand::Rng>,
    pub retries: AtomicU64,
}

/// Why a request ends, and the body that is no JSON, where that is what went wrong.
type Ending = (Failure, Option<Bytes>);

impl Requester {
    /// The same connection to another host of Salla's.
    pub(crate) fn at(&self, url: Url) -> Self {
        Self {
            http: self.http.clone(),
            api_url: url,
            clock: self.clock.clone(),
            admission: self.admission.clone(),
            tokens_served: self.tokens_served.clone(),
            usual_sizes: UsualSizes::default(),
            retry: self.retry,
            timeout: self.timeout,
            user_agent: self.user_agent.clone(),
            rng: Mutex::new(fastrand::Rng::with_seed(0)),
            retries: AtomicU64::new(0),
        }
    }

    /// Requests until there is a response, `None` if Salla has no such thing (any more), or
    /// until nothing is left to try. `read` turns the body into what is wanted; it may
    /// be called once per attempt.
    pub async fn get<T>(
        &self,
        request: &ApiRequest,
        permit: &mut FetchPermit,
        read: impl Fn(&[u8]) -> Result<T, EnvelopeError> + Sync,
    ) -> Result<Option<Versioned<T>>, Failure> {
        self.get_or_reject(request, permit, read, |_| None).await
    }

    /// The same for a response that need not be understood: of a body that is no JSON
    /// however often it is requested, `reject` may make what stands for it.
    pub async fn get_or_reject<T>(
        &self,
        request: &ApiRequest,
        permit: &mut FetchPermit,
        read: impl Fn(&[u8]) -> Result<T, EnvelopeError> + Sync,
        reject: impl Fn(&[u8]) -> Option<T> + Sync,
    ) -> Result<Option<Versioned<T>>, Failure> {
        permit.memory.response_in_hand();
        let mut state = RequestState::new(self.retry, &mut permit.memory);
        loop {
            let (need, span) = (self.need(request, &state), state.next_attempt());
            let attempt = self.attempt(request, need, None, state.memory);
            let attempt = attempt.instrument(span).await?;
            let took = self.clock.monotonic().saturating_sub(attempt.sent);
            let version = attempt.version;
            let retry = match self.interpret(request, attempt, &read, &mut state).await? {
                AttemptOutcome::Done(versioned) => return Ok(versioned),
                AttemptOutcome::Retry(retry) => retry,
            };
            let (failure, unread) = match self
                .wait_before_retry(request, retry, took, &mut state)
                .await
            {
                Ok(()) => continue,
                Err(ending) => ending,
            };
            return match unread.and_then(|body| reject(&body)) {
                Some(value) => Ok(Some(Versioned { value, version })),
                None => Err(failure),
            };
        }
    }

    /// Requests with the same budget, token and retries as [`Requester::get`], but takes
    /// a refusal for a response. The body may hold personal data.
    pub async fn get_raw(&self, request: &ApiRequest) -> Result<RawResponse, Failure> {
        let mut memory = MemoryPermit::default();
        let mut state = RequestState::new(self.retry, &mut memory);
        let mut throttles = Vec::new();
        loop {
            let (need, span) = (self.need(request, &state), state.next_attempt());
            let attempt = self.attempt(request, need, None, state.memory);
            let mut attempt = attempt.instrument(span).await?;
            let took = self.clock.monotonic().saturating_sub(attempt.sent);
            if let Ok(response) = &mut attempt.outcome {
                response.kind = self.kind_of(request, response, attempt.sent, &mut state);
                match &response.kind {
                    ResponseKind::Success
                    | ResponseKind::Gone
                    | ResponseKind::Invalid { .. }
                    | ResponseKind::Forbidden
                    | ResponseKind::ScopeMissing { .. } => {
                        return Ok(RawResponse {
                            status: response.status,
                            headers: response.headers,
                            body: response.body.clone(),
                            throttles,
                        });
                    }
                    ResponseKind::Throttled { retry_after } => {
                        throttles.push(retry_after.is_some())
                    }
                    ResponseKind::RetryLater { .. }
                    | ResponseKind::Blocked { .. }
                    | ResponseKind::TokenRejected
                    | ResponseKind::UnexplainedUnauthorized
                    | ResponseKind::Inactive
                    | ResponseKind::Malformed { .. } => {}
                }
            }
            let read = |_: &[u8]| Ok(());
            match self.interpret(request, attempt, &read, &mut state).await? {
                AttemptOutcome::Retry(retry) => {
                    let waited = self.wait_before_retry(request, retry, took, &mut state);
                    waited.await.map_err(|(failure, _)| failure)?;
                }
                AttemptOutcome::Done(_) => {
                    return Err(Failure::Bug {
                        message: format!(
                            "{}: a refusal was handled as a response",
                            request.description
                        ),
                    });
                }
            }
        }
    }

    fn need(&self, request: &ApiRequest, state: &RequestState<'_>) -> Need {
        match state.has_outgrown {
            true => Need::greatest(request.size()),
            false => Need::usual(request.size(), self.usual_sizes.of(request.class)),
        }
    }

    /// What the requests so far have taught and cost.
    pub fn budget_status(&self) -> BudgetStatus {
        let shop = &self.admission.shop;
        let counters = shop.counters();
        BudgetStatus {
            limit_per_minute: shop.limit(),
            requests: counters.sent,
            throttled: counters.throttled + counters.blocked,
            retries: self.retries.load(Ordering::Relaxed),
            token_refreshes: self.admission.tokens.refreshes(),
            cooldown: shop.cooldown(),
            wait_of_successor: shop.wait_of_successor(),
            customers_waiting: self.admission.customers_waiting(),
        }
    }

    /// Tries once; with the given token, or with the current one.
    async fn attempt(
        &self,
        request: &ApiRequest,
        need: Need,
        token: Option<&AccessToken>,
        memory: &mut MemoryPermit,
    ) -> Result<Attempt, Failure> {
        let demand = Demand {
            class: request.class,
            customers: request.customers,
            memory: need,
        };
        let RequestPermit {
            budgets,
            slot,
            token,
        } = self.admission.admit(demand, token, memory).await?;
        let (version, sent) = (self.clock.now(), self.clock.monotonic());
        let exchange = Exchange {
            http: &self.http,
            api_url: &self.api_url,
            user_agent: &self.user_agent,
            clock: &*self.clock,
            timeout: self.timeout,
            memory_limit: &self.admission.memory,
            request,
            token: &token,
            slot: &slot,
            sent,
        };
        // Boxed: most requests of a process only wait.
        let outcome = Box::pin(exchange.run(budgets, memory)).await;
        match &outcome {
            Ok(HttpResponse {
                kind: ResponseKind::Success,
                body,
                ..
            }) => self.usual_sizes.note(request.class, body.len()),
            Ok(_) => memory.release_response(),
            Err(error) => {
                if !matches!(error, AttemptError::Outgrown | AttemptError::TooLarge(_)) {
                    slot.failed();
                }
                memory.release_response();
            }
        }
        self.count(request, &outcome, sent);
        Ok(Attempt {
            outcome,
            token,
            version,
            sent,
        })
    }

    fn count(
        &self,
        request: &ApiRequest,
        outcome: &Result<HttpResponse, AttemptError>,
        sent: Duration,
    ) {
        let took = self.clock.monotonic().saturating_sub(sent);
        let status = outcome.as_ref().ok().map(|response| response.status);
        metrics::request_ended(endpoint_kind(&request.path), status, took);
        match outcome {
            Ok(response) if matches!(response.kind, ResponseKind::Blocked { .. }) => {
                metrics::blocked();
            }
            Ok(_) => {}
            Err(error) => tracing::debug!(
                target: "salla.request",
                what = request.description,
                path = request.path,
                duration_ms = took.as_millis() as u64,
                trouble = %error,
                "no answer"
            ),
        }
    }

    /// Decides what an attempt means for the request.
    async fn interpret<T>(
        &self,
        request: &ApiRequest,
        attempt: Attempt,
        read: &impl Fn(&[u8]) -> Result<T, EnvelopeError>,
        state: &mut RequestState<'_>,
    ) -> Result<AttemptOutcome<T>, Failure> {
        let failed = |error, retry_after| AttemptOutcome::Retry(Retry::Failed(error, retry_after));
        let response = match attempt.outcome {
            Err(error) => return Ok(failed(error, None)),
            Ok(response) => response,
        };
        let seemed_successful = response.kind == ResponseKind::Success;
        let kind = match self.read_response(request, &response, attempt.sent, read, state) {
            Ok(value) => {
                let version = attempt.version;
                self.tokens_served.note(&attempt.token);
                return Ok(AttemptOutcome::Done(Some(Versioned { value, version })));
            }
            // Seen behind proxies that answer in Salla's place: worth a retry.
            Err(ResponseKind::Malformed { what }) if seemed_successful => {
                return Ok(failed(AttemptError::Malformed(what), None));
            }
            Err(kind) => kind,
        };
        match kind {
            ResponseKind::Gone => return Ok(AttemptOutcome::Done(None)),
            ResponseKind::RetryLater {
                reason: RetryReason::NotJson,
                retry_after,
            } => {
                let error = AttemptError::NotJson {
                    status: response.status,
                    content_type: response.content_type,
                    body: response.body,
                };
                return Ok(failed(error, retry_after));
            }
            _ => {}
        }
        // Boxed: it is rare, and every request that waits would reserve space for it.
        let handled = self.handle_error(request, kind, &attempt.token, state);
        Ok(AttemptOutcome::Retry(Box::pin(handled).await?))
    }

    async fn handle_error(
        &self,
        request: &ApiRequest,
        kind: ResponseKind,
        token: &AccessToken,
        state: &mut RequestState<'_>,
    ) -> Result<Retry, Failure> {
        match kind {
            ResponseKind::RetryLater {
                reason,
                retry_after,
            } => Ok(Retry::Failed(
                AttemptError::Transient(reason.to_string()),
                retry_after,
            )),
            ResponseKind::Throttled { .. } => Ok(Retry::Throttled),
            ResponseKind::Blocked { .. } => {
                tracing::warn!(
                    what = request.description,
                    "Salla has blocked the app for a while (403)"
                );
                Ok(Retry::Throttled)
            }
            ResponseKind::TokenRejected if state.refreshes >= UNQUESTIONED_REFRESHES => {
                self.diagnose_unauthorized(request, token, state).await
            }
            ResponseKind::TokenRejected => self.refresh_token(token, state).await,
            ResponseKind::UnexplainedUnauthorized => {
                self.diagnose_unauthorized(request, token, state).await
            }
            ResponseKind::ScopeMissing { scopes } => {
                tracing::warn!(
                    what = request.description,
                    ?scopes,
                    "the app lacks one of these scopes"
                );
                Err(Disconnection::ScopeMissing.into())
            }
            ResponseKind::Inactive => Err(Disconnection::ShopInactive.into()),
            ResponseKind::Forbidden => Err(Disconnection::Forbidden.into()),
            ResponseKind::Invalid { code, fields, .. } => {
                Err(not_accepted(&request.description, code, &fields))
            }
            ResponseKind::Malformed { what } => Err(Failure::Broken {
                message: format!("{}: {what}", request.description),
            }),
            ResponseKind::Success | ResponseKind::Gone => Err(Failure::Bug {
                message: format!("{}: a response was interpreted twice", request.description),
            }),
        }
    }

    /// A 401 that does not say why: if `GET /store/info` accepts the token, a scope is
    /// missing. Refreshing then would spend a single-use token for nothing
    /// (docs/salla-api.md#envelopes-and-errors).
    async fn diagnose_unauthorized(
        &self,
        request: &ApiRequest,
        token: &AccessToken,
        state: &mut RequestState<'_>,
    ) -> Result<Retry, Failure> {
        if request.path == STORE_INFO {
            return self.refresh_token(token, state).await;
        }
        let request = store_info();
        let need = Need::usual(request.size(), 0);
        let attempt = self
            .attempt(&request, need, Some(token), state.memory)
            .await?;
        let kind = match attempt.outcome {
            Ok(response) => self.kind_of(&request, &response, attempt.sent, state),
            Err(error) => return Ok(Retry::Failed(error, None)),
        };
        match kind {
            ResponseKind::Success => Err(Disconnection::ScopeMissing.into()),
            ResponseKind::TokenRejected | ResponseKind::UnexplainedUnauthorized => {
                self.refresh_token(token, state).await
            }
            ResponseKind::Inactive => Err(Disconnection::ShopInactive.into()),
            ResponseKind::Throttled { .. } | ResponseKind::Blocked { .. } => Ok(Retry::Throttled),
            _ => Ok(Retry::Failed(AttemptError::unexplained_401(), None)),
        }
    }

    async fn refresh_token(
        &self,
        token: &AccessToken,
        state: &mut RequestState<'_>,
    ) -> Result<Retry, Failure> {
        state.refreshes += 1;
        state.futile_refreshes += u32::from(!self.tokens_served.has(token));
        if state.refreshes > MAX_REFRESHES || state.futile_refreshes > MAX_FUTILE_REFRESHES {
            return Err(Disconnection::TokenRejected.into());
        }
        match self.admission.tokens.rejected(token).await {
            Ok(()) => Ok(Retry::Now),
            Err(Failure::Transient { message: what }) => {
                Ok(Retry::Failed(AttemptError::Transient(what), None))
            }
            Err(Failure::Throttled { wait }) => {
                let what = Failure::Throttled { wait }.to_string();
                Ok(Retry::Failed(AttemptError::Transient(what), Some(wait)))
            }
            Err(failure) => Err(failure),
        }
    }

    /// Waits as long as the last attempt demands, or ends the request.
    async fn wait_before_retry(
        &self,
        request: &ApiRequest,
        retry: Retry,
        took: Duration,
        state: &mut RequestState<'_>,
    ) -> Result<(), Ending> {
        if !matches!(retry, Retry::Failed(AttemptError::NotJson { .. }, _)) {
            state.memory.release_response();
        }
        match retry {
            Retry::Now => Ok(()),
            Retry::Throttled => {
                let waited = self.wait_after_refusal(request, state).await;
                waited.map_err(|failure| (failure, None))
            }
            Retry::Failed(AttemptError::Outgrown, _) if !state.has_outgrown => {
                state.has_outgrown = true;
                Ok(())
            }
            Retry::Failed(error @ AttemptError::TooLarge(_), _) => {
                Err((error.into_failure(&request.description, state.sent), None))
            }
            Retry::Failed(error, retry_after) => {
                self.retries.fetch_add(1, Ordering::Relaxed);
                let required = retry_after.unwrap_or_default();
                if !state.backoff.may_wait(required) {
                    tracing::info!(
                        what = request.description,
                        trouble = %error,
                        wait = ?required,
                        "Salla requires a longer wait than a request may take"
                    );
                    return Err((Failure::Throttled { wait: required }, None));
                }
                let wait = {
                    let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
                    state.backoff.after_failure(took, retry_after, &mut rng)
                };
                let failed = state.backoff.failed();
                let Some(wait) = wait else {
                    let unread = error.unread();
                    return Err((error.into_failure(&request.description, failed), unread));
                };
                tracing::debug!(
                    what = request.description,
                    trouble = %error,
                    failed,
                    ?wait,
                    "trying again"
                );
                // The response cannot be used, and waiting may take minutes.
                drop(error);
                state.memory.release_response();
                self.clock.sleep(wait).await;
                Ok(())
            }
        }
    }
}
