//! The state of a running simulator: its scenario, shops, tokens, queued
//! faults and counts.

use crate::accounts::{Grants, Tokens};
use crate::clock::SimClock;
use crate::endpoint::Endpoint;
use crate::ledger::{Ledger, LedgerReport};
use crate::limits::AddressLimiter;
use crate::locked;
use crate::outages::Outages;
use crate::scenario::{Fault, Scenario};
use crate::shop::{Shop, ShopSpec};
use crate::simulated_shop::SimulatedShop;
use crate::truth::ShopView;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::Notify;

#[derive(Debug)]
pub(crate) struct Platform {
    pub(crate) clock: SimClock,
    pub(crate) grants: Mutex<Grants>,
    pub(crate) ledger: Mutex<Ledger>,
    pub(crate) addresses: Mutex<AddressLimiter>,
    /// Notifies of every request that the ledger has counted.
    pub(crate) arrivals: Notify,
    scenario: RwLock<Arc<Scenario>>,
    shops: RwLock<Vec<Arc<SimulatedShop>>>,
    faults: Mutex<FaultState>,
}

#[derive(Debug)]
struct FaultState {
    queued: HashMap<Endpoint, VecDeque<Fault>>,
    outages: Outages,
    chance: fastrand::Rng,
}

impl Platform {
    pub(crate) fn new(scenario: Scenario) -> Self {
        let platform = Self {
            clock: SimClock::new(scenario.clock),
            grants: Mutex::new(Grants::new(scenario.seed)),
            ledger: Mutex::default(),
            addresses: Mutex::default(),
            arrivals: Notify::new(),
            shops: RwLock::default(),
            faults: Mutex::new(FaultState {
                queued: HashMap::new(),
                outages: Outages::default(),
                chance: fastrand::Rng::with_seed(scenario.seed),
            }),
            scenario: RwLock::new(Arc::new(scenario)),
        };
        let scenario = platform.scenario();
        platform.add_shop(scenario.shop.clone());
        for spec in &scenario.shops {
            platform.add_shop(spec.clone());
        }
        platform
    }

    pub(crate) fn scenario(&self) -> Arc<Scenario> {
        self.scenario
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Outages that differ in the new scenario restart.
    pub(crate) fn set_scenario(&self, scenario: Scenario) {
        let before = self.scenario();
        locked(&self.faults)
            .outages
            .replace(&before.outages, &scenario.outages);
        *self
            .scenario
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Arc::new(scenario);
    }

    pub(crate) fn shops(&self) -> Vec<Arc<SimulatedShop>> {
        self.shops
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn shop(&self, number: usize) -> Option<Arc<SimulatedShop>> {
        let shops = self.shops.read().unwrap_or_else(PoisonError::into_inner);
        shops.get(number).cloned()
    }

    pub(crate) fn shop_count(&self) -> usize {
        self.shops
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }

    /// Adds a shop that has just installed the app.
    pub(crate) fn add_shop(&self, spec: ShopSpec) -> Arc<SimulatedShop> {
        let scenario = self.scenario();
        let mut shops = self.shops.write().unwrap_or_else(PoisonError::into_inner);
        let number = shops.len();
        let tokens = locked(&self.grants).consent(number, self.clock.micros(), &scenario.oauth);
        let shop = Arc::new(Shop::new(spec, scenario.seed, number as u64));
        let state = Arc::new(SimulatedShop::new(shop, tokens));
        shops.push(state.clone());
        state
    }

    /// Another pair of tokens for a shop that is there already.
    pub(crate) fn consent(&self, shop: &Arc<SimulatedShop>) -> Tokens {
        let number = self.number_of(shop);
        let oauth = &self.scenario().oauth;
        locked(&self.grants).consent(number, self.clock.micros(), oauth)
    }

    pub(crate) fn number_of(&self, shop: &Arc<SimulatedShop>) -> usize {
        let shops = self.shops();
        let number = shops.iter().position(|known| Arc::ptr_eq(known, shop));
        number.expect("a handle is given out for shops of this platform only")
    }

    pub(crate) fn queue_fault(&self, endpoint: Endpoint, fault: Fault) {
        let mut faults = locked(&self.faults);
        faults.queued.entry(endpoint).or_default().push_back(fault);
    }

    /// The fault of the next request to an endpoint: an outage's, a queued one,
    /// or chance.
    pub(crate) fn fault(&self, endpoint: Endpoint, scenario: &Scenario) -> Option<Fault> {
        let mut faults = locked(&self.faults);
        if !endpoint.is_accounts() {
            let now = self.clock.micros();
            let outage = faults.outages.fault_for(&scenario.outages, now);
            if outage.is_some() {
                return outage;
            }
        }
        let queued = faults
            .queued
            .get_mut(&endpoint)
            .and_then(VecDeque::pop_front);
        if queued.is_some() {
            return queued;
        }
        if endpoint == Endpoint::OauthToken && scenario.oauth.token_fault.is_some() {
            return scenario.oauth.token_fault;
        }
        let place = faults.chance.f64();
        scenario.fault_rates(endpoint).choose(place)
    }

    /// How many requests to the API have arrived.
    pub(crate) fn api_requests(&self) -> u64 {
        locked(&self.faults).outages.arrived()
    }

    /// The counts of all requests to all shops.
    pub(crate) fn ledger_report(&self) -> LedgerReport {
        let shops = self.shops();
        let reports = shops.iter().map(|shop| locked(&shop.ledger).report());
        locked(&self.ledger).report().with_shops(reports)
    }

    pub(crate) fn reset_ledger(&self) {
        locked(&self.ledger).reset();
        for shop in self.shops() {
            locked(&shop.ledger).reset();
        }
    }

    /// A shop as it is now.
    pub(crate) fn view(&self, shop: &SimulatedShop) -> ShopView {
        let scenario = self.scenario();
        ShopView {
            shop: shop.shop.clone(),
            overlay: shop.overlay(),
            invalid: scenario.invalid,
            utc_labelled_dates: scenario.quirks.utc_labelled_dates,
        }
    }

    pub(crate) fn latency(&self, scenario: &Scenario) -> Duration {
        let latency = scenario.latency;
        let jitter = match latency.jitter_ms {
            0 => 0,
            most => locked(&self.faults).chance.u64(0..=most),
        };
        Duration::from_millis(latency.fixed_ms + jitter)
    }
}
