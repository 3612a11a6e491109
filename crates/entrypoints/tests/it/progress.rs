//! Attempts that get no further, whatever they read once more, end a run.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::failure::Failure;
use domain::order::{Order, OrderItem, Version};
use domain::resource::Resource;
use domain::run::RunState;
use domain::shop::{MerchantId, ShopInfo};
use importer::admission::FetchPermit;
use importer::ports::platform::{
    BudgetStatus, OpenShop, Page, PageRequest, Platform, Records, Shops, Sort, VersionedRecord,
};
use importer::ports::queue::QueueName;
use importer::ports::runs::Run;
use importer::stop::stop_pair;
use importer::testing::clock::a_moment;
use importer::worker::{Worker, WorkerPorts, WorkerSettings};
use jiff::SignedDuration;
use sqlx::PgPool;
use tokio::sync::Notify;

use crate::jobs::PATIENCE;
use crate::service::{Connected, TestService};
use crate::truth::small;

/// Lets everything pass but the list of changes, which is refused, or never answered, once something
/// else of this attempt has landed.
struct Stuck {
    platform: Arc<dyn Platform>,
    pool: PgPool,
    hangs: bool,
    is_stuck: Notify,
}

impl Stuck {
    async fn something_lands(&self) {
        let landed = "SELECT pages + order_details > work_at_claim FROM salla_sync.sync_runs
                      ORDER BY number DESC LIMIT 1";
        let has_landed = || sqlx::query_scalar::<_, bool>(landed).fetch_one(&self.pool);
        while !has_landed().await.unwrap() {
            a_moment().await;
        }
    }
}

#[async_trait]
impl Platform for Stuck {
    async fn shop_info(&self) -> Result<ShopInfo, Failure> {
        self.platform.shop_info().await
    }

    async fn list_page(
        &self,
        request: &PageRequest,
        permit: &mut FetchPermit,
    ) -> Result<Page, Failure> {
        if request.sort != Sort::UpdatedFirst {
            return self.platform.list_page(request, permit).await;
        }
        self.something_lands().await;
        if self.hangs {
            self.is_stuck.notify_one();
            std::future::pending::<()>().await;
        }
        Err(Failure::Transient {
            message: "the list of changes: status 500".to_owned(),
        })
    }

    async fn order_detail(
        &self,
        order_id: i64,
        permit: &mut FetchPermit,
    ) -> Result<Option<VersionedRecord<Order>>, Failure> {
        self.platform.order_detail(order_id, permit).await
    }

    async fn order_items(
        &self,
        order_id: i64,
        permit: &mut FetchPermit,
    ) -> Result<Option<VersionedRecord<Vec<OrderItem>>>, Failure> {
        self.platform.order_items(order_id, permit).await
    }

    async fn record(
        &self,
        resource: Resource,
        id: i64,
        permit: &mut FetchPermit,
    ) -> Result<Option<(Records, Version)>, Failure> {
        self.platform.record(resource, id, permit).await
    }

    fn budget(&self) -> BudgetStatus {
        self.platform.budget()
    }

    fn clock_offset(&self) -> Option<SignedDuration> {
        self.platform.clock_offset()
    }
}

struct OneShop(Arc<Stuck>, ShopInfo);

#[async_trait]
impl Shops for OneShop {
    async fn open(&self, _: MerchantId) -> Result<OpenShop, Failure> {
        Ok(OpenShop {
            platform: self.0.clone(),
            shop: self.1.clone(),
        })
    }
}

/// A finished shop, and the job that brings it up to date.
struct CatchingUp {
    service: TestService,
    stuck: Arc<Stuck>,
    shop: ShopInfo,
    run: Run,
}

impl CatchingUp {
    async fn begin(hangs: bool) -> Self {
        let mut scenario = small(60);
        scenario.clock.scale = 60.0;
        let service = TestService::start(scenario).await;
        service.import_and_compare().await;
        let Connected {
            platform,
            shop,
            merchant,
        } = service.connect().await;
        let starter = service.open.starter(service.clock.clone());
        let started = starter.catch_up(merchant, &service.options, false).await;
        let pool = service.database.pool().clone();
        Self {
            run: started.unwrap().expect("its history is there").run,
            stuck: Arc::new(Stuck {
                platform,
                pool,
                hangs,
                is_stuck: Notify::new(),
            }),
            service,
            shop,
        }
    }

    fn worker(&self) -> Arc<Worker> {
        let open = &self.service.open;
        let ports = WorkerPorts {
            queue: open.queues.of(QueueName::HistoricalSync),
            jobs: open.jobs(),
            runs: open.runs(),
            landing: open.landing(),
            shops: Arc::new(OneShop(self.stuck.clone(), self.shop.clone())),
            clock: self.service.clock.clone(),
        };
        let settings = WorkerSettings {
            jobs: 1,
            max_attempts: 3,
            longest_turn: None,
            import: self.service.settings.clone(),
        };
        Arc::new(Worker::new(ports, settings))
    }

    async fn now(&self) -> Run {
        let found = self.service.open.jobs().find(self.run.id).await;
        found.unwrap().expect("the run exists")
    }

    async fn assert_given_up(&self, code: &str) {
        let run = self.now().await;
        assert_eq!(run.state, RunState::Failed);
        assert_eq!(run.failure.unwrap().code, code);
        let queue = self.service.open.queues.of(QueueName::HistoricalSync);
        let depth = queue.depth().await.unwrap();
        assert_eq!((depth.dead, depth.ready, depth.in_flight), (1, 0, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_which_one_part_always_fails_is_given_up() {
    let shop = CatchingUp::begin(false).await;
    let (handle, stop) = stop_pair();
    let worker = shop.worker();
    let watch = async {
        while shop.now().await.state != RunState::Failed {
            a_moment().await;
        }
        handle.stop();
    };
    let both = async { tokio::join!(worker.run(&stop), watch) };
    tokio::time::timeout(PATIENCE, both)
        .await
        .expect("the run is given up");
    shop.assert_given_up("transient").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_kills_its_workers_in_one_part_is_given_up() {
    let shop = CatchingUp::begin(true).await;
    let queue = shop.service.open.queues.of(QueueName::HistoricalSync);
    let mut lost = 0;
    while shop.now().await.state != RunState::Failed {
        assert!(lost < 25, "it is not given up");
        let hour = Duration::from_secs(3_600);
        let received = queue.receive(1, hour, Duration::ZERO).await.unwrap();
        let delivery = received.first().expect("there is a message");
        let (_handle, stop) = stop_pair();
        let worker = shop.worker();
        tokio::select! {
            left = worker.run_one(delivery, &stop) => {
                queue.settle(&delivery.receipt, left).await.unwrap();
                continue;
            }
            () = shop.stuck.is_stuck.notified() => lost += 1,
        }
        for sql in [
            "UPDATE salla_sync.sync_runs SET lease_until = now() - interval '1 second'
             WHERE state = 'IN_PROGRESS'",
            "UPDATE salla_sync.queue_messages SET visible_at = visible_at - interval '1 day'
             WHERE queue = 'historical-sync'",
        ] {
            sqlx::query(sql).execute(&shop.stuck.pool).await.unwrap();
        }
    }
    assert!(lost > 10, "{lost}");
    shop.assert_given_up("broken").await;
}
