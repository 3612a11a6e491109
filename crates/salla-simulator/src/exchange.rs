//! The way of one request: admission at the moment it arrives, the response, and then the faults
//! that the scenario has in store for it.

use crate::accounts;
use crate::api::{self, ClientRequest, Response};
use crate::dashboard;
use crate::drift_step;
use crate::endpoint::Endpoint;
use crate::json::{Language, View};
use crate::ledger::{Cooldown, RepeatableRequest};
use crate::limits::LimitDecision;
use crate::locked;
use crate::platform::Platform;
use crate::scenario::{Fault, Scenario, ShopState, ThrottleBody};
use crate::simulated_shop::SimulatedShop;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The response to a request, or nothing if the connection is to be cut.
pub(crate) async fn exchange(platform: &Arc<Platform>, request: ClientRequest) -> Option<Response> {
    let scenario = platform.scenario();
    let endpoint = request.endpoint();
    let fault = platform.fault(endpoint, &scenario);
    let mut recorder = RequestRecorder::begin(platform, endpoint, fault);
    if fault != Some(Fault::Throttle) {
        recorder.presents(accounts::presented(&request));
    }
    let response = decide(platform, &scenario, &request, fault, &mut recorder);
    platform.clock.sleep(platform.latency(&scenario)).await;
    let response = apply_fault(platform, &scenario, response, fault, endpoint).await?;
    recorder.answered(&response, &request);
    Some(response)
}

/// Everything that is settled when the request arrives, without waiting.
fn decide(
    platform: &Arc<Platform>,
    scenario: &Scenario,
    request: &ClientRequest,
    fault: Option<Fault>,
    recorder: &mut RequestRecorder,
) -> Response {
    if matches!(
        fault,
        Some(Fault::Reset | Fault::HangUndone | Fault::HtmlUndone)
    ) {
        return Response::empty(500);
    }
    let endpoint = request.endpoint();
    if endpoint != Endpoint::Unknown && request.method != endpoint.method() {
        return Response::method_not_allowed();
    }
    match fault {
        Some(fault) if endpoint.is_accounts() && fault.status().is_some() => {
            return fault_response(fault, request);
        }
        Some(Fault::Throttle) if endpoint.is_accounts() => return Response::too_many_requests(),
        _ => {}
    }
    match endpoint {
        Endpoint::OauthAuth => {
            accounts::authorize(request, &platform.grants, scenario, platform.shop_count())
        }
        Endpoint::OauthToken => accounts::token(
            request,
            recorder.now,
            &platform.grants,
            scenario,
            &platform.ledger,
        ),
        Endpoint::Introspect => {
            let merchant_of = |number| Some(platform.shop(number)?.shop.id);
            accounts::introspect(
                request,
                recorder.now,
                &platform.grants,
                merchant_of,
                scenario,
            )
        }
        Endpoint::Dashboard => dashboard::page(request, recorder.now, platform, scenario),
        _ => decide_api(platform, scenario, request, fault, recorder),
    }
}

/// A request of the API: token, budget, scope, and only then the response.
fn decide_api(
    platform: &Arc<Platform>,
    scenario: &Scenario,
    request: &ClientRequest,
    fault: Option<Fault>,
    recorder: &mut RequestRecorder,
) -> Response {
    let shop = match authenticate(platform, scenario, request, fault, recorder.now) {
        Ok(shop) => shop,
        Err(refusal) => return refusal,
    };
    recorder.enter(shop.clone());
    let endpoint = request.endpoint();
    if endpoint.is_accounts() {
        return respond(&shop, scenario, request, recorder, 0);
    }
    if let Some(until) = locked(&shop.limiter).blocked_until(recorder.now) {
        recorder.cooldown = Some(Cooldown::Blocked(until));
        return Response::blocked();
    }
    let (decision, by_address) = charge_budget(platform, &shop, scenario, request, recorder.now);
    let headers = decision.headers(recorder.now, scenario.limits.retry_after);
    if !decision.allowed || fault == Some(Fault::Throttle) {
        let retry_at = decision.retry_at(scenario.limits.retry_after);
        recorder.cooldown = retry_at.map(|until| Cooldown::Throttled { until, by_address });
        locked(&shop.limiter).refused(recorder.now, scenario.limits.block);
        return throttled(scenario).with(headers);
    }
    if let Some(fault) = fault.filter(|fault| fault.status().is_some()) {
        return fault_response(fault, request).with(headers);
    }
    if let Some(scope) = missing_scope(endpoint, scenario) {
        return Response::missing_scope(scope).with(headers);
    }
    let served = shop.served.fetch_add(1, Ordering::SeqCst);
    let response = respond(&shop, scenario, request, recorder, served);
    // What never reached the reader has not been read.
    if response.status == 200 && recorder.arrives_whole {
        let now = platform.clock.now().as_second();
        drift_step::after_response(&shop, scenario, request, served + 1, now);
    }
    let quirks = scenario.quirks;
    let response = response.damaged(quirks).compressed(quirks.gzip);
    response.with(headers)
}

/// The response of a fault that has a status.
fn fault_response(fault: Fault, request: &ClientRequest) -> Response {
    match fault {
        Fault::EmptyStatus(status) => Response::empty(status),
        Fault::TextStatus(status) => Response::text(status),
        other => Response::server_error(other.status().unwrap_or(500), request.language),
    }
}

fn authenticate(
    platform: &Platform,
    scenario: &Scenario,
    request: &ClientRequest,
    fault: Option<Fault>,
    now: i64,
) -> Result<Arc<SimulatedShop>, Response> {
    let token = request.access_token.as_deref().unwrap_or("");
    let mut grants = locked(&platform.grants);
    if fault == Some(Fault::ExpireToken) {
        grants.expire(token);
    }
    let shop = grants
        .shop_of(token, now, &scenario.oauth)
        .and_then(|number| platform.shop(number));
    match (scenario.shop_state, shop) {
        (ShopState::Active, Some(shop)) => Ok(shop),
        (ShopState::Inactive, Some(_)) => Err(Response::inactive_account()),
        (ShopState::Uninstalled, _) | (_, None) => Err(Response::invalid_token()),
    }
}

/// The shop's budget decides first; `/customers*` then also costs the budget
/// of the client's address, whose headers replace the shop's. Says also whether
/// it was the address's that decided.
fn charge_budget(
    platform: &Platform,
    shop: &SimulatedShop,
    scenario: &Scenario,
    request: &ClientRequest,
    now: i64,
) -> (LimitDecision, bool) {
    let per_minute = scenario.plan_limits.per_minute(shop.shop.spec.plan);
    let decision = locked(&shop.limiter).decide(now, per_minute, &scenario.limits);
    let customers = scenario.limits.customers;
    if decision.allowed && request.endpoint().is_customers() && customers.enabled {
        let decision = locked(&platform.addresses).decide(request.peer, now, customers);
        return (decision, true);
    }
    (decision, false)
}

fn throttled(scenario: &Scenario) -> Response {
    match scenario.limits.throttle_body {
        ThrottleBody::Json => Response::too_many_requests(),
        ThrottleBody::Html => Response::html(429, "Too Many Requests"),
        ThrottleBody::Empty => Response::empty(429),
    }
}

/// A write scope includes reading.
fn missing_scope(endpoint: Endpoint, scenario: &Scenario) -> Option<&'static str> {
    let wanted = endpoint.scope()?;
    let granted = scenario.oauth.scopes.iter().any(|scope| {
        scope
            .strip_prefix(wanted)
            .is_some_and(|rest| rest.is_empty() || rest == "_write")
    });
    (!granted).then_some(wanted)
}

fn respond(
    shop: &SimulatedShop,
    scenario: &Scenario,
    request: &ClientRequest,
    recorder: &mut RequestRecorder,
    served: u64,
) -> Response {
    let overlay = shop.overlay();
    let view = View {
        shop: &shop.shop,
        overlay: &overlay,
        scenario,
        language: request.language,
        served,
    };
    recorder.state = api::state(request, view);
    api::respond(request, view, &shop.selections)
}

/// What happens to a response on its way out.
async fn apply_fault(
    platform: &Platform,
    scenario: &Scenario,
    response: Response,
    fault: Option<Fault>,
    endpoint: Endpoint,
) -> Option<Response> {
    let lost = endpoint == Endpoint::OauthToken && scenario.oauth.lose_refresh_answers;
    match fault {
        Some(Fault::Reset | Fault::LostAnswer) => None,
        _ if lost => None,
        Some(Fault::Hang | Fault::HangUndone) => std::future::pending().await,
        Some(Fault::DoneStatus(status)) => Some(Response::server_error(status, Language::English)),
        Some(Fault::DoneHtml(status)) => Some(Response::html(status, "Just a moment...")),
        Some(Fault::Slow(milliseconds)) => {
            platform
                .clock
                .sleep(Duration::from_millis(milliseconds))
                .await;
            Some(response)
        }
        Some(Fault::Truncate) => Some(Response {
            body: response.body.slice(..response.body.len() / 2),
            ..response
        }),
        Some(Fault::Html | Fault::HtmlUndone) => Some(Response {
            headers: response.headers,
            ..Response::html(200, "Just a moment...")
        }),
        Some(
            Fault::Status(_)
            | Fault::EmptyStatus(_)
            | Fault::TextStatus(_)
            | Fault::Throttle
            | Fault::ExpireToken,
        )
        | None => Some(response),
    }
}

/// Keeps the books of one request, also when the client goes away and the
/// whole exchange is dropped.
struct RequestRecorder {
    platform: Arc<Platform>,
    endpoint: Endpoint,
    now: i64,
    shop: Option<Arc<SimulatedShop>>,
    answered: bool,
    /// Whether the right response will reach the client undamaged.
    arrives_whole: bool,
    /// What the response depended on, as `api::state` has it.
    state: u32,
    cooldown: Option<Cooldown>,
    presented: Option<String>,
}

impl RequestRecorder {
    fn begin(platform: &Arc<Platform>, endpoint: Endpoint, fault: Option<Fault>) -> Self {
        let now = platform.clock.micros();
        locked(&platform.ledger).arrived(endpoint, now);
        platform.arrivals.notify_waiters();
        Self {
            platform: platform.clone(),
            endpoint,
            now,
            shop: None,
            answered: false,
            arrives_whole: matches!(fault, None | Some(Fault::Slow(_) | Fault::ExpireToken)),
            state: 0,
            cooldown: None,
            presented: None,
        }
    }

    fn presents(&mut self, refresh_token: Option<String>) {
        if let Some(token) = &refresh_token {
            locked(&self.platform.ledger).refresh_presented(token);
        }
        self.presented = refresh_token;
    }

    fn enter(&mut self, shop: Arc<SimulatedShop>) {
        locked(&shop.ledger).arrived(self.endpoint, self.now);
        self.shop = Some(shop);
    }

    fn answered(&mut self, response: &Response, request: &ClientRequest) {
        self.answered = true;
        if let Some(token) = self.presented.as_ref().filter(|_| self.arrives_whole) {
            locked(&self.platform.grants).answered(token);
        }
        locked(&self.platform.ledger).answered(response.status, response.body.len(), None);
        if let Some(shop) = &self.shop {
            let repeatable = RepeatableRequest {
                request_hash: request_hash(request),
                endpoint: self.endpoint,
                state: if self.arrives_whole { self.state } else { 0 },
            };
            let mut ledger = locked(&shop.ledger);
            ledger.answered(response.status, response.body.len(), Some(repeatable));
            if let Some(cooldown) = self.cooldown {
                ledger.held(cooldown);
            }
        }
    }
}

impl Drop for RequestRecorder {
    fn drop(&mut self) {
        let now = self.platform.clock.micros();
        let mut ledger = locked(&self.platform.ledger);
        if !self.answered {
            ledger.unanswered();
        }
        ledger.ended(now, i64::MAX);
        drop(ledger);
        let Some(shop) = &self.shop else { return };
        let scenario = self.platform.scenario();
        let per_minute = scenario.plan_limits.per_minute(shop.shop.spec.plan);
        let budget_from = locked(&shop.limiter).budget_from(now, per_minute, &scenario.limits);
        let mut ledger = locked(&shop.ledger);
        if !self.answered {
            ledger.unanswered();
        }
        ledger.ended(now, budget_from);
    }
}

fn request_hash(request: &ClientRequest) -> u64 {
    let mut hasher = DefaultHasher::new();
    request.path.hash(&mut hasher);
    request.query.canonical().hash(&mut hasher);
    hasher.finish()
}
