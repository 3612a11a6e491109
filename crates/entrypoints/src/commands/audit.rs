//! `salla-sync audit`: who did what that matters for security and privacy.

use importer::ports::audit::{Audit as _, AuditFilter};
use serde_json::json;

use crate::cli::{AuditCommand, DatabaseArgs, ListAuditArgs};
use crate::display;
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
    display::list(
        &entries,
        json.then_some(&|entry| json!(entry)),
        "There is no such entry.",
        ["time", "action", "actor", "shop", "address", "detail"],
        |entry| {
            let shop = entry.salla_id.map(|shop| shop.to_string());
            [
                entry.happened_at.to_string(),
                entry.action.clone(),
                entry.actor.clone(),
                shop.unwrap_or_default(),
                entry.address.clone().unwrap_or_default(),
                entry.detail.clone().unwrap_or_default(),
            ]
        },
    );
    Ok(Exit::Done)
}
