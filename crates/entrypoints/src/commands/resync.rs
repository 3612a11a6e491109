//! `salla-sync resync`: reads a part of the shop again.

use domain::resource::Resource;
use domain::window::DayRange;
use importer::ports::runs::{Only, RunOptions};

use super::import::{Job, failed, make_ready};
use crate::cli::{DatabaseArgs, ResyncArgs};
use crate::exit::{Exit, UsageError};
use crate::wiring;

pub async fn run(arguments: ResyncArgs, database: &DatabaseArgs) -> anyhow::Result<Exit> {
    let only = part(&arguments).map_err(UsageError::one)?;
    let share = arguments.budget_share;
    let ready = match make_ready(&arguments.tokens, share, database).await? {
        Ok(ready) => ready,
        Err(failure) => return Ok(failed(&failure)),
    };
    let job = Job {
        shop: ready.shop.clone(),
        options: RunOptions {
            months: 0,
            max_orders: None,
            keep_raw: !arguments.no_raw,
            only: Some(only),
        },
        again: true,
        json: arguments.json,
    };
    ready.import(wiring::import_settings(share), &job).await
}

/// What is to be read again, or why that cannot be meant.
fn part(arguments: &ResyncArgs) -> Result<Only, String> {
    let resource = Resource::parse(&arguments.resource).ok_or_else(|| {
        format!(
            "--resource {}: choose orders, customers, products, categories or order_statuses",
            arguments.resource
        )
    })?;
    let days = match (arguments.from, arguments.to) {
        (None, None) if resource.has_windows() => {
            return Err("orders are read by day: give --from and --to".to_owned());
        }
        (None, None) => None,
        (Some(from), Some(to)) if resource.has_windows() => {
            let days = DayRange::new(from, to);
            Some(days.ok_or_else(|| format!("--from {from} is after --to {to}"))?)
        }
        (Some(_), Some(_)) => {
            return Err(format!(
                "{resource} are always read whole: leave --from and --to out"
            ));
        }
        _ => return Err("give both --from and --to".to_owned()),
    };
    Ok(Only { resource, days })
}
