//! What a shop will cost, found out with half a dozen requests before anything is
//! fetched.

use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::ceiling::Ceiling;
use domain::failure::Failure;
use domain::order::{Completeness, Order};
use domain::plan::{Budget, DetailCase, MOST_PER_PAGE, Newest, Plan, PlanInputs};
use domain::resource::Resource;
use domain::shop::ShopInfo;
use domain::window::{DayRange, Overlap};
use jiff::civil::Date;

use super::pages::beginning;
use super::watermark::Watermark;
use crate::admission::{FetchPermit, MemoryLimit};
use crate::ports::clock::{Clock, with_timeout};
use crate::ports::platform::{Page, PageRequest, Pagination, Platform, Records, Sort};

/// Everything else is known when this begins. All shops behind one address share the
/// customers' budget, and no order waits for it: the scan's own first page tells their
/// number as well.
const CUSTOMER_COUNT_TIMEOUT: Duration = Duration::from_secs(2);

/// Who the shop is, and a page of its orders.
const REQUESTS_OF_EVERY_PLAN: u64 = 2;

/// What the user wants and the shop itself says.
#[derive(Clone, Debug)]
pub struct PlanRequest<'a> {
    pub shop: &'a ShopInfo,
    pub range: DayRange,
    pub share: f64,
    pub max_orders: Option<u64>,
    pub ceiling: Ceiling,
    /// No time for what can be done without: an earlier turn ended before there was a plan.
    pub is_pressed: bool,
}

/// Asks for counts, the detail case and the meaning of date filters, and plans. What the
/// import reads again in just this way is kept for it in `pages`.
pub async fn plan_run(
    platform: &dyn Platform,
    clock: &dyn Clock,
    wanted: &PlanRequest<'_>,
    pages: &PlannedPages,
) -> Result<Plan, Failure> {
    let (page, permit) = orders_to_try(platform, wanted).await?;
    let (orders, recent) = (page.pagination, recently_updated(&page, wanted));
    let sample = Sample::of(page, wanted.range);
    drop(permit);
    let rest = async {
        tokio::try_join!(
            overlap(platform, wanted, (&sample, orders), pages),
            detail_case(platform, &sample),
            first_page(platform, Resource::Products, pages),
            first_page(platform, Resource::Categories, pages),
        )
    };
    let customers = first_page(platform, Resource::Customers, pages);
    let timeout = match wanted.is_pressed {
        true => Duration::ZERO,
        false => CUSTOMER_COUNT_TIMEOUT,
    };
    let (rest, customers) = join_with_deadline((clock, timeout), rest, customers).await?;
    let ((overlap, days_tried), detail_case, products, categories) = rest;
    let details_tried = u64::from(detail_case != DetailCase::Expanded);
    let requests_per_minute = platform
        .budget()
        .limit_per_minute
        .or(wanted.shop.plan.documented_requests_per_minute());
    Ok(Plan::new(PlanInputs {
        range: wanted.range,
        detail_case,
        orders: orders.total,
        orders_per_page: page_size(orders),
        customers: customers.map(|pagination| pagination.total),
        customers_per_page: customers.map_or(MOST_PER_PAGE, page_size),
        products: products.total,
        products_per_page: page_size(products),
        categories: categories.total,
        overlap,
        budget: Budget {
            requests_per_minute,
            share: wanted.share,
        },
        max_orders: wanted.max_orders,
        is_quiet: sample.is_quiet,
        requests: REQUESTS_OF_EVERY_PLAN + days_tried + details_tried,
        recently_updated: recent.ids,
        last_update: recent.last_update,
        recent_asked_at: recent.asked_at,
        ceiling: wanted.ceiling,
    }))
}

/// Both concurrently; the result of `late` is skipped if it does not come soon after `prompt`.
async fn join_with_deadline<P, L>(
    (clock, timeout): (&dyn Clock, Duration),
    prompt: impl Future<Output = Result<P, Failure>>,
    late: impl Future<Output = Result<L, Failure>>,
) -> Result<(P, Option<L>), Failure> {
    let (mut prompt, mut late) = (pin!(prompt), pin!(late));
    tokio::select! {
        prompt = &mut prompt => {
            let prompt = prompt?;
            let late = with_timeout(clock, timeout, late).await.transpose()?;
            Ok((prompt, late))
        }
        late = &mut late => {
            let late = late?;
            Ok((prompt.await?, Some(late)))
        }
    }
}

/// Where the list of what was updated last begins now, up to where the reconciliation reads.
fn recently_updated(page: &Page, wanted: &PlanRequest<'_>) -> Watermark {
    match wanted.max_orders {
        Some(_) => Watermark::default(),
        None => Watermark::of(page),
    }
}

/// The orders that were updated last, whose number and rows say all else that is wanted. A
/// first try has no reconciliation.
async fn orders_to_try(
    platform: &dyn Platform,
    wanted: &PlanRequest<'_>,
) -> Result<(Page, FetchPermit), Failure> {
    let sort = match wanted.max_orders {
        Some(_) => Sort::NewestFirst,
        None => Sort::UpdatedFirst,
    };
    let days = wanted.range.widened(Overlap::EXCLUSIVE);
    beginning(platform, orders_request(days, sort, 1)).await
}

pub(crate) fn orders_request(days: DayRange, sort: Sort, page: u32) -> PageRequest {
    PageRequest {
        resource: Resource::Orders,
        days: Some(days),
        slice: None,
        page,
        per_page: MOST_PER_PAGE,
        sort,
        expanded: true,
    }
}

/// Orders to try things on; their page does not wait in memory for the answers.
struct Sample {
    newest: Option<Order>,
    /// The day of an order that is no other day in UTC: one within three hours of
    /// midnight could belong to another day if the filter's days are UTC's, and would
    /// prove nothing.
    clear_day: Option<Date>,
    /// None of them was placed on the last day.
    is_quiet: bool,
}

impl Sample {
    fn of(page: Page, range: DayRange) -> Self {
        let Records::Orders(orders) = page.records else {
            return Self {
                newest: None,
                clear_day: None,
                is_quiet: true,
            };
        };
        let understood = orders.iter().filter_map(|o| o.outcome.as_ref().ok());
        let mut days = understood.map(|order| order.created_at.riyadh_date());
        let is_quiet = days.all(|day| day < range.to);
        let mut orders = orders.into_iter().filter_map(|o| o.outcome.ok()).peekable();
        let newest = orders.peek().cloned();
        let clear_day = orders.find_map(|order| {
            let local = domain::instant::riyadh().to_datetime(order.created_at.instant);
            let is_clear = (4..=20).contains(&local.hour()) && range.contains(local.date());
            is_clear.then(|| order.created_at.riyadh_date())
        });
        Self {
            newest,
            clear_day,
            is_quiet,
        }
    }
}

/// A day with an order, requested alone, must not return empty unless an end of the filter is
/// exclusive. If the last day is a separate window it is tried first, because that window begins
/// with this page. Also returns how many requests were made that no scan can use.
async fn overlap(
    platform: &dyn Platform,
    wanted: &PlanRequest<'_>,
    (sample, orders): (&Sample, Pagination),
    pages: &PlannedPages,
) -> Result<(Overlap, u64), Failure> {
    let is_one_page = orders.total <= u64::from(page_size(orders));
    if is_one_page && wanted.max_orders.is_none() {
        // A single window has no neighbor to leave a gap to.
        return Ok((Overlap::EXCLUSIVE, 0));
    }
    // The rows and not `total`, which may be off by a few.
    let shows_orders = |page: &Page| !page.records.is_empty();
    let last = wanted.range.to;
    let of_window = wanted.max_orders.is_none()
        && wanted.range.from < last
        && Newest::of(sample.is_quiet, orders.total, wanted.range) == Newest::Today;
    let window = orders_request(one_day(last), Sort::OldestFirst, 1);
    if of_window && pages.read(platform, window.clone(), shows_orders).await? {
        return Ok((Overlap::INCLUSIVE, 0));
    }
    let (is_inclusive, tried) = match sample.clear_day {
        Some(day) if day != last || !of_window => {
            let request = orders_request(one_day(day), Sort::NewestFirst, 1);
            let (page, _permit) = beginning(platform, request).await?;
            (shows_orders(&page), 1)
        }
        _ => (false, 0),
    };
    if is_inclusive {
        return Ok((Overlap::INCLUSIVE, tried));
    }
    pages.forget(&window);
    Ok((Overlap::EXCLUSIVE, tried + u64::from(of_window)))
}

fn one_day(day: Date) -> DayRange {
    DayRange { from: day, to: day }
}

/// An empty shop tells nothing; then the list alone is taken to be enough. That is
/// safe, because each order that arrives without its items is put on the list of
/// pending details whatever the plan says.
async fn detail_case(platform: &dyn Platform, sample: &Sample) -> Result<DetailCase, Failure> {
    let Some(order) = &sample.newest else {
        return Ok(DetailCase::Expanded);
    };
    if order.completeness() == Completeness::Full {
        return Ok(DetailCase::Expanded);
    }
    let detail = platform
        .order_detail(order.id, &mut FetchPermit::default())
        .await?;
    // An order that cannot be read tells nothing either: then the dearest case is planned for.
    let completeness = detail
        .and_then(|answer| answer.record.outcome.ok())
        .map(|order| order.completeness());
    Ok(match completeness {
        Some(Completeness::Full) => DetailCase::Details,
        _ => DetailCase::DetailsAndItems,
    })
}

async fn first_page(
    platform: &dyn Platform,
    resource: Resource,
    pages: &PlannedPages,
) -> Result<Pagination, Failure> {
    let request = PageRequest::first(resource, None);
    pages.read(platform, request, |page| page.pagination).await
}

fn page_size(pagination: Pagination) -> u32 {
    pagination.per_page.max(1)
}

/// What planning has read, for the scans that follow.
#[derive(Clone, Debug, Default)]
pub struct PlannedPages {
    pages: Arc<Mutex<Vec<(PageRequest, Page, FetchPermit)>>>,
    /// Nothing is kept where there is none.
    memory: Option<MemoryLimit>,
}

impl PlannedPages {
    /// For an import, which reads the lists as soon as they are planned.
    pub fn within(memory: MemoryLimit) -> Self {
        Self {
            memory: Some(memory),
            ..Self::default()
        }
    }

    /// Requests a page, keeps it if there is room for it, and returns what is wanted of it now.
    pub(crate) async fn read<T>(
        &self,
        platform: &dyn Platform,
        request: PageRequest,
        summary: impl FnOnce(&Page) -> T,
    ) -> Result<T, Failure> {
        let mut permit = FetchPermit::default();
        let page = match platform.list_page(&request, &mut permit).await {
            // What can be had of it is no page that a scan asks for.
            Err(Failure::TooLarge { .. }) => {
                let (page, _permit) = beginning(platform, request).await?;
                return Ok(summary(&page));
            }
            page => page?,
        };
        let summary = summary(&page);
        // Planning waits for more requests, and so would all who wait for its room.
        if self.memory.as_ref().is_some_and(MemoryLimit::has_plenty) {
            self.locked().push((request, page, permit));
        }
        Ok(summary)
    }

    /// The page if it was kept, once.
    pub(crate) fn take(&self, request: &PageRequest) -> Option<(Page, FetchPermit)> {
        let mut pages = self.locked();
        let place = pages.iter().position(|(kept, ..)| kept == request)?;
        let (_, page, permit) = pages.swap_remove(place);
        Some((page, permit))
    }

    /// Drops a page that no scan will ask for.
    pub(crate) fn forget(&self, request: &PageRequest) {
        drop(self.take(request));
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Vec<(PageRequest, Page, FetchPermit)>> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
