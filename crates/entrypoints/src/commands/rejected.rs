//! `salla-sync rejected`: records that were set aside.

use database::{RejectedFilter, RejectedRecord};
use domain::rejection::RejectionCode;
use domain::resource::Resource;

use serde_json::{Value, json};

use crate::cli::{DatabaseArgs, RejectedAction, RejectedArgs};
use crate::display::table::Table;
use crate::display::{self, line, lines};
use crate::exit::{Exit, UsageError};

pub async fn run(arguments: RejectedArgs, database: &DatabaseArgs) -> anyhow::Result<Exit> {
    if let Some(RejectedAction::Replay(arguments)) = arguments.action {
        return super::replay::run(arguments, database).await;
    }
    let resource = arguments.resource.as_deref().map(resource).transpose()?;
    let code = arguments.code.as_deref().map(code).transpose()?;
    let open = super::open_to_look(database).await?;
    let rejected = open
        .database
        .rejected(RejectedFilter {
            merchant: None,
            resource,
            code,
            limit: arguments.limit,
        })
        .await?;
    if arguments.json {
        let records: Vec<_> = rejected.iter().map(|r| as_json(r, arguments.raw)).collect();
        display::json(&records);
        return Ok(Exit::Done);
    }
    if rejected.is_empty() {
        line("No record is set aside.");
        return Ok(Exit::Done);
    }
    let mut table = Table::new(["resource", "id", "reason", "where", "what is wrong"]);
    for record in &rejected {
        table.row([
            record.resource.to_string(),
            record.salla_id.map(|id| id.to_string()).unwrap_or_default(),
            record.code.to_string(),
            record.json_path.clone(),
            record.message.clone(),
        ]);
    }
    lines(table);
    if arguments.raw {
        for record in &rejected {
            line(display::printable_json(&record.raw));
        }
    }
    Ok(Exit::Done)
}

/// The raw record holds personal data, so it is shown only where it is asked for.
fn as_json(record: &RejectedRecord, raw: bool) -> Value {
    json!({
        "resource": record.resource,
        "kind": record.kind,
        "salla_id": record.salla_id,
        "code": record.code,
        "json_path": record.json_path,
        "message": record.message,
        "first_seen_at": record.first_seen_at,
        "last_seen_at": record.last_seen_at,
        "raw": raw.then_some(&record.raw),
    })
}

pub(super) fn resource(name: &str) -> Result<Resource, UsageError> {
    Resource::parse(name).ok_or_else(|| {
        let names = Resource::ALL.map(Resource::as_str).join(", ");
        UsageError::one(format!(
            "--resource {name} is unknown; it is one of {names}"
        ))
    })
}

pub(super) fn code(name: &str) -> Result<RejectionCode, UsageError> {
    let code = RejectionCode::ALL.into_iter().find(|c| c.as_str() == name);
    code.ok_or_else(|| {
        let codes = RejectionCode::ALL.map(RejectionCode::as_str).join(", ");
        UsageError::one(format!("--code {name} is unknown; it is one of {codes}"))
    })
}
