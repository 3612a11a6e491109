//! Messages that are forwarded from the database to SQS, by processes that die at any point.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use aws::Aws;
use database::testing::TestDatabase;
use importer::ports::clock::{Clock, SystemClock};
use importer::ports::queue::{DeadLetters as _, Disposition, Queue as _, QueueName, ReceiptStatus};
use importer::relay::Relay;
use sqlx::PgPool;

use crate::contract::{Driven, MAX_ATTEMPTS, queues, unique};
use crate::proxy::{self, Fault, faults};
use crate::servers::Kind;

const NAME: QueueName = QueueName::HistoricalSync;
const LEASE: Duration = Duration::from_secs(30);

struct World {
    driven: Arc<Driven>,
    db: TestDatabase,
}

impl World {
    async fn start() -> Self {
        let driven = Arc::new(Driven::start(Kind::MiniStack));
        let db = TestDatabase::with_clock(driven.clone()).await;
        Self { driven, db }
    }

    async fn relay(&self, aws: &Aws, prefix: &str) -> Relay {
        let (queue, _) = queues(aws, self.driven.clone(), prefix).await;
        Relay {
            name: NAME,
            outbox: Arc::new(self.db.database().queue(NAME)),
            remote: queue,
            clock: self.driven.clone(),
        }
    }

    /// Writes a message as a transaction of the database does.
    async fn commit(&self, body: &str) {
        let queue = self.db.database().queue(NAME);
        let mut tx = self.db.pool().begin().await.unwrap();
        queue.send_in(&mut tx, body, Duration::ZERO).await.unwrap();
        tx.commit().await.unwrap();
    }
}

async fn rows(pool: &PgPool) -> i64 {
    let count = "SELECT count(*) FROM salla_sync.queue_messages";
    sqlx::query_scalar(count).fetch_one(pool).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_stays_in_the_database_until_its_work_is_done() {
    let world = World::start().await;
    let aws = Aws::at(&world.driven.server.url());
    let relay = world.relay(&aws, &unique()).await;
    let sent_at = world.driven.now();
    world.commit("work").await;
    world.driven.pass(Duration::from_secs(5));
    assert_eq!(relay.once().await, Ok(1));
    assert_eq!(relay.once().await, Ok(0), "it is not sent twice");
    assert_eq!(rows(world.db.pool()).await, 1, "the sweep sees it");
    let received = relay.receive(5, LEASE, Duration::ZERO).await.unwrap();
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].sent_at, sent_at, "when it was committed");
    let until = world.driven.now() + Duration::from_secs(60);
    let snooze = Disposition::Snooze { until };
    let settled = relay.settle(&received[0].receipt, snooze).await;
    assert_eq!(settled, Ok(ReceiptStatus::Valid));
    assert_eq!(rows(world.db.pool()).await, 1);
    world.driven.pass(Duration::from_secs(60));
    let received = relay.receive(5, LEASE, Duration::ZERO).await.unwrap();
    let settled = relay.settle(&received[0].receipt, Disposition::Ack).await;
    assert_eq!(settled, Ok(ReceiptStatus::Valid));
    assert_eq!(rows(world.db.pool()).await, 0);

    // A message that SQS drops is no longer in flight.
    world.commit("poison").await;
    assert_eq!(relay.once().await, Ok(1));
    for _ in 0..MAX_ATTEMPTS {
        let taken = relay.receive(1, LEASE, Duration::ZERO).await.unwrap();
        assert_eq!(taken.len(), 1);
        world.driven.pass(LEASE);
    }
    assert_eq!(
        relay.receive(1, LEASE, Duration::ZERO).await,
        Ok(Vec::new())
    );
    assert_eq!(rows(world.db.pool()).await, 1);
    assert_eq!(relay.unreported(9).await.unwrap()[0].body, "poison");
    assert_eq!(rows(world.db.pool()).await, 0);

    // What SQS lost is sent again within a day.
    world.commit("lost").await;
    assert_eq!(relay.once().await, Ok(1));
    let lost = relay
        .remote
        .receive(5, LEASE, Duration::ZERO)
        .await
        .unwrap();
    let settled = relay.remote.settle(&lost[0].receipt, Disposition::Ack);
    settled.await.unwrap();
    world.driven.pass(Duration::from_secs(24 * 3_600));
    assert_eq!(relay.once().await, Ok(1));
    let received = relay.receive(5, LEASE, Duration::ZERO).await.unwrap();
    assert_eq!(received[0].body, "lost");
}

#[tokio::test]
async fn whoever_dies_between_commit_and_send_loses_nothing() {
    let world = World::start().await;
    let aws = Aws::at(&world.driven.server.url());
    let relay = world.relay(&aws, &unique()).await;
    let (mut finished, mut polls, mut missing, mut rounds) = (false, 1, 0, 0);
    // If every response is ready immediately, nothing is dropped in between: once more then.
    while !finished || missing == 0 {
        world.commit("work").await;
        {
            let mut carrying = pin!(relay.once());
            let mut polled = 0;
            finished = poll_fn(|context| {
                polled += 1;
                match carrying.as_mut().poll(context) {
                    Poll::Ready(_) => Poll::Ready(true),
                    Poll::Pending if polled < polls => Poll::Pending,
                    Poll::Pending => Poll::Ready(false),
                }
            })
            .await;
        }
        // What was on its way arrives.
        SystemClock::real().sleep(Duration::from_millis(20)).await;
        let arrived = relay.receive(5, LEASE, Duration::ZERO).await.unwrap();
        if arrived.is_empty() {
            missing += 1;
            world.driven.pass(Duration::from_secs(61));
            relay.once().await.unwrap();
            let arrived = relay.receive(5, LEASE, Duration::ZERO).await.unwrap();
            assert!(!arrived.is_empty(), "lost after {polls} polls");
        }
        // Two of one message are one row.
        world.driven.pass(Duration::from_secs(61));
        loop {
            relay.once().await.unwrap();
            let left = relay.receive(5, LEASE, Duration::ZERO).await.unwrap();
            if left.is_empty() {
                break;
            }
            for delivery in left {
                let settled = relay.settle(&delivery.receipt, Disposition::Ack).await;
                settled.unwrap();
            }
        }
        assert_eq!(rows(world.db.pool()).await, 0, "after {polls} polls");
        polls = if finished { 1 } else { polls + 1 };
        rounds += u32::from(finished);
        assert!(rounds < 20, "it died before the message was sent, too");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_away_costs_time_and_nothing_else() {
    let world = World::start().await;
    let prefix = unique();
    let straight = Aws::at(&world.driven.server.url());
    queues(&straight, world.driven.clone(), &prefix).await;
    let away = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let is_away = away.clone();
    let gone = faults(
        move |_| match is_away.load(std::sync::atomic::Ordering::SeqCst) {
            true => Fault::Reset,
            false => Fault::Pass,
        },
    );
    let address = proxy::start(world.driven.server.address(), gone).await;
    let relay = world.relay(&Aws::at(&address), &prefix).await;
    away.store(true, std::sync::atomic::Ordering::SeqCst);
    for number in 0..12 {
        world.commit(&format!("work {number}")).await;
    }
    // Longer than a message has attempts.
    for _ in 0..25 {
        let failure = relay.once().await.unwrap_err();
        assert_eq!(failure.code(), "transient", "{failure}");
        world.driven.pass(Duration::from_secs(60));
    }
    relay.send("another", Duration::ZERO).await.unwrap();
    assert_eq!(rows(world.db.pool()).await, 13);
    away.store(false, std::sync::atomic::Ordering::SeqCst);
    world.driven.pass(Duration::from_secs(60));
    assert_eq!(relay.once().await, Ok(13));
    let depth = relay.remote.depth().await.unwrap();
    assert_eq!((depth.ready, depth.dead), (13, 0));
}
