//! `salla-sync migrate`: creates or upgrades the tables.

use std::sync::Arc;

use database::SchemaState;
use importer::ports::clock::SystemClock;

use crate::cli::{DatabaseArgs, MigrateArgs};
use crate::config::{Reader, environment};
use crate::display::line;
use crate::exit::{Exit, UsageError};
use crate::wiring;

pub async fn run(arguments: MigrateArgs, database: &DatabaseArgs) -> anyhow::Result<Exit> {
    let mut reader = Reader::new(&environment);
    let settings = reader.database(database);
    let key = reader.encryption_key();
    let settings = reader.finish(settings)?;
    let open = wiring::open_database(&settings, key, Arc::new(SystemClock::real())).await?;
    let place = settings.describe();
    match open.database.schema_state().await? {
        SchemaState::UpToDate => line(format!("{place}: the tables are up to date.")),
        SchemaState::Behind { migrations } if arguments.dry_run => {
            line(format!(
                "{place}: {migrations} migration(s) would be applied."
            ));
        }
        SchemaState::Behind { migrations } => {
            open.database.migrate().await?;
            line(format!("{place}: {migrations} migration(s) applied."));
        }
        SchemaState::Unknown => {
            let problem =
                "a newer version of salla-sync has upgraded this database; use that version";
            return Err(UsageError::one(problem).into());
        }
    }
    Ok(Exit::Done)
}
