//! The certificate, as a table.

use std::collections::BTreeSet;

use domain::certificate::{Certificate, EntryCounts, Listing, Proof, WindowCounts};
use domain::numbers::with_digits;
use domain::resource::Resource;
use domain::slice::{ProductStatus, Slice};
use jiff::tz::TimeZone;

use super::table::Table;
use super::{count, line, lines};

pub fn print(certificate: &Certificate) {
    let as_of = certificate.as_of.to_zoned(TimeZone::UTC);
    line("");
    line(format!(
        "CERTIFICATE  {}, as of {}",
        subject(certificate),
        as_of.strftime("%Y-%m-%d %H:%M:%S UTC")
    ));
    lines(windows(certificate));
    print_inside(certificate);
    print_vanished(certificate);
    print_edits(certificate);
    print_months(certificate);
    print_rejections(certificate);
    lines(conclusion(certificate));
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
        "lines",
        "walks",
        "",
    ]);
    let mut summed = BTreeSet::new();
    for w in &certificate.windows {
        if let Some(status) = of_balanced_category(w) {
            if summed.insert(status) {
                table.row(categories(certificate, status));
            }
            continue;
        }
        table.row([
            w.listing.resource.to_string(),
            window(&w.listing),
            count(w.listing.reported),
            count(w.listing.listed()),
            count(w.loaded),
            count(w.rejected),
            count(w.gone),
            details(w, w.details_needed),
            details(w, w.details_loaded),
            entry_counts(w.listing.resource, w.inside.lines),
            w.listing.scans.to_string(),
            remark(w),
        ]);
    }
    table
}

/// There may be hundreds of them, and a line each would hide everything else.
fn of_balanced_category(window: &WindowCounts) -> Option<ProductStatus> {
    match window.listing.slice {
        Some(Slice::Category { status, .. }) if window.balances() && !window.listing.cut_short => {
            Some(status)
        }
        _ => None,
    }
}

/// The balanced categories of one status in one line.
fn categories(certificate: &Certificate, status: ProductStatus) -> [String; 12] {
    let windows = certificate.windows.iter();
    let of_it = windows.filter(|w| of_balanced_category(w) == Some(status));
    let sum = |of: fn(&WindowCounts) -> u64| count(of_it.clone().map(of).sum());
    let scans = of_it.clone().map(|w| w.listing.scans).max();
    let of_lines = |of: fn(&WindowCounts) -> u64| of_it.clone().map(of).sum();
    let inside = EntryCounts {
        listed: of_lines(|w| w.inside.lines.listed),
        held: of_lines(|w| w.inside.lines.held),
    };
    [
        Resource::Products.to_string(),
        format!("{}, {} categories", status.as_str(), of_it.clone().count()),
        sum(|w| w.listing.reported),
        sum(|w| w.listing.listed()),
        sum(|w| w.loaded),
        sum(|w| w.rejected),
        sum(|w| w.gone),
        String::new(),
        String::new(),
        entry_counts(Resource::Products, inside),
        scans.unwrap_or(0).to_string(),
        "balanced".to_owned(),
    ]
}

fn window(listing: &Listing) -> String {
    let part = match (listing.slice, listing.days) {
        (_, Some(days)) => days.to_string(),
        (Some(slice), None) => slice.to_string(),
        (None, None) => "whole".to_owned(),
    };
    match listing.is_sliced {
        true => format!("{part}, in slices"),
        false => part,
    }
}

fn details(window: &WindowCounts, number: u64) -> String {
    match window.listing.resource {
        Resource::Orders => count(number),
        _ => String::new(),
    }
}

/// Line items of orders and variants of products.
fn entry_counts(resource: Resource, lines: EntryCounts) -> String {
    match resource {
        Resource::Orders | Resource::Products if lines.listed == lines.held => count(lines.held),
        Resource::Orders | Resource::Products => {
            format!("{} of {}", count(lines.held), count(lines.listed))
        }
        Resource::Customers | Resource::Categories | Resource::OrderStatuses => String::new(),
    }
}

fn remark(window: &WindowCounts) -> String {
    if window.listing.proof() != Proof::Unproven && !window.inside.balances() {
        return format!(
            "INCOMPLETE: {} differ inside",
            count(window.inside.differing)
        );
    }
    if window.listing.proof() != Proof::Unproven && !window.records_are_accounted_for() {
        return "INCOMPLETE".to_owned();
    }
    match window.listing.proof() {
        Proof::CutShort if window.listing.slice.is_some() => {
            let shown = count(window.listing.ceiling.rows());
            format!("above {shown} rows, not read to its end")
        }
        Proof::CutShort => "cut short".to_owned(),
        Proof::Proven => "balanced".to_owned(),
        Proof::Settled => format!("settled, Salla counts {:+}", window.listing.difference()),
        Proof::Unproven if window.listing.is_sliced => left_over(&window.listing),
        Proof::Unproven if window.listing.ceiling.may_hide(window.listing.reported) => {
            let shown = count(window.listing.ceiling.rows());
            format!("CANNOT BE PROVEN: above {shown} rows")
        }
        Proof::Unproven if !window.listing.total_was_stable => "CHANGED WHILE READ".to_owned(),
        Proof::Unproven => match window.listing.difference() {
            0 => "CHANGED BETWEEN SCANS".to_owned(),
            difference => format!("DIFFERS BY {difference:+}"),
        },
    }
}

/// Why the slices of a list do not prove it.
fn left_over(listing: &Listing) -> String {
    match listing.difference() {
        0 => "CHANGED WHILE READ".to_owned(),
        missing @ 1.. => format!(
            "CANNOT BE PROVEN: {} in no slice",
            count(missing.cast_unsigned())
        ),
        more => format!(
            "CANNOT BE PROVEN: Salla counts {} too few",
            count(more.unsigned_abs())
        ),
    }
}

/// Where the rows inside records are not what Salla sent.
fn print_inside(certificate: &Certificate) {
    for w in certificate.windows.iter().filter(|w| !w.inside.balances()) {
        let others = w.inside.others;
        if others.listed != others.held {
            line(format!(
                "{} {}: {} of {} discounts or categories are in the database.",
                w.listing.resource,
                window(&w.listing),
                count(others.held),
                count(others.listed)
            ));
        }
        for total in w.inside.totals.iter().filter(|t| t.read != t.held) {
            line(format!(
                "{} {}: the totals in {} add up to {} and should be {}.",
                w.listing.resource,
                window(&w.listing),
                total.currency,
                with_digits(total.held, &total.currency),
                with_digits(total.read, &total.currency)
            ));
        }
    }
}

fn print_vanished(certificate: &Certificate) {
    if certificate.vanished > 0 {
        line(format!(
            "{} order(s) are gone: Salla no longer has them, and a tombstone is stored.",
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

/// Salla does not list edits of customers and products, so they are known as of the time at
/// which their lists were read whole.
fn print_edits(certificate: &Certificate) {
    for resource in [Resource::Customers, Resource::Products] {
        let windows = certificate.windows.iter().map(|window| &window.listing);
        let of_it = windows.filter(|w| w.resource == resource && w.carried_at.is_some());
        if let Some(read_at) = of_it.filter_map(|listing| listing.read_at).min() {
            line(format!(
                "Edits of {resource} are known as of {}; `salla-sync import --refresh-lists` \
                 reads them.",
                read_at.strftime("%Y-%m-%d %H:%M:%S UTC")
            ));
        }
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
            with_digits(month.total, &month.currency).to_string(),
        ]);
    }
    lines(table);
    let without: u64 = certificate
        .month_totals
        .iter()
        .map(|m| m.without_total)
        .sum();
    if without > 0 {
        line(format!(
            "{} order(s) have no total, because Salla gives none; they are not in the sums.",
            count(without)
        ));
    }
}

fn print_rejections(certificate: &Certificate) {
    if certificate.rejections.is_empty() {
        return;
    }
    line("");
    let mut table = Table::new(["rejected", "reason", "records"]);
    for rejection in &certificate.rejections {
        table.row([
            rejection.resource.to_string(),
            rejection.code.clone(),
            count(rejection.count),
        ]);
    }
    lines(table);
}

fn conclusion(certificate: &Certificate) -> String {
    let is_first_try = |w: &WindowCounts| w.listing.cut_short && w.listing.slice.is_none();
    if certificate.windows.iter().any(is_first_try) {
        return "\nThis was a first test with --max-orders: it proves only what it read."
            .to_owned();
    }
    let settled = certificate
        .windows
        .iter()
        .any(|w| w.listing.proof() == Proof::Settled);
    if certificate.balances() && settled {
        return "\nEverything that Salla lists is in the database, or rejected with a reason, or \
             gone. Salla's own count differs slightly where a window is settled: two scans \
             returned the same records."
            .to_owned();
    }
    if certificate.balances() {
        return "\nEverything that Salla lists is in the database, or rejected with a reason, or \
             gone."
            .to_owned();
    }
    let inside = certificate
        .windows
        .iter()
        .filter(|w| w.listing.slice.is_none());
    let differing: u64 = inside.map(|w| w.inside.differing).sum();
    if differing > 0 {
        return format!(
            "\n{} record(s) have rows that differ from what Salla sent: `salla-sync import \
             --again` restores them.",
            count(differing)
        );
    }
    format!(
        "\n{} window(s) still differ from Salla's list: it changed on every scan, or counts \
         records that it does not list. Everything that was read is stored.",
        certificate.unbalanced().count()
    )
}

#[cfg(test)]
mod tests {
    use domain::ceiling::Ceiling;
    use domain::certificate::InsideCounts;
    use domain::run::WindowId;

    use super::*;

    fn products(slice: Option<Slice>, reported: u64, listed: u64) -> WindowCounts {
        WindowCounts {
            listing: Listing {
                window: WindowId(1),
                resource: Resource::Products,
                days: None,
                slice,
                is_sliced: slice.is_none(),
                scans: 2,
                reported,
                total_was_stable: true,
                distinct: listed,
                without_id: 0,
                cut_short: false,
                pages: 1,
                same_as_before: true,
                contains_before: true,
                ends_rescanned: false,
                total_only_grew: true,
                ceiling: Ceiling::UNKNOWN,
                read_at: None,
                carried_at: None,
            },
            loaded: listed,
            rejected: 0,
            gone: 0,
            details_needed: 0,
            details_loaded: 0,
            inside: InsideCounts::default(),
        }
    }

    #[test]
    fn a_list_in_slices_says_what_none_of_them_holds() {
        let table = [
            (30_000, 30_000, "balanced"),
            (30_000, 29_950, "CANNOT BE PROVEN: 50 in no slice"),
            (
                10_000,
                30_000,
                "CANNOT BE PROVEN: Salla counts 20,000 too few",
            ),
        ];
        for (reported, listed, said) in table {
            let whole = products(None, reported, listed);
            assert_eq!(remark(&whole), said);
            assert_eq!(window(&whole.listing), "whole, in slices");
        }
    }

    #[test]
    fn only_categories_that_do_not_balance_have_a_line_of_their_own() {
        let category = Slice::Category {
            status: ProductStatus::Sale,
            category: 7,
        };
        let balanced = products(Some(category), 70, 70);
        assert_eq!(of_balanced_category(&balanced), Some(ProductStatus::Sale));
        let short = products(Some(category), 70, 60);
        assert_eq!(of_balanced_category(&short), None);
        assert_eq!(window(&short.listing), "sale, category 7");
        let status = products(Some(Slice::Status(ProductStatus::Sale)), 70, 70);
        assert_eq!(of_balanced_category(&status), None);
    }
}
