//! `salla-sync rejected`: records that could not be read, and reading them again.

use database::RejectedFilter;
use domain::rejection::RejectionCode;
use domain::resource::Resource;
use importer::ports::clock::SystemClock;
use importer::ports::overview::RejectedEntry;
use importer::ports::records::{RejectionFilter, ReplayCounts};
use importer::ports::runs::ShopSummary;
use importer::reprocess::{ReprocessResult, Reprocessor, replay};
use serde_json::{Value, json};

use crate::cli::{DatabaseArgs, RejectedAction, RejectedArgs, ReplayArgs};
use crate::display::progress::{Tenths, held};
use crate::display::table::Table;
use crate::display::{self, count, line, lines};
use crate::exit::{Exit, UsageError};
use crate::wiring;

pub async fn run(arguments: RejectedArgs, database: &DatabaseArgs) -> anyhow::Result<Exit> {
    if let Some(RejectedAction::Replay(arguments)) = arguments.action {
        return replay_all(arguments, database).await;
    }
    let resource = arguments.resource.as_deref().map(resource).transpose()?;
    let code = arguments.code.as_deref().map(code).transpose()?;
    let open = super::open_for_reading(database).await?;
    let rejected = open
        .database
        .rejected(RejectedFilter {
            merchant: None,
            resource,
            code,
            limit: arguments.limit,
        })
        .await?;
    display::list(
        &rejected,
        arguments
            .json
            .then_some(&|record| as_json(record, arguments.raw)),
        "No record is rejected.",
        ["resource", "id", "reason", "where", "what is wrong"],
        |record| {
            [
                record.resource.to_string(),
                record.salla_id.map(|id| id.to_string()).unwrap_or_default(),
                record.code.to_string(),
                record.json_path.clone(),
                record.message.clone(),
            ]
        },
    );
    if arguments.raw && !arguments.json {
        for record in &rejected {
            line(display::printable_json(&record.raw));
        }
    }
    Ok(Exit::Done)
}

/// The raw record contains personal data, so it is shown only on request.
fn as_json(record: &RejectedEntry, raw: bool) -> Value {
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

fn code(name: &str) -> Result<RejectionCode, UsageError> {
    RejectionCode::parse(name).ok_or_else(|| {
        let codes = RejectionCode::ALL.map(RejectionCode::as_str).join(", ");
        UsageError::one(format!("--code {name} is unknown; it is one of {codes}"))
    })
}

async fn replay_all(arguments: ReplayArgs, database: &DatabaseArgs) -> anyhow::Result<Exit> {
    let choice = RejectionFilter {
        resource: arguments.resource.as_deref().map(resource).transpose()?,
        code: arguments.code.as_deref().map(code).transpose()?,
    };
    let open = super::open_for_reading(database).await?;
    let (records, translator) = (open.records(), wiring::translator(&SystemClock::real()));
    let mut replayed = Vec::new();
    for (shop, _) in open.runs().list().await? {
        let progress = Tenths::of("rejected records read again", &shop);
        let repair = Reprocessor {
            records: records.as_ref(),
            translator: translator.as_ref(),
            progress: &|done, of| progress.show(done, of),
        };
        let outcome = replay(repair, shop.merchant, choice).await?;
        replayed.push((shop, outcome));
    }
    if arguments.json {
        let shops: Vec<Value> = replayed.iter().map(replayed_json).collect();
        display::json(&shops);
    } else {
        print_replayed(&replayed);
    }
    Ok(held(replayed.iter().map(|(shop, r)| (shop, &r.held_by))))
}

fn replayed_json((shop, replayed): &(ShopSummary, ReprocessResult<ReplayCounts>)) -> Value {
    let counts = &replayed.counts;
    json!({
        "shop": shop.salla_id,
        "loaded": counts.loaded,
        "still_rejected": counts.refused,
        "reason_changed": counts.reason_changed,
        "incomplete": counts.incomplete,
        "lack_details": counts.lack_details,
        "held_by": replayed.held_by.as_ref().map(|holder| &holder.owner),
    })
}

fn print_replayed(replayed: &[(ShopSummary, ReprocessResult<ReplayCounts>)]) {
    let mut table = Table::new([
        "shop",
        "loaded now",
        "still rejected",
        "for another reason",
        "half kept",
    ]);
    for (shop, replayed) in replayed {
        let counts = &replayed.counts;
        table.row([
            shop.name.clone(),
            count(counts.loaded),
            count(counts.refused),
            count(counts.reason_changed),
            count(counts.incomplete),
        ]);
    }
    if table.is_empty() {
        return line("There is no shop in this database.");
    }
    lines(table);
    let sum = |of: fn(&ReplayCounts) -> u64| replayed.iter().map(|(_, r)| of(&r.counts)).sum();
    let (incomplete, lacking): (u64, u64) = (sum(|c| c.incomplete), sum(|c| c.lack_details));
    if incomplete > 0 {
        line(format!(
            "{} order(s) can be read now, but the other half of their response was not stored: \
             `salla-sync import --again` fetches them.",
            count(incomplete)
        ));
    }
    if lacking > 0 {
        line(format!(
            "{} of the loaded orders have no line items yet: the next `salla-sync import` that \
             reads them fetches these.",
            count(lacking)
        ));
    }
}
