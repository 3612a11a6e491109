//! How many whole orders a second, and what one costs.

use crate::cost::{Cost, of_import};
use crate::server::BenchServer;
use crate::{download, plain_copy, shops};

const CUSTOMERS: u64 = 20_000;
const PRODUCTS: u64 = 2_000;

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
    let (raw, _) = of_import(server, "import, raw kept", &scenario, true).await?;
    let (typed, database_url) = of_import(server, "import, typed", &scenario, false).await?;
    let copied = plain_copy::measure(server, &database_url, orders).await?;
    let downloaded = download::measure(server, &scenario).await?;
    Ok(vec![typed, raw, downloaded, copied])
}
