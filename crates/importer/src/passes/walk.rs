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

use domain::ceiling::Ceiling;
use domain::certificate::{Listing, Proof};
use domain::failure::Failure;
use domain::resource::Resource;
use domain::window::DayRange;
use tracing::{Instrument as _, Span};

use super::behind::LastPage;
use super::ceiling::Fit;
use super::known::KnownRows;
use super::line::{Batches, Line, Step};
use super::place::{FirstPage, Place};
use super::route::Route;
use super::{Precedence, Workshop};
use crate::memory::{self, Room};
use crate::metrics;
use crate::portions;
use crate::ports::landing::{Landed, WalkedPage};
use crate::ports::platform::{Page, PageRequest, Pagination, Sort};
use crate::ports::runs::{Part, StoredWindow};

/// Pages are large enough to land as soon as they are there.
const BATCHES: Batches = Batches {
    most: 10,
    gather: Duration::ZERO,
};

/// How often a list that cannot be divided is scanned. Only such lists can move for ever:
/// undated ones, and a day of several pages.
const MAX_SCANS: u32 = 8;

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

/// Walks `window` until its walks prove it and settles it, unless it has to be divided.
/// `precedence` is over once every page of the first walk has been asked for.
pub(crate) async fn walk_window(
    shop: &Workshop,
    window: StoredWindow,
    known: Option<Arc<KnownRows>>,
    precedence: &mut Precedence,
) -> Result<Walked, Failure> {
    let mut walk = Walk::resume(shop, window).await?;
    walk.known.clone_from(&known);
    let mut to_compare = known;
    loop {
        match walk.until_settled(&mut to_compare, precedence).await {
            Err(Failure::TooLarge { what }) if walk.takes_smaller_portions() => {
                tracing::info!(what, "the list is read again in smaller portions");
                walk.again().await?;
            }
            walked => return walked,
        }
    }
}

impl Walk<'_> {
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
                End::Moved => match walk.halves() {
                    Some(halves) => return walk.split(halves).await,
                    None => walk.again().await?,
                },
                End::Complete => {
                    let mut listing = walk.listing().await?;
                    if walk.stops_at_ceiling(&listing).await? {
                        match walk.cut_to_fit().await? {
                            Fit::Parts(parts) => return Ok(parts),
                            Fit::Rescan => continue,
                            Fit::AsFarAsShown => listing = walk.listing().await?,
                        }
                    }
                    if walk.is_over(&listing) {
                        if listing.proof() == Proof::Unproven && walk.ceiling_is_none().await? {
                            walk.again().await?;
                            continue;
                        }
                        return walk.end(listing).await;
                    }
                    tracing::info!(
                        walk = walk.window.walk,
                        reported = listing.reported,
                        listed = listing.listed(),
                        "one scan does not prove this window"
                    );
                    match walk.halves() {
                        // A `total` that only is off is the same on the next scan.
                        Some(halves) if !listing.total_was_stable || walk.walks_made > 1 => {
                            return walk.split(halves).await;
                        }
                        _ => walk.again().await?,
                    }
                }
            }
        }
    }
}

/// A window on its way.
pub(super) struct Walk<'a> {
    pub(super) shop: &'a Workshop,
    pub(super) window: StoredWindow,
    /// Walks made by this process: a run that is started again gets its full number
    /// of walks again.
    walks_made: u32,
    /// The last page of the route, once it has been read by this process.
    pub(super) last: Option<LastPage>,
    /// The list has more rows than Salla shows, and no slices help.
    pub(super) is_at_ceiling: bool,
    /// The list ends before its `total` does, so that pages behind its end mean nothing.
    total_is_off: bool,
    /// What an earlier scan has listed of the window.
    known: Option<Arc<KnownRows>>,
    /// What the present scan began with.
    pub(super) ceiling: Ceiling,
    /// What the pages of this scan are asked for with: their numbers mean nothing else.
    pub(super) per_page: u32,
}

impl<'a> Walk<'a> {
    /// Goes on from the checkpoint, or begins the first walk.
    pub(super) async fn resume(
        shop: &'a Workshop,
        mut window: StoredWindow,
    ) -> Result<Self, Failure> {
        if window.walk == 0 {
            window.walk = shop.runs.begin_walk(shop.lease, window.id).await?;
        }
        let per_page = match (window.first_total, window.total_pages) {
            (Some(total), Some(pages)) => portions::of_scan(total, pages),
            _ => shop.portions.of(window.resource),
        };
        shop.tracker
            .window_had(window.id, window.pages_done.len() as u64);
        Ok(Self {
            shop,
            window,
            walks_made: 1,
            last: None,
            is_at_ceiling: false,
            total_is_off: false,
            known: None,
            ceiling: shop.ceiling.get(),
            per_page,
        })
    }

    pub(super) async fn again(&mut self) -> Result<(), Failure> {
        self.window = begin_anew(self.shop, self.window.clone()).await?;
        self.walks_made += 1;
        self.last = None;
        self.ceiling = self.shop.ceiling.get();
        self.per_page = self.shop.portions.of(self.window.resource);
        Ok(())
    }

    /// From now on, if a page can be smaller than those of this scan.
    pub(super) fn takes_smaller_portions(&self) -> bool {
        self.shop
            .portions
            .lower(self.window.resource, self.per_page)
    }

    pub(super) async fn split(&self, halves: [DayRange; 2]) -> Result<Walked, Failure> {
        let (shop, window) = (self.shop, &self.window);
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
            || self.is_at_ceiling
            || (self.walks_made > 1 && listing.is_hopeless())
    }

    fn is_the_last(&self) -> bool {
        self.walks_made >= MAX_SCANS
    }

    /// The halves of the window, the newer one first, unless a single page shows all of it
    /// or it has no days to be divided by.
    pub(super) fn halves(&self) -> Option<[DayRange; 2]> {
        let (older, newer) = self.window.days?.split()?;
        let is_one_page = self.window.total_pages.is_some_and(|pages| pages <= 1);
        (!is_one_page && !self.is_cut_short()).then_some([newer, older])
    }

    /// A scan that has been disturbed is given up early where something else may come of it:
    /// halves, or a quieter moment. But of a day two scans in a row are read to their ends,
    /// because the second may contain the first, and of an undated list the last two,
    /// because two that agree may settle it.
    pub(super) fn may_be_given_up(&self) -> bool {
        let scans = match self.window.resource {
            Resource::Orders => 1,
            _ => MAX_SCANS - 2,
        };
        self.halves().is_some() || self.walks_made <= scans
    }

    /// Whether a `total` shows that rows may have slipped past the reader. Customers
    /// who sign up meanwhile are found afterwards, see [`Walk::read_ends_again`].
    pub(super) fn is_disturbed_by(&self, total: u64) -> bool {
        match (self.window.first_total, self.window.resource) {
            (Some(first), Resource::Customers) => total < first,
            (first, _) => Some(total) != first,
        }
    }

    /// Its end need not be read.
    pub(super) fn is_cut_short(&self) -> bool {
        self.shop.max_orders.is_some() || self.may_stay_open()
    }

    async fn listing(&mut self) -> Result<Listing, Failure> {
        let shop = self.shop;
        let mut listing = shop.runs.listing(shop.lease, self.window.id).await?;
        listing.cut_short = self.is_cut_short();
        let may_have_grown = listing.resource == Resource::Customers
            && listing.proof() == Proof::Unproven
            && !listing.may_be_cut_off();
        // What a first scan lists is looked at again when all else is read. A list that
        // had to be scanned again may move once more by then.
        let is_left_to_the_end = self.window.walk == 1 && listing.walk_is_exact();
        if !is_left_to_the_end && (may_have_grown || listing.lacks_only_its_ends()) {
            return self.read_ends_again(listing.cut_short).await;
        }
        Ok(listing)
    }

    /// A window that does not balance stays unsettled, so that starting the run again
    /// walks it again.
    async fn end(&self, listing: Listing) -> Result<Walked, Failure> {
        let shop = self.shop;
        if listing.proof() != Proof::Unproven || listing.lacks_only_its_ends() {
            shop.runs
                .settle_window(shop.lease, self.window.id, listing.cut_short)
                .await?;
        }
        shop.tracker
            .window_settled(self.window.id, self.window.order_days());
        Ok(Walked::Settled(Box::new(listing)))
    }

    /// One walk: a first page to learn the total, then all the others in flight.
    pub(super) async fn run(&mut self, precedence: &mut Precedence) -> Result<End, Failure> {
        let first_missing = match self.window.total_pages {
            None => 1,
            Some(_) => {
                let last = self.route().last().min(self.reach());
                self.missing(last).next().unwrap_or(1)
            }
        };
        let (first, room) = match self.planned(first_missing) {
            Some((page, room)) => (page, room),
            None => {
                let first = self.ask(first_missing);
                let first = first.instrument(page_span(first_missing));
                // Kept until the page has landed.
                let (first, room) = memory::fetching(first).await;
                (first?, room)
            }
        };
        let pagination = first.pagination;
        if let Some(halves) = self.too_large(pagination) {
            return Ok(End::TooLarge(halves));
        }
        let is_resumed = self.window.first_total.is_some();
        if is_resumed && self.is_disturbed_by(pagination.total) && self.may_be_given_up() {
            return Ok(End::Moved);
        }
        self.window.first_total.get_or_insert(pagination.total);
        self.window.total_pages = Some(pagination.total_pages);
        let first = self.place().page(first_missing, first);
        let mut hidden = is_hidden(&first).then_some(first_missing);
        let last_page = self.last_page(pagination);
        self.shop
            .tracker
            .window_expects(self.window.id, u64::from(last_page));
        if first_missing == last_page {
            self.last = Some(LastPage::of(&first.records, pagination));
        }
        self.land(vec![first]).await?;
        drop(room);
        if self.ceiling_shows().await? {
            return Ok(End::AtCeiling);
        }
        self.read_last_page_first(last_page).await?;
        precedence.come().await;
        loop {
            if let Some(page) = hidden.filter(|_| self.may_show_ceiling() && !self.total_is_off) {
                match self.ceiling_before(page).await? {
                    Some(rows) => {
                        self.shop.learn_ceiling(rows).await?;
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

    /// The page if planning has read it already, once.
    fn planned(&self, number: u32) -> Option<(Page, Room)> {
        let request = (self.window.walk == 1).then(|| self.request(number))?;
        self.shop.planned.take(&request)
    }

    /// Which request stands for which page of this walk.
    pub(super) fn route(&self) -> Route {
        Route::of(&self.window, self.shop.ceiling.get())
    }

    /// Pages of this walk up to `last` that have not landed, ascending.
    fn missing(&self, last: u32) -> impl Iterator<Item = u32> + use<> {
        let mut done = self.window.pages_done.clone();
        done.sort_unstable();
        let route = self.route();
        (1..=last).filter(move |page| route.reaches(*page) && done.binary_search(page).is_err())
    }

    /// How far this walk goes: to the end, or as far as `--max-orders` wants.
    fn last_page(&self, pagination: Pagination) -> u32 {
        let wanted = self.shop.max_orders.map_or(u32::MAX, |most| {
            let pages = domain::plan::pages(most, pagination.per_page);
            u32::try_from(pages).unwrap_or(u32::MAX)
        });
        self.route().last().min(wanted).min(self.reach())
    }

    fn too_large(&self, pagination: Pagination) -> Option<[DayRange; 2]> {
        let is_too_large = self.shop.ceiling.get().may_hide(pagination.total);
        self.halves().filter(|_| is_too_large)
    }

    pub(super) fn request(&self, number: u32) -> PageRequest {
        let (page, sort) = match self.window.resource {
            Resource::Orders if self.is_cut_short() => (number, Sort::NewestFirst),
            _ => self.route().request(number),
        };
        PageRequest {
            resource: self.window.resource,
            days: self.shop.days_to_ask(&self.window),
            slice: self.window.slice,
            page,
            per_page: self.per_page,
            sort,
            expanded: self.window.resource == Resource::Orders,
        }
    }

    /// Keeps fetching while what has arrived is being landed. Behind a page that Salla hides,
    /// nothing more is asked for.
    async fn fetch_the_rest(
        &mut self,
        last_page: u32,
        precedence: &mut Precedence,
    ) -> Result<Fetched, Failure> {
        let mut missing = self.missing(last_page).peekable();
        let places = self.shop.places_for(self.window.resource);
        let mut line = Line::new(BATCHES, places, self.shop);
        let mut first_hidden = None::<u32>;
        loop {
            let is_worth_asking = |page: &u32| first_hidden.is_none_or(|hidden| *page < hidden);
            for _ in 0..line.room() {
                let Some(number) = missing.next_if(is_worth_asking) else {
                    break;
                };
                line.fetch(self.fetch(number));
            }
            if missing.peek().is_none() {
                precedence.over();
            }
            match line.step(|pages| land(self.shop.clone(), pages)).await? {
                Step::Fetched => {}
                Step::Idle => return Ok(first_hidden.map_or(Fetched::All, Fetched::Hidden)),
                Step::Landed(batch) => {
                    let moved = batch.pages.iter().any(|p| self.is_disturbed_by(p.total));
                    if self.may_show_ceiling() && !self.total_is_off {
                        let hidden = batch.pages.iter().filter(|p| p.is_hidden);
                        let hidden = hidden.map(|page| page.number);
                        first_hidden = first_hidden.into_iter().chain(hidden).min();
                    }
                    self.remember(batch, last_page).await?;
                    if moved && self.may_be_given_up() {
                        for batch in line.finish_landings().await? {
                            self.remember(batch, last_page).await?;
                        }
                        return Ok(Fetched::Moved);
                    }
                }
            }
        }
    }

    pub(super) fn fetch(
        &self,
        number: u32,
    ) -> impl Future<Output = Result<WalkedPage, Failure>> + Send + use<> {
        let (place, page) = (self.place(), self.ask(number));
        let fetch = async move { Ok(place.page(number, page.await?)) };
        fetch.instrument(page_span(number))
    }

    /// An empty page stands for one that a ceiling refuses.
    pub(super) fn ask(
        &self,
        number: u32,
    ) -> impl Future<Output = Result<Page, Failure>> + Send + use<> {
        let (request, first) = (self.request(number), self.first_page());
        let platform = self.shop.platform.clone();
        let known = self.window.first_total.map(|_| first.pagination(&request));
        let known = (known, first.asked_at);
        async move {
            match platform.list_page(&request).await {
                // Above its ceiling, or behind its end, a list may answer with an error; that
                // must not end the run before everything else is read.
                Err(Failure::Broken { what }) if request.page > 1 => {
                    tracing::warn!(page = request.page, what, "Salla refuses a page");
                    Ok(first.empty(&request))
                }
                Err(failure @ Failure::TooLarge { .. }) if request.per_page == 1 => {
                    portions::too_large(&*platform, &request, known, failure).await
                }
                result => result,
            }
        }
    }

    pub(super) fn first_page(&self) -> FirstPage {
        FirstPage {
            total: self.window.first_total.unwrap_or(0),
            total_pages: self.window.total_pages.unwrap_or(1),
            asked_at: self.shop.clock.now(),
        }
    }

    pub(super) fn place(&self) -> Place {
        Place {
            window: self.window.id,
            walk: self.window.walk,
            most: self.shop.max_orders,
        }
    }

    /// Lands pages at once, where nothing else is under way.
    pub(super) async fn land(&mut self, pages: Vec<WalkedPage>) -> Result<(), Failure> {
        let batch = land(self.shop.clone(), pages).await?;
        self.remember(batch, u32::MAX).await
    }

    /// Takes note of pages that have landed.
    async fn remember(&mut self, batch: Batch, last_page: u32) -> Result<(), Failure> {
        let shop = self.shop;
        shop.tracker
            .pages_landed(self.window.id, batch.pages.len() as u64, &batch.landed);
        for page in batch.pages {
            if !self.window.pages_done.contains(&page.number) {
                self.window.pages_done.push(page.number);
            }
            if page.number == last_page {
                self.last = Some(page.last);
            }
        }
        shop.check_rejections(&batch.landed).await
    }
}

/// Pages that have landed together.
struct Batch {
    landed: Landed,
    pages: Vec<LandedPage>,
}

struct LandedPage {
    number: u32,
    total: u64,
    last: LastPage,
    is_hidden: bool,
}

/// Salla shows nothing of the page although it is not the last one.
fn is_hidden(page: &WalkedPage) -> bool {
    page.records.is_empty() && page.page > 1 && page.page < page.pagination.total_pages
}

pub(super) fn page_span(number: u32) -> Span {
    tracing::info_span!("page", page = number)
}

async fn land(shop: Workshop, pages: Vec<WalkedPage>) -> Result<Batch, Failure> {
    let begun = shop.clock.monotonic();
    let landed = shop.landing.land_pages(shop.lease, &pages).await?;
    let took = shop.clock.monotonic().saturating_sub(begun);
    count(&pages, &landed, took);
    let pages = pages.iter().map(|page| LandedPage {
        number: page.page,
        total: page.pagination.total,
        last: LastPage::of(&page.records, page.pagination),
        is_hidden: is_hidden(page),
    });
    Ok(Batch {
        landed,
        pages: pages.collect(),
    })
}

fn count(pages: &[WalkedPage], landed: &Landed, took: Duration) {
    let Some(first) = pages.first() else { return };
    metrics::pages_landed(first.records.resource(), pages.len() as u64, landed, took);
    for page in pages {
        metrics::rejected(page.records.resource(), page.records.rejections());
    }
    metrics::refused(first.records.resource(), landed);
    tracing::debug!(
        pages = pages.len(),
        loaded = landed.loaded,
        rejected = landed.rejected,
        duration_ms = took.as_millis() as u64,
        "pages landed"
    );
}

/// Begins another walk of a window; its pages so far prove nothing any more.
pub(super) async fn begin_anew(
    shop: &Workshop,
    window: StoredWindow,
) -> Result<StoredWindow, Failure> {
    Ok(StoredWindow {
        walk: shop.runs.begin_walk(shop.lease, window.id).await?,
        first_total: None,
        total_pages: None,
        pages_done: vec![],
        settled: false,
        ..window
    })
}
