//! `salla-sync work`: a worker that imports what was started, until it is told to stop.

use std::sync::Arc;

use importer::ports::clock::{Clock, SystemClock};

use crate::cli::{DatabaseArgs, WorkArgs};
use crate::commands::import::stop_on_signal;
use crate::config::{DatabaseSettings, Reader, environment};
use crate::display::note;
use crate::exit::Exit;
use crate::wiring::{self, Pool, service};

pub async fn run(arguments: WorkArgs, database: &DatabaseArgs) -> anyhow::Result<Exit> {
    let mut reader = Reader::new(&environment);
    let settings = reader.database(database);
    let salla = reader.app();
    let channels = reader.channels();
    let key = reader.encryption_key();
    let is_embedded = matches!(settings, Some(DatabaseSettings::Embedded { .. }));
    if key.is_none() && !is_embedded {
        reader.key_is_missing();
    }
    let settings = reader.finish(settings)?;

    let clock: Arc<dyn Clock> = Arc::new(SystemClock::real());
    let pool = Pool::of_a_worker(arguments.connections);
    let open = wiring::open_database_with(&settings, key, clock.clone(), pool).await?;
    open.require_current_schema().await?;
    let service = service::Service::new(
        &open,
        service::ServiceSettings {
            salla,
            jobs: usize::from(arguments.jobs),
            import: wiring::import_settings(arguments.budget_share),
            channels,
        },
        clock,
    )?;
    note(format!(
        "Working on up to {} imports at once, from {}. Ctrl-C or SIGTERM stops.",
        arguments.jobs,
        settings.describe()
    ));
    service.run(&stop_on_signal()).await;
    Ok(Exit::Done)
}
