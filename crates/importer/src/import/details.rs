//! The detail phase: completes orders that came without amounts or line items,
//! newest first.
//!
//! What the reconciliation will ask for in any case is left to it: once is enough.
//!
//! Its checkpoint is the list of pending details itself: an order leaves it in the
//! transaction that lands its detail.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use domain::failure::Failure;
use domain::order::{Completeness, Order, OrderItem, Version};
use domain::rejection::{Rejection, RejectionCode};
use domain::resource::Resource;
use tokio::sync::Semaphore;
use tracing::Instrument as _;

use super::context::RunContext;
use super::pipeline::{BatchPolicy, FetchPipeline, PipelineEvent};
use super::progress::Phase;
use crate::admission::FetchPermit;
use crate::metrics;
use crate::ports::clock::Clock;
use crate::ports::landing::{DetailOutcome, Landed, OrderDetail, PendingDetail};
use crate::ports::platform::{Decoded, Platform, VersionedRecord};

/// Orders taken from the worklist together.
const CHUNK: u32 = 1_000;
/// A transaction costs the database as much as ten details. So those that come within a
/// moment of each other land together: a thousand shops would else keep it busy with
/// transactions of one order each.
const BATCHES: BatchPolicy = BatchPolicy {
    max_records: 60,
    linger: Duration::from_millis(500),
};
/// Delay for orders that are on the list again after that many readings. They may be there because
/// another machine's clock was ahead and gave a detail a newer version than ours; that passes.
const ROUNDS_WITHOUT_DELAY: u32 = 2;
const DELAY_BETWEEN_ROUNDS: Duration = Duration::from_secs(5);
/// From the request until they have landed; one takes some tens of kilobytes.
const MAX_DETAILS: usize = 256;

/// One order's detail and how many requests it took.
pub(crate) struct DetailFetch {
    pub(crate) detail: OrderDetail,
    requests: u64,
}

impl DetailFetch {
    fn is_gone(&self) -> bool {
        matches!(self.detail.outcome, DetailOutcome::Gone)
    }

    /// Boxed: few orders are gone.
    async fn confirmed(
        self,
        platform: &dyn Platform,
        clock: &dyn Clock,
        permit: &mut FetchPermit,
    ) -> Result<Self, Failure> {
        let again = fetch_once(platform, clock, self.detail.order_id, permit);
        let mut again = Box::pin(again).await?;
        again.requests += self.requests;
        Ok(again)
    }
}

/// Completes every pending order of the run but those that are `left` for later.
pub(crate) async fn fetch_pending_details(ctx: &RunContext, left: &[i64]) -> Result<(), Failure> {
    let mut worklist = Worklist::default();
    let mut rounds = 0;
    let mut pipeline = FetchPipeline::new(BATCHES, Arc::new(Semaphore::new(MAX_DETAILS)), ctx);
    loop {
        while pipeline.capacity() > 0
            && let Some(order_id) = worklist.next(ctx, left).await?
        {
            ctx.tracker.phase(Phase::Details);
            let ctx = ctx.clone();
            let span = tracing::info_span!("detail", resource = Resource::Orders.as_str());
            pipeline.fetch(move |mut permit| {
                let fetch = async move {
                    let fetched = fetch_pending(&ctx, order_id, &mut permit).await?;
                    Ok((fetched, permit))
                };
                fetch.instrument(span)
            });
        }
        match pipeline
            .next_event(|fetched| land(ctx.clone(), fetched))
            .await?
        {
            PipelineEvent::Fetched => {}
            PipelineEvent::Landed(landed) => ctx.check_rejections(&landed).await?,
            // The list is newest first, and headers that changed meanwhile may have
            // been put at its head again: look once more from the beginning.
            PipelineEvent::Idle if worklist.taken > 0 => {
                rounds += 1;
                if rounds > ROUNDS_WITHOUT_DELAY {
                    ctx.clock.sleep(DELAY_BETWEEN_ROUNDS).await;
                }
                worklist = Worklist::default();
            }
            PipelineEvent::Idle => return Ok(()),
        }
    }
}

/// The pending orders from the newest to the oldest, taken one by one.
#[derive(Default)]
struct Worklist {
    waiting: VecDeque<PendingDetail>,
    /// The last one that was read from the database.
    last: Option<PendingDetail>,
    is_read: bool,
    taken: usize,
}

impl Worklist {
    async fn next(&mut self, ctx: &RunContext, left: &[i64]) -> Result<Option<i64>, Failure> {
        loop {
            if self.waiting.is_empty() && !self.is_read {
                self.load_next_chunk(ctx).await?;
            }
            let Some(next) = self.waiting.pop_front() else {
                return Ok(None);
            };
            if !left.contains(&next.order_id) {
                self.taken += 1;
                return Ok(Some(next.order_id));
            }
        }
    }

    async fn load_next_chunk(&mut self, ctx: &RunContext) -> Result<(), Failure> {
        let landing = ctx.landing.as_ref();
        let pending = landing.pending_details(ctx.lease, self.last, CHUNK).await?;
        if self.last.is_none() {
            let left = match pending.len() < CHUNK as usize {
                true => pending.len() as u64,
                false => landing.count_pending(ctx.lease).await?,
            };
            ctx.tracker.details_remaining(left);
        }
        self.is_read = pending.is_empty();
        self.last = pending.last().copied().or(self.last);
        self.waiting = pending.into();
        Ok(())
    }
}

/// An order that the run has listed is gone only if Salla says so twice. Where no list has it any
/// more, that is the other word for it.
async fn fetch_pending(
    ctx: &RunContext,
    order_id: i64,
    permit: &mut FetchPermit,
) -> Result<DetailFetch, Failure> {
    let (platform, clock) = (ctx.platform.as_ref(), ctx.clock.as_ref());
    let fetched = fetch_once(platform, clock, order_id, permit).await?;
    if !fetched.is_gone() || !is_listed(ctx, order_id).await? {
        return Ok(fetched);
    }
    fetched.confirmed(platform, clock, permit).await
}

async fn is_listed(ctx: &RunContext, order_id: i64) -> Result<bool, Failure> {
    let ids = [order_id];
    let not_listed = ctx.runs.not_listed(ctx.lease, Resource::Orders, &ids);
    Ok(not_listed.await?.is_empty())
}

/// The same for an order of which no list is known.
pub(crate) async fn fetch(
    platform: &dyn Platform,
    clock: &dyn Clock,
    order_id: i64,
    permit: &mut FetchPermit,
) -> Result<DetailFetch, Failure> {
    let fetched = fetch_once(platform, clock, order_id, permit).await?;
    match fetched.is_gone() {
        true => fetched.confirmed(platform, clock, permit).await,
        false => Ok(fetched),
    }
}

/// The detail, and the items where the detail does not hold them.
async fn fetch_once(
    platform: &dyn Platform,
    clock: &dyn Clock,
    order_id: i64,
    permit: &mut FetchPermit,
) -> Result<DetailFetch, Failure> {
    let asked_at = clock.now();
    let Some(mut answer) = detail(platform, order_id, permit).await? else {
        return Ok(vanished_order(order_id, asked_at, 1));
    };
    reject_mismatched_order(order_id, &mut answer.record);
    let lacks_items = answer
        .record
        .outcome
        .as_ref()
        .is_ok_and(|order| order.completeness() != Completeness::Full);
    let mut requests = 1;
    let mut items = None;
    if lacks_items {
        requests += 1;
        items = match platform.order_items(order_id, permit).await? {
            Some(items) if lacks_all_items(&answer.record, &items.record) => {
                Some(no_items(order_id))
            }
            Some(items) => Some(items.record),
            None => {
                requests += 1;
                let asked_at = clock.now();
                if platform.order_detail(order_id, permit).await?.is_none() {
                    return Ok(vanished_order(order_id, asked_at, requests));
                }
                Some(no_items(order_id))
            }
        };
    }
    Ok(DetailFetch {
        detail: OrderDetail {
            order_id,
            version: answer.version,
            outcome: DetailOutcome::Found {
                order: Box::new(answer.record),
                items,
            },
        },
        requests,
    })
}

/// Boxed: thousands of fetches wait at the same time, and each would reserve space for this future
/// inline.
async fn detail(
    platform: &dyn Platform,
    order_id: i64,
    permit: &mut FetchPermit,
) -> Result<Option<Box<VersionedRecord<Order>>>, Failure> {
    let answer = platform.order_detail(order_id, permit).await?;
    Ok(answer.map(Box::new))
}

/// Another order under this one's address would leave this one pending for ever.
fn reject_mismatched_order(order_id: i64, answer: &mut Decoded<Order>) {
    if answer
        .outcome
        .as_ref()
        .is_ok_and(|order| order.id != order_id)
    {
        answer.outcome = Err(Rejection {
            code: RejectionCode::InvalidId,
            path: "$.id".to_owned(),
            message: "Salla returned another order than the requested one".to_owned(),
            salla_id: Some(order_id),
        });
    }
}

fn lacks_all_items(order: &Decoded<Order>, items: &Decoded<Vec<OrderItem>>) -> bool {
    match (&order.outcome, &items.outcome) {
        (Ok(order), Ok(items)) => order.lacks_all_items(items),
        _ => false,
    }
}

/// An order is there and its items are not. Only an order that is itself not found is gone; this
/// one is rejected, because what was bought is unknown.
fn no_items(order_id: i64) -> Decoded<Vec<OrderItem>> {
    Decoded {
        raw: "".into(),
        outcome: Err(Rejection::no_items(Some(order_id))),
    }
}

fn vanished_order(order_id: i64, version: Version, requests: u64) -> DetailFetch {
    DetailFetch {
        detail: OrderDetail {
            order_id,
            version,
            outcome: DetailOutcome::Gone,
        },
        requests,
    }
}

pub(crate) async fn land(ctx: RunContext, fetched: Vec<DetailFetch>) -> Result<Landed, Failure> {
    let requests = fetched.iter().map(|f| f.requests).sum();
    let details: Vec<OrderDetail> = fetched.into_iter().map(|f| f.detail).collect();
    let begun = ctx.clock.monotonic();
    let landed = ctx.landing.land_details(ctx.lease, &details).await?;
    let took = ctx.clock.monotonic().saturating_sub(begun);
    metrics::details_landed(&landed, took);
    metrics::rejected(Resource::Orders, details.iter().filter_map(rejection));
    metrics::refused(Resource::Orders, &landed);
    tracing::debug!(
        details = details.len(),
        loaded = landed.loaded,
        rejected = landed.rejected,
        duration_ms = took.as_millis() as u64,
        "details landed"
    );
    ctx.tracker.details_landed(requests, &landed);
    Ok(landed)
}

fn rejection(detail: &OrderDetail) -> Option<RejectionCode> {
    match &detail.outcome {
        DetailOutcome::Gone => None,
        DetailOutcome::Found { order, items } => order
            .rejection()
            .or_else(|| items.as_ref().and_then(Decoded::rejection)),
    }
}
