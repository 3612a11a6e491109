//! Every promise of a queue, kept on two servers that disagree about what SQS leaves open.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws::Aws;
use aws::sqs::testing::create;
use aws::sqs::{QueueNames, SqsQueue};
use importer::ports::clock::{Clock, SystemClock};
use importer::ports::queue::{DeadLetters, Queue, QueueName, QueueSettings};
use importer::testing::clock::DrivenClock;
use importer::testing::queue::{Leeway, QueueFixture};
use jiff::Timestamp;
use tokio::sync::OnceCell;

use crate::servers::{Kind, Server};

pub(crate) const MAX_ATTEMPTS: u32 = 4;

/// One server and its clock, which every fixture moves on.
pub(crate) struct Driven {
    pub(crate) server: Server,
    pub(crate) clock: DrivenClock,
}

impl Driven {
    pub(crate) fn start(kind: Kind) -> Self {
        let start: Timestamp = "2025-06-15T09:00:00Z".parse().unwrap();
        Self {
            server: Server::start(kind, Some(start.as_millisecond()), &[]),
            clock: DrivenClock::new(start),
        }
    }

    pub(crate) fn pass(&self, time: Duration) {
        // The server's first: what the adapter takes for over must be over there.
        let now = self.clock.now() + time;
        self.server.set_clock(now.as_millisecond());
        self.clock.advance(time);
    }
}

#[async_trait]
impl Clock for Driven {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }

    async fn sleep(&self, duration: Duration) {
        self.clock.sleep(duration).await;
    }
}

impl std::fmt::Debug for Driven {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Driven")
    }
}

/// Two queues of a name that no other fixture has.
pub(crate) async fn queues(
    aws: &Aws,
    clock: Arc<dyn Clock>,
    prefix: &str,
) -> (Arc<SqsQueue>, Arc<SqsQueue>) {
    let mut opened = Vec::new();
    for name in QueueName::ALL {
        let settings = QueueSettings {
            max_attempts: MAX_ATTEMPTS,
        };
        create(aws, &QueueNames::of(prefix, name), settings).await;
        let queue = SqsQueue::open(aws, prefix, name, settings, clock.clone()).await;
        opened.push(Arc::new(queue.unwrap()));
    }
    let second = opened.pop().unwrap();
    (opened.pop().unwrap(), second)
}

pub(crate) fn unique() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("t{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

struct Fixture {
    driven: Arc<Driven>,
    queue: Arc<SqsQueue>,
    neighbour: Arc<SqsQueue>,
}

async fn fixture(driven: Arc<Driven>) -> Fixture {
    let aws = Aws::at(&driven.server.url());
    let (queue, neighbour) = queues(&aws, driven.clone(), &unique()).await;
    Fixture {
        driven,
        queue,
        neighbour,
    }
}

async fn on_ministack() -> Fixture {
    static SERVER: OnceCell<Arc<Driven>> = OnceCell::const_new();
    let start = async || Arc::new(Driven::start(Kind::MiniStack));
    fixture(SERVER.get_or_init(start).await.clone()).await
}

async fn on_fauxqs() -> Fixture {
    static SERVER: OnceCell<Arc<Driven>> = OnceCell::const_new();
    let start = async || Arc::new(Driven::start(Kind::Fauxqs));
    fixture(SERVER.get_or_init(start).await.clone()).await
}

#[async_trait]
impl QueueFixture for Fixture {
    fn queue(&self) -> Arc<dyn Queue> {
        self.queue.clone()
    }

    fn dead_letters(&self) -> Arc<dyn DeadLetters> {
        self.queue.clone()
    }

    fn other_process(&self) -> (Arc<dyn Queue>, Arc<dyn DeadLetters>) {
        (self.neighbour.clone(), self.neighbour.clone())
    }

    fn max_attempts(&self) -> u32 {
        MAX_ATTEMPTS
    }

    fn now(&self) -> Timestamp {
        self.driven.clock.now()
    }

    async fn pass(&self, time: Duration) {
        self.driven.pass(time);
        // What is under way to the server arrives.
        SystemClock::real().sleep(Duration::from_millis(1)).await;
    }

    fn leeway(&self) -> Leeway {
        Leeway {
            keeps_lapsed_leases: false,
            counts_exactly: false,
            // SQS keeps a message for two weeks.
            longest_snooze: Duration::from_secs(10 * 86_400),
            many: 30,
        }
    }
}

importer::queue_contract!(one test: ministack_keeps_every_promise, on_ministack);
importer::queue_contract!(one test: fauxqs_keeps_every_promise, on_fauxqs);
