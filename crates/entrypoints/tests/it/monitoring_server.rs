//! What a worker shows of itself while it works.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use database::Database;
use database::testing::TestDatabase;
use entrypoints::monitoring::{MetricsHandle, MonitoringServer, install_metrics};
use entrypoints::wiring::Queues;
use importer::metrics;
use importer::ports::clock::SystemClock;
use importer::ports::queue::{Queue as _, QueueName};
use importer::stop::{StopHandle, stop_pair};
use importer::testing::clock::a_moment;
use salla_client::http::http_client;
use salla_simulator::InvalidRates;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::{Mutex, MutexGuard};
use tokio::task::JoinHandle;

use crate::service::{TestService, completed};
use crate::truth::small;

/// Only these tests show anything, one after the other.
static TURN: Mutex<()> = Mutex::const_new(());

/// Once a process: other tests may count with it, so what is counted is at least so much.
fn recorded() -> MetricsHandle {
    static RECORDED: OnceLock<MetricsHandle> = OnceLock::new();
    RECORDED.get_or_init(|| install_metrics().unwrap()).clone()
}

struct Observer {
    address: SocketAddr,
    http: reqwest::Client,
    stop: StopHandle,
    served: JoinHandle<()>,
    _turn: MutexGuard<'static, ()>,
}

impl Observer {
    async fn of(database: &Database) -> Self {
        let turn = TURN.lock().await;
        let recorded = recorded();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let observation = MonitoringServer::bind(any).await.unwrap();
        let address = observation.address();
        let (stop, signal) = stop_pair();
        let clock = Arc::new(SystemClock::real());
        let asked = async move { signal.requested().await };
        let queues = Queues::in_database(database, clock.clone());
        let served = tokio::spawn(async move {
            let keep_fresh = Some(Duration::from_secs(3_600));
            let serving = observation.serve(recorded, &queues, keep_fresh, clock, asked);
            serving.await;
        });
        Self {
            address,
            http: http_client().unwrap(),
            stop,
            served,
            _turn: turn,
        }
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let url = format!("http://{}{path}", self.address);
        let answer = self.http.get(url).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    async fn metrics(&self) -> String {
        let (status, text) = self.get("/metrics").await;
        assert_eq!(status, 200);
        text
    }
}

/// The value of the series that is written exactly like this.
fn value(text: &str, series: &str) -> f64 {
    let line = text
        .lines()
        .find(|line| {
            line.strip_prefix(series)
                .is_some_and(|rest| rest.starts_with(' '))
        })
        .unwrap_or_else(|| panic!("{series} is missing from\n{text}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scrape_shows_what_an_import_has_done() {
    let mut scenario = small(400);
    scenario.invalid = InvalidRates {
        orders: 0.02,
        ..InvalidRates::default()
    };
    scenario.oauth.access_token_requests = Some(15);
    let service = TestService::start(scenario).await;
    let observer = Observer::of(&service.open.database).await;
    let (merchant, outcome) = service.import().await;
    completed(outcome);
    let queue = service.open.database.queue(QueueName::Notifications);
    queue.send("{}", Duration::ZERO).await.unwrap();
    queue.send("{}", Duration::from_secs(3_600)).await.unwrap();

    let text = observer.metrics().await;
    let at_least_one = [
        r#"salla_sync_salla_requests_total{endpoint="orders",status="2xx"}"#,
        r#"salla_sync_salla_request_duration_seconds_bucket{endpoint="orders",le="+Inf"}"#,
        r#"salla_sync_pages_landed_total{resource="orders"}"#,
        r#"salla_sync_pages_landed_total{resource="customers"}"#,
        r#"salla_sync_token_refreshes_total{outcome="renewed"}"#,
        r#"salla_sync_runs_ended_total{state="COMPLETED",failure="none"}"#,
        r#"salla_sync_landing_duration_seconds_bucket{what="pages",le="+Inf"}"#,
    ];
    for series in at_least_one {
        assert!(value(&text, series) >= 1.0, "{series}\n{text}");
    }
    let orders = value(&text, r#"salla_sync_rows_landed_total{resource="orders"}"#);
    assert!(orders >= 300.0, "{orders}");
    let rejected: f64 = text
        .lines()
        .filter(|line| line.starts_with("salla_sync_rows_rejected_total{resource=\"orders\""))
        .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
        .sum();
    assert!(rejected >= 1.0, "{text}");
    let exactly = [
        (r#"salla_sync_runs{state="COMPLETED"}"#, 1.0),
        (r#"salla_sync_runs{state="FAILED"}"#, 0.0),
        (
            r#"salla_sync_queue_messages{queue="notifications",state="ready"}"#,
            1.0,
        ),
        (
            r#"salla_sync_queue_messages{queue="notifications",state="delayed"}"#,
            1.0,
        ),
        (
            r#"salla_sync_queue_messages{queue="historical-sync",state="dead"}"#,
            0.0,
        ),
        ("salla_sync_run_idle_seconds", 0.0),
        ("salla_sync_database_up", 1.0),
    ];
    for (series, expected) in exactly {
        assert_eq!(value(&text, series), expected, "{series}");
    }
    // The growth of what is not there from the beginning would not be seen.
    let not_yet = r#"salla_sync_runs_ended_total{state="FAILED",failure="token_rejected"}"#;
    assert!(value(&text, not_yet) >= 0.0);
    assert!(!text.contains(&merchant.to_string()), "a merchant is named");
    everything_is_declared(&text);

    observer.stop.stop();
    observer.served.await.unwrap();
    MonitoringServer::bind(observer.address)
        .await
        .expect("the address is free again");
}

fn everything_is_declared(text: &str) {
    for line in text.lines().filter(|line| line.starts_with("# ")) {
        let name = line.split(' ').nth(2).unwrap();
        assert!(
            metrics::ALL.iter().any(|metric| metric.name == name),
            "{line}"
        );
    }
    for metric in metrics::ALL {
        let help = format!("# HELP {} {}", metric.name, metric.help);
        let is_used = text.contains(&format!("\n{}", metric.name));
        assert!(!is_used || text.contains(&help), "{help}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_follows_the_database_and_life_does_not() {
    let service = TestService::start(small(1)).await;
    let database = &service.open.database;
    let observer = Observer::of(database).await;
    assert_eq!(observer.get("/readyz").await, (200, "ready\n".to_owned()));
    let forget = "DELETE FROM salla_sync._sqlx_migrations
        WHERE version = (SELECT max(version) FROM salla_sync._sqlx_migrations)";
    sqlx::query(forget).execute(database.pool()).await.unwrap();
    // What was read a moment ago still serves.
    while observer.get("/readyz").await.0 == 200 {
        a_moment().await;
    }
    let (status, problem) = observer.get("/readyz").await;
    assert_eq!(status, 503);
    assert!(problem.contains("salla-sync migrate"), "{problem}");

    take_away(&service.database).await;
    while observer
        .get("/readyz")
        .await
        .1
        .contains("salla-sync migrate")
    {
        a_moment().await;
    }
    assert_eq!(observer.get("/readyz").await.0, 503);
    assert_eq!(observer.get("/healthz").await, (200, "alive\n".to_owned()));
    let text = observer.metrics().await;
    assert_eq!(value(&text, "salla_sync_database_up"), 0.0);
    assert!(value(&text, r#"salla_sync_runs{state="FAILED"}"#).is_nan());
    assert_eq!(observer.get("/elsewhere").await.0, 404);
}

/// The database accepts no connections any more.
async fn take_away(database: &TestDatabase) {
    let options = database.pool().connect_options();
    let name = options.get_database().unwrap();
    let mut url = url::Url::parse(&database.url()).unwrap();
    url.set_path("postgres");
    let mut server = sqlx::PgConnection::connect(url.as_str()).await.unwrap();
    for sql in [
        format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false"),
        format!(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
             WHERE datname = '{name}'"
        ),
    ] {
        server.execute(AssertSqlSafe(sql)).await.unwrap();
    }
}

/// A probe that gets no response has a healthy worker restarted.
#[tokio::test(flavor = "multi_thread")]
async fn requests_that_never_end_and_imports_that_take_all_connections_hide_nothing() {
    let service = TestService::start(small(1)).await;
    let database = &service.open.database;
    let observer = Observer::of(database).await;
    let mut half = Vec::new();
    for number in 0..1_000 {
        let mut stream = TcpStream::connect(observer.address).await.unwrap();
        let begun = match number % 3 {
            0 => "",
            1 => "GET /metrics HTTP/1.1\r\n",
            _ => "GET /healthz HTTP/1.1\r\nHost: worker\r\nX: ",
        };
        // The oldest ones are closed meanwhile.
        drop(stream.write_all(begun.as_bytes()).await);
        half.push(stream);
    }
    let mut busy = Vec::new();
    for _ in 0..database.pool().options().get_max_connections() {
        busy.push(database.pool().acquire().await.unwrap());
    }
    let limit = Duration::from_secs(10);
    let look = async {
        assert_eq!(observer.get("/healthz").await, (200, "alive\n".to_owned()));
        assert_eq!(observer.get("/readyz").await.0, 200);
        let text = observer.metrics().await;
        assert_eq!(value(&text, "salla_sync_database_up"), 1.0);
    };
    tokio::time::timeout(limit, look)
        .await
        .expect("it responds immediately");
    drop(half);
    observer.stop.stop();
    observer.served.await.unwrap();
}

/// Each scrape counts all messages, which may be many.
#[tokio::test(flavor = "multi_thread")]
async fn many_who_ask_at_once_cost_the_database_one_reading() {
    let service = TestService::start(small(1)).await;
    let database = &service.open.database;
    let observer = Observer::of(database).await;
    let queue = database.queue(QueueName::Notifications);
    let series = r#"salla_sync_queue_messages{queue="notifications",state="ready"}"#;
    let before = value(&observer.metrics().await, series);
    queue.send("{}", Duration::ZERO).await.unwrap();
    let scrapes = (0..24).map(|_| observer.metrics());
    for text in futures::future::join_all(scrapes).await {
        assert_eq!(value(&text, series), before, "the reading of a moment ago");
    }
    // The next reading has it.
    while value(&observer.metrics().await, series) == before {
        a_moment().await;
    }
}

#[tokio::test]
async fn an_address_that_is_taken_is_named_with_what_to_do() {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let first = MonitoringServer::bind(any).await.unwrap();
    let error = MonitoringServer::bind(first.address())
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains(&first.address().to_string()), "{error}");
    assert!(error.contains("another program listens there"), "{error}");
}
