//! A script of a hundred lines that downloads and copies the same shop, in turns with the
//! import: what one would write who needs no limits, no proof and no resuming.

use std::process::Stdio;

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::cost::{Baseline, Cost, of_import};
use crate::download::lists;
use crate::network::Way;
use crate::roles::{Address, Role, SERVE, Usage};
use crate::server::BenchServer;
use crate::throughput::{CUSTOMERS, PRODUCTS, unlimited};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/import/script.py");
const DATABASE: &str = "salla_script";
const ROUNDS: usize = 3;

#[derive(Serialize, Deserialize)]
struct Task {
    api_url: String,
    token: String,
    database_url: String,
    lists: Vec<(String, u64)>,
}

/// The import and the script, of each the fastest round; nothing where Python lacks what the
/// script needs.
pub(crate) async fn measure(server: &BenchServer, orders: u64) -> anyhow::Result<Vec<Cost>> {
    let needed = ["-c", "import aiohttp, asyncpg, orjson"];
    let mut python = Command::new("python3");
    let found = python.args(needed).stderr(Stdio::null()).status().await;
    if !found.is_ok_and(|status| status.success()) {
        return Ok(vec![]);
    }
    let scenario = unlimited(orders, CUSTOMERS, PRODUCTS);
    let mut best: Vec<Cost> = Vec::new();
    for _ in 0..ROUNDS {
        let imported = of_import(server, ("import", &Way::Tcp), &scenario, false).await?;
        let round = [imported.0, run(server, &scenario).await?];
        if best.is_empty() {
            best = round.to_vec();
        }
        for (best, cost) in best.iter_mut().zip(round) {
            if cost.seconds < best.seconds {
                *best = cost;
            }
        }
    }
    Ok(best)
}

async fn run(server: &BenchServer, scenario: &salla_simulator::Scenario) -> anyhow::Result<Cost> {
    server.new_database(DATABASE).await?;
    let before = Baseline::now(server)?;
    let mut simulator = Role::start(SERVE, scenario).await?;
    let address: Address = simulator.answer().await?;
    let task = Task {
        api_url: address.api_url,
        token: address.token,
        database_url: server.url_over(&Way::Tcp, DATABASE),
        lists: lists(&scenario.shop),
    };
    let mut script = Command::new("python3")
        .arg(SCRIPT)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut input = script.stdin.take().context("no way in")?;
    input.write_all(&serde_json::to_vec(&task)?).await?;
    input.write_all(b"\n").await?;
    drop(input);
    let output = script.wait_with_output().await?;
    ensure!(output.status.success(), "the script failed");
    let spent: Usage = serde_json::from_slice(&output.stdout)?;
    let simulator = simulator.finish().await?;
    let name = ("script", scenario.shop.orders);
    before.cost(server, name, spent, simulator)
}
