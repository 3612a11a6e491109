//! The reconciliation: what changed during the run.
//!
//! An import takes minutes or hours, and the shop keeps changing. A window that was proven early
//! says nothing about its end. So at the end the run checks again, at little cost (decision 9):
//!
//! 1. What was updated last, read up to where that list began when the run did. It
//!    shows edits, and orders that came to light in the middle of a window, which
//!    could hide a deletion in an unchanged `total`.
//! 2. How many orders Salla reports now, in all, and where that is another number, for each
//!    window; and what the ends of each whole list show. What differs, or where an order came
//!    to light, is scanned again; so is all of it where the changes could not be read to their
//!    end.
//! 3. Orders that the database has and no list has: each is asked for and is either
//!    there or gone. Products and customers that a proven list no longer has are gone.
//!
//! The certificate is true as of the moment at which the first of these was asked.

use std::collections::BTreeSet;
use std::sync::Arc;

use domain::certificate::{Listing, Proof};
use domain::failure::Failure;
use domain::instant::riyadh_date;
use domain::plan::Plan;
use domain::resource::Resource;
use domain::window::DayRange;
use jiff::Timestamp;
use jiff::civil::Date;

use super::changes::{ChangeList, Row, read};
use super::context::{RunContext, StartOrder};
use super::known::KnownRows;
use super::pages::beginning;
use super::reader::{WindowReader, begin_rescan};
use super::scan::Scan;
use super::watermark::ZONE_AMBIGUITY;
use super::{details, ends};
use crate::ports::platform::PageRequest;
use crate::ports::runs::StoredWindow;

/// A window to scan again, and what its rows were where only a part of it has to be.
pub(crate) struct Stale {
    pub(crate) window: StoredWindow,
    pub(crate) known: Option<Arc<KnownRows>>,
}

/// The windows of orders to scan again.
pub(crate) async fn stale_order_windows(
    ctx: &RunContext,
    plan: &Plan,
) -> Result<Vec<Stale>, Failure> {
    let windows = done_windows(ctx).await?;
    let orders = windows
        .into_iter()
        .filter(|window| window.resource == Resource::Orders);
    let changes = changes(ctx, plan).await?;
    let moved = moved_scans(ctx, plan, &changes);
    let outdated = match changes.are_all_read {
        true if nothing_is_gone(ctx, &changes).await? => {
            let is_new = |window: &StoredWindow| {
                has_new_orders(ctx, window, &changes) || lies_in(window, &moved)
            };
            orders.filter(is_new).collect()
        }
        true => stale_windows(ctx, orders.collect(), &changes, &moved).await?,
        false => orders.collect(),
    };
    let mut stale = Vec::new();
    for window in outdated {
        let known = match changes.are_all_read && !lies_in(&window, &moved) {
            true => ctx.runs.listed(ctx.lease, window.id).await?,
            false => vec![],
        };
        let known = KnownRows::new(known, changes.days.clone()).map(Arc::new);
        let window = begin_rescan(ctx, window).await?;
        stale.push(Stale { window, known });
    }
    let landing = ctx.landing.as_ref();
    landing.mark_pending(ctx.lease, &changes.to_fetch).await?;
    Ok(stale)
}

/// The lists without windows to scan again.
pub(crate) async fn stale_lists(ctx: &RunContext) -> Result<Vec<StoredWindow>, Failure> {
    let windows = done_windows(ctx).await?.into_iter();
    // Lists that were read in slices are added up afterwards.
    let lists = windows.filter(|w| w.resource != Resource::Orders && !w.is_sliced);
    let checks = lists.map(|window| async move {
        Ok::<_, Failure>(match is_stale_list(ctx, &window).await? {
            true => Some(begin_rescan(ctx, window).await?),
            false => None,
        })
    });
    let checked = futures::future::try_join_all(checks).await?;
    Ok(checked.into_iter().flatten().collect())
}

async fn done_windows(ctx: &RunContext) -> Result<Vec<StoredWindow>, Failure> {
    let windows = ctx.runs.windows(ctx.lease).await?;
    Ok(windows.into_iter().filter(|w| w.done).collect())
}

/// Whether a list that was read whole has to be read again.
async fn is_stale_list(ctx: &RunContext, window: &StoredWindow) -> Result<bool, Failure> {
    let listing = ctx.runs.listing(ctx.lease, window.id).await?;
    if listing.lacks_only_its_ends() {
        let mut reader = WindowReader::resume(ctx, window.clone()).await?;
        let again = ends::reread_ends(&mut reader, listing.cut_short).await?;
        return Ok(again.proof() == Proof::Unproven);
    }
    if window.resource == Resource::OrderStatuses {
        return Ok(false);
    }
    let (total, ids) = first_page_now(ctx, window).await?;
    // One that is new while another is gone leaves `total` as it was.
    let lease = ctx.lease;
    let unlisted = ctx.runs.not_listed(lease, window.resource, &ids).await?;
    let has_new = !unlisted.is_empty();
    if window.resource == Resource::Customers && (total > listing.reported || has_new) {
        let mut reader = WindowReader::resume(ctx, window.clone()).await?;
        return match ends::reread_ends(&mut reader, listing.cut_short).await {
            Err(Failure::TooLarge { .. }) if reader.takes_smaller_portions() => Ok(true),
            again => Ok(again?.proof() == Proof::Unproven),
        };
    }
    Ok(has_new || total != listing.reported)
}

/// Settles orders that no list has any more, once all their windows have been scanned.
pub(crate) async fn resolve_vanished_orders(ctx: &RunContext) -> Result<(), Failure> {
    let orders = ctx.runs.vanished(ctx.lease, Resource::Orders).await?;
    ctx.landing.mark_pending(ctx.lease, &orders).await?;
    details::fetch_pending_details(ctx, &[]).await
}

/// Settles the other records that no list has any more, once orders are settled: they
/// keep their customers.
pub(crate) async fn resolve_vanished_records(
    ctx: &RunContext,
    as_of: Timestamp,
) -> Result<(), Failure> {
    let windows = ctx.runs.windows(ctx.lease).await?;
    for resource in [Resource::Customers, Resource::Products] {
        if is_proven(ctx, resource, &windows).await? {
            let gone = ctx.runs.vanished(ctx.lease, resource).await?;
            let landing = ctx.landing.as_ref();
            landing.tombstone(ctx.lease, resource, &gone, as_of).await?;
        }
    }
    ctx.landing.clear_vanished(ctx.lease).await
}

/// Whether a list was read and is proven, and all slices of it but those that may end
/// anywhere.
async fn is_proven(
    ctx: &RunContext,
    resource: Resource,
    windows: &[StoredWindow],
) -> Result<bool, Failure> {
    let of_it: Vec<_> = windows.iter().filter(|w| w.resource == resource).collect();
    for window in &of_it {
        let listing = ctx.runs.listing(ctx.lease, window.id).await?;
        if !matches!(listing.proof(), Proof::Proven | Proof::CutShort) {
            return Ok(false);
        }
    }
    Ok(!of_it.is_empty())
}

struct ChangeSummary {
    /// The list of changes was read to where it began when the run did.
    are_all_read: bool,
    /// Days on which an order may have come to light after the run began, and thus
    /// may hide in `total` that another one was deleted.
    days: BTreeSet<Date>,
    /// The days of those among them that a scan has listed.
    days_listed: BTreeSet<Date>,
    /// Orders whose list row says less than their details.
    to_fetch: Vec<i64>,
    /// How many orders Salla now counts, of all days of the run together.
    total: Option<u64>,
    /// Of the orders that were updated, those that no scan has listed.
    unlisted: u64,
}

/// What was updated since the run began, landed, and what it means for the scans.
async fn changes(ctx: &RunContext, plan: &Plan) -> Result<ChangeSummary, Failure> {
    let ChangeList {
        rows,
        updated,
        changed,
        are_all_read,
        total,
        head,
        ..
    } = read(ctx, plan).await?;
    ctx.runs.save_change_head(ctx.lease, &head.stored()).await?;
    let all: Vec<i64> = rows.iter().map(|row| row.id).collect();
    let (lease, resource) = (ctx.lease, Resource::Orders);
    let unlisted = ctx.runs.not_listed(lease, resource, &all).await?;
    let unlisted: BTreeSet<i64> = unlisted.into_iter().collect();
    let lacks = |row: &&Row| !row.is_whole && updated.contains(&row.id);
    // An order that differs from what its scan listed was there when it was scanned; one of
    // the run's own time may have come in the middle of that scan.
    let came_to_light = |row: &&Row| {
        let was_there = plan.probe.recently_updated.contains(&row.id);
        let is_news = updated.contains(&row.id) && !was_there;
        let came_late = !changed.contains(&row.id) || row.created_at >= ctx.began_at;
        unlisted.contains(&row.id) || (is_news && came_late)
    };
    let was_listed = |row: &&Row| !unlisted.contains(&row.id);
    let days_of_rows = |row: &Row| days_of(row.created_at);
    Ok(ChangeSummary {
        are_all_read,
        total,
        unlisted: unlisted.len() as u64,
        to_fetch: rows.iter().filter(lacks).map(|row| row.id).collect(),
        days: rows
            .iter()
            .filter(came_to_light)
            .flat_map(days_of_rows)
            .collect(),
        days_listed: rows
            .iter()
            .filter(came_to_light)
            .filter(was_listed)
            .flat_map(days_of_rows)
            .collect(),
    })
}

/// The day of an order, and the next one if its date may be UTC although it says Riyadh.
fn days_of(created_at: Timestamp) -> impl Iterator<Item = Date> {
    let misread = created_at.checked_add(ZONE_AMBIGUITY).ok();
    [Some(created_at), misread]
        .into_iter()
        .flatten()
        .map(riyadh_date)
}

/// Whether Salla now counts just the orders that were listed and those that have come since.
/// All that have come are known, so none of the others can be gone. This takes no request for
/// each window. Where Salla's numbers do not fit its lists they say nothing.
async fn nothing_is_gone(ctx: &RunContext, changes: &ChangeSummary) -> Result<bool, Failure> {
    let Some(total) = changes.total else {
        return Ok(false);
    };
    let listed = ctx.runs.listed_orders(ctx.lease).await?;
    Ok(listed.is_some_and(|listed| listed + changes.unlisted == total))
}

/// Windows whose proof is out of date.
async fn stale_windows(
    ctx: &RunContext,
    windows: Vec<StoredWindow>,
    changes: &ChangeSummary,
    moved: &[DayRange],
) -> Result<Vec<StoredWindow>, Failure> {
    let checks = windows.into_iter().map(|window| async move {
        let is_stale = has_new_orders(ctx, &window, changes)
            || lies_in(&window, moved)
            || Some(first_page_now(ctx, &window).await?.0) != window.first_total;
        Ok::<_, Failure>(is_stale.then_some(window))
    });
    let checked = futures::future::try_join_all(checks).await?;
    Ok(checked.into_iter().flatten().collect())
}

/// Looks at all days of which the scan may have listed an order: what it has listed of a
/// neighbour's day could not be seen to have vanished.
fn has_new_orders(ctx: &RunContext, window: &StoredWindow, changes: &ChangeSummary) -> bool {
    changes.days.iter().any(|day| {
        window
            .days
            .is_some_and(|days| ctx.reach.may_list(days, *day))
    })
}

/// The days of scans in which an order was listed that may have come while they read. If another
/// one was deleted ahead of it meanwhile, `total` stayed as it was and a neighbor slipped past the
/// reader, anywhere in the scan: what was listed then counts for nothing, not even in the parts
/// into which the window was split since.
fn moved_scans(ctx: &RunContext, plan: &Plan, changes: &ChangeSummary) -> Vec<DayRange> {
    let days = &changes.days_listed;
    let may_list = |window: &DayRange| days.iter().any(|day| ctx.reach.may_list(*window, *day));
    plan.windows.iter().copied().filter(may_list).collect()
}

fn lies_in(window: &StoredWindow, scans: &[DayRange]) -> bool {
    window.days.is_some_and(|days| {
        scans
            .iter()
            .any(|scan| scan.from <= days.to && days.from <= scan.to)
    })
}

/// `total` and the ids that the list begins with.
async fn first_page_now(
    ctx: &RunContext,
    window: &StoredWindow,
) -> Result<(u64, Vec<i64>), Failure> {
    let request = PageRequest {
        slice: window.slice,
        ..PageRequest::first(window.resource, ctx.days_to_query(window))
    };
    let (page, _permit) = beginning(&*ctx.platform, request).await?;
    Ok((page.pagination.total, page.records.ids()))
}

/// Settles the lists that were read in slices, once all slices have been scanned. Says
/// whether each of them adds up.
pub(crate) async fn verify_slices(ctx: &RunContext) -> Result<bool, Failure> {
    let windows = ctx.runs.windows(ctx.lease).await?;
    let (whole, slices): (Vec<_>, Vec<_>) = windows
        .into_iter()
        .filter(|window| window.is_sliced)
        .partition(|window| window.slice.is_none());
    let mut all_add_up = true;
    // The whole list counts what its slices list.
    for window in slices.into_iter().chain(whole) {
        let listing = verify_sliced_window(ctx, window).await?;
        tracing::info!(
            resource = listing.resource.as_str(),
            reported = listing.reported,
            listed = listing.listed(),
            proof = ?listing.proof(),
            "slices of a list added up"
        );
        all_add_up &= listing.proof() != Proof::Unproven;
    }
    Ok(all_add_up)
}

/// The first page tells `total` and who has come since. Where the slices leave something
/// over, it may be among the rows that the list itself shows: products in no category.
async fn verify_sliced_window(ctx: &RunContext, window: StoredWindow) -> Result<Listing, Failure> {
    let id = window.id;
    let window = begin_rescan(ctx, window).await?;
    let mut scan = Scan::resume(ctx, window).await?;
    let listing = loop {
        match check_sum(&mut scan).await {
            Err(Failure::TooLarge { .. }) if scan.reader.takes_smaller_portions() => {
                scan.rescan().await?;
            }
            listing => break listing?,
        }
    };
    if listing.proof() != Proof::Unproven {
        ctx.runs.mark_window_done(ctx.lease, id, false).await?;
    }
    Ok(listing)
}

async fn check_sum(scan: &mut Scan<'_>) -> Result<Listing, Failure> {
    let (ctx, id) = (scan.reader.ctx, scan.reader.window.id);
    scan.reader.read_first_page().await?;
    let listing = ctx.runs.listing(ctx.lease, id).await?;
    if listing.proof() == Proof::Unproven && listing.difference() > 0 {
        scan.run(&mut StartOrder::Free).await?;
        return ctx.runs.listing(ctx.lease, id).await;
    }
    Ok(listing)
}
