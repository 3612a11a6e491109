//! With a queue that limits leases, a run is released to another worker in time.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::failure::Failure;
use domain::run::RunState;
use domain::shop::MerchantId;
use importer::ports::clock::Clock;
use importer::ports::platform::{OpenShop, Shops};
use importer::ports::queue::{Queue as _, QueueName};
use importer::stop::stop_pair;
use importer::testing::clock::a_moment;
use importer::worker::{Worker, WorkerPorts, WorkerSettings};
use jiff::Timestamp;
use salla_simulator::AppAge;
use tokio::sync::Notify;

use crate::jobs::{BackgroundService, PATIENCE};
use crate::truth::small;

/// Nothing else sleeps for as long.
const TURN: Duration = Duration::from_secs(14 * 60);

const TURNS_ENDED: u64 = 3;

/// A clock on which turns last until they are ended: a busy machine gets nothing done in
/// any time that a test could wait for.
#[derive(Debug)]
struct TurnsByHand {
    clock: Arc<dyn Clock>,
    over: Notify,
}

#[async_trait]
impl Clock for TurnsByHand {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }

    async fn sleep(&self, duration: Duration) {
        match duration == TURN {
            true => self.over.notified().await,
            false => self.clock.sleep(duration).await,
        }
    }

    fn rate(&self) -> f64 {
        self.clock.rate()
    }

    fn follows_machine(&self) -> bool {
        self.clock.follows_machine()
    }
}

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
    scenario.latency.fixed_ms = 20;
    let background = BackgroundService::open(scenario).await;
    let service = &background.service;
    let run = background.start().await;
    let connected = service.connect().await;
    let queue = background.queue(QueueName::HistoricalSync);
    let clock = Arc::new(TurnsByHand {
        clock: service.clock.clone(),
        over: Notify::new(),
    });
    let ports = WorkerPorts {
        queue: Arc::new(queue.clone()),
        jobs: service.open.jobs(),
        runs: service.open.runs(),
        landing: service.open.landing(),
        shops: Arc::new(OneShop(OpenShop {
            platform: connected.platform,
            shop: connected.shop,
        })),
        clock: clock.clone(),
    };
    let settings = WorkerSettings {
        jobs: 1,
        max_attempts: 3,
        longest_turn: Some(TURN),
        import: service.settings.clone(),
    };
    let worker = Arc::new(Worker::new(ports, settings));
    let (handle, stop) = stop_pair();
    let watching = async {
        while background.run(&run).await.state != RunState::Completed {
            a_moment().await;
        }
        handle.stop();
    };
    let ending = async {
        for turn in 1..=TURNS_ENDED {
            service.simulator.until_requests(turn * 60).await;
            clock.over.notify_one();
        }
    };
    let all = async { tokio::join!(worker.run(&stop), watching, ending) };
    tokio::time::timeout(PATIENCE, all).await.unwrap();
    let claims = "SELECT fencing FROM salla_sync.sync_runs";
    let claims: i64 = sqlx::query_scalar(claims)
        .fetch_one(service.database.pool())
        .await
        .unwrap();
    assert!(claims > 2, "it was claimed {claims} times");
    let depth = queue.depth().await.unwrap();
    assert_eq!((depth.ready, depth.delayed, depth.dead), (0, 0, 0));
    background.compare(&run).await;
}
