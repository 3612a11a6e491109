//! How many requests an import takes beyond the minimum: one scan of each list, and the details.

use std::sync::Mutex;

use domain::plan::Plan;
use domain::resource::Resource::{Categories, Customers, Orders, Products};
use importer::import::Observer;
use importer::ports::runs::{Held, Run};
use importer::stop::stop_pair;
use salla_simulator::{AppAge, Endpoint, Plan as ShopPlan, Scenario, ShopSpec};

use crate::service::{TestService, completed};
use crate::truth::small;

/// Requests beyond the necessary ones that an import may take, whatever the shop.
const MAX_BEYOND: u64 = 10;

#[derive(Clone, Copy, Debug)]
struct Case {
    orders: u64,
    per_page: u64,
    customers: u64,
    products: u64,
    categories: u64,
    app_age: AppAge,
}

fn case(orders: u64, per_page: u64, [customers, products, categories]: [u64; 3]) -> Case {
    Case {
        orders,
        per_page,
        customers,
        products,
        categories,
        app_age: AppAge::Expanded,
    }
}

impl Case {
    fn scenario(self) -> Scenario {
        let shop = small(self.orders).shop;
        Scenario {
            shop: ShopSpec {
                customers: self.customers,
                products: self.products,
                categories: self.categories,
                months: 12,
                ..shop
            },
            orders_page_cap: self.per_page,
            app_age: self.app_age,
            ..Scenario::default()
        }
    }

    fn details(self, orders: u64) -> u64 {
        match self.app_age {
            AppAge::Expanded => 0,
            AppAge::FullDetails => orders,
            AppAge::LightDetails => 2 * orders,
        }
    }
}

/// The plan of the run.
#[derive(Default)]
struct Planned(Mutex<Option<Plan>>);

impl Observer for Planned {
    fn waiting(&self, _: &Held) {}
    fn claimed(&self, _: &Run, _: bool) {}

    fn planned(&self, plan: &Plan) {
        *self.0.lock().expect("no holder panics") = Some(plan.clone());
    }
}

/// Of a scan: whether a list has ended, a full last page does not say.
fn pages(rows: u64, per_page: u64) -> u64 {
    rows / per_page + 1
}

/// Says how many requests were sent beyond the necessary ones, and beyond the plan.
async fn beyond(case: Case, scenario: Scenario) -> (i64, i64) {
    let service = TestService::start(scenario).await;
    let planned = Planned::default();
    let connected = service.connect().await;
    let merchant = connected.merchant;
    let (_handle, stop) = stop_pair();
    let outcome = service.import_watched(connected, &planned, stop).await;
    let certificate = completed(outcome);
    service.compare(merchant, &certificate).await;
    let listed = |resource| certificate.summary(resource).reported;
    let necessary = pages(listed(Orders), case.per_page)
        + case.details(listed(Orders))
        + pages(listed(Customers), 60)
        + pages(listed(Products), 60)
        + pages(listed(Categories), 60)
        + 1;
    let ledger = service.simulator.ledger();
    let plan = planned.0.into_inner().ok().flatten();
    let plan = plan.expect("the run was planned");
    let sent = ledger.requests.cast_signed();
    assert_eq!(ledger.by_endpoint[&Endpoint::StoreInfo], 1);
    (
        sent - necessary.cast_signed(),
        sent - plan.requests().cast_signed(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_that_does_not_change_costs_ten_requests_more_than_necessary() {
    let mut cases = vec![
        case(0, 60, [0, 0, 0]),
        case(1, 60, [1, 1, 1]),
        case(60, 60, [60, 60, 60]),
        case(400, 15, [61, 120, 61]),
        case(900, 30, [600, 119, 8]),
        case(3_000, 15, [6_000, 1_200, 40]),
        case(3_000, 60, [5_999, 1_201, 121]),
        case(9_000, 60, [300, 40, 8]),
    ];
    for orders in [1, 90, 333] {
        for app_age in [AppAge::FullDetails, AppAge::LightDetails] {
            cases.push(Case {
                app_age,
                ..case(orders, 15, [120, 61, 5])
            });
        }
    }
    let mut found = Vec::new();
    for case in cases {
        found.push((case, beyond(case, case.scenario()).await));
    }
    for (case, (beyond, unplanned)) in found {
        assert!(
            (0..=MAX_BEYOND.cast_signed()).contains(&beyond),
            "{case:?}: {beyond} beyond the necessary"
        );
        // How full the last page of each window is cannot be known.
        assert!(unplanned.abs() <= 2, "{case:?}: {unplanned} unplanned");
    }
}

/// Limits change how fast requests are sent and not how many.
#[tokio::test(flavor = "multi_thread")]
async fn limits_cost_no_requests() {
    for plan in [ShopPlan::Plus, ShopPlan::Special] {
        let case = case(900, 15, [600, 119, 8]);
        let mut scenario = case.scenario();
        scenario.shop.plan = plan;
        scenario.clock.scale = 30.0;
        let (beyond, _) = beyond(case, scenario).await;
        assert!(beyond <= MAX_BEYOND.cast_signed(), "{plan:?}: {beyond}");
    }
}
