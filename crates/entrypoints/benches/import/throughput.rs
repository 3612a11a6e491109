//! How many whole orders a second, and what one costs.

use crate::cost::{Cost, of_import};
use crate::network::Way;
use crate::server::BenchServer;
use crate::{download, plain_copy, shops};

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
    let scenario = shops::unlimited(orders, CUSTOMERS, PRODUCTS);
    let raw = ("import, raw kept", &Way::Socket);
    let (raw, _) = of_import(server, raw, &scenario, true).await?;
    let typed = ("import, typed", &Way::Socket);
    let (typed, database_url) = of_import(server, typed, &scenario, false).await?;
    let copied = plain_copy::measure(server, &Way::Socket, &database_url, orders).await?;
    let downloaded = download::measure(server, &scenario).await?;
    Ok(vec![typed, raw, downloaded, copied])
}
