//! Permits of a budget that other processes spend from as well. They come in blocks from the
//! budget that all share.
//!
//! A block has as many permits as requests wait or are under way, because a request that ends
//! is followed by the next one of its list: so a block serves many. While the shared budget has
//! plenty, a block is requested before the last permit is gone, so that no request waits for the
//! database, and each is twice as large as the one before if that was used up within seconds: a
//! fast list would otherwise query the database for every few pages. A permit that is not needed
//! goes to the next request that waits, or back when none is left.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use importer::ports::clock::Clock;
use importer::ports::shared_budget::{Grant, GrantId, SharedBudget};
use tokio::sync::Notify;

/// Until the shared budget is tried again after it could not be reached. Until then all
/// requests wait.
const RETRY_AFTER_FAILURE: Duration = Duration::from_secs(5);

/// A block that lasts no longer than this is followed by a larger one.
const SHORT: Duration = Duration::from_secs(2);
const MAX_BLOCK: u32 = 16;

#[derive(Debug)]
pub(super) struct SharedPermits {
    shared: Arc<dyn SharedBudget>,
    clock: Arc<dyn Clock>,
    queue: tokio::sync::Mutex<()>,
    /// Requests that wait for a permit or have one.
    present: AtomicU32,
    /// Held while a block is requested.
    refilling: tokio::sync::Mutex<()>,
    /// The last block was as large as requested.
    has_plenty: AtomicBool,
    /// When the last block was requested, and its size.
    last_block: Mutex<(Duration, u32)>,
    available: Mutex<VecDeque<PermitBlock>>,
    refilled: Notify,
}

/// What is left of a grant.
#[derive(Clone, Copy, Debug)]
struct PermitBlock {
    grant: GrantId,
    permits: u32,
    usable_until: Duration,
}

/// The right to send one request until it expires. Dropped before it was used, it goes to
/// another request.
#[derive(Debug)]
pub(super) struct SharedPermit {
    grant: GrantId,
    usable_until: Duration,
    used: bool,
    present: Present,
}

impl SharedPermits {
    pub(super) fn new(shared: Arc<dyn SharedBudget>, clock: Arc<dyn Clock>) -> Self {
        Self {
            shared,
            clock,
            queue: tokio::sync::Mutex::new(()),
            present: AtomicU32::new(0),
            refilling: tokio::sync::Mutex::default(),
            has_plenty: AtomicBool::new(false),
            last_block: Mutex::default(),
            available: Mutex::default(),
            refilled: Notify::new(),
        }
    }

    /// Waits for a permit. First come, first served; a caller that is dropped leaves no
    /// trace.
    pub(super) async fn acquire(self: &Arc<Self>) -> SharedPermit {
        let mut present = Present::at(self);
        let _turn = self.queue.lock().await;
        loop {
            // Registered before the check, so that no change is missed.
            let refilled = self.refilled.notified();
            present = match self.shared_permit(present) {
                Ok(shared_permit) => {
                    self.refill_ahead();
                    return shared_permit;
                }
                Err(present) => present,
            };
            // A separate task: a grant that arrives after its caller was dropped would be
            // lost for a whole period.
            let refilling = tokio::spawn(self.clone().refill());
            let pause = refilling.await.unwrap_or(RETRY_AFTER_FAILURE);
            if pause.is_zero() {
                continue;
            }
            tokio::select! {
                () = refilled => {}
                () = self.clock.sleep(pause) => {}
            }
        }
    }

    /// Makes the other processes wait as well.
    pub(super) fn refused(&self, wait: Duration) {
        let shared = self.shared.clone();
        tokio::spawn(async move {
            if let Err(failure) = shared.report_refusal(wait).await {
                tracing::warn!(%failure, "cannot record for other processes that Salla refused a \
                     request");
            }
        });
    }

    /// Not where there is little: that would request the same permits twice.
    fn refill_ahead(self: &Arc<Self>) {
        let has_plenty = self.has_plenty.load(Ordering::Relaxed);
        if has_plenty && self.wanted() > 0 && self.refilling.try_lock().is_ok() {
            tokio::spawn(self.clone().refill());
        }
    }

    /// Requests what is wanted now; returns how long nothing more is to be had.
    async fn refill(self: Arc<Self>) -> Duration {
        let _alone = self.refilling.lock().await;
        let requested = self.clock.monotonic();
        let wanted = self.wanted();
        if wanted == 0 {
            return Duration::ZERO;
        }
        let wanted = wanted.max(self.next_block(requested));
        let taken = self.shared.acquire(wanted).await;
        let has_plenty = matches!(&taken, Ok(Grant::Permits { permits, .. }) if *permits == wanted);
        self.has_plenty.store(has_plenty, Ordering::Relaxed);
        match taken {
            Ok(Grant::Permits {
                id,
                permits,
                usable_for,
            }) => {
                *locked(&self.last_block) = (requested, permits);
                self.put(PermitBlock {
                    grant: id,
                    permits,
                    usable_until: requested + usable_for,
                });
                Duration::ZERO
            }
            Ok(Grant::Exhausted { retry_after }) => retry_after,
            Err(failure) => {
                tracing::warn!(%failure, "cannot reach the shared budget; requests wait");
                RETRY_AFTER_FAILURE
            }
        }
    }

    /// How many to request: none while at least half of those present have a permit.
    fn wanted(&self) -> u32 {
        let present = self.present.load(Ordering::Relaxed);
        let available = self.available().iter().map(|block| block.permits).sum();
        match present / 2 <= available && available > 0 {
            true => 0,
            false => present.saturating_sub(available),
        }
    }

    /// How large the next block may be whatever is wanted now.
    fn next_block(&self, now: Duration) -> u32 {
        let (requested, permits) = *locked(&self.last_block);
        let was_short = now.saturating_sub(requested) < SHORT;
        match was_short && self.has_plenty.load(Ordering::Relaxed) {
            true => (2 * permits).min(MAX_BLOCK),
            false => 0,
        }
    }

    fn shared_permit(&self, present: Present) -> Result<SharedPermit, Present> {
        let now = self.clock.monotonic();
        let mut expired = Vec::new();
        let shared_permit = {
            let mut available = self.available();
            available.retain(|block| {
                let is_usable = now < block.usable_until;
                if !is_usable {
                    expired.push(*block);
                }
                is_usable
            });
            let shared_permit = match available.front_mut() {
                Some(block) => {
                    block.permits -= 1;
                    Ok(SharedPermit {
                        grant: block.grant,
                        usable_until: block.usable_until,
                        used: false,
                        present,
                    })
                }
                None => Err(present),
            };
            available.retain(|block| block.permits > 0);
            shared_permit
        };
        self.return_unused(expired);
        shared_permit
    }

    /// Keeps what may be wanted. Where no request is left it goes back now, because other
    /// processes may starve.
    fn put(&self, block: PermitBlock) {
        let is_wanted = self.present.load(Ordering::Relaxed) > 0;
        if is_wanted && block.usable_until > self.clock.monotonic() {
            self.available().push_back(block);
            self.refilled.notify_one();
        } else {
            self.return_unused(vec![block]);
        }
    }

    fn discard_all(&self) {
        let left: Vec<_> = self.available().drain(..).collect();
        self.return_unused(left);
    }

    /// What cannot be returned ages out. The runtime is gone when the process ends.
    fn return_unused(&self, blocks: Vec<PermitBlock>) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        for block in blocks {
            let shared = self.shared.clone();
            runtime.spawn(async move {
                if let Err(failure) = shared.return_unused(block.grant, block.permits).await {
                    tracing::debug!(%failure, "permits were not returned");
                }
            });
        }
    }

    fn available(&self) -> MutexGuard<'_, VecDeque<PermitBlock>> {
        locked(&self.available)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SharedPermit {
    pub(super) fn expires_at(&self) -> Duration {
        self.usable_until
    }

    pub(super) fn used(&mut self) {
        self.used = true;
    }
}

impl Drop for SharedPermit {
    fn drop(&mut self) {
        if !self.used {
            self.present.0.put(PermitBlock {
                grant: self.grant,
                permits: 1,
                usable_until: self.usable_until,
            });
        }
    }
}

/// A request that waits for a permit or has one. The last one to end leaves no permits behind.
#[derive(Debug)]
struct Present(Arc<SharedPermits>);

impl Present {
    fn at(permits: &Arc<SharedPermits>) -> Self {
        permits.present.fetch_add(1, Ordering::Relaxed);
        Self(permits.clone())
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        if self.0.present.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.discard_all();
        }
    }
}
