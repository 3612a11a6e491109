//! Jobs for workers.
//!
//! A queue is for what may be done more than once: every message is delivered at least
//! once and in no order. What a job must not do twice, or at the same time as another,
//! is guarded where it is done, by the claim of its run.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use domain::failure::Failure;
use jiff::Timestamp;

domain::names! {
    /// The queues there are.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub enum QueueName {
        /// Carries [`domain::job::HistoricalSync`].
        HistoricalSync = "historical-sync",
        /// Carries [`domain::job::NotificationJob`].
        Notifications = "notifications",
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueSettings {
    /// So often is a message delivered, snoozes aside, before it goes to the dead
    /// letters; at least 1.
    pub max_attempts: u32,
}

impl QueueSettings {
    /// What suits the jobs of this queue.
    pub fn of(queue: QueueName) -> Self {
        Self {
            max_attempts: match queue {
                // The worker gives a run up itself, earlier and with a reason; here is
                // only the last resort.
                QueueName::HistoricalSync => 20,
                QueueName::Notifications => 6,
            },
        }
    }
}

/// Why a message is among the dead letters when no consumer gave a reason.
pub const ATTEMPTS_EXHAUSTED: &str = "attempts are used up";

/// The identity of a message, which it keeps forever: through every delivery, among
/// the dead letters and back. What it looks like is the adapter's business.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct JobId(pub String);

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The right to decide about one delivery. It ends when the message is settled or
/// delivered again. What it looks like is the adapter's business.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt(pub String);

/// A message as one consumer was given it.
#[derive(Clone, PartialEq, Eq)]
pub struct Delivery {
    pub id: JobId,
    pub body: String,
    /// 1 on the first delivery. Grows with each, unsettled ones included; a delivery that was
    /// snoozed is not counted.
    pub attempt: u32,
    pub receipt: Receipt,
    /// When the message was first sent.
    pub sent_at: Timestamp,
}

/// Leaves the body out: deliveries get into logs.
impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("id", &self.id)
            .field("attempt", &self.attempt)
            .field("sent_at", &self.sent_at)
            .finish_non_exhaustive()
    }
}

/// What becomes of a message that a consumer holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// The work is done: the message goes.
    Ack,
    /// It did not work; deliver the message again `after` this time. The attempt
    /// counts, and the last permitted one moves the message to the dead letters
    /// because [`ATTEMPTS_EXHAUSTED`].
    Retry { after: Duration },
    /// Nothing went wrong, but it is too early: deliver the message again from then
    /// on. Costs nothing, since the delivery that led to it is not counted; it may be
    /// repeated forever.
    Snooze { until: Timestamp },
    /// No repetition can help: the message goes to the dead letters with this reason,
    /// which carries neither the body nor anything personal.
    DeadLetter { reason: String },
}

/// Whether the receipt was still good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiptStatus {
    /// It was, and the decision took effect. An expired lease is still valid until another consumer
    /// has received the message.
    Valid,
    /// Another consumer has the message or it is gone; nothing was changed.
    Stale,
}

/// How much there is on a queue at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// Could be received now, those included whose consumer let its lease run out.
    pub ready: u64,
    /// Wait for their time after a send with a delay, a retry or a snooze.
    pub delayed: u64,
    /// Held by a consumer whose lease has not run out.
    pub in_flight: u64,
    /// Dead letters.
    pub dead: u64,
    /// How long the longest-ready message has been ready: time in which it could have been
    /// received, not its age. `None` also if a queue does not report it.
    pub oldest_ready: Option<Duration>,
}

/// One queue.
///
/// **Repeated:** a message is delivered again whenever its lease runs out before it is
/// settled, and may be delivered twice for no reason that a consumer could see. A send
/// whose answer was lost may leave two messages; the caller sees one id or a failure.
///
/// **In parallel:** any number of consumers may receive concurrently, in any number of processes;
/// each message goes to one of them at a time. If work takes longer than its lease, the lease
/// expires meanwhile and two consumers work on the same job: the late one gets a stale receipt when
/// it settles.
///
/// **Lost:** nothing, once a send has returned. There is no order, not even for
/// messages of one sender.
///
/// Delays, leases and snoozes use the adapter's clock. If several processes with separate clocks
/// share a queue, each time is as exact as their clocks agree.
#[async_trait]
pub trait Queue: Send + Sync + fmt::Debug {
    /// Puts a message on the queue, to be received from `delay` on.
    async fn send(&self, body: &str, delay: Duration) -> Result<JobId, Failure>;

    /// Leases up to `most` messages for `visibility_timeout` each: until then no other consumer
    /// receives them. Waits up to `wait` for the first and then returns immediately with what is
    /// ready, which may be fewer than there are; none after `wait`, or if `most` is 0.
    ///
    /// Each delivery counts as an attempt, so that a message that kills its workers
    /// does not do so forever: one that has no attempt left goes to the dead letters
    /// because [`ATTEMPTS_EXHAUSTED`] instead of being delivered.
    ///
    /// Safe to cancel: what was leased by then comes back after `visibility_timeout`, and the
    /// attempt counts. The same holds when the response to a lease gets lost.
    async fn receive(
        &self,
        most: u32,
        visibility_timeout: Duration,
        wait: Duration,
    ) -> Result<Vec<Delivery>, Failure>;

    /// Makes the lease end `visibility_timeout` from now, sooner or later than before. May be
    /// repeated.
    async fn extend(
        &self,
        receipt: &Receipt,
        visibility_timeout: Duration,
    ) -> Result<ReceiptStatus, Failure>;

    /// Settles a message. Of several decisions under one receipt the first takes effect and the
    /// others are stale. If a connection breaks meanwhile, the caller may get
    /// [`ReceiptStatus::Stale`] for its own decision that took effect; there is nothing left to do
    /// then either.
    async fn settle(
        &self,
        receipt: &Receipt,
        disposition: Disposition,
    ) -> Result<ReceiptStatus, Failure>;

    /// Counts everything. For operators and metrics: it may cost time in proportion to the messages
    /// there are, and the response may be out of date when it arrives.
    async fn depth(&self) -> Result<Depth, Failure>;
}

/// A message that needs a person.
#[derive(Clone, PartialEq, Eq)]
pub struct DeadLetter {
    pub id: JobId,
    pub body: String,
    pub reason: String,
    /// Deliveries that counted before it became a dead letter.
    pub attempts: u32,
    pub sent_at: Timestamp,
    pub dead_lettered_at: Timestamp,
}

/// Leaves the body out, as [`Delivery`] does.
impl fmt::Debug for DeadLetter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadLetter")
            .field("id", &self.id)
            .field("reason", &self.reason)
            .field("attempts", &self.attempts)
            .field("dead_lettered_at", &self.dead_lettered_at)
            .finish_non_exhaustive()
    }
}

/// Which dead letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Redrive {
    One(JobId),
    /// All that there are when the call begins.
    All,
}

/// Dead letters of one queue, stored until they are redriven or discarded.
///
/// Nothing is removed automatically. Calls may be repeated; after a lost connection the result may
/// lack what the first try did.
#[async_trait]
pub trait DeadLetters: Send + Sync + fmt::Debug {
    /// Up to `limit` letters, always in the same order, from the one behind `after` on.
    async fn list(&self, after: Option<&JobId>, limit: u32) -> Result<Vec<DeadLetter>, Failure>;

    async fn read(&self, id: &JobId) -> Result<Option<DeadLetter>, Failure>;

    /// Sends dead letters again, ready immediately and with all attempts left, and returns their
    /// number.
    async fn redrive(&self, which: Redrive) -> Result<u64, Failure>;

    /// Up to `limit` dead letters that no such call has returned yet, to alert operators once about
    /// each. Of several concurrent callers one gets a letter; if its response is lost, no alert is
    /// sent.
    async fn unreported(&self, limit: u32) -> Result<Vec<DeadLetter>, Failure>;

    /// Deletes a letter permanently; `false` if there was none.
    async fn discard(&self, id: &JobId) -> Result<bool, Failure>;
}

/// The queue in the database as the place where messages for a [`Remote`] one are written, in
/// the transaction that makes them necessary. A message stays here, hidden, until its work is
/// done: so the sweep sees that it is on its way.
#[async_trait]
pub trait Outbox: Queue + DeadLetters {
    /// Deletes a message whose work is done, even if another consumer holds it. May be repeated;
    /// nothing happens if there is none.
    async fn forget(&self, id: &JobId) -> Result<(), Failure>;
}

/// A queue elsewhere, from which workers receive.
#[async_trait]
pub trait Remote: Queue + DeadLetters {
    /// Sends a message of the outbox, which keeps its id and the time when it was sent first.
    /// Repeated, or after a lost response, it is there twice.
    async fn forward(&self, message: &Delivery) -> Result<(), Failure>;

    /// The delivery of a message that the queue has pushed. `None` if it has no attempt left or is
    /// not due yet: it is among the dead letters then, or was sent again.
    async fn accept(&self, pushed: Pushed) -> Result<Option<Delivery>, Failure>;
}

/// A message that a queue pushes.
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
