//! Requests and lands the pages of one window.

use std::time::Duration;

use domain::ceiling::Ceiling;
use domain::failure::Failure;
use domain::resource::Resource;
use domain::slice::Slice;
use domain::window::DayRange;
use tracing::{Instrument as _, Span};

use super::context::RunContext;
use super::pages::{FirstPage, PageFetch, PagePosition, PageRoute, of_scan};
use crate::admission::FetchPermit;
use crate::metrics;
use crate::ports::landing::{Landed, ScannedPage};
use crate::ports::platform::{Page, PageRequest, Pagination, Records, Sort};
use crate::ports::runs::StoredWindow;

/// A window with what has been read of it: its pages are requested and landed here.
pub(super) struct WindowReader<'a> {
    pub(super) ctx: &'a RunContext,
    pub(super) window: StoredWindow,
    /// The last page of the route, once it has been read by this process.
    pub(super) last: Option<LastPage>,
    /// The list has more rows than Salla shows, and no slices help.
    pub(super) is_at_ceiling: bool,
    /// What the present scan began with.
    pub(super) ceiling: Ceiling,
    /// What the pages of this scan are requested with: their numbers mean nothing else.
    pub(super) per_page: u32,
}

impl<'a> WindowReader<'a> {
    /// Continues from the checkpoint, or begins the first scan.
    pub(super) async fn resume(
        ctx: &'a RunContext,
        mut window: StoredWindow,
    ) -> Result<Self, Failure> {
        if window.scan == 0 {
            window.scan = ctx.runs.begin_scan(ctx.lease, window.id).await?;
        }
        let per_page = match (window.first_total, window.total_pages) {
            (Some(total), Some(pages)) => of_scan(total, pages),
            _ => ctx.portions.of(window.resource),
        };
        ctx.tracker
            .window_resumed(window.id, window.pages_done.len() as u64);
        Ok(Self {
            ctx,
            window,
            last: None,
            is_at_ceiling: false,
            ceiling: ctx.ceiling.get(),
            per_page,
        })
    }

    /// Begins another scan.
    pub(super) async fn rescan(&mut self) -> Result<(), Failure> {
        self.window = begin_rescan(self.ctx, self.window.clone()).await?;
        self.last = None;
        self.ceiling = self.ctx.ceiling.get();
        self.per_page = self.ctx.portions.of(self.window.resource);
        Ok(())
    }

    /// From now on, if a page can be smaller than those of this scan.
    pub(super) fn takes_smaller_portions(&self) -> bool {
        self.ctx.portions.lower(self.window.resource, self.per_page)
    }

    /// The halves of the window, the newer one first, unless a single page shows all of it
    /// or it has no days to be divided by.
    pub(super) fn halves(&self) -> Option<[DayRange; 2]> {
        let (older, newer) = self.window.days?.split()?;
        let is_one_page = self.window.total_pages.is_some_and(|pages| pages <= 1);
        (!is_one_page && !self.is_cut_short()).then_some([newer, older])
    }

    /// Whether a `total` shows that rows may have slipped past the reader. Customers
    /// who sign up meanwhile are found afterwards, see `ends::reread_ends`.
    pub(super) fn is_invalidated_by(&self, total: u64) -> bool {
        match (self.window.first_total, self.window.resource) {
            (Some(first), Resource::Customers) => total < first,
            (first, _) => Some(total) != first,
        }
    }

    /// Its end need not be read.
    pub(super) fn is_cut_short(&self) -> bool {
        self.ctx.max_orders.is_some() || self.may_be_incomplete()
    }

    /// The page if planning has read it already, once.
    pub(super) fn planned(&self, number: u32) -> Option<(Page, FetchPermit)> {
        let request = (self.window.scan == 1).then(|| self.request(number))?;
        self.ctx.planned.take(&request)
    }

    /// Which request stands for which page of this scan.
    pub(super) fn route(&self) -> PageRoute {
        PageRoute::of(&self.window, self.ctx.ceiling.get())
    }

    /// Pages of this scan up to `last` that have not landed, ascending.
    pub(super) fn missing(&self, last: u32) -> impl Iterator<Item = u32> + use<> {
        let mut done = self.window.pages_done.clone();
        done.sort_unstable();
        let route = self.route();
        (1..=last).filter(move |page| route.covers(*page) && done.binary_search(page).is_err())
    }

    /// How far this scan goes: to the end, or as far as `--max-orders` wants.
    pub(super) fn last_page(&self, pagination: Pagination) -> u32 {
        let wanted = self.ctx.max_orders.map_or(u32::MAX, |most| {
            let pages = domain::plan::pages(most, pagination.per_page);
            u32::try_from(pages).unwrap_or(u32::MAX)
        });
        self.route()
            .last()
            .min(wanted)
            .min(self.last_reachable_page())
    }

    pub(super) fn too_large(&self, pagination: Pagination) -> Option<[DayRange; 2]> {
        let is_too_large = self.ctx.ceiling.get().may_hide(pagination.total);
        self.halves().filter(|_| is_too_large)
    }

    pub(super) fn request(&self, number: u32) -> PageRequest {
        let (page, sort) = match self.window.resource {
            Resource::Orders if self.is_cut_short() => (number, Sort::NewestFirst),
            _ => self.route().request(number),
        };
        PageRequest {
            resource: self.window.resource,
            days: self.ctx.days_to_query(&self.window),
            slice: self.window.slice,
            page,
            per_page: self.per_page,
            sort,
            expanded: self.window.resource == Resource::Orders,
        }
    }

    /// Requests a page outside of a pipeline.
    pub(super) async fn fetch_page(&self, number: u32) -> Result<(Page, FetchPermit), Failure> {
        let fetch = self.page_fetch(number);
        fetch.page(FetchPermit::default()).await
    }

    /// The same, to be landed.
    pub(super) async fn fetch(&self, number: u32) -> Result<(ScannedPage, FetchPermit), Failure> {
        let fetch = self.page_fetch(number);
        let fetch = fetch.scanned_page(FetchPermit::default());
        fetch.instrument(page_span(number)).await
    }

    /// A page that is requested when its turn comes.
    pub(super) fn page_fetch(&self, number: u32) -> PageFetch {
        PageFetch {
            platform: self.ctx.platform.clone(),
            request: self.request(number),
            first: self.first_page(),
            is_list_known: self.window.first_total.is_some(),
            position: self.position(),
            number,
        }
    }

    pub(super) fn first_page(&self) -> FirstPage {
        FirstPage {
            total: self.window.first_total.unwrap_or(0),
            total_pages: self.window.total_pages.unwrap_or(1),
            asked_at: self.ctx.clock.now(),
        }
    }

    pub(super) fn position(&self) -> PagePosition {
        PagePosition {
            window: self.window.id,
            scan: self.window.scan,
            most: self.ctx.max_orders,
        }
    }

    /// Lands pages immediately, if nothing else is in flight.
    pub(super) async fn land(&mut self, pages: Vec<ScannedPage>) -> Result<(), Failure> {
        let batch = land(self.ctx.clone(), pages).await?;
        self.record_batch(batch, u32::MAX).await
    }

    /// Takes note of pages that have landed.
    pub(super) async fn record_batch(
        &mut self,
        batch: Batch,
        last_page: u32,
    ) -> Result<(), Failure> {
        let ctx = self.ctx;
        ctx.tracker
            .pages_landed(self.window.id, batch.pages.len() as u64, &batch.landed);
        for page in batch.pages {
            if !self.window.pages_done.contains(&page.number) {
                self.window.pages_done.push(page.number);
            }
            if page.number == last_page {
                self.last = Some(page.last);
            }
        }
        ctx.check_rejections(&batch.landed).await
    }

    /// How far pages are worth asking for.
    pub(super) fn last_reachable_page(&self) -> u32 {
        // A part of the page that crosses the ceiling may be shown.
        let rows = self.ctx.ceiling.get().rows();
        let pages = rows.div_ceil(u64::from(self.first_page().per_page()));
        match self.is_limited_to_ceiling() {
            true => u32::try_from(pages).unwrap_or(u32::MAX),
            false => u32::MAX,
        }
    }

    /// The last page that even a ceiling shows whole.
    pub(super) fn last_page_below(&self) -> u32 {
        let pages = self.ctx.ceiling.get().rows() / u64::from(self.first_page().per_page());
        u32::try_from(pages).unwrap_or(u32::MAX)
    }

    /// A category of everything is of no use as a slice, and does no harm: the others may
    /// hold its products as well, which the sum tells.
    pub(super) fn may_be_incomplete(&self) -> bool {
        self.is_at_ceiling && matches!(self.window.slice, Some(Slice::Category { .. }))
    }

    pub(super) fn is_limited_to_ceiling(&self) -> bool {
        self.is_at_ceiling || self.window.is_sliced
    }

    pub(super) async fn read_first_page(&mut self) -> Result<(), Failure> {
        let (page, _permit) = self.fetch_page(1).await?;
        self.window.first_total = Some(page.pagination.total);
        self.window.total_pages = Some(page.pagination.total_pages);
        let page = self.position().page(1, page);
        self.land(vec![page]).await
    }
}

/// What is needed to see whether a list continues.
pub(super) struct LastPage {
    pub(super) ids: Vec<i64>,
    pub(super) is_full: bool,
}

impl LastPage {
    pub(super) fn of(records: &Records, pagination: Pagination) -> Self {
        Self {
            ids: records.ids(),
            is_full: !records.is_empty() && records.len() >= pagination.per_page as usize,
        }
    }
}

/// Pages that have landed together.
pub(super) struct Batch {
    pub(super) landed: Landed,
    pub(super) pages: Vec<LandedPage>,
}

pub(super) struct LandedPage {
    pub(super) number: u32,
    pub(super) total: u64,
    pub(super) last: LastPage,
    pub(super) is_hidden: bool,
}

/// Salla shows nothing of the page although it is not the last one.
pub(super) fn is_hidden(page: &ScannedPage) -> bool {
    page.records.is_empty() && page.page > 1 && page.page < page.pagination.total_pages
}

pub(super) fn page_span(number: u32) -> Span {
    tracing::info_span!("page", page = number)
}

pub(super) async fn land(ctx: RunContext, pages: Vec<ScannedPage>) -> Result<Batch, Failure> {
    let begun = ctx.clock.monotonic();
    let landed = ctx.landing.land_pages(ctx.lease, &pages).await?;
    let took = ctx.clock.monotonic().saturating_sub(begun);
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

fn count(pages: &[ScannedPage], landed: &Landed, took: Duration) {
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

/// Begins another scan of a window; its pages so far prove nothing any more.
pub(super) async fn begin_rescan(
    ctx: &RunContext,
    window: StoredWindow,
) -> Result<StoredWindow, Failure> {
    Ok(StoredWindow {
        scan: ctx.runs.begin_scan(ctx.lease, window.id).await?,
        first_total: None,
        total_pages: None,
        pages_done: vec![],
        done: false,
        ..window
    })
}
