//! Salla as the import's [`Platform`].

mod lookup;
mod requests;
mod single;

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use domain::failure::Failure;
use domain::order::{Order, OrderItem, Version};
use domain::resource::Resource;
use domain::shop::{ShopInfo, ShopPlan};
use importer::admission::{FetchPermit, MemoryLimit};
use importer::ports::clock::Clock;
use importer::ports::platform::{
    BudgetStatus, Decoded, Page, PageRequest, Platform, Records, VersionedRecord,
};
use importer::ports::shared_budget::SharedBudget;
use jiff::SignedDuration;
use url::Url;

use crate::admission::{Admission, RateLimiter};
use crate::envelope::split_one;
use crate::pacing::PacerSettings;
use crate::request::{Requester, UsualSizes, store_info};
use crate::retry::RetryPolicy;
use crate::tokens::{TokenSource, TokensServed};
use crate::translate;

/// The budget of `/customers*`, which Salla counts by IP address (docs/salla-api.md#rate-limits).
pub fn customers_budget(clock: Arc<dyn Clock>, rng_seed: u64) -> Arc<RateLimiter> {
    Arc::new(unshared_customers_budget(clock, rng_seed))
}

/// The same for processes that share their address: what one of them may send, `shared`
/// says.
pub fn shared_customers_budget(
    shared: Arc<dyn SharedBudget>,
    clock: Arc<dyn Clock>,
    rng_seed: u64,
) -> Arc<RateLimiter> {
    Arc::new(unshared_customers_budget(clock, rng_seed).shared_with(shared))
}

fn unshared_customers_budget(clock: Arc<dyn Clock>, rng_seed: u64) -> RateLimiter {
    let rng = fastrand::Rng::with_seed(rng_seed);
    RateLimiter::new(PacerSettings::customers(), clock, rng).with_gauge("customers")
}

/// What a client is built from.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// `https://api.salla.dev/admin/v2`
    pub api_url: Url,
    pub http: reqwest::Client,
    pub clock: Arc<dyn Clock>,
    pub rng_seed: u64,
    pub tokens: TokenSource,
    /// Share of the shop's budget that is ours, in (0, 1].
    pub share: f64,
    /// What the shop's plan documents, if it is known yet.
    pub documented_limit: Option<u32>,
    /// Nothing is sent before this moment of the clock's monotonic time; see
    /// [`PacerSettings::not_before`](crate::pacing::PacerSettings::not_before).
    pub not_before: Option<Duration>,
    /// From [`customers_budget`](customers_budget); one for all shops served from this address.
    pub customers_budget: Arc<RateLimiter>,
    /// Maximum number of requests in flight, in 1..=96.
    pub concurrency: u32,
    /// One for all shops of a process.
    pub memory: MemoryLimit,
    pub timeout: Duration,
    pub retry: RetryPolicy,
    /// `salla-sync/<version>`
    pub user_agent: String,
}

impl ClientSettings {
    /// Whole budget, documented hosts and the usual time-outs.
    pub fn new(
        api_url: Url,
        http: reqwest::Client,
        clock: Arc<dyn Clock>,
        tokens: TokenSource,
        customers_budget: Arc<RateLimiter>,
    ) -> Self {
        Self {
            api_url,
            http,
            clock,
            rng_seed: 0,
            tokens,
            share: 1.0,
            documented_limit: None,
            not_before: None,
            customers_budget,
            concurrency: 96,
            memory: MemoryLimit::default(),
            timeout: Duration::from_secs(30),
            retry: RetryPolicy::default(),
            user_agent: concat!("salla-sync/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

/// One connected shop.
#[derive(Debug)]
pub struct SallaClient {
    pub(crate) requester: Requester,
}

impl SallaClient {
    pub fn new(settings: ClientSettings) -> Self {
        let mut rng = fastrand::Rng::with_seed(settings.rng_seed);
        let pacing = PacerSettings {
            not_before: settings.not_before,
            ..PacerSettings::shop(settings.documented_limit, settings.share)
        };
        let shop = RateLimiter::new(pacing, settings.clock.clone(), rng.fork()).with_gauge("shop");
        Self {
            requester: Requester {
                http: settings.http,
                api_url: settings.api_url,
                admission: Admission::new(
                    settings.clock.clone(),
                    settings.tokens,
                    Arc::new(shop),
                    settings.customers_budget,
                    settings.concurrency,
                    settings.memory,
                ),
                clock: settings.clock,
                tokens_served: TokensServed::default(),
                usual_sizes: UsualSizes::default(),
                retry: settings.retry,
                timeout: settings.timeout,
                user_agent: settings.user_agent,
                rng: Mutex::new(rng),
                retries: AtomicU64::new(0),
            },
        }
    }

    /// What the shop's plan documents serves until a response says better.
    pub fn set_plan(&self, plan: &ShopPlan) {
        let limit = plan.documented_requests_per_minute();
        self.requester.admission.shop.set_documented_limit(limit);
    }
}

#[async_trait]
impl Platform for SallaClient {
    async fn shop_info(&self) -> Result<ShopInfo, Failure> {
        let request = store_info();
        let mut permit = FetchPermit::default();
        let read = |body: &[u8]| split_one(body).map(translate::shop_info);
        let fetched = self.requester.get(&request, &mut permit, read).await?;
        let info = fetched.map(|fetched| fetched.value);
        match info {
            Some(Ok(info)) => Ok(info),
            Some(Err(rejection)) => Err(Failure::Broken {
                message: format!(
                    "{}: the response cannot be read ({})",
                    request.description,
                    rejection.code.as_str()
                ),
            }),
            None => Err(Failure::Broken {
                message: format!("{}: Salla responded with status 404", request.description),
            }),
        }
    }

    async fn list_page(
        &self,
        request: &PageRequest,
        permit: &mut FetchPermit,
    ) -> Result<Page, Failure> {
        let page = requests::list(request);
        let fetched = self
            .requester
            // A page of 60 whole orders takes about a millisecond to read, less than
            // moving it to another thread is worth.
            .get(&page, permit, |body| {
                translate::list(request.resource, body)
            })
            .await?;
        let fetched = fetched.ok_or_else(|| Failure::Broken {
            message: format!("{}: Salla responded with status 404", page.description),
        })?;
        let (records, pagination) = fetched.value;
        Ok(Page {
            records: translate::with_plausible_dates_of_list(records, fetched.version),
            pagination,
            version: fetched.version,
        })
    }

    async fn order_detail(
        &self,
        order_id: i64,
        permit: &mut FetchPermit,
    ) -> Result<Option<VersionedRecord<Order>>, Failure> {
        let request = requests::order(order_id);
        self.one(&request, order_id, permit, translate::order).await
    }

    async fn order_items(
        &self,
        order_id: i64,
        permit: &mut FetchPermit,
    ) -> Result<Option<VersionedRecord<Vec<OrderItem>>>, Failure> {
        self.items(order_id, permit).await
    }

    async fn record(
        &self,
        resource: Resource,
        id: i64,
        permit: &mut FetchPermit,
    ) -> Result<Option<(Records, Version)>, Failure> {
        match resource {
            Resource::Customers => {
                let request = requests::customer(id);
                let answer =
                    self.by_id(&request, id, permit, translate::customer, |found| found.id);
                Ok(answer.await?.map(row(Records::Customers)))
            }
            Resource::Products => {
                let request = requests::product(id);
                let answer = self.by_id(&request, id, permit, translate::product, |found| found.id);
                Ok(answer.await?.map(row(Records::Products)))
            }
            Resource::Orders | Resource::Categories | Resource::OrderStatuses => {
                Err(Failure::Bug {
                    message: format!("a record of {resource} cannot be fetched as a row"),
                })
            }
        }
    }

    fn budget(&self) -> BudgetStatus {
        self.requester.budget_status()
    }

    fn clock_offset(&self) -> Option<SignedDuration> {
        self.requester.admission.shop.clock_offset()
    }
}

fn row<T>(
    records: fn(Vec<Decoded<T>>) -> Records,
) -> impl Fn(VersionedRecord<T>) -> (Records, Version) {
    move |answer| (records(vec![answer.record]), answer.version)
}
