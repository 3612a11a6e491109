//! What a worker shows of itself while it works: `/metrics` for Prometheus, `/healthz`
//! for restarts, `/readyz` for load balancers.
//!
//! Nothing here changes anything, and nothing names a merchant. The address is for
//! the inside of a network: there is neither TLS nor a password.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use async_trait::async_trait;
use axum::http::StatusCode;
use database::{Database, SchemaState};
use domain::failure::Failure;
use importer::metrics::{self, Snapshot};
use importer::ports::clock::{Clock, with_timeout};
use importer::ports::queue::QueueName;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use web::Observed;
use web::server::Limits;

use crate::exit::UsageError;
use crate::wiring::Queues;

/// Scrapers time out after ten seconds, as Prometheus does by default.
const DATABASE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one reading serves all clients.
const NUMBERS_LAST: Duration = Duration::from_secs(5);
const READINESS_LASTS: Duration = Duration::from_secs(1);
/// To the database: one for the numbers, and one to say whether it is ready.
const CONNECTIONS: u32 = 2;
/// Measurements wait in memory for the next scrape, which may never come.
const UPKEEP: Duration = Duration::from_secs(5);

/// What the numbers of this process are read from.
#[derive(Clone)]
pub struct MetricsHandle(PrometheusHandle);

/// Begins to count, for the whole process and once in its life. Before that, counting
/// costs next to nothing and is lost.
pub fn install_metrics() -> anyhow::Result<MetricsHandle> {
    let mut builder = PrometheusBuilder::new();
    for metric in metrics::ALL {
        if metric.kind == metrics::MetricKind::Histogram {
            let matcher = Matcher::Full(metric.name.to_owned());
            builder = builder.set_buckets_for_metric(matcher, metric.buckets)?;
        }
    }
    let handle = builder
        .install_recorder()
        .context("metrics are recorded already")?;
    metrics::describe(env!("CARGO_PKG_VERSION"));
    Ok(MetricsHandle(handle))
}

/// A free address, bound but not served yet.
#[derive(Debug)]
pub struct MonitoringServer {
    listener: TcpListener,
    address: SocketAddr,
}

impl MonitoringServer {
    /// Takes the address; so early that a worker that cannot have it does not begin.
    pub async fn bind(address: SocketAddr) -> Result<Self, UsageError> {
        let failed = |error: std::io::Error| {
            let hint = match error.kind() {
                std::io::ErrorKind::AddrInUse => {
                    "; another program listens there, perhaps another worker: give this one \
                     another address"
                }
                std::io::ErrorKind::AddrNotAvailable => "; this machine does not have that address",
                std::io::ErrorKind::PermissionDenied => "; ports below 1024 are for root",
                _ => "",
            };
            UsageError::one(format!("cannot listen on {address}: {error}{hint}"))
        };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    /// The bound address, with the actual port if port 0 was requested.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` returns, and then the open requests.
    pub async fn serve(
        self,
        metrics_handle: MetricsHandle,
        queues: &Queues,
        keep_fresh: Option<Duration>,
        clock: Arc<dyn Clock>,
        stop: impl Future<Output = ()> + Send + 'static,
    ) {
        tracing::info!(address = %self.address, "observed under /metrics, /livez and /readyz");
        let monitor =
            Arc::new(ProcessMonitor::new(metrics_handle, queues, clock).keeping_fresh(keep_fresh));
        let router = web::observed::routes(monitor.clone());
        let router = router.fallback(async || StatusCode::NOT_FOUND);
        self.serve_router(router, Limits::OBSERVED, &monitor, stop)
            .await;
    }

    /// The same with more behind the address than this module has.
    pub async fn serve_router(
        self,
        router: axum::Router,
        limits: Limits,
        monitor: &ProcessMonitor,
        stop: impl Future<Output = ()> + Send + 'static,
    ) {
        let clock = monitor.clock.as_ref();
        let served = web::server::serve(self.listener, limits, clock, router, stop);
        tokio::select! {
            () = served => {}
            never = run_upkeep(&monitor.metrics_handle, clock) => match never {},
        }
    }
}

async fn run_upkeep(
    metrics_handle: &PrometheusHandle,
    clock: &dyn Clock,
) -> std::convert::Infallible {
    loop {
        clock.sleep(UPKEEP).await;
        metrics_handle.run_upkeep();
    }
}

/// What is asked, and what has been read to respond to it.
pub struct ProcessMonitor {
    metrics_handle: PrometheusHandle,
    database: Database,
    queues: Queues,
    clock: Arc<dyn Clock>,
    keep_fresh: Option<Duration>,
    numbers: Cached<Option<Snapshot>>,
    readiness: Cached<Result<(), String>>,
}

/// The last reading from the database. A client that requests it meanwhile waits for the same
/// reading, so any number of clients costs the database one.
struct Cached<T>(Mutex<Option<(Duration, T)>>);

impl<T: Clone> Cached<T> {
    fn new() -> Self {
        Self(Mutex::new(None))
    }

    async fn get(&self, clock: &dyn Clock, lasts: Duration, read: impl Future<Output = T>) -> T {
        let mut cached = self.0.lock().await;
        if let Some((at, value)) = &*cached
            && clock.monotonic().saturating_sub(*at) < lasts
        {
            return value.clone();
        }
        let value = read.await;
        *cached = Some((clock.monotonic(), value.clone()));
        value
    }
}

#[async_trait]
impl Observed for ProcessMonitor {
    async fn ready(&self) -> Result<(), String> {
        let clock = self.clock.as_ref();
        let read = self.read_readiness();
        self.readiness.get(clock, READINESS_LASTS, read).await
    }

    async fn metrics(&self) -> String {
        let clock = self.clock.as_ref();
        let read = self.read_numbers();
        let snapshot = self.numbers.get(clock, NUMBERS_LAST, read).await;
        metrics::update_gauges(snapshot.as_ref(), &QueueName::ALL);
        self.metrics_handle.render()
    }
}

impl ProcessMonitor {
    pub fn new(metrics_handle: MetricsHandle, queues: &Queues, clock: Arc<dyn Clock>) -> Self {
        let database = queues.database().beside(CONNECTIONS);
        Self {
            metrics_handle: metrics_handle.0,
            queues: queues.over(&database),
            database,
            clock,
            keep_fresh: None,
            numbers: Cached::new(),
            readiness: Cached::new(),
        }
    }

    /// How often this process has each shop brought up to date, if it does.
    pub fn keeping_fresh(mut self, every: Option<Duration>) -> Self {
        if let Some(every) = every {
            metrics::keeps_fresh(every);
        }
        self.keep_fresh = every;
        self
    }

    async fn read_numbers(&self) -> Option<Snapshot> {
        let read = snapshot(&self.database, &self.queues, self.keep_fresh);
        match with_timeout(self.clock.as_ref(), DATABASE_TIMEOUT, read).await {
            Some(Ok(snapshot)) => return Some(snapshot),
            Some(Err(failure)) => {
                tracing::warn!(%failure, "runs and queues could not be read for /metrics");
            }
            None => tracing::warn!("the database did not respond to /metrics in time"),
        }
        None
    }

    async fn read_readiness(&self) -> Result<(), String> {
        let asked = async {
            let state = self.database.schema_state().await?;
            if state == SchemaState::UpToDate {
                self.database.queue_responds().await?;
            }
            Ok::<_, Failure>(state)
        };
        match with_timeout(self.clock.as_ref(), DATABASE_TIMEOUT, asked).await {
            Some(Ok(SchemaState::UpToDate)) => Ok(()),
            Some(Ok(SchemaState::Behind { migrations })) => Err(format!(
                "{migrations} migrations are missing: run `salla-sync migrate`"
            )),
            Some(Ok(SchemaState::Unknown)) => {
                Err("a newer version has upgraded the database".to_owned())
            }
            Some(Err(failure)) => Err(failure.to_string()),
            None => Err("the database does not respond".to_owned()),
        }
    }
}

/// One connection after the other: a scrape must not take those that imports need.
async fn snapshot(
    database: &Database,
    queues: &Queues,
    keep_fresh: Option<Duration>,
) -> Result<Snapshot, Failure> {
    let states = database.run_states().await?;
    let freshness = database.freshness(keep_fresh).await?;
    let mut snapshot = Snapshot {
        runs: states.counts,
        idle: states.idle,
        shop_age: freshness.oldest,
        shops_due: freshness.due,
        queues: Vec::with_capacity(QueueName::ALL.len()),
    };
    for name in QueueName::ALL {
        let depth = queues.of(name).depth().await?;
        snapshot.queues.push((name, depth));
    }
    Ok(snapshot)
}
