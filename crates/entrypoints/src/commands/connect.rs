//! `salla-sync connect`: stores a shop's tokens, so that workers can import it.

use std::sync::Arc;

use importer::ports::clock::{Clock, SystemClock};
use serde_json::json;

use super::import::failed;
use crate::cli::{ConnectArgs, DatabaseArgs};
use crate::config::{DatabaseSettings, Reader, environment};
use crate::display::{self, line};
use crate::exit::Exit;
use crate::wiring;

pub async fn run(arguments: ConnectArgs, database: &DatabaseArgs) -> anyhow::Result<Exit> {
    let mut reader = Reader::new(&environment);
    let settings = reader.database(database);
    let salla = reader.salla(&arguments.tokens);
    let key = reader.encryption_key();
    let is_embedded = matches!(settings, Some(DatabaseSettings::Embedded { .. }));
    if key.is_none() && !is_embedded {
        reader.key_is_missing();
    }
    let (settings, salla) = reader.finish(settings.zip(salla))?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::real());
    let open = wiring::open_database(&settings, key, clock.clone()).await?;
    open.require_current_schema().await?;
    let connected = match wiring::connect_and_store(&open, &salla, clock).await {
        Ok(connected) => connected,
        Err(failure) => return Ok(failed(&failure)),
    };
    if arguments.json {
        display::json(&json!({
            "merchant_id": connected.merchant,
            "salla_id": connected.shop.salla_id,
            "name": connected.shop.name,
            "plan": connected.shop.plan.name(),
        }));
        return Ok(Exit::Done);
    }
    line(format!(
        "{} (plan {}) is connected; its tokens are stored encrypted.",
        connected.shop.name,
        connected.shop.plan.name()
    ));
    line(format!(
        "  salla-sync runs start --shop {}   imports it in the background",
        connected.shop.salla_id
    ));
    line("  salla-sync work                   does what was started");
    Ok(Exit::Done)
}
