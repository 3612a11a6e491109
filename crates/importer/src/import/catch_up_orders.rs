//! The windows of orders of a shop that is brought up to date, against what Salla counts in all of
//! them.

use std::collections::{BTreeMap, BTreeSet};

use domain::certificate::{Listing, Proof};
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
use crate::ports::platform::{PageRequest, Pagination};
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
    listed: u64,
    /// See [`known_difference`].
    difference: Option<i64>,
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
                Ok::<_, Failure>(OrderWindow {
                    is_changed: !new.is_empty() || !window.done || was_stale,
                    listed: listing.listed(),
                    difference: known_difference(&window, &listing),
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
        let differences = self.windows.iter().map(|window| window.difference);
        if adds_up(self.known, self.total, differences) {
            let compared = self.compare(ctx, self.changed()).await?;
            return Ok(Carried::Except(self.stale(&compared)));
        }
        let missing = self.total.and_then(|total| self.known.checked_sub(total));
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
    /// order, as they do if the ends of Salla's filter are exclusive, and where its numbers are
    /// off: several windows are not off by as much together.
    fn expected(&self) -> Option<Vec<u64>> {
        let windows = self.windows.iter();
        let expected = windows.map(|window| {
            let is_exact = window.difference == Some(0);
            is_exact.then(|| window.listed + window.new.len() as u64)
        });
        let expected: Vec<u64> = expected.collect::<Option<_>>()?;
        (expected.iter().sum::<u64>() == self.known).then_some(expected)
    }

    async fn compare(
        &self,
        ctx: &RunContext,
        places: Vec<usize>,
    ) -> Result<Vec<(usize, ComparedWindow)>, Failure> {
        let compared = places.into_iter().map(|place| async move {
            let window = &self.windows[place];
            let compared = match window.window.done {
                true => carry_window(ctx, window).await,
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

/// By how much Salla's number of a list is off: what it counted beyond (or below, if negative) the
/// list when that was proven or settled. Nothing where the list is neither.
pub(super) fn known_difference(window: &StoredWindow, listing: &Listing) -> Option<i64> {
    let difference = listing.difference();
    let is_known = difference == 0 || listing.proof() == Proof::Settled;
    (window.done && is_known).then_some(difference)
}

/// Whether Salla counts just the orders that are known, or is off by as much as in each of the
/// windows: its number of any list is off by that. Where windows differ, what one is off by may
/// make up for orders that are gone.
fn adds_up(
    known: u64,
    total: Option<u64>,
    mut differences: impl Iterator<Item = Option<i64>>,
) -> bool {
    total.is_some_and(|total| {
        let difference = total.cast_signed() - known.cast_signed();
        differences.all(|of_window| of_window == Some(difference))
    })
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
async fn carry_window(ctx: &RunContext, compared: &OrderWindow) -> Result<ComparedWindow, Failure> {
    let (window, new) = (&compared.window, &compared.new);
    let list = ctx.runs.window_list(ctx.lease, window.id).await?;
    let mut ids = list.ids;
    if !new.is_empty() {
        ids = in_sequence(ctx, ids, new.clone()).await?;
    }
    let reader = WindowReader::resume(ctx, window.clone()).await?;
    let (first, _) = reader.fetch_page(1).await?;
    let pagination = first.pagination;
    let difference = compared.difference.unwrap_or(0);
    let rows = RowCount::of(pagination, difference);
    let read = first.records.ids();
    let without_id = (first.records.len() - read.len()) as u32;
    let with_id = rows.total.saturating_sub(u64::from(list.without_id));
    let mut gone = Gone::new(ids, with_id, pagination);
    let is_known = gone.read(1, &read);
    let now = match with_id == gone.known().len() as u64 {
        _ if !is_known => None,
        // One that has come without an id has not landed.
        _ if rows.are_all_on_a_page(first.records.len()) => {
            (without_id <= list.without_id).then_some((read, without_id))
        }
        true => Some((gone.known().to_vec(), list.without_id)),
        // The number may be right again.
        false if list.without_id > 0 || difference != 0 => None,
        false => {
            let ids = look_for_gone(&reader, gone, pagination.total).await?;
            ids.map(|ids| (ids, 0))
        }
    };
    let is_carried = match now {
        Some((ids, without_id)) => {
            let list = CarriedList {
                window: window.id,
                ids,
                without_id,
                pagination,
                is_read_whole: false,
            };
            carry(ctx, &list).await?
        }
        None => false,
    };
    Ok(ComparedWindow {
        orders: pagination.total,
        is_carried,
    })
}

/// How many rows a list has, if Salla's number is still off by what it was.
pub(super) struct RowCount {
    pub(super) total: u64,
    pagination: Pagination,
}

impl RowCount {
    pub(super) fn of(pagination: Pagination, difference: i64) -> Self {
        Self {
            total: pagination.total.saturating_add_signed(-difference),
            pagination,
        }
    }

    /// Whether a page of that number of rows is the whole list. Its number may be right again.
    pub(super) fn are_all_on_a_page(&self, rows: usize) -> bool {
        let totals = [self.total, self.pagination.total];
        self.pagination.total_pages <= 1 && totals.contains(&(rows as u64))
    }
}

/// Replaces what a window lists. If that does not prove it, it has to be scanned.
pub(super) async fn carry(ctx: &RunContext, list: &CarriedList) -> Result<bool, Failure> {
    ctx.runs.carry_list(ctx.lease, list).await?;
    let listing = ctx.runs.listing(ctx.lease, list.window).await?;
    Ok(listing.proof() != Proof::Unproven)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_that_are_gone_do_not_add_up_whatever_numbers_are_off_by() {
        let table: [(u64, &[Option<i64>], bool); 12] = [
            (90, &[Some(0), Some(0)], true),
            (89, &[Some(0), Some(0)], false),
            (91, &[Some(0), Some(0)], false),
            (92, &[Some(2), Some(2)], true),
            (92, &[Some(2)], true),
            // Two are gone, or one.
            (90, &[Some(2), Some(2)], false),
            (91, &[Some(2), Some(2)], false),
            (88, &[Some(-2), Some(-2)], true),
            (86, &[Some(-2), Some(-2)], false),
            (92, &[Some(2), Some(0)], false),
            (90, &[Some(2), Some(-2)], false),
            (90, &[Some(0), None], false),
        ];
        for (total, windows, expected) in table {
            let found = adds_up(90, Some(total), windows.iter().copied());
            assert_eq!(found, expected, "{total} {windows:?}");
        }
        assert!(!adds_up(90, None, [Some(0)].into_iter()));
    }
}
