//! What a run reads in which sequence: the newest orders ahead of everything else, then
//! what changed meanwhile.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use domain::failure::Failure;
use domain::plan::{NEWEST_WINDOW_DAYS, Plan};
use domain::resource::Resource;
use domain::run::WindowId;
use futures::stream::{FuturesUnordered, StreamExt as _};
use jiff::{Timestamp, ToSpan as _};
use tokio::sync::watch;
use tracing::Instrument as _;

use super::context::{RunContext, StartOrder};
use super::known::KnownRows;
use super::progress::Phase;
use super::reader::begin_rescan;
use super::scan::{WindowOutcome, scan_window};
use super::watermark;
use super::{details, reconcile};
use crate::ports::clock::with_timeout;
use crate::ports::runs::{StoredWindow, WindowSpec};

/// Windows that are scanned side by side.
const CONCURRENT_WINDOWS: usize = 3;

/// A list that changed since it was scanned is scanned again, and may have changed once
/// more by then. What has changed after the last of these rounds is left to the next run.
const MAX_ROUNDS: u32 = 8;

/// How long orders wait for the lists beside them before they are completed without them.
const LISTS_TIMEOUT: Duration = Duration::from_secs(2);

/// Reads everything, then catches up with what changed meanwhile; returns the moment
/// as of which the database is true.
pub(crate) async fn run_phases(ctx: &RunContext, plan: &Plan) -> Result<Timestamp, Failure> {
    list_and_detail_phases(ctx, plan).await?;
    ctx.tracker.phase(Phase::Reconciling);
    if ctx.max_orders.is_some() {
        return Ok(ctx.clock.now());
    }
    let as_of = ctx.clock.now();
    // Beside each other, because customers may have to wait long for their budget.
    tokio::try_join!(reconcile_orders(ctx, plan), reconcile_lists(ctx))?;
    reconcile::resolve_vanished_records(ctx, as_of).await?;
    Ok(as_of)
}

/// Scans windows once more, for their rows and not for the list. What the landing finds to
/// differ from its record is written, or fetched if the list does not hold it.
pub(crate) async fn rescan_windows(ctx: &RunContext, windows: &[WindowId]) -> Result<(), Failure> {
    let stored = ctx.runs.windows(ctx.lease).await?;
    let mut again = Vec::new();
    for window in stored.into_iter().filter(|w| windows.contains(&w.id)) {
        again.push(begin_rescan(ctx, window).await?);
    }
    scan_resources(ctx, again, StartOrder::Free).await?;
    details::fetch_pending_details(ctx, &[]).await
}

async fn reconcile_orders(ctx: &RunContext, plan: &Plan) -> Result<(), Failure> {
    if plan.windows.is_empty() {
        return Ok(());
    }
    let stale = reconcile::stale_order_windows(ctx, plan).await?;
    rescan_all(ctx, stale).await?;
    details::fetch_pending_details(ctx, &[]).await?;
    reconcile::resolve_vanished_orders(ctx).await
}

pub(super) async fn reconcile_lists(ctx: &RunContext) -> Result<(), Failure> {
    for _ in 0..MAX_ROUNDS {
        let stale = reconcile::stale_lists(ctx).await?;
        let nothing_new = stale.is_empty();
        scan_resources(ctx, stale, StartOrder::Free).await?;
        // What does not add up may have changed since its slices were looked at.
        if reconcile::verify_slices(ctx).await? || nothing_new {
            break;
        }
    }
    Ok(())
}

/// Lists and details. The newest orders go ahead, so that the last month is usable early;
/// everything else shares the budget behind them.
pub(super) async fn list_and_detail_phases(ctx: &RunContext, plan: &Plan) -> Result<(), Failure> {
    ctx.tracker.phase(Phase::Lists);
    let windows = ctx.runs.windows(ctx.lease).await?;
    for window in windows.iter().filter(|w| !w.is_sliced) {
        expect(ctx, plan, window);
    }
    let (orders, whole): (Vec<_>, Vec<_>) = windows
        .into_iter()
        .partition(|w| w.resource == Resource::Orders);
    let first_day = ctx.reach.range.to - i64::from(NEWEST_WINDOW_DAYS - 1).days();
    let is_newest = |w: &StoredWindow| w.days.is_some_and(|days| days.from >= first_day);
    let (newest, older) = orders.into_iter().partition(is_newest);
    orders_with_other_lists(ctx, plan, [newest, older], whole).await
}

/// Orders that the reconciliation asks for in any case are left to it, unless it has to wait
/// long for customers and their budget.
async fn orders_with_other_lists(
    ctx: &RunContext,
    plan: &Plan,
    [newest, older]: [Vec<StoredWindow>; 2],
    whole: Vec<StoredWindow>,
) -> Result<(), Failure> {
    let (reading, mut read) = watch::channel(());
    let left = watermark::ambiguous_head(&plan.probe.recently_updated);
    let (first, after) = StartOrder::first_and_after();
    let after_too = after.clone();
    let orders = async {
        let older = scan_all(ctx, older, after);
        tokio::try_join!(scan_all(ctx, newest, first), older)?;
        details::fetch_pending_details(ctx, left).await?;
        // Nothing is ever sent.
        match with_timeout(ctx.clock.as_ref(), LISTS_TIMEOUT, read.changed()).await {
            Some(_) => Ok(()),
            None => details::fetch_pending_details(ctx, &[]).await,
        }
    };
    let lists = async {
        scan_resources(ctx, whole, after_too).await?;
        drop(reading);
        Ok(())
    };
    tokio::try_join!(orders, lists)?;
    Ok(())
}

fn expect(ctx: &RunContext, plan: &Plan, window: &StoredWindow) {
    let planned = match window.slice {
        // The first page tells.
        Some(_) => 1,
        None => plan.expected_pages(window.resource, window.days),
    };
    let pages = window.total_pages.map_or(planned, u64::from);
    ctx.tracker.window_expects(window.id, pages);
    if window.done {
        ctx.tracker
            .window_resumed(window.id, window.pages_done.len() as u64);
        ctx.tracker.window_settled(window.id, window.order_days());
    }
}

/// Resources without windows, all concurrently: customers have a separate budget and must not hold
/// up the products.
pub(super) async fn scan_resources(
    ctx: &RunContext,
    windows: Vec<StoredWindow>,
    start_order: StartOrder,
) -> Result<(), Failure> {
    let mut lists = BTreeMap::<Resource, Vec<StoredWindow>>::new();
    for window in windows {
        lists.entry(window.resource).or_default().push(window);
    }
    let scans = lists.into_values();
    let scans = scans.map(|windows| scan_all(ctx, windows, start_order.clone()));
    futures::future::try_join_all(scans).await?;
    Ok(())
}

/// Scans windows in their order, several concurrently, because each starts and ends with a request
/// that the others of that window wait for. What a window is split into takes its place.
/// `start_order` is that of each.
async fn scan_all(
    ctx: &RunContext,
    windows: Vec<StoredWindow>,
    start_order: StartOrder,
) -> Result<(), Failure> {
    let unread = |window: &StoredWindow| !window.done && !window.is_sliced;
    let windows = windows.into_iter().filter(unread);
    let unread = windows.map(|window| (window, None, start_order.clone()));
    let unread = unread.collect();
    // From here on only the windows keep others waiting.
    drop(start_order);
    scan_waiting(ctx, unread).await
}

/// Scans windows again of which some rows are known.
async fn rescan_all(ctx: &RunContext, windows: Vec<reconcile::Stale>) -> Result<(), Failure> {
    let waiting = windows
        .into_iter()
        .map(|stale| (stale.window, stale.known, StartOrder::Free));
    scan_waiting(ctx, waiting.collect()).await
}

type Waiting = (StoredWindow, Option<Arc<KnownRows>>, StartOrder);

async fn scan_waiting(ctx: &RunContext, mut waiting: VecDeque<Waiting>) -> Result<(), Failure> {
    let mut scans = FuturesUnordered::new();
    loop {
        while scans.len() < CONCURRENT_WINDOWS
            && let Some((window, known, start_order)) = waiting.pop_front()
        {
            let span = tracing::info_span!(
                "window",
                resource = window.resource.as_str(),
                window = window.part().map(tracing::field::display)
            );
            scans.push(scan_one(ctx, window, known, start_order).instrument(span));
        }
        // Nothing else may be waited for here: a scan that is not polled may hold the
        // very connection that is waited for.
        let Some((parts, known, start_order)) = scans.next().await.transpose()? else {
            return Ok(());
        };
        for part in parts.into_iter().rev() {
            waiting.push_front((part, known.clone(), start_order.clone()));
        }
    }
}

/// Scans a window; returns what took its place, if it had to be split, what is known of
/// it, and its start order, which is theirs then.
async fn scan_one(
    ctx: &RunContext,
    window: StoredWindow,
    known: Option<Arc<KnownRows>>,
    mut start_order: StartOrder,
) -> Result<(Vec<StoredWindow>, Option<Arc<KnownRows>>, StartOrder), Failure> {
    let resource = window.resource;
    let (parts, known) = match scan_window(ctx, window, known, &mut start_order).await? {
        WindowOutcome::Done(listing) => {
            tracing::info!(
                reported = listing.reported, listed = listing.listed(),
                proof = ?listing.proof(), "window walked"
            );
            (vec![], None)
        }
        WindowOutcome::Split(parts, known) => (stored_parts(ctx, resource, parts).await?, known),
    };
    Ok((parts, known, start_order))
}

/// The parts as the database now holds them, in their order.
async fn stored_parts(
    ctx: &RunContext,
    resource: Resource,
    parts: Vec<WindowSpec>,
) -> Result<Vec<StoredWindow>, Failure> {
    let windows = ctx.runs.windows(ctx.lease).await?;
    let find = |part: WindowSpec| {
        windows
            .iter()
            .find(|w| w.resource == resource && w.slice == part.slice && w.days == part.days)
            .cloned()
            .ok_or_else(|| Failure::Bug {
                message: format!("the part {part:?} of a split window of {resource} is missing"),
            })
    };
    parts.into_iter().map(find).collect()
}
