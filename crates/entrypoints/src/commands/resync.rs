//! `salla-sync resync`: reads a part of the shop again.

use domain::resource::Resource;
use domain::window::DayRange;
use importer::ports::runs::RunScope;
use jiff::civil::Date;

use super::import::prepare_import;
use super::rejected::resource;
use crate::cli::{DatabaseArgs, ResyncArgs};
use crate::exit::{Exit, UsageError};

pub async fn run(arguments: ResyncArgs, database: &DatabaseArgs) -> anyhow::Result<Exit> {
    let resource = resource(&arguments.resource)?;
    let days = days(resource, arguments.from, arguments.to).map_err(UsageError::one)?;
    let part = &arguments.part;
    let ready = prepare_import(&part.tokens, part.budget_share, database).await?;
    ready
        .import_part(Some(RunScope { resource, days }), 0, part)
        .await
}

/// The days of the orders to read again, or why that cannot be meant.
fn days(
    resource: Resource,
    from: Option<Date>,
    to: Option<Date>,
) -> Result<Option<DayRange>, String> {
    match (from, to) {
        (None, None) if resource.has_windows() => {
            Err("orders are read by day: give --from and --to".to_owned())
        }
        (None, None) => Ok(None),
        (Some(from), Some(to)) if resource.has_windows() => match DayRange::new(from, to) {
            None => Err(format!("--from {from} is after --to {to}")),
            days => Ok(days),
        },
        (Some(_), Some(_)) => Err(format!(
            "{resource} are always read whole: leave --from and --to out"
        )),
        _ => Err("give both --from and --to".to_owned()),
    }
}
