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
//!    or an order came to light, it is walked again.
//! 3. Orders that the database has and no list has: each is asked for and is either
//!    there or gone. Products and customers that a proven list no longer has are gone.
//!
//! The certificate is true as of the moment at which the first of these was asked.

use std::collections::BTreeSet;

use domain::certificate::Proof;
use domain::failure::Failure;
use domain::instant::riyadh_date;
use domain::order::{Completeness, Order};
use domain::plan::Plan;
use domain::resource::Resource;
use domain::window::Overlap;
use jiff::Timestamp;
use jiff::civil::Date;

use super::walk::{Walk, begin_anew};
use super::{Workshop, details};
use crate::memory;
use crate::metrics;
use crate::ports::platform::{Decoded, Page, PageRequest, Records, Sort};
use crate::ports::runs::StoredWindow;
use crate::probe::orders_request;
use crate::recent::Recent;

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
    let mut stale = Vec::new();
    for window in stale_windows(shop, orders.collect(), &changes).await? {
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
    let total = total_now(shop, window).await?;
    if window.resource == Resource::Customers && total > listing.reported {
        let mut walk = Walk::resume(shop, window.clone()).await?;
        let again = walk.read_ends_again(listing.cut_short).await?;
        return Ok(again.proof() == Proof::Unproven);
    }
    Ok(total != listing.reported)
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
    /// Days on which an order may have come to light after the run began, and thus
    /// may hide in `total` that another one was deleted.
    days: BTreeSet<Date>,
    /// Orders whose list row says less than their details.
    to_ask: Vec<i64>,
}

/// Reads and lands what was updated since the run began.
async fn changes(shop: &Workshop, plan: &Plan) -> Result<Changes, Failure> {
    let mut recent = Recent::since(&plan.probe.recently_updated);
    let mut rows = Vec::new();
    let mut changed = BTreeSet::new();
    for number in 1..=MOST_PAGES_OF_CHANGES {
        let days = plan.probe.range.widened(Overlap::EXCLUSIVE);
        let request = orders_request(days, Sort::UpdatedFirst, number);
        // The room is kept until the page has landed and was looked through.
        let (page, _room) = memory::fetching(shop.platform.list_page(&request)).await;
        let page = page?;
        let begun = shop.clock.monotonic();
        let news = shop.landing.land_changes(shop.lease, &page).await?;
        let took = shop.clock.monotonic().saturating_sub(begun);
        metrics::changes_landed(&news.landed, took);
        metrics::rejected(page.records.resource(), page.records.rejections());
        shop.check_rejections(&news.landed).await?;
        recent.read(&page.records.ids());
        let is_last = is_last(&page);
        if let Records::Orders(orders) = page.records {
            rows.extend(orders.iter().filter_map(Row::of));
        }
        if is_last || (news.changed.is_empty() && recent.is_complete()) {
            break;
        }
        changed.extend(news.changed);
        if number == MOST_PAGES_OF_CHANGES {
            tracing::warn!(
                pages = number,
                "the list of changes does not end; the rest is not read"
            );
        }
    }
    let updated = recent.updated();
    let all: Vec<i64> = rows.iter().map(|row| row.id).collect();
    let unlisted = shop.runs.not_listed(shop.lease, &all).await?;
    let unlisted: BTreeSet<i64> = unlisted.into_iter().collect();
    let lacks = |row: &&Row| !row.is_whole && updated.contains(&row.id);
    // An order that differs from what its walk listed was there when it was walked.
    let came_to_light = |row: &&Row| {
        let before_it_was_listed =
            updated.contains(&row.id) && !recent.was_there(row.id) && !changed.contains(&row.id);
        unlisted.contains(&row.id) || before_it_was_listed
    };
    Ok(Changes {
        to_ask: rows.iter().filter(lacks).map(|row| row.id).collect(),
        days: rows
            .iter()
            .filter(came_to_light)
            .map(|row| row.day)
            .collect(),
    })
}

fn is_last(page: &Page) -> bool {
    page.records.is_empty() || page.pagination.current_page >= page.pagination.total_pages
}

/// What is kept of an updated order.
struct Row {
    id: i64,
    day: Date,
    is_whole: bool,
}

impl Row {
    fn of(decoded: &Decoded<Order>) -> Option<Self> {
        let order = decoded.outcome.as_ref().ok()?;
        Some(Self {
            id: order.id,
            day: riyadh_date(order.created_at.instant),
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
            || Some(total_now(shop, &window).await?) != window.first_total;
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

async fn total_now(shop: &Workshop, window: &StoredWindow) -> Result<u64, Failure> {
    let request = PageRequest {
        slice: window.slice,
        ..PageRequest::first(window.resource, shop.days_to_ask(window))
    };
    let page = shop.platform.list_page(&request).await?;
    Ok(page.pagination.total)
}
