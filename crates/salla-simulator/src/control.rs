//! The simulator's own endpoints, for programs that cannot hold its handle:
//! ledger, truth, scenario, faults, clock, and changes to the shop.

use crate::api::{ClientRequest, Response};
use crate::endpoint::Endpoint;
use crate::endpoint::Resource;
use crate::locked;
use crate::platform::Platform;
use crate::scenario::Fault;
use crate::shop::Original;
use crate::simulated_shop::SimulatedShop;
use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

pub(crate) const PREFIX: &str = "/_simulator/";

pub(crate) fn respond(platform: &Arc<Platform>, request: &ClientRequest) -> Response {
    let what = request.path.strip_prefix(PREFIX).unwrap_or("");
    let outcome = match (request.method.as_str(), what) {
        ("GET", "ledger") => json(&platform.ledger_report()),
        ("POST", "ledger/reset") => {
            platform.reset_ledger();
            json(&platform.ledger_report())
        }
        ("GET", "truth") => truth(platform, request),
        ("GET", "scenario") => json(&*platform.scenario()),
        ("POST", "scenario") => patch_scenario(platform, request),
        ("POST", "faults") => queue_fault(platform, request),
        ("POST", "clock") => advance(platform, request),
        ("POST", "orders") => change(platform, request, Resource::Orders),
        ("POST", "customers") => change(platform, request, Resource::Customers),
        ("POST", "products") => change(platform, request, Resource::Products),
        ("GET", "drift") => drift(platform, request),
        ("GET", "shops") => json(&shops(platform)),
        _ => return Response::not_found(request.language),
    };
    outcome.unwrap_or_else(|error| Response::oauth_error(422, "refused", &format!("{error:#}")))
}

fn json(value: &impl Serialize) -> anyhow::Result<Response> {
    Ok(Response::json(200, serde_json::to_vec_pretty(value)?))
}

fn body<'a, T: Deserialize<'a>>(request: &'a ClientRequest) -> anyhow::Result<T> {
    Ok(serde_json::from_slice(&request.body)?)
}

fn requested_shop(
    platform: &Platform,
    request: &ClientRequest,
) -> anyhow::Result<Arc<SimulatedShop>> {
    let number = request.query.number("shop").unwrap_or(0);
    let shop = usize::try_from(number)
        .ok()
        .and_then(|number| platform.shop(number));
    shop.ok_or_else(|| anyhow::anyhow!("there is no shop {number}"))
}

/// `?from=2024-06-16&to=2025-06-15&shop=0`, all optional.
fn truth(platform: &Platform, request: &ClientRequest) -> anyhow::Result<Response> {
    let shop = requested_shop(platform, request)?;
    let day = |name, otherwise: Date| match request.query.get(name) {
        Some(text) => text.parse(),
        None => Ok(otherwise),
    };
    let from = day("from", Date::MIN)?;
    let to = day("to", Date::constant(9000, 1, 1))?;
    json(&platform.view(&shop).truth(from, to))
}

fn patch_scenario(platform: &Platform, request: &ClientRequest) -> anyhow::Result<Response> {
    let patched = platform.scenario().patched(&body(request)?)?;
    platform.set_scenario(patched);
    json(&*platform.scenario())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct QueuedFault {
    endpoint: Endpoint,
    fault: Fault,
}

fn queue_fault(platform: &Platform, request: &ClientRequest) -> anyhow::Result<Response> {
    let queued: QueuedFault = body(request)?;
    platform.queue_fault(queued.endpoint, queued.fault);
    Ok(Response::empty(204))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    seconds: f64,
}

fn advance(platform: &Platform, request: &ClientRequest) -> anyhow::Result<Response> {
    let advance: Advance = body(request)?;
    platform
        .clock
        .advance(Duration::try_from_secs_f64(advance.seconds)?);
    json(&platform.clock.now())
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Change {
    Insert { created_at: Option<Timestamp> },
    Edit { id: i64, status: Option<Original> },
    Delete { id: i64 },
    Hide { id: i64 },
    Unhide { id: i64 },
}

/// An insertion without a moment happens now; an edit without a status changes
/// what `ShopHandle` says that it changes.
fn change(
    platform: &Platform,
    request: &ClientRequest,
    resource: Resource,
) -> anyhow::Result<Response> {
    let shop = requested_shop(platform, request)?;
    let now = platform.clock.now();
    let updated_at = now.as_second();
    let id = match body(request)? {
        Change::Insert { created_at } => {
            Some(shop.insert(resource, created_at.unwrap_or(now).as_second()))
        }
        Change::Edit { id, status } => shop
            .edit(resource, id, updated_at, |edit| match status {
                Some(status) => edit.status = Some(status),
                None => edit.steps += 1,
            })
            .then_some(id),
        Change::Delete { id } => shop.delete(resource, id).then_some(id),
        Change::Hide { id } => shop.hide(resource, id).then_some(id),
        Change::Unhide { id } => shop.unhide(resource, id, updated_at).then_some(id),
    };
    let id = id.ok_or_else(|| anyhow::anyhow!("there is no such record"))?;
    json(&serde_json::json!({ "id": id }))
}

fn drift(platform: &Platform, request: &ClientRequest) -> anyhow::Result<Response> {
    let shop = requested_shop(platform, request)?;
    json(&locked(&shop.drift).events())
}

#[derive(Serialize)]
struct ShopLine<'a> {
    shop: usize,
    merchant_id: i64,
    name: &'a str,
    access_token: &'a str,
    refresh_token: &'a str,
}

fn shops(platform: &Platform) -> serde_json::Value {
    let lines = platform.shops();
    let lines = lines.iter().enumerate().map(|(number, state)| ShopLine {
        shop: number,
        merchant_id: state.shop.id,
        name: &state.shop.spec.name,
        access_token: &state.tokens.access,
        refresh_token: &state.tokens.refresh,
    });
    serde_json::json!({
        "client_id": crate::accounts::CLIENT_ID,
        "client_secret": crate::accounts::CLIENT_SECRET,
        "shops": lines.collect::<Vec<_>>(),
    })
}
