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

use super::context::{Precedence, Workshop};
use super::known::KnownRows;
use super::progress::Phase;
use super::reader::begin_anew;
use super::scan::{Walked, walk_window};
use super::watermark;
use super::{details, reconcile};
use crate::ports::clock::within;
use crate::ports::runs::{Part, StoredWindow};

/// Windows that are walked side by side.
const WINDOWS_AT_ONCE: usize = 3;

/// A list that changed since it was scanned is scanned again, and may have changed once
/// more by then. What has changed after the last of these rounds is left to the next run.
const MAX_ROUNDS: u32 = 8;

/// How long orders wait for the lists beside them before they are completed without them.
const PATIENCE_WITH_LISTS: Duration = Duration::from_secs(2);

/// Reads everything, then catches up with what changed meanwhile; returns the moment
/// as of which the database is true.
pub(crate) async fn read_everything(shop: &Workshop, plan: &Plan) -> Result<Timestamp, Failure> {
    passes(shop, plan).await?;
    shop.tracker.phase(Phase::Verifying);
    if shop.max_orders.is_some() {
        return Ok(shop.clock.now());
    }
    let as_of = shop.clock.now();
    // Beside each other, because customers may have to wait long for their budget.
    tokio::try_join!(close_orders(shop, plan), close_lists(shop))?;
    reconcile::settle_vanished_records(shop, as_of).await?;
    Ok(as_of)
}

/// Scans windows once more, for their rows and not for the list. What the landing finds to
/// differ from its record is written, or fetched if the list does not hold it.
pub(crate) async fn read_again(shop: &Workshop, windows: &[WindowId]) -> Result<(), Failure> {
    let stored = shop.runs.windows(shop.lease).await?;
    let mut again = Vec::new();
    for window in stored.into_iter().filter(|w| windows.contains(&w.id)) {
        again.push(begin_anew(shop, window).await?);
    }
    walk_resources(shop, again, Precedence::Free).await?;
    details::complete_orders(shop, &[]).await
}

async fn close_orders(shop: &Workshop, plan: &Plan) -> Result<(), Failure> {
    if plan.windows.is_empty() {
        return Ok(());
    }
    let stale = reconcile::look_at_orders_again(shop, plan).await?;
    walk_again(shop, stale).await?;
    details::complete_orders(shop, &[]).await?;
    reconcile::settle_vanished_orders(shop).await
}

pub(super) async fn close_lists(shop: &Workshop) -> Result<(), Failure> {
    for _ in 0..MAX_ROUNDS {
        let stale = reconcile::look_at_lists_again(shop).await?;
        let nothing_new = stale.is_empty();
        walk_resources(shop, stale, Precedence::Free).await?;
        // What does not add up may have changed since its slices were looked at.
        if reconcile::add_up(shop).await? || nothing_new {
            break;
        }
    }
    Ok(())
}

/// Both passes. The newest orders go ahead, so that the last month is usable early;
/// everything else shares the budget behind them.
pub(super) async fn passes(shop: &Workshop, plan: &Plan) -> Result<(), Failure> {
    shop.tracker.phase(Phase::Headers);
    let windows = shop.runs.windows(shop.lease).await?;
    for window in windows.iter().filter(|w| !w.is_sliced) {
        expect(shop, plan, window);
    }
    let (orders, whole): (Vec<_>, Vec<_>) = windows
        .into_iter()
        .partition(|w| w.resource == Resource::Orders);
    let first_day = shop.reach.range.to - i64::from(NEWEST_WINDOW_DAYS - 1).days();
    let is_newest = |w: &StoredWindow| w.days.is_some_and(|days| days.from >= first_day);
    let (newest, older) = orders.into_iter().partition(is_newest);
    orders_beside_lists(shop, plan, [newest, older], whole).await
}

/// Orders that the closing pass asks for in any case are left to it, unless it has to wait
/// long for customers and their budget.
async fn orders_beside_lists(
    shop: &Workshop,
    plan: &Plan,
    [newest, older]: [Vec<StoredWindow>; 2],
    whole: Vec<StoredWindow>,
) -> Result<(), Failure> {
    let (reading, mut read) = watch::channel(());
    let left = watermark::in_doubt(&plan.probe.recently_updated);
    let (ahead, behind) = Precedence::ahead_and_behind();
    let behind_too = behind.clone();
    let orders = async {
        let older = walk_all(shop, older, behind);
        tokio::try_join!(walk_all(shop, newest, ahead), older)?;
        details::complete_orders(shop, left).await?;
        // Nothing is ever sent.
        match within(shop.clock.as_ref(), PATIENCE_WITH_LISTS, read.changed()).await {
            Some(_) => Ok(()),
            None => details::complete_orders(shop, &[]).await,
        }
    };
    let lists = async {
        walk_resources(shop, whole, behind_too).await?;
        drop(reading);
        Ok(())
    };
    tokio::try_join!(orders, lists)?;
    Ok(())
}

fn expect(shop: &Workshop, plan: &Plan, window: &StoredWindow) {
    let planned = match window.slice {
        // The first page tells.
        Some(_) => 1,
        None => plan.expected_pages(window.resource, window.days),
    };
    let pages = window.total_pages.map_or(planned, u64::from);
    shop.tracker.window_expects(window.id, pages);
    if window.settled {
        shop.tracker
            .window_had(window.id, window.pages_done.len() as u64);
        shop.tracker.window_settled(window.id, window.order_days());
    }
}

/// Resources without windows, all at once: customers have a budget of their own and
/// must not hold up the products.
pub(super) async fn walk_resources(
    shop: &Workshop,
    windows: Vec<StoredWindow>,
    precedence: Precedence,
) -> Result<(), Failure> {
    let mut lists = BTreeMap::<Resource, Vec<StoredWindow>>::new();
    for window in windows {
        lists.entry(window.resource).or_default().push(window);
    }
    let walks = lists.into_values();
    let walks = walks.map(|windows| walk_all(shop, windows, precedence.clone()));
    futures::future::try_join_all(walks).await?;
    Ok(())
}

/// Walks windows in their order, several at once, because each begins and ends with a
/// request on which the others of that window wait. What a window is split into takes its
/// place. `precedence` is that of each.
async fn walk_all(
    shop: &Workshop,
    windows: Vec<StoredWindow>,
    precedence: Precedence,
) -> Result<(), Failure> {
    let unread = |window: &StoredWindow| !window.settled && !window.is_sliced;
    let windows = windows.into_iter().filter(unread);
    let unread = windows.map(|window| (window, None, precedence.clone()));
    let unread = unread.collect();
    // From here on only the windows keep others waiting.
    drop(precedence);
    walk_waiting(shop, unread).await
}

/// Walks windows again of which some rows are known.
async fn walk_again(shop: &Workshop, windows: Vec<reconcile::Stale>) -> Result<(), Failure> {
    let waiting = windows
        .into_iter()
        .map(|stale| (stale.window, stale.known, Precedence::Free));
    walk_waiting(shop, waiting.collect()).await
}

type Waiting = (StoredWindow, Option<Arc<KnownRows>>, Precedence);

async fn walk_waiting(shop: &Workshop, mut waiting: VecDeque<Waiting>) -> Result<(), Failure> {
    let mut walks = FuturesUnordered::new();
    loop {
        while walks.len() < WINDOWS_AT_ONCE
            && let Some((window, known, precedence)) = waiting.pop_front()
        {
            let span = tracing::info_span!(
                "window",
                resource = window.resource.as_str(),
                window = window.part().map(tracing::field::display)
            );
            walks.push(walk_one(shop, window, known, precedence).instrument(span));
        }
        // Nothing else may be waited for here: a walk that is not polled may hold the
        // very connection that is waited for.
        let Some((parts, known, precedence)) = walks.next().await.transpose()? else {
            return Ok(());
        };
        for part in parts.into_iter().rev() {
            waiting.push_front((part, known.clone(), precedence.clone()));
        }
    }
}

/// Walks a window; returns what took its place, if it had to be split, what is known of
/// it, and its precedence, which is theirs then.
async fn walk_one(
    shop: &Workshop,
    window: StoredWindow,
    known: Option<Arc<KnownRows>>,
    mut precedence: Precedence,
) -> Result<(Vec<StoredWindow>, Option<Arc<KnownRows>>, Precedence), Failure> {
    let resource = window.resource;
    let (parts, known) = match walk_window(shop, window, known, &mut precedence).await? {
        Walked::Settled(listing) => {
            tracing::info!(
                reported = listing.reported, listed = listing.listed(),
                proof = ?listing.proof(), "window walked"
            );
            (vec![], None)
        }
        Walked::Split(parts, known) => (stored_parts(shop, resource, parts).await?, known),
    };
    Ok((parts, known, precedence))
}

/// The parts as the database now holds them, in their order.
async fn stored_parts(
    shop: &Workshop,
    resource: Resource,
    parts: Vec<Part>,
) -> Result<Vec<StoredWindow>, Failure> {
    let windows = shop.runs.windows(shop.lease).await?;
    let find = |part: Part| {
        windows
            .iter()
            .find(|w| w.resource == resource && w.slice == part.slice && w.days == part.days)
            .cloned()
            .ok_or_else(|| Failure::Bug {
                what: format!("the part {part:?} of a split window of {resource} is missing"),
            })
    };
    parts.into_iter().map(find).collect()
}
