//! `salla-sync trace`: where one record is.

use std::sync::Arc;

use domain::resource::Resource;
use importer::ports::clock::SystemClock;
use importer::ports::inspection::{PlatformRecord, RecordLookup as _, Trace};
use importer::trace::status_of;
use serde_json::{Value, json};

use super::import::reported;
use super::rejected::resource;
use crate::cli::{DatabaseArgs, TraceArgs};
use crate::config::{SallaSettings, SettingsReader, environment};
use crate::display;
use crate::display::trace_report::{
    ImportedShop, print_platform_record, print_trace, print_unknown,
};
use crate::exit::{Exit, UsageError};
use crate::wiring::{self, OpenDatabase};

pub async fn run(arguments: TraceArgs, database: &DatabaseArgs) -> anyhow::Result<Exit> {
    let resource = resource(&arguments.resource)?;
    let salla = salla(&arguments, resource)?;
    let open = super::open_for_reading(database).await?;
    let traces = open.traces().find(resource, arguments.number).await?;
    let asked = match &salla {
        None => None,
        Some(settings) => {
            let clock = Arc::new(SystemClock::real());
            let client = wiring::client_without_storage(settings, 1.0, clock)?;
            let found = client.look_up(resource, arguments.number).await;
            Some(found.map_err(reported)?)
        }
    };
    let known = !traces.is_empty() || matches!(asked, Some(Some(_)));
    if arguments.json {
        display::json(&json!({
            "resource": resource,
            "number": arguments.number,
            "database": traces.iter().map(as_json).collect::<Vec<_>>(),
            "salla": asked.as_ref().map(platform_record_json),
        }));
    } else {
        let shops = imported(&open).await?;
        if traces.is_empty() {
            print_unknown(resource, arguments.number, &shops);
        }
        traces.iter().for_each(print_trace);
        print_platform_record(&arguments, resource, &traces, &shops, asked.as_ref());
    }
    Ok(if known { Exit::Done } else { Exit::Failed })
}

async fn imported(open: &OpenDatabase) -> anyhow::Result<Vec<ImportedShop>> {
    let runs = open.runs();
    let mut shops = Vec::new();
    for (shop, run) in runs.list().await? {
        let days = runs.completed_days(shop.merchant).await?;
        shops.push(ImportedShop { shop, run, days });
    }
    Ok(shops)
}

/// Salla's settings, for `--fetch`.
fn salla(arguments: &TraceArgs, resource: Resource) -> anyhow::Result<Option<SallaSettings>> {
    if !arguments.fetch {
        return Ok(None);
    }
    if matches!(resource, Resource::Categories | Resource::OrderStatuses) {
        let problem = format!("Salla gives {resource} only as a list; leave out --fetch");
        return Err(UsageError::one(problem).into());
    }
    let mut reader = SettingsReader::new(&environment);
    let salla = reader.salla(&arguments.tokens);
    Ok(Some(reader.finish(salla)?))
}

fn as_json(trace: &Trace) -> Value {
    let mut value = json!(trace);
    if let (Some(members), Value::Object(finding)) =
        (value.as_object_mut(), json!(status_of(trace)))
    {
        members.extend(finding);
    }
    value
}

fn platform_record_json(record: &Option<PlatformRecord>) -> Value {
    let Some(seen) = record else {
        return json!({ "has_it": false });
    };
    json!({
        "has_it": true,
        "id": seen.id,
        "reference_id": seen.reference_id,
        "created_on": seen.created_on,
        "status": seen.status,
        "rejected_as": seen.rejection.as_ref().map(|r| r.code.as_str()),
    })
}
