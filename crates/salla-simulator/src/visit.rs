//! The bookkeeping of one request.

use crate::api::{Answer, ClientRequest, Endpoint};
use crate::ledger::{Asked, Hold};
use crate::locked;
use crate::platform::{Platform, SimulatedShop};
use crate::scenario::Fault;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// Keeps the books of one request, also when the client goes away and the
/// whole exchange is dropped.
pub(crate) struct Visit {
    platform: Arc<Platform>,
    endpoint: Endpoint,
    pub(crate) now: i64,
    shop: Option<Arc<SimulatedShop>>,
    answered: bool,
    /// Whether the right answer will reach the client undamaged.
    pub(crate) arrives_whole: bool,
    /// What the answer depended on, as `api::state` has it.
    pub(crate) state: u32,
    pub(crate) hold: Option<Hold>,
    presented: Option<String>,
}

impl Visit {
    pub(crate) fn begin(
        platform: &Arc<Platform>,
        endpoint: Endpoint,
        fault: Option<Fault>,
    ) -> Self {
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

    pub(crate) fn presents(&mut self, refresh_token: Option<String>) {
        if let Some(token) = &refresh_token {
            locked(&self.platform.ledger).refresh_presented(token);
        }
        self.presented = refresh_token;
    }

    pub(crate) fn enter(&mut self, shop: Arc<SimulatedShop>) {
        locked(&shop.ledger).arrived(self.endpoint, self.now);
        self.shop = Some(shop);
    }

    pub(crate) fn answered(&mut self, answer: &Answer, request: &ClientRequest) {
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
