//! The queue on PostgreSQL: what every queue has to keep, and what this one does
//! besides.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use database::testing::TestDatabase;
use database::{ConnectSettings, Database, PostgresQueue};
use domain::failure::Failure;
use embedded_postgres::{Durability, Search, Server, Settings, Wanted, find_programs};
use importer::ports::clock::{Clock, SystemClock, with_timeout};
use importer::ports::queue::{
    ATTEMPTS_EXHAUSTED, DeadLetters, Delivery, Depth, Disposition, Queue, QueueName, QueueSettings,
    ReceiptStatus,
};
use importer::testing::clock::DrivenClock;
use importer::testing::queue::QueueFixture;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use secrecy::SecretString;
use sqlx::{Connection, Executor, PgConnection};
use tokio::task::JoinHandle;

const AT_ONCE: Duration = Duration::ZERO;
const LEASE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_secs(20);

struct Fixture {
    clock: Arc<DrivenClock>,
    db: TestDatabase,
    queue: PostgresQueue,
}

async fn fixture() -> Fixture {
    let start = "2025-06-15T09:00:00Z".parse().unwrap();
    let clock = Arc::new(DrivenClock::new(start));
    let db = TestDatabase::with_clock(clock.clone()).await;
    let queue = db.database().queue(QueueName::HistoricalSync);
    Fixture { clock, db, queue }
}

#[async_trait]
impl QueueFixture for Fixture {
    fn queue(&self) -> Arc<dyn Queue> {
        Arc::new(self.queue.clone())
    }

    fn dead_letters(&self) -> Arc<dyn DeadLetters> {
        Arc::new(self.queue.clone())
    }

    fn other_process(&self) -> (Arc<dyn Queue>, Arc<dyn DeadLetters>) {
        let neighbour = self.db.database().queue(QueueName::Notifications);
        (Arc::new(neighbour.clone()), Arc::new(neighbour))
    }

    fn max_attempts(&self) -> u32 {
        QueueSettings::of(QueueName::HistoricalSync).max_attempts
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    async fn pass(&self, time: Duration) {
        self.clock.advance(time);
    }

    async fn fill(&self, count: u32, delay: Duration) {
        let fill = sqlx::query(
            "INSERT INTO salla_sync.queue_messages (id, queue, body, sent_at, visible_at)
             SELECT gen_random_uuid(), $1, 'filling', $2, $2 + make_interval(secs => $3)
             FROM generate_series(1, $4)",
        )
        .bind(QueueName::HistoricalSync.as_str())
        .bind(self.now().to_sqlx())
        .bind(delay.as_secs_f64())
        .bind(i64::from(count));
        fill.execute(self.db.pool()).await.unwrap();
    }
}

mod contract {
    importer::queue_contract!(super::fixture);
}

type Receiving = JoinHandle<Result<Vec<Delivery>, Failure>>;

impl Fixture {
    /// Begins a receive and returns when it has found nothing and waits.
    async fn begin_receive(&self) -> Receiving {
        self.begin_receive_for(POLL).await
    }

    async fn begin_receive_for(&self, wait: Duration) -> Receiving {
        let queue = self.queue.clone();
        let receiving = tokio::spawn(async move { queue.receive(1, LEASE, wait).await });
        in_time(self.clock.until_asleep(1)).await;
        receiving
    }

    /// A connection that the queue knows nothing of.
    async fn other(&self) -> PgConnection {
        PgConnection::connect(&self.db.url()).await.unwrap()
    }

    /// Lets time pass until `work` is done.
    async fn drive<T>(&self, work: impl Future<Output = T>) -> T {
        let driving = async {
            loop {
                self.clock.until_asleep(1).await;
                self.clock.advance(Duration::from_millis(100));
                tokio::task::yield_now().await;
            }
        };
        in_time(async {
            tokio::select! {
                value = work => value,
                () = driving => unreachable!("it never ends"),
            }
        })
        .await
    }
}

/// The test hangs where a promise is broken; this ends it.
async fn in_time<T>(work: impl Future<Output = T>) -> T {
    let clock = SystemClock::real();
    let done = with_timeout(&clock, Duration::from_secs(60), work).await;
    done.expect("it takes too long")
}

async fn one(connection: &mut PgConnection, sql: &'static str) -> i64 {
    let value = sqlx::query_scalar(sql).fetch_one(connection);
    value.await.unwrap()
}

/// Waits until `sql` counts that many, for a second or so.
async fn until_there_are(wanted: i64, connection: &mut PgConnection, sql: &'static str) {
    let clock = SystemClock::real();
    in_time(async {
        while one(connection, sql).await != wanted {
            clock.sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

fn only(received: Result<Vec<Delivery>, Failure>) -> Delivery {
    let mut received = received.unwrap();
    assert_eq!(received.len(), 1);
    received.remove(0)
}

/// Those whose LISTEN is done. One that is cut off while it runs fails, and the next try
/// comes only after a pause, on a clock that the tests hold still.
const LISTENERS: &str = "
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND query LIKE 'LISTEN%' AND state = 'idle'";

/// The clock stands still, so no look at intervals can have found the message.
#[tokio::test]
async fn a_send_wakes_who_waits() {
    let fixture = fixture().await;
    for _ in 0..3 {
        let receiving = fixture.begin_receive().await;
        let id = fixture.queue.send("work", AT_ONCE).await.unwrap();
        let delivery = only(in_time(receiving).await.unwrap());
        assert_eq!(delivery.id, id);
        let done = fixture
            .queue
            .settle(&delivery.receipt, Disposition::Ack)
            .await;
        assert_eq!(done, Ok(ReceiptStatus::Valid));
    }
    assert_eq!(fixture.clock.monotonic(), Duration::ZERO);
}

#[tokio::test]
async fn a_send_from_another_process_wakes_who_waits() {
    let fixture = fixture().await;
    let receiving = fixture.begin_receive().await;
    let sender = fixture.db.database().queue(QueueName::HistoricalSync);
    let id = sender.send("work", AT_ONCE).await.unwrap();
    assert_eq!(only(in_time(receiving).await.unwrap()).id, id);
}

/// As behind PgBouncer, which takes a LISTEN and never delivers: a row without a notification.
#[tokio::test]
async fn a_message_that_nobody_was_told_of_is_found_within_a_second() {
    let fixture = fixture().await;
    let receiving = fixture.begin_receive().await;
    let mut other = fixture.other().await;
    until_there_are(1, &mut other, LISTENERS).await;
    in_time(fixture.clock.until_asleep(1)).await;
    fixture.fill(1, AT_ONCE).await;
    // To learn of the listener is a reason to look, and may come now; so there is no
    // saying that nothing is found before the second has passed.
    fixture.clock.advance(Duration::from_secs(1));
    let delivery = only(in_time(receiving).await.unwrap());
    assert_eq!(delivery.body, "filling");
    assert_eq!(fixture.clock.monotonic(), Duration::from_secs(1));
}

#[tokio::test]
async fn a_listener_that_was_cut_off_listens_again() {
    let fixture = fixture().await;
    let mut other = fixture.other().await;
    let receiving = fixture.begin_receive().await;
    until_there_are(1, &mut other, LISTENERS).await;
    let ended = one(
        &mut other,
        "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity
         WHERE datname = current_database() AND query LIKE 'LISTEN%'",
    )
    .await;
    assert_eq!(ended, 1);
    // The clock stands still: only a listener can wake the receive.
    let id = fixture.queue.send("work", AT_ONCE).await.unwrap();
    assert_eq!(only(in_time(receiving).await.unwrap()).id, id);
    until_there_are(1, &mut other, LISTENERS).await;
}

/// Ends every connection to the database but the caller's, and waits until they are
/// gone.
async fn cut_all(other: &mut PgConnection) -> i64 {
    one(
        other,
        "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    .await
}

#[tokio::test]
async fn a_receive_that_waits_survives_the_end_of_all_connections() {
    let fixture = fixture().await;
    let mut other = fixture.other().await;
    // While connections are replaced, which takes real time, the clock is driven far ahead.
    let receiving = fixture.begin_receive_for(Duration::from_secs(86_400)).await;
    until_there_are(1, &mut other, LISTENERS).await;
    assert!(cut_all(&mut other).await >= 2);
    let id = fixture.drive(fixture.queue.send("work", AT_ONCE)).await;
    let delivery = only(fixture.drive(receiving).await.unwrap());
    assert_eq!(delivery.id, id.unwrap());
    let settling = fixture.queue.settle(&delivery.receipt, Disposition::Ack);
    assert_eq!(fixture.drive(settling).await, Ok(ReceiptStatus::Valid));
}

/// On a separate server and in real time, because only that shows what a server's end does to
/// waiting receivers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receive_that_waits_survives_a_restart_of_the_server() {
    let place = tempfile::tempdir().unwrap();
    // Root hands the server to another user, who has to pass.
    let passable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(place.path(), passable).unwrap();
    let search = Search::from_lookup(|name| std::env::var_os(name));
    let programs = find_programs(&search, &Wanted::Any).unwrap();
    let settings = Settings {
        durability: Durability::Throwaway,
        ..Settings::new(place.path().join("db"), programs)
    };
    let start = || tokio::task::block_in_place(|| Server::start(settings.clone()).unwrap());
    let server = start();
    let url = server.url("postgres");
    let connect = ConnectSettings::new(SecretString::from(url.clone()));
    let clock = Arc::new(SystemClock::real());
    let database = Database::connect(connect, clock).await.unwrap();
    database.migrate().await.unwrap();
    let queue = database.queue(QueueName::HistoricalSync);
    let waiter = queue.clone();
    let receiving = tokio::spawn(async move { waiter.receive(1, LEASE, POLL * 6).await });
    let mut other = PgConnection::connect(&url).await.unwrap();
    until_there_are(1, &mut other, LISTENERS).await;
    tokio::task::block_in_place(|| server.stop().unwrap());
    assert!(!receiving.is_finished());
    let _server = start();
    let id = in_time(queue.send("work", AT_ONCE)).await.unwrap();
    let delivery = only(in_time(receiving).await.unwrap());
    assert_eq!(delivery.id, id);
    let mut other = PgConnection::connect(&url).await.unwrap();
    let next = tokio::spawn(async move { queue.receive(1, LEASE, POLL).await });
    until_there_are(1, &mut other, LISTENERS).await;
    next.abort();
}

#[tokio::test]
async fn a_connection_that_is_lost_in_the_middle_of_a_look_is_replaced() {
    let fixture = fixture().await;
    let id = fixture.queue.send("work", AT_ONCE).await.unwrap();
    let mut other = fixture.other().await;
    other.execute("BEGIN").await.unwrap();
    let lock = "LOCK TABLE salla_sync.queue_messages IN ACCESS EXCLUSIVE MODE";
    other.execute(lock).await.unwrap();
    let queue = fixture.queue.clone();
    let receiving = tokio::spawn(async move { queue.receive(1, LEASE, POLL).await });
    let mut killer = fixture.other().await;
    until_there_are(
        1,
        &mut killer,
        "SELECT count(*) FROM pg_stat_activity
         WHERE datname = current_database() AND wait_event_type = 'Lock'",
    )
    .await;
    let ended = one(
        &mut killer,
        "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity
         WHERE datname = current_database() AND wait_event_type = 'Lock'",
    )
    .await;
    assert_eq!(ended, 1);
    other.execute("ROLLBACK").await.unwrap();
    let delivery = only(fixture.drive(receiving).await.unwrap());
    assert_eq!((delivery.id, delivery.attempt), (id, 1));
}

/// A consumer that is settling a message must not block receives of others.
#[tokio::test]
async fn a_locked_message_is_passed_by() {
    let fixture = fixture().await;
    fixture.queue.send("locked", AT_ONCE).await.unwrap();
    fixture.clock.advance(Duration::from_secs(1));
    let free = fixture.queue.send("free", AT_ONCE).await.unwrap();
    let mut other = fixture.other().await;
    let mut tx = other.begin().await.unwrap();
    let lock = "SELECT FROM salla_sync.queue_messages WHERE body = 'locked' FOR UPDATE";
    tx.execute(lock).await.unwrap();
    let delivery = only(in_time(fixture.queue.receive(2, LEASE, AT_ONCE)).await);
    assert_eq!(delivery.id, free);
    tx.rollback().await.unwrap();
    let delivery = only(fixture.queue.receive(2, LEASE, AT_ONCE).await);
    assert_eq!(delivery.body, "locked");
}

#[tokio::test]
async fn what_is_sent_in_a_transaction_exists_from_its_commit_on() {
    let fixture = fixture().await;
    let receiving = fixture.begin_receive().await;
    let mut other = fixture.other().await;
    until_there_are(1, &mut other, LISTENERS).await;
    let mut tx = other.begin().await.unwrap();
    let id = fixture
        .queue
        .send_in(&mut tx, "work", AT_ONCE)
        .await
        .unwrap();
    assert_eq!(fixture.queue.depth().await, Ok(Depth::default()));
    assert_eq!(
        fixture.queue.receive(1, LEASE, AT_ONCE).await,
        Ok(Vec::new())
    );
    assert!(!receiving.is_finished());
    tx.commit().await.unwrap();
    // The clock stands still: the commit has woken the receive.
    assert_eq!(only(in_time(receiving).await.unwrap()).id, id);
}

#[tokio::test]
async fn what_is_sent_in_a_transaction_goes_with_its_rollback() {
    let fixture = fixture().await;
    let mut other = fixture.other().await;
    let mut tx = other.begin().await.unwrap();
    let sent = fixture.queue.send_in(&mut tx, "work", AT_ONCE).await;
    sent.unwrap();
    tx.rollback().await.unwrap();
    assert_eq!(fixture.queue.depth().await, Ok(Depth::default()));
    assert_eq!(
        fixture.queue.receive(1, LEASE, AT_ONCE).await,
        Ok(Vec::new())
    );
}

/// A failure to send is seen by its caller, who must not read the body in it.
#[tokio::test]
async fn an_error_does_not_quote_the_message() {
    let fixture = fixture().await;
    let refused = fixture.queue.send("se\0cret", AT_ONCE).await.unwrap_err();
    assert!(matches!(refused, Failure::Database { .. }), "{refused}");
    assert!(!format!("{refused:?}").contains("cret"), "{refused:?}");
}

/// A send whose answer was lost is made again, and the first may have been worked on
/// meanwhile: the same message then is on the queue and among the dead letters.
#[tokio::test]
async fn a_message_that_is_dead_already_does_not_jam_the_queue() {
    let fixture = fixture().await;
    let id = fixture.queue.send("poison", AT_ONCE).await.unwrap();
    let dig = "INSERT INTO salla_sync.dead_letters
         SELECT id, queue, body, 'first', attempts, sent_at, sent_at FROM salla_sync.queue_messages";
    fixture.db.pool().execute(dig).await.unwrap();
    for _ in 0..fixture.max_attempts() {
        only(fixture.queue.receive(1, LEASE, AT_ONCE).await);
        fixture.clock.advance(LEASE);
    }
    let work = fixture.queue.send("work", AT_ONCE).await.unwrap();
    let delivery = only(fixture.queue.receive(1, LEASE, AT_ONCE).await);
    assert_eq!(delivery.id, work);
    let letter = fixture.queue.read(&id).await.unwrap().unwrap();
    assert_eq!(letter.reason, "first");
}

#[tokio::test]
async fn the_number_of_attempts_can_be_set() {
    let fixture = fixture().await;
    let queue = PostgresQueue::new(
        fixture.db.pool().clone(),
        fixture.clock.clone(),
        QueueName::Notifications,
        QueueSettings { max_attempts: 1 },
    );
    let id = queue.send("work", AT_ONCE).await.unwrap();
    let delivery = only(queue.receive(1, LEASE, AT_ONCE).await);
    let retry = Disposition::Retry { after: AT_ONCE };
    let settled = queue.settle(&delivery.receipt, retry).await;
    assert_eq!(settled, Ok(ReceiptStatus::Valid));
    let letter = queue.read(&id).await.unwrap().unwrap();
    assert_eq!(letter.reason, ATTEMPTS_EXHAUSTED);
}
