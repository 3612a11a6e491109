//! What a request waits for before it is sent.
//!
//! This is the whole sequence, the steps of the import included. What a fetch holds beyond its
//! requests is in its `importer::admission::FetchPermit`, which is passed down to here.
//!
//! | # | acquired | where | released |
//! |---|---|---|---|
//! | 1 | **capacity**: each pipeline has 6 to 96 requests under way, 4,096 in all | `FetchPipeline::capacity`, `PipelineShare` | when the fetch ends |
//! | 2 | **run permit**: fairness within a run, in the order in which the fetches were created | `FetchPipeline::fetch`; held by the `FetchPermit` | after landing |
//! | 3 | **token check**: a disconnected shop fails before it waits | [`Admission::admit`] | |
//! | 4a | all but customers: **slot**, then the **shop's budget**, then **memory** without waiting. Without memory, slot and budget are released, the request waits for memory, and begins again with both, first in their queues, for at most two seconds; then it releases the memory. The second request of a fetch, if what is in hand leaves it enough memory, begins with the two seconds | `Admission::admit_to_shop`; the `FetchPermit` holds the memory | slot: with the response; memory: after landing |
//! | 4b | customers: **customers slot**, the shop's **cooldown**, the **customers' budget**, then **slot** and **shop's budget** with priority. No memory: their pages are small and few. One that was not is repeated with the memory that is reserved for one such page, which it waits for first | `Admission::admit_to_customers` | customers slot: when admitted |
//! | 5 | **token**: the cached one. If it must be refreshed, all of 4 is released but the memory for what the fetch has already; then 4 again. The same after a permit of the customers' budget has expired | [`Admission::admit`] | |
//! | 6 | **send**: permits are used when the first byte leaves, and each budget learns the outcome with the headers | `request::attempt` | |
//! | 7 | success: the `FetchPermit` keeps its memory. Failure: it keeps only what earlier responses take, also while a retry waits | `request::requester` | |
//! | 8 | **landing permit**: batches land side by side, but few | `FetchPipeline::next_event` | with the transaction |
//!
//! Outside of a pipeline there are neither 1, 2 nor 8: the caller drops the `FetchPermit`, with the
//! response or after landing.
//!
//! So no request waits for memory while it holds a slot or a permit of a budget, and none waits
//! longer than two seconds for a budget while it holds memory for a response that is to come.

mod concurrency;
mod fair_queue;
mod rate_limiter;
mod shared_budget;

use std::sync::Arc;
use std::time::Duration;

use domain::failure::Failure;
use importer::admission::{MemoryLimit, MemoryPermit, Need};
use importer::ports::clock::{Clock, with_timeout};
use tokio::sync::Semaphore;

pub use concurrency::{AdaptiveLimit, ConcurrencyLimiter, Slot};
pub use rate_limiter::{Permit, RateLimiter, RequestCounters};

use crate::pacing::{LatencyClass, RateHeaders, ResponseOutcome};
use crate::tokens::{AccessToken, TokenSource};

/// How long a request waits for a budget while it holds memory for its response. A budget that
/// lets one request go each second is worth waiting for, the next minute is not.
const MAX_WAIT_HOLDING_MEMORY: Duration = Duration::from_secs(2);

/// One request of a shop waits for the customers' budget while another one that has a
/// permit of it waits for the shop's. The others wait outside: each shop has its place in
/// the queue for the customers' budget however many pages it wants, and few of a budget's
/// scarce permits are under way to being used.
const CUSTOMERS_SLOTS: usize = 2;

/// Admits the requests of one shop.
#[derive(Clone, Debug)]
pub struct Admission {
    pub clock: Arc<dyn Clock>,
    pub tokens: TokenSource,
    pub shop: Arc<RateLimiter>,
    /// Shared by all shops that are served from this address (docs/salla-api.md#rate-limits).
    pub customers: Arc<RateLimiter>,
    /// Held while a request waits for the customers' budget and then for its own shop's.
    customers_slots: Arc<Semaphore>,
    pub concurrency: Arc<ConcurrencyLimiter>,
    /// Shared by all shops of this process.
    pub memory: MemoryLimit,
}

/// What a request needs besides a token.
#[derive(Clone, Copy, Debug)]
pub struct Demand {
    pub class: LatencyClass,
    /// Whether it also costs the budget of `/customers*`.
    pub customers: bool,
    pub memory: Need,
}

/// All that it takes to send one request, but for its memory, which its fetch has.
#[derive(Debug)]
pub struct RequestPermit {
    pub budgets: BudgetPermits,
    pub slot: Slot,
    pub token: AccessToken,
}

impl Admission {
    pub fn new(
        clock: Arc<dyn Clock>,
        tokens: TokenSource,
        shop: Arc<RateLimiter>,
        customers: Arc<RateLimiter>,
        concurrency: u32,
        memory: MemoryLimit,
    ) -> Self {
        Self {
            clock,
            tokens,
            shop,
            customers,
            customers_slots: Arc::new(Semaphore::new(CUSTOMERS_SLOTS)),
            concurrency: Arc::new(ConcurrencyLimiter::new(concurrency)),
            memory,
        }
    }

    /// Whether a request waits for the customers' budget.
    pub fn customers_waiting(&self) -> bool {
        self.customers_slots.available_permits() < CUSTOMERS_SLOTS
    }

    /// Waits until the request may be sent: with this token, or with the current one. `memory` is
    /// what its fetch has, and has enough then.
    pub async fn admit(
        &self,
        demand: Demand,
        token: Option<&AccessToken>,
        memory: &mut MemoryPermit,
    ) -> Result<RequestPermit, Failure> {
        if token.is_none() {
            self.tokens.current().await?;
        }
        let mut refreshed = None;
        loop {
            let (budgets, slot) = match demand.customers {
                true => self.admit_to_customers(demand, memory).await,
                false => self.admit_to_shop(demand, memory).await,
            };
            let cached = token.cloned().or_else(|| self.tokens.cached());
            let Some(token) = cached.or_else(|| refreshed.take()) else {
                // Refreshing takes a request, and others could use what is held here.
                drop((budgets, slot));
                memory.release_response();
                refreshed = Some(self.tokens.current().await?);
                continue;
            };
            if !budgets.have_expired() {
                return Ok(RequestPermit {
                    budgets,
                    slot,
                    token,
                });
            }
        }
    }

    /// A request with memory goes before the others of its shop, but returns it if the shop's
    /// budget is spent, because other shops' may not be; only what is in hand stays. One that
    /// may be sent and finds no memory returns its permit and its slot: those who have memory
    /// may need both, and a permit is for the minute in which it was given.
    async fn admit_to_shop(
        &self,
        demand: Demand,
        memory: &mut MemoryPermit,
    ) -> (BudgetPermits, Slot) {
        let (class, need) = (demand.class, demand.memory);
        loop {
            if memory.is_enough(need) {
                let first = async {
                    let slot = self.concurrency.acquire_first().await;
                    (slot, self.shop.acquire_first(class).await)
                };
                if let Some((slot, shop)) =
                    with_timeout(&*self.clock, MAX_WAIT_HOLDING_MEMORY, first).await
                {
                    return (self.permits(shop, None), slot);
                }
                memory.release_response();
            }
            let slot = self.concurrency.acquire().await;
            let shop = self.shop.acquire(class).await;
            if self.memory.enough_now(memory, need) {
                return (self.permits(shop, None), slot);
            }
            drop((shop, slot));
            self.memory.enough(memory, need).await;
        }
    }

    /// A request waits for the customers' budget with nothing in hand that the shop's orders
    /// need, and uses soon what it got: a shop that may send nothing does not ask for a permit,
    /// and with one in hand a request does not wait for the shop's whole queue.
    ///
    /// Their budget lets only 500 pages through in ten minutes, and memory must not be held
    /// while a shop waits for its next minute.
    async fn admit_to_customers(
        &self,
        demand: Demand,
        memory: &mut MemoryPermit,
    ) -> (BudgetPermits, Slot) {
        // After a permit has expired, the request would wait for what it holds itself.
        *memory = MemoryPermit::default();
        if demand.memory.is_greatest() {
            *memory = self.memory.for_customers().await;
        }
        // `acquire` fails only if the semaphore is closed, and this one never is.
        let _slot = self.customers_slots.acquire().await.ok();
        self.shop.wait_for_cooldown().await;
        let customers = self.customers.acquire(demand.class).await;
        let slot = self.concurrency.acquire_priority().await;
        let shop = self.shop.acquire_priority(demand.class).await;
        (self.permits(shop, Some(customers)), slot)
    }

    /// Reports that the body of a response refuses its request, as [`BudgetPermits::answered`]
    /// does what the status and the headers say.
    pub(crate) fn refused_in_body(
        &self,
        customers: bool,
        headers: &RateHeaders,
        outcome: ResponseOutcome,
        sent: Duration,
    ) {
        // A block is the shop's.
        let may_be_customers = customers && outcome == ResponseOutcome::Throttled;
        let is_customers = may_be_customers
            && is_customers_budget(
                headers,
                self.customers.limit_or_documented(),
                self.shop.limit(),
            );
        if !is_customers {
            self.shop.refused_in_body(headers, outcome, sent);
        }
        if is_customers || (may_be_customers && !headers.has_budget()) {
            self.customers.refused_in_body(headers, outcome, sent);
        }
    }

    fn permits(&self, shop: Permit, customers: Option<Permit>) -> BudgetPermits {
        BudgetPermits {
            are_spent: false,
            shop: Some(shop),
            customers,
            shop_limit: self.shop.limit(),
        }
    }
}

/// Permits of every budget that the request costs.
#[derive(Debug)]
pub struct BudgetPermits {
    are_spent: bool,
    shop: Option<Permit>,
    customers: Option<Permit>,
    shop_limit: Option<u32>,
}

impl BudgetPermits {
    fn have_expired(&self) -> bool {
        self.customers.as_ref().is_some_and(Permit::has_expired)
    }

    /// The request leaves now. The client may take it up again on another connection if the
    /// first one turns out to be closed.
    pub(crate) fn sent(&mut self) {
        if std::mem::replace(&mut self.are_spent, true) {
            return;
        }
        for permit in [&mut self.shop, &mut self.customers].into_iter().flatten() {
            permit.sent();
        }
    }

    /// Reports a response to each budget, once.
    pub(crate) fn answered(&mut self, headers: RateHeaders, outcome: ResponseOutcome) {
        let Some(shop) = self.shop.take() else { return };
        let Some(customers) = self.customers.take() else {
            return shop.answered(&headers, outcome);
        };
        if outcome == ResponseOutcome::Blocked {
            // It is this shop's: others are not blocked with it.
            customers.answered(&headers.without_budget(), ResponseOutcome::Failed);
            return shop.answered(&headers, outcome);
        }
        let elsewhere = match outcome {
            ResponseOutcome::Accepted => ResponseOutcome::CountedElsewhere,
            // A 429 without rate headers may be meant for either.
            ResponseOutcome::Throttled if headers.has_budget() => ResponseOutcome::Failed,
            other => other,
        };
        if is_customers_budget(&headers, customers.limit(), self.shop_limit) {
            shop.answered(&headers.without_budget(), elsewhere);
            customers.answered(&headers, outcome);
        } else {
            shop.answered(&headers, outcome);
            let outcome = match outcome {
                ResponseOutcome::Throttled => elsewhere,
                outcome => outcome,
            };
            customers.answered(&headers.without_budget(), outcome);
        }
    }
}

/// Salla does not document which budget the headers of `/customers*` report. Their
/// limit does: it is the 500 of the customers' own budget, or in any case not the
/// limit that other responses have shown to be the shop's.
fn is_customers_budget(headers: &RateHeaders, own: Option<u32>, shop: Option<u32>) -> bool {
    match headers.limit {
        None => false,
        limit => shop.is_some_and(|shop| Some(shop) != limit) || (shop.is_none() && limit == own),
    }
}
