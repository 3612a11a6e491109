//! What a run will cost before it is begun: windows, requests, and the floor, the
//! least time that Salla's budget allows for them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ceiling::Ceiling;
use crate::resource::Resource;
use crate::window::{DayRange, Overlap, QueryRange};

/// Records on a page of the largest size that Salla allows (docs/salla-api.md#pagination).
pub const MOST_PER_PAGE: u32 = 60;

/// The newest windows are short, so that the last thirty days are usable within a minute;
/// of the day before them the next window may list a part.
pub const NEWEST_WINDOW_DAYS: u32 = 31;

/// Customers, products and categories.
const LISTS_COUNTED: u64 = 3;

crate::names! {
    /// How a shop's orders get their line items; depends on the age of the app and is
    /// found out by a probe (ARCHITECTURE.md#what-sallas-api-forces-on-us).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum DetailCase {
        /// List rows are whole orders.
        Expanded = "expanded",
        /// One request per order returns amounts and items.
        Details = "details",
        /// Two requests per order: the light detail, then its items.
        DetailsAndItems = "details_and_items",
    }
}

impl DetailCase {
    /// Requests per order beyond the list.
    pub fn requests_per_order(self) -> u64 {
        match self {
            Self::Expanded => 0,
            Self::Details => 1,
            Self::DetailsAndItems => 2,
        }
    }

    pub fn reason(self) -> &'static str {
        match self {
            Self::Expanded => "lists give whole orders, so no further requests are needed",
            Self::Details => "lists lack line items: one more request per order",
            Self::DetailsAndItems => {
                "lists and details lack line items: two more requests per order"
            }
        }
    }
}

/// Salla's budget for one shop (docs.salla.dev/421125m0).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Budget {
    /// `None`: no limit is known or enforced.
    pub requests_per_minute: Option<u32>,
    /// Share of the budget that this import may use, in (0, 1].
    pub share: f64,
}

/// `GET /customers`: 500 requests per 10 minutes, per IP address (docs/salla-api.md#rate-limits).
pub const CUSTOMERS_PER_WINDOW: u64 = 500;
pub const CUSTOMERS_WINDOW_SECONDS: u64 = 600;

impl Budget {
    /// Requests that one minute allows: the plan's number, then one a second until
    /// the minute resets. The extra second-by-second requests are left alone when
    /// only a share of the budget is ours, because the shop's other software needs
    /// them.
    pub fn per_minute(&self) -> Option<u64> {
        let limit = u64::from(self.requests_per_minute?);
        Some(if self.share >= 1.0 {
            limit + 59
        } else {
            self.burst().unwrap_or(1)
        })
    }

    /// Requests that may be sent together at the start of a minute.
    pub fn burst(&self) -> Option<u64> {
        let limit = self.requests_per_minute?;
        Some(((f64::from(limit) * self.share.clamp(0.01, 1.0)).floor() as u64).max(1))
    }

    /// The least number of seconds in which `requests` can be made: a burst at the
    /// start of each minute, then one request a second.
    pub fn floor_seconds(&self, requests: u64) -> u64 {
        let (Some(per_minute), Some(burst)) = (self.per_minute(), self.burst()) else {
            return 0;
        };
        if requests == 0 {
            return 0;
        }
        let whole_minutes = (requests - 1) / per_minute;
        let rest = requests - whole_minutes * per_minute;
        whole_minutes * 60 + rest.saturating_sub(burst)
    }
}

/// The least number of seconds that `requests` to `/customers` take.
pub fn customers_floor_seconds(requests: u64) -> u64 {
    requests.saturating_sub(1) / CUSTOMERS_PER_WINDOW * CUSTOMERS_WINDOW_SECONDS
}

/// Requests needed to scan `rows` rows at `per_page`; an empty list still costs one.
pub fn pages(rows: u64, per_page: u32) -> u64 {
    rows.div_ceil(u64::from(per_page.max(1))).max(1)
}

/// Requests until a list has certainly ended: a full last page says nothing of what comes
/// after it.
fn pages_to_the_end(rows: u64, per_page: u32) -> u64 {
    let is_full = rows > 0 && rows.is_multiple_of(u64::from(per_page.max(1)));
    pages(rows, per_page) + u64::from(is_full)
}

/// What planning found out about a shop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlanInputs {
    pub range: DayRange,
    pub detail_case: DetailCase,
    pub orders: u64,
    pub orders_per_page: u32,
    /// `None`: not counted, because their budget was used up. The first page of their list has the
    /// number.
    pub customers: Option<u64>,
    pub customers_per_page: u32,
    pub products: u64,
    pub products_per_page: u32,
    pub categories: u64,
    pub overlap: Overlap,
    pub budget: Budget,
    /// For a first test (`--max-orders`): the number of rows of each list, orders newest first.
    pub max_orders: Option<u64>,
    /// No order of the last day is among those that were updated last.
    #[serde(default)]
    pub is_quiet: bool,
    /// Requests that this took and that no scan can use.
    #[serde(default)]
    pub requests: u64,
    /// The orders that were updated last when the run began, newest first: whatever
    /// stands before them at its end has been updated since.
    #[serde(default)]
    pub recently_updated: Vec<i64>,
    /// The latest time at which one of these was updated, if rows have it.
    #[serde(default)]
    pub last_update: Option<Timestamp>,
    /// When these were requested. Plans of earlier versions do not say.
    #[serde(default)]
    pub recent_asked_at: Option<Timestamp>,
    /// Where earlier imports have found that lists of this shop stop.
    #[serde(default)]
    pub ceiling: Ceiling,
}

/// Which windows a plan begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Newest {
    /// Today, then the rest of the month.
    Today,
    /// Hardly an order arrives during an import, and a window for today would be a page with
    /// little or nothing on it.
    Month,
}

impl Newest {
    /// Fewer orders a day are few.
    const MIN_ORDERS_A_DAY: u64 = 5;

    /// `is_quiet`: there are none of the last day, as far as a page shows.
    pub fn of(is_quiet: bool, orders: u64, range: DayRange) -> Self {
        let are_few = orders < Self::MIN_ORDERS_A_DAY * u64::from(range.days());
        match is_quiet && are_few {
            true => Self::Month,
            false => Self::Today,
        }
    }
}

impl PlanInputs {
    fn newest_windows(&self) -> Newest {
        Newest::of(self.is_quiet, self.orders, self.range)
    }

    /// A first try is one, and so are orders that one page shows.
    pub fn is_one_window(&self) -> bool {
        self.max_orders.is_some() || self.orders <= u64::from(self.orders_per_page)
    }

    pub fn reach(&self) -> QueryRange {
        QueryRange {
            range: self.range,
            overlap: self.overlap,
        }
    }
}

/// Windows, requests and floor of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub probe: PlanInputs,
    /// Newest first.
    pub windows: Vec<DayRange>,
    pub order_pages: u64,
    pub detail_requests: u64,
    /// 0 until the customers are counted.
    pub customer_pages: u64,
    pub product_pages: u64,
    pub other_requests: u64,
    /// What it takes to prove at the end that nothing slipped past the reader.
    #[serde(default)]
    pub closing_requests: u64,
}

impl Plan {
    pub fn new(probe: PlanInputs) -> Self {
        let days = u64::from(probe.range.days());
        // Sized by the average density of the whole range, with room for a season that is half as
        // busy again; a window with even more is split when its first page shows it, which costs a
        // request that no plan has counted.
        let rows_per_window = (probe.ceiling.rows() * 7 / 10).max(1);
        let window_days = (rows_per_window * days)
            .checked_div(probe.orders)
            .unwrap_or(days)
            .clamp(1, days);
        let window_days = u32::try_from(window_days).unwrap_or(u32::MAX);
        let windows = if probe.is_one_window() {
            vec![probe.range]
        } else {
            let newest = probe.newest_windows();
            windows(&probe.range, newest, window_days)
        };
        let limited = |rows: u64| probe.max_orders.map_or(rows, |most| most.min(rows));
        let orders = limited(probe.orders);
        let reach = probe.reach();
        let asked_days: u64 = windows.iter().map(|w| u64::from(reach.of(*w).days())).sum();
        let overlap_days = asked_days.saturating_sub(days);
        let overlap_rows = if probe.is_one_window() {
            0
        } else {
            probe.orders * overlap_days / days.max(1)
        };
        let of_windows = windows.len() as u64;
        let half_full = of_windows.saturating_sub(1) / 2;
        let order_pages = pages(orders + overlap_rows, probe.orders_per_page) + half_full;
        let order_pages = order_pages.max(of_windows);
        Self {
            order_pages,
            detail_requests: orders * probe.detail_case.requests_per_order(),
            customer_pages: probe
                .customers
                .map_or(0, |rows| scan(&probe, rows, probe.customers_per_page)),
            product_pages: scan(&probe, probe.products, probe.products_per_page),
            other_requests: 1 + scan(&probe, probe.categories, MOST_PER_PAGE),
            closing_requests: Resource::ALL
                .into_iter()
                .map(|resource| closing_requests(&probe, resource))
                .sum(),
            windows,
            probe,
        }
    }

    /// The same for a run that reads just one resource.
    pub fn only(self, resource: Resource) -> Self {
        let of = |kind: Resource, requests: u64| if kind == resource { requests } else { 0 };
        Self {
            order_pages: of(Resource::Orders, self.order_pages),
            detail_requests: of(Resource::Orders, self.detail_requests),
            closing_requests: closing_requests(&self.probe, resource),
            customer_pages: of(Resource::Customers, self.customer_pages),
            product_pages: of(Resource::Products, self.product_pages),
            other_requests: match resource {
                Resource::Categories => self.other_requests - 1,
                Resource::OrderStatuses => 1,
                _ => 0,
            },
            windows: match resource {
                Resource::Orders => self.windows,
                _ => vec![],
            },
            probe: PlanInputs {
                // Planning has counted the other lists as well.
                requests: self.probe.requests + LISTS_COUNTED,
                ..self.probe
            },
        }
    }

    /// All requests of an import, from the first one on.
    pub fn requests(&self) -> u64 {
        self.probe.requests
            + self.order_pages
            + self.detail_requests
            + self.customer_pages
            + self.product_pages
            + self.other_requests
            + self.closing_requests
    }

    /// The requests without which the shop cannot be read: one scan of each list, and the details.
    pub fn necessary_requests(&self) -> u64 {
        let probe = &self.probe;
        let list = |rows: u64, per_page| {
            pages(
                probe.max_orders.map_or(rows, |most| most.min(rows)),
                per_page,
            )
        };
        let statuses = 1;
        list(probe.orders, probe.orders_per_page)
            + self.detail_requests
            + probe
                .customers
                .map_or(0, |rows| list(rows, probe.customers_per_page))
            + list(probe.products, probe.products_per_page)
            + list(probe.categories, MOST_PER_PAGE)
            + statuses
    }

    /// How many pages one window will take, as far as planning can see.
    pub fn expected_pages(&self, resource: Resource, days: Option<DayRange>) -> u64 {
        match resource {
            Resource::Orders => {
                let share = days.map_or(1, |d| u64::from(d.days()));
                let rows = self.probe.orders * share / u64::from(self.probe.range.days()).max(1);
                pages(rows, self.probe.orders_per_page)
            }
            Resource::Customers => self.customer_pages.max(1),
            Resource::Products => self.product_pages,
            Resource::Categories => self.other_requests.saturating_sub(1).max(1),
            Resource::OrderStatuses => 1,
        }
    }

    /// The least time that Salla's limits allow for this plan, without customers who were
    /// not counted.
    pub fn floor_seconds(&self) -> u64 {
        self.probe
            .budget
            .floor_seconds(self.requests())
            .max(customers_floor_seconds(self.customer_pages))
    }
}

/// One scan of a list, as far as it is wanted.
fn scan(probe: &PlanInputs, rows: u64, per_page: u32) -> u64 {
    match probe.max_orders {
        Some(most) => pages(most.min(rows), per_page),
        None => pages_to_the_end(rows, per_page),
    }
}

/// What was updated last, which also counts the orders; and the ends of the lists that are
/// read whole (see [`crate::certificate::Listing::proof`]). A list that one page shows has
/// one end, and so has that of the customers, whose newest come first.
fn closing_requests(probe: &PlanInputs, resource: Resource) -> u64 {
    let ends = |rows: u64, per_page: u32| pages(rows, per_page).min(2);
    match resource {
        _ if probe.max_orders.is_some() => 0,
        Resource::Orders => 1,
        Resource::Customers => u64::from(probe.customers.is_some()),
        Resource::Products => ends(probe.products, probe.products_per_page),
        Resource::Categories => ends(probe.categories, MOST_PER_PAGE),
        Resource::OrderStatuses => 0,
    }
}

/// Today is a separate window if orders still arrive in it: a short scan soon finds a quiet moment,
/// and the other windows do not change. The rest of the newest month comes next.
fn windows(range: &DayRange, newest: Newest, days: u32) -> Vec<DayRange> {
    if newest == Newest::Month {
        return range.windows_newest_first(NEWEST_WINDOW_DAYS, days);
    }
    let today = DayRange {
        from: range.to,
        to: range.to,
    };
    let mut windows = vec![today];
    if let Ok(yesterday) = range.to.yesterday()
        && let Some(before) = DayRange::new(range.from, yesterday)
    {
        windows.extend(before.windows_newest_first(NEWEST_WINDOW_DAYS - 1, days));
    }
    windows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(requests_per_minute: u32, share: f64) -> Budget {
        Budget {
            requests_per_minute: Some(requests_per_minute),
            share,
        }
    }

    #[test]
    fn the_floor_counts_the_burst_and_the_request_a_second_after_it() {
        let table = [
            (120, 1.0, 0, 0),
            (120, 1.0, 1, 0),
            (120, 1.0, 120, 0),
            (120, 1.0, 121, 1),
            (120, 1.0, 179, 59),
            (120, 1.0, 180, 60),
            (120, 1.0, 320, 81),
            (360, 1.0, 834, 60 + 834 - 419 - 360),
            (120, 0.5, 60, 0),
            (120, 0.5, 61, 60),
            (120, 0.5, 121, 120),
        ];
        for (limit, share, requests, seconds) in table {
            assert_eq!(
                budget(limit, share).floor_seconds(requests),
                seconds,
                "{requests} requests at {limit}/min, share {share}"
            );
        }
    }

    #[test]
    fn without_a_limit_there_is_no_floor() {
        let unlimited = Budget {
            requests_per_minute: None,
            share: 1.0,
        };
        assert_eq!(unlimited.floor_seconds(1_000_000), 0);
    }

    #[test]
    fn customers_have_ten_minutes_of_their_own() {
        for (requests, seconds) in [(0, 0), (500, 0), (501, 600), (1_001, 1_200)] {
            assert_eq!(customers_floor_seconds(requests), seconds, "{requests}");
        }
    }

    fn probe(orders: u64, case: DetailCase) -> PlanInputs {
        PlanInputs {
            range: DayRange::last_months("2025-06-15".parse().unwrap(), 12),
            detail_case: case,
            orders,
            orders_per_page: 60,
            customers: Some(0),
            customers_per_page: 60,
            products: 0,
            products_per_page: 60,
            categories: 0,
            overlap: Overlap::INCLUSIVE,
            budget: budget(120, 1.0),
            max_orders: None,
            is_quiet: false,
            requests: 0,
            recently_updated: vec![],
            last_update: None,
            recent_asked_at: None,
            ceiling: Ceiling::UNKNOWN,
        }
    }

    #[test]
    fn fifty_thousand_orders_cost_what_the_design_says() {
        let expanded = Plan::new(probe(50_000, DetailCase::Expanded));
        assert!(
            (834..=870).contains(&expanded.order_pages),
            "{}",
            expanded.order_pages
        );
        assert_eq!(expanded.detail_requests, 0);
        let details = Plan::new(probe(50_000, DetailCase::Details));
        assert_eq!(details.detail_requests, 50_000);
        let both = Plan::new(probe(50_000, DetailCase::DetailsAndItems));
        assert_eq!(both.detail_requests, 100_000);
    }

    #[test]
    fn an_empty_shop_still_has_a_plan() {
        let plan = Plan::new(probe(0, DetailCase::Details));
        assert_eq!(plan.windows.len(), 1);
        assert_eq!(plan.detail_requests, 0);
        assert!(plan.requests() >= 3);
    }

    #[test]
    fn customers_who_were_not_counted_are_no_part_of_the_plan() {
        let of = |customers: Option<u64>| {
            Plan::new(PlanInputs {
                customers,
                ..probe(1_000, DetailCase::Expanded)
            })
        };
        let (unknown, counted) = (of(None), of(Some(90_000)));
        assert_eq!(unknown.customer_pages, 0);
        // 1,500 full pages, one behind them, and one end.
        assert_eq!(counted.requests() - unknown.requests(), 1_502);
        assert!(unknown.floor_seconds() < 600 && counted.floor_seconds() >= 1_800);
        assert_eq!(unknown.expected_pages(Resource::Customers, None), 1);
    }

    /// As plans were stored before customers could be unknown.
    #[test]
    fn a_plan_with_a_bare_number_of_customers_is_read() {
        let plan = Plan::new(probe(10, DetailCase::Expanded));
        let mut stored = serde_json::to_value(&plan).unwrap();
        assert_eq!(stored["probe"]["customers"], 0);
        stored["probe"]["customers"] = 7.into();
        let read: Plan = serde_json::from_value(stored).unwrap();
        assert_eq!(read.probe.customers, Some(7));
    }

    #[test]
    fn no_planned_window_expects_more_rows_than_the_ceiling() {
        for (orders, ceiling) in [
            (1_000, Ceiling::UNKNOWN),
            (50_000, Ceiling::UNKNOWN),
            (3_000_000, Ceiling::UNKNOWN),
            (2_212, Ceiling::of(1_000)),
            (30_000, Ceiling::of(500)),
        ] {
            let mut probe = probe(orders, DetailCase::Expanded);
            probe.ceiling = ceiling;
            let plan = Plan::new(probe);
            let days = u64::from(plan.probe.range.days());
            for window in &plan.windows {
                let expected = orders * u64::from(window.days()) / days;
                assert!(expected <= ceiling.rows(), "{orders}: {window}");
            }
        }
    }
}
