//! Runs as people and programs see them.

use importer::ports::jobs::RunFilter;
use importer::ports::runs::{Run, ShopSummary};
use serde_json::{Value, json};

use crate::cli::{ListArgs, ShowArgs};
use crate::display::{self, count, line};
use crate::exit::Exit;
use crate::wiring::OpenDatabase;

pub(super) async fn list(open: &OpenDatabase, arguments: &ListArgs) -> anyhow::Result<Exit> {
    let merchant = match arguments.shop {
        Some(salla_id) => Some(super::shop(open, salla_id).await?.merchant),
        None => None,
    };
    let filter = RunFilter {
        merchant,
        state: arguments.state,
        limit: arguments.limit,
    };
    let runs = open.jobs().list(&filter).await?;
    display::list(
        &runs,
        arguments.json.then_some(&|(shop, run)| as_json(shop, run)),
        "There is no such run.",
        ["run", "shop", "salla id", "state", "%", "orders", "what"],
        |(shop, run)| {
            [
                run.id.to_string(),
                shop.name.clone(),
                shop.salla_id.to_string(),
                run.state.to_string(),
                run.progress.percent.to_string(),
                count(run.progress.orders),
                note(run),
            ]
        },
    );
    Ok(Exit::Done)
}

/// The one thing that matters in this state.
fn note(run: &Run) -> String {
    let code = || {
        run.failure
            .as_ref()
            .map_or_else(String::new, |failure| failure.code.clone())
    };
    match (run.waiting_until, &run.holder) {
        (Some(until), _) => format!("until {until} {}", code()).trim_end().to_owned(),
        (None, Some(holder)) => holder.owner.clone(),
        (None, None) => code(),
    }
}

pub(super) async fn show(open: &OpenDatabase, arguments: &ShowArgs) -> anyhow::Result<Exit> {
    let jobs = open.jobs();
    let (shop, run) = super::find(&jobs, open, &arguments.run).await?;
    if arguments.json {
        display::json(&as_json(&shop, &run));
        return Ok(Exit::Done);
    }
    line(format!("Run        {}", run.id));
    line(format!(
        "Shop       {} ({}, plan {})",
        shop.name, shop.salla_id, shop.plan
    ));
    line(format!(
        "State      {}, {} %",
        run.state, run.progress.percent
    ));
    line(format!("Days       {}", run.range));
    line(format!(
        "Loaded     {} orders ({} complete), {} customers, {} products; {} rejected",
        count(run.progress.orders),
        count(run.progress.order_details),
        count(run.progress.customers),
        count(run.progress.products),
        count(run.progress.rejected)
    ));
    for (label, at) in [
        ("Created    ", Some(run.created_at)),
        ("Started    ", run.started_at),
        ("Ended      ", run.ended_at),
        ("Waits until", run.waiting_until),
    ] {
        if let Some(at) = at {
            line(format!("{label}{at}", label = format_args!("{label:<11}")));
        }
    }
    if let Some(holder) = &run.holder {
        line(format!(
            "Worker     {}, lease until {}",
            holder.owner, holder.until
        ));
    }
    if let Some(failure) = &run.failure {
        line(format!("Failure    {}: {}", failure.code, failure.message));
        line(format!("What to do {}", failure.advice));
    }
    Ok(Exit::Done)
}

fn as_json(shop: &ShopSummary, run: &Run) -> Value {
    json!({
        "run_id": run.id,
        "shop": shop,
        "state": run.state,
        "is_job": run.is_job,
        "range": run.range,
        "options": run.options,
        "created_at": run.created_at,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "waiting_until": run.waiting_until,
        "progress": run.progress,
        "failure": run.failure,
        "held_by": run.holder.as_ref().map(|h| json!({ "owner": h.owner, "until": h.until })),
    })
}
