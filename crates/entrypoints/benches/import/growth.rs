//! Whether an order costs the same in a large shop as in a small one, and whether the
//! memory stays what it is.

use crate::cost::{Cost, of_import};
use crate::network::Way;
use crate::server::BenchServer;
use crate::shops;

const SIZES: [u64; 3] = [1_000, 10_000, 100_000];
const LARGEST: u64 = 1_000_000;
/// The importer asks for 500 pages of customers in ten minutes and no more, even of a
/// shop without limits: a longer list would measure that wait.
const MOST_CUSTOMERS: u64 = 25_000;

pub(crate) async fn measure(server: &BenchServer, full: bool) -> anyhow::Result<Vec<Cost>> {
    let mut costs = Vec::new();
    for orders in SIZES.into_iter().chain(full.then_some(LARGEST)) {
        let customers = (orders / 10).min(MOST_CUSTOMERS);
        let scenario = shops::unlimited(orders, customers, orders / 100);
        let typed = ("import, typed", &Way::Socket);
        let (cost, _) = of_import(server, typed, &scenario, false).await?;
        costs.push(cost);
    }
    Ok(costs)
}
