//! `salla-sync plan`: what an import would cost, without a database.

use std::sync::Arc;

use domain::ceiling::Ceiling;
use domain::window::DayRange;
use importer::import::planning::{PlanRequest, PlannedPages, plan_run};
use importer::ports::clock::{Clock, SystemClock};
use importer::ports::platform::Platform as _;
use serde_json::json;

use super::import::reported;
use crate::aws_cost::of_import;
use crate::cli::PlanArgs;
use crate::config::{SettingsReader, environment};
use crate::display::{self, line};
use crate::exit::Exit;
use crate::wiring;

pub async fn run(arguments: PlanArgs) -> anyhow::Result<Exit> {
    let mut reader = SettingsReader::new(&environment);
    let salla = reader.salla(&arguments.tokens);
    let salla = reader.finish(salla)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::real());
    let share = arguments.depth.budget_share;
    let client = wiring::client_without_storage(&salla, share, clock.clone())?;
    let shop = client.shop_info().await.map_err(reported)?;
    let today = domain::instant::riyadh_date(clock.now());
    let wanted = PlanRequest {
        shop: &shop,
        range: DayRange::last_months(today, arguments.depth.months),
        share,
        max_orders: arguments.depth.max_orders,
        // Without a database nothing is stored.
        ceiling: Ceiling::UNKNOWN,
        is_pressed: false,
    };
    let pages = PlannedPages::default();
    let plan = plan_run(client.as_ref(), clock.as_ref(), &wanted, &pages).await;
    let plan = plan.map_err(reported)?;
    let cost = arguments
        .aws
        .then(|| of_import(plan.requests(), plan.detail_requests, plan.floor_seconds()));
    if arguments.json {
        let mut result = json!({
            "plan": plan,
            "requests": plan.requests(),
            "necessary_requests": plan.necessary_requests(),
            "floor_seconds": plan.floor_seconds(),
        });
        if let Some(cost) = cost {
            result["aws"] = json!(cost);
        }
        display::json(&result);
        return Ok(Exit::Done);
    }
    line(format!("{} (plan {})", shop.name, shop.plan.name()));
    display::plan::print(&plan);
    display::plan::print_floors(share);
    if let Some(cost) = cost {
        display::plan::print_cost(&cost);
    }
    Ok(Exit::Done)
}
