//! Stored tokens that open another shop than before: nothing is written.

use domain::failure::{Disconnection, Failure};
use domain::run::RunState;
use entrypoints::commands::demo::salla_settings;
use entrypoints::config::{Channels, SallaSettings};
use entrypoints::wiring::service::{Service, ServiceSettings};
use importer::stop::stop_pair;
use importer::testing::clock::a_moment;
use salla_simulator::Simulator;

use crate::jobs::BackgroundService;
use crate::truth::small;

/// The same tokens are the first shop's in one Salla and the second one's in another.
struct TwoSallas {
    background: BackgroundService,
    other: Simulator,
    salla: SallaSettings,
    other_salla: SallaSettings,
}

impl TwoSallas {
    async fn open() -> Self {
        let background = BackgroundService::open(small(60)).await;
        let simulator = &background.service.simulator;
        let (access, refresh) = simulator.first_shop().install_again();
        let other = Simulator::start(small(60)).await.expect("it starts");
        let second = other.add_shop(small(60).shop);
        assert_eq!(second.access_token(), access);
        let with_tokens = |mut salla: SallaSettings| {
            salla.tokens.access = access.clone().into();
            salla.tokens.refresh = Some(refresh.clone().into());
            salla
        };
        Self {
            salla: with_tokens(background.service.salla()),
            other_salla: with_tokens(salla_settings(&other)),
            other,
            background,
        }
    }

    async fn count(&self, sql: &'static str) -> i64 {
        let pool = self.background.service.open.database.pool();
        let count = sqlx::query_scalar(sql).fetch_one(pool).await;
        count.expect("it can be counted")
    }
}

const MERCHANTS: &str = "SELECT count(*) FROM salla_sync.merchants";
const ORDERS: &str = "SELECT count(*) FROM salla.orders";
const PARKED: &str =
    "SELECT count(*) FROM salla_sync.connections WHERE disconnected_why = 'other_shop'";

#[tokio::test(flavor = "multi_thread")]
async fn connecting_writes_nothing_of_another_shop() {
    let two = TwoSallas::open().await;
    let service = &two.background.service;
    service.connect_with(&two.salla).await;
    let merchants = two.count(MERCHANTS).await;
    let expected = Failure::Disconnected(Disconnection::OtherShop);
    for _ in 0..2 {
        let refused = service.try_to_connect(&two.other_salla).await;
        assert_eq!(refused.err(), Some(expected.clone()));
    }
    assert_eq!(two.count(MERCHANTS).await, merchants);
    assert_eq!(two.count(PARKED).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_writes_nothing_of_another_shop() {
    let two = TwoSallas::open().await;
    let service = &two.background.service;
    service.connect_with(&two.salla).await;
    let merchants = two.count(MERCHANTS).await;
    let run = two.background.start().await;
    let settings = ServiceSettings {
        keep_fresh: None,
        retention: None,
        salla: two.other_salla.app.clone(),
        jobs: 1,
        import: service.settings.clone(),
        channels: Channels::default(),
    };
    let worker = Service::new(&service.open, settings, service.clock.clone());
    let worker = worker.expect("it starts");
    let (handle, stop) = stop_pair();
    let watch = async {
        while two.background.run(&run).await.state != RunState::Failed {
            a_moment().await;
        }
        handle.stop();
    };
    tokio::join!(worker.worker.run(&stop), watch);
    let failure = two.background.run(&run).await.failure.expect("it failed");
    assert_eq!(failure.code, "other_shop");
    assert_eq!(two.count(ORDERS).await, 0);
    assert_eq!(two.count(MERCHANTS).await, merchants);
    assert_eq!(two.count(PARKED).await, 1);
    assert_eq!(two.other.ledger().requests, 1, "it asked who the shop is");
}
