//! The simulated shops that are imported.

use salla_simulator::{Plan, Scenario, ShopSpec};

/// A shop without limits, as large as its orders say.
pub(crate) fn unlimited(orders: u64, customers: u64, products: u64) -> Scenario {
    let mut scenario = small(orders, Plan::Unlimited);
    scenario.shop.customers = customers;
    scenario.shop.products = products;
    scenario.limits.customers.enabled = false;
    scenario
}

/// A shop that is little more than its orders.
pub(crate) fn small(orders: u64, plan: Plan) -> Scenario {
    Scenario {
        shop: ShopSpec {
            orders,
            customers: 60,
            products: 60,
            months: 11,
            plan,
            ..ShopSpec::default()
        },
        ..Scenario::default()
    }
}
