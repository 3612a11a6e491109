//! The plan of a run, as a person reads it before anything is fetched.

use std::time::Duration;

use domain::plan::{Budget, DetailCase, Plan, pages};

use super::table::Table;
use super::{count, duration, line, lines, notes};
use crate::aws_cost::ImportCost;

/// Prints to standard output, where the plan is the result of a command.
pub fn print(plan: &Plan) {
    lines(text(plan));
}

/// What the import would cost on AWS, as the result of a command.
pub fn print_cost(cost: &ImportCost) {
    let dollars = |dollars: f64| match dollars < 0.01 {
        true => "less than 1 cent".to_owned(),
        false => format!("{dollars:.2} dollars"),
    };
    lines(format!(
        "\nOn AWS, with the worker of deploy/aws/template.yaml (arm64, 512 MiB; list prices of \
         us-east-1\nin November 2026, an import that takes as long as Salla's limits make it):\n\
         \x20 Lambda  {} invocations, {:.0} GB-seconds: {}\n\
         \x20 SQS     {} requests: {}\n\
         \x20 NAT     {:.2} GB: {}\n\
         \x20 total   {}; in a container of a quarter of a processor: {}\n\
         Each month besides, for the NAT gateway and its address: {:.2} dollars.\n\
         The database is not among this. docs/deploy-aws.md says when containers are the better \
         choice.",
        count(cost.invocations),
        cost.gb_seconds,
        dollars(cost.dollars.lambda),
        count(cost.queue_requests),
        dollars(cost.dollars.sqs),
        cost.nat_gb,
        dollars(cost.dollars.nat),
        dollars(cost.dollars.total),
        dollars(cost.container_dollars),
        cost.dollars_each_month,
    ));
}

/// Prints to standard error, where the result is yet to come.
pub fn print_to_stderr(plan: &Plan) {
    notes(text(plan));
}

fn text(plan: &Plan) -> String {
    let probe = &plan.probe;
    let mut text = if plan.windows.is_empty() {
        "Plan: no orders, only what is listed with requests.\n".to_owned()
    } else {
        format!(
            "Plan: orders of {} to {}; {}.\n",
            probe.range.from,
            probe.range.to,
            probe.detail_case.reason()
        )
    };
    if let Some(most) = probe.max_orders {
        text += &format!(
            "A first test: at most {} rows of each list (--max-orders).\n",
            count(most)
        );
    }
    let mut table = Table::new(["", "records", "requests"]);
    let limited = |rows: u64| count(probe.max_orders.map_or(rows, |most| most.min(rows)));
    table.row([
        "orders".into(),
        limited(probe.orders),
        count(plan.order_pages),
    ]);
    table.row([
        "order details".into(),
        String::new(),
        count(plan.detail_requests),
    ]);
    table.row(match probe.customers {
        Some(customers) => [
            "customers".into(),
            limited(customers),
            count(plan.customer_pages),
        ],
        None => ["customers".into(), "not counted yet".into(), "?".into()],
    });
    table.row([
        "products".into(),
        limited(probe.products),
        count(plan.product_pages),
    ]);
    table.row(["other".into(), String::new(), count(plan.other_requests)]);
    table.row(["planning".into(), String::new(), count(probe.requests)]);
    table.row([
        "closing check".into(),
        String::new(),
        count(plan.closing_requests),
    ]);
    table.row(["total".into(), String::new(), count(plan.requests())]);
    text + &format!("{table}\n{}\n", floor_sentence(plan))
        + customers_sentence(plan)
        + &ceiling_sentence(plan)
}

fn customers_sentence(plan: &Plan) -> &'static str {
    match plan.probe.customers {
        Some(_) => "",
        None => {
            "The customers are not counted yet, and neither their requests nor their time are \
             part of this: Salla allows 500 requests for customers in 10 minutes for all shops \
             served from this address, and these are used up. Orders do not wait for them.\n"
        }
    }
}

/// Whether a list has a ceiling is not known before it is read.
fn ceiling_sentence(plan: &Plan) -> String {
    let (ceiling, probe) = (plan.probe.ceiling, &plan.probe);
    let longest = probe.products.max(probe.customers.unwrap_or(0));
    if !ceiling.may_hide(longest) || probe.max_orders.is_some() {
        return String::new();
    }
    format!(
        "Salla may show no more than {} rows of a list. Then products or customers are read in \
         slices, which takes more requests than are counted here.\n",
        count(ceiling.rows())
    )
}

/// Why it will last as long as it will.
fn floor_sentence(plan: &Plan) -> String {
    let budget = &plan.probe.budget;
    let floor = Duration::from_secs(plan.floor_seconds());
    match budget.requests_per_minute {
        None => "No rate limit is known for this shop yet; Salla's responses report it.".to_owned(),
        Some(limit) => {
            let share = if budget.share < 1.0 {
                format!(", of which {:.0} % are ours", budget.share * 100.0)
            } else {
                String::new()
            };
            let least = if floor.is_zero() {
                "the import fits into the budget of one minute".to_owned()
            } else {
                format!("the import takes at least {}", duration(floor))
            };
            format!("Salla allows this shop {limit} requests a minute{share}: {least}.")
        }
    }
}

/// Floors by plan, detail case and size, for `plan`.
pub fn print_floors(share: f64) {
    line("The minimum time that Salla's limits allow (with, and without, the one request a second");
    line("that Salla accepts after a minute's budget is used up):");
    let mut table = Table::new([
        "orders",
        "case",
        "plus 120/min",
        "pro 360/min",
        "special 720/min",
    ]);
    for orders in [10_000, 50_000, 100_000] {
        for case in [
            DetailCase::Expanded,
            DetailCase::Details,
            DetailCase::DetailsAndItems,
        ] {
            let requests = pages(orders, 60) + orders * case.requests_per_order();
            let cells = [120, 360, 720].map(|limit| both_floors(limit, share, requests));
            let [plus, pro, special] = cells;
            table.row([count(orders), case.as_str().into(), plus, pro, special]);
        }
    }
    lines(table);
}

fn both_floors(limit: u32, share: f64, requests: u64) -> String {
    let budget = Budget {
        requests_per_minute: Some(limit),
        share,
    };
    let without = requests.saturating_sub(1) / budget.burst().unwrap_or(1) * 60;
    format!(
        "{} ({})",
        duration(Duration::from_secs(budget.floor_seconds(requests))),
        duration(Duration::from_secs(without))
    )
}

#[cfg(test)]
mod tests {
    use domain::plan::PlanInputs;
    use domain::window::{DayRange, Overlap};

    use super::*;

    fn plan(customers: Option<u64>) -> Plan {
        Plan::new(PlanInputs {
            range: DayRange::last_months("2025-06-15".parse().unwrap(), 12),
            detail_case: DetailCase::Expanded,
            orders: 1_000,
            orders_per_page: 60,
            customers,
            customers_per_page: 60,
            products: 10,
            products_per_page: 60,
            categories: 2,
            overlap: Overlap::INCLUSIVE,
            budget: Budget {
                requests_per_minute: Some(120),
                share: 1.0,
            },
            max_orders: None,
            is_quiet: false,
            requests: 0,
            recently_updated: vec![],
            last_update: None,
            recent_asked_at: None,
            ceiling: domain::ceiling::Ceiling::UNKNOWN,
        })
    }

    #[test]
    fn a_list_that_may_be_too_long_is_reported() {
        for (customers, is_reported) in [(9_899, false), (9_900, true)] {
            let text = text(&plan(Some(customers)));
            assert_eq!(text.contains("in slices"), is_reported, "{text}");
        }
    }

    #[test]
    fn customers_who_were_not_counted_are_said_to_be_missing() {
        let unknown = text(&plan(None));
        assert!(unknown.contains("not counted yet"), "{unknown}");
        assert!(unknown.contains("neither their requests nor their time"));
        assert!(!text(&plan(Some(600))).contains("not counted"));
    }
}
