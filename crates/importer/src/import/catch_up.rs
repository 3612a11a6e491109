//! Brings a shop up to date whose history is there, with as few requests as Salla allows.
//!
//! A run that catches up has taken over what the finished run has listed. It reads
//!
//! 1. what was updated since, from the list that is sorted by it. The same page tells how many
//!    orders there are: where these are those that were listed and those that are new, none is
//!    gone. Otherwise windows are counted, several by one request ([`super::shortfall`]), and
//!    in those that lack rows the pages between which they are missing are looked for
//!    ([`super::gone`]). That the whole range adds up afterwards proves that no other window
//!    lacks any; if it does not, each window is compared.
//! 2. the ends of the lists of customers and products, where records are added, and their
//!    `total`, which tells whether any are gone. A list of one page is read whole by that.
//! 3. what has never been read: days that go further back, and lists of which the edits are
//!    wanted too.
//!
//! What cannot be told in this way is scanned as in a first import. What no list has any more is
//! settled as at its end.

use std::collections::BTreeSet;

use domain::failure::Failure;
use domain::plan::{DetailCase, Plan};
use domain::resource::Resource;
use jiff::Timestamp;

use super::catch_up_lists::lists;
use super::catch_up_orders::{Carried, Orders, scan_again, windows_of};
use super::changes::{self, ChangeList};
use super::context::RunContext;
use super::progress::Phase;
use super::sequence::list_and_detail_phases;
use super::watermark::Watermark;
use super::{details, reconcile};

/// Changes are read this often before windows that they do not explain are scanned: an order
/// may arrive between the list of changes and the window. The last time proves what a search
/// has found before.
const MAX_READINGS: u32 = 2;

/// Returns the moment as of which the database is true.
pub(crate) async fn catch_up(ctx: &RunContext, plan: &Plan) -> Result<Timestamp, Failure> {
    list_and_detail_phases(ctx, plan).await?;
    ctx.tracker.phase(Phase::Reconciling);
    let as_of = ctx.clock.now();
    tokio::try_join!(orders(ctx, plan), lists(ctx))?;
    reconcile::resolve_vanished_records(ctx, as_of).await?;
    Ok(as_of)
}

async fn orders(ctx: &RunContext, plan: &Plan) -> Result<(), Failure> {
    let previous = Watermark::planned(&plan.probe);
    let mut plan = plan.clone();
    let mut requests = DetailRequests::default();
    let mut stale = Vec::new();
    let mut head = previous.clone();
    let mut rows = Vec::new();
    for reading in 1..=MAX_READINGS {
        let mut read = changes::read(ctx, &plan).await?;
        requests.note(&read);
        rows.append(&mut read.rows);
        let is_last = !read.are_all_read || reading == MAX_READINGS;
        let carried = match read.are_all_read {
            true => {
                let orders = Orders::of(ctx, &plan, read.total, &rows, &stale).await?;
                orders.carry(ctx, is_last).await?
            }
            false => {
                requests.everything |= plan.probe.detail_case != DetailCase::Expanded;
                Carried::Except(windows_of(ctx, Resource::Orders).await?)
            }
        };
        head = read.head;
        let is_settled = matches!(&carried, Carried::Except(stale) if stale.is_empty());
        stale = match carried {
            Carried::Except(stale) => stale,
            Carried::Searched => vec![],
        };
        if is_settled || is_last {
            break;
        }
        plan.probe.recently_updated.clone_from(&head.ids);
        plan.probe.last_update = head.last_update;
        plan.probe.recent_asked_at = head.asked_at;
    }
    scan_again(ctx, stale).await?;
    requests.complete(ctx, &previous).await?;
    ctx.runs.save_change_head(ctx.lease, &head.stored()).await?;
    reconcile::resolve_vanished_orders(ctx).await
}

/// Orders of which a list row does not tell everything, and that may have been updated.
#[derive(Default)]
struct DetailRequests {
    surely: BTreeSet<i64>,
    /// In the sequence of the list of changes.
    in_doubt: Vec<i64>,
    /// Where the changes end is not known.
    everything: bool,
}

impl DetailRequests {
    fn note(&mut self, read: &ChangeList) {
        let lacking = read
            .rows
            .iter()
            .filter(|row| !row.is_whole)
            .map(|row| row.id);
        let lacking: BTreeSet<i64> = lacking.collect();
        let is_lacking = |id: &&i64| lacking.contains(id);
        let in_doubt = |id: &&i64| read.in_doubt.contains(id) && !read.changed.contains(id);
        let updated = read.updated.iter().filter(is_lacking);
        self.surely.extend(updated.filter(|id| !in_doubt(id)));
        let doubted = read.in_doubt.iter().filter(is_lacking).filter(in_doubt);
        self.in_doubt.extend(doubted);
    }

    async fn complete(self, ctx: &RunContext, previous: &Watermark) -> Result<(), Failure> {
        let mut ids: Vec<i64> = self.surely.iter().copied().collect();
        if self.everything {
            for window in windows_of(ctx, Resource::Orders).await? {
                ids.extend(ctx.runs.window_list(ctx.lease, window.id).await?.ids);
            }
        }
        ctx.landing.mark_pending(ctx.lease, &ids).await?;
        details::fetch_pending_details(ctx, &[]).await?;
        let doubted = self.in_doubt.into_iter();
        let mut before = None;
        for id in doubted.filter(|id| !self.surely.contains(id)) {
            let unchanged = unchanged_since(ctx, id).await?;
            if !self.everything && ends_doubt(previous, before, unchanged) {
                break;
            }
            before = unchanged;
        }
        Ok(())
    }
}

/// Whatever stands behind an order in the list of changes was not updated after it. So where an
/// order is as it was, those behind it are too, unless they were updated in the very second in
/// which the former list was read: not if the order was updated before that, or before the one
/// ahead of it.
fn ends_doubt(
    previous: &Watermark,
    before: Option<Timestamp>,
    unchanged: Option<Timestamp>,
) -> bool {
    let previous = Watermark {
        last_update: unchanged,
        ..previous.clone()
    };
    unchanged.is_some() && (!previous.may_share_its_second() || unchanged < before)
}

/// Fetches an order's details, which tell when it was updated where its list row does not.
/// Nothing if it was updated since they were fetched last.
async fn unchanged_since(ctx: &RunContext, id: i64) -> Result<Option<Timestamp>, Failure> {
    let before = updated_at(ctx, id).await?;
    ctx.landing.mark_pending(ctx.lease, &[id]).await?;
    details::fetch_pending_details(ctx, &[]).await?;
    let is_the_same = before == updated_at(ctx, id).await?;
    Ok(before.filter(|_| is_the_same))
}

async fn updated_at(ctx: &RunContext, id: i64) -> Result<Option<Timestamp>, Failure> {
    let moments = ctx.runs.order_moments(ctx.lease, &[id]).await?;
    Ok(moments.first().and_then(|order| order.updated_at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubt_ends_with_an_order_that_was_surely_updated_before_the_former_list_was_read() {
        let at = |second| Timestamp::from_second(second).ok();
        let previous = Watermark {
            asked_at: at(1_000_000),
            ..Watermark::default()
        };
        for (before, unchanged, ends) in [
            (None, None, false),
            (None, at(990_000), true),
            // Perhaps of the second in which the list was read.
            (None, at(1_000_000), false),
            (at(1_000_000), at(1_000_000), false),
            (at(1_000_000), at(999_999), true),
            // The one ahead was updated since.
            (None, at(999_999), false),
        ] {
            let found = ends_doubt(&previous, before, unchanged);
            assert_eq!(found, ends, "{before:?} {unchanged:?}");
        }
    }
}
