//! The way of one request: admission at the moment it arrives, the answer, and
//! then whatever trouble the scenario has in store for it.

use crate::accounts;
use crate::api::{self, Answer, ClientRequest};
use crate::dashboard;
use crate::drift_step;
use crate::endpoint::Endpoint;
use crate::json::{Language, View};
use crate::ledger::{Asked, Hold};
use crate::limits::Decision;
use crate::locked;
use crate::platform::Platform;
use crate::scenario::{Fault, Scenario, ShopState, ThrottleBody};
use crate::simulated_shop::SimulatedShop;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The answer to a request, or nothing if the connection is to be cut.
pub(crate) async fn exchange(platform: &Arc<Platform>, request: ClientRequest) -> Option<Answer> {
    let scenario = platform.scenario();
    let endpoint = request.endpoint();
    let fault = platform.fault(endpoint, &scenario);
    let mut visit = Visit::begin(platform, endpoint, fault);
    if fault != Some(Fault::Throttle) {
        visit.presents(accounts::presented(&request));
    }
    let answer = decide(platform, &scenario, &request, fault, &mut visit);
    platform.clock.sleep(platform.latency(&scenario)).await;
    let answer = suffer(platform, &scenario, answer, fault, endpoint).await?;
    visit.answered(&answer, &request);
    Some(answer)
}

/// Everything that is settled when the request arrives, without waiting.
fn decide(
    platform: &Arc<Platform>,
    scenario: &Scenario,
    request: &ClientRequest,
    fault: Option<Fault>,
    visit: &mut Visit,
) -> Answer {
    if matches!(
        fault,
        Some(Fault::Reset | Fault::HangUndone | Fault::HtmlUndone)
    ) {
        return Answer::empty(500);
    }
    let endpoint = request.endpoint();
    if endpoint != Endpoint::Unknown && request.method != endpoint.method() {
        return Answer::method_not_allowed();
    }
    match fault {
        Some(fault) if endpoint.is_accounts() && fault.status().is_some() => {
            return trouble(fault, request);
        }
        Some(Fault::Throttle) if endpoint.is_accounts() => return Answer::too_many_requests(),
        _ => {}
    }
    match endpoint {
        Endpoint::OauthAuth => {
            accounts::authorize(request, &platform.grants, scenario, platform.shop_count())
        }
        Endpoint::OauthToken => accounts::token(
            request,
            visit.now,
            &platform.grants,
            scenario,
            &platform.ledger,
        ),
        Endpoint::Introspect => {
            let merchant_of = |number| Some(platform.shop(number)?.shop.id);
            accounts::introspect(request, visit.now, &platform.grants, merchant_of, scenario)
        }
        Endpoint::Dashboard => dashboard::page(request, visit.now, platform, scenario),
        _ => decide_api(platform, scenario, request, fault, visit),
    }
}

/// A request of the API: token, budget, scope, and only then the answer.
fn decide_api(
    platform: &Arc<Platform>,
    scenario: &Scenario,
    request: &ClientRequest,
    fault: Option<Fault>,
    visit: &mut Visit,
) -> Answer {
    let shop = match authenticate(platform, scenario, request, fault, visit.now) {
        Ok(shop) => shop,
        Err(refusal) => return refusal,
    };
    visit.enter(shop.clone());
    let endpoint = request.endpoint();
    if endpoint.is_accounts() {
        return answer(&shop, scenario, request, visit, 0);
    }
    if let Some(until) = locked(&shop.limiter).blocked_until(visit.now) {
        visit.hold = Some(Hold::Blocked(until));
        return Answer::blocked();
    }
    let (decision, by_address) = spend(platform, &shop, scenario, request, visit.now);
    let headers = decision.headers(visit.now, scenario.limits.retry_after);
    if !decision.allowed || fault == Some(Fault::Throttle) {
        let come_back = decision.come_back(scenario.limits.retry_after);
        visit.hold = come_back.map(|until| Hold::Throttled { until, by_address });
        locked(&shop.limiter).refused(visit.now, scenario.limits.block);
        return throttled(scenario).with(headers);
    }
    if let Some(fault) = fault.filter(|fault| fault.status().is_some()) {
        return trouble(fault, request).with(headers);
    }
    if let Some(scope) = missing_scope(endpoint, scenario) {
        return Answer::missing_scope(scope).with(headers);
    }
    let served = shop.served.fetch_add(1, Ordering::SeqCst);
    let answer = answer(&shop, scenario, request, visit, served);
    // What never reached the reader has not been read.
    if answer.status == 200 && visit.arrives_whole {
        let now = platform.clock.now().as_second();
        drift_step::after_answer(&shop, scenario, request, served + 1, now);
    }
    let quirks = scenario.quirks;
    let answer = answer.damaged(quirks).compressed(quirks.gzip);
    answer.with(headers)
}

/// The answer of a fault that has a status.
fn trouble(fault: Fault, request: &ClientRequest) -> Answer {
    match fault {
        Fault::EmptyStatus(status) => Answer::empty(status),
        Fault::TextStatus(status) => Answer::text(status),
        other => Answer::trouble(other.status().unwrap_or(500), request.language),
    }
}

fn authenticate(
    platform: &Platform,
    scenario: &Scenario,
    request: &ClientRequest,
    fault: Option<Fault>,
    now: i64,
) -> Result<Arc<SimulatedShop>, Answer> {
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
        (ShopState::Inactive, Some(_)) => Err(Answer::inactive_account()),
        (ShopState::Uninstalled, _) | (_, None) => Err(Answer::invalid_token()),
    }
}

/// The shop's budget decides first; `/customers*` then also costs the budget
/// of the client's address, whose headers replace the shop's. Says also whether
/// it was the address's that decided.
fn spend(
    platform: &Platform,
    shop: &SimulatedShop,
    scenario: &Scenario,
    request: &ClientRequest,
    now: i64,
) -> (Decision, bool) {
    let per_minute = scenario.plan_limits.per_minute(shop.shop.spec.plan);
    let decision = locked(&shop.limiter).decide(now, per_minute, &scenario.limits);
    let customers = scenario.limits.customers;
    if decision.allowed && request.endpoint().is_customers() && customers.enabled {
        let decision = locked(&platform.addresses).decide(request.peer, now, customers);
        return (decision, true);
    }
    (decision, false)
}

fn throttled(scenario: &Scenario) -> Answer {
    match scenario.limits.throttle_body {
        ThrottleBody::Json => Answer::too_many_requests(),
        ThrottleBody::Html => Answer::html(429, "Too Many Requests"),
        ThrottleBody::Empty => Answer::empty(429),
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

fn answer(
    shop: &SimulatedShop,
    scenario: &Scenario,
    request: &ClientRequest,
    visit: &mut Visit,
    served: u64,
) -> Answer {
    let overlay = shop.overlay();
    let view = View {
        shop: &shop.shop,
        overlay: &overlay,
        scenario,
        language: request.language,
        served,
    };
    visit.state = api::state(request, view);
    api::answer(request, view, &shop.selections)
}

/// What happens to an answer on its way out.
async fn suffer(
    platform: &Platform,
    scenario: &Scenario,
    answer: Answer,
    fault: Option<Fault>,
    endpoint: Endpoint,
) -> Option<Answer> {
    let lost = endpoint == Endpoint::OauthToken && scenario.oauth.lose_refresh_answers;
    match fault {
        Some(Fault::Reset | Fault::LostAnswer) => None,
        _ if lost => None,
        Some(Fault::Hang | Fault::HangUndone) => std::future::pending().await,
        Some(Fault::DoneStatus(status)) => Some(Answer::trouble(status, Language::English)),
        Some(Fault::DoneHtml(status)) => Some(Answer::html(status, "Just a moment...")),
        Some(Fault::Slow(milliseconds)) => {
            platform
                .clock
                .sleep(Duration::from_millis(milliseconds))
                .await;
            Some(answer)
        }
        Some(Fault::Truncate) => Some(Answer {
            body: answer.body.slice(..answer.body.len() / 2),
            ..answer
        }),
        Some(Fault::Html | Fault::HtmlUndone) => Some(Answer {
            headers: answer.headers,
            ..Answer::html(200, "Just a moment...")
        }),
        Some(
            Fault::Status(_)
            | Fault::EmptyStatus(_)
            | Fault::TextStatus(_)
            | Fault::Throttle
            | Fault::ExpireToken,
        )
        | None => Some(answer),
    }
}

/// Keeps the books of one request, also when the client goes away and the
/// whole exchange is dropped.
struct Visit {
    platform: Arc<Platform>,
    endpoint: Endpoint,
    now: i64,
    shop: Option<Arc<SimulatedShop>>,
    answered: bool,
    /// Whether the right answer will reach the client undamaged.
    arrives_whole: bool,
    /// What the answer depended on, as `api::state` has it.
    state: u32,
    hold: Option<Hold>,
    presented: Option<String>,
}

impl Visit {
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
            hold: None,
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

    fn answered(&mut self, answer: &Answer, request: &ClientRequest) {
        self.answered = true;
        if let Some(token) = self.presented.as_ref().filter(|_| self.arrives_whole) {
            locked(&self.platform.grants).answered(token);
        }
        locked(&self.platform.ledger).answered(answer.status, answer.body.len(), None);
        if let Some(shop) = &self.shop {
            let asked = Asked {
                question: question(request),
                endpoint: self.endpoint,
                state: if self.arrives_whole { self.state } else { 0 },
            };
            let mut ledger = locked(&shop.ledger);
            ledger.answered(answer.status, answer.body.len(), Some(asked));
            if let Some(hold) = self.hold {
                ledger.held(hold);
            }
        }
    }
}

impl Drop for Visit {
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

fn question(request: &ClientRequest) -> u64 {
    let mut hasher = DefaultHasher::new();
    request.path.hash(&mut hasher);
    request.query.canonical().hash(&mut hasher);
    hasher.finish()
}
