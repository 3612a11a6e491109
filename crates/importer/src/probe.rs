//! What a shop will cost, found out with half a dozen requests before anything is
//! fetched.

use std::pin::pin;
use std::time::Duration;

use domain::ceiling::Ceiling;
use domain::failure::Failure;
use domain::order::{Completeness, Order};
use domain::plan::{Budget, DetailCase, MOST_PER_PAGE, Plan, Probe};
use domain::resource::Resource;
use domain::shop::ShopInfo;
use domain::window::{DayRange, Overlap};
use jiff::civil::Date;

use crate::memory::Room;
use crate::portions::beginning;
use crate::ports::clock::{Clock, within};
use crate::ports::platform::{Page, PageRequest, Pagination, Platform, Records, Sort};
use crate::recent::Head;

/// Everything else is known when this begins. All shops behind one address share the
/// customers' budget, and no order waits for it: the walk's own first page tells their
/// number as well.
const PATIENCE_WITH_CUSTOMERS: Duration = Duration::from_secs(2);

/// What the user wants and the shop itself says.
#[derive(Clone, Debug)]
pub struct ProbeRequest<'a> {
    pub shop: &'a ShopInfo,
    pub range: DayRange,
    pub share: f64,
    pub max_orders: Option<u64>,
    pub ceiling: Ceiling,
}

/// Asks for counts, the detail case and the meaning of date filters, and plans.
pub async fn probe(
    platform: &dyn Platform,
    clock: &dyn Clock,
    wanted: &ProbeRequest<'_>,
) -> Result<Plan, Failure> {
    let (newest, room) = newest_orders(platform, wanted.range).await?;
    let (orders, sample) = (newest.pagination, Sample::of(newest, wanted.range));
    drop(room);
    let rest = async {
        tokio::try_join!(
            overlap(platform, &sample),
            detail_case(platform, &sample),
            recently_updated(platform, wanted),
            first_page(platform, Resource::Products),
            first_page(platform, Resource::Categories),
        )
    };
    let customers = first_page(platform, Resource::Customers);
    let (rest, customers) = with_little_patience(clock, rest, customers).await?;
    let (overlap, detail_case, recent, products, categories) = rest;
    let requests_per_minute = platform
        .budget()
        .limit_per_minute
        .or(wanted.shop.plan.documented_requests_per_minute());
    Ok(Plan::from_probe(Probe {
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
        recently_updated: recent.ids,
        last_update: recent.last_update,
        recent_asked_at: recent.asked_at,
        ceiling: wanted.ceiling,
    }))
}

/// Both at once; what `late` gives is done without if it is not there soon after `prompt`.
async fn with_little_patience<P, L>(
    clock: &dyn Clock,
    prompt: impl Future<Output = Result<P, Failure>>,
    late: impl Future<Output = Result<L, Failure>>,
) -> Result<(P, Option<L>), Failure> {
    let (mut prompt, mut late) = (pin!(prompt), pin!(late));
    tokio::select! {
        prompt = &mut prompt => {
            let prompt = prompt?;
            let late = within(clock, PATIENCE_WITH_CUSTOMERS, late).await.transpose()?;
            Ok((prompt, late))
        }
        late = &mut late => {
            let late = late?;
            Ok((prompt.await?, Some(late)))
        }
    }
}

/// Where the list of what was updated last begins now, up to where the closing pass reads.
async fn recently_updated(
    platform: &dyn Platform,
    wanted: &ProbeRequest<'_>,
) -> Result<Head, Failure> {
    if wanted.max_orders.is_some() {
        return Ok(Head::default());
    }
    let days = wanted.range.widened(Overlap::EXCLUSIVE);
    let request = orders_request(days, Sort::UpdatedFirst, 1);
    let (page, _room) = beginning(platform, request).await?;
    Ok(Head::of(&page))
}

async fn newest_orders(platform: &dyn Platform, range: DayRange) -> Result<(Page, Room), Failure> {
    let days = range.widened(Overlap::EXCLUSIVE);
    beginning(platform, orders_request(days, Sort::NewestFirst, 1)).await
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
}

impl Sample {
    fn of(page: Page, range: DayRange) -> Self {
        let Records::Orders(orders) = page.records else {
            return Self {
                newest: None,
                clear_day: None,
            };
        };
        let mut orders = orders.into_iter().filter_map(|o| o.outcome.ok()).peekable();
        let newest = orders.peek().cloned();
        let clear_day = orders.find_map(|order| {
            let local = domain::instant::riyadh().to_datetime(order.created_at.instant);
            let is_clear = (4..=20).contains(&local.hour()) && range.contains(local.date());
            is_clear.then(|| order.created_at.riyadh_date())
        });
        Self { newest, clear_day }
    }
}

/// A day that holds an order, asked for alone, must not come back empty unless an
/// end of the filter is exclusive.
async fn overlap(platform: &dyn Platform, sample: &Sample) -> Result<Overlap, Failure> {
    let Some(day) = sample.clear_day else {
        return Ok(Overlap::EXCLUSIVE);
    };
    let only = DayRange { from: day, to: day };
    let request = orders_request(only, Sort::NewestFirst, 1);
    let (page, _room) = beginning(platform, request).await?;
    // The rows and not `total`, which may be off by a few.
    Ok(match page.records.is_empty() {
        true => Overlap::EXCLUSIVE,
        false => Overlap::INCLUSIVE,
    })
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
    let detail = platform.order_detail(order.id).await?;
    let completeness = detail
        .and_then(|answer| answer.record.outcome.ok())
        .map(|order| order.completeness());
    Ok(match completeness {
        Some(Completeness::Full) => DetailCase::Details,
        _ => DetailCase::DetailsAndItems,
    })
}

async fn first_page(platform: &dyn Platform, resource: Resource) -> Result<Pagination, Failure> {
    let (page, _room) = beginning(platform, PageRequest::first(resource, None)).await?;
    Ok(page.pagination)
}

fn page_size(pagination: Pagination) -> u32 {
    pagination.per_page.max(1)
}
