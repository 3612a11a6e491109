//! One file per command.

pub mod audit;
pub mod cdc;
pub mod connect;
pub mod connections;
#[cfg(feature = "demo")]
pub mod demo;
pub mod doctor;
pub mod extend;
pub mod import;
pub mod keys;
pub mod migrate;
pub mod notifications;
pub mod plan;
pub mod privacy;
pub mod probe;
pub mod psql;
pub mod queue;
pub mod rejected;
pub mod remap;
pub mod resync;
pub mod roles;
pub mod runs;
pub mod serve;
pub mod sessions;
pub mod status;
pub mod tokens;
pub mod trace;
pub mod verify;
pub mod work;

use std::sync::Arc;

use importer::ports::clock::SystemClock;
use importer::ports::merchants::{MerchantRecord, MerchantRef, Merchants as _};
use secrecy::SecretString;

use crate::cli::DatabaseArgs;
use crate::config::{DatabaseSettings, QueuePlace, SettingsReader, environment};
use crate::exit::UsageError;
use crate::wiring::{OpenDatabase, open_database};

/// The database for a command that only reads: no key is needed, but tables that this
/// version knows.
async fn open_for_reading(arguments: &DatabaseArgs) -> anyhow::Result<OpenDatabase> {
    open(arguments, |_, _| None).await
}

/// As [`open_for_reading`], with the key if there is one: customers who were forgotten are known
/// again by it.
async fn open_to_compare(arguments: &DatabaseArgs) -> anyhow::Result<OpenDatabase> {
    open(arguments, |reader, _| reader.encryption_key()).await
}

/// For what cannot be done without the key.
async fn open_with_key(arguments: &DatabaseArgs) -> anyhow::Result<OpenDatabase> {
    let key = |reader: &mut SettingsReader<'_>, is_embedded: bool| {
        let key = reader.encryption_key();
        if key.is_none() && !is_embedded {
            reader.key_is_missing();
        }
        key
    };
    open(arguments, key).await
}

/// `key` gets to know whether the database is the embedded one, which has its own.
async fn open(
    arguments: &DatabaseArgs,
    key: impl FnOnce(&mut SettingsReader<'_>, bool) -> Option<SecretString>,
) -> anyhow::Result<OpenDatabase> {
    let mut reader = SettingsReader::new(&environment);
    let settings = reader.database(arguments);
    let is_embedded = matches!(settings, Some(DatabaseSettings::Embedded { .. }));
    let key = key(&mut reader, is_embedded);
    let settings = reader.finish(settings)?;
    let open = open_database(&settings, key, Arc::new(SystemClock::real())).await?;
    open.check_schema().await?;
    Ok(open)
}

/// The shop with this number of Salla's.
async fn known_shop(open: &OpenDatabase, salla_id: i64) -> anyhow::Result<MerchantRecord> {
    let wanted = MerchantRef::Platform(salla_id);
    let found = open.database.merchants().find(wanted, None).await?;
    Ok(found.ok_or_else(|| unknown_shop(salla_id))?)
}

fn unknown_shop(salla_id: i64) -> UsageError {
    UsageError::one(format!(
        "no shop with Salla's id {salla_id} is known; `salla-sync connections list` shows all"
    ))
}

/// Where the queues are, for a command that looks at them.
fn queue_place() -> Result<QueuePlace, UsageError> {
    let mut reader = SettingsReader::new(&environment);
    let place = reader.queue();
    reader.finish(Some(place))
}
