//! Runs that workers take on.

use std::sync::Arc;

use domain::instant::riyadh_date;
use domain::run::RunState;
use domain::shop::MerchantId;
use importer::import::Reading;
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
    let reading = match (arguments.again, arguments.refresh_lists) {
        (true, _) => Reading::Everything,
        (false, true) => Reading::ChangesAndLists,
        (false, false) => Reading::Changes,
    };
    let started = started(open, shop.merchant, arguments.months, reading).await?;
    Ok(report(&started, arguments.json))
}

pub(super) async fn extend(
    open: &OpenDatabase,
    arguments: &StartExtensionArgs,
) -> anyhow::Result<Exit> {
    let shop = super::shop(open, arguments.shop).await?;
    require_finished(open.runs().as_ref(), shop.merchant, "salla-sync runs start").await?;
    let started = started(open, shop.merchant, arguments.months, Reading::Changes).await?;
    Ok(report(&started, arguments.json))
}

struct Started {
    run: Run,
    /// The run, once it is complete, is less than what was requested.
    falls_short: bool,
}

async fn started(
    open: &OpenDatabase,
    merchant: MerchantId,
    months: u16,
    reading: Reading,
) -> anyhow::Result<Started> {
    let clock = Arc::new(SystemClock::real());
    // A run that is made just before midnight does not fall short just after it.
    let today = riyadh_date(clock.now());
    let run = open.starter(clock).start(merchant, months, reading).await?;
    let run = run.run;
    let falls_short = !reading.is_done_by(&run, &RunOptions::everything(months), today);
    Ok(Started { run, falls_short })
}

/// Exit code 0 if workers will do what was requested.
fn report(started: &Started, as_json: bool) -> Exit {
    let Started { run, falls_short } = started;
    let is_paused = run.state == RunState::Paused;
    let exit = match is_paused || *falls_short {
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
        "Run {} ({}) is {}; {}.",
        run.id,
        run.range,
        run.state,
        match is_paused {
            true => format!("resume it with `salla-sync runs resume {}`", run.id),
            false => "a worker will run it".to_owned(),
        }
    ));
    if run.catches_up.is_some() {
        line("  The history of this shop is imported: it fetches what has changed since.");
    }
    if *falls_short {
        line(
            "  It was started earlier, for less or for something else, and is finished first. \
             Start again afterwards for what you requested now.",
        );
    }
    line(format!("  salla-sync runs show {}", run.id));
    exit
}
