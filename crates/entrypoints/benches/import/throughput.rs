//! How many whole orders a second, and what one costs.

use crate::cost::{Cost, of_import};
use crate::server::BenchServer;
use crate::{download, plain_copy, shops};

const CUSTOMERS: u64 = 20_000;
const PRODUCTS: u64 = 2_000;

pub(crate) async fn measure(server: &BenchServer, orders: u64) -> anyhow::Result<Vec<Cost>> {
    let scenario = shops::unlimited(orders, CUSTOMERS, PRODUCTS);
    let (raw, _) = of_import(server, "import, raw kept", &scenario, true).await?;
    let (typed, database_url) = of_import(server, "import, typed", &scenario, false).await?;
    let copied = plain_copy::measure(server, &database_url, orders).await?;
    let downloaded = download::measure(server, &scenario).await?;
    Ok(vec![typed, raw, downloaded, copied])
}
