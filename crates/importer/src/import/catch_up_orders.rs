//! The windows of orders of a shop that is brought up to date, against what Salla counts in all of
//! them.

use std::collections::{BTreeMap, BTreeSet};

use domain::failure::Failure;
use domain::instant::riyadh_date;
use domain::plan::Plan;
use domain::resource::Resource;
use domain::window::DayRange;
use jiff::Timestamp;

use super::changes::Row;
use super::context::{RunContext, StartOrder};
use super::gone::{Gone, look_for_gone};
use super::pages::beginning;
use super::reader::{WindowReader, begin_rescan};
use super::sequence::scan_resources;
use super::shortfall::{self, ShortfallSearch};
use crate::ports::platform::{Page, PageRequest};
use crate::ports::runs::{CarriedList, StoredWindow};

pub(super) async fn windows_of(
    ctx: &RunContext,
    resource: Resource,
) -> Result<Vec<StoredWindow>, Failure> {
    let windows = ctx.runs.windows(ctx.lease).await?;
    Ok(windows
        .into_iter()
        .filter(|window| window.resource == resource)
        .collect())
}

/// Windows of orders after they were brought up to date.
pub(super) enum Carried {
    /// Except those that have to be scanned, unless another reading of the changes explains them.
    Except(Vec<StoredWindow>),
    /// As far as a search has found. Another reading of the changes shows whether that is all.
    Searched,
}

/// The windows of orders against what Salla counts in all of them.
pub(super) struct Orders {
    /// The oldest first.
    windows: Vec<OrderWindow>,
    /// Orders that windows list, and new ones.
    known: u64,
    total: Option<u64>,
}

struct OrderWindow {
    window: StoredWindow,
    days: DayRange,
    /// Orders of its days that no window lists yet.
    new: Vec<i64>,
    /// It has to be compared with its list, whatever the range adds up to.
    is_changed: bool,
    /// How many orders it lists, if it is proven and Salla has counted as many in it: a number
    /// that is settled may make up for orders that are gone.
    listed: Option<u64>,
}

impl Orders {
    /// `rows` are all that were updated; windows that were `stale` before are compared again.
    pub(super) async fn of(
        ctx: &RunContext,
        plan: &Plan,
        total: Option<u64>,
        rows: &[Row],
        stale: &[StoredWindow],
    ) -> Result<Self, Failure> {
        let listed = ctx.runs.count_listed(ctx.lease, Resource::Orders).await?;
        let new = new_orders(ctx, plan, rows).await?;
        let windows = windows_of(ctx, Resource::Orders).await?.into_iter();
        let windows = windows.filter_map(|window| Some((window.order_days()?, window)));
        let windows = windows.map(|(days, window)| {
            let own = new.iter().filter(|(_, created_at)| {
                // The window that begins the range asks for the day before it as well.
                days.contains(riyadh_date(**created_at).max(plan.probe.range.from))
            });
            let new: Vec<i64> = own.map(|(id, _)| *id).collect();
            let was_stale = stale.iter().any(|stale| stale.id == window.id);
            async move {
                let listing = ctx.runs.listing(ctx.lease, window.id).await?;
                let is_exact = window.done && listing.difference() == 0;
                Ok::<_, Failure>(OrderWindow {
                    is_changed: !new.is_empty() || !window.done || was_stale,
                    listed: is_exact.then(|| listing.listed()),
                    window,
                    days,
                    new,
                })
            }
        });
        let mut windows = futures::future::try_join_all(windows).await?;
        windows.sort_by_key(|window| window.days);
        Ok(Self {
            windows,
            known: listed + new.len() as u64,
            total,
        })
    }

    /// Brings the windows up to date. `is_last`: the changes are not read again, so nothing can
    /// be left to that.
    pub(super) async fn carry(&self, ctx: &RunContext, is_last: bool) -> Result<Carried, Failure> {
        let missing = self.total.and_then(|total| self.known.checked_sub(total));
        let are_exact = self.windows.iter().all(|window| window.listed.is_some());
        if missing == Some(0) && are_exact {
            let compared = self.compare(ctx, self.changed()).await?;
            return Ok(Carried::Except(self.stale(&compared)));
        }
        if let Some(missing) = missing.filter(|missing| *missing > 0 && !is_last)
            && self.search(ctx, missing).await?
        {
            return Ok(Carried::Searched);
        }
        let all = (0..self.windows.len()).collect();
        let compared = self.compare(ctx, all).await?;
        Ok(Carried::Except(self.stale(&compared)))
    }

    /// Brings the windows up to date in which orders are missing. False where a search is not
    /// worth it or Salla's numbers do not fit its lists.
    ///
    /// A search proves nothing. The shop may change between two counts, and what one window
    /// lacks another one may have too many. So the changes are read once more: only if the
    /// whole range adds up then, no window that was not compared lacks anything.
    async fn search(&self, ctx: &RunContext, missing: u64) -> Result<bool, Failure> {
        let changed = self.changed();
        if !ShortfallSearch::is_worth_it(self.windows.len(), missing, changed.len()) {
            return Ok(false);
        }
        let Some(expected) = self.expected() else {
            return Ok(false);
        };
        tracing::info!(
            missing,
            windows = expected.len(),
            "windows are counted together to find where orders are missing"
        );
        let mut search = ShortfallSearch::new(expected, missing);
        let mut stale = Vec::new();
        let mut next = Some(shortfall::Next::Compare(changed));
        while let Some(step) = next {
            match step {
                shortfall::Next::Count(places) => {
                    search.counted(count(ctx, &self.windows[places]).await?);
                }
                shortfall::Next::Compare(places) => {
                    let compared = self.compare(ctx, places).await?;
                    for (place, window) in &compared {
                        search.compared(*place, window.orders);
                    }
                    stale.extend(self.stale(&compared));
                }
            }
            next = search.next();
        }
        scan_again(ctx, stale).await?;
        Ok(true)
    }

    fn changed(&self) -> Vec<usize> {
        let places = 0..self.windows.len();
        places
            .filter(|place| self.windows[*place].is_changed)
            .collect()
    }

    /// How many orders each window should have by now. Nothing where several list the same
    /// order, as they do if the ends of Salla's filter are exclusive.
    fn expected(&self) -> Option<Vec<u64>> {
        let windows = self.windows.iter();
        let expected = windows.map(|window| Some(window.listed? + window.new.len() as u64));
        let expected: Vec<u64> = expected.collect::<Option<_>>()?;
        (expected.iter().sum::<u64>() == self.known).then_some(expected)
    }

    async fn compare(
        &self,
        ctx: &RunContext,
        places: Vec<usize>,
    ) -> Result<Vec<(usize, ComparedWindow)>, Failure> {
        let compared = places.into_iter().map(|place| async move {
            let OrderWindow { window, new, .. } = &self.windows[place];
            let compared = match window.done {
                true => carry_window(ctx, window, new.clone()).await,
                false => Ok(ComparedWindow::UNKNOWN),
            };
            match compared {
                // A page that is too long says nothing: a scan reads it in smaller portions.
                Err(Failure::TooLarge { .. }) => Ok((place, ComparedWindow::UNKNOWN)),
                compared => Ok((place, compared?)),
            }
        });
        futures::future::try_join_all(compared).await
    }

    fn stale(&self, compared: &[(usize, ComparedWindow)]) -> Vec<StoredWindow> {
        let stale = compared.iter().filter(|(_, window)| !window.is_carried);
        stale
            .map(|(place, _)| self.windows[*place].window.clone())
            .collect()
    }
}

/// How many orders Salla counts in windows that follow each other.
async fn count(ctx: &RunContext, windows: &[OrderWindow]) -> Result<u64, Failure> {
    let (Some(first), Some(last)) = (windows.first(), windows.last()) else {
        return Ok(0);
    };
    let days = DayRange {
        from: first.days.from,
        to: last.days.to,
    };
    let request = PageRequest {
        per_page: 1,
        ..PageRequest::first(Resource::Orders, Some(ctx.reach.of(days)))
    };
    let (page, _permit) = beginning(&*ctx.platform, request).await?;
    Ok(page.pagination.total)
}

/// A window that was compared with its list.
struct ComparedWindow {
    /// How many orders Salla counts in it; none where that could not be read.
    orders: u64,
    /// It is known to list what it did, what is new and no more.
    is_carried: bool,
}

impl ComparedWindow {
    const UNKNOWN: Self = Self {
        orders: 0,
        is_carried: false,
    };
}

/// Orders of the range that no window lists yet, and when they were created.
async fn new_orders(
    ctx: &RunContext,
    plan: &Plan,
    rows: &[Row],
) -> Result<BTreeMap<i64, Timestamp>, Failure> {
    let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    let unlisted = ctx.runs.not_listed(ctx.lease, Resource::Orders, &ids);
    let unlisted: BTreeSet<i64> = unlisted.await?.into_iter().collect();
    let requests = ctx.reach.of(plan.probe.range);
    let is_new = |id: i64, created_at: Timestamp| {
        unlisted.contains(&id) && requests.contains(riyadh_date(created_at))
    };
    let rows = rows.iter().map(|row| (row.id, row.created_at));
    Ok(rows.filter(|(id, at)| is_new(*id, *at)).collect())
}

/// Compares a window with its list and brings it up to date if that shows what it lists now.
async fn carry_window(
    ctx: &RunContext,
    window: &StoredWindow,
    new: Vec<i64>,
) -> Result<ComparedWindow, Failure> {
    let list = ctx.runs.window_list(ctx.lease, window.id).await?;
    let mut ids = list.ids;
    if !new.is_empty() {
        ids = in_sequence(ctx, ids, new).await?;
    }
    let reader = WindowReader::resume(ctx, window.clone()).await?;
    let (first, _) = reader.fetch_page(1).await?;
    let pagination = first.pagination;
    let with_id = pagination.total.saturating_sub(u64::from(list.without_id));
    let mut gone = Gone::new(ids, with_id, pagination);
    let is_known = gone.read(1, &first.records.ids());
    let is_whole = pagination.total_pages <= 1 && is_readable(&first);
    let ids = match with_id == gone.known().len() as u64 {
        _ if !is_known => None,
        _ if is_whole => Some(first.records.ids()),
        true => Some(gone.known().to_vec()),
        false if list.without_id > 0 => None,
        false => look_for_gone(&reader, gone, pagination.total).await?,
    };
    let is_carried = ids.is_some();
    if let Some(ids) = ids {
        let list = CarriedList {
            window: window.id,
            ids,
            without_id: list.without_id,
            pagination,
            is_read_whole: false,
        };
        ctx.runs.carry_list(ctx.lease, &list).await?;
    }
    Ok(ComparedWindow {
        orders: pagination.total,
        is_carried,
    })
}

/// Every record of the page has an id, and no more are listed.
fn is_readable(page: &Page) -> bool {
    let ids = page.records.ids().len();
    ids == page.records.len() && ids as u64 == page.pagination.total
}

/// Orders in the sequence of their list, which is that of their creation.
async fn in_sequence(
    ctx: &RunContext,
    mut ids: Vec<i64>,
    new: Vec<i64>,
) -> Result<Vec<i64>, Failure> {
    ids.extend(new);
    let moments = ctx.runs.order_moments(ctx.lease, &ids).await?;
    if moments.len() < ids.len() {
        // Those without a row are at the place at which they were.
        return Ok(ids);
    }
    Ok(moments.into_iter().map(|order| order.id).collect())
}

pub(super) async fn scan_again(ctx: &RunContext, stale: Vec<StoredWindow>) -> Result<(), Failure> {
    let mut again = Vec::new();
    for window in stale {
        tracing::info!(window = window.part(), "the window is scanned again");
        again.push(begin_rescan(ctx, window).await?);
    }
    scan_resources(ctx, again, StartOrder::Free).await
}
