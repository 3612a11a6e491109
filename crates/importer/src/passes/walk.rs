//! The header pass: walks one window of a list from its first page to its last,
//! many pages in flight, and proves the walk.
//!
//! Equal counts alone prove nothing, because rows move while we read. A window is
//! proven by a *stable walk*: `total` is the same on every page of one walk, and
//! that walk's distinct ids equal it (DESIGN §3.4).

use domain::certificate::WindowCounts;
use domain::failure::Failure;
use domain::plan::MAX_ROWS_PER_WINDOW;
use domain::resource::Resource;
use domain::window::DayRange;
use tokio::task::JoinSet;

use super::{IN_FLIGHT, Workshop, next_batch};
use crate::ports::landing::WalkedPage;
use crate::ports::platform::{Page, PageRequest, Pagination, Records, Sort};
use crate::ports::runs::StoredWindow;

/// Pages that are landed in one transaction when they are there together.
const PAGES_PER_COMMIT: usize = 10;

/// Pages under way.
type Fetches = JoinSet<Result<WalkedPage, Failure>>;

/// How a window came out.
#[derive(Debug)]
pub enum Walked {
    /// Walked to its end; the counts say whether it balances.
    Settled(Box<WindowCounts>),
    /// Too many rows for one window: replaced by these, the newer first.
    Split([DayRange; 2]),
}

/// How one walk ended.
enum End {
    Complete,
    /// `total` changed under the reader, so this walk can prove nothing any more.
    Moved,
    TooLarge([DayRange; 2]),
}

/// Walks `window` until a walk is stable, at most `max_walks` times, and settles it.
pub async fn walk_window(shop: &Workshop, window: StoredWindow) -> Result<Walked, Failure> {
    let mut walk = Walk::resume(shop, window).await?;
    loop {
        match walk.run().await? {
            End::TooLarge(halves) => {
                let id = walk.window.id;
                shop.runs.split_window(shop.lease, id, halves).await?;
                shop.tracker.window_is_gone(id);
                return Ok(Walked::Split(halves));
            }
            End::Moved => walk.again().await?,
            End::Complete => {
                let mut counts = shop.runs.count_window(shop.lease, walk.window.id).await?;
                counts.cut_short = walk.is_cut_short();
                if counts.walk_is_stable() || walk.is_the_last() {
                    return walk.end(counts).await;
                }
                tracing::warn!(
                    resource = %counts.resource, walk = walk.window.walk,
                    reported = counts.reported, listed = counts.distinct + counts.without_id,
                    "the window does not balance; walking it again"
                );
                walk.again().await?;
            }
        }
    }
}

struct Walk<'a> {
    shop: &'a Workshop,
    window: StoredWindow,
    /// Walks made by this process: a run that is started again gets its full number
    /// of walks again.
    walks_made: u32,
}

impl<'a> Walk<'a> {
    /// Goes on from the checkpoint, or begins the first walk.
    async fn resume(shop: &'a Workshop, mut window: StoredWindow) -> Result<Self, Failure> {
        if window.walk == 0 {
            window.walk = shop.runs.begin_walk(shop.lease, window.id).await?;
        }
        shop.tracker
            .window_had(window.id, window.pages_done.len() as u64);
        Ok(Self {
            shop,
            window,
            walks_made: 1,
        })
    }

    async fn again(&mut self) -> Result<(), Failure> {
        let id = self.window.id;
        self.window.walk = self.shop.runs.begin_walk(self.shop.lease, id).await?;
        self.walks_made += 1;
        self.window.first_total = None;
        self.window.total_pages = None;
        self.window.pages_done.clear();
        Ok(())
    }

    fn is_the_last(&self) -> bool {
        self.walks_made >= self.shop.max_walks
    }

    fn is_cut_short(&self) -> bool {
        self.shop.max_orders.is_some()
    }

    /// A window that does not balance stays unsettled, so that starting the run again
    /// walks it again.
    async fn end(self, counts: WindowCounts) -> Result<Walked, Failure> {
        let shop = self.shop;
        if counts.walk_is_stable() {
            shop.runs
                .settle_window(shop.lease, self.window.id, counts.cut_short)
                .await?;
        }
        shop.tracker
            .window_settled(self.window.id, self.window.days);
        Ok(Walked::Settled(Box::new(counts)))
    }

    /// One walk: a first page to learn the total, then all the others in flight.
    async fn run(&mut self) -> Result<End, Failure> {
        let known_end = self.window.total_pages.unwrap_or(u32::MAX);
        let first_missing = self.missing(known_end).next().unwrap_or(1);
        let first = self
            .shop
            .platform
            .list_page(&self.request(first_missing))
            .await?;
        let pagination = first.pagination;
        if let Some(halves) = self.too_large(pagination) {
            return Ok(End::TooLarge(halves));
        }
        let resumed_elsewhere = self
            .window
            .first_total
            .is_some_and(|total| total != pagination.total);
        if resumed_elsewhere && !self.is_the_last() {
            return Ok(End::Moved);
        }
        self.window.first_total = Some(pagination.total);
        let last_page = self.last_page(pagination);
        self.shop
            .tracker
            .window_expects(self.window.id, u64::from(last_page));
        self.land(vec![self.walked(first_missing, first)]).await?;
        if !self.window.pages_done.contains(&first_missing) {
            self.window.pages_done.push(first_missing);
        }
        self.fetch_the_rest(last_page).await
    }

    /// Pages of this walk up to `last` that have not landed, ascending.
    fn missing(&self, last: u32) -> impl Iterator<Item = u32> + use<> {
        let mut done = self.window.pages_done.clone();
        done.sort_unstable();
        (1..=last).filter(move |page| done.binary_search(page).is_err())
    }

    /// How far this walk goes: to the end, or as far as `--max-orders` wants.
    fn last_page(&self, pagination: Pagination) -> u32 {
        let wanted = self.shop.max_orders.map_or(u32::MAX, |most| {
            let pages = domain::plan::pages(most, pagination.per_page);
            u32::try_from(pages).unwrap_or(u32::MAX)
        });
        pagination.total_pages.max(1).min(wanted)
    }

    fn too_large(&self, pagination: Pagination) -> Option<[DayRange; 2]> {
        if pagination.total <= MAX_ROWS_PER_WINDOW || self.is_cut_short() {
            return None;
        }
        let (older, newer) = self.window.days?.split()?;
        Some([newer, older])
    }

    fn request(&self, page: u32) -> PageRequest {
        PageRequest {
            resource: self.window.resource,
            days: self.window.days.map(|days| days.widened(self.shop.overlap)),
            page,
            sort: if self.is_cut_short() {
                Sort::NewestFirst
            } else {
                Sort::OldestFirst
            },
            expanded: self.window.resource == Resource::Orders,
        }
    }

    /// Keeps fetching while what has arrived is being landed.
    async fn fetch_the_rest(&mut self, last_page: u32) -> Result<End, Failure> {
        let mut missing = self.missing(last_page);
        let mut fetches = JoinSet::new();
        self.refill(&mut fetches, &mut missing);
        loop {
            let pages = next_batch(&mut fetches, PAGES_PER_COMMIT).await?;
            if pages.is_empty() {
                return Ok(End::Complete);
            }
            self.refill(&mut fetches, &mut missing);
            let moved = pages
                .iter()
                .any(|p| Some(p.pagination.total) != self.window.first_total);
            let numbers: Vec<u32> = pages.iter().map(|p| p.page).collect();
            self.land(pages).await?;
            self.window.pages_done.extend(numbers);
            if moved && !self.is_the_last() {
                return Ok(End::Moved);
            }
        }
    }

    /// Keeps the line to Salla full, also while a batch is landed.
    fn refill(&self, fetches: &mut Fetches, missing: &mut impl Iterator<Item = u32>) {
        for page in missing.take(IN_FLIGHT - fetches.len()) {
            self.spawn_fetch(fetches, page);
        }
    }

    fn spawn_fetch(&self, fetches: &mut Fetches, number: u32) {
        let request = self.request(number);
        let platform = self.shop.platform.clone();
        let place = self.place();
        fetches.spawn(async move {
            let page = platform.list_page(&request).await?;
            Ok(place.page(number, page))
        });
    }

    fn walked(&self, number: u32, page: Page) -> WalkedPage {
        self.place().page(number, page)
    }

    fn place(&self) -> Place {
        Place {
            window: self.window.id,
            walk: self.window.walk,
            most: self.shop.max_orders,
        }
    }

    async fn land(&self, pages: Vec<WalkedPage>) -> Result<(), Failure> {
        let shop = self.shop;
        let landed = shop.landing.land_pages(shop.lease, &pages).await?;
        shop.tracker.pages_landed(
            self.window.id,
            self.window.resource,
            pages.len() as u64,
            &landed,
        );
        shop.check_rejections(&landed).await
    }
}

/// Where a page belongs.
#[derive(Clone, Copy)]
struct Place {
    window: domain::run::WindowId,
    walk: u32,
    most: Option<u64>,
}

impl Place {
    fn page(self, number: u32, mut page: Page) -> WalkedPage {
        if let Some(most) = self.most {
            let before = u64::from(number - 1) * u64::from(page.pagination.per_page);
            let keep = usize::try_from(most.saturating_sub(before)).unwrap_or(usize::MAX);
            truncate(&mut page.records, keep);
        }
        WalkedPage {
            window: self.window,
            walk: self.walk,
            page: number,
            pagination: page.pagination,
            version: page.version,
            records: page.records,
        }
    }
}

fn truncate(records: &mut Records, keep: usize) {
    match records {
        Records::Orders(r) => r.truncate(keep),
        Records::Customers(r) => r.truncate(keep),
        Records::Products(r) => r.truncate(keep),
        Records::Categories(r) => r.truncate(keep),
        Records::OrderStatuses(r) => r.truncate(keep),
    }
}
