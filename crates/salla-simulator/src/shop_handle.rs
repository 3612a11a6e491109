//! The handle of one shop: what it is, and what may happen to it while it is
//! being read.

use crate::clock::SECOND;
use crate::drift::DriftEvent;
use crate::endpoint::Resource;
use crate::ledger::LedgerReport;
use crate::locked;
use crate::platform::Platform;
use crate::shop::{Edit, Original};
use crate::simulated_shop::SimulatedShop;
use crate::truth::{ShopView, Truth};
use crate::webhooks::Webhook;
use jiff::Timestamp;
use jiff::civil::Date;
use std::sync::Arc;

/// One shop of a running simulator.
#[derive(Clone, Debug)]
pub struct ShopHandle {
    pub(crate) platform: Arc<Platform>,
    pub(crate) state: Arc<SimulatedShop>,
}

impl ShopHandle {
    pub fn merchant_id(&self) -> i64 {
        self.state.shop.id
    }

    pub fn access_token(&self) -> &str {
        &self.state.tokens.access
    }

    pub fn refresh_token(&self) -> &str {
        &self.state.tokens.refresh
    }

    /// The merchant installs the app again: an access token and a refresh token that are
    /// no relatives of the former ones.
    pub fn install_again(&self) -> (String, String) {
        let tokens = self.platform.consent(&self.state);
        (tokens.access, tokens.refresh)
    }

    /// The merchant removes the app: all tokens of the shop are dead.
    pub fn uninstall(&self) {
        let number = self.platform.number_of(&self.state);
        locked(&self.platform.grants).uninstall(number);
    }

    /// What the dashboard of the shop hands to the page of the scenario's app.
    pub fn dashboard_token(&self) -> String {
        let embedded = &self.platform.scenario().embedded;
        self.dashboard_token_of(&embedded.app_id, embedded.token_seconds)
    }

    /// The same for any app, and for another time.
    pub fn dashboard_token_of(&self, app_id: &str, seconds: i64) -> String {
        let number = self.platform.number_of(&self.state);
        let expires_at = self.platform.clock.micros() + seconds * SECOND;
        locked(&self.platform.grants).dashboard_token(number, app_id, expires_at)
    }

    pub fn view(&self) -> ShopView {
        self.platform.view(&self.state)
    }

    pub fn truth(&self, from: Date, to: Date) -> Truth {
        self.view().truth(from, to)
    }

    /// The counts of the requests that carried a token of this shop.
    pub fn ledger(&self) -> LedgerReport {
        locked(&self.state.ledger).report()
    }

    /// What the scenario's drift has done to the shop so far.
    pub fn drift_events(&self) -> Vec<DriftEvent> {
        locked(&self.state.drift).events()
    }
}

/// Changes while the shop is being read. Those that name a record give false
/// if no list has it.
impl ShopHandle {
    /// Adds an order and gives its id. One in the past is as old by its
    /// `updated_at`, so that only its place in the list betrays it.
    pub fn insert_order(&self, created_at: Timestamp) -> i64 {
        self.insert(Resource::Orders, created_at)
    }

    /// Moves an order to another status.
    pub fn edit_order(&self, id: i64, status: Original) -> bool {
        let change = |edit: &mut Edit| edit.status = Some(status);
        self.edit(Resource::Orders, id, change)
    }

    /// Adds one to the quantity of an order's first item; the amounts follow.
    pub fn edit_order_items(&self, id: i64) -> bool {
        self.edit(Resource::Orders, id, |edit| edit.steps += 1)
    }

    /// Takes an order out of all lists; its details are gone as well.
    pub fn delete_order(&self, id: i64) -> bool {
        self.state.delete(Resource::Orders, id)
    }

    /// Makes a draft of an order: no list and no details until `unhide_order`.
    pub fn hide_order(&self, id: i64) -> bool {
        self.state.hide(Resource::Orders, id)
    }

    /// Lists a hidden order again, in its old place: its creation date is what
    /// it was, while it is updated now.
    pub fn unhide_order(&self, id: i64) -> bool {
        self.state.unhide(Resource::Orders, id, self.now())
    }

    pub fn insert_customer(&self, created_at: Timestamp) -> i64 {
        self.insert(Resource::Customers, created_at)
    }

    /// Gives a customer another last name.
    pub fn edit_customer(&self, id: i64) -> bool {
        self.edit(Resource::Customers, id, |edit| edit.steps += 1)
    }

    /// The orders keep the customer.
    pub fn delete_customer(&self, id: i64) -> bool {
        self.state.delete(Resource::Customers, id)
    }

    /// Adds a product, which is the first of the list, and gives its id.
    pub fn insert_product(&self) -> i64 {
        self.insert(Resource::Products, self.platform.clock.now())
    }

    /// Raises the price of a product; orders keep the old one.
    pub fn edit_product(&self, id: i64) -> bool {
        self.edit(Resource::Products, id, |edit| edit.steps += 1)
    }

    /// The orders keep the product.
    pub fn delete_product(&self, id: i64) -> bool {
        self.state.delete(Resource::Products, id)
    }

    fn insert(&self, resource: Resource, created_at: Timestamp) -> i64 {
        self.state.insert(resource, created_at.as_second())
    }

    fn edit(&self, resource: Resource, id: i64, change: impl FnOnce(&mut Edit)) -> bool {
        self.state.edit(resource, id, self.now(), change)
    }

    fn now(&self) -> i64 {
        self.platform.clock.now().as_second()
    }
}

/// What Salla sends to the app about the shop.
impl ShopHandle {
    /// `app.store.authorize` with these tokens, as if authorized at this moment.
    pub fn authorized(&self, (access, refresh): (&str, &str), at: Timestamp) -> Webhook {
        let oauth = &self.platform.scenario().oauth;
        let expires = at.as_second() + oauth.access_token_seconds;
        let data = serde_json::json!({
            "access_token": access,
            "expires": expires,
            "refresh_token": refresh,
            "scope": oauth.scopes.join(" "),
            "token_type": "bearer",
        });
        Webhook::of_app("app.store.authorize", self.merchant_id(), at, data)
    }

    /// Another event of the app, such as `app.uninstalled` or `app.trial.started`.
    pub fn app_event(&self, event: &str, at: Timestamp) -> Webhook {
        let data = serde_json::json!({
            "id": 1_234_567,
            "app_name": "تطبيق",
            "app_type": "app",
            "store_type": "demo",
        });
        Webhook::of_app(event, self.merchant_id(), at, data)
    }

    /// An event of the app with its own data, such as `app.settings.updated`.
    pub fn app_event_with(&self, event: &str, at: Timestamp, data: serde_json::Value) -> Webhook {
        Webhook::of_app(event, self.merchant_id(), at, data)
    }

    /// `app.settings.updated`, with all settings as the merchant has left them.
    pub fn settings_updated(&self, at: Timestamp, settings: serde_json::Value) -> Webhook {
        let data = serde_json::json!({
            "id": 1_234_567,
            "app_name": "تطبيق",
            "app_type": "app",
            "settings": settings,
        });
        self.app_event_with("app.settings.updated", at, data)
    }

    /// What the merchant has filled in after the first install, in a form of Salla's.
    pub fn onboarding_step(&self, slug: &str, at: Timestamp, fields: serde_json::Value) -> Webhook {
        let data = serde_json::json!({ "slug": slug, "fields": fields });
        self.app_event_with(&format!("app.onboarding.step.creating.{slug}"), at, data)
    }

    /// Everything that Salla sends around an install, in the order in which it happens: trial and
    /// subscription may come before the authorization, and an update is followed by another one.
    pub fn install_story(&self, at: Timestamp, settings: serde_json::Value) -> Vec<Webhook> {
        let (access, refresh) = self.install_again();
        let later = |seconds| at + jiff::SignedDuration::from_secs(seconds);
        vec![
            self.app_event("app.trial.started", at),
            self.app_event("app.installed", later(1)),
            self.authorized((&access, &refresh), later(2)),
            self.app_event("app.subscription.started", later(3)),
            self.settings_updated(later(4), settings),
            self.app_event("app.trial.expired", later(5)),
            self.app_event("app.subscription.renewed", later(6)),
            self.app_event("app.updated", later(7)),
            self.app_event("app.feedback.created", later(8)),
        ]
    }

    /// An event about a record of the shop, at this moment.
    pub fn record_event(&self, event: &str, id: i64) -> Webhook {
        Webhook::of_record(event, self.merchant_id(), self.now(), id)
    }
}
