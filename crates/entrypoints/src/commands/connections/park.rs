//! `salla-sync connections park`: tokens that rest.

use database::Parked;
use domain::run::{RunCommand, RunState};
use domain::shop::MerchantId;
use importer::ports::audit::Action;
use importer::ports::jobs::{Jobs, RunFilter};
use serde_json::json;

use crate::cli::ParkArgs;
use crate::commands::known_shop;
use crate::display::{self, line};
use crate::exit::Exit;
use crate::wiring::OpenDatabase;

pub(super) async fn run(open: &OpenDatabase, arguments: &ParkArgs) -> anyhow::Result<Exit> {
    if let Some(shop) = arguments.shop {
        known_shop(open, shop).await?;
    }
    let dry_run = arguments.dry_run;
    let parked = open
        .database
        .park_connections(arguments.shop, dry_run)
        .await?;
    let mut paused = 0_u64;
    if !dry_run {
        super::audit_each(
            open,
            Action::TokensParked,
            parked.iter().map(|p| p.salla_id),
        )
        .await?;
        for merchant in parked.iter().filter_map(|parked| parked.merchant) {
            paused += u64::from(pause(open.jobs().as_ref(), merchant).await?);
        }
    }
    show(&parked, paused, arguments);
    Ok(Exit::Done)
}

/// What works with tokens that it has in memory stops, too. Whether there was such a run.
async fn pause(jobs: &dyn Jobs, merchant: MerchantId) -> anyhow::Result<bool> {
    let filter = RunFilter {
        merchant: Some(merchant),
        state: None,
        limit: 1,
    };
    let latest = jobs.list(&filter).await?.pop();
    let Some((_, run)) = latest else {
        return Ok(false);
    };
    let is_open = matches!(
        run.state,
        RunState::Pending | RunState::InProgress | RunState::Waiting
    );
    if is_open {
        jobs.command(run.id, RunCommand::Pause).await?;
    }
    Ok(is_open)
}

fn show(parked: &[Parked], paused: u64, arguments: &ParkArgs) {
    if arguments.json {
        let shops: Vec<_> = parked
            .iter()
            .map(|shop| json!({ "salla_id": shop.salla_id, "name": shop.name }))
            .collect();
        return display::json(&json!({
            "dry_run": arguments.dry_run,
            "parked": shops,
            "paused_runs": paused,
        }));
    }
    if parked.is_empty() {
        return line("No connection works, so none is parked.");
    }
    let verb = match arguments.dry_run {
        true => "would be parked",
        false => "are parked now",
    };
    line(format!(
        "The tokens of {} connection(s) {verb}:",
        parked.len()
    ));
    for shop in parked {
        let named = super::named(shop.name.as_deref(), shop.salla_id);
        line(format!("  {named}"));
    }
    if !arguments.dry_run {
        line(format!(
            "{paused} import(s) are paused. Run `salla-sync connections adopt` to use the tokens \
             again, and `salla-sync runs resume SHOP` to resume an import."
        ));
    }
}
