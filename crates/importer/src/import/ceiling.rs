//! Lists that are longer than Salla shows of them.
//!
//! A list that stops showing rows before its `total` has its ceiling there: it may show
//! empty pages, refuse them or repeat one. Where that is, the shop's lists tell, and it is
//! remembered. Windows of orders are halved until they fit. A day that does not is read from
//! both ends. Products and customers have no days by which they could be listed: they are
//! read in slices, products by status, and what is still too long by category; customers by
//! the days of their creation, if their filter turns out to work. The list's own window
//! stays. At the end its `total` is asked for again, and it is proven when what its slices
//! have listed adds up to it. What no slice lists is thus known to be missing, and how much
//! it is.

use std::collections::BTreeSet;

use domain::certificate::Listing;
use domain::failure::Failure;
use domain::resource::Resource;

use super::pages::PageRoute;
use super::reader::WindowReader;
use super::slices;
use crate::admission::FetchPermit;
use crate::ports::platform::{Page, PageRequest, Sort};
use crate::ports::runs::WindowSpec;

/// The last page that a list shows.
struct Shown {
    /// Up to its end.
    rows: u64,
    ids: Vec<i64>,
    is_full: bool,
}

impl Shown {
    fn of(page: &Page) -> Self {
        let pagination = page.pagination;
        let before = u64::from(pagination.current_page.saturating_sub(1));
        let (per_page, listed) = (pagination.per_page, page.records.len());
        Self {
            rows: before * u64::from(per_page) + listed as u64,
            ids: page.records.ids(),
            is_full: listed >= per_page as usize,
        }
    }
}

/// A shop that moves can show the picture of a ceiling once, but hardly each time.
const CHECKS: u32 = 2;

/// Whether the first page that reaches across the ceiling lacks rows. Looking there
/// before anything else is read costs nothing where there is no ceiling.
pub(super) async fn hits_ceiling(reader: &mut WindowReader<'_>) -> Result<bool, Failure> {
    let number = reader.last_page_below() + 1;
    if !is_beyond_ceiling(reader, number) || reader.window.pages_done.contains(&number) {
        return Ok(false);
    }
    // The memory is kept until the page has landed.
    let (page, _permit) = reader.fetch(number).await?;
    let pagination = page.pagination;
    let is_cut_off =
        page.records.len() < pagination.per_page as usize && number < pagination.total_pages;
    if page.records.is_empty() || is_cut_off {
        // It does not land, so that a restart looks here again.
        let before = u64::from(number - 1) * u64::from(pagination.per_page);
        let rows = before + page.records.len() as u64;
        reader.ctx.learn_ceiling(rows).await?;
        return Ok(true);
    }
    reader.land(vec![page]).await?;
    Ok(false)
}

/// A ceiling hides a page each time. One that came without rows or was refused once is read by the
/// next scan, and nothing is learned from it that would be remembered for the shop.
pub(super) async fn is_shown_after_all(
    reader: &WindowReader<'_>,
    hidden: u32,
) -> Result<bool, Failure> {
    let (page, _permit) = reader.fetch_page(hidden).await?;
    Ok(!page.records.is_empty())
}

/// How many rows come before the ceiling that hides the page; none if the list ends before it and
/// only `total` is larger. A list of orders ends with the newest one. An undated list has ended if
/// its last page is not full.
pub(super) async fn ceiling_before(
    reader: &WindowReader<'_>,
    hidden: u32,
) -> Result<Option<u64>, Failure> {
    if reader.window.resource != Resource::Orders {
        let shown = last_shown_before(reader, hidden).await?;
        return Ok(shown.filter(|shown| shown.is_full).map(|shown| shown.rows));
    }
    let mut rows = 0;
    for _ in 0..CHECKS {
        let request = PageRequest {
            sort: Sort::NewestFirst,
            ..reader.request(1)
        };
        let mut permit = FetchPermit::default();
        let page = reader.ctx.platform.list_page(&request, &mut permit).await?;
        let newest = page.records.ids();
        drop((page, permit));
        let Some(shown) = last_shown_before(reader, hidden).await? else {
            return Ok(None);
        };
        if newest.iter().any(|id| shown.ids.contains(id)) {
            return Ok(None);
        }
        rows = shown.rows;
    }
    Ok(Some(rows))
}

/// The last page before a hidden one that shows anything. Usually it is the one right before it,
/// but a scan that resumes after a crash need not have read that.
async fn last_shown_before(
    reader: &WindowReader<'_>,
    hidden: u32,
) -> Result<Option<Shown>, Failure> {
    let (mut from, mut to) = (1, hidden);
    let mut number = hidden - 1;
    let mut last = None;
    while from < to {
        let (page, _permit) = reader.fetch_page(number).await?;
        if page.records.is_empty() {
            to = number;
        } else {
            last = Some(Shown::of(&page));
            from = number + 1;
        }
        number = from.midpoint(to);
    }
    Ok(last)
}

/// Whether a page that Salla does not show shows a ceiling that can be met.
pub(super) fn may_show_ceiling(reader: &WindowReader<'_>) -> bool {
    let resource = reader.window.resource;
    (resource.has_windows() || resource.can_be_sliced())
        && !reader.is_limited_to_ceiling()
        && !reader.is_cut_short()
        && matches!(reader.route(), PageRoute::OneWay { .. })
}

/// Whether the page may be hidden, as far as the ceiling is known, though the list
/// should have it.
fn is_beyond_ceiling(reader: &WindowReader<'_>, number: u32) -> bool {
    reader.window.resource.can_be_sliced()
        && may_show_ceiling(reader)
        && number > reader.last_page_below()
        && Some(number) <= reader.window.total_pages
}

/// Whether a scan that was read to its end has met the ceiling.
pub(super) async fn stops_at_ceiling(
    reader: &mut WindowReader<'_>,
    listing: &Listing,
) -> Result<bool, Failure> {
    if !may_show_ceiling(reader) {
        return Ok(false);
    }
    let stops = match reader.window.resource {
        Resource::Orders => hides_newest(reader, listing).await?,
        _ => {
            let is_sure = listing.same_as_before && listing.stops_like_at_a_ceiling();
            listing.may_be_truncated() || is_sure
        }
    };
    // An undated list that is just as long as a limit may still turn out to be whole.
    if stops && (reader.window.resource == Resource::Orders || listing.difference() > 0) {
        reader.ctx.learn_ceiling(listing.listed()).await?;
    }
    Ok(stops)
}

/// A `total` that is off and a ceiling look the same from the oldest order on. From the
/// newest on they do not. So a list that shows fewer than its `total` is looked at from
/// there, and one whose `total` is as round as a limit.
async fn hides_newest(reader: &mut WindowReader<'_>, listing: &Listing) -> Result<bool, Failure> {
    let ceiling = reader.ctx.ceiling.get();
    let may_stop_early = match listing.difference() {
        0 => ceiling.is_worth_a_check(listing.reported),
        difference => difference > 0,
    };
    if !listing.total_was_stable || !may_stop_early {
        return Ok(false);
    }
    let (lease, id) = (reader.ctx.lease, reader.window.id);
    let listed = reader.ctx.runs.listed(lease, id).await?;
    let listed: BTreeSet<i64> = listed.into_iter().collect();
    for _ in 0..CHECKS {
        if !ends_differ(reader, listing.reported, &listed).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether the list, newest first, shows orders that were not listed and that its other
/// end hides. An order that came while another one went is shown at both.
async fn ends_differ(
    reader: &mut WindowReader<'_>,
    reported: u64,
    listed: &BTreeSet<i64>,
) -> Result<bool, Failure> {
    let request = PageRequest {
        sort: Sort::NewestFirst,
        ..reader.request(1)
    };
    let mut permit = FetchPermit::default();
    let page = reader.ctx.platform.list_page(&request, &mut permit).await?;
    let mut hidden = page.records.ids();
    let newest = hidden.first().copied();
    hidden.retain(|id| !listed.contains(id));
    if page.pagination.total != reported || hidden.is_empty() {
        return Ok(false);
    }
    let last = page.pagination.total_pages;
    drop((page, permit));
    let (page, _permit) = reader.fetch_page(last).await?;
    let shown = page.records.ids();
    let is_shown = |id: &i64| Some(*id) == newest || hidden.contains(id);
    Ok(page.pagination.total == reported && !shown.iter().any(is_shown))
}

/// Whether a day that cannot be divided was cut off by a ceiling that is none: the list
/// shows rows beyond it. The ceiling is forgotten then.
pub(super) async fn ceiling_is_none(reader: &mut WindowReader<'_>) -> Result<bool, Failure> {
    let PageRoute::BothEnds { reach, .. } = PageRoute::of(&reader.window, reader.ceiling) else {
        return Ok(false);
    };
    match (reader.ceiling.learned(), reader.ctx.ceiling.get().learned()) {
        (None, _) => return Ok(false),
        // Another window has found out.
        (Some(_), None) => return Ok(true),
        (Some(_), Some(_)) => {}
    }
    let (page, _permit) = reader.fetch_page(reach.saturating_add(1)).await?;
    let (lease, ids) = (reader.ctx.lease, page.records.ids());
    let listed = reader.ctx.runs.listed(lease, reader.window.id).await?;
    let shows_more = ids.iter().any(|id| !listed.contains(id));
    if shows_more {
        reader.ctx.forget_ceiling().await?;
    }
    Ok(shows_more)
}

/// Cuts the list into slices, which take over from this scan; `None` if none are of
/// any use.
pub(super) async fn slice(
    reader: &mut WindowReader<'_>,
) -> Result<Option<Vec<WindowSpec>>, Failure> {
    reader.is_at_ceiling = true;
    let parts = slices::slices_for(reader.ctx, &reader.window).await?;
    if parts.is_empty() {
        tracing::warn!("the list is longer than Salla shows, and no filter splits it");
        return Ok(None);
    }
    let (runs, id) = (&reader.ctx.runs, reader.window.id);
    runs.slice_window(reader.ctx.lease, id, &parts).await?;
    reader.ctx.tracker.window_removed(id);
    tracing::info!(slices = parts.len(), "a list is read in slices");
    Ok(Some(parts))
}
