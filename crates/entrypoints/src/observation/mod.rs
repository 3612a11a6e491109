//! What a worker shows of itself while it works: `/metrics` for Prometheus, `/healthz`
//! for whoever restarts it, `/readyz` for whoever sends it work.
//!
//! Nothing here changes anything, and nothing tells of a merchant. The address is for
//! the inside of a network: there is neither TLS nor a password.

mod scrape;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use database::{Database, SchemaState};
use importer::metrics;
use importer::ports::clock::{Clock, within};
use importer::ports::queue::QueueName;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;

use crate::exit::UsageError;

/// Who asks gives up after ten seconds, as Prometheus does by default.
const PATIENCE: Duration = Duration::from_secs(5);
/// Measurements wait in memory for the next scrape, which may never come.
const UPKEEP: Duration = Duration::from_secs(5);

const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What the numbers of this process are read from.
#[derive(Clone)]
pub struct Recorded(PrometheusHandle);

/// Begins to count, for the whole process and once in its life. Before that, counting
/// costs next to nothing and is lost.
pub fn record_metrics() -> anyhow::Result<Recorded> {
    let mut builder = PrometheusBuilder::new();
    for metric in metrics::ALL {
        if metric.kind == metrics::Kind::Histogram {
            let matcher = Matcher::Full(metric.name.to_owned());
            builder = builder.set_buckets_for_metric(matcher, metric.buckets)?;
        }
    }
    let handle = builder
        .install_recorder()
        .context("metrics are recorded already")?;
    metrics::describe(env!("CARGO_PKG_VERSION"));
    Ok(Recorded(handle))
}

/// An address on which somebody may listen, taken but not served yet.
#[derive(Debug)]
pub struct Observation {
    listener: TcpListener,
    address: SocketAddr,
}

impl Observation {
    /// Takes the address; so early that a worker that cannot have it does not begin.
    pub async fn bind(address: SocketAddr) -> Result<Self, UsageError> {
        let failed = |error: std::io::Error| {
            let hint = match error.kind() {
                std::io::ErrorKind::AddrInUse => {
                    "; another program listens there, perhaps another worker: give this one an \
                     address of its own"
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

    /// The address that was taken, with the port if any was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `stop` returns, and then what is being asked.
    pub async fn serve(
        self,
        recorded: Recorded,
        database: Database,
        clock: Arc<dyn Clock>,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> anyhow::Result<()> {
        tracing::info!(address = %self.address, "observed under /metrics, /healthz and /readyz");
        let observed = Observed {
            recorded: recorded.0.clone(),
            database,
            clock: clock.clone(),
        };
        let served = axum::serve(self.listener, router(observed)).with_graceful_shutdown(stop);
        tokio::select! {
            served = served => served.context("the address of /metrics is no longer served"),
            never = keep_up(&recorded.0, clock.as_ref()) => match never {},
        }
    }
}

async fn keep_up(recorded: &PrometheusHandle, clock: &dyn Clock) -> std::convert::Infallible {
    loop {
        clock.sleep(UPKEEP).await;
        recorded.run_upkeep();
    }
}

#[derive(Clone)]
struct Observed {
    recorded: PrometheusHandle,
    database: Database,
    clock: Arc<dyn Clock>,
}

fn router(observed: Observed) -> Router {
    Router::new()
        .route("/metrics", get(show_metrics))
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .with_state(observed)
}

async fn show_metrics(State(observed): State<Observed>) -> impl IntoResponse {
    let Observed {
        recorded,
        database,
        clock,
    } = observed;
    let snapshot = within(clock.as_ref(), PATIENCE, scrape::snapshot(&database)).await;
    match snapshot {
        Some(Ok(snapshot)) => metrics::show(Some(&snapshot), &QueueName::ALL),
        Some(Err(failure)) => {
            tracing::warn!(%failure, "runs and queues could not be read for /metrics");
            metrics::show(None, &QueueName::ALL);
        }
        None => {
            tracing::warn!("the database did not answer /metrics in time");
            metrics::show(None, &QueueName::ALL);
        }
    }
    ([(header::CONTENT_TYPE, PROMETHEUS_TEXT)], recorded.render())
}

async fn ready(State(observed): State<Observed>) -> (StatusCode, String) {
    let asked = observed.database.schema_state();
    let state = within(observed.clock.as_ref(), PATIENCE, asked).await;
    let problem = match state {
        Some(Ok(SchemaState::UpToDate)) => return (StatusCode::OK, "ready\n".to_owned()),
        Some(Ok(SchemaState::Behind { migrations })) => {
            format!("{migrations} migrations are missing: run `salla-sync migrate`")
        }
        Some(Ok(SchemaState::Unknown)) => "a newer version has upgraded the database".to_owned(),
        Some(Err(failure)) => failure.to_string(),
        None => "the database does not answer".to_owned(),
    };
    (StatusCode::SERVICE_UNAVAILABLE, format!("{problem}\n"))
}
