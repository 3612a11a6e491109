//! What the schedule's event does where nothing runs in the background.

use std::time::Duration;

use entrypoints::wiring;
use importer::ports::merchants::Merchants as _;
use importer::ports::queue::QueueName;

use super::lambda::{VISIBILITY, scheduled};
use super::sandbox::{Ended, Sandbox};
use super::{Cloud, names};
use crate::process::present_day;
use crate::service::TestService;
use crate::truth::small;
use crate::webhook_receivers::Receiver;
use aws::sqs::testing::hand_over;

const TIME: Duration = Duration::from_secs(20);

/// A shop that is connected, without a run.
async fn connected() -> (TestService, Cloud) {
    let service = present_day(small(10)).await;
    let cloud = Cloud::start().await;
    let clock = service.clock.clone();
    let connected = wiring::connect_and_store(&service.open, &service.salla(), clock).await;
    connected.expect("the shop connects");
    (service, cloud)
}

async fn count(service: &TestService, sql: &'static str) -> i64 {
    let count = sqlx::query_scalar(sql).fetch_one(service.database.pool());
    count.await.expect("rows can be counted")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_data_of_a_shop_whose_time_is_over_is_deleted() {
    const SHOPS: &str = "SELECT count(*) FROM salla_sync.merchants";
    let (service, cloud) = connected().await;
    let merchants = service.open.database.merchants();
    let salla_id = service.simulator.merchant_id();
    merchants.uninstall(salla_id, None).await.unwrap();
    let kept = [("SALLA_SYNC_RETENTION", "90d")];
    let mut sandbox = Sandbox::start_with(&service, &cloud, &kept).await;
    for (days, expected) in [(89, 1), (91, 0)] {
        let uninstalled = "UPDATE salla_sync.merchants
            SET uninstalled_at = now() - make_interval(days => $1)";
        let uninstalled = sqlx::query(uninstalled).bind(days);
        uninstalled.execute(service.database.pool()).await.unwrap();
        let swept = sandbox.invoke(scheduled(), TIME).await;
        assert!(matches!(swept, Ended::Answered(_)), "{swept:?}");
        assert_eq!(count(&service, SHOPS).await, expected, "{days} days");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_app_s_backend_is_told_of_a_connection() {
    const UNSENT: &str = "SELECT count(*) FROM salla_sync.connection_changes WHERE sent_at IS NULL";
    let (service, cloud) = connected().await;
    assert_eq!(count(&service, UNSENT).await, 1);
    let receiver = Receiver::open().await;
    let url = receiver.url.to_string();
    let channel = [
        ("SALLA_SYNC_WEBHOOK_URL", url.as_str()),
        (
            "SALLA_SYNC_WEBHOOK_SECRET",
            crate::webhook_receivers::SECRET,
        ),
    ];
    let mut sandbox = Sandbox::start_with(&service, &cloud, &channel).await;
    let swept = sandbox.invoke(scheduled(), TIME).await;
    assert!(matches!(swept, Ended::Answered(_)), "{swept:?}");
    let queue = names(QueueName::Notifications).queue;
    let handed_over = hand_over(&cloud.aws, &queue, VISIBILITY).await;
    let (event, _) = handed_over.expect("there is a message");
    let told = sandbox.invoke(event, TIME).await;
    assert!(matches!(told, Ended::Answered(_)), "{told:?}");
    let bodies = receiver.bodies();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
    assert_eq!(bodies[0]["type"], "CONNECTION_CREATED");
}
