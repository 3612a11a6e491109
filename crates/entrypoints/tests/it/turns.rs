//! A queue that lets a message be held for so long only has a run handed over in time.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::failure::Failure;
use domain::run::RunState;
use domain::shop::MerchantId;
use importer::ports::queue::{Queue as _, QueueName};
use importer::ports::shops::{OpenShop, Shops};
use importer::stop::stop_pair;
use importer::worker::{Worker, WorkerPorts, WorkerSettings};
use salla_simulator::AppAge;

use crate::jobs::{Office, PATIENCE};
use crate::truth::small;

/// The one shop that there is.
struct OneShop(OpenShop);

#[async_trait]
impl Shops for OneShop {
    async fn open(&self, _: MerchantId) -> Result<OpenShop, Failure> {
        Ok(self.0.clone())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_handed_over_when_its_turn_is_over_and_comes_to_its_end() {
    let mut scenario = small(300);
    scenario.app_age = AppAge::FullDetails;
    scenario.latency.fixed_ms = 100;
    let office = Office::open(scenario).await;
    let service = &office.service;
    let run = office.start().await;
    let connected = service.connect().await;
    let queue = office.queue(QueueName::HistoricalSync);
    let ports = WorkerPorts {
        queue: Arc::new(queue.clone()),
        jobs: service.open.jobs(),
        runs: service.open.runs(),
        landing: service.open.landing(),
        shops: Arc::new(OneShop(OpenShop {
            platform: connected.platform,
            shop: connected.shop,
        })),
        clock: service.clock.clone(),
    };
    let settings = WorkerSettings {
        jobs: 1,
        max_attempts: 3,
        longest_turn: Some(Duration::from_secs(1)),
        import: service.settings.clone(),
    };
    let worker = Arc::new(Worker::new(ports, settings));
    let (handle, stop) = stop_pair();
    let watching = async {
        while office.run(&run).await.state != RunState::Completed {
            service.clock.sleep(Duration::from_millis(20)).await;
        }
        handle.stop();
    };
    let both = async { tokio::join!(worker.run(&stop), watching) };
    tokio::time::timeout(PATIENCE, both).await.unwrap();
    let claims = "SELECT fencing FROM salla_sync.sync_runs";
    let claims: i64 = sqlx::query_scalar(claims)
        .fetch_one(service.database.pool())
        .await
        .unwrap();
    assert!(claims > 2, "it was claimed {claims} times");
    let depth = queue.depth().await.unwrap();
    assert_eq!((depth.ready, depth.delayed, depth.dead), (0, 0, 0));
    office.compare(&run).await;
}
