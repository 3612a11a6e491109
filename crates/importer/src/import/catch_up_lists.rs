//! The lists of a shop that is brought up to date and that have no change list: customers, products
//! and everything else but orders.

use std::collections::BTreeSet;

use domain::failure::Failure;
use domain::resource::Resource;

use super::catch_up_orders::{RowCount, carry, known_difference};
use super::context::{RunContext, StartOrder};
use super::gone::{Gone, look_for_gone};
use super::reader::{WindowReader, begin_rescan};
use super::sequence::{reconcile_lists, scan_resources};
use crate::ports::platform::Pagination;
use crate::ports::runs::{CarriedList, StoredWindow};

/// Customers, products and everything else that has no change list.
pub(super) async fn lists(ctx: &RunContext) -> Result<(), Failure> {
    let windows = ctx.runs.windows(ctx.lease).await?;
    let is_list = |window: &&StoredWindow| window.resource != Resource::Orders;
    let whole = windows.iter().filter(is_list).filter(|w| w.slice.is_none());
    let checks = whole.map(|window| async move {
        Ok::<_, Failure>(match window.is_sliced {
            true => {
                (!false_if_too_large(are_slices_as_they_were(ctx, window).await)?).then_some(window)
            }
            false => (!false_if_too_large(carry_list(ctx, window).await)?).then_some(window),
        })
    });
    let stale = futures::future::try_join_all(checks).await?;
    let (sliced, simple): (Vec<_>, Vec<_>) = stale
        .into_iter()
        .flatten()
        .partition(|window| window.is_sliced);
    let mut again = Vec::new();
    for window in simple {
        tracing::info!(
            resource = window.resource.as_str(),
            "the list is scanned again"
        );
        again.push(begin_rescan(ctx, window.clone()).await?);
    }
    let is_scanned = !again.is_empty();
    scan_resources(ctx, again, StartOrder::Free).await?;
    match is_scanned || !sliced.is_empty() {
        true => reconcile_lists(ctx).await,
        false => Ok(()),
    }
}

/// Whether a list that is read in slices has as many records as they have listed, and no new
/// customer at its head.
async fn are_slices_as_they_were(ctx: &RunContext, window: &StoredWindow) -> Result<bool, Failure> {
    let resource = window.resource;
    let reader = WindowReader::resume(ctx, window.clone()).await?;
    let (page, _permit) = reader.fetch_page(1).await?;
    let listed = ctx.runs.count_listed(ctx.lease, resource).await?;
    let ids = page.records.ids();
    let new = ctx.runs.not_listed(ctx.lease, resource, &ids).await?;
    Ok(window.done && new.is_empty() && page.pagination.total == listed)
}

/// Reads the ends of a list, where records are added, and finds out which are gone. Whether it
/// is now known what the list has.
async fn carry_list(ctx: &RunContext, window: &StoredWindow) -> Result<bool, Failure> {
    let list = ctx.runs.window_list(ctx.lease, window.id).await?;
    let listing = ctx.runs.listing(ctx.lease, window.id).await?;
    let difference = known_difference(window, &listing).unwrap_or(0);
    let mut reader = WindowReader::resume(ctx, window.clone()).await?;
    let first = land_extra_page(&mut reader, 1).await?;
    let pagination = first.pagination;
    let carried = |ids: Vec<i64>, without_id, is_read_whole| CarriedList {
        window: window.id,
        ids,
        without_id,
        pagination,
        is_read_whole,
    };
    if RowCount::of(pagination, difference).are_all_on_a_page(first.rows) {
        let without_id = (first.rows - first.ids.len()) as u32;
        return carry(ctx, &carried(first.ids, without_id, true)).await;
    }
    if !window.done || list.without_id > 0 {
        return Ok(false);
    }
    match read_inwards(&mut reader, list.ids, first, difference).await? {
        Some(ids) => carry(ctx, &carried(ids, 0, false)).await,
        None => Ok(false),
    }
}

/// A page that has landed.
struct LandedPage {
    number: u32,
    ids: Vec<i64>,
    rows: usize,
    pagination: Pagination,
}

/// Lands a page as a further one of the present scan, which is settled.
async fn land_extra_page(
    reader: &mut WindowReader<'_>,
    number: u32,
) -> Result<LandedPage, Failure> {
    let behind = reader.window.pages_done.iter().max().copied().unwrap_or(0);
    let (page, _permit) = reader.fetch_page(number).await?;
    let landed = LandedPage {
        number,
        ids: page.records.ids(),
        rows: page.records.len(),
        pagination: page.pagination,
    };
    let page = reader.position().page(behind + 1, page);
    reader.land(vec![page]).await?;
    Ok(landed)
}

/// The list as it is now, from both of its ends and what it was; nothing where that does
/// not tell.
async fn read_inwards(
    reader: &mut WindowReader<'_>,
    known: Vec<i64>,
    first: LandedPage,
    difference: i64,
) -> Result<Option<Vec<i64>>, Failure> {
    let pagination = first.pagination;
    let total = RowCount::of(pagination, difference).total;
    let places: BTreeSet<i64> = known.iter().copied().collect();
    let meets = |page: &LandedPage| page.ids.iter().any(|id| places.contains(id));
    let is_new = |id: &i64| !places.contains(id);
    let (pages, mut read) = (pagination.total_pages, vec![first]);
    while !read.last().is_some_and(meets) && (read.len() as u32) < pages {
        read.push(land_extra_page(reader, read.len() as u32 + 1).await?);
    }
    let head: Vec<i64> = read.iter().flat_map(|page| &page.ids).copied().collect();
    let head: Vec<i64> = head.into_iter().take_while(is_new).collect();
    let mut tail: Vec<i64> = Vec::new();
    // Categories hardly ever change.
    let is_unchanged = head.is_empty() && total == known.len() as u64;
    let is_met = is_unchanged && reader.window.resource == Resource::Categories;
    let from = if is_met { pages } else { read.len() as u32 };
    for number in (from + 1..=pages).rev() {
        let page = land_extra_page(reader, number).await?;
        let is_met = meets(&page);
        let new = page.ids.iter().rev().take_while(|id| is_new(id));
        tail.extend(new);
        read.push(page);
        if is_met {
            break;
        }
    }
    let head_ids: BTreeSet<i64> = head.iter().copied().collect();
    tail.retain(|id| !head_ids.contains(id));
    tail.reverse();
    let now = [head, known, tail].concat();
    if difference != 0 && total != now.len() as u64 {
        // The number may be right again.
        return Ok(None);
    }
    let mut gone = Gone::new(now, total, pagination);
    for page in &read {
        let is_of_it = page.pagination.total == pagination.total && page.rows == page.ids.len();
        if !is_of_it || !gone.read(page.number, &page.ids) {
            return Ok(None);
        }
    }
    look_for_gone(reader, gone, pagination.total).await
}

/// A page that is too long says nothing: a scan reads it in smaller portions.
fn false_if_too_large(is_carried: Result<bool, Failure>) -> Result<bool, Failure> {
    match is_carried {
        Err(Failure::TooLarge { .. }) => Ok(false),
        is_carried => is_carried,
    }
}
