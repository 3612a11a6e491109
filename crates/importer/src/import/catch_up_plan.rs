//! What a run that catches up continues from, and what it reads.

use domain::failure::Failure;
use domain::instant::riyadh_date;
use domain::plan::{DetailCase, NEWEST_WINDOW_DAYS, Plan, PlanInputs, pages};
use domain::resource::Resource;
use domain::shop::MerchantId;
use domain::window::DayRange;
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp, ToSpan as _};

use crate::ports::landing::RunLease;
use crate::ports::platform::Pagination;
use crate::ports::runs::{CarriedList, CatchUp, Finished, Run, RunOptions, Runs, StoredWindow};

/// The ends of the lists, and the order that was updated last.
const CLOSING_REQUESTS: u64 = 8;

/// What brings a shop up to date.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct WantedCatchUp {
    pub options: RunOptions,
    pub range: DayRange,
    pub catch_up: CatchUp,
    /// Also what is older than the days that are there.
    pub goes_back: bool,
}

/// Customers and products are read whole again after this time: Salla does not list their edits.
/// Prices and addresses are at most a week old, and the pages of the lists, which are most of the
/// requests, are requested once a week and not every hour.
const LISTS_STAY_TRUE: SignedDuration = SignedDuration::from_hours(7 * 24);

/// What a shop whose history is there needs to have `months` of it as of now; nothing where
/// it is not there. Days that are there stay, however old they have become.
pub(crate) async fn wanted(
    runs: &dyn Runs,
    merchant: MerchantId,
    options: &RunOptions,
    refreshes_lists: bool,
    now: Timestamp,
) -> Result<Option<WantedCatchUp>, Failure> {
    let Some(there) = history(runs, merchant, options).await? else {
        return Ok(None);
    };
    let (options, range) = with_what_is_there(options, Some(&there), riyadh_date(now));
    let lists_are_old =
        lists_read_at(&there.run).is_some_and(|at| now.duration_since(at) > LISTS_STAY_TRUE);
    Ok(Some(WantedCatchUp {
        goes_back: range.from < there.covers.from,
        options,
        range,
        catch_up: CatchUp {
            since: there.run.id,
            refreshes_lists: refreshes_lists || lists_are_old,
        },
    }))
}

/// What a run reads that does not catch up. It replaces the history that is there, so it reads at
/// least as many days.
pub(crate) async fn everything(
    runs: &dyn Runs,
    merchant: MerchantId,
    options: &RunOptions,
    now: Timestamp,
) -> Result<(RunOptions, DayRange), Failure> {
    if let Some(days) = options.only.and_then(|only| only.days) {
        return Ok((options.clone(), days));
    }
    let (there, today) = (history(runs, merchant, options).await?, riyadh_date(now));
    Ok(with_what_is_there(options, there.as_ref(), today))
}

/// The history that a run of these options continues or replaces: none if it reads a part.
async fn history(
    runs: &dyn Runs,
    merchant: MerchantId,
    options: &RunOptions,
) -> Result<Option<Finished>, Failure> {
    match options.only.is_some() || options.max_orders.is_some() {
        true => Ok(None),
        false => runs.latest_finished(merchant).await,
    }
}

/// Fewer months than there are take nothing away.
fn with_what_is_there(
    options: &RunOptions,
    there: Option<&Finished>,
    today: Date,
) -> (RunOptions, DayRange) {
    let mut options = options.clone();
    let mut range = DayRange::last_months(today, options.months);
    if let Some(Finished { run, covers }) = there {
        options.months = options.months.max(run.options.months);
        range.from = range.from.min(covers.from);
        range.to = range.to.max(covers.to);
    }
    (options, range)
}

/// When the list that has not been read whole for longest was. Certificates of earlier versions
/// do not say; their runs have read all lists.
fn lists_read_at(run: &Run) -> Option<Timestamp> {
    let windows = run.certificate.iter().flat_map(|c| &c.windows);
    let lists = windows.map(|window| &window.listing).filter(|listing| {
        matches!(listing.resource, Resource::Customers | Resource::Products) && !listing.is_sliced
    });
    let read_at = lists.map(|listing| listing.read_at.or(run.started_at));
    read_at.min().flatten()
}

/// Takes over what the finished run has listed and adds what it has not. May be repeated until
/// the plan is stored.
pub(crate) async fn plan(
    runs: &dyn Runs,
    lease: RunLease,
    run: &Run,
    catch_up: CatchUp,
    share: f64,
) -> Result<Plan, Failure> {
    let finished = runs.latest_finished(lease.merchant).await?;
    let finished = finished.filter(|finished| finished.run.id == catch_up.since);
    let Some(Finished { run: since, covers }) = finished else {
        return Err(Failure::Bug {
            message: "the run to catch up from is not the latest finished one".to_owned(),
        });
    };
    let previous = since.plan.clone().ok_or_else(|| Failure::Bug {
        message: "the run to catch up from has no plan".to_owned(),
    })?;
    runs.take_over(lease, catch_up.since).await?;
    let windows = runs.windows(lease).await?;
    let probe = probe(previous.probe, &since, run.range, share);
    let probe = PlanInputs {
        ceiling: runs.ceiling(lease.merchant).await?,
        ..probe
    };
    let fresh = newest_days(runs, lease, &windows, run.range).await?;
    let listed: Vec<DayRange> = windows
        .iter()
        .filter_map(StoredWindow::order_days)
        .collect();
    let older = older_days(&probe, covers, &listed);
    let unread = windows.iter().filter(|window| !window.done);
    let unread = unread.filter_map(StoredWindow::order_days);
    let unread: Vec<DayRange> = unread.chain(older.iter().copied()).collect();
    if catch_up.refreshes_lists {
        for window in windows.iter().filter(|window| is_refreshed(window)) {
            runs.begin_scan(lease, window.id).await?;
        }
    }
    let added = fresh.into_iter().chain(older.iter().copied());
    let plan = Plan {
        windows: fresh
            .into_iter()
            .chain(listed)
            .chain(older.iter().copied())
            .collect(),
        ..requests(probe, &unread, catch_up)
    };
    let added: Vec<_> = added.map(|days| (Resource::Orders, Some(days))).collect();
    runs.save_plan(lease, &plan, &added).await?;
    if let Some(fresh) = fresh {
        begin_empty(runs, lease, fresh).await?;
    }
    Ok(plan)
}

/// Edits of these Salla does not list. A list that is read in slices is scanned slice by slice.
fn is_refreshed(window: &StoredWindow) -> bool {
    let is_list = matches!(window.resource, Resource::Customers | Resource::Products);
    is_list && !window.is_sliced
}

/// Runs of earlier versions do not say where they have read the list of changes from at their
/// end, only where at their beginning.
fn probe(previous: PlanInputs, since: &Run, range: DayRange, share: f64) -> PlanInputs {
    let mut probe = PlanInputs {
        range,
        max_orders: None,
        ..previous
    };
    probe.budget.share = share;
    if let Some(head) = &since.change_head {
        probe.recently_updated.clone_from(&head.ids);
        probe.last_update = head.last_update;
        probe.recent_asked_at = head.asked_at;
    }
    probe
}

/// Lets the newest window reach to the end of the range, or says which days need another one.
async fn newest_days(
    runs: &dyn Runs,
    lease: RunLease,
    windows: &[StoredWindow],
    range: DayRange,
) -> Result<Option<DayRange>, Failure> {
    let of_orders = windows.iter().filter_map(|w| Some((w, w.order_days()?)));
    let Some((newest, days)) = of_orders.max_by_key(|(_, days)| days.to) else {
        return Ok(Some(range));
    };
    let stretched = DayRange {
        from: days.from,
        to: range.to,
    };
    if days.to < range.to && stretched.days() <= NEWEST_WINDOW_DAYS {
        runs.stretch_window(lease, newest.id, stretched).await?;
        return Ok(None);
    }
    Ok(DayRange::new(days.to.saturating_add(1.day()), range.to))
}

/// Windows for the days before those that are covered, except those that an earlier attempt has
/// begun to read: these are `listed`.
fn older_days(probe: &PlanInputs, covers: DayRange, listed: &[DayRange]) -> Vec<DayRange> {
    let before = DayRange::new(probe.range.from, covers.from.saturating_sub(1.day()));
    let before = before.filter(|before| before.from < covers.from);
    let gaps = before.map_or(vec![], |before| days_without(before, listed));
    let windows = gaps.into_iter().flat_map(|gap| {
        let orders = probe.orders * u64::from(gap.days()) / u64::from(covers.days());
        let range = gap;
        Plan::new(PlanInputs {
            range,
            orders,
            ..probe.clone()
        })
        .windows
    });
    windows.collect()
}

/// The days of `range` that none of the others has, the newest first.
fn days_without(range: DayRange, others: &[DayRange]) -> Vec<DayRange> {
    let mut others: Vec<DayRange> = others.to_vec();
    others.sort_by_key(|days| std::cmp::Reverse(days.to));
    let (mut gaps, mut last) = (Vec::new(), range.to);
    for days in others {
        if days.to < range.from {
            break;
        }
        if days.from > last {
            continue;
        }
        gaps.extend(DayRange::new(days.to.saturating_add(1.day()), last));
        last = days.from.saturating_sub(1.day());
    }
    gaps.extend(DayRange::new(range.from, last));
    gaps
}

/// `unread` are the days of which orders are listed.
fn requests(probe: PlanInputs, unread: &[DayRange], catch_up: CatchUp) -> Plan {
    let days: u64 = unread.iter().map(|days| u64::from(days.days())).sum();
    let orders = probe.orders * days / u64::from(probe.range.days()).max(1);
    let per_order = match days {
        0 => 0,
        _ => probe.detail_case.requests_per_order(),
    };
    let in_doubt = u64::from(probe.detail_case != DetailCase::Expanded);
    let whole = Plan::new(probe.clone());
    let of_lists = |pages| if catch_up.refreshes_lists { pages } else { 0 };
    Plan {
        order_pages: match days {
            0 => 0,
            _ => pages(orders, probe.orders_per_page) + unread.len() as u64,
        },
        detail_requests: orders * per_order,
        customer_pages: of_lists(whole.customer_pages),
        product_pages: of_lists(whole.product_pages),
        other_requests: 0,
        closing_requests: CLOSING_REQUESTS + in_doubt,
        windows: vec![],
        probe,
    }
}

/// A window of which nothing is known but that nothing was there before: what is new in it is
/// new in the list of changes.
async fn begin_empty(runs: &dyn Runs, lease: RunLease, days: DayRange) -> Result<(), Failure> {
    let windows = runs.windows(lease).await?;
    let is_it = |window: &&StoredWindow| window.order_days() == Some(days) && window.scan == 0;
    let Some(window) = windows.iter().find(is_it) else {
        return Ok(());
    };
    let empty = CarriedList {
        window: window.id,
        ids: vec![],
        without_id: 0,
        pagination: Pagination {
            count: 0,
            total: 0,
            per_page: 1,
            current_page: 1,
            total_pages: 1,
        },
        is_read_whole: false,
    };
    runs.carry_list(lease, &empty).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(from: &str, to: &str) -> DayRange {
        DayRange {
            from: from.parse().unwrap(),
            to: to.parse().unwrap(),
        }
    }

    #[test]
    fn only_days_that_nothing_has_listed_are_added() {
        let year = days("2024-01-01", "2024-12-31");
        let after = days("2025-01-01", "2025-06-15");
        let table: [(&[DayRange], &[DayRange]); 6] = [
            (&[], &[year]),
            (&[after], &[year]),
            (&[year, after], &[]),
            // More than the range.
            (&[days("2023-12-01", "2025-02-01")], &[]),
            (
                &[days("2024-03-01", "2024-03-31"), after],
                &[
                    days("2024-04-01", "2024-12-31"),
                    days("2024-01-01", "2024-02-29"),
                ],
            ),
            // Neighbors, and one within another.
            (
                &[
                    days("2024-12-31", "2024-12-31"),
                    days("2024-12-01", "2024-12-30"),
                    days("2024-12-05", "2024-12-06"),
                ],
                &[days("2024-01-01", "2024-11-30")],
            ),
        ];
        for (listed, expected) in table {
            assert_eq!(days_without(year, listed), expected, "{listed:?}");
        }
    }
}
