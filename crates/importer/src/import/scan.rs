//! The header pass: walks one window of a list from its first page to its last,
//! many pages in flight, and proves the walk.
//!
//! Equal counts alone prove nothing, because rows move while we read. A window is
//! proven by a *stable walk*: `total` is the same on every page of one walk, and
//! that walk's distinct ids equal it (the rules are [`Listing::proof`]). A window that moved
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

use super::context::{Precedence, Workshop};
use super::known::KnownRows;
use super::pages::Route;
use super::pipeline::{Batches, Line, Step};
use super::portions::beginning;
use super::reader::{LastPage, WindowReader, is_hidden, land, page_span};
use super::{ceiling, ends};
use crate::admission;
use crate::ports::platform::{PageRequest, Sort};
use crate::ports::runs::{Part, StoredWindow};

/// Pages are large enough to land as soon as they are there.
const BATCHES: Batches = Batches {
    most: 10,
    gather: Duration::ZERO,
};

/// How often a list that cannot be divided is scanned. Only such lists can move for ever:
/// undated ones, and a day of several pages.
const MAX_SCANS: u32 = 8;

/// So few pages are read and not compared.
const MIN_PAGES: u32 = 5;

/// How a window came out.
#[derive(Debug)]
pub(crate) enum Walked {
    /// Walked as often as it may be; the listing says whether that proves it.
    Settled(Box<Listing>),
    /// Too many rows for one window, or too many changes: these are walked instead, the
    /// newer first. What is known of their rows need not be read again.
    Split(Vec<Part>, Option<Arc<KnownRows>>),
}

/// How one walk ended.
pub(super) enum End {
    Complete,
    /// `total` changed under the reader, so this walk can prove nothing any more.
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
    /// Salla shows nothing of this page, though the list should go on behind it.
    Hidden(u32),
}

/// How a window comes to fit below the ceiling.
pub(super) enum Fit {
    Parts(Walked),
    /// Scanned again from both ends.
    Rescan,
    /// Nothing divides it: it is read as far as rows are shown.
    AsFarAsShown,
}

/// Walks `window` until its walks prove it and settles it, unless it has to be divided.
/// `precedence` is over once every page of the first walk has been asked for.
pub(crate) async fn walk_window(
    shop: &Workshop,
    window: StoredWindow,
    known: Option<Arc<KnownRows>>,
    precedence: &mut Precedence,
) -> Result<Walked, Failure> {
    let mut walk = Scan::resume(shop, window).await?;
    walk.known.clone_from(&known);
    let mut to_compare = known;
    loop {
        match walk.until_settled(&mut to_compare, precedence).await {
            Err(Failure::TooLarge { what }) if walk.reader.takes_smaller_portions() => {
                tracing::info!(what, "the list is read again in smaller portions");
                walk.again().await?;
            }
            walked => return walked,
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
    pub(super) async fn resume(shop: &'a Workshop, window: StoredWindow) -> Result<Self, Failure> {
        Ok(Self {
            reader: WindowReader::resume(shop, window).await?,
            scans_made: 1,
            total_is_off: false,
            known: None,
        })
    }

    pub(super) async fn again(&mut self) -> Result<(), Failure> {
        self.reader.again().await?;
        self.scans_made += 1;
        Ok(())
    }

    async fn until_settled(
        &mut self,
        to_compare: &mut Option<Arc<KnownRows>>,
        precedence: &mut Precedence,
    ) -> Result<Walked, Failure> {
        let walk = self;
        loop {
            let end = match to_compare.take() {
                Some(known) => walk.compare(&known, precedence).await?,
                None => walk.run(precedence).await?,
            };
            match end {
                End::TooLarge(halves) => return walk.split(halves).await,
                End::AtCeiling => {
                    if let Fit::Parts(parts) = walk.cut_to_fit().await? {
                        return Ok(parts);
                    }
                }
                End::Moved => match walk.reader.halves() {
                    Some(halves) => return walk.split(halves).await,
                    None => walk.again().await?,
                },
                End::Complete => {
                    let mut listing = walk.listing().await?;
                    if ceiling::stops_at_ceiling(&mut walk.reader, &listing).await? {
                        match walk.cut_to_fit().await? {
                            Fit::Parts(parts) => return Ok(parts),
                            Fit::Rescan => continue,
                            Fit::AsFarAsShown => listing = walk.listing().await?,
                        }
                    }
                    if walk.is_over(&listing) {
                        if listing.proof() == Proof::Unproven
                            && ceiling::ceiling_is_none(&mut walk.reader).await?
                        {
                            walk.again().await?;
                            continue;
                        }
                        return walk.end(listing).await;
                    }
                    tracing::info!(
                        walk = walk.reader.window.walk,
                        reported = listing.reported,
                        listed = listing.listed(),
                        "one scan does not prove this window"
                    );
                    match walk.reader.halves() {
                        // A `total` that only is off is the same on the next scan.
                        Some(halves) if !listing.total_was_stable || walk.scans_made > 1 => {
                            return walk.split(halves).await;
                        }
                        _ => walk.again().await?,
                    }
                }
            }
        }
    }

    pub(super) async fn split(&self, halves: [DayRange; 2]) -> Result<Walked, Failure> {
        let (shop, window) = (self.reader.shop, &self.reader.window);
        let known = match self.known.clone() {
            Some(known) => Some(known),
            None if window.resource == Resource::Orders && window.pages_done.len() > 1 => {
                let ids = shop.runs.listed(shop.lease, window.id).await?;
                KnownRows::new(ids, BTreeSet::new()).map(Arc::new)
            }
            None => None,
        };
        shop.runs
            .split_window(shop.lease, window.id, halves)
            .await?;
        shop.tracker.window_is_gone(window.id);
        let part = |days| Part {
            slice: window.slice,
            days: Some(days),
        };
        Ok(Walked::Split(halves.map(part).to_vec(), known))
    }

    /// The window is proven, or another walk is not permitted or would tell nothing new.
    fn is_over(&self, listing: &Listing) -> bool {
        listing.proof() != Proof::Unproven
            || listing.lacks_only_its_ends()
            || self.is_the_last()
            || self.reader.is_at_ceiling
            || (self.scans_made > 1 && listing.is_hopeless())
    }

    fn is_the_last(&self) -> bool {
        self.scans_made >= MAX_SCANS
    }

    /// A scan that has been disturbed is given up early where something else may come of it:
    /// halves, or a quieter moment. But of a day two scans in a row are read to their ends,
    /// because the second may contain the first, and of an undated list the last two,
    /// because two that agree may settle it.
    pub(super) fn may_be_given_up(&self) -> bool {
        let scans = match self.reader.window.resource {
            Resource::Orders => 1,
            _ => MAX_SCANS - 2,
        };
        self.reader.halves().is_some() || self.scans_made <= scans
    }

    async fn listing(&mut self) -> Result<Listing, Failure> {
        let shop = self.reader.shop;
        let mut listing = shop.runs.listing(shop.lease, self.reader.window.id).await?;
        listing.cut_short = self.reader.is_cut_short();
        let may_have_grown = listing.resource == Resource::Customers
            && listing.proof() == Proof::Unproven
            && !listing.may_be_cut_off();
        // What a first scan lists is looked at again when all else is read. A list that
        // had to be scanned again may move once more by then.
        let is_left_to_the_end = self.reader.window.walk == 1 && listing.walk_is_exact();
        if !is_left_to_the_end && (may_have_grown || listing.lacks_only_its_ends()) {
            return ends::read_ends_again(&mut self.reader, listing.cut_short).await;
        }
        Ok(listing)
    }

    /// A window that does not balance stays unsettled, so that starting the run again
    /// walks it again.
    async fn end(&self, listing: Listing) -> Result<Walked, Failure> {
        let shop = self.reader.shop;
        if listing.proof() != Proof::Unproven || listing.lacks_only_its_ends() {
            shop.runs
                .settle_window(shop.lease, self.reader.window.id, listing.cut_short)
                .await?;
        }
        shop.tracker
            .window_settled(self.reader.window.id, self.reader.window.order_days());
        Ok(Walked::Settled(Box::new(listing)))
    }

    /// One walk: a first page to learn the total, then all the others in flight.
    pub(super) async fn run(&mut self, precedence: &mut Precedence) -> Result<End, Failure> {
        let first_missing = match self.reader.window.total_pages {
            None => 1,
            Some(_) => {
                let last = self.reader.route().last().min(self.reader.reach());
                self.reader.missing(last).next().unwrap_or(1)
            }
        };
        let (first, room) = match self.reader.planned(first_missing) {
            Some((page, room)) => (page, room),
            None => {
                let first = self.reader.ask(first_missing);
                let first = first.instrument(page_span(first_missing));
                // Kept until the page has landed.
                let (first, room) = admission::fetching(first).await;
                (first?, room)
            }
        };
        let pagination = first.pagination;
        if let Some(halves) = self.reader.too_large(pagination) {
            return Ok(End::TooLarge(halves));
        }
        let is_resumed = self.reader.window.first_total.is_some();
        if is_resumed && self.reader.is_disturbed_by(pagination.total) && self.may_be_given_up() {
            return Ok(End::Moved);
        }
        self.reader
            .window
            .first_total
            .get_or_insert(pagination.total);
        self.reader.window.total_pages = Some(pagination.total_pages);
        let first = self.reader.place().page(first_missing, first);
        let mut hidden = is_hidden(&first).then_some(first_missing);
        let last_page = self.reader.last_page(pagination);
        self.reader
            .shop
            .tracker
            .window_expects(self.reader.window.id, u64::from(last_page));
        if first_missing == last_page {
            self.reader.last = Some(LastPage::of(&first.records, pagination));
        }
        self.reader.land(vec![first]).await?;
        drop(room);
        if ceiling::ceiling_shows(&mut self.reader).await? {
            return Ok(End::AtCeiling);
        }
        ends::read_last_page_first(&mut self.reader, last_page).await?;
        precedence.come().await;
        loop {
            if let Some(page) =
                hidden.filter(|_| ceiling::may_show_ceiling(&self.reader) && !self.total_is_off)
            {
                match ceiling::ceiling_before(&self.reader, page).await? {
                    Some(rows) => {
                        self.reader.shop.learn_ceiling(rows).await?;
                        return Ok(End::AtCeiling);
                    }
                    None => self.total_is_off = true,
                }
            }
            match self.fetch_the_rest(last_page, precedence).await? {
                Fetched::All => return self.look_behind(last_page).await,
                Fetched::Moved => return Ok(End::Moved),
                Fetched::Hidden(page) => hidden = Some(page),
            }
        }
    }

    /// Keeps fetching while what has arrived is being landed. Behind a page that Salla hides,
    /// nothing more is asked for.
    async fn fetch_the_rest(
        &mut self,
        last_page: u32,
        precedence: &mut Precedence,
    ) -> Result<Fetched, Failure> {
        let mut missing = self.reader.missing(last_page).peekable();
        let places = self.reader.shop.places_for(self.reader.window.resource);
        let mut line = Line::new(BATCHES, places, self.reader.shop);
        let mut first_hidden = None::<u32>;
        loop {
            let is_worth_asking = |page: &u32| first_hidden.is_none_or(|hidden| *page < hidden);
            for _ in 0..line.room() {
                let Some(number) = missing.next_if(is_worth_asking) else {
                    break;
                };
                line.fetch(self.reader.fetch(number));
            }
            if missing.peek().is_none() {
                precedence.over();
            }
            match line
                .step(|pages| land(self.reader.shop.clone(), pages))
                .await?
            {
                Step::Fetched => {}
                Step::Idle => return Ok(first_hidden.map_or(Fetched::All, Fetched::Hidden)),
                Step::Landed(batch) => {
                    let moved = batch
                        .pages
                        .iter()
                        .any(|p| self.reader.is_disturbed_by(p.total));
                    if ceiling::may_show_ceiling(&self.reader) && !self.total_is_off {
                        let hidden = batch.pages.iter().filter(|p| p.is_hidden);
                        let hidden = hidden.map(|page| page.number);
                        first_hidden = first_hidden.into_iter().chain(hidden).min();
                    }
                    self.reader.remember(batch, last_page).await?;
                    if moved && self.may_be_given_up() {
                        for batch in line.finish_landings().await? {
                            self.reader.remember(batch, last_page).await?;
                        }
                        return Ok(Fetched::Moved);
                    }
                }
            }
        }
    }

    /// Begins a scan and ends it at once where the window is as `known` has it.
    pub(super) async fn compare(
        &mut self,
        known: &KnownRows,
        precedence: &mut Precedence,
    ) -> Result<End, Failure> {
        if !self.reader.window.pages_done.is_empty() {
            return self.run(precedence).await;
        }
        let (page, room) = admission::fetching(self.reader.ask(1).instrument(page_span(1))).await;
        let page = page?;
        let pagination = page.pagination;
        self.reader.window.first_total = Some(pagination.total);
        self.reader.window.total_pages = Some(pagination.total_pages);
        let oldest = page.records.ids();
        let all_have_ids = oldest.len() == page.records.len();
        let last = LastPage::of(&page.records, pagination);
        let page = self.reader.place().page(1, page);
        self.reader.land(vec![page]).await?;
        drop(room);
        if pagination.total_pages <= 1 {
            self.reader.last = Some(last);
            return self.look_behind(1).await;
        }
        if pagination.total_pages < MIN_PAGES || !all_have_ids {
            return self.run(precedence).await;
        }
        let request = PageRequest {
            sort: Sort::NewestFirst,
            ..self.reader.request(1)
        };
        let (newest, room) = beginning(&*self.reader.shop.platform, request).await?;
        let (total, newest) = (newest.pagination.total, newest.records.ids());
        drop(room);
        if total == pagination.total
            && !known.has_moved(&self.reader.window, self.reader.shop.reach)
            && let Some(rows) = known.between(&oldest, &newest, total)
        {
            let (lease, id) = (self.reader.shop.lease, self.reader.window.id);
            self.reader.shop.runs.carry_over(lease, id, rows).await?;
            return Ok(End::Complete);
        }
        match self.reader.halves() {
            Some(_) if 2 * known.count_inside(&oldest, &newest) >= total => Ok(End::Moved),
            _ => self.run(precedence).await,
        }
    }

    /// Reads on behind `last_page` until a page is not full, or repeats the one before
    /// it, as lists do that never end.
    pub(super) async fn look_behind(&mut self, last_page: u32) -> Result<End, Failure> {
        let is_read_from_both_ends = matches!(self.reader.route(), Route::BothEnds { .. });
        // That list has no pages (docs/salla-api.md#order-statuses).
        let is_all_there = self.reader.window.resource == Resource::OrderStatuses;
        if self.reader.is_cut_short()
            || self.reader.stays_below_the_ceiling()
            || is_read_from_both_ends
            || is_all_there
        {
            return Ok(End::Complete);
        }
        // After a restart the last page is not at hand, and looking costs a request.
        let mut before = self.reader.last.take();
        let mut number = last_page;
        while before.as_ref().is_none_or(|last| last.is_full) {
            number += 1;
            // The room is kept until the page has landed.
            let (page, _room) = admission::fetching(self.reader.ask(number)).await;
            let page = page?;
            let pagination = page.pagination;
            let last = LastPage::of(&page.records, pagination);
            let repeats = before.is_some_and(|before| before.ids == last.ids);
            if last.ids.is_empty() || repeats {
                break;
            }
            let page = self.reader.place().page(number, page);
            self.reader.land(vec![page]).await?;
            if self.reader.is_disturbed_by(pagination.total) && self.may_be_given_up() {
                return Ok(End::Moved);
            }
            before = Some(last);
        }
        Ok(End::Complete)
    }

    /// Divides the list, so that the ceiling hides nothing of its parts.
    pub(super) async fn cut_to_fit(&mut self) -> Result<Fit, Failure> {
        if let Some(halves) = self.reader.halves() {
            return Ok(Fit::Parts(self.split(halves).await?));
        }
        if matches!(self.reader.route(), Route::BothEnds { .. }) {
            self.again().await?;
            return Ok(Fit::Rescan);
        }
        let slices = ceiling::slice(&mut self.reader).await?;
        Ok(slices.map_or(Fit::AsFarAsShown, |parts| {
            Fit::Parts(Walked::Split(parts, None))
        }))
    }
}
