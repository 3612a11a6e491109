//! How many whole orders a second, what one costs, and whether it costs the same in a large
//! shop, where the memory has to stay what it is.

use crate::cost::{Cost, of_import};
use crate::network::Way;
use crate::server::BenchServer;
use crate::{download, plain_copy};
use salla_simulator::{Plan, Scenario, ShopSpec};

pub(crate) const CUSTOMERS: u64 = 20_000;
pub(crate) const PRODUCTS: u64 = 2_000;

/// Other work on the machine can only slow a round down, so of each kind the fastest
/// round counts. The kinds take turns, so that all of them meet the same conditions.
const ROUNDS: usize = 3;

pub(crate) async fn measure(server: &BenchServer, orders: u64) -> anyhow::Result<Vec<Cost>> {
    let mut best = one_round(server, orders).await?;
    for _ in 1..ROUNDS {
        let round = one_round(server, orders).await?;
        for (best, cost) in best.iter_mut().zip(round) {
            if cost.seconds < best.seconds {
                *best = cost;
            }
        }
    }
    Ok(best)
}

async fn one_round(server: &BenchServer, orders: u64) -> anyhow::Result<Vec<Cost>> {
    let scenario = unlimited(orders, CUSTOMERS, PRODUCTS);
    let raw = ("import, raw kept", &Way::Socket);
    let (raw, _) = of_import(server, raw, &scenario, true).await?;
    let typed = ("import, typed", &Way::Socket);
    let (typed, database_url) = of_import(server, typed, &scenario, false).await?;
    let copied = plain_copy::measure(server, &Way::Socket, &database_url, orders).await?;
    let downloaded = download::measure(server, &scenario).await?;
    Ok(vec![typed, raw, downloaded, copied])
}

const SIZES: [u64; 3] = [1_000, 10_000, 100_000];
const LARGEST: u64 = 1_000_000;
/// The importer asks for 500 pages of customers in ten minutes and no more, even of a
/// shop without limits: a longer list would measure that wait.
const MOST_CUSTOMERS: u64 = 25_000;

pub(crate) async fn measure_growth(server: &BenchServer, full: bool) -> anyhow::Result<Vec<Cost>> {
    let mut costs = Vec::new();
    for orders in SIZES.into_iter().chain(full.then_some(LARGEST)) {
        let customers = (orders / 10).min(MOST_CUSTOMERS);
        let scenario = unlimited(orders, customers, orders / 100);
        let typed = ("import, typed", &Way::Socket);
        let (cost, _) = of_import(server, typed, &scenario, false).await?;
        costs.push(cost);
    }
    Ok(costs)
}

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
