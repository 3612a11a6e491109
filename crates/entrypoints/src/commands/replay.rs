//! `salla-sync rejected replay`: rejected records, read again.

use importer::ports::clock::SystemClock;
use importer::ports::records::{RejectionChoice, ReplayCounts};
use importer::ports::runs::ShopSummary;
use importer::repair::{Repair, Repaired, replay};
use serde_json::{Value, json};

use super::rejected::{code, resource};
use crate::cli::{DatabaseArgs, ReplayArgs};
use crate::display::repair::{Progress, held};
use crate::display::table::Table;
use crate::display::{self, count, line, lines};
use crate::exit::Exit;
use crate::wiring;

pub async fn run(arguments: ReplayArgs, database: &DatabaseArgs) -> anyhow::Result<Exit> {
    let choice = RejectionChoice {
        resource: arguments.resource.as_deref().map(resource).transpose()?,
        code: arguments.code.as_deref().map(code).transpose()?,
    };
    let open = super::open_to_look(database).await?;
    let (records, translator) = (open.records(), wiring::translator(&SystemClock::real()));
    let mut replayed = Vec::new();
    for (shop, _) in open.runs().list().await? {
        let progress = Progress::of("rejected records read again", &shop);
        let repair = Repair {
            records: records.as_ref(),
            translator: translator.as_ref(),
            progress: &|done, of| progress.show(done, of),
        };
        let outcome = replay(repair, shop.merchant, choice).await?;
        replayed.push((shop, outcome));
    }
    if arguments.json {
        let shops: Vec<Value> = replayed.iter().map(as_json).collect();
        display::json(&shops);
    } else {
        print(&replayed);
    }
    Ok(held(replayed.iter().map(|(shop, r)| (shop, &r.held_by))))
}

fn as_json((shop, replayed): &(ShopSummary, Repaired<ReplayCounts>)) -> Value {
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

fn print(replayed: &[(ShopSummary, Repaired<ReplayCounts>)]) {
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
            "{} order(s) are understood now, but the other half of their answer was not kept: \
             `salla-sync import --again` asks for them.",
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
