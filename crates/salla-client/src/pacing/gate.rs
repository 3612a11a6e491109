//! The gate in front of a budget that other processes spend from as well: nobody passes
//! without a ticket, and tickets come from the budget that all share.
//!
//! It asks for as many as wait, so that a block serves many and nothing lies about
//! unused. A ticket that turns out not to be needed goes to who waits next, or back.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use importer::ports::budgets::{Grant, GrantId, SharedBudget};
use importer::ports::clock::Clock;
use tokio::sync::Notify;

/// So long after the shared budget could not be asked it is asked again. Until then
/// nobody passes.
const AFTER_FAILURE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Gate {
    shared: Arc<dyn SharedBudget>,
    clock: Arc<dyn Clock>,
    queue: tokio::sync::Mutex<()>,
    waiting: AtomicU32,
    stock: Mutex<VecDeque<Block>>,
    restocked: Notify,
}

/// What is left of a grant.
#[derive(Clone, Copy, Debug)]
struct Block {
    grant: GrantId,
    permits: u32,
    usable_until: Duration,
}

/// Leave to send one request until it expires. Dropped before it was used, it is somebody
/// else's.
#[derive(Debug)]
pub(super) struct Ticket {
    gate: Arc<Gate>,
    grant: GrantId,
    usable_until: Duration,
    used: bool,
}

impl Gate {
    pub(super) fn new(shared: Arc<dyn SharedBudget>, clock: Arc<dyn Clock>) -> Self {
        Self {
            shared,
            clock,
            queue: tokio::sync::Mutex::new(()),
            waiting: AtomicU32::new(0),
            stock: Mutex::default(),
            restocked: Notify::new(),
        }
    }

    /// Waits for a ticket. First come, first served; a caller that gives up leaves no
    /// trace.
    pub(super) async fn pass(self: &Arc<Self>) -> Ticket {
        let _waiting = Waiting::at(self);
        let _turn = self.queue.lock().await;
        loop {
            // Listening begins before looking, so that no change is missed.
            let restocked = self.restocked.notified();
            if let Some(ticket) = self.ticket() {
                return ticket;
            }
            // A task of its own: a grant that arrives after its caller has given up
            // would be lost for a whole window.
            let asking = tokio::spawn(self.clone().restock());
            let pause = asking.await.unwrap_or(AFTER_FAILURE);
            if pause.is_zero() {
                continue;
            }
            tokio::select! {
                () = restocked => {}
                () = self.clock.sleep(pause) => {}
            }
        }
    }

    /// Others are told to wait as well.
    pub(super) fn refused(&self, wait: Duration) {
        let shared = self.shared.clone();
        tokio::spawn(async move {
            if let Err(failure) = shared.refused(wait).await {
                tracing::warn!(%failure, "other processes were not told that Salla refused a request");
            }
        });
    }

    /// Asks for what is wanted now; returns how long nothing more is to be had.
    async fn restock(self: Arc<Self>) -> Duration {
        let asked = self.clock.monotonic();
        let wanted = self.waiting.load(Ordering::Relaxed).max(1);
        match self.shared.take(wanted).await {
            Ok(Grant::Permits {
                id,
                permits,
                usable_for,
            }) => {
                self.put(Block {
                    grant: id,
                    permits,
                    usable_until: asked + usable_for,
                });
                Duration::ZERO
            }
            Ok(Grant::Nothing { ask_again_after }) => ask_again_after,
            Err(failure) => {
                tracing::warn!(%failure, "the shared budget cannot be asked; its requests wait");
                AFTER_FAILURE
            }
        }
    }

    fn ticket(self: &Arc<Self>) -> Option<Ticket> {
        let now = self.clock.monotonic();
        let mut expired = Vec::new();
        let ticket = {
            let mut stock = self.stock();
            stock.retain(|block| {
                let is_usable = now < block.usable_until;
                if !is_usable {
                    expired.push(*block);
                }
                is_usable
            });
            let ticket = stock.front_mut().map(|block| {
                block.permits -= 1;
                Ticket {
                    gate: self.clone(),
                    grant: block.grant,
                    usable_until: block.usable_until,
                    used: false,
                }
            });
            stock.retain(|block| block.permits > 0);
            ticket
        };
        self.give_back(expired);
        ticket
    }

    /// Keeps what somebody waits for; the rest goes back at once, for others may starve.
    fn put(&self, block: Block) {
        let is_wanted = self.waiting.load(Ordering::Relaxed) > 0;
        if is_wanted && block.usable_until > self.clock.monotonic() {
            self.stock().push_back(block);
            self.restocked.notify_one();
        } else {
            self.give_back(vec![block]);
        }
    }

    fn clear(&self) {
        let left: Vec<_> = self.stock().drain(..).collect();
        self.give_back(left);
    }

    /// What cannot be given back ages out. The runtime is gone when the process ends.
    fn give_back(&self, blocks: Vec<Block>) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        for block in blocks {
            let shared = self.shared.clone();
            runtime.spawn(async move {
                if let Err(failure) = shared.give_back(block.grant, block.permits).await {
                    tracing::debug!(%failure, "permits were not given back");
                }
            });
        }
    }

    fn stock(&self) -> MutexGuard<'_, VecDeque<Block>> {
        self.stock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    pub(super) fn expires_at(&self) -> Duration {
        self.usable_until
    }

    pub(super) fn used(&mut self) {
        self.used = true;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.used {
            self.gate.put(Block {
                grant: self.grant,
                permits: 1,
                usable_until: self.usable_until,
            });
        }
    }
}

/// Somebody who waits at the gate. The last who leaves it leaves no stock behind.
struct Waiting<'a>(&'a Gate);

impl<'a> Waiting<'a> {
    fn at(gate: &'a Gate) -> Self {
        gate.waiting.fetch_add(1, Ordering::Relaxed);
        Self(gate)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.0.waiting.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.clear();
        }
    }
}
