//! `salla-sync remap`: every kept raw record, read again.

use domain::resource::Resource;
use importer::ports::clock::SystemClock;
use importer::ports::records::RemapCounts;
use importer::ports::runs::ShopSummary;
use importer::reprocess::{ReprocessResult, Reprocessor, remap};
use serde_json::{Value, json};

use super::rejected::resource;
use crate::cli::{DatabaseArgs, RemapArgs};
use crate::display::progress::{Tenths, held};
use crate::display::table::Table;
use crate::display::{self, count, line, lines};
use crate::exit::Exit;
use crate::wiring;

pub async fn run(arguments: RemapArgs, database: &DatabaseArgs) -> anyhow::Result<Exit> {
    let resources = match &arguments.resource {
        Some(name) => vec![resource(name)?],
        None => Resource::ALL.to_vec(),
    };
    let open = super::open_for_reading(database).await?;
    let (records, translator) = (open.records(), wiring::translator(&SystemClock::real()));
    let mut remapped = Vec::new();
    for (shop, _) in open.runs().list().await? {
        let progress = Tenths::of("stored records read again", &shop);
        let repair = Reprocessor {
            records: records.as_ref(),
            translator: translator.as_ref(),
            progress: &|done, of| progress.show(done, of),
        };
        let outcome = remap(repair, shop.merchant, &resources).await?;
        remapped.push((shop, outcome));
    }
    if arguments.json {
        let shops: Vec<Value> = remapped.iter().map(as_json).collect();
        display::json(&shops);
    } else {
        print(&remapped);
    }
    Ok(held(remapped.iter().map(|(shop, r)| (shop, &r.held_by))))
}

fn as_json((shop, remapped): &(ShopSummary, ReprocessResult<RemapCounts>)) -> Value {
    json!({
        "shop": shop.salla_id,
        "read": remapped.counts.read,
        "changed": remapped.counts.changed,
        "rejected": remapped.counts.refused,
        "held_by": remapped.held_by.as_ref().map(|holder| &holder.owner),
    })
}

fn print(remapped: &[(ShopSummary, ReprocessResult<RemapCounts>)]) {
    let mut table = Table::new(["shop", "read again", "changed", "no longer readable"]);
    for (shop, remapped) in remapped {
        table.row([
            shop.name.clone(),
            count(remapped.counts.read),
            count(remapped.counts.changed),
            count(remapped.counts.refused),
        ]);
    }
    if table.is_empty() {
        return line("There is no shop in this database.");
    }
    lines(table);
    if remapped
        .iter()
        .all(|(_, r)| r.counts.read == 0 && r.held_by.is_none())
    {
        line(
            "No raw record is stored: the imports ran with --no-raw, or none has run. `salla-sync \
             import --again` fetches the shop again.",
        );
    }
    if remapped.iter().any(|(_, r)| r.counts.refused > 0) {
        line("Records that can no longer be read keep their row; see `salla-sync rejected`.");
    }
}
