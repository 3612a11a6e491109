//! What must hold when a case is over.

use entrypoints::truth_check;
use sqlx::AssertSqlSafe;

use crate::case::FIRST;
use crate::plan::{DriftEnd, Plan};
use crate::service::Service;
use salla_simulator::{AppAge, Endpoint, InvalidKind, ItemLoss, Lists, Resource};

/// Pages that may be under way when an import is interrupted, fetched and not landed.
const PAGES_UNDER_WAY: u64 = 48;

/// Requests for details that may be: two for each of 256 orders.
const DETAILS_UNDER_WAY: u64 = 2 * 256;

/// Planning reads one order, and reconciliation the handful that may have been updated last, by two
/// requests each.
const DETAILS_IN_DOUBT: u64 = 12;

/// Every row of every table, and the certificate, against the truth.
pub(crate) async fn compare(plan: &Plan, service: &Service) -> Result<(), String> {
    judged(differences(plan, service).await?)
}

/// The orders alone: a run that resumed after the shop had changed does not read its customers and
/// products again.
pub(crate) async fn compare_orders(plan: &Plan, service: &Service) -> Result<(), String> {
    let mut differences = differences(plan, service).await?;
    differences.retain(|line| line.starts_with("order") || line.starts_with("certified"));
    judged(differences)
}

fn judged(differences: Vec<String>) -> Result<(), String> {
    match differences.is_empty() {
        true => Ok(()),
        false => Err(differences.join("\n")),
    }
}

async fn differences(plan: &Plan, service: &Service) -> Result<Vec<String>, String> {
    differences_of(plan, service, FIRST).await
}

pub(crate) async fn differences_of(
    plan: &Plan,
    service: &Service,
    shop: usize,
) -> Result<Vec<String>, String> {
    let Some((merchant, certificate)) = service.certificate_of(shop).await else {
        return Err("there is no certificate".to_owned());
    };
    let truth = service.simulator.shops()[shop].view();
    let pool = service.place.pool();
    let differences = truth_check::differences(pool, merchant, &certificate, &truth).await;
    let mut differences = differences.map_err(|error| format!("{error:#}"))?;
    // A broken record without an id is known by its text: two that are the same to the
    // last letter are one, and one that is written otherwise after a while is two. And a
    // broken record that is deleted stays on record.
    let broken = truth.truth(certificate.range.from, certificate.range.to);
    let loose = |resource| {
        let mut kinds = broken.rejections.iter().filter(|r| r.resource == resource);
        plan.drift != DriftEnd::Still
            || plan.scenario.item_loss != ItemLoss::default()
            || kinds.any(|r| r.kind == InvalidKind::NotAnObject)
    };
    for (resource, name) in [
        (Resource::Orders, "orders were rejected"),
        (Resource::Customers, "customers were rejected"),
        (Resource::Products, "products were rejected"),
    ] {
        differences.retain(|line| !(loose(resource) && line.contains(name)));
    }
    if plan.drift != DriftEnd::Still {
        differences.retain(|line| !line.contains("was rejected although"));
    }
    Ok(differences)
}

/// What Salla had to bear.
pub(crate) fn ledger(plan: &Plan, service: &Service) -> Result<(), String> {
    let ledger = service.simulator.ledger();
    if ledger.refresh_reuses > 0 && !plan.may_lose_a_refresh() {
        return Err("a spent refresh token was presented again".to_owned());
    }
    if ledger.known_refresh_reuses > 0 {
        return Err("a refresh token was presented again whose use was known".to_owned());
    }
    if ledger.max_presentations_of_a_token > 2 {
        return Err("a refresh token was presented more than once again".to_owned());
    }
    let order_lists = ledger.by_endpoint.get(&Endpoint::Orders).copied();
    // Of this shop alone.
    let ledger = service.simulator.first_shop().ledger();
    let details: u64 = ledger.repeated_details.values().sum();
    let starts = service.starts();
    let interruptions = plan.disruption.interruptions() + starts - 1;
    let is_still = plan.drift == DriftEnd::Still;
    // Where no day is ever proven, orders that its last scan missed are asked for.
    let is_proven = is_still && !plan.lies_beyond_settling();
    let allowed = DETAILS_UNDER_WAY * interruptions
        + DETAILS_IN_DOUBT * starts
        + seemingly_edited(plan, order_lists.unwrap_or(0));
    if is_proven && details > allowed {
        return Err(format!("{details} details were asked for again"));
    }
    let pages: u64 = ledger.avoidable_pages.values().sum();
    let is_honest = is_still && plan.scenario.lists == Lists::default();
    let planned = planned_repetitions(plan, starts);
    if is_honest && pages > planned + PAGES_UNDER_WAY * interruptions {
        return Err(format!(
            "{pages} pages were asked for again, {planned} of them on purpose"
        ));
    }
    let waits = ledger.throttled + interruptions;
    if ledger.sent_while_held > 8 * waits + 4 {
        return Err(format!(
            "{} requests were sent although Salla had asked to wait",
            ledger.sent_while_held
        ));
    }
    Ok(())
}

/// Requests for details of orders that look edited. The simulator damages the first record of
/// each list that it sends, so the row of an order differs between two lists if it was the
/// first one in one of them alone. What a list shows otherwise than before is rightly asked for.
fn seemingly_edited(plan: &Plan, order_lists: u64) -> u64 {
    let per_order = match plan.scenario.app_age {
        _ if plan.scenario.quirks.damaged_texts.is_none() => 0,
        AppAge::Expanded => u64::from(plan.scenario.item_loss.expanded_ignored_after.is_some()),
        AppAge::FullDetails => 1,
        AppAge::LightDetails => 2,
    };
    2 * per_order * order_lists
}

/// The second scan of lists that one scan cannot prove, both ends of the customers, and what
/// planning and reconciliation read.
fn planned_repetitions(plan: &Plan, starts: u64) -> u64 {
    let scenario = &plan.scenario;
    let pages = |rows: u64| rows / scenario.page_cap + 1;
    let whole = pages(scenario.shop.products) + pages(scenario.shop.categories) + 4;
    let windows = 4 * u64::from(plan.months) + 8;
    whole + windows + 12 * starts
}

/// All that an import writes, with the transactions that wrote it; not who is
/// connected and what is left of shared budgets, which are no part of a run.
pub(crate) async fn fingerprint(service: &Service) -> Vec<(String, String)> {
    let pool = service.place.pool();
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
          WHERE schemaname IN ('salla', 'salla_sync')
            AND tablename NOT IN
              ('connections', 'merchants', 'shared_budgets', 'budget_grants', 'budget_takers')
          ORDER BY 1",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    let mut prints = Vec::new();
    for table in tables {
        let sql = format!(
            "SELECT count(*) || ' ' || coalesce(md5(string_agg(line, '' ORDER BY line)), '')
               FROM (SELECT t.xmin::text || t::text AS line FROM {table} t) lines"
        );
        let print = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(pool).await;
        prints.push((table, print.unwrap()));
    }
    prints
}
