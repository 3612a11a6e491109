//! Everything that can be chosen about a simulated Salla, as plain values: set
//! in code, in a TOML file, or as a JSON patch while the simulator runs.

mod drift;
mod faults;
mod limits;
mod lists;
mod oauth;
mod quirks;

pub use drift::{Drift, DriftCounts, ResourceDrift};
pub use faults::{Fault, FaultRates, ItemLoss, Latency, Outage, OutageLength};
pub use limits::{
    Block, CustomersLimit, LimiterKind, Limits, PlanLimits, RetryAfter, ThrottleBody,
};
pub use lists::{Ceiling, CeilingBehavior, EndlessPages, ListBehavior, Lists};
pub use oauth::{Consent, Embedded, LifetimeField, Oauth, ShopState};
pub use quirks::{
    CustomerDates, DateFilter, EmptyLinks, Filling, FilterZone, FloatDigits, ItemProduct,
    LongRecords, ProductFilters, Quirks, TextDamage,
};

use crate::endpoint::Endpoint;
use crate::shop::invalid::InvalidRates;
use crate::shop::{DEFAULT_NOW, ShopSpec};
use anyhow::Context;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

with_defaults! {
    /// A simulated Salla.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    pub struct Scenario {
        /// Seeds faults, latencies and tokens; shops have separate seeds.
        pub seed: u64 = 1,
        /// The first shop, the one that the ready-made connection belongs to.
        pub shop: ShopSpec,
        /// Further shops of the same platform.
        pub shops: Vec<ShopSpec>,
        pub clock: ClockSpec,
        /// How far the `Date` header is ahead of the clock, as if a clock were wrong; nothing else
        /// follows it.
        pub date_ahead_seconds: i64,
        pub app_age: AppAge,
        pub plan_limits: PlanLimits,
        pub limits: Limits,
        pub oauth: Oauth,
        pub embedded: Embedded,
        pub shop_state: ShopState,
        /// The most rows that a page may have (docs.salla.dev/421124m0 says 60).
        pub page_cap: u64 = 60,
        /// The cap of the order list alone; several integrators saw 30.
        pub orders_page_cap: u64 = 60,
        pub empty_links: EmptyLinks,
        pub date_filter: DateFilter,
        pub customer_dates: CustomerDates,
        pub product_filters: ProductFilters,
        pub lists: Lists,
        pub drift: Drift,
        pub item_loss: ItemLoss,
        pub outages: Vec<Outage>,
        pub item_product: ItemProduct,
        /// The maximum number of items in one response of `/orders/items`. Salla documents no pages
        /// there.
        pub items_page_cap: Option<u64>,
        pub quirks: Quirks,
        pub invalid: InvalidRates,
        pub latency: Latency,
        /// Chances of faults at every endpoint of the API. The accounts host is
        /// spared, since a lost refresh answer disconnects a shop for good.
        pub faults: FaultRates,
        /// Chances for single endpoints, in place of `faults`.
        pub endpoint_faults: BTreeMap<Endpoint, FaultRates>,
    }
}

/// How old the app is, which decides what Salla lets it see
/// (docs.salla.dev/421127m0, entries 2.10.3 and 2.10.9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AppAge {
    /// `expanded=true` works: list rows are full orders with their items.
    #[default]
    Expanded,
    /// `expanded` is ignored; `/orders/{id}` is the full form with items.
    FullDetails,
    /// `expanded` is ignored; `/orders/{id}` is light; items are apart.
    LightDetails,
}

with_defaults! {
    /// The clock that limits, token lifetimes and latencies go by.
    #[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
    pub struct ClockSpec {
        pub start: Timestamp = DEFAULT_NOW,
        /// Simulated seconds per real second; zero means that only a test moves it.
        pub scale: f64 = 1.0,
    }
}

impl Scenario {
    /// Reads a scenario file; what it does not name keeps its default.
    pub fn from_file(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the scenario {}", path.display()))?;
        toml::from_str(&text).with_context(|| format!("in the scenario {}", path.display()))
    }

    /// Moves the shops and the clock to another moment. The orders move along:
    /// they always reach back from the shop's own present.
    #[must_use]
    pub fn moved_to(mut self, now: Timestamp) -> Self {
        self.clock.start = now;
        self.shop.now = now;
        for shop in &mut self.shops {
            shop.now = now;
        }
        self
    }

    /// Applies a JSON merge patch (RFC 7396) to everything but the shops and
    /// the clock, which are fixed once the simulator has started.
    pub(crate) fn patched(&self, patch: &serde_json::Value) -> anyhow::Result<Self> {
        let mut value = serde_json::to_value(self)?;
        merge(&mut value, patch);
        let patched: Self = serde_json::from_value(value)?;
        anyhow::ensure!(
            patched.shop == self.shop && patched.shops == self.shops && patched.clock == self.clock,
            "shops and clock cannot change while the simulator runs"
        );
        Ok(patched)
    }

    pub(crate) fn fault_rates(&self, endpoint: Endpoint) -> FaultRates {
        match self.endpoint_faults.get(&endpoint) {
            Some(rates) => *rates,
            None if endpoint.is_accounts() => FaultRates::default(),
            None => self.faults,
        }
    }
}

fn merge(target: &mut serde_json::Value, patch: &serde_json::Value) {
    match (target, patch) {
        (serde_json::Value::Object(target), serde_json::Value::Object(patch)) => {
            for (key, value) in patch {
                if value.is_null() {
                    target.remove(key);
                } else {
                    merge(target.entry(key).or_insert(serde_json::Value::Null), value);
                }
            }
        }
        (target, patch) => *target = patch.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_example_scenario_can_be_read() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
        let mut read = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            Scenario::from_file(&entry.unwrap().path()).unwrap();
            read += 1;
        }
        assert_eq!(read, 7);
    }

    #[test]
    fn a_patch_changes_what_it_names_and_nothing_else() {
        let patch = json!({"faults": {"status_500": 0.5}, "app_age": "light_details"});
        let patched = Scenario::default().patched(&patch).unwrap();
        assert_eq!(patched.faults.status_500, 0.5);
        assert_eq!(patched.app_age, AppAge::LightDetails);
        assert_eq!(patched.limits, Scenario::default().limits);
    }

    #[test]
    fn a_patch_refuses_unknown_names_and_another_shop() {
        let scenario = Scenario::default();
        assert!(scenario.patched(&json!({"no_such_field": 1})).is_err());
        assert!(scenario.patched(&json!({"shop": {"orders": 7}})).is_err());
    }
}
