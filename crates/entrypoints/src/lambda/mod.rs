//! The program as a Lambda function.
//!
//! The same worker, sweeper and web server as elsewhere, wired once when the process starts. The
//! difference: an invocation is ended at its deadline, and between two the process is frozen. So a
//! run stops at a checkpoint before the deadline and is continued by a message, and nothing is left
//! to be done in the background.

mod doors;
mod turns;

use std::sync::Arc;

use clap::Parser as _;
use importer::ports::clock::{Clock, SystemClock};

use self::turns::Turns;
use crate::cli::{Cli, Command, DatabaseArgs, LogFormat, ServeArgs};
use crate::config::{AppSettings, QUEUE, QueuePlace, SettingsReader, environment};
use crate::exit::{Exit, UsageError};
use crate::wiring::web::WebParts;
use crate::wiring::{self, PoolSize, service};
use crate::{display, memory, secrets, telemetry};

/// One import, what is beside it, and a request.
const CONNECTIONS: u32 = 6;

/// Serves invocations until Lambda ends the process.
pub fn run() -> Exit {
    let dumps = memory::forbid_dumps();
    let served = options().and_then(|(filter, arguments)| {
        telemetry::install(&filter, LogFormat::Json)?;
        if let Err(error) = dumps {
            tracing::warn!(%error, "a crash could write this process's memory, tokens included, to a file");
        }
        tokio::runtime::Runtime::new()?.block_on(serve(arguments))
    });
    match served {
        Ok(()) => Exit::Done,
        Err(error) => {
            display::error(&error);
            Exit::Failed
        }
    }
}

/// A function has no command line, so these are what the environment and the defaults say.
fn options() -> anyhow::Result<(String, ServeArgs)> {
    let cli = Cli::try_parse_from(["lambda", "serve"])?;
    // The other output of a function is its log group.
    let filter = match environment("SALLA_SYNC_LOG") {
        Some(_) => cli.global.log,
        None => "info".to_owned(),
    };
    match cli.command {
        Command::Serve(arguments) => Ok((filter, arguments)),
        _ => Err(UsageError::one("these are not settings of a server").into()),
    }
}

async fn serve(arguments: ServeArgs) -> anyhow::Result<()> {
    secrets::load().await?;
    let mut reader = SettingsReader::new(&environment);
    let of_database = DatabaseArgs {
        embedded: false,
        data_dir: None,
    };
    let database = reader.database(&of_database);
    let salla = reader.app();
    let credentials = salla.as_ref().map(AppSettings::credentials);
    if matches!(credentials, Some(None)) {
        reader.app_keys_are_missing();
    }
    let channels = reader.channels();
    let retention = reader.retention();
    let web = reader.web();
    let queue = reader.queue();
    if queue == QueuePlace::Database {
        reader.problem(format!(
            "{QUEUE} is not set; a function works on messages of SQS: set it to sqs://PREFIX"
        ));
    }
    let key = reader.encryption_key();
    if key.is_none() {
        reader.key_is_missing();
    }
    let given = database.zip(salla).zip(credentials.flatten());
    let ((database, salla), credentials) = reader.finish(given)?;

    let clock: Arc<dyn Clock> = Arc::new(SystemClock::real());
    let pool = PoolSize::for_worker(CONNECTIONS);
    let open = wiring::open_database_with(&database, key, clock.clone(), pool).await?;
    let open = open.with_queues(&queue).await?;
    open.check_ready_for_import(clock.as_ref()).await?;
    let settings = service::ServiceSettings {
        salla: salla.clone(),
        jobs: 1,
        keep_fresh: arguments.keep_fresh,
        import: wiring::import_settings(arguments.budget_share),
        channels: channels.clone(),
        retention,
    };
    let service = service::Service::new(&open, settings, clock.clone())?;
    let parts = WebParts {
        salla,
        credentials,
        web,
        channels,
        connect: importer::connect::ConnectSettings {
            import: arguments.import_on_connect.depth(),
            may_write: arguments.allow_write_scopes,
            claimed_only: arguments.claimed_only,
        },
    };
    let turns = Turns::new(Arc::new(open), service, parts, clock.clone()).await?;
    tokio::select! {
        served = aws::lambda::run(Arc::new(turns), clock) => Ok(served?),
        // Its invocation is that of a process that has died.
        () = secrets::outdated() => {
            crate::finish_refreshes().await;
            secrets::check()
        }
    }
}
