//! One connected shop at Salla, as the import sees it.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use domain::catalogue::{Category, Product};
use domain::customer::Customer;
use domain::failure::Failure;
use domain::order::{Order, OrderItem, OrderStatus, Version};
use domain::plan::MOST_PER_PAGE;
use domain::rejection::{Rejection, RejectionCode};
use domain::resource::Resource;
use domain::shop::{MerchantId, ShopInfo};
use domain::slice::Slice;
use domain::window::DayRange;
use jiff::SignedDuration;

use crate::admission::FetchPermit;

/// Salla's API for one shop.
///
/// Every call waits for the shop's request budget, refreshes tokens, and
/// retries what may pass within one budget per call; a `Failure` is final for that
/// call. Calls may run in parallel without bound: the adapter limits how many are in
/// flight. Dropping a call is safe, though Salla may have counted the request.
///
/// What a response takes of the memory stays in `permit` until that is dropped. A fetch that needs
/// several requests passes the same one to each of them.
#[async_trait]
pub trait Platform: Send + Sync {
    /// `GET /store/info`: also tells a token that is no longer accepted from a
    /// missing scope.
    async fn shop_info(&self) -> Result<ShopInfo, Failure>;

    /// One page of a list. The page may hold fewer or more rows than another one,
    /// repeat rows of another one, and miss rows that moved meanwhile; only a stable
    /// scan proves anything. A page past the end is an empty page. One that is longer than
    /// any answer that is read is [`Failure::TooLarge`]: then fewer rows may be asked for.
    async fn list_page(
        &self,
        request: &PageRequest,
        permit: &mut FetchPermit,
    ) -> Result<Page, Failure>;

    /// `GET /orders/{id}`. `None`: Salla no longer has the order (404). An order that is
    /// longer than any answer that is read is rejected, and so is one that Salla does not serve
    /// while it serves other things: only an outage is a failure.
    async fn order_detail(
        &self,
        order_id: i64,
        permit: &mut FetchPermit,
    ) -> Result<Option<VersionedRecord<Order>>, Failure>;

    /// `GET /orders/items`. `None`: Salla no longer has the order (404). One bad item
    /// rejects the whole list, because an order with a missing line is wrong. Items that Salla
    /// does not serve are rejected as an order is.
    async fn order_items(
        &self,
        order_id: i64,
        permit: &mut FetchPermit,
    ) -> Result<Option<VersionedRecord<Vec<OrderItem>>>, Failure>;

    /// `GET /customers/{id}` or `GET /products/{id}`: the one record, as a row of its list,
    /// rejected as an order is. `None`: Salla no longer has it (404). Other resources have no
    /// such request.
    async fn record(
        &self,
        resource: Resource,
        id: i64,
        permit: &mut FetchPermit,
    ) -> Result<Option<(Records, Version)>, Failure>;

    /// What the answers so far have taught about the budget.
    fn budget(&self) -> BudgetStatus;

    /// Salla's clock minus this process's: the least that the responses so far allow,
    /// `None` where none has said what time it is.
    fn clock_offset(&self) -> Option<SignedDuration>;
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRequest {
    pub resource: Resource,
    /// Creation days to filter by, both ends as sent; of orders, and of customers whose
    /// slice says what their dates mean.
    pub days: Option<DayRange>,
    /// The part of the list that is asked for; of products and customers.
    pub slice: Option<Slice>,
    /// From 1.
    pub page: u32,
    /// The number of rows asked for; Salla may give fewer.
    pub per_page: u32,
    pub sort: Sort,
    /// Ask for whole orders; harmless where Salla ignores it.
    pub expanded: bool,
}

impl PageRequest {
    /// The first page as header rows: for who only wants to know the count.
    pub fn first(resource: Resource, days: Option<DayRange>) -> Self {
        Self {
            resource,
            days,
            slice: None,
            page: 1,
            per_page: MOST_PER_PAGE,
            sort: Sort::OldestFirst,
            expanded: false,
        }
    }
}

/// Orders only; other lists cannot be sorted (docs/salla-api.md#customers and #products).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// `created_at-asc`: new arrivals append instead of shifting what is unread.
    OldestFirst,
    /// `created_at-desc`: for the newest few.
    NewestFirst,
    /// `updated_at-desc`: for what changed since a run began. Only whole orders tell when
    /// they were updated (docs/salla-api.md#list-of-orders).
    UpdatedFirst,
}

#[derive(Clone, Debug)]
pub struct Page {
    pub records: Records,
    pub pagination: Pagination,
    /// When the request was sent: the version of every record on it.
    pub version: Version,
}

/// What Salla's `pagination` says. Pages are counted by this, never by what was
/// asked for: Salla clamps page sizes silently (docs/salla-api.md#pagination).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pagination {
    pub count: u32,
    pub total: u64,
    pub per_page: u32,
    pub current_page: u32,
    pub total_pages: u32,
}

#[derive(Clone, Debug)]
pub enum Records {
    Orders(Vec<Decoded<Order>>),
    Customers(Vec<Decoded<Customer>>),
    Products(Vec<Decoded<Product>>),
    Categories(Vec<Decoded<Category>>),
    OrderStatuses(Vec<Decoded<OrderStatus>>),
}

/// The same for the records of each kind.
macro_rules! of_any_kind {
    ($records:expr, $list:ident => $result:expr) => {
        match $records {
            Records::Orders($list) => $result,
            Records::Customers($list) => $result,
            Records::Products($list) => $result,
            Records::Categories($list) => $result,
            Records::OrderStatuses($list) => $result,
        }
    };
}

impl Records {
    pub fn len(&self) -> usize {
        of_any_kind!(self, list => list.len())
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The ids in the order of the list; records without a readable id are not among
    /// them.
    pub fn ids(&self) -> Vec<i64> {
        of_any_kind!(self, list => ids_of(list, |record| record.id))
    }

    /// Why records on the page were not understood.
    pub fn rejections(&self) -> Vec<RejectionCode> {
        of_any_kind!(self, list => list.iter().filter_map(Decoded::rejection).collect())
    }

    /// Why the first one was not understood.
    pub fn first_rejection(&self) -> Option<&Rejection> {
        of_any_kind!(self, list => list.first()?.outcome.as_ref().err())
    }

    /// Keeps only the first ones.
    pub fn truncate(&mut self, keep: usize) {
        of_any_kind!(self, list => list.truncate(keep));
    }

    pub fn resource(&self) -> Resource {
        match self {
            Self::Orders(_) => Resource::Orders,
            Self::Customers(_) => Resource::Customers,
            Self::Products(_) => Resource::Products,
            Self::Categories(_) => Resource::Categories,
            Self::OrderStatuses(_) => Resource::OrderStatuses,
        }
    }
}

fn ids_of<T>(records: &[Decoded<T>], id: fn(&T) -> i64) -> Vec<i64> {
    let id_of = |record: &Decoded<T>| match &record.outcome {
        Ok(record) => Some(id(record)),
        Err(rejection) => rejection.salla_id,
    };
    records.iter().filter_map(id_of).collect()
}

/// One record: its raw JSON as received, and what it means or why it has no
/// meaning.
#[derive(Clone, Debug)]
pub struct Decoded<T> {
    pub raw: Box<str>,
    pub outcome: Result<T, Rejection>,
}

impl<T> Decoded<T> {
    /// Why it was not understood.
    pub fn rejection(&self) -> Option<RejectionCode> {
        self.outcome.as_ref().err().map(|rejection| rejection.code)
    }
}

/// The answer to a request for one record.
#[derive(Clone, Debug)]
pub struct VersionedRecord<T> {
    pub record: Decoded<T>,
    pub version: Version,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BudgetStatus {
    /// `X-RateLimit-Limit` of the shop's budget, once an answer has carried it.
    pub limit_per_minute: Option<u32>,
    pub requests: u64,
    pub throttled: u64,
    pub retries: u64,
    pub token_refreshes: u64,
    /// How long from now on everything is held, because Salla asked to wait.
    pub cooldown: std::time::Duration,
    /// How long another process that takes the shop over now has to wait before its first
    /// request, which it sends knowing nothing of the budget.
    pub wait_of_successor: std::time::Duration,
    /// A request waits for its turn in the budget for customers, which many shops share.
    pub customers_waiting: bool,
}

/// A shop that has answered with the tokens that are stored for it.
#[derive(Clone)]
pub struct OpenShop {
    pub platform: Arc<dyn Platform>,
    pub shop: ShopInfo,
}

impl fmt::Debug for OpenShop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenShop")
            .field("salla_id", &self.shop.salla_id)
            .finish_non_exhaustive()
    }
}

#[async_trait]
pub trait Shops: Send + Sync {
    /// Asks the shop who it is. Tokens that open another shop than the merchant's are parked
    /// as [`domain::failure::Disconnection::OtherShop`] before anything is written. Without stored tokens this fails with
    /// [`domain::failure::Disconnection::NotConnected`].
    async fn open(&self, merchant: MerchantId) -> Result<OpenShop, Failure>;
}
