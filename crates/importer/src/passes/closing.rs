//! The closing pass: what changed while the run went on.
//!
//! An import takes minutes or hours, and the shop goes on living. A window that was
//! proven early says nothing about its end. So at the end the run asks again, at
//! little cost (DESIGN §3.4):
//!
//! 1. What was updated last, read up to where that list began when the run did. It
//!    shows edits, and orders that came to light in the middle of a window, which
//!    could hide a deletion in an unchanged `total`.
//! 2. How many records each window and each whole list reports now. Where that differs,
//!    or an order came to light, it is walked again; so is all of it where the changes
//!    could not be read to their end.
//! 3. Orders that the database has and no list has: each is asked for and is either
//!    there or gone. Products and customers that a proven list no longer has are gone.
//!
//! The certificate is true as of the moment at which the first of these was asked.

use std::collections::BTreeSet;

use domain::certificate::Proof;
use domain::failure::Failure;
use domain::instant::riyadh_date;
use domain::order::{Completeness, Order};
use domain::plan::{MAX_ROWS_PER_WINDOW, Plan};
use domain::resource::Resource;
use domain::window::Overlap;
use jiff::Timestamp;
use jiff::civil::Date;

use super::walk::{Walk, begin_anew};
use super::{Workshop, details};
use crate::memory;
use crate::metrics;
use crate::ports::platform::{Decoded, Page, PageRequest, Pagination, Records, Sort};
use crate::ports::runs::StoredWindow;
use crate::probe::orders_request;
use crate::recent::{self, Recent};

/// So many pages of changes are more than any shop makes during an import; a list
/// that never ends must not be read for ever.
const MOST_PAGES_OF_CHANGES: u32 = 200;

/// The windows of orders to walk again.
pub(crate) async fn look_at_orders_again(
    shop: &Workshop,
    plan: &Plan,
) -> Result<Vec<StoredWindow>, Failure> {
    let windows = settled_windows(shop).await?;
    let orders = windows
        .into_iter()
        .filter(|window| window.resource == Resource::Orders);
    let changes = changes(shop, plan).await?;
    let outdated = match changes.are_all_read {
        true => stale_windows(shop, orders.collect(), &changes).await?,
        false => orders.collect(),
    };
    let mut stale = Vec::new();
    for window in outdated {
        stale.push(begin_anew(shop, window).await?);
    }
    let landing = shop.landing.as_ref();
    landing.ask_again(shop.lease, &changes.to_ask).await?;
    Ok(stale)
}

/// The lists without windows to walk again.
pub(crate) async fn look_at_lists_again(shop: &Workshop) -> Result<Vec<StoredWindow>, Failure> {
    let windows = settled_windows(shop).await?.into_iter();
    // Lists that were read in slices are added up afterwards.
    let lists = windows.filter(|w| w.resource != Resource::Orders && !w.is_sliced);
    let checks = lists.map(|window| async move {
        Ok::<_, Failure>(match is_stale_list(shop, &window).await? {
            true => Some(begin_anew(shop, window).await?),
            false => None,
        })
    });
    let checked = futures::future::try_join_all(checks).await?;
    Ok(checked.into_iter().flatten().collect())
}

async fn settled_windows(shop: &Workshop) -> Result<Vec<StoredWindow>, Failure> {
    let windows = shop.runs.windows(shop.lease).await?;
    Ok(windows.into_iter().filter(|w| w.settled).collect())
}

/// Whether a list that was read whole has to be read again.
async fn is_stale_list(shop: &Workshop, window: &StoredWindow) -> Result<bool, Failure> {
    if window.resource == Resource::OrderStatuses {
        return Ok(false);
    }
    let listing = shop.runs.listing(shop.lease, window.id).await?;
    let page = first_page_now(shop, window).await?;
    let total = page.pagination.total;
    // One that is new while another is gone leaves `total` as it was.
    let (lease, ids) = (shop.lease, page.records.ids());
    let unlisted = shop.runs.not_listed(lease, window.resource, &ids).await?;
    let has_new = !unlisted.is_empty();
    if window.resource == Resource::Customers && (total > listing.reported || has_new) {
        let mut walk = Walk::resume(shop, window.clone()).await?;
        let again = walk.read_ends_again(listing.cut_short).await?;
        return Ok(again.proof() == Proof::Unproven);
    }
    Ok(has_new || total != listing.reported)
}

/// Settles orders that no list has any more, once all their windows have been walked.
pub(crate) async fn settle_vanished_orders(shop: &Workshop) -> Result<(), Failure> {
    let orders = shop.runs.vanished(shop.lease, Resource::Orders).await?;
    shop.landing.ask_again(shop.lease, &orders).await?;
    details::complete_orders(shop, &[]).await
}

/// Settles the other records that no list has any more, once orders are settled: they
/// keep their customers.
pub(crate) async fn settle_vanished_records(
    shop: &Workshop,
    as_of: Timestamp,
) -> Result<(), Failure> {
    let windows = shop.runs.windows(shop.lease).await?;
    for resource in [Resource::Customers, Resource::Products] {
        if is_proven(shop, resource, &windows).await? {
            let gone = shop.runs.vanished(shop.lease, resource).await?;
            let landing = shop.landing.as_ref();
            landing.bury(shop.lease, resource, &gone, as_of).await?;
        }
    }
    shop.landing.clear_leftovers(shop.lease).await
}

/// Whether a list was read and is proven, and all slices of it but those that may end
/// anywhere.
async fn is_proven(
    shop: &Workshop,
    resource: Resource,
    windows: &[StoredWindow],
) -> Result<bool, Failure> {
    let of_it: Vec<_> = windows.iter().filter(|w| w.resource == resource).collect();
    for window in &of_it {
        let listing = shop.runs.listing(shop.lease, window.id).await?;
        if !matches!(listing.proof(), Proof::Proven | Proof::CutShort) {
            return Ok(false);
        }
    }
    Ok(!of_it.is_empty())
}

struct Changes {
    /// The list of changes was read to where it began when the run did.
    are_all_read: bool,
    /// Days on which an order may have come to light after the run began, and thus
    /// may hide in `total` that another one was deleted.
    days: BTreeSet<Date>,
    /// Orders whose list row says less than their details.
    to_ask: Vec<i64>,
}

/// What was updated since the run began, landed, and what it means for the walks.
async fn changes(shop: &Workshop, plan: &Plan) -> Result<Changes, Failure> {
    let ChangesRead {
        recent,
        rows,
        changed,
        are_all_read,
    } = read_changes(shop, plan).await?;
    let updated = recent.updated();
    let all: Vec<i64> = rows.iter().map(|row| row.id).collect();
    let (lease, resource) = (shop.lease, Resource::Orders);
    let unlisted = shop.runs.not_listed(lease, resource, &all).await?;
    let unlisted: BTreeSet<i64> = unlisted.into_iter().collect();
    let lacks = |row: &&Row| !row.is_whole && updated.contains(&row.id);
    // An order that differs from what its walk listed was there when it was walked; one of
    // the run's own time may have come in the middle of that walk.
    let came_to_light = |row: &&Row| {
        let is_news = updated.contains(&row.id) && !recent.was_there(row.id);
        let came_late = !changed.contains(&row.id) || row.created_at >= shop.began_at;
        unlisted.contains(&row.id) || (is_news && came_late)
    };
    Ok(Changes {
        are_all_read,
        to_ask: rows.iter().filter(lacks).map(|row| row.id).collect(),
        days: rows
            .iter()
            .filter(came_to_light)
            .map(|row| riyadh_date(row.created_at))
            .collect(),
    })
}

/// The list of changes as far as it was read.
struct ChangesRead {
    recent: Recent,
    rows: Vec<Row>,
    /// Orders whose row differs from what their walk listed.
    changed: BTreeSet<i64>,
    are_all_read: bool,
}

/// Reads and lands what was updated since the run began.
async fn read_changes(shop: &Workshop, plan: &Plan) -> Result<ChangesRead, Failure> {
    let probe = &plan.probe;
    let mut recent = Recent::since(&probe.recently_updated, probe.last_update);
    let mut rows = Vec::new();
    let mut changed = BTreeSet::new();
    let mut are_all_read = false;
    let mut listed = 0;
    for number in 1..=MOST_PAGES_OF_CHANGES {
        let days = probe.range.widened(Overlap::EXCLUSIVE);
        let request = orders_request(days, Sort::UpdatedFirst, number);
        // The room is kept until the page has landed and was looked through.
        let (page, _room) = memory::fetching(shop.platform.list_page(&request)).await;
        let page = match page {
            // The pages behind a ceiling may be refused (FACTS §5).
            Err(Failure::Broken { .. }) if listed >= MAX_ROWS_PER_WINDOW => break,
            page => page?,
        };
        listed += page.records.len() as u64;
        let begun = shop.clock.monotonic();
        let news = shop.landing.land_changes(shop.lease, &page).await?;
        let took = shop.clock.monotonic().saturating_sub(begun);
        metrics::changes_landed(&news.landed, took);
        metrics::rejected(page.records.resource(), page.records.rejections());
        shop.check_rejections(&news.landed).await?;
        recent.read(recent::rows(&page.records));
        let end = End::of(&page, listed);
        if let Records::Orders(orders) = page.records {
            rows.extend(orders.iter().filter_map(Row::of));
        }
        are_all_read = end == Some(End::Whole) || (news.changed.is_empty() && recent.is_complete());
        if are_all_read || end.is_some() {
            break;
        }
        changed.extend(news.changed);
    }
    if !are_all_read {
        tracing::warn!(
            listed,
            "more has changed than the list of changes shows; all orders are listed again"
        );
    }
    Ok(ChangesRead {
        recent,
        rows,
        changed,
        are_all_read,
    })
}

/// How the list of changes ends with a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Whole,
    /// A ceiling ends it, whatever it says of its length.
    CutOff,
}

impl End {
    /// `listed`: rows up to here. Nothing where the list goes on.
    fn of(page: &Page, listed: u64) -> Option<Self> {
        let Pagination {
            current_page,
            total_pages,
            ..
        } = page.pagination;
        if page.records.is_empty() && current_page < total_pages {
            return Some(Self::CutOff);
        }
        let is_last = page.records.is_empty() || current_page >= total_pages;
        is_last.then_some(match listed >= MAX_ROWS_PER_WINDOW {
            true => Self::CutOff,
            false => Self::Whole,
        })
    }
}

/// What is kept of an updated order.
struct Row {
    id: i64,
    created_at: Timestamp,
    is_whole: bool,
}

impl Row {
    fn of(decoded: &Decoded<Order>) -> Option<Self> {
        let order = decoded.outcome.as_ref().ok()?;
        Some(Self {
            id: order.id,
            created_at: order.created_at.instant,
            is_whole: order.completeness() == Completeness::Full,
        })
    }
}

/// Windows whose proof is out of date.
async fn stale_windows(
    shop: &Workshop,
    windows: Vec<StoredWindow>,
    changes: &Changes,
) -> Result<Vec<StoredWindow>, Failure> {
    let checks = windows.into_iter().map(|window| async move {
        let is_stale = has_new_orders(shop, &window, changes)
            || Some(first_page_now(shop, &window).await?.pagination.total) != window.first_total;
        Ok::<_, Failure>(is_stale.then_some(window))
    });
    let checked = futures::future::try_join_all(checks).await?;
    Ok(checked.into_iter().flatten().collect())
}

/// Looks at all days of which the walk may have listed an order: what it has listed of a
/// neighbour's day could not be seen to have vanished.
fn has_new_orders(shop: &Workshop, window: &StoredWindow, changes: &Changes) -> bool {
    changes.days.iter().any(|day| {
        window
            .days
            .is_some_and(|days| shop.reach.may_list(days, *day))
    })
}

async fn first_page_now(shop: &Workshop, window: &StoredWindow) -> Result<Page, Failure> {
    let request = PageRequest {
        slice: window.slice,
        ..PageRequest::first(window.resource, shop.days_to_ask(window))
    };
    shop.platform.list_page(&request).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::rejection::{Rejection, RejectionCode};

    fn end(rows: usize, current_page: u32, listed: u64) -> Option<End> {
        let row = || Decoded {
            raw: "{}".into(),
            outcome: Err(Rejection {
                code: RejectionCode::InvalidId,
                path: String::new(),
                message: String::new(),
                salla_id: None,
            }),
        };
        let page = Page {
            records: Records::Orders((0..rows).map(|_| row()).collect()),
            pagination: Pagination {
                count: rows as u32,
                total: 10_200,
                per_page: 60,
                current_page,
                total_pages: 170,
            },
            version: Timestamp::UNIX_EPOCH,
        };
        End::of(&page, listed)
    }

    #[test]
    fn a_list_of_changes_is_whole_only_where_nothing_can_hide_behind_its_end() {
        for (rows, current_page, listed, expected) in [
            (60, 1, 60, None),
            (60, 169, 10_140, None),
            (60, 170, 9_999, Some(End::Whole)),
            (0, 171, 9_999, Some(End::Whole)),
            (60, 170, 10_000, Some(End::CutOff)),
            (0, 171, 10_000, Some(End::CutOff)),
            (0, 9, 480, Some(End::CutOff)),
        ] {
            let found = end(rows, current_page, listed);
            assert_eq!(found, expected, "{rows} {current_page} {listed}");
        }
    }
}
