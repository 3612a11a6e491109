//! One case of chaos: a shop, how Salla treats its readers, and what befalls the
//! importer. All of it follows from one seed.

use salla_simulator::{AppAge, ClockSpec, Drift, Fault, Lists, Scenario};

use crate::disruption::Disruption;
use crate::draw::SeededChoices;
use crate::scenario;

/// A `total` that is so far off cannot be settled in a shop of some thousand orders.
pub(crate) const FAR_OFF: i64 = 40;

#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) scenario: Scenario,
    pub(crate) months: u16,
    pub(crate) keep_raw: bool,
    pub(crate) drift: DriftEnd,
    pub(crate) disruption: Disruption,
}

/// When the shop comes to rest, which decides what must hold after the import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DriftEnd {
    /// The shop never changes.
    Still,
    /// Before the lists are read to their end: the import must catch up in the same run.
    Early,
    /// Not before the import has ended: it may end FAILED as unbalanced, and what it
    /// left must come right when the shop is imported once more.
    Never,
}

impl Plan {
    pub(crate) fn of(seed: u64) -> Self {
        let mut draw = SeededChoices::of(seed);
        let disruption = Disruption::draw(&mut draw);
        let months = draw.pick(&[1, 3, 12, 12, 24]);
        let mut scenario = scenario::scenario(&mut draw);
        let drift = match draw.between(0, 9) {
            0..=4 => DriftEnd::Still,
            5..=7 => DriftEnd::Early,
            _ => DriftEnd::Never,
        };
        if disruption == Disruption::Neighbour {
            scenario.shops = vec![scenario::neighbour(&mut draw)];
        }
        if matches!(disruption, Disruption::ConnectionSetBack(_)) {
            let requests = draw.between(20, 80);
            scenario.oauth.access_token_requests = Some(requests);
        }
        scenario.drift = scenario::drift(&mut draw, &scenario, months, drift);
        let lies = drift == DriftEnd::Still || draw.chance(0.2);
        if lies && draw.chance(0.3) {
            scenario.lists = scenario::lists(&mut draw);
            // What a list hides of a day that is longer than twice the ceiling, it hides.
            if scenario.shop.busy_day.is_some() {
                scenario.lists.orders.ceiling = None;
            }
        }
        if drift == DriftEnd::Still && draw.chance(0.06) {
            scenario.lists.orders.total_off = FAR_OFF + draw.between(0, 50) as i64;
        }
        // A list whose number never fits proves nothing about what is no longer on it.
        if scenario.lists != Lists::default() && drift == DriftEnd::Early {
            scenario.drift.customers = Default::default();
            scenario.drift.products = Default::default();
        }
        if disruption.needs_real_time() {
            scenario::let_waiting_be_short(&mut scenario);
        } else {
            scenario::let_time_fly(&mut scenario, months, &mut draw);
        }
        Self {
            months,
            keep_raw: draw.chance(0.8),
            drift,
            disruption,
            scenario,
        }
    }

    /// Whether the certificate may say that Salla's lists do not fit, for a while.
    pub(crate) fn may_be_unbalanced(&self) -> bool {
        self.drift != DriftEnd::Still || self.scenario.lists != Lists::default()
    }

    /// Whether Salla's number of orders is further off than two scans may settle.
    pub(crate) fn lies_beyond_settling(&self) -> bool {
        self.scenario.lists.orders.total_off >= FAR_OFF
    }

    /// Whether orders come to light that no list shows to be new.
    pub(crate) fn drifts_silently(&self) -> bool {
        self.scenario.drift.orders.silent_inserts
    }

    /// Whether tokens are refreshed at all: then a crash may fall between a refresh and the storing
    /// of its response, or the response may be lost or empty, which rightly disconnects the shop.
    pub(crate) fn may_lose_a_refresh(&self) -> bool {
        self.scenario.oauth.access_token_requests.is_some()
    }

    /// Whether a whole outage is a page of maintenance under status 200.
    pub(crate) fn may_answer_in_html(&self) -> bool {
        let outages = &self.scenario.outages;
        outages.iter().any(|outage| outage.how == Fault::Html)
    }

    /// The minimum number of requests of an import of `months`, roughly.
    pub(crate) fn requests(scenario: &Scenario, months: u16) -> u64 {
        let per_page = scenario.orders_page_cap.min(scenario.page_cap).max(1);
        let shop = &scenario.shop;
        let months = u64::from(months).min(shop.months.into());
        let orders = shop.orders * months / u64::from(shop.months.max(1));
        let details = match scenario.app_age {
            AppAge::Expanded => 0,
            AppAge::FullDetails => orders,
            AppAge::LightDetails => 2 * orders,
        };
        10 + orders / per_page
            + (shop.customers + shop.products) / scenario.page_cap.max(1)
            + details
    }

    /// The shop at rest and honest, for what must come right in the end.
    pub(crate) fn come_to_rest(scenario: &mut Scenario) {
        scenario.drift = Drift::default();
        scenario.lists = Lists::default();
    }
}

/// A clock at `scale` that starts where the shop's present is.
pub(crate) fn clock(scenario: &Scenario, scale: f64) -> ClockSpec {
    ClockSpec {
        start: scenario.shop.now,
        scale,
    }
}
