//! The program `salla-sync`: configuration, wiring and commands.
//!
//! `main` is one call to [`run`]. The rest is a library, so that tests can wire a service as the
//! program does.
//!
//! - [`cli`] defines commands, flags and help; [`exit`] the exit codes.
//! - [`config`] reads settings from the environment and reports all problems together.
//! - [`wiring`] is the only place where adapters meet ports.
//! - [`commands`] has one file for each command, [`display`] prints results.
//!
//! ```no_run
//! // The whole of `main`:
//! let code: std::process::ExitCode = entrypoints::run().into();
//! # let _ = code;
//! ```

pub mod aws_cost;
pub mod cli;
pub mod commands;
pub mod config;
pub mod display;
pub mod embedded;
pub mod exit;
#[cfg(feature = "aws")]
pub mod lambda;
pub mod memory;
pub mod monitoring;
pub mod secret_files;
pub mod secrets;
pub mod telemetry;
#[cfg(feature = "demo")]
pub mod truth_check;
pub mod wiring;

use std::io::Write as _;
use std::time::Duration;

use clap::Parser as _;
use salla_client::tokens::wait_for_refreshes;

use cli::{Cli, Command};
use exit::{Exit, Reported, UsageError};

/// A token that was presented is answered within half a minute, and storing the new pair
/// takes no time where the database is there.
const REFRESH_GRACE: Duration = Duration::from_secs(40);

/// Runs the command line and says how the process should end.
pub fn run() -> Exit {
    let dumps = memory::forbid_dumps();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(no_command) => return help(&no_command),
    };
    let result = telemetry::install(&cli.global.log, cli.global.log_format).and_then(|traces| {
        if let Err(error) = dumps {
            tracing::warn!(%error, "a crash could write this process's memory, tokens included, to a file");
        }
        // The runtime is gone after this line, and with it all that was in a span.
        let result = tokio::runtime::Runtime::new()?.block_on(async {
            secrets::load().await?;
            let result = dispatch(cli).await;
            finish_refreshes().await;
            result.and_then(|exit| secrets::check().map(|()| exit))
        });
        traces.flush();
        result
    });
    let exit = result.unwrap_or_else(|error| {
        if let Some(Reported(exit)) = error.downcast_ref() {
            return *exit;
        }
        display::error(&error);
        match error.downcast_ref::<UsageError>() {
            Some(_) => Exit::Usage,
            None => Exit::Failed,
        }
    });
    and_the_result_is_there(exit)
}

/// Shows the requested help or version, or what is wrong with the command line.
fn help(asked: &clap::Error) -> Exit {
    if let Err(error) = asked.print().and_then(|()| std::io::stdout().flush()) {
        display::result_not_written(&error);
    }
    let exit = match asked.use_stderr() {
        true => Exit::Usage,
        false => Exit::Done,
    };
    and_the_result_is_there(exit)
}

/// A command whose result is not where it was to be has not done its work.
fn and_the_result_is_there(exit: Exit) -> Exit {
    match exit {
        Exit::Done if display::is_result_lost() => Exit::Failed,
        exit => exit,
    }
}

async fn finish_refreshes() {
    let over = tokio::time::timeout(REFRESH_GRACE, wait_for_refreshes()).await;
    if over.is_err() {
        tracing::error!(
            critical = true,
            "new tokens of a shop could not be stored before the process ended; the shop may have \
             to be connected again"
        );
    }
}

async fn dispatch(cli: Cli) -> anyhow::Result<Exit> {
    let database = &cli.global.database;
    match cli.command {
        #[cfg(feature = "demo")]
        Command::Demo(arguments) => commands::demo::run(arguments, database).await,
        Command::Import(arguments) => commands::import::run(arguments, database).await,
        Command::Extend(arguments) => commands::extend::run(arguments, database).await,
        Command::Resync(arguments) => commands::resync::run(arguments, database).await,
        Command::Plan(arguments) => commands::plan::run(arguments).await,
        Command::Status(arguments) => commands::status::run(arguments, database).await,
        Command::Rejected(arguments) => commands::rejected::run(arguments, database).await,
        Command::Trace(arguments) => commands::trace::run(arguments, database).await,
        Command::Verify(arguments) => commands::verify::run(arguments, database).await,
        Command::Probe(arguments) => commands::probe::run(arguments).await,
        Command::Remap(arguments) => commands::remap::run(arguments, database).await,
        Command::Connect(arguments) => commands::connect::run(arguments, database).await,
        Command::Work(arguments) => commands::work::run(arguments, database).await,
        Command::Serve(arguments) => commands::serve::run(arguments, database).await,
        Command::Runs(command) => commands::runs::run(command, database).await,
        Command::Cdc(command) => commands::cdc::run(command, database).await,
        Command::Queue(command) => commands::queue::run(command, database).await,
        Command::Connections(command) => commands::connections::run(command, database).await,
        Command::Notifications(command) => commands::notifications::run(command, database).await,
        Command::Keys(command) => commands::keys::run(command, database).await,
        Command::Tokens(command) => commands::tokens::run(command, database).await,
        Command::Sessions(command) => commands::sessions::run(command, database).await,
        Command::Audit(command) => commands::audit::run(command, database).await,
        Command::Export(arguments) => commands::privacy::export(arguments, database).await,
        Command::Forget(arguments) => commands::privacy::forget(arguments, database).await,
        Command::Roles(command) => commands::roles::run(command, database).await,
        Command::Migrate(arguments) => commands::migrate::run(arguments, database).await,
        Command::Doctor(arguments) => commands::doctor::run(arguments, database).await,
        Command::Psql(arguments) => commands::psql::run(arguments, database).await,
    }
}
