//! Runs that workers take on.

use domain::instant::riyadh_date;
use domain::shop::MerchantId;
use domain::window::DayRange;
use importer::catching_up::wanted;
use importer::ports::clock::{Clock as _, SystemClock};
use importer::ports::runs::{Run, RunOptions};
use serde_json::json;

use crate::cli::{StartArgs, StartExtensionArgs};
use crate::commands::extend::require_finished;
use crate::display::{self, line};
use crate::exit::Exit;
use crate::wiring::OpenDatabase;

pub(super) async fn start(open: &OpenDatabase, arguments: &StartArgs) -> anyhow::Result<Exit> {
    let shop = super::shop(open, arguments.shop).await?;
    let options = everything(arguments.months);
    if !arguments.again
        && let Some(run) = catch_up(open, shop.merchant, &options, arguments.refresh_lists).await?
    {
        return Ok(report(&run, &options, arguments.json));
    }
    let range = DayRange::last_months(riyadh_date(now()), arguments.months);
    let run = open.jobs().start(shop.merchant, &options, range).await?;
    Ok(report(&run, &options, arguments.json))
}

pub(super) async fn extend(
    open: &OpenDatabase,
    arguments: &StartExtensionArgs,
) -> anyhow::Result<Exit> {
    let shop = super::shop(open, arguments.shop).await?;
    require_finished(open.runs().as_ref(), shop.merchant, "salla-sync runs start").await?;
    let options = everything(arguments.months);
    Ok(
        match catch_up(open, shop.merchant, &options, false).await? {
            Some(run) => report(&run, &options, arguments.json),
            None => Exit::Failed,
        },
    )
}

fn everything(months: u16) -> RunOptions {
    RunOptions {
        months,
        max_orders: None,
        keep_raw: true,
        only: None,
    }
}

/// Starts what brings the shop up to date, if its history is there.
async fn catch_up(
    open: &OpenDatabase,
    merchant: MerchantId,
    options: &RunOptions,
    refreshes_lists: bool,
) -> anyhow::Result<Option<Run>> {
    let runs = open.runs();
    let wanted = wanted(runs.as_ref(), merchant, options, refreshes_lists, now()).await?;
    let Some(wanted) = wanted else {
        return Ok(None);
    };
    let (options, range) = (&wanted.options, wanted.range);
    let jobs = open.jobs();
    let run = jobs.start_catching_up(merchant, options, range, wanted.catch_up);
    Ok(Some(run.await?))
}

fn now() -> jiff::Timestamp {
    SystemClock::real().now()
}

/// Exit code 0 where the run, once it is complete, is what was asked for.
fn report(run: &Run, wanted: &RunOptions, as_json: bool) -> Exit {
    let falls_short = run.options.only.is_some()
        || run.options.max_orders.is_some()
        || run.options.months < wanted.months;
    let exit = match falls_short {
        true => Exit::Taken,
        false => Exit::Done,
    };
    if as_json {
        display::json(&json!({
            "run_id": run.id, "state": run.state, "range": run.range, "falls_short": falls_short,
        }));
        return exit;
    }
    line(format!(
        "Run {} ({}) is {}; a worker takes it on.",
        run.id, run.range, run.state
    ));
    if run.catches_up.is_some() {
        line("  The history of this shop is there: it reads what has changed since.");
    }
    if falls_short {
        line(
            "  An import with other settings was not over: it is finished first, as it was begun. \
             Start again afterwards for what you asked now.",
        );
    }
    line(format!("  salla-sync runs show {}", run.id));
    exit
}
