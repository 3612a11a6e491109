//! `salla-sync audit`: who did what that matters for security and privacy.

use importer::ports::audit::{Audit as _, AuditEntry, AuditFilter};
use serde_json::{Value, json};

use crate::cli::{AuditCommand, DatabaseArgs, ListAuditArgs};
use crate::display::table::Table;
use crate::display::{self, line, lines};
use crate::exit::Exit;

pub async fn run(command: AuditCommand, database: &DatabaseArgs) -> anyhow::Result<Exit> {
    let AuditCommand::List(ListAuditArgs {
        shop,
        action,
        since,
        limit,
        json,
    }) = command;
    let open = super::open_for_reading(database).await?;
    let filter = AuditFilter {
        salla_id: shop,
        action,
        since,
        limit,
    };
    let entries = open.database.audit().list(&filter).await?;
    if json {
        display::json(&entries.iter().map(as_json).collect::<Vec<_>>());
        return Ok(Exit::Done);
    }
    if entries.is_empty() {
        line("There is no such entry.");
        return Ok(Exit::Done);
    }
    let mut table = Table::new(["time", "action", "actor", "shop", "address", "detail"]);
    for entry in entries {
        let shop = entry.salla_id.map(|shop| shop.to_string());
        table.row([
            entry.happened_at.to_string(),
            entry.action,
            entry.actor,
            shop.unwrap_or_default(),
            entry.address.unwrap_or_default(),
            entry.detail.unwrap_or_default(),
        ]);
    }
    lines(table);
    Ok(Exit::Done)
}

fn as_json(entry: &AuditEntry) -> Value {
    json!({
        "id": entry.id,
        "happened_at": entry.happened_at,
        "action": entry.action,
        "actor": entry.actor,
        "salla_id": entry.salla_id,
        "address": entry.address,
        "detail": entry.detail,
    })
}
