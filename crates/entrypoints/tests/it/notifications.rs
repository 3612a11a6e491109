//! Notifications of the ends of imports, even if channels fail.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use domain::failure::Failure;
use domain::notification::Audience;
use importer::notification_worker::NotificationWorker;
use importer::ports::notifications::{Notice, Notifier};
use importer::ports::queue::{DeadLetters as _, Queue as _, QueueName};
use uuid::Uuid;

use crate::jobs::BackgroundService;
use crate::truth::small;

/// Fails so often, then takes everything.
struct FlakyNotifier {
    name: &'static str,
    audience: Audience,
    failures: AtomicU64,
    taken: Mutex<Vec<Uuid>>,
}

impl FlakyNotifier {
    fn failing(name: &'static str, failures: u64) -> Arc<Self> {
        Arc::new(Self {
            name,
            audience: Audience::Merchant,
            failures: AtomicU64::new(failures),
            taken: Mutex::default(),
        })
    }

    fn taken(&self) -> usize {
        self.taken.lock().unwrap().len()
    }
}

#[async_trait]
impl Notifier for FlakyNotifier {
    fn name(&self) -> &'static str {
        self.name
    }

    fn audience(&self) -> Audience {
        self.audience
    }

    async fn deliver(&self, notice: &Notice) -> Result<(), Failure> {
        let fails = self
            .failures
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(1)
            });
        match fails {
            Ok(_) => Err(Failure::Transient {
                message: format!("{} to a host: it responded with status 500", self.name),
            }),
            Err(_) => {
                self.taken.lock().unwrap().push(notice.id);
                Ok(())
            }
        }
    }
}

/// An office in which an import has just been completed.
pub(crate) async fn after_an_import() -> BackgroundService {
    let background = BackgroundService::open(small(60)).await;
    // That the shop was connected is another message, and not what is looked at here.
    sqlx::query("UPDATE salla_sync.connection_changes SET sent_at = changed_at")
        .execute(background.service.open.database.pool())
        .await
        .unwrap();
    background.start().await;
    background.work_until_empty().await;
    background
}

/// The notification worker empties its queue; waits are skipped.
pub(crate) async fn notify(background: &BackgroundService, notifiers: Vec<Arc<dyn Notifier>>) {
    let queue = background.queue(QueueName::Notifications);
    let notification_worker = NotificationWorker {
        queue: Arc::new(queue.clone()),
        store: Arc::new(background.service.open.database.notifications()),
        notifiers,
        clock: background.service.clock.clone(),
    };
    loop {
        sqlx::query("UPDATE salla_sync.queue_messages SET visible_at = '2000-01-01'")
            .execute(background.service.open.database.pool())
            .await
            .unwrap();
        let lease = Duration::from_secs(60);
        let deliveries = queue.receive(10, lease, Duration::ZERO).await.unwrap();
        if deliveries.is_empty() {
            return;
        }
        for delivery in deliveries {
            let disposition = notification_worker.run_one(&delivery).await;
            queue.settle(&delivery.receipt, disposition).await.unwrap();
        }
    }
}

pub(crate) async fn count(background: &BackgroundService, table: &'static str) -> i64 {
    let sql = match table {
        "notifications" => "SELECT count(*) FROM salla_sync.notifications",
        _ => "SELECT count(*) FROM salla_sync.notification_deliveries",
    };
    sqlx::query_scalar(sql)
        .fetch_one(background.service.open.database.pool())
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_fails_is_tried_again_and_the_others_are_not() {
    let background = after_an_import().await;
    let (good, moody) = (
        FlakyNotifier::failing("good", 0),
        FlakyNotifier::failing("moody", 3),
    );
    notify(&background, vec![good.clone(), moody.clone()]).await;
    assert_eq!((good.taken(), moody.taken()), (1, 1));
    assert_eq!(
        good.taken.lock().unwrap()[0],
        moody.taken.lock().unwrap()[0]
    );
    assert_eq!(count(&background, "notifications").await, 1);
    assert_eq!(count(&background, "deliveries").await, 2);
    let dead = background.queue(QueueName::Notifications);
    assert_eq!(dead.list(None, 10).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_never_works_ends_among_the_dead_letters_and_touches_nothing_else() {
    let background = after_an_import().await;
    let (good, broken) = (
        FlakyNotifier::failing("good", 0),
        FlakyNotifier::failing("broken", u64::MAX),
    );
    let queue = background.queue(QueueName::Notifications);
    queue.send("poison", Duration::ZERO).await.unwrap();
    notify(&background, vec![broken.clone(), good.clone()]).await;
    assert_eq!((good.taken(), broken.taken()), (1, 0));
    assert_eq!(count(&background, "notifications").await, 1);
    let mut reasons: Vec<String> = queue
        .list(None, 10)
        .await
        .unwrap()
        .into_iter()
        .map(|letter| letter.reason)
        .collect();
    reasons.sort_unstable();
    assert_eq!(
        reasons,
        [
            "attempts are used up",
            "unreadable message: the message is not JSON"
        ]
    );
    let runs = background.service.open.runs().list().await.unwrap();
    let run = runs[0].1.clone().expect("there is a run");
    background.compare(&run).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_hear_nothing_of_a_success() {
    let background = after_an_import().await;
    let operator = Arc::new(FlakyNotifier {
        name: "operator",
        audience: Audience::Operator,
        failures: AtomicU64::new(0),
        taken: Mutex::default(),
    });
    notify(&background, vec![operator.clone()]).await;
    assert_eq!(operator.taken(), 0);
}
