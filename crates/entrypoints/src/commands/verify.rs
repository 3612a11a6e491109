//! `salla-sync verify`: the database against what Salla says now.

use std::sync::Arc;

use domain::certificate::Certificate;
use domain::failure::Failure;
use domain::plan::{DetailCase, Plan};
use domain::window::DayRange;
use importer::ports::clock::SystemClock;
use importer::ports::platform::Platform;
use importer::ports::runs::Run;
use importer::verify::{OrderComparison, WindowComparison, verify_orders, verify_windows};
use serde_json::json;

use super::import::reported;
use crate::cli::{DatabaseArgs, VerifyArgs};
use crate::config::{SettingsReader, environment};
use crate::display::verify_report::{self as show, Cost};
use crate::display::{self, note};
use crate::exit::{Exit, UsageError};
use crate::wiring::{self, OpenDatabase};

pub async fn run(arguments: VerifyArgs, database: &DatabaseArgs) -> anyhow::Result<Exit> {
    let mut reader = SettingsReader::new(&environment);
    let settings = reader.salla(&arguments.tokens);
    let settings = reader.finish(settings)?;
    let open = super::open_to_compare(database).await?;
    let clock = Arc::new(SystemClock::real());
    let client = wiring::client_without_storage(&settings, 1.0, clock)?;
    let shop = client.shop_info().await.map_err(reported)?;
    client.set_plan(&shop.plan);
    let run = verified_run(&open, shop.salla_id).await?;
    let future = open.database.future_versions(Some(run.run.merchant)).await;
    if let Some(warning) = display::future_versions(&future.map_err(reported)?) {
        note(warning);
    }
    let platform = open.forgetting(client, run.run.merchant).await;
    let platform = platform.map_err(reported)?;
    let comparison = compare(&open, platform.as_ref(), &run, &arguments).await;
    Ok(report(&run, &comparison.map_err(reported)?, &arguments))
}

/// A run that has come to its end.
struct VerifiedRun {
    run: Run,
    plan: Plan,
    certificate: Certificate,
    /// Days that other runs have read, as `extend` does: they are not compared.
    skipped_days: Vec<DayRange>,
}

async fn verified_run(open: &OpenDatabase, salla_id: i64) -> anyhow::Result<VerifiedRun> {
    let shops = open.runs().list().await?;
    let found = shops
        .into_iter()
        .find(|(shop, _)| shop.salla_id == salla_id);
    let nothing = || {
        UsageError::one(
            "nothing of this shop has been imported into this database: run `salla-sync import`",
        )
    };
    let (shop, _) = found.ok_or_else(nothing)?;
    let run = open.runs().latest_full(shop.merchant).await?;
    let run = run.ok_or_else(nothing)?;
    let mut skipped_days = open.runs().completed_days(shop.merchant).await?;
    skipped_days.retain(|days| !run.range.contains(days.from) || !run.range.contains(days.to));
    match (run.plan.clone(), run.certificate.clone()) {
        (Some(plan), Some(certificate)) => Ok(VerifiedRun {
            run,
            plan,
            certificate,
            skipped_days,
        }),
        _ => Err(UsageError::one(format!(
            "the import of {} is unfinished ({}), so there is nothing to compare yet; run \
             `salla-sync import` and see `salla-sync status`",
            shop.name, run.state
        ))
        .into()),
    }
}

struct Comparison {
    cost: Cost,
    windows: Vec<WindowComparison>,
    orders: Option<Vec<OrderComparison>>,
}

async fn compare(
    open: &OpenDatabase,
    platform: &dyn Platform,
    verified_run: &VerifiedRun,
    arguments: &VerifyArgs,
) -> Result<Comparison, Failure> {
    let (run, plan) = (&verified_run.run, &verified_run.plan);
    let inventory = open.inventory();
    let counts = inventory.count_windows(run).await?;
    let sample = match arguments.deep {
        true => {
            let drawn =
                inventory.sample_orders(run.merchant, run.range, arguments.seed, arguments.sample);
            Some(drawn.await?)
        }
        false => None,
    };
    let orders = sample.as_ref().map_or(0, Vec::len) as u64;
    let cost = cost(platform, plan, counts.len() as u64, orders);
    if !arguments.json {
        show::print_cost(counts.len(), orders, cost);
    }
    let as_of = verified_run.certificate.as_of;
    let windows = verify_windows(platform, &counts, plan.probe.reach(), as_of).await?;
    let orders = match &sample {
        Some(sample) => Some(verify_orders(platform, sample).await?),
        None => None,
    };
    Ok(Comparison {
        cost,
        windows,
        orders,
    })
}

fn cost(platform: &dyn Platform, plan: &Plan, windows: u64, orders: u64) -> Cost {
    let per_order = match plan.probe.detail_case {
        DetailCase::Expanded | DetailCase::Details => 1,
        DetailCase::DetailsAndItems => 2,
    };
    let mut budget = plan.probe.budget;
    budget.share = 1.0;
    budget.requests_per_minute = platform
        .budget()
        .limit_per_minute
        .or(budget.requests_per_minute);
    let requests = windows + orders * per_order;
    Cost {
        requests,
        least_seconds: budget.floor_seconds(requests),
    }
}

fn report(verified_run: &VerifiedRun, comparison: &Comparison, arguments: &VerifyArgs) -> Exit {
    let missing = comparison.windows.iter().any(|w| w.meaning.is_missing());
    let wrong = comparison.orders.iter().flatten();
    let wrong = wrong.filter(|order| order.outcome.is_wrong()).count();
    if arguments.json {
        let windows: Vec<_> = comparison
            .windows
            .iter()
            .map(|window| {
                let mut value = json!(window);
                value["difference"] = json!(window.difference());
                value
            })
            .collect();
        display::json(&json!({
            "imported_as_of": verified_run.certificate.as_of,
            "days_not_compared": verified_run.skipped_days,
            "cost": comparison.cost,
            "fits": !missing && wrong == 0,
            "windows": windows,
            "orders": comparison.orders,
        }));
    } else {
        show::print_windows(&comparison.windows, verified_run.certificate.as_of);
        show::print_skipped_days(&verified_run.skipped_days);
        if let Some(orders) = &comparison.orders {
            show::print_orders(orders);
        }
    }
    match missing || wrong > 0 {
        true => {
            note(
                "What to do: `salla-sync import --again` fetches the shop again and restores what \
                 is missing or was changed here; it writes only what differs.",
            );
            if wrong > 0 && verified_run.run.options.keep_raw {
                note(
                    "`salla-sync remap` writes an order again from its raw record if a field \
                     differs although its rows were not changed.",
                );
            }
            Exit::Failed
        }
        false => Exit::Done,
    }
}
