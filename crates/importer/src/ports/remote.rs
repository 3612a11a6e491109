//! A queue that does not lie in the database, and what the database keeps of its messages.

use std::collections::HashMap;

use async_trait::async_trait;
use domain::failure::Failure;
use jiff::Timestamp;

use super::queue::{DeadLetters, Delivery, JobId, Queue};

/// The queue in the database as the place where messages for a [`Remote`] one are written, in
/// the transaction that makes them necessary. A message stays here, hidden, until its work is
/// done: so the sweep sees that it is on its way.
#[async_trait]
pub trait Outbox: Queue + DeadLetters {
    /// Deletes a message whose work is done, whoever holds it. May be repeated; nothing
    /// happens if there is none.
    async fn forget(&self, id: &JobId) -> Result<(), Failure>;
}

/// A queue elsewhere, from which workers receive.
#[async_trait]
pub trait Remote: Queue + DeadLetters {
    /// Sends a message of the outbox, which keeps its id and the time when it was sent first.
    /// Repeated, or after a lost answer, it is there twice.
    async fn forward(&self, message: &Delivery) -> Result<(), Failure>;

    /// The delivery of a message that the queue has handed over by itself. `None` where it has
    /// no attempt left or is not due yet: it is among the dead letters then, or was sent again.
    async fn accept(&self, pushed: Pushed) -> Result<Option<Delivery>, Failure>;
}

/// A message that a queue hands over without having been asked.
#[derive(Clone, Default)]
pub struct Pushed {
    /// The queue's own id of it.
    pub id: String,
    pub receipt: String,
    pub body: String,
    /// Deliveries since it was sent, this one included; at least 1.
    pub deliveries: u32,
    pub sent_at: Option<Timestamp>,
    /// What the sender has written beside the body.
    pub attributes: HashMap<String, String>,
}

/// Leaves the body out, as [`Delivery`] does.
impl std::fmt::Debug for Pushed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pushed")
            .field("id", &self.id)
            .field("deliveries", &self.deliveries)
            .finish_non_exhaustive()
    }
}
