//! A shop as a list of orders that a test may change between two pages.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use domain::failure::Failure;
use domain::instant::{DateReading, SallaInstant, riyadh_midnight};
use domain::order::{Order, OrderAmounts, OrderItem, Version};
use domain::rejection::{Rejection, RejectionCode};
use domain::resource::Resource;
use domain::shop::{ShopInfo, ShopPlan};
use importer::admission::FetchPermit;
use importer::ports::clock::{Clock as _, SystemClock};
use importer::ports::platform::{
    BudgetStatus, Decoded, Page, PageRequest, Pagination, Platform, Records, Sort, VersionedRecord,
};
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;

use crate::catalogue::{self, Catalogue};

pub(crate) const PER_PAGE: usize = 10;

pub(crate) fn per_page(resource: Resource) -> usize {
    match resource {
        Resource::Orders => PER_PAGE,
        _ => catalogue::PER_PAGE,
    }
}

/// What the list gives of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OrderShape {
    Full,
    Header,
    Broken,
}

#[derive(Clone, Debug)]
pub(crate) struct ListedOrder {
    pub(crate) id: i64,
    pub(crate) created_at: Timestamp,
    /// Counts the updates of the shop; 0: not since the test began.
    pub(crate) updated_at: u64,
    /// What is in it.
    pub(crate) revision: u32,
    pub(crate) shape: OrderShape,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Beyond {
    #[default]
    Empty,
    Refused,
    RepeatsLast,
    RepeatsFirst,
}

/// What the list says that is not so.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ListFaults {
    /// Added to `total` where there are rows at all.
    pub(crate) total_off: i64,
    /// A page behind the end is the last page again.
    pub(crate) repeats_last_page: bool,
    /// Rows beyond are not listed.
    pub(crate) ceiling: Option<usize>,
    /// What a page beyond the ceiling is like.
    pub(crate) beyond: Beyond,
    /// `total` does not count them either.
    pub(crate) ceiling_hides_the_rest: bool,
}

/// Whether a page is of the kind.
type Kind = fn(&PageRequest) -> bool;

/// A change of the shop just before the n-th request is answered.
type Change = Box<dyn FnOnce(&ScriptedPlatform) + Send>;

#[derive(Default)]
pub(crate) struct ScriptedPlatform {
    pub(crate) orders: Mutex<Vec<ListedOrder>>,
    /// Details that carry no items, so that they must be fetched apart.
    pub(crate) light_details: bool,
    /// Rows say when they were updated, in seconds.
    pub(crate) says_when: bool,
    /// Only details do, and only they show what is in an order.
    pub(crate) details_say_when: bool,
    pub(crate) faults: ListFaults,
    pub(crate) catalogue: Mutex<Catalogue>,
    /// Orders whose detail is a 404.
    pub(crate) gone: Vec<i64>,
    /// Orders whose detail is a 404 the first time.
    pub(crate) slips: Mutex<Vec<i64>>,
    /// Orders whose detail Salla never serves.
    pub(crate) unserved: Vec<i64>,
    /// Orders that have a subtotal and, as Salla says of late, no items.
    pub(crate) emptied: Vec<i64>,
    /// Orders whose items are a 404, though they are there.
    pub(crate) without_items: Vec<i64>,
    pub(crate) changes: Mutex<VecDeque<(u64, Change)>>,
    /// Changes just before a page of a kind is answered, and how many of that kind are to
    /// come first.
    pub(crate) changes_before: Mutex<Vec<(Kind, u32, Change)>>,
    /// Pages that come without rows the first time.
    pub(crate) blank_once: Mutex<Vec<Kind>>,
    /// The request that fails for good, if any.
    pub(crate) fails_at: Mutex<Option<(u64, Failure)>>,
    /// How long each request for customers waits for its budget.
    pub(crate) customers_wait: Duration,
    /// From this request on nothing is answered any more.
    pub(crate) hangs_from: Option<u64>,
    /// Responses to the first kind of page come once one of the second was asked for.
    pub(crate) answers_wait: Option<[Kind; 2]>,
    pub(crate) pages: watch::Sender<Vec<PageRequest>>,
    pub(crate) requests: AtomicU64,
    pub(crate) log: Mutex<Vec<String>>,
}

impl ScriptedPlatform {
    /// `per_day` orders on each of `days` days up to `last`.
    pub(crate) fn with_orders(last: Date, days: i64, per_day: i64, shape: OrderShape) -> Self {
        let midnight = riyadh_midnight(last);
        let orders = (0..days * per_day).map(|n| ListedOrder {
            // Ids do not follow time.
            id: (n * 7_919) % 1_000_003 + 1,
            created_at: midnight - SignedDuration::from_hours(24 * (n / per_day))
                + SignedDuration::from_secs(10 * 3_600 + n % per_day),
            updated_at: 0,
            revision: 0,
            shape,
        });
        Self {
            orders: Mutex::new(orders.collect()),
            ..Self::default()
        }
    }

    pub(crate) fn change_at(
        &self,
        request: u64,
        change: impl FnOnce(&mut Vec<ListedOrder>) + Send + 'static,
    ) {
        self.at(request, move |shop| {
            change(&mut shop.orders.lock().unwrap())
        });
    }

    pub(crate) fn change_catalogue_at(
        &self,
        request: u64,
        change: impl FnOnce(&mut Catalogue) + Send + 'static,
    ) {
        self.at(request, move |shop| {
            change(&mut shop.catalogue.lock().unwrap());
        });
    }

    /// Of orders, just before the n-th page of a kind is answered.
    pub(crate) fn change_before(
        &self,
        nth: u32,
        kind: Kind,
        change: impl FnOnce(&mut Vec<ListedOrder>) + Send + 'static,
    ) {
        let change = move |shop: &Self| change(&mut shop.orders.lock().unwrap());
        let mut changes = self.changes_before.lock().unwrap();
        changes.push((kind, nth - 1, Box::new(change)));
    }

    fn at(&self, request: u64, change: impl FnOnce(&Self) + Send + 'static) {
        let mut changes = self.changes.lock().unwrap();
        changes.push_back((request, Box::new(change)));
    }

    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::SeqCst)
    }

    async fn request(&self, what: String) -> Result<(), Failure> {
        let number = self.requests.fetch_add(1, Ordering::SeqCst) + 1;
        self.log.lock().unwrap().push(what);
        if self.hangs_from.is_some_and(|from| number >= from) {
            std::future::pending::<()>().await;
        }
        let failure = self
            .fails_at
            .lock()
            .unwrap()
            .take_if(|(at, _)| *at <= number);
        if let Some((_, failure)) = failure {
            return Err(failure);
        }
        let mut changes = self.changes.lock().unwrap();
        while changes.front().is_some_and(|(at, _)| *at <= number) {
            let (_, change) = changes.pop_front().unwrap();
            change(self);
        }
        Ok(())
    }

    fn claimed(&self, total: usize) -> usize {
        match total {
            0 => 0,
            total => total.saturating_add_signed(self.faults.total_off as isize),
        }
    }

    fn listed(&self, request: &PageRequest) -> Vec<ListedOrder> {
        let days = request.days.expect("orders are listed by day");
        let from = riyadh_midnight(days.from);
        let to = riyadh_midnight(days.to.tomorrow().unwrap());
        let all = self.orders.lock().unwrap();
        let inside = |o: &&ListedOrder| from <= o.created_at && o.created_at < to;
        let mut orders: Vec<ListedOrder> = all.iter().filter(inside).cloned().collect();
        match request.sort {
            Sort::OldestFirst => orders.sort_by_key(|o| o.created_at),
            Sort::NewestFirst => orders.sort_by_key(|o| Reverse(o.created_at)),
            Sort::UpdatedFirst => orders.sort_by_key(|o| Reverse((o.updated_at, o.created_at))),
        }
        orders
    }
}

pub(crate) fn shop_info() -> ShopInfo {
    ShopInfo {
        salla_id: 7,
        name: "متجر".into(),
        plan: ShopPlan::Plus,
        kind: None,
        status: None,
        currency: None,
        domain: None,
    }
}

/// The moment of an update or a request: a second after the one before.
pub(crate) fn moment(number: u64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(number as i64)
}

fn instant(instant: Timestamp) -> SallaInstant {
    SallaInstant {
        instant,
        raw: String::new(),
        reading: DateReading::Riyadh,
    }
}

fn order(listed: &ListedOrder, amounts: bool, items: bool) -> Decoded<Order> {
    if listed.shape == OrderShape::Broken {
        return Decoded {
            raw: "{}".into(),
            outcome: Err(Rejection {
                code: RejectionCode::InvalidDate,
                path: "$.date".into(),
                message: "the date cannot be read".into(),
                salla_id: Some(listed.id),
            }),
        };
    }
    let item = OrderItem {
        id: 1,
        product_id: None,
        sku: None,
        name: "قميص".into(),
        quantity: 1.into(),
        unit_price: None,
        discount: None,
        tax_percent: None,
        tax: None,
        total: None,
        currency: None,
    };
    Decoded {
        raw: format!(
            "{{\"revision\":{},\"updates\":{}}}",
            listed.revision, listed.updated_at
        )
        .into(),
        outcome: Ok(Order {
            id: listed.id,
            reference_id: None,
            created_at: instant(listed.created_at),
            updated_at: None,
            status: None,
            payment_method: None,
            source: None,
            currency: None,
            total: None,
            exchange_rate: None,
            amounts: amounts.then(OrderAmounts::default),
            customer: None,
            items: items.then(|| vec![item]),
        }),
    }
}

fn unserved(order_id: i64) -> Decoded<Order> {
    Decoded {
        raw: "".into(),
        outcome: Err(Rejection {
            code: RejectionCode::NotServed,
            path: "$".into(),
            message: "Salla does not serve it".into(),
            salla_id: Some(order_id),
        }),
    }
}

#[async_trait]
impl Platform for ScriptedPlatform {
    async fn shop_info(&self) -> Result<ShopInfo, Failure> {
        Ok(shop_info())
    }

    async fn list_page(&self, request: &PageRequest, _: &mut FetchPermit) -> Result<Page, Failure> {
        let slice = request.slice.map(|slice| format!("{slice} "));
        let list = format!("{} {}", request.resource, slice.unwrap_or_default());
        self.request(format!("{list}page {}", request.page)).await?;
        let due: Vec<_> = {
            let mut changes = self.changes_before.lock().unwrap();
            let is_due = |(kind, before, _): &mut (Kind, u32, Change)| {
                let is_one = kind(request);
                is_one && before.checked_sub(1).map(|left| *before = left).is_none()
            };
            changes.extract_if(.., is_due).collect()
        };
        for (_, _, change) in due {
            change(self);
        }
        self.pages.send_modify(|pages| pages.push(request.clone()));
        if let Some([waits, is_awaited]) = self.answers_wait
            && waits(request)
        {
            let mut pages = self.pages.subscribe();
            let asked = pages.wait_for(|pages| pages.iter().any(is_awaited));
            asked.await.unwrap();
        }
        if request.resource == Resource::Customers {
            SystemClock::real().sleep(self.customers_wait).await;
        }
        let (records, total) = match request.resource {
            Resource::Orders => {
                let mut listed = self.listed(request);
                let mut total = listed.len();
                if let Some(ceiling) = self.faults.ceiling {
                    listed.truncate(ceiling);
                    if self.faults.ceiling_hides_the_rest {
                        total = listed.len();
                    }
                }
                let last = listed.len().div_ceil(PER_PAGE).max(1);
                let is_beyond = self.faults.ceiling.is_some() && request.page as usize > last;
                let page = match request.page as usize {
                    page if self.faults.repeats_last_page => page.min(last),
                    page if !is_beyond => page,
                    page => match self.faults.beyond {
                        Beyond::Empty => page,
                        Beyond::RepeatsLast => last,
                        Beyond::RepeatsFirst => 1,
                        Beyond::Refused => {
                            return Err(Failure::Broken {
                                message: "422".into(),
                            });
                        }
                    },
                };
                let start = ((page - 1) * PER_PAGE).min(listed.len());
                let end = (start + PER_PAGE).min(listed.len());
                let rows = listed[start..end].iter().map(|o| {
                    let full = o.shape == OrderShape::Full;
                    let mut row = order(o, full, full);
                    if let (true, Ok(order)) = (self.says_when, &mut row.outcome) {
                        order.updated_at = Some(instant(moment(o.updated_at)));
                    }
                    if self.details_say_when {
                        row.raw = "{}".into();
                    }
                    row
                });
                (Records::Orders(rows.collect()), self.claimed(total))
            }
            Resource::Customers | Resource::Products | Resource::Categories => {
                self.catalogue.lock().unwrap().page(request)?
            }
            Resource::OrderStatuses => (Records::OrderStatuses(vec![]), 0),
        };
        let mut blank = self.blank_once.lock().unwrap();
        let is_blank = blank.extract_if(.., |kind| kind(request)).count() > 0;
        let records = match (is_blank, records) {
            (true, Records::Orders(_)) => Records::Orders(vec![]),
            (true, Records::Customers(_)) => Records::Customers(vec![]),
            (true, Records::Products(_)) => Records::Products(vec![]),
            (_, records) => records,
        };
        let per_page = per_page(request.resource);
        Ok(Page {
            pagination: Pagination {
                count: records.len() as u32,
                total: total as u64,
                per_page: per_page as u32,
                current_page: request.page,
                total_pages: total.div_ceil(per_page) as u32,
            },
            records,
            version: moment(self.requests()),
        })
    }

    async fn order_detail(
        &self,
        order_id: i64,
        _: &mut FetchPermit,
    ) -> Result<Option<VersionedRecord<Order>>, Failure> {
        self.request(format!("order {order_id}")).await?;
        let mut slips = self.slips.lock().unwrap();
        let slipped = slips.extract_if(.., |id| *id == order_id).count() > 0;
        if slipped || self.gone.contains(&order_id) {
            return Ok(None);
        }
        if self.unserved.contains(&order_id) {
            return Ok(Some(VersionedRecord {
                record: unserved(order_id),
                version: Timestamp::UNIX_EPOCH,
            }));
        }
        let orders = self.orders.lock().unwrap();
        Ok(orders.iter().find(|o| o.id == order_id).map(|o| {
            let mut record = order(o, true, !self.light_details);
            if let (true, Ok(order)) = (self.emptied.contains(&order_id), &mut record.outcome) {
                let amounts = order.amounts.as_mut().unwrap();
                amounts.subtotal = Some(100.into());
            }
            if let (true, Ok(order)) = (self.details_say_when, &mut record.outcome) {
                order.updated_at = Some(instant(moment(o.updated_at)));
            }
            VersionedRecord {
                record,
                version: moment(self.requests()),
            }
        }))
    }

    async fn order_items(
        &self,
        order_id: i64,
        _: &mut FetchPermit,
    ) -> Result<Option<VersionedRecord<Vec<OrderItem>>>, Failure> {
        self.request(format!("items of {order_id}")).await?;
        if self.without_items.contains(&order_id) {
            return Ok(None);
        }
        Ok(Some(VersionedRecord {
            record: Decoded {
                raw: "[]".into(),
                outcome: Ok(vec![]),
            },
            version: Timestamp::UNIX_EPOCH,
        }))
    }

    async fn record(
        &self,
        resource: Resource,
        id: i64,
        _: &mut FetchPermit,
    ) -> Result<Option<(Records, Version)>, Failure> {
        panic!("no run fetches one of the {resource} by its id, {id}")
    }

    fn budget(&self) -> BudgetStatus {
        BudgetStatus {
            limit_per_minute: Some(120),
            ..BudgetStatus::default()
        }
    }

    fn clock_offset(&self) -> Option<SignedDuration> {
        None
    }
}
