//! What a run that catches up continues from, and what it reads.

use domain::failure::Failure;
use domain::instant::riyadh_date;
use domain::plan::{DetailCase, NEWEST_WINDOW_DAYS, Plan, PlanInputs, pages};
use domain::resource::Resource;
use domain::shop::MerchantId;
use domain::window::DayRange;
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
    if options.only.is_some() || options.max_orders.is_some() {
        return Ok(None);
    }
    let Some(Finished { run, covers }) = runs.latest_finished(merchant).await? else {
        return Ok(None);
    };
    let today = riyadh_date(now);
    let wanted = DayRange::last_months(today, options.months);
    let lists_are_old =
        lists_read_at(&run).is_some_and(|at| now.duration_since(at) > LISTS_STAY_TRUE);
    Ok(Some(WantedCatchUp {
        options: RunOptions {
            months: options.months.max(run.options.months),
            ..options.clone()
        },
        range: DayRange {
            from: wanted.from.min(covers.from),
            to: today.max(covers.to),
        },
        catch_up: CatchUp {
            since: run.id,
            refreshes_lists: refreshes_lists || lists_are_old,
        },
        goes_back: wanted.from < covers.from,
    }))
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
    let older = older_days(&probe, covers);
    if catch_up.refreshes_lists {
        for window in windows.iter().filter(|window| is_refreshed(window)) {
            runs.begin_scan(lease, window.id).await?;
        }
    }
    let listed = windows.iter().filter_map(StoredWindow::order_days);
    let added = fresh.into_iter().chain(older.iter().copied());
    let plan = Plan {
        windows: fresh
            .into_iter()
            .chain(listed)
            .chain(older.iter().copied())
            .collect(),
        ..requests(probe, &older, catch_up)
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

/// Windows for the days before those that are covered.
fn older_days(probe: &PlanInputs, covers: DayRange) -> Vec<DayRange> {
    let gap = DayRange::new(probe.range.from, covers.from.saturating_sub(1.day()));
    let gap = gap.filter(|gap| gap.from < covers.from);
    gap.map_or(vec![], |gap| {
        let orders = probe.orders * u64::from(gap.days()) / u64::from(covers.days());
        let range = gap;
        Plan::new(PlanInputs {
            range,
            orders,
            ..probe.clone()
        })
        .windows
    })
}

fn requests(probe: PlanInputs, older: &[DayRange], catch_up: CatchUp) -> Plan {
    let days: u64 = older.iter().map(|days| u64::from(days.days())).sum();
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
            _ => pages(orders, probe.orders_per_page) + older.len() as u64,
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
