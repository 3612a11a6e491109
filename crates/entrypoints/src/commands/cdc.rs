//! `salla-sync cdc`: what readers of PostgreSQL's log need from us.

use database::{CdcOptions, CdcStatus};

use importer::ports::audit::{Action, Actor, Audit as _, AuditEvent};

use crate::cli::{CdcCommand, DatabaseArgs, DisableCdcArgs, EnableCdcArgs, JsonArgs};
use crate::display::table::Table;
use crate::display::{self, count, line, lines};
use crate::exit::Exit;
use crate::wiring::OpenDatabase;

pub async fn run(command: CdcCommand, database: &DatabaseArgs) -> anyhow::Result<Exit> {
    let open = super::open_for_reading(database).await?;
    match command {
        CdcCommand::Enable(arguments) => enable(&open, arguments).await,
        CdcCommand::Status(arguments) => status(&open, &arguments).await,
        CdcCommand::Disable(arguments) => disable(&open, &arguments).await,
    }
}

async fn enable(open: &OpenDatabase, arguments: EnableCdcArgs) -> anyhow::Result<Exit> {
    let options = CdcOptions {
        slot: arguments.slot,
        full_rows: arguments.full_rows,
    };
    open.database.enable_cdc(&options).await?;
    changed(open, "enabled").await?;
    let status = open.database.cdc_status().await?;
    line(format!(
        "The publication salla_sync has {} tables of the schema salla.",
        status.published.len()
    ));
    if let Some(slot) = &options.slot {
        line(format!(
            "The slot {slot} keeps the log from now on; `salla-sync cdc status` shows how much."
        ));
    }
    say_missing(&status);
    if status.wal_level != "logical" {
        display::note(format!(
            "The server's wal_level is {}: the publication can be read only once it is logical.",
            status.wal_level
        ));
    }
    Ok(Exit::Done)
}

async fn changed(open: &OpenDatabase, how: &str) -> anyhow::Result<()> {
    let event = AuditEvent::new(Action::PublicationChanged, Actor::Operator);
    open.database.audit().record(&event.detail(how)).await?;
    Ok(())
}

fn say_missing(status: &CdcStatus) {
    if !status.missing_columns.is_empty() {
        display::note(format!(
            "Readers do not get {}: PostgreSQL publishes computed columns from version 18 on.",
            status.missing_columns.join(", ")
        ));
    }
}

async fn status(open: &OpenDatabase, arguments: &JsonArgs) -> anyhow::Result<Exit> {
    let status = open.database.cdc_status().await?;
    if arguments.json {
        display::json(&status);
        return Ok(Exit::Done);
    }
    match status.published.is_empty() {
        true => line("Nothing is published; run `salla-sync cdc enable`."),
        false => line(format!(
            "Published as salla_sync: {}.",
            status.published.join(", ")
        )),
    }
    if !status.published.is_empty() && !status.unpublished.is_empty() {
        display::note(format!(
            "Not published: {}; `salla-sync cdc enable` adds them.",
            status.unpublished.join(", ")
        ));
    }
    say_missing(&status);
    line(format!(
        "wal_level is {}; old rows are logged {}.",
        status.wal_level,
        match status.full_rows {
            true => "whole",
            false => "by their keys",
        }
    ));
    if status.slots.is_empty() {
        line("This database has no logical slot.");
        return Ok(Exit::Done);
    }
    let mut table = Table::new([
        "slot",
        "plugin",
        "read now",
        "bytes behind",
        "bytes kept",
        "log",
    ]);
    for slot in &status.slots {
        table.row([
            slot.name.clone(),
            slot.plugin.clone(),
            match slot.active {
                true => "yes".to_owned(),
                false => "no".to_owned(),
            },
            count(slot.lag_bytes.unsigned_abs()),
            count(slot.kept_bytes.unsigned_abs()),
            slot.wal_status.clone(),
        ]);
    }
    lines(table);
    Ok(Exit::Done)
}

async fn disable(open: &OpenDatabase, arguments: &DisableCdcArgs) -> anyhow::Result<Exit> {
    let slot = arguments.slot.as_deref();
    let (was_published, had_slot) = open.database.disable_cdc(slot).await?;
    if was_published || had_slot {
        changed(open, "disabled").await?;
    }
    line(match was_published {
        true => "The publication salla_sync was dropped.",
        false => "Nothing was published.",
    });
    if let Some(slot) = slot {
        line(match had_slot {
            true => format!("The slot {slot} was dropped; the server can now remove its log."),
            false => format!("This database has no slot {slot}."),
        });
    }
    let status = open.database.cdc_status().await?;
    for left in &status.slots {
        display::note(format!(
            "The slot {} still exists and keeps {} bytes of the log; --slot {} drops it.",
            left.name,
            count(left.kept_bytes.unsigned_abs()),
            left.name
        ));
    }
    Ok(Exit::Done)
}
