//! Runs that workers take on.

use domain::resource::Resource;
use domain::run::RunState;
use domain::window::DayRange;
use importer::ports::clock::{Clock as _, SystemClock};
use importer::ports::runs::{Only, Run, RunOptions};
use serde_json::json;

use crate::cli::{StartArgs, StartExtensionArgs};
use crate::commands::extend::days_to_extend;
use crate::display::{self, line};
use crate::exit::Exit;
use crate::wiring::OpenDatabase;

pub(super) async fn start(open: &OpenDatabase, arguments: &StartArgs) -> anyhow::Result<Exit> {
    let shop = super::shop(open, arguments.shop).await?;
    let options = RunOptions {
        months: arguments.months,
        max_orders: None,
        keep_raw: true,
        only: None,
    };
    let latest = open.runs().latest_of_everything(shop.merchant).await?;
    if let Some(run) = latest
        && !arguments.again
        && run.state == RunState::Completed
        && run.options.asks_for_the_same(&options)
    {
        let when = run
            .completed_at
            .map(|at| at.to_string())
            .unwrap_or_default();
        line(format!(
            "This import was finished at {when}; nothing was started. --again reads everything \
             again."
        ));
        return Ok(Exit::Done);
    }
    let range = DayRange::last_months(today(), arguments.months);
    let run = open.jobs().start(shop.merchant, &options, range).await?;
    report(&run, &options, arguments.json);
    Ok(Exit::Done)
}

pub(super) async fn extend(
    open: &OpenDatabase,
    arguments: &StartExtensionArgs,
) -> anyhow::Result<Exit> {
    let shop = super::shop(open, arguments.shop).await?;
    let covered = open.runs().completed_days(shop.merchant).await?;
    let days = days_to_extend(&covered, today(), arguments.months, "salla-sync runs start")?;
    let Some(days) = days else {
        return Ok(Exit::Done);
    };
    let options = RunOptions {
        months: arguments.months,
        max_orders: None,
        keep_raw: true,
        only: Some(Only {
            resource: Resource::Orders,
            days: Some(days),
        }),
    };
    let run = open.jobs().start(shop.merchant, &options, days).await?;
    report(&run, &options, arguments.json);
    Ok(Exit::Done)
}

fn today() -> jiff::civil::Date {
    domain::instant::riyadh_date(SystemClock::real().now())
}

fn report(run: &Run, wanted: &RunOptions, as_json: bool) {
    if as_json {
        return display::json(&json!({ "run_id": run.id, "state": run.state, "range": run.range }));
    }
    line(format!(
        "Run {} ({}) is {}; a worker takes it on.",
        run.id, run.range, run.state
    ));
    if !run.options.asks_for_the_same(wanted) {
        line(
            "  An import with other settings was not over: it is finished first, as it was begun. \
             Start again afterwards for what you asked now.",
        );
    }
    line(format!("  salla-sync runs show {}", run.id));
}
