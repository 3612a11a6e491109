//! The certificate, as a table.

use domain::certificate::{Certificate, Proof, WindowCounts};
use domain::plan::MAX_ROWS_PER_WINDOW;
use domain::resource::Resource;
use jiff::tz::TimeZone;

use super::table::Table;
use super::{count, line};

pub fn print(certificate: &Certificate) {
    let as_of = certificate.as_of.to_zoned(TimeZone::UTC);
    line("");
    line(format!(
        "CERTIFICATE  {}, as of {}",
        subject(certificate),
        as_of.strftime("%Y-%m-%d %H:%M:%S UTC")
    ));
    line(windows(certificate));
    print_vanished(certificate);
    print_months(certificate);
    print_rejections(certificate);
    line(verdict(certificate));
}

/// What the run read.
fn subject(certificate: &Certificate) -> String {
    let mut resources = certificate.windows.iter().map(|w| w.listing.resource);
    match resources.clone().next() {
        Some(first) if !resources.any(Resource::has_windows) => format!("{first} only"),
        _ => format!(
            "orders of {} to {}",
            certificate.range.from, certificate.range.to
        ),
    }
}

fn windows(certificate: &Certificate) -> Table {
    let mut table = Table::new([
        "resource",
        "window",
        "reported",
        "distinct",
        "loaded",
        "rejected",
        "gone",
        "details needed",
        "details loaded",
        "walks",
        "",
    ]);
    for w in &certificate.windows {
        table.row([
            w.listing.resource.to_string(),
            w.listing
                .days
                .map_or("whole".into(), |days| days.to_string()),
            count(w.listing.reported),
            count(w.listing.listed()),
            count(w.loaded),
            count(w.rejected),
            count(w.gone),
            details(w, w.details_needed),
            details(w, w.details_loaded),
            w.listing.walks.to_string(),
            remark(w),
        ]);
    }
    table
}

fn details(window: &WindowCounts, number: u64) -> String {
    match window.listing.resource {
        Resource::Orders => count(number),
        _ => String::new(),
    }
}

fn remark(window: &WindowCounts) -> String {
    if window.listing.proof() != Proof::Unproven && !window.records_are_accounted_for() {
        return "INCOMPLETE".to_owned();
    }
    match window.listing.proof() {
        Proof::CutShort => "cut short".to_owned(),
        Proof::Proven => "balanced".to_owned(),
        Proof::Settled => format!("settled, Salla says {:+}", window.listing.difference()),
        Proof::Unproven if window.listing.reported >= MAX_ROWS_PER_WINDOW => {
            "CANNOT BE PROVEN: above 10,000 rows".to_owned()
        }
        Proof::Unproven if !window.listing.total_was_stable => "CHANGED WHILE READ".to_owned(),
        Proof::Unproven => match window.listing.difference() {
            0 => "CHANGED BETWEEN WALKS".to_owned(),
            difference => format!("DIFFERS BY {difference:+}"),
        },
    }
}

fn print_vanished(certificate: &Certificate) {
    if certificate.vanished > 0 {
        line(format!(
            "{} order(s) are gone: Salla no longer has them, and a tombstone is kept.",
            count(certificate.vanished)
        ));
    }
    if certificate.unlisted > 0 {
        line(format!(
            "{} order(s) are in the database that Salla still has but does not list.",
            count(certificate.unlisted)
        ));
    }
}

fn print_months(certificate: &Certificate) {
    if certificate.month_totals.is_empty() {
        return;
    }
    line("");
    let mut table = Table::new(["month", "currency", "orders", "total"]);
    for month in &certificate.month_totals {
        table.row([
            month.month.strftime("%Y-%m").to_string(),
            month.currency.clone(),
            count(month.orders),
            format!("{:.2}", month.total),
        ]);
    }
    line(table);
}

fn print_rejections(certificate: &Certificate) {
    if certificate.rejections.is_empty() {
        return;
    }
    line("");
    let mut table = Table::new(["set aside", "reason", "records"]);
    for rejection in &certificate.rejections {
        table.row([
            rejection.resource.to_string(),
            rejection.code.clone(),
            count(rejection.count),
        ]);
    }
    line(table);
}

fn verdict(certificate: &Certificate) -> String {
    if certificate.windows.iter().any(|w| w.listing.cut_short) {
        return "\nThis was a first try with --max-orders: it proves only what it read.".to_owned();
    }
    let settled = certificate
        .windows
        .iter()
        .any(|w| w.listing.proof() == Proof::Settled);
    if certificate.balances() && settled {
        return "\nEverything that Salla lists is in the database, or set aside with a reason, or \
                gone. Salla's own count differs slightly where a window is settled: two walks \
                gave the same records."
            .to_owned();
    }
    if certificate.balances() {
        return "\nEverything that Salla lists is in the database, or set aside with a reason, or \
                gone."
            .to_owned();
    }
    format!(
        "\n{} window(s) do not balance: Salla's list changed on every walk, or reports records \
         that it does not list. Everything that was read is kept.",
        certificate.unbalanced().count()
    )
}
