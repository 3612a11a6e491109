//! A client that only downloads the pages of an import: the time that no importer can
//! beat. Decoding, budgets and the database are left out.

use std::sync::Arc;

use importer::ports::clock::{Clock as _, SystemClock};
use salla_simulator::{Scenario, ShopSpec};
use serde::{Deserialize, Serialize};

use crate::cost::{Baseline, Cost};
use crate::roles::{self, Address, Role, Usage};
use crate::server::BenchServer;

/// As many as an import has on the way.
const IN_FLIGHT: u64 = 16;
const PER_PAGE: u64 = 60;

#[derive(Serialize, Deserialize)]
struct Task {
    address: Address,
    lists: Vec<(String, u64)>,
}

pub(crate) async fn measure(server: &BenchServer, scenario: &Scenario) -> anyhow::Result<Cost> {
    let before = Baseline::now(server)?;
    let mut simulator = Role::start(roles::SERVE, scenario).await?;
    let shop = &scenario.shop;
    let task = Task {
        address: simulator.answer().await?,
        lists: lists(shop),
    };
    let mut client = Role::start(roles::DOWNLOAD, &task).await?;
    let spent: Usage = client.answer().await?;
    let simulator = simulator.finish().await?;
    before.cost(server, ("download only", shop.orders), spent, simulator)
}

/// The lists of a shop and how long they are.
pub(crate) fn lists(shop: &ShopSpec) -> Vec<(String, u64)> {
    vec![
        ("orders?expanded=true&".to_owned(), shop.orders),
        ("customers?".to_owned(), shop.customers),
        ("products?".to_owned(), shop.products),
    ]
}

pub(crate) async fn download_once() -> anyhow::Result<()> {
    let task: Task = roles::task()?;
    let clock = SystemClock::real();
    let begun = clock.monotonic();
    let http = salla_client::http::http_client()?;
    let mut urls = Vec::new();
    for (list, rows) in &task.lists {
        let base = &task.address.api_url;
        urls.extend(
            (1..=rows.div_ceil(PER_PAGE))
                .map(|page| format!("{base}/{list}page={page}&per_page={PER_PAGE}")),
        );
    }
    let urls = Arc::new(urls);
    let mut workers = tokio::task::JoinSet::new();
    for worker in 0..IN_FLIGHT as usize {
        let (http, urls, token) = (http.clone(), urls.clone(), task.address.token.clone());
        workers.spawn(async move {
            for url in urls.iter().skip(worker).step_by(IN_FLIGHT as usize) {
                let answer = http.get(url).bearer_auth(&token).send().await?;
                anyhow::ensure!(answer.status().is_success(), "a page is refused");
                answer.bytes().await?;
            }
            Ok(())
        });
    }
    while let Some(worker) = workers.join_next().await {
        worker??;
    }
    roles::report(clock.monotonic() - begun)
}
