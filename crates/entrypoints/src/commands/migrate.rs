//! `salla-sync migrate`: creates or upgrades the tables.

use std::sync::Arc;

use database::SchemaState;
use importer::ports::clock::SystemClock;

use crate::cli::{DatabaseArgs, MigrateArgs};
use crate::config::{SettingsReader, environment};
use crate::display::{line, note};
use crate::exit::{Exit, UsageError};
use crate::wiring;

pub async fn run(arguments: MigrateArgs, database: &DatabaseArgs) -> anyhow::Result<Exit> {
    let mut reader = SettingsReader::new(&environment);
    let settings = reader.database(database);
    let key = reader.encryption_key();
    let settings = reader.finish(settings)?;
    let open = wiring::open_database(&settings, key, Arc::new(SystemClock::real())).await?;
    let place = settings.describe();
    match open.database.schema_state().await? {
        SchemaState::UpToDate => line(format!("{place}: the tables are up to date.")),
        SchemaState::Behind { .. } if arguments.dry_run => {
            let migrations = count(open.database.check_migration().await?);
            line(format!("{place}: {migrations} would be applied."));
        }
        SchemaState::Behind { migrations } => {
            let report = |text: &str| note(format!("salla-sync: {text}"));
            open.database.migrate_reporting(&report).await?;
            open.database.renew_policies().await?;
            line(format!("{place}: {} applied.", count(migrations)));
        }
        SchemaState::Unknown => {
            let problem =
                "a newer version of salla-sync has upgraded this database; use that version";
            return Err(UsageError::one(problem).into());
        }
    }
    Ok(Exit::Done)
}

fn count(migrations: usize) -> String {
    match migrations {
        1 => "1 migration".to_owned(),
        more => format!("{more} migrations"),
    }
}
