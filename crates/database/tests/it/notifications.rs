//! Notifications, written once.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use database::testing::TestDatabase;
use domain::failure::{Disconnection, Failure};
use domain::job::{NotificationJob, NotificationKind};
use domain::run::RunCommand;
use importer::ports::clock::Clock as _;
use importer::ports::jobs::Jobs as _;
use importer::ports::notifications::{Inbox, Notice, Notifications, Recorded};
use importer::ports::queue::{Queue as _, QueueName};
use importer::ports::runs::Runs as _;
use importer::testing::clock::DrivenClock;
use importer::testing::inbox::{InboxFixture, WhichShop};
use jiff::Timestamp;

use crate::make::at;
use crate::shop::{Shop, claim, options, range, shop_info};

/// A run that is a job, claimed.
async fn job() -> Shop {
    let shop = Shop::open().await;
    let jobs = shop.db.database().jobs();
    jobs.adopt(shop.lease.run).await.unwrap();
    shop
}

fn notification(shop: &Shop, kind: NotificationKind) -> NotificationJob {
    NotificationJob {
        kind,
        merchant: shop.merchant,
        run: shop.lease.run,
    }
}

async fn record(shop: &Shop, kind: NotificationKind) -> Recorded {
    let store = shop.db.database().notifications();
    store.record(&notification(shop, kind)).await.unwrap()
}

fn notice(recorded: Recorded) -> Notice {
    match recorded {
        Recorded::Notice(notice) => *notice,
        other => panic!("it must be sent, not {other:?}"),
    }
}

async fn sent(shop: &Shop) -> Vec<NotificationJob> {
    let queue = shop.db.database().queue(QueueName::Notifications);
    let wait = Duration::ZERO;
    let deliveries = queue.receive(10, LEASE, wait).await.unwrap();
    deliveries
        .iter()
        .map(|delivery| NotificationJob::parse(&delivery.body).unwrap())
        .collect()
}

const LEASE: Duration = Duration::from_secs(600);

fn broken() -> Failure {
    Failure::Broken {
        message: "the envelope cannot be read".to_owned(),
    }
}

#[tokio::test]
async fn the_end_of_a_job_sends_its_message_once_and_others_send_none() {
    let shop = job().await;
    let certificate = shop.runs.certify(shop.lease, at(60)).await.unwrap();
    shop.runs.complete(shop.lease, &certificate).await.unwrap();
    shop.runs.complete(shop.lease, &certificate).await.unwrap();
    let kind = NotificationKind::SyncComplete;
    assert_eq!(sent(&shop).await, [notification(&shop, kind)]);

    let by_hand = Shop::open().await;
    let certificate = by_hand.runs.certify(by_hand.lease, at(60)).await.unwrap();
    by_hand
        .runs
        .complete(by_hand.lease, &certificate)
        .await
        .unwrap();
    assert_eq!(sent(&by_hand).await, []);
}

#[tokio::test]
async fn who_can_help_decides_what_is_told() {
    for (failure, kind) in [
        (broken(), NotificationKind::SyncFailed),
        (
            Failure::Disconnected(Disconnection::RefreshLost),
            NotificationKind::ReconnectNeeded,
        ),
    ] {
        let shop = job().await;
        shop.runs.fail(shop.lease, &failure, None).await.unwrap();
        assert_eq!(sent(&shop).await, [notification(&shop, kind)]);
        let notice = notice(record(&shop, kind).await);
        assert_eq!(notice.failure.unwrap().code, failure.code());
    }
}

#[tokio::test]
async fn a_message_that_comes_often_is_one_row() {
    let shop = job().await;
    shop.runs.fail(shop.lease, &broken(), None).await.unwrap();
    let kind = NotificationKind::SyncFailed;
    let first = notice(record(&shop, kind).await);
    let (second, third) = tokio::join!(record(&shop, kind), record(&shop, kind));
    assert_eq!((notice(second).id, notice(third).id), (first.id, first.id));
    assert_eq!(shop.rows("salla_sync.notifications").await, 1);

    let store = shop.db.database().notifications();
    assert_eq!(store.delivered(first.id).await, Ok(vec![]));
    store.mark_delivered(first.id, "webhook").await.unwrap();
    store.mark_delivered(first.id, "webhook").await.unwrap();
    assert_eq!(
        store.delivered(first.id).await,
        Ok(vec!["webhook".to_owned()])
    );
}

#[tokio::test]
async fn each_ending_is_told_and_what_is_outdated_is_not() {
    let shop = job().await;
    let kind = NotificationKind::SyncFailed;
    shop.runs.fail(shop.lease, &broken(), None).await.unwrap();
    let first = notice(record(&shop, kind).await);
    let jobs = shop.db.database().jobs();
    jobs.command(shop.lease.run, RunCommand::Restart)
        .await
        .unwrap();
    let lease = claim(&shop.runs, shop.lease.run, "b").await;
    // The message is delivered once more: its row is there.
    assert_eq!(notice(record(&shop, kind).await).id, first.id);
    shop.runs.fail(lease, &broken(), None).await.unwrap();
    let second = notice(record(&shop, kind).await);
    assert_ne!(second.id, first.id, "it has failed again");

    jobs.command(shop.lease.run, RunCommand::Restart)
        .await
        .unwrap();
    let lease = claim(&shop.runs, shop.lease.run, "c").await;
    let certificate = shop.runs.certify(lease, at(60)).await.unwrap();
    shop.runs.complete(lease, &certificate).await.unwrap();
    assert_eq!(record(&shop, kind).await, Recorded::Outdated);
    notice(record(&shop, NotificationKind::SyncComplete).await);
    assert_eq!(shop.rows("salla_sync.notifications").await, 3);
}

/// Restarts the run and lets it end with `failure` once more.
async fn end_again(shop: &Shop, failure: &Failure) {
    let jobs = shop.db.database().jobs();
    jobs.command(shop.lease.run, RunCommand::Restart)
        .await
        .unwrap();
    let lease = claim(&shop.runs, shop.lease.run, "again").await;
    shop.runs.fail(lease, failure, None).await.unwrap();
}

#[tokio::test]
async fn a_late_message_of_another_kind_takes_nothing_from_the_latest_ending() {
    let shop = job().await;
    shop.runs.fail(shop.lease, &broken(), None).await.unwrap();
    let lost = Failure::Disconnected(Disconnection::RefreshLost);
    end_again(&shop, &lost).await;
    let late = record(&shop, NotificationKind::SyncFailed).await;
    assert_eq!(late, Recorded::Outdated);
    let told = notice(record(&shop, NotificationKind::ReconnectNeeded).await);
    assert_eq!(told.failure.unwrap().code, lost.code());
    assert_eq!(shop.rows("salla_sync.notifications").await, 1);
}

#[tokio::test]
async fn a_notice_that_is_sent_again_is_the_same_whatever_the_run_does_meanwhile() {
    let shop = job().await;
    shop.runs.fail(shop.lease, &broken(), None).await.unwrap();
    let kind = NotificationKind::SyncFailed;
    let first = notice(record(&shop, kind).await);
    assert_eq!(first.failure.as_ref().unwrap().code, broken().code());
    let jobs = shop.db.database().jobs();
    jobs.command(shop.lease.run, RunCommand::Restart)
        .await
        .unwrap();
    claim(&shop.runs, shop.lease.run, "b").await;
    sqlx::query("UPDATE salla_sync.sync_runs SET orders = orders + 7")
        .execute(shop.db.database().pool())
        .await
        .unwrap();
    assert_eq!(notice(record(&shop, kind).await), first);
}

#[tokio::test]
async fn of_many_consumers_at_once_all_are_given_the_same_notice() {
    let shop = job().await;
    shop.runs.fail(shop.lease, &broken(), None).await.unwrap();
    for _ in 0..10 {
        end_again(&shop, &broken()).await;
        let consumers = (0..8).map(|_| record(&shop, NotificationKind::SyncFailed));
        let recorded = futures::future::join_all(consumers).await;
        let ids: std::collections::HashSet<_> = recorded
            .into_iter()
            .map(|recorded| notice(recorded).id)
            .collect();
        assert_eq!(ids.len(), 1);
    }
    assert_eq!(shop.rows("salla_sync.notifications").await, 10);
}

#[tokio::test]
async fn what_is_unknown_is_said_to_be() {
    let shop = job().await;
    let stranger = NotificationJob {
        merchant: domain::shop::MerchantId(uuid::Uuid::nil()),
        ..notification(&shop, NotificationKind::SyncFailed)
    };
    let store = shop.db.database().notifications();
    assert_eq!(store.record(&stranger).await, Ok(Recorded::Unknown));
    // It has not ended at all.
    let early = record(&shop, NotificationKind::SyncComplete).await;
    assert_eq!(early, Recorded::Outdated);
}

/// Two shops in a database whose clock the test drives.
struct Fixture {
    clock: Arc<DrivenClock>,
    db: TestDatabase,
}

async fn fixture() -> Fixture {
    let start = "2025-06-15T09:00:00Z".parse().unwrap();
    let clock = Arc::new(DrivenClock::new(start));
    let db = TestDatabase::with_clock(clock.clone()).await;
    Fixture { clock, db }
}

#[async_trait]
impl InboxFixture for Fixture {
    fn inbox(&self) -> Arc<dyn Inbox> {
        Arc::new(self.db.database().notifications())
    }

    async fn notify(&self, shop: WhichShop) -> Notice {
        let number = match shop {
            WhichShop::First => 1,
            WhichShop::Second => 2,
        };
        let (runs, jobs) = (self.db.database().runs(), self.db.database().jobs());
        let merchant = runs.ensure_merchant(&shop_info(number)).await.unwrap();
        let run = jobs
            .start(merchant, &options(), range())
            .await
            .unwrap()
            .run
            .id;
        let lease = claim(&runs, run, "a worker").await;
        runs.fail(lease, &broken(), None).await.unwrap();
        let job = NotificationJob {
            kind: NotificationKind::SyncFailed,
            merchant,
            run,
        };
        let store = self.db.database().notifications();
        notice(store.record(&job).await.unwrap())
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn pass(&self) {
        self.clock.advance(Duration::from_secs(1));
    }
}

mod contract {
    importer::inbox_contract!(super::fixture);
}
