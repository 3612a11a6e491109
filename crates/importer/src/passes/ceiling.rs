//! Lists that are longer than Salla shows of them.
//!
//! A list that stops showing rows before its `total` has its ceiling there: it may show
//! empty pages, refuse them or repeat one. Where that is, the shop's lists tell, and it is
//! remembered. Windows of orders are halved until they fit. A day that does not is read from
//! both ends. Products and customers have no days by which they could be listed: they are
//! read in slices, products by status, and what is still too long by category; customers by
//! the days of their creation, if their filter turns out to work. The list's own window
//! stays. At the end its `total` is asked for again, and it is proven when what its slices
//! have listed adds up to it. What no slice lists is thus known to be missing, and how much
//! it is.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use domain::ceiling::Ceiling;
use domain::certificate::{Listing, Proof};
use domain::failure::Failure;
use domain::resource::Resource;
use domain::slice::{ProductStatus, Slice};

use super::created;
use super::route::Route;
use super::walk::{Walk, Walked, begin_anew};
use super::{Precedence, Workshop};
use crate::memory;
use crate::portions::{beginning, smaller};
use crate::ports::platform::{Page, PageRequest, Records, Sort};
use crate::ports::runs::{Part, StoredWindow};

/// Where the shop's lists stop, for all windows of a run.
#[derive(Clone, Debug)]
pub struct SharedCeiling(Arc<Mutex<Ceiling>>);

impl SharedCeiling {
    pub fn new(ceiling: Ceiling) -> Self {
        Self(Arc::new(Mutex::new(ceiling)))
    }

    pub(super) fn get(&self) -> Ceiling {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether that is news.
    fn lower(&self, ceiling: Ceiling) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = *known;
        *known = before.min(ceiling);
        *known != before
    }

    fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Ceiling::UNKNOWN;
    }
}

impl Workshop {
    /// A list has stopped after `rows` rows.
    pub(super) async fn learn_ceiling(&self, rows: u64) -> Result<(), Failure> {
        let ceiling = Ceiling::of(rows);
        if self.ceiling.lower(ceiling) {
            tracing::warn!(rows, "Salla shows no more rows of a list");
            self.runs.remember_ceiling(self.lease, ceiling).await?;
        }
        Ok(())
    }

    /// A list has shown rows beyond the ceiling: what taught it was something else, or
    /// Salla shows more by now.
    async fn forget_ceiling(&self) -> Result<(), Failure> {
        tracing::warn!(
            rows = self.ceiling.get().rows(),
            "Salla shows rows beyond the ceiling"
        );
        self.ceiling.forget();
        let lease = self.lease;
        self.runs.remember_ceiling(lease, Ceiling::UNKNOWN).await
    }
}

/// How a window comes to fit below the ceiling.
pub(super) enum Fit {
    Parts(Walked),
    /// Scanned again from both ends.
    Rescan,
    /// Nothing divides it: it is read as far as rows are shown.
    AsFarAsShown,
}

/// The last page that a list shows.
struct Shown {
    /// Up to its end.
    rows: u64,
    ids: Vec<i64>,
    is_full: bool,
}

impl Shown {
    fn of(page: &Page) -> Self {
        let pagination = page.pagination;
        let before = u64::from(pagination.current_page.saturating_sub(1));
        let (per_page, listed) = (pagination.per_page, page.records.len());
        Self {
            rows: before * u64::from(per_page) + listed as u64,
            ids: page.records.ids(),
            is_full: listed >= per_page as usize,
        }
    }
}

/// A shop that moves can show the picture of a ceiling once, but hardly each time.
const LOOKS: u32 = 2;

/// Where none of so many slices is shorter than its list, their filter does nothing.
const SLICES_TO_TRY: usize = 3;

/// How to read a list of which Salla shows only the beginning; nothing if no filter helps.
pub(super) async fn parts(shop: &Workshop, window: &StoredWindow) -> Result<Vec<Part>, Failure> {
    let slices: Vec<Slice> = match (window.resource, window.slice) {
        (Resource::Customers, None) => return created::parts(shop).await,
        (Resource::Products, None) => ProductStatus::ALL.map(Slice::Status).to_vec(),
        (Resource::Products, Some(Slice::Status(status))) => {
            let categories = categories(shop).await?.into_iter();
            let of = |category| Slice::Category { status, category };
            categories.map(of).collect()
        }
        _ => vec![],
    };
    if !filter_works(shop, window, &slices).await? {
        return Ok(vec![]);
    }
    let part = |slice| Part {
        slice: Some(slice),
        days: None,
    };
    Ok(slices.into_iter().map(part).collect())
}

/// A filter that is ignored gives the same list every time.
async fn filter_works(
    shop: &Workshop,
    window: &StoredWindow,
    slices: &[Slice],
) -> Result<bool, Failure> {
    for slice in slices.iter().take(SLICES_TO_TRY) {
        let request = PageRequest {
            slice: Some(*slice),
            ..PageRequest::first(window.resource, None)
        };
        let page = beginning(&*shop.platform, request).await;
        match page.map(|(page, _room)| page) {
            Ok(page) if Some(page.pagination.total) < window.first_total => return Ok(true),
            Ok(_) => {}
            Err(Failure::Broken { what }) => {
                tracing::warn!(%slice, what, "Salla refuses a filter");
                return Ok(false);
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(false)
}

/// All categories, those below others included.
async fn categories(shop: &Workshop) -> Result<BTreeSet<i64>, Failure> {
    let mut ids = BTreeSet::new();
    let mut request = PageRequest::first(Resource::Categories, None);
    loop {
        let (page, _room) = memory::fetching(shop.platform.list_page(&request)).await;
        let page = match (page, smaller(request.per_page)) {
            (Err(Failure::TooLarge { .. }), Some(portion)) => {
                request.per_page = portion;
                request.page = 1;
                ids.clear();
                continue;
            }
            (page, _) => page?,
        };
        let known = ids.len();
        if let Records::Categories(categories) = &page.records {
            let understood = categories.iter().filter_map(|c| c.outcome.as_ref().ok());
            ids.extend(understood.flat_map(|c| c.with_descendants()).map(|c| c.id));
        }
        ids.extend(page.records.ids());
        if request.page >= page.pagination.total_pages || ids.len() == known {
            return Ok(ids);
        }
        request.page += 1;
    }
}

/// Settles the lists that were read in slices, once all slices have been walked. Says
/// whether each of them adds up.
pub(crate) async fn add_up(shop: &Workshop) -> Result<bool, Failure> {
    let windows = shop.runs.windows(shop.lease).await?;
    let (whole, slices): (Vec<_>, Vec<_>) = windows
        .into_iter()
        .filter(|window| window.is_sliced)
        .partition(|window| window.slice.is_none());
    let mut all_add_up = true;
    // The whole list counts what its slices list.
    for window in slices.into_iter().chain(whole) {
        let listing = add_up_one(shop, window).await?;
        tracing::info!(
            resource = listing.resource.as_str(),
            reported = listing.reported,
            listed = listing.listed(),
            proof = ?listing.proof(),
            "slices of a list added up"
        );
        all_add_up &= listing.proof() != Proof::Unproven;
    }
    Ok(all_add_up)
}

/// The first page tells `total` and who has come since. Where the slices leave something
/// over, it may be among the rows that the list itself shows: products in no category.
async fn add_up_one(shop: &Workshop, window: StoredWindow) -> Result<Listing, Failure> {
    let id = window.id;
    let window = begin_anew(shop, window).await?;
    let mut walk = Walk::resume(shop, window).await?;
    let listing = loop {
        match walk.add_up().await {
            Err(Failure::TooLarge { .. }) if walk.takes_smaller_portions() => {
                walk.again().await?;
            }
            listing => break listing?,
        }
    };
    if listing.proof() != Proof::Unproven {
        shop.runs.settle_window(shop.lease, id, false).await?;
    }
    Ok(listing)
}

impl Walk<'_> {
    async fn add_up(&mut self) -> Result<Listing, Failure> {
        let (shop, id) = (self.shop, self.window.id);
        self.read_first_page().await?;
        let listing = shop.runs.listing(shop.lease, id).await?;
        if listing.proof() == Proof::Unproven && listing.difference() > 0 {
            self.run(&mut Precedence::Free).await?;
            return shop.runs.listing(shop.lease, id).await;
        }
        Ok(listing)
    }

    /// Whether the first page that reaches across the ceiling lacks rows. Looking there
    /// before anything else is read costs nothing where there is no ceiling.
    pub(super) async fn ceiling_shows(&mut self) -> Result<bool, Failure> {
        let number = self.last_page_below() + 1;
        if !self.lies_beyond(number) || self.window.pages_done.contains(&number) {
            return Ok(false);
        }
        // The room is kept until the page has landed.
        let (page, _room) = memory::fetching(self.fetch(number)).await;
        let page = page?;
        let pagination = page.pagination;
        let is_cut_off =
            page.records.len() < pagination.per_page as usize && number < pagination.total_pages;
        if page.records.is_empty() || is_cut_off {
            // It does not land, so that a restart looks here again.
            let before = u64::from(number - 1) * u64::from(pagination.per_page);
            let rows = before + page.records.len() as u64;
            self.shop.learn_ceiling(rows).await?;
            return Ok(true);
        }
        self.land(vec![page]).await?;
        Ok(false)
    }

    /// How many rows come before the ceiling that hides the page; none where the list ends
    /// before it and only `total` goes on. A list of orders ends with the newest one. Of an
    /// undated list, a last page that is not full tells.
    pub(super) async fn ceiling_before(&self, hidden: u32) -> Result<Option<u64>, Failure> {
        if self.window.resource != Resource::Orders {
            let shown = self.last_shown_before(hidden).await?;
            return Ok(shown.filter(|shown| shown.is_full).map(|shown| shown.rows));
        }
        let mut rows = 0;
        for _ in 0..LOOKS {
            let request = PageRequest {
                sort: Sort::NewestFirst,
                ..self.request(1)
            };
            let (newest, room) = memory::fetching(self.shop.platform.list_page(&request)).await;
            let newest = newest?.records.ids();
            drop(room);
            let Some(shown) = self.last_shown_before(hidden).await? else {
                return Ok(None);
            };
            if newest.iter().any(|id| shown.ids.contains(id)) {
                return Ok(None);
            }
            rows = shown.rows;
        }
        Ok(Some(rows))
    }

    /// The last page before a hidden one that shows anything. Mostly it is the one right before
    /// it, but a scan that goes on after a crash need not have read that.
    async fn last_shown_before(&self, hidden: u32) -> Result<Option<Shown>, Failure> {
        let (mut from, mut to) = (1, hidden);
        let mut number = hidden - 1;
        let mut last = None;
        while from < to {
            let (page, _room) = memory::fetching(self.ask(number)).await;
            let page = page?;
            if page.records.is_empty() {
                to = number;
            } else {
                last = Some(Shown::of(&page));
                from = number + 1;
            }
            number = from.midpoint(to);
        }
        Ok(last)
    }

    /// Whether a page that Salla does not show shows a ceiling that can be met.
    pub(super) fn may_show_ceiling(&self) -> bool {
        let resource = self.window.resource;
        (resource.has_windows() || resource.can_be_sliced())
            && !self.stays_below_the_ceiling()
            && !self.is_cut_short()
            && matches!(self.route(), Route::OneWay { .. })
    }

    /// Whether the page may be hidden, as far as the ceiling is known, though the list
    /// should have it.
    fn lies_beyond(&self, number: u32) -> bool {
        self.window.resource.can_be_sliced()
            && self.may_show_ceiling()
            && number > self.last_page_below()
            && Some(number) <= self.window.total_pages
    }

    /// Whether a scan that was read to its end has met the ceiling.
    pub(super) async fn stops_at_ceiling(&mut self, listing: &Listing) -> Result<bool, Failure> {
        if !self.may_show_ceiling() {
            return Ok(false);
        }
        let stops = match self.window.resource {
            Resource::Orders => self.hides_newest(listing).await?,
            _ => {
                let is_sure = listing.same_as_before && listing.stops_like_at_a_ceiling();
                listing.may_be_cut_off() || is_sure
            }
        };
        // An undated list that is just as long as a limit may still turn out to be whole.
        if stops && (self.window.resource == Resource::Orders || listing.difference() > 0) {
            self.shop.learn_ceiling(listing.listed()).await?;
        }
        Ok(stops)
    }

    /// A `total` that is off and a ceiling look the same from the oldest order on. From the
    /// newest on they do not. So a list that shows fewer than its `total` is looked at from
    /// there, and one whose `total` is as round as a limit.
    async fn hides_newest(&mut self, listing: &Listing) -> Result<bool, Failure> {
        let ceiling = self.shop.ceiling.get();
        let may_stop_early = match listing.difference() {
            0 => ceiling.is_worth_a_check(listing.reported),
            difference => difference > 0,
        };
        if !listing.total_was_stable || !may_stop_early {
            return Ok(false);
        }
        let (lease, id) = (self.shop.lease, self.window.id);
        let listed = self.shop.runs.listed(lease, id).await?;
        let listed: BTreeSet<i64> = listed.into_iter().collect();
        for _ in 0..LOOKS {
            if !self.ends_differ(listing.reported, &listed).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether the list, newest first, shows orders that were not listed and that its other
    /// end hides. An order that came while another one went is shown at both.
    async fn ends_differ(
        &mut self,
        reported: u64,
        listed: &BTreeSet<i64>,
    ) -> Result<bool, Failure> {
        let request = PageRequest {
            sort: Sort::NewestFirst,
            ..self.request(1)
        };
        let (page, room) = memory::fetching(self.shop.platform.list_page(&request)).await;
        let page = page?;
        let mut hidden = page.records.ids();
        let newest = hidden.first().copied();
        hidden.retain(|id| !listed.contains(id));
        if page.pagination.total != reported || hidden.is_empty() {
            return Ok(false);
        }
        let last = page.pagination.total_pages;
        drop((page, room));
        let (page, _room) = memory::fetching(self.ask(last)).await;
        let page = page?;
        let shown = page.records.ids();
        let is_shown = |id: &i64| Some(*id) == newest || hidden.contains(id);
        Ok(page.pagination.total == reported && !shown.iter().any(is_shown))
    }

    /// Whether a day that cannot be divided was cut off by a ceiling that is none: the list
    /// shows rows beyond it. The ceiling is forgotten then.
    pub(super) async fn ceiling_is_none(&mut self) -> Result<bool, Failure> {
        let Route::BothEnds { reach, .. } = Route::of(&self.window, self.ceiling) else {
            return Ok(false);
        };
        match (self.ceiling.learned(), self.shop.ceiling.get().learned()) {
            (None, _) => return Ok(false),
            // Another window has found out.
            (Some(_), None) => return Ok(true),
            (Some(_), Some(_)) => {}
        }
        let (page, _room) = memory::fetching(self.ask(reach.saturating_add(1))).await;
        let (lease, ids) = (self.shop.lease, page?.records.ids());
        let listed = self.shop.runs.listed(lease, self.window.id).await?;
        let shows_more = ids.iter().any(|id| !listed.contains(id));
        if shows_more {
            self.shop.forget_ceiling().await?;
        }
        Ok(shows_more)
    }

    /// Divides the list, so that the ceiling hides nothing of its parts.
    pub(super) async fn cut_to_fit(&mut self) -> Result<Fit, Failure> {
        if let Some(halves) = self.halves() {
            return Ok(Fit::Parts(self.split(halves).await?));
        }
        if matches!(self.route(), Route::BothEnds { .. }) {
            self.again().await?;
            return Ok(Fit::Rescan);
        }
        let slices = self.slice().await?;
        Ok(slices.map_or(Fit::AsFarAsShown, |parts| {
            Fit::Parts(Walked::Split(parts, None))
        }))
    }

    /// How far pages are worth asking for.
    pub(super) fn reach(&self) -> u32 {
        // A part of the page that crosses the ceiling may be shown.
        let rows = self.shop.ceiling.get().rows();
        let pages = rows.div_ceil(u64::from(self.first_page().per_page()));
        match self.stays_below_the_ceiling() {
            true => u32::try_from(pages).unwrap_or(u32::MAX),
            false => u32::MAX,
        }
    }

    /// The last page that even a ceiling shows whole.
    fn last_page_below(&self) -> u32 {
        let pages = self.shop.ceiling.get().rows() / u64::from(self.first_page().per_page());
        u32::try_from(pages).unwrap_or(u32::MAX)
    }

    /// Cuts the list into slices, which take over from this walk; `None` if none are of
    /// any use.
    pub(super) async fn slice(&mut self) -> Result<Option<Vec<Part>>, Failure> {
        self.is_at_ceiling = true;
        let parts = parts(self.shop, &self.window).await?;
        if parts.is_empty() {
            tracing::warn!("the list is longer than Salla shows of it, and no filter parts it");
            return Ok(None);
        }
        let (runs, id) = (&self.shop.runs, self.window.id);
        runs.slice_window(self.shop.lease, id, &parts).await?;
        self.shop.tracker.window_is_gone(id);
        tracing::info!(slices = parts.len(), "a list is read in slices");
        Ok(Some(parts))
    }

    /// A category of everything is of no use as a slice, and does no harm: the others may
    /// hold its products as well, which the sum tells.
    pub(super) fn may_stay_open(&self) -> bool {
        self.is_at_ceiling && matches!(self.window.slice, Some(Slice::Category { .. }))
    }

    pub(super) fn stays_below_the_ceiling(&self) -> bool {
        self.is_at_ceiling || self.window.is_sliced
    }

    async fn read_first_page(&mut self) -> Result<(), Failure> {
        let (page, _room) = memory::fetching(self.ask(1)).await;
        let page = page?;
        self.window.first_total = Some(page.pagination.total);
        self.window.total_pages = Some(page.pagination.total_pages);
        let page = self.place().page(1, page);
        self.land(vec![page]).await
    }
}
