//! `salla-sync work`: a worker that imports what was started, until it is stopped.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use importer::ports::clock::{Clock, SystemClock};
use importer::stop::{StopHandle, stop_pair};
use tokio::task::JoinHandle;

use crate::cli::{DatabaseArgs, WorkArgs};
use crate::commands::import::stop_on_signal;
use crate::config::{DatabaseSettings, SettingsReader, environment};
use crate::display::inform;
use crate::exit::Exit;
use crate::monitoring::{MonitoringServer, install_metrics};
use crate::wiring::{self, OpenDatabase, PoolSize, service};

pub async fn run(arguments: WorkArgs, database: &DatabaseArgs) -> anyhow::Result<Exit> {
    let mut reader = SettingsReader::new(&environment);
    let settings = reader.database(database);
    let salla = reader.app();
    if salla.as_ref().is_some_and(|salla| salla.keys.is_none()) {
        reader.app_keys_are_missing();
    }
    let channels = reader.channels();
    let retention = reader.retention();
    let queue = reader.queue();
    let key = reader.encryption_key();
    let is_embedded = matches!(settings, Some(DatabaseSettings::Embedded { .. }));
    if key.is_none() && !is_embedded {
        reader.key_is_missing();
    }
    let (settings, salla) = reader.finish(settings.zip(salla))?;

    let clock: Arc<dyn Clock> = Arc::new(SystemClock::real());
    let pool = PoolSize::for_worker(arguments.connections);
    let open = wiring::open_database_with(&settings, key, clock.clone(), pool).await?;
    let open = open.with_queues(&queue).await?;
    open.check_ready_for_import(clock.as_ref()).await?;
    if let Err(failure) = open.database.require_writable().await {
        tracing::warn!(%failure, "imports wait until the database accepts writes");
    }
    let stop = stop_on_signal();
    let observing = match arguments.listen {
        Some(address) => {
            Some(start_monitoring(address, &open, arguments.keep_fresh, clock.clone()).await?)
        }
        None => None,
    };
    let service = service::Service::new(
        &open,
        service::ServiceSettings {
            salla,
            jobs: usize::from(arguments.jobs),
            keep_fresh: arguments.keep_fresh,
            import: wiring::import_settings(arguments.budget_share),
            channels,
            retention,
        },
        clock,
    )?;
    inform(format!(
        "Running up to {} imports at the same time, from {}. Ctrl-C or SIGTERM stops.",
        arguments.jobs,
        settings.describe()
    ));
    service.run(&stop).await;
    // Until here the progress of the release could be read.
    if let Some((stopped, served)) = observing {
        stopped.stop();
        served.await?;
    }
    Ok(Exit::Done)
}

type MonitoringTask = (StopHandle, JoinHandle<()>);

async fn start_monitoring(
    address: SocketAddr,
    open: &OpenDatabase,
    keep_fresh: Option<Duration>,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<MonitoringTask> {
    let monitoring = MonitoringServer::bind(address).await?;
    let recorded = install_metrics()?;
    let (handle, stopped) = stop_pair();
    let queues = open.queues.clone();
    let served = tokio::spawn(async move {
        let stopped = async move { stopped.requested().await };
        monitoring
            .serve(recorded, &queues, keep_fresh, clock, stopped)
            .await;
    });
    Ok((handle, served))
}
