//! The tracks of one record: ids, dates and codes, never its content.

use domain::order::Completeness;
use domain::resource::Resource;
use domain::window::DayRange;
use importer::ports::inspection::{PlatformRecord, Trace, TracedRun, TracedSource};
use importer::ports::runs::{Run, ShopSummary};
use importer::trace::{RecordStatus, run_of, status_of};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::line;
use crate::cli::TraceArgs;

/// `orders 17` as `order 17`.
fn name(resource: Resource, id: i64) -> String {
    let one = match resource {
        Resource::Orders => "order",
        Resource::Customers => "customer",
        Resource::Products => "product",
        Resource::Categories => "category",
        Resource::OrderStatuses => "order status",
    };
    format!("{one} {id}")
}

fn entry(title: &str, text: impl std::fmt::Display) {
    line(format!("  {title:<10} {text}"));
}

fn moment(at: Timestamp) -> impl std::fmt::Display {
    at.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
}

pub fn print_trace(trace: &Trace) {
    let number = trace.row.as_ref().and_then(|row| row.reference_id);
    let number = number.map_or(String::new(), |number| format!(" (number {number})"));
    let what = name(trace.resource, trace.id);
    line(format!("{what}{number} of {}", trace.shop.name));
    entry("state", sentence(trace));
    if let Some(day) = trace.row.as_ref().and_then(|row| row.created_on) {
        entry("created", placed(trace.resource, day, &trace.runs));
    }
    if let Some(source) = &trace.source {
        print_source(source);
    }
    for listing in &trace.listed {
        let part = match (listing.days, listing.slice) {
            (Some(days), _) => format!("window {days}"),
            (None, Some(slice)) => format!("slice {slice}"),
            (None, None) => "the whole list".to_owned(),
        };
        entry(
            "listed",
            format!(
                "page {} of {part}, scan {}, landed {}",
                listing.page,
                listing.walk,
                moment(listing.landed_at)
            ),
        );
    }
    for rejection in &trace.rejections {
        let after = rejection.resolved_at.map_or_else(
            || "open".to_owned(),
            |at| format!("closed {}, it has loaded since", moment(at)),
        );
        entry(
            "rejected",
            format!(
                "{} at {} ({}), seen {}: {}; {after}",
                rejection.code,
                rejection.json_path,
                rejection.kind,
                moment(rejection.last_seen_at),
                rejection.message
            ),
        );
    }
}

fn sentence(trace: &Trace) -> String {
    match status_of(trace) {
        RecordStatus::Loaded if trace.resource == Resource::Orders => {
            "loaded, with its line items".to_owned()
        }
        RecordStatus::Loaded => "loaded".to_owned(),
        RecordStatus::LoadedInPart if trace.details_pending => {
            "loaded; its line items are not fetched yet: run `salla-sync import`".to_owned()
        }
        RecordStatus::LoadedInPart => {
            "loaded without line items: run `salla-sync import --again`".to_owned()
        }
        RecordStatus::KnownFromOrders => {
            "known only from an order; it was not in Salla's list".to_owned()
        }
        RecordStatus::Rejected => "rejected, because it cannot be read; its raw text is stored: \
             see `salla-sync rejected --raw`"
            .to_owned(),
        RecordStatus::Gone { at } => {
            format!("gone: Salla no longer had it at {}", moment(at))
        }
        RecordStatus::Missing => {
            "it was read, but its row was deleted from the database; `salla-sync import --again` \
             restores it"
                .to_owned()
        }
    }
}

fn placed(resource: Resource, day: Date, runs: &[TracedRun]) -> String {
    if !resource.has_windows() {
        return day.to_string();
    }
    match run_of(runs, day) {
        Some(run) => format!("{day} (Riyadh), inside the imported days {}", run.range),
        None => format!("{day} (Riyadh), outside the imported days"),
    }
}

fn print_source(source: &TracedSource) {
    if let Some(version) = source.list_version {
        let since = source.list_since.filter(|since| *since < version);
        let since = since.map_or(String::new(), |since| {
            format!(", unchanged since {}", moment(since))
        });
        entry("list row", format!("as of {}{since}", moment(version)));
    }
    if let Some(version) = source.detail_version {
        entry("whole", format!("as of {}", moment(version)));
    }
    let kept = [
        (source.list_text_kept, "list row"),
        (source.detail_text_kept, "whole order"),
        (source.items_text_kept, "items"),
    ];
    let kept: Vec<&str> = kept
        .iter()
        .filter_map(|(kept, what)| kept.then_some(*what))
        .collect();
    let kept = match kept.as_slice() {
        [] => "not kept".to_owned(),
        kept => format!("kept: {}", kept.join(", ")),
    };
    entry("raw text", kept);
}

/// A shop, its latest run, and the days whose orders were read whole.
pub struct ImportedShop {
    pub shop: ShopSummary,
    pub run: Option<Run>,
    pub days: Vec<DayRange>,
}

pub fn print_unknown(resource: Resource, number: i64, shops: &[ImportedShop]) {
    let what = name(resource, number);
    line(format!("{what}: unknown to this database."));
    for imported in shops {
        let name = &imported.shop.name;
        match &imported.run {
            None => line(format!("  {name}: nothing has been imported.")),
            Some(run) if resource.has_windows() && !imported.days.is_empty() => {
                let days: Vec<String> = imported.days.iter().map(DayRange::to_string).collect();
                let days = days.join(", ");
                line(format!(
                    "  {name}: the orders of {days} are imported; the latest run is {}.",
                    run.state
                ));
            }
            Some(run) => line(format!("  {name}: the latest run is {}.", run.state)),
        }
    }
    line(
        "  It was created on other days, or after the import, or Salla never listed it: drafts and \
         deleted orders are not listed. A record with an unreadable id is rejected without its id.",
    );
}

/// What Salla has now, or how to fetch it.
pub fn print_platform_record(
    arguments: &TraceArgs,
    resource: Resource,
    traces: &[Trace],
    shops: &[ImportedShop],
    asked: Option<&Option<PlatformRecord>>,
) {
    match asked {
        None if matches!(resource, Resource::Categories | Resource::OrderStatuses) => {}
        None => entry(
            "Salla",
            format!(
                "not checked: salla-sync trace {} --resource {resource} --fetch",
                arguments.number
            ),
        ),
        Some(None) => entry("Salla", "does not have it (any more)"),
        Some(Some(seen)) => {
            entry("Salla", described(seen));
            if let ([], Some(day)) = (traces, seen.created_on) {
                explain(resource, day, shops);
            }
        }
    }
}

fn described(seen: &PlatformRecord) -> String {
    if let Some(rejection) = &seen.rejection {
        return format!(
            "has it, but it would be rejected: {} at {}: {}",
            rejection.code, rejection.path, rejection.message
        );
    }
    let mut text = "has it".to_owned();
    let parts = [
        ("id", seen.id.map(|id| id.to_string())),
        ("number", seen.reference_id.map(|number| number.to_string())),
        ("created", seen.created_on.map(|day| day.to_string())),
        ("status", seen.status.clone()),
    ];
    for (what, value) in parts {
        if let Some(value) = value {
            text.push_str(&format!(", {what} {value}"));
        }
    }
    if seen.completeness == Some(Completeness::Full) {
        text.push_str(", with line items");
    }
    text
}

/// Why a record that Salla has may be unknown here.
fn explain(resource: Resource, day: Date, shops: &[ImportedShop]) {
    let within = |imported: &ImportedShop| imported.days.iter().any(|days| days.contains(day));
    line(if resource.has_windows() && !shops.iter().any(within) {
        "  It was created outside of the imported days: `salla-sync extend` imports older orders."
    } else {
        "  It was created on imported days but not listed when they were read: it was created \
         later, or was a draft then. `salla-sync import --again` fetches the shop again."
    });
}
