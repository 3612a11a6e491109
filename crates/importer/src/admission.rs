//! The memory that all imports of a process share.
//!
//! A response takes memory from the moment its request is sent until it has landed. The pipelines
//! of one import bound it; those of a thousand do not, because then the database sets the pace and
//! not Salla. So a request takes a memory permit before it is sent, for as much as its kind of
//! response usually weighs. The permit grows with the response, shrinks once a page is
//! decoded, and the fetch keeps it until the landing has ended.
//!
//! Requests that wait to be sent take memory too, if less. So each pipeline may have fewer of them,
//! the more pipelines there are.
//!
//! No response waits for memory while it is read: one that outgrows its permit and finds no more is
//! aborted, and requested again once there is memory for the greatest. A fetch that has nothing yet
//! waits without a permit, in turn. A fetch that has a response and needs a second one keeps its
//! permit and waits for the common memory or for the *reserve*. The reserve is always enough for
//! one greatest fetch, and a fetch that has it needs nothing else, so one of them always continues,
//! whatever the others hold. No permit is held while a budget is waited for that may take a minute,
//! except for what the fetch has already: a small order that waits for its items is all that is in
//! memory without a permit.

mod weight;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub use weight::{Load, MAX_BYTES, MAX_CUSTOMER_BYTES, ResponseSize};

/// The memory for all responses of a process, in kibibytes: 1,280 usual records or 32 usual pages.
const CAPACITY: u32 = 80 << 10;

/// Concurrent requests of a process, waiting or sent, as long as that is enough for each pipeline
/// to have [`MIN_PER_PIPELINE`]. One takes some ten kilobytes.
const MAX_IN_FLIGHT: usize = 4_096;

/// Requests that a single pipeline has under way at most, so that whatever Salla leaves of a
/// minute is asked for within a few seconds of it: no later minute makes up for the one
/// request a second that is lost meanwhile. The client's budget and its concurrency
/// limit decide how many are really sent.
const MAX_PER_PIPELINE: usize = 96;

const MIN_PER_PIPELINE: usize = 6;

/// Memory for requests and responses; clones share it.
#[derive(Clone, Debug)]
pub struct MemoryLimit(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    answers: Arc<Semaphore>,
    /// For one fetch of all that have something in hand.
    reserve: Arc<Semaphore>,
    /// For one page of customers that is not small. It may wait for minutes for its budget.
    customers: Arc<Semaphore>,
    pipelines: AtomicUsize,
}

impl Default for MemoryLimit {
    fn default() -> Self {
        Self(Arc::new(Shared {
            answers: Arc::new(Semaphore::new(CAPACITY as usize)),
            reserve: Arc::new(Semaphore::new(1)),
            customers: Arc::new(Semaphore::new(1)),
            pipelines: AtomicUsize::new(0),
        }))
    }
}

/// How much memory a request needs for its response.
#[derive(Clone, Copy, Debug)]
pub struct Need {
    pub size: ResponseSize,
    expected: Load,
    greatest: bool,
}

impl Need {
    /// For an answer that is as long as those before it were.
    pub fn usual(size: ResponseSize, expected_bytes: usize) -> Self {
        Self {
            size,
            expected: Load::of_bytes(expected_bytes.min(size.max_bytes())),
            greatest: false,
        }
    }

    /// For a response that has outgrown its permit.
    pub fn greatest(size: ResponseSize) -> Self {
        Self {
            greatest: true,
            ..Self::usual(size, 0)
        }
    }

    pub fn is_greatest(self) -> bool {
        self.greatest
    }

    /// Together with what is in hand.
    fn weight(self, in_hand: Load) -> u32 {
        match self.greatest {
            true => self.size.max_weight(),
            false => in_hand
                .plus(self.expected)
                .weight(self.size)
                .min(self.size.max_weight()),
        }
    }
}

impl MemoryLimit {
    /// Waits until there is memory.
    pub async fn acquire(&self, need: Need) -> MemoryPermit {
        let mut permit = MemoryPermit::default();
        self.enough(&mut permit, need).await;
        permit
    }

    /// Waits until the permit has as much memory as is needed, with what is in hand.
    pub async fn enough(&self, permit: &mut MemoryPermit, need: Need) {
        let lacking = permit.lacks(need);
        let common = self.0.answers.clone().acquire_many_owned(lacking);
        if !permit.has_in_hand() {
            // `acquire` fails only if the semaphore is closed, and this one never is.
            return permit.take(common.await.ok());
        }
        let reserve = self.0.reserve.clone().acquire_owned();
        tokio::select! {
            biased;
            common = common => permit.take(common.ok()),
            reserve = reserve => permit.reserve = reserve.ok(),
        }
    }

    /// Whether the permit has enough, with what there is now.
    pub fn enough_now(&self, permit: &mut MemoryPermit, need: Need) -> bool {
        let lacking = permit.lacks(need);
        if lacking == 0 {
            return true;
        }
        if let Ok(common) = self.0.answers.clone().try_acquire_many_owned(lacking) {
            permit.take(Some(common));
            return true;
        }
        if permit.has_in_hand()
            && let Ok(reserve) = self.0.reserve.clone().try_acquire_owned()
        {
            permit.reserve = Some(reserve);
            return true;
        }
        false
    }

    /// A permit if there is memory now.
    pub fn try_acquire(&self, size: ResponseSize) -> Option<MemoryPermit> {
        let mut permit = MemoryPermit::default();
        self.enough_now(&mut permit, Need::usual(size, 0))
            .then_some(permit)
    }

    /// Waits until no other page of customers that is not small is under way.
    pub async fn for_customers(&self) -> MemoryPermit {
        MemoryPermit {
            reserve: self.0.customers.clone().acquire_owned().await.ok(),
            ..MemoryPermit::default()
        }
    }

    /// Whether half of the memory is free. Then something may be kept until later, and others
    /// still get what they wait for.
    pub fn has_plenty(&self) -> bool {
        self.0.answers.available_permits() >= CAPACITY as usize / 2
    }

    /// Each pipeline registers for as long as it lasts.
    pub fn register_pipeline(&self) -> PipelineShare {
        self.0.pipelines.fetch_add(1, Ordering::Relaxed);
        PipelineShare(self.0.clone())
    }
}

/// One pipeline's share of the requests that are under way.
#[derive(Debug)]
pub struct PipelineShare(Arc<Shared>);

impl PipelineShare {
    /// How many requests this pipeline may have under way at the moment.
    pub fn max_in_flight(&self) -> usize {
        let pipelines = self.0.pipelines.load(Ordering::Relaxed).max(1);
        (MAX_IN_FLIGHT / pipelines).clamp(MIN_PER_PIPELINE, MAX_PER_PIPELINE)
    }
}

impl Drop for PipelineShare {
    fn drop(&mut self) {
        self.0.pipelines.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What one fetch holds from its first request until its result has landed, released when it is
/// dropped. Outside of a pipeline it is a default one, which holds memory alone.
#[derive(Debug, Default)]
pub struct FetchPermit {
    _run: Option<OwnedSemaphorePermit>,
    pub memory: MemoryPermit,
}

impl FetchPermit {
    /// `permit` is one of those that limit what the run has requested and not landed.
    pub fn of_run(permit: Option<OwnedSemaphorePermit>) -> Self {
        Self {
            _run: permit,
            ..Self::default()
        }
    }
}

/// Memory of one fetch, released when it is dropped.
#[derive(Debug, Default)]
pub struct MemoryPermit {
    common: Option<OwnedSemaphorePermit>,
    /// Enough for whatever may be read.
    reserve: Option<OwnedSemaphorePermit>,
    /// Responses that this fetch has already.
    in_hand: Load,
    /// The response that is being read, or was read last.
    response: Load,
}

/// What becomes of an answer that grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Growth {
    Fits,
    /// It has to be requested again with more memory.
    Outgrown,
    /// No memory is enough.
    TooLarge,
}

impl MemoryPermit {
    /// Keeps the response that was read last: the fetch makes another request.
    pub fn response_in_hand(&mut self) {
        self.in_hand = self.in_hand.plus(std::mem::take(&mut self.response));
    }

    /// Releases what the response takes that was read last or is awaited, because it is of no use
    /// or must wait. What earlier responses take stays.
    pub fn release_response(&mut self) {
        if !self.has_in_hand() {
            *self = Self::default();
            return;
        }
        self.response = Load::default();
        self.shrink(ResponseSize::Record);
    }

    /// Whether more is in hand than may be in memory without a permit.
    fn has_in_hand(&self) -> bool {
        !self.in_hand.is_included(ResponseSize::Record)
    }

    fn capacity(&self) -> u32 {
        let common = self.common.as_ref().map_or(0, |held| held.num_permits());
        u32::try_from(common).unwrap_or(u32::MAX)
    }

    pub fn is_enough(&self, need: Need) -> bool {
        self.lacks(need) == 0
    }

    fn lacks(&self, need: Need) -> u32 {
        match self.reserve {
            Some(_) => 0,
            None => need.weight(self.in_hand).saturating_sub(self.capacity()),
        }
    }

    fn take(&mut self, more: Option<OwnedSemaphorePermit>) {
        match (&mut self.common, more) {
            (Some(common), Some(more)) => common.merge(more),
            (None, more) => self.common = more,
            (Some(_), None) => {}
        }
    }

    /// The response is as large as this by now, and becomes larger.
    pub fn grow(&mut self, memory: &MemoryLimit, size: ResponseSize, response: Load) -> Growth {
        self.response = response;
        let weight = self.in_hand.plus(response).weight(size);
        if weight > size.max_weight() {
            return Growth::TooLarge;
        }
        let lacking = weight.saturating_sub(self.capacity());
        if self.reserve.is_some() || lacking == 0 {
            return Growth::Fits;
        }
        match memory.0.answers.clone().try_acquire_many_owned(lacking) {
            Ok(more) => {
                self.take(Some(more));
                Growth::Fits
            }
            Err(_) => Growth::Outgrown,
        }
    }

    /// Gives back what the responses do not take after all.
    pub fn shrink(&mut self, size: ResponseSize) {
        self.shrink_to(self.in_hand.plus(self.response).weight(size));
    }

    /// Gives back what only reading and decoding took: the responses are decoded, and nothing
    /// more is requested before they land.
    pub fn decoded(&mut self) {
        self.shrink_to(self.in_hand.plus(self.response).decoded_weight());
    }

    fn shrink_to(&mut self, weight: u32) {
        if self.capacity() >= weight {
            self.reserve = None;
        }
        let surplus = self.capacity().saturating_sub(weight);
        if let Some(common) = &mut self.common {
            drop(common.split(surplus as usize));
        }
    }
}

#[cfg(test)]
mod tests;
