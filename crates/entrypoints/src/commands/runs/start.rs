//! Runs that workers take on.

use std::sync::Arc;

use importer::import::Reading;
use importer::ports::clock::SystemClock;
use importer::ports::runs::Run;
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
    let starter = open.starter(Arc::new(SystemClock::real()));
    let started = starter.start(shop.merchant, arguments.months, reading);
    Ok(report(
        &started.await?.run,
        arguments.months,
        arguments.json,
    ))
}

pub(super) async fn extend(
    open: &OpenDatabase,
    arguments: &StartExtensionArgs,
) -> anyhow::Result<Exit> {
    let shop = super::shop(open, arguments.shop).await?;
    require_finished(open.runs().as_ref(), shop.merchant, "salla-sync runs start").await?;
    let starter = open.starter(Arc::new(SystemClock::real()));
    let started = starter.start(shop.merchant, arguments.months, Reading::Changes);
    Ok(report(
        &started.await?.run,
        arguments.months,
        arguments.json,
    ))
}

/// Exit code 0 if the run, once it is complete, is what was requested.
fn report(run: &Run, months: u16, as_json: bool) -> Exit {
    let falls_short = run.options.only.is_some()
        || run.options.max_orders.is_some()
        || run.options.months < months;
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
        "Run {} ({}) is {}; a worker will run it.",
        run.id, run.range, run.state
    ));
    if run.catches_up.is_some() {
        line("  The history of this shop is imported: it fetches what has changed since.");
    }
    if falls_short {
        line(
            "  An import with other settings is unfinished: it is finished first, with its \
             settings. Start again afterwards for what you requested now.",
        );
    }
    line(format!("  salla-sync runs show {}", run.id));
    exit
}
