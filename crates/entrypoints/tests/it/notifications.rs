//! The ends of imports are told, whatever the channels do.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use domain::failure::Failure;
use domain::notification::Audience;
use importer::notifications::NotificationDesk;
use importer::ports::notifications::{Notice, Notifier};
use importer::ports::queue::{DeadLetters as _, Queue as _, QueueName};
use uuid::Uuid;

use crate::jobs::Office;
use crate::truth::small;

/// Fails so often, then takes everything.
struct Moody {
    name: &'static str,
    audience: Audience,
    failures: AtomicU64,
    taken: Mutex<Vec<Uuid>>,
}

impl Moody {
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
impl Notifier for Moody {
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
                what: format!("{} to a host: it answered with status 500", self.name),
            }),
            Err(_) => {
                self.taken.lock().unwrap().push(notice.id);
                Ok(())
            }
        }
    }
}

/// An office in which an import has just been completed.
pub(crate) async fn after_an_import() -> Office {
    let office = Office::open(small(60)).await;
    // That the shop was connected is another message, and not what is looked at here.
    sqlx::query("UPDATE salla_sync.connection_changes SET sent_at = changed_at")
        .execute(office.service.open.database.pool())
        .await
        .unwrap();
    office.start().await;
    office.work_until_empty().await;
    office
}

/// The desk deals with its queue until nothing is left; waits are not waited for.
pub(crate) async fn tell(office: &Office, notifiers: Vec<Arc<dyn Notifier>>) {
    let queue = office.queue(QueueName::Notifications);
    let desk = NotificationDesk {
        queue: Arc::new(queue.clone()),
        store: Arc::new(office.service.open.database.notifications()),
        notifiers,
        clock: office.service.clock.clone(),
    };
    loop {
        sqlx::query("UPDATE salla_sync.queue_messages SET visible_at = '2000-01-01'")
            .execute(office.service.open.database.pool())
            .await
            .unwrap();
        let lease = Duration::from_secs(60);
        let deliveries = queue.receive(10, lease, Duration::ZERO).await.unwrap();
        if deliveries.is_empty() {
            return;
        }
        for delivery in deliveries {
            let disposition = desk.run_one(&delivery).await;
            queue.settle(&delivery.receipt, disposition).await.unwrap();
        }
    }
}

pub(crate) async fn count(office: &Office, table: &'static str) -> i64 {
    let sql = match table {
        "notifications" => "SELECT count(*) FROM salla_sync.notifications",
        _ => "SELECT count(*) FROM salla_sync.notification_deliveries",
    };
    sqlx::query_scalar(sql)
        .fetch_one(office.service.open.database.pool())
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_fails_is_tried_again_and_the_others_are_not() {
    let office = after_an_import().await;
    let (good, moody) = (Moody::failing("good", 0), Moody::failing("moody", 3));
    tell(&office, vec![good.clone(), moody.clone()]).await;
    assert_eq!((good.taken(), moody.taken()), (1, 1));
    assert_eq!(
        good.taken.lock().unwrap()[0],
        moody.taken.lock().unwrap()[0]
    );
    assert_eq!(count(&office, "notifications").await, 1);
    assert_eq!(count(&office, "deliveries").await, 2);
    let dead = office.queue(QueueName::Notifications);
    assert_eq!(dead.list(None, 10).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_never_works_ends_among_the_dead_letters_and_touches_nothing_else() {
    let office = after_an_import().await;
    let (good, broken) = (
        Moody::failing("good", 0),
        Moody::failing("broken", u64::MAX),
    );
    let queue = office.queue(QueueName::Notifications);
    queue.send("poison", Duration::ZERO).await.unwrap();
    tell(&office, vec![broken.clone(), good.clone()]).await;
    assert_eq!((good.taken(), broken.taken()), (1, 0));
    assert_eq!(count(&office, "notifications").await, 1);
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
    let runs = office.service.open.runs().list().await.unwrap();
    let run = runs[0].1.clone().expect("there is a run");
    office.compare(&run).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_hear_nothing_of_a_success() {
    let office = after_an_import().await;
    let operator = Arc::new(Moody {
        name: "operator",
        audience: Audience::Operator,
        failures: AtomicU64::new(0),
        taken: Mutex::default(),
    });
    tell(&office, vec![operator.clone()]).await;
    assert_eq!(operator.taken(), 0);
}
