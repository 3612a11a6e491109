//! `salla-sync runs`: imports in the background, and what to do about them.

mod show;
mod start;

use std::sync::Arc;

use domain::run::{RunCommand, RunId};
use importer::ports::jobs::{CommandOutcome, Jobs, RunFilter};
use importer::ports::runs::{Run, ShopSummary};

use crate::cli::{DatabaseArgs, RunArgs, RunsCommand};
use crate::display::{line, note};
use crate::exit::{Exit, UsageError};
use crate::wiring::OpenDatabase;

pub async fn run(command: RunsCommand, database: &DatabaseArgs) -> anyhow::Result<Exit> {
    let open = super::open_for_reading(database).await?;
    match command {
        RunsCommand::Start(arguments) => start::start(&open, &arguments).await,
        RunsCommand::Extend(arguments) => start::extend(&open, &arguments).await,
        RunsCommand::List(arguments) => show::list(&open, &arguments).await,
        RunsCommand::Show(arguments) => show::show(&open, &arguments).await,
        RunsCommand::Pause(run) => apply_command(&open, &run, RunCommand::Pause).await,
        RunsCommand::Resume(run) => apply_command(&open, &run, RunCommand::Resume).await,
        RunsCommand::Cancel(run) => apply_command(&open, &run, RunCommand::Cancel).await,
        RunsCommand::Restart(run) => apply_command(&open, &run, RunCommand::Restart).await,
    }
}

async fn apply_command(
    open: &OpenDatabase,
    run: &RunArgs,
    command: RunCommand,
) -> anyhow::Result<Exit> {
    let jobs = open.jobs();
    let (_, run) = find(&jobs, open, run).await?;
    match jobs.command(run.id, command).await? {
        CommandOutcome::Applied(run) => {
            line(format!("Run {} is {} now.", run.id, run.state));
            Ok(Exit::Done)
        }
        CommandOutcome::Unchanged(run) => {
            line(format!(
                "Run {} is already {}; nothing was done.",
                run.id, run.state
            ));
            Ok(Exit::Done)
        }
        CommandOutcome::Refused(run, why) => {
            note(format!(
                "salla-sync: run {} stays {}: {why}.",
                run.id, run.state
            ));
            Ok(Exit::Failed)
        }
        CommandOutcome::Unknown => Err(unknown()),
    }
}

fn unknown() -> anyhow::Error {
    UsageError::one("there is no such run; `salla-sync runs list` shows all").into()
}

/// The run of this id, or the latest run of the shop with this number.
async fn find(
    jobs: &Arc<dyn Jobs>,
    open: &OpenDatabase,
    wanted: &RunArgs,
) -> anyhow::Result<(ShopSummary, Run)> {
    if let Ok(salla_id) = wanted.run.parse::<i64>() {
        let shop = shop(open, salla_id).await?;
        let filter = RunFilter {
            merchant: Some(shop.merchant),
            state: None,
            limit: 1,
        };
        let latest = jobs.list(&filter).await?.pop();
        return latest.ok_or_else(|| {
            UsageError::one("this shop has no run yet; start one with `salla-sync runs start`")
                .into()
        });
    }
    let id = uuid::Uuid::try_parse(&wanted.run).map_err(|_| {
        UsageError::one(
            "give the id of a run, as `salla-sync runs list` shows it, or Salla's id of a shop",
        )
    })?;
    let run = jobs.find(RunId(id)).await?.ok_or_else(unknown)?;
    let shop = jobs.shop(run.merchant).await?.ok_or_else(unknown)?;
    Ok((shop, run))
}

/// The shop with this number of Salla's.
pub(super) async fn shop(open: &OpenDatabase, salla_id: i64) -> anyhow::Result<ShopSummary> {
    let shops = open.runs().list().await?;
    let mut shops = shops.into_iter().map(|(shop, _)| shop);
    shops.find(|shop| shop.salla_id == salla_id).ok_or_else(|| {
        UsageError::one(format!(
            "no shop with Salla's id {salla_id} is known; `salla-sync connect` adds one, \
             `salla-sync status` lists them"
        ))
        .into()
    })
}
