//! The gate in front of a budget that other processes spend from as well: nobody passes
//! without a ticket, and tickets come from the budget that all share.
//!
//! It asks for as many as wait or are under way, because a request that is answered is
//! followed by the next one of its list: so a block serves many, and none lies unused for
//! longer than a request takes. While there are many it asks before the last is gone, so that
//! nobody waits for the database. A ticket that turns out not to be needed goes to who waits
//! next, or back.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
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
    /// Who waits for a ticket or has one.
    present: AtomicU32,
    /// Held while the shared budget is asked.
    asking: tokio::sync::Mutex<()>,
    /// The shared budget gave last what it was asked for.
    has_plenty: AtomicBool,
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
    grant: GrantId,
    usable_until: Duration,
    used: bool,
    present: Present,
}

impl Gate {
    pub(super) fn new(shared: Arc<dyn SharedBudget>, clock: Arc<dyn Clock>) -> Self {
        Self {
            shared,
            clock,
            queue: tokio::sync::Mutex::new(()),
            present: AtomicU32::new(0),
            asking: tokio::sync::Mutex::default(),
            has_plenty: AtomicBool::new(false),
            stock: Mutex::default(),
            restocked: Notify::new(),
        }
    }

    /// Waits for a ticket. First come, first served; a caller that gives up leaves no
    /// trace.
    pub(super) async fn pass(self: &Arc<Self>) -> Ticket {
        let mut present = Present::at(self);
        let _turn = self.queue.lock().await;
        loop {
            // Listening begins before looking, so that no change is missed.
            let restocked = self.restocked.notified();
            present = match self.ticket(present) {
                Ok(ticket) => {
                    self.ask_ahead();
                    return ticket;
                }
                Err(present) => present,
            };
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

    /// Where there is little it would ask twice for the same permits.
    fn ask_ahead(self: &Arc<Self>) {
        let has_plenty = self.has_plenty.load(Ordering::Relaxed);
        if has_plenty && self.wanted() > 0 && self.asking.try_lock().is_ok() {
            tokio::spawn(self.clone().restock());
        }
    }

    /// Asks for what is wanted now; returns how long nothing more is to be had.
    async fn restock(self: Arc<Self>) -> Duration {
        let _alone = self.asking.lock().await;
        let asked = self.clock.monotonic();
        let wanted = self.wanted();
        if wanted == 0 {
            return Duration::ZERO;
        }
        let taken = self.shared.take(wanted).await;
        let has_plenty = matches!(&taken, Ok(Grant::Permits { permits, .. }) if *permits == wanted);
        self.has_plenty.store(has_plenty, Ordering::Relaxed);
        match taken {
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

    /// How many to ask for: none while at least half of those present could go on.
    fn wanted(&self) -> u32 {
        let present = self.present.load(Ordering::Relaxed);
        let stock = self.stock().iter().map(|block| block.permits).sum();
        match present / 2 <= stock && stock > 0 {
            true => 0,
            false => present.saturating_sub(stock),
        }
    }

    fn ticket(&self, present: Present) -> Result<Ticket, Present> {
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
            let ticket = match stock.front_mut() {
                Some(block) => {
                    block.permits -= 1;
                    Ok(Ticket {
                        grant: block.grant,
                        usable_until: block.usable_until,
                        used: false,
                        present,
                    })
                }
                None => Err(present),
            };
            stock.retain(|block| block.permits > 0);
            ticket
        };
        self.give_back(expired);
        ticket
    }

    /// Keeps what may be wanted; where nobody is left it goes back at once, for others may
    /// starve.
    fn put(&self, block: Block) {
        let is_wanted = self.present.load(Ordering::Relaxed) > 0;
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
            self.present.0.put(Block {
                grant: self.grant,
                permits: 1,
                usable_until: self.usable_until,
            });
        }
    }
}

/// Somebody who waits at the gate or has passed it and is not done. The last who leaves
/// leaves no stock behind.
#[derive(Debug)]
struct Present(Arc<Gate>);

impl Present {
    fn at(gate: &Arc<Gate>) -> Self {
        gate.present.fetch_add(1, Ordering::Relaxed);
        Self(gate.clone())
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        if self.0.present.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.clear();
        }
    }
}
