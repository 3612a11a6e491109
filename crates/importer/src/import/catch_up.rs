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
use super::unchanged::{self, Evidence};
use super::watermark::{AMBIGUOUS_ORDERS, Watermark};
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
    let previous = previous_head(ctx, plan).await?;
    let mut requests = DetailRequests::default();
    let head = read_changes(ctx, plan, &previous, &mut requests).await?;
    if !requests.resolve_doubt(ctx, &previous).await? {
        // All that was read was updated in its former sequence, which thus shows no end.
        let without_sequence = Watermark {
            ids: Vec::new(),
            ..previous.clone()
        };
        read_changes(ctx, plan, &without_sequence, &mut requests).await?;
        requests.resolve_doubt(ctx, &previous).await?;
    }
    requests.mark_pending(ctx).await?;
    // From here on the list of pending details is the checkpoint.
    ctx.runs.save_change_head(ctx.lease, &head.stored()).await?;
    details::fetch_pending_details(ctx, &[]).await?;
    reconcile::resolve_vanished_orders(ctx).await
}

/// Up to where changes have been read: by the finished run, or by an earlier attempt of this one,
/// which has left the details that it did not fetch on the list of pending ones.
async fn previous_head(ctx: &RunContext, plan: &Plan) -> Result<Watermark, Failure> {
    let run = ctx.runs.latest(ctx.lease.merchant).await?;
    let own = run.filter(|run| run.id == ctx.lease.run);
    let head = own.and_then(|run| run.change_head);
    Ok(head.map_or_else(|| Watermark::planned(&plan.probe), Watermark::from))
}

/// Reads what was updated since and brings the windows up to date. Returns where changes begin
/// now.
async fn read_changes(
    ctx: &RunContext,
    plan: &Plan,
    since: &Watermark,
    requests: &mut DetailRequests,
) -> Result<Watermark, Failure> {
    let mut plan = plan.clone();
    let mut stale = Vec::new();
    let mut head = since.clone();
    let mut rows = Vec::new();
    for reading in 1..=MAX_READINGS {
        head.plan(&mut plan.probe);
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
    }
    scan_again(ctx, stale).await?;
    Ok(head)
}

/// Orders of which a list row does not tell everything, and that may have been updated.
#[derive(Default)]
struct DetailRequests {
    surely: BTreeSet<i64>,
    /// All that were read, the one that was updated last first.
    sequence: Vec<i64>,
    lacking: BTreeSet<i64>,
    fetched: BTreeSet<i64>,
    /// Nothing stands behind the sequence.
    is_whole: bool,
    /// Where the changes end is not known.
    everything: bool,
}

impl DetailRequests {
    fn note(&mut self, read: &ChangeList) {
        let lacking = read.rows.iter().filter(|row| !row.is_whole);
        self.lacking.extend(lacking.map(|row| row.id));
        let surely = read.moved.iter().chain(&read.changed);
        self.surely
            .extend(surely.filter(|id| self.lacking.contains(id)));
        changes::put_ahead(&mut self.sequence, &read.sequence);
        self.is_whole |= read.is_whole;
    }

    /// Whatever stands behind an order in the list of changes was not updated after it. So the
    /// others are fetched one after the other, up to one that was updated before the former list
    /// was read. Returns false if there may be more behind those that were read.
    async fn resolve_doubt(
        &mut self,
        ctx: &RunContext,
        previous: &Watermark,
    ) -> Result<bool, Failure> {
        if self.everything {
            return Ok(true);
        }
        let is_doubted = |id: &&i64| {
            self.lacking.contains(id) && !self.surely.contains(id) && !self.fetched.contains(id)
        };
        let doubted: Vec<i64> = self.sequence.iter().filter(is_doubted).copied().collect();
        let is_any = !doubted.is_empty();
        let mut undated = 0;
        for id in doubted {
            match unchanged::refetch(ctx, id, previous.asked_at).await? {
                Evidence::Unchanged => return Ok(true),
                Evidence::MaybeUpdated => {}
                Evidence::Undated => undated += 1,
            }
            self.fetched.insert(id);
            // Without dates the sequence has to be believed.
            if undated == AMBIGUOUS_ORDERS {
                return Ok(true);
            }
        }
        Ok(self.is_whole || undated > 0 || !is_any)
    }

    async fn mark_pending(self, ctx: &RunContext) -> Result<(), Failure> {
        let mut ids: Vec<i64> = self.surely.iter().copied().collect();
        if self.everything {
            for window in windows_of(ctx, Resource::Orders).await? {
                ids.extend(ctx.runs.window_list(ctx.lease, window.id).await?.ids);
            }
        }
        ids.retain(|id| !self.fetched.contains(id));
        ctx.landing.mark_pending(ctx.lease, &ids).await
    }
}
