//! The database against what Salla says now.

use std::time::Duration;

use domain::window::DayRange;
use importer::verify::{CountDifference, OrderComparison, OrderOutcome, WindowComparison};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::table::Table;
use super::{count, duration, line, lines, note};

/// What it takes, said before it is done.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Cost {
    pub requests: u64,
    pub least_seconds: u64,
}

pub fn print_cost(windows: usize, orders: u64, cost: Cost) {
    let orders = match orders {
        0 => String::new(),
        orders => format!(" and {} single orders", count(orders)),
    };
    note(format!(
        "Fetching {windows} counts{orders} from Salla: {} requests, at least {}. Nothing is \
         changed.",
        count(cost.requests),
        duration(Duration::from_secs(cost.least_seconds))
    ));
}

pub fn print_windows(windows: &[WindowComparison], as_of: Timestamp) {
    let as_of = as_of.to_zoned(TimeZone::UTC);
    line(format!(
        "Imported as of {}:",
        as_of.strftime("%Y-%m-%d %H:%M:%S UTC")
    ));
    let mut table = Table::new([
        "resource",
        "window",
        "Salla now",
        "database",
        "difference",
        "meaning",
    ]);
    for window in windows {
        table.row([
            window.resource.to_string(),
            window.days.map_or("whole".into(), |days| days.to_string()),
            count(window.platform_now),
            count(window.held),
            match window.difference() {
                0 => "0".to_owned(),
                difference => format!("{difference:+}"),
            },
            meaning(window),
        ]);
    }
    lines(table);
    let missing = windows.iter().filter(|w| w.meaning.is_missing()).count();
    line(match missing {
        0 => "The database has everything that the import listed.".to_owned(),
        windows => format!("Records are missing from the database in {windows} window(s)."),
    });
}

/// Says what was left out.
pub fn print_skipped_days(days: &[DayRange]) {
    if !days.is_empty() {
        let days: Vec<String> = days.iter().map(DayRange::to_string).collect();
        line(format!(
            "Not compared, because they were read separately: the orders of {}.",
            days.join(", ")
        ));
    }
}

/// What has changed since, beside a count of Salla's that was off before.
fn meaning(window: &WindowComparison) -> String {
    let change = change(window.meaning);
    match window.settled_difference {
        0 => change,
        difference => format!("{change}, Salla counts {difference:+}"),
    }
}

fn change(meaning: CountDifference) -> String {
    match meaning {
        CountDifference::Fits => "fits".to_owned(),
        CountDifference::ArrivedSince(records) => format!("{} arrived since", count(records)),
        CountDifference::DeletedSince(records) => format!("{} deleted since", count(records)),
        CountDifference::Lost(records) => {
            format!(
                "MISSING: {} were listed and are not in the database",
                count(records)
            )
        }
        CountDifference::Altered(records) => {
            format!("ALTERED: {} differ from what was read", count(records))
        }
        CountDifference::Lacking(records) => {
            format!("MISSING: {} appeared on past days", count(records))
        }
        CountDifference::CutShort => "a first test, not read to its end".to_owned(),
    }
}

pub fn print_orders(orders: &[OrderComparison]) {
    let same = orders.iter().filter(|o| o.outcome == OrderOutcome::Same);
    lines(format!(
        "\nOf {} orders compared field by field, {} are the same.",
        count(orders.len() as u64),
        count(same.count() as u64)
    ));
    let mut table = Table::new(["order", "finding"]);
    for order in orders {
        let finding = match &order.outcome {
            OrderOutcome::Same => continue,
            OrderOutcome::ChangedSince(fields) => format!("changed since: {}", fields.join(", ")),
            OrderOutcome::Differs(fields) => format!("DIFFERS: {}", fields.join(", ")),
            OrderOutcome::GoneSince => "Salla no longer has it".to_owned(),
            OrderOutcome::NotUnderstood(code) => format!("UNREADABLE now: {code}"),
        };
        table.row([order.id.to_string(), finding]);
    }
    if !table.is_empty() {
        lines(table);
    }
}
