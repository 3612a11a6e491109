//! The list phase: scans one window of a list from its first page to its last,
//! many pages in flight, and proves the scan.
//!
//! Equal counts alone prove nothing, because rows move while we read. A window is
//! proven by a *stable scan*: `total` is the same on every page of one scan, and
//! that scan's distinct ids equal it (the rules are [`Listing::proof`]). A window that moved
//! is halved, and so on down to one that a single page shows, which cannot move while it is
//! read. So every window comes to an end, at a cost that grows with the changes and not with
//! the shop.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use domain::certificate::{Listing, Proof};
use domain::failure::Failure;
use domain::resource::Resource;
use domain::window::DayRange;
use tracing::Instrument as _;

use super::context::{RunContext, StartOrder};
use super::known::KnownRows;
use super::pages::{PageRoute, beginning};
use super::pipeline::{BatchPolicy, FetchPipeline, PipelineEvent};
use super::reader::{LastPage, WindowReader, is_hidden, land, page_span};
use super::{ceiling, ends};
use crate::ports::platform::{PageRequest, Sort};
use crate::ports::runs::{StoredWindow, WindowSpec};

/// Pages are large enough to land as soon as they are there.
const BATCHES: BatchPolicy = BatchPolicy {
    max_records: 10,
    linger: Duration::ZERO,
};

/// How often a list that cannot be divided is scanned. Only such lists can move for ever:
/// undated ones, and a day of several pages.
const MAX_SCANS: u32 = 8;

/// So few pages are read and not compared.
const MIN_PAGES: u32 = 5;

/// How a window came out.
#[derive(Debug)]
pub(crate) enum WindowOutcome {
    /// Scanned as often as it may be; the listing says whether that proves it.
    Done(Box<Listing>),
    /// Too many rows for one window, or too many changes: these are scanned instead, the
    /// newer first. What is known of their rows need not be read again.
    Split(Vec<WindowSpec>, Option<Arc<KnownRows>>),
}

/// How one scan ended.
pub(super) enum ScanEnd {
    Complete,
    /// `total` changed under the reader, so this scan can prove nothing any more.
    Moved,
    TooLarge([DayRange; 2]),
    /// Salla does not show the end of the list.
    AtCeiling,
}

/// How fetching the pages of a scan ended.
enum Fetched {
    All,
    /// `total` changed under the reader.
    Moved,
    /// Salla shows nothing of this page, although the list should continue behind it.
    Hidden(u32),
}

/// How a window comes to fit below the ceiling.
pub(super) enum Fit {
    Parts(WindowOutcome),
    /// Scanned again from both ends.
    Rescan,
    /// Nothing divides it: it is read as far as rows are shown.
    AsFarAsShown,
}

/// Scans `window` until its scans prove it and settles it, unless it has to be divided.
/// `start_order` releases those after it once every page of the first scan has been asked for.
pub(crate) async fn scan_window(
    ctx: &RunContext,
    window: StoredWindow,
    known: Option<Arc<KnownRows>>,
    start_order: &mut StartOrder,
) -> Result<WindowOutcome, Failure> {
    let mut scan = Scan::resume(ctx, window).await?;
    scan.known.clone_from(&known);
    let mut to_compare = known;
    loop {
        match scan.run_to_end(&mut to_compare, start_order).await {
            Err(Failure::TooLarge { message: what }) if scan.reader.takes_smaller_portions() => {
                tracing::info!(what, "the list is read again in smaller portions");
                scan.rescan().await?;
            }
            outcome => return outcome,
        }
    }
}

/// The scan of a window, until it is proven, divided or tried often enough.
pub(super) struct Scan<'a> {
    pub(super) reader: WindowReader<'a>,
    /// Scans made by this process: a run that is started again gets its full number
    /// of scans again.
    scans_made: u32,
    /// The list ends before its `total` does, so that pages past its end mean nothing.
    total_is_off: bool,
    /// What an earlier scan has listed of the window.
    known: Option<Arc<KnownRows>>,
}

impl<'a> Scan<'a> {
    /// Continues from the checkpoint, or begins the first scan.
    pub(super) async fn resume(ctx: &'a RunContext, window: StoredWindow) -> Result<Self, Failure> {
        Ok(Self {
            reader: WindowReader::resume(ctx, window).await?,
            scans_made: 1,
            total_is_off: false,
            known: None,
        })
    }

    pub(super) async fn rescan(&mut self) -> Result<(), Failure> {
        self.reader.rescan().await?;
        self.scans_made += 1;
        Ok(())
    }

    async fn run_to_end(
        &mut self,
        to_compare: &mut Option<Arc<KnownRows>>,
        start_order: &mut StartOrder,
    ) -> Result<WindowOutcome, Failure> {
        let scan = self;
        loop {
            let end = match to_compare.take() {
                Some(known) => scan.compare(&known, start_order).await?,
                None => scan.run(start_order).await?,
            };
            match end {
                ScanEnd::TooLarge(halves) => return scan.split(halves).await,
                ScanEnd::AtCeiling => {
                    if let Fit::Parts(parts) = scan.cut_to_fit().await? {
                        return Ok(parts);
                    }
                }
                ScanEnd::Moved => match scan.reader.halves() {
                    Some(halves) => return scan.split(halves).await,
                    None => scan.rescan().await?,
                },
                ScanEnd::Complete => {
                    let mut listing = scan.listing().await?;
                    if ceiling::stops_at_ceiling(&mut scan.reader, &listing).await? {
                        match scan.cut_to_fit().await? {
                            Fit::Parts(parts) => return Ok(parts),
                            Fit::Rescan => continue,
                            Fit::AsFarAsShown => listing = scan.listing().await?,
                        }
                    }
                    if scan.is_finished(&listing) {
                        if listing.proof() == Proof::Unproven
                            && ceiling::ceiling_is_none(&mut scan.reader).await?
                        {
                            scan.rescan().await?;
                            continue;
                        }
                        return scan.end(listing).await;
                    }
                    tracing::info!(
                        walk = scan.reader.window.scan,
                        reported = listing.reported,
                        listed = listing.listed(),
                        "one scan does not prove this window"
                    );
                    match scan.reader.halves() {
                        // A `total` that only is off is the same on the next scan.
                        Some(halves) if !listing.total_was_stable || scan.scans_made > 1 => {
                            return scan.split(halves).await;
                        }
                        _ => scan.rescan().await?,
                    }
                }
            }
        }
    }

    pub(super) async fn split(&self, halves: [DayRange; 2]) -> Result<WindowOutcome, Failure> {
        let (ctx, window) = (self.reader.ctx, &self.reader.window);
        let known = match self.known.clone() {
            Some(known) => Some(known),
            None if window.resource == Resource::Orders && window.pages_done.len() > 1 => {
                let ids = ctx.runs.listed(ctx.lease, window.id).await?;
                KnownRows::new(ids, BTreeSet::new()).map(Arc::new)
            }
            None => None,
        };
        ctx.runs.split_window(ctx.lease, window.id, halves).await?;
        ctx.tracker.window_removed(window.id);
        let part = |days| WindowSpec {
            slice: window.slice,
            days: Some(days),
        };
        Ok(WindowOutcome::Split(halves.map(part).to_vec(), known))
    }

    /// The window is proven, or another scan is not permitted or would tell nothing new.
    fn is_finished(&self, listing: &Listing) -> bool {
        listing.proof() != Proof::Unproven
            || listing.lacks_only_its_ends()
            || self.is_last_attempt()
            || self.reader.is_at_ceiling
            || (self.scans_made > 1 && listing.cannot_settle())
    }

    fn is_last_attempt(&self) -> bool {
        self.scans_made >= MAX_SCANS
    }

    /// A scan that has been disturbed is given up early where something else may come of it:
    /// halves, or a quieter moment. But of a day two scans in a row are read to their ends,
    /// because the second may contain the first, and of an undated list the last two,
    /// because two that agree may settle it.
    pub(super) fn may_abort(&self) -> bool {
        let scans = match self.reader.window.resource {
            Resource::Orders => 1,
            _ => MAX_SCANS - 2,
        };
        self.reader.halves().is_some() || self.scans_made <= scans
    }

    async fn listing(&mut self) -> Result<Listing, Failure> {
        let ctx = self.reader.ctx;
        let mut listing = ctx.runs.listing(ctx.lease, self.reader.window.id).await?;
        listing.cut_short = self.reader.is_cut_short();
        let may_have_grown = listing.resource == Resource::Customers
            && listing.proof() == Proof::Unproven
            && !listing.may_be_truncated();
        // What a first scan lists is looked at again when all else is read. A list that
        // had to be scanned again may move once more by then.
        let is_left_to_the_end = self.reader.window.scan == 1 && listing.scan_is_exact();
        if !is_left_to_the_end && (may_have_grown || listing.lacks_only_its_ends()) {
            return ends::reread_ends(&mut self.reader, listing.cut_short).await;
        }
        Ok(listing)
    }

    /// A window that does not balance stays unsettled, so that starting the run again
    /// scans it again.
    async fn end(&self, listing: Listing) -> Result<WindowOutcome, Failure> {
        let ctx = self.reader.ctx;
        if listing.proof() != Proof::Unproven || listing.lacks_only_its_ends() {
            ctx.runs
                .mark_window_done(ctx.lease, self.reader.window.id, listing.cut_short)
                .await?;
        }
        ctx.tracker
            .window_settled(self.reader.window.id, self.reader.window.order_days());
        Ok(WindowOutcome::Done(Box::new(listing)))
    }

    /// One walk: a first page to learn the total, then all the others in flight.
    pub(super) async fn run(&mut self, start_order: &mut StartOrder) -> Result<ScanEnd, Failure> {
        let first_missing = match self.reader.window.total_pages {
            None => 1,
            Some(_) => {
                let last = self
                    .reader
                    .route()
                    .last()
                    .min(self.reader.last_reachable_page());
                self.reader.missing(last).next().unwrap_or(1)
            }
        };
        let (first, permit) = match self.reader.planned(first_missing) {
            Some(planned) => planned,
            None => {
                let first = self.reader.fetch_page(first_missing);
                // The permit is kept until the page has landed.
                first.instrument(page_span(first_missing)).await?
            }
        };
        let pagination = first.pagination;
        if let Some(halves) = self.reader.too_large(pagination) {
            return Ok(ScanEnd::TooLarge(halves));
        }
        let is_resumed = self.reader.window.first_total.is_some();
        if is_resumed && self.reader.is_invalidated_by(pagination.total) && self.may_abort() {
            return Ok(ScanEnd::Moved);
        }
        self.reader
            .window
            .first_total
            .get_or_insert(pagination.total);
        self.reader.window.total_pages = Some(pagination.total_pages);
        let first = self.reader.position().page(first_missing, first);
        let mut hidden = is_hidden(&first).then_some(first_missing);
        let last_page = self.reader.last_page(pagination);
        self.reader
            .ctx
            .tracker
            .window_expects(self.reader.window.id, u64::from(last_page));
        if first_missing == last_page {
            self.reader.last = Some(LastPage::of(&first.records, pagination));
        }
        self.reader.land(vec![first]).await?;
        drop(permit);
        if ceiling::hits_ceiling(&mut self.reader).await? {
            return Ok(ScanEnd::AtCeiling);
        }
        ends::read_last_page_first(&mut self.reader, last_page).await?;
        start_order.wait_turn().await;
        loop {
            if let Some(page) =
                hidden.filter(|_| ceiling::may_show_ceiling(&self.reader) && !self.total_is_off)
            {
                if ceiling::is_shown_after_all(&self.reader, page).await? && self.may_abort() {
                    return Ok(ScanEnd::Moved);
                }
                match ceiling::ceiling_before(&self.reader, page).await? {
                    Some(rows) => {
                        self.reader.ctx.learn_ceiling(rows).await?;
                        return Ok(ScanEnd::AtCeiling);
                    }
                    None => self.total_is_off = true,
                }
            }
            match self.fetch_the_rest(last_page, start_order).await? {
                Fetched::All => return self.read_past_end(last_page).await,
                Fetched::Moved => return Ok(ScanEnd::Moved),
                Fetched::Hidden(page) => hidden = Some(page),
            }
        }
    }

    /// Keeps fetching while what has arrived is being landed. Behind a page that Salla hides,
    /// nothing more is asked for.
    async fn fetch_the_rest(
        &mut self,
        last_page: u32,
        start_order: &mut StartOrder,
    ) -> Result<Fetched, Failure> {
        let mut missing = self.reader.missing(last_page).peekable();
        let run_permits = self.reader.ctx.permits_for(self.reader.window.resource);
        let mut pipeline = FetchPipeline::new(BATCHES, run_permits, self.reader.ctx);
        let mut first_hidden = None::<u32>;
        loop {
            let is_worth_asking = |page: &u32| first_hidden.is_none_or(|hidden| *page < hidden);
            for _ in 0..pipeline.capacity() {
                let Some(number) = missing.next_if(is_worth_asking) else {
                    break;
                };
                let page = self.reader.page_fetch(number);
                let span = page_span(number);
                pipeline.fetch(|permit| page.scanned_page(permit).instrument(span));
            }
            if missing.peek().is_none() {
                start_order.release_followers();
            }
            match pipeline
                .next_event(|pages| land(self.reader.ctx.clone(), pages))
                .await?
            {
                PipelineEvent::Fetched => {}
                PipelineEvent::Idle => {
                    return Ok(first_hidden.map_or(Fetched::All, Fetched::Hidden));
                }
                PipelineEvent::Landed(batch) => {
                    let moved = batch
                        .pages
                        .iter()
                        .any(|p| self.reader.is_invalidated_by(p.total));
                    if ceiling::may_show_ceiling(&self.reader) && !self.total_is_off {
                        let hidden = batch.pages.iter().filter(|p| p.is_hidden);
                        let hidden = hidden.map(|page| page.number);
                        first_hidden = first_hidden.into_iter().chain(hidden).min();
                    }
                    self.reader.record_batch(batch, last_page).await?;
                    if moved && self.may_abort() {
                        for batch in pipeline.finish_landings().await? {
                            self.reader.record_batch(batch, last_page).await?;
                        }
                        return Ok(Fetched::Moved);
                    }
                }
            }
        }
    }

    /// Starts a scan and ends it immediately if the window equals `known`.
    pub(super) async fn compare(
        &mut self,
        known: &KnownRows,
        start_order: &mut StartOrder,
    ) -> Result<ScanEnd, Failure> {
        if !self.reader.window.pages_done.is_empty() {
            return self.run(start_order).await;
        }
        let first = self.reader.fetch_page(1).instrument(page_span(1));
        let (page, permit) = first.await?;
        let pagination = page.pagination;
        self.reader.window.first_total = Some(pagination.total);
        self.reader.window.total_pages = Some(pagination.total_pages);
        let oldest = page.records.ids();
        let all_have_ids = oldest.len() == page.records.len();
        let last = LastPage::of(&page.records, pagination);
        let page = self.reader.position().page(1, page);
        self.reader.land(vec![page]).await?;
        drop(permit);
        if pagination.total_pages <= 1 {
            self.reader.last = Some(last);
            return self.read_past_end(1).await;
        }
        if pagination.total_pages < MIN_PAGES || !all_have_ids {
            return self.run(start_order).await;
        }
        let request = PageRequest {
            sort: Sort::NewestFirst,
            ..self.reader.request(1)
        };
        let (newest, permit) = beginning(&*self.reader.ctx.platform, request).await?;
        let (total, newest) = (newest.pagination.total, newest.records.ids());
        drop(permit);
        if total == pagination.total
            && !known.has_moved(&self.reader.window, self.reader.ctx.reach)
            && let Some(rows) = known.between(&oldest, &newest, total)
        {
            let (lease, id) = (self.reader.ctx.lease, self.reader.window.id);
            self.reader.ctx.runs.carry_over(lease, id, rows).await?;
            return Ok(ScanEnd::Complete);
        }
        match self.reader.halves() {
            Some(_) if 2 * known.count_inside(&oldest, &newest) >= total => Ok(ScanEnd::Moved),
            _ => self.run(start_order).await,
        }
    }

    /// Reads on behind `last_page` until a page is not full, or repeats the one before
    /// it, as lists do that never end.
    pub(super) async fn read_past_end(&mut self, last_page: u32) -> Result<ScanEnd, Failure> {
        let is_read_from_both_ends = matches!(self.reader.route(), PageRoute::BothEnds { .. });
        // That list has no pages (docs/salla-api.md#order-statuses).
        let is_all_there = self.reader.window.resource == Resource::OrderStatuses;
        if self.reader.is_cut_short()
            || self.reader.is_limited_to_ceiling()
            || is_read_from_both_ends
            || is_all_there
        {
            return Ok(ScanEnd::Complete);
        }
        // After a restart the last page is not at hand, and looking costs a request.
        let mut before = self.reader.last.take();
        let mut number = last_page;
        while before.as_ref().is_none_or(|last| last.is_full) {
            number += 1;
            // The memory is kept until the page has landed.
            let (page, _permit) = self.reader.fetch_page(number).await?;
            let pagination = page.pagination;
            let last = LastPage::of(&page.records, pagination);
            let repeats = before.is_some_and(|before| before.ids == last.ids);
            if last.ids.is_empty() || repeats {
                break;
            }
            let page = self.reader.position().page(number, page);
            self.reader.land(vec![page]).await?;
            if self.reader.is_invalidated_by(pagination.total) && self.may_abort() {
                return Ok(ScanEnd::Moved);
            }
            before = Some(last);
        }
        Ok(ScanEnd::Complete)
    }

    /// Divides the list, so that the ceiling hides nothing of its parts.
    pub(super) async fn cut_to_fit(&mut self) -> Result<Fit, Failure> {
        if let Some(halves) = self.reader.halves() {
            return Ok(Fit::Parts(self.split(halves).await?));
        }
        if matches!(self.reader.route(), PageRoute::BothEnds { .. }) {
            self.rescan().await?;
            return Ok(Fit::Rescan);
        }
        let slices = ceiling::slice(&mut self.reader).await?;
        Ok(slices.map_or(Fit::AsFarAsShown, |parts| {
            Fit::Parts(WindowOutcome::Split(parts, None))
        }))
    }
}
