//! [`Queue`] and [`DeadLetters`](importer::ports::queue::DeadLetters) on SQS: two standard queues for each of ours, the second one
//! for dead letters.
//!
//! What SQS does not have is made of what it has. A snooze, a retry and a delay of more than
//! fifteen minutes are a fresh message that is sent before the old one is deleted: a process that
//! dies between the two leaves two messages, of which only one consumer can claim the run. A letter
//! is redriven by receiving, sending and deleting it.

mod calls;
mod letters;
mod message;
#[cfg(feature = "testing")]
pub mod testing;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::failure::Failure;
use importer::ports::clock::Clock;
use importer::ports::queue::{
    ATTEMPTS_EXHAUSTED, Delivery, Depth, Disposition, JobId, Pushed, Queue, QueueName,
    QueueSettings, Receipt, ReceiptStatus, Remote,
};
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use self::calls::Calls;
use self::message::{Burial, Lease, Received, Stored};
use crate::Aws;

/// The maximum number of messages in one SQS receive.
const BATCH: u32 = 10;
/// The longest that SQS lets a receive wait.
const LONGEST_POLL: Duration = Duration::from_secs(20);
/// How long settling a message may take.
const SETTLING: Duration = Duration::from_secs(60);
/// A message that comes earlier by less than this is delivered: SQS waits in whole seconds.
const EARLY: SignedDuration = SignedDuration::from_secs(1);

/// What SQS calls a queue of ours: `<prefix>-<name>`, and `…-dead` for its dead letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueNames {
    pub queue: String,
    pub dead_letters: String,
}

impl QueueNames {
    pub fn of(prefix: &str, name: QueueName) -> Self {
        Self {
            queue: format!("{prefix}-{name}"),
            dead_letters: format!("{prefix}-{name}-dead"),
        }
    }
}

/// One queue on SQS.
///
/// SQS detects late decisions only roughly: it may accept one although another consumer has
/// received the message meanwhile. It does not report how long a message has been ready
/// ([`Depth::oldest_ready`] is `None`; CloudWatch has it), counts approximately, and keeps a
/// message for fourteen days at most, dead or alive.
#[derive(Clone, Debug)]
pub struct SqsQueue {
    calls: Calls,
    name: QueueName,
    settings: QueueSettings,
    clock: Arc<dyn Clock>,
}

impl SqsQueue {
    /// Looks both queues up. Fails with what is missing: a queue, or a right.
    pub async fn open(
        aws: &Aws,
        prefix: &str,
        name: QueueName,
        settings: QueueSettings,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Failure> {
        let calls = Calls::open(aws, &QueueNames::of(prefix, name)).await?;
        Ok(Self {
            calls,
            name,
            settings,
            clock,
        })
    }

    /// Sends a message so that it comes when it may.
    async fn put(&self, stored: &Stored) -> Result<(), Failure> {
        let now = self.clock.now();
        let wait = stored
            .not_before
            .map_or(SignedDuration::ZERO, |until| until.duration_since(now));
        let wait = Duration::try_from(wait).unwrap_or_default();
        self.calls.send(stored, wait).await
    }

    async fn dead_letter(&self, mut stored: Stored, reason: String) -> Result<(), Failure> {
        stored.not_before = None;
        stored.burial = Some(Burial {
            reason,
            at: self.clock.now(),
            is_alerted: false,
        });
        self.calls.send_letter(&stored).await
    }

    /// Decides whether what was received is delivered.
    async fn admit(&self, received: Received) -> Result<Option<Delivery>, Failure> {
        let (now, attempt) = (self.clock.now(), received.attempt());
        let is_early = |until: Timestamp| until.duration_since(now) >= EARLY;
        if received.stored.not_before.is_some_and(is_early) {
            let again = Stored {
                attempts: attempt.saturating_sub(1),
                ..received.stored
            };
            self.put(&again).await?;
            self.calls.delete(&received.handle).await?;
            return Ok(None);
        }
        if attempt > self.settings.max_attempts {
            let id = received.stored.job_id();
            let stored = Stored {
                attempts: attempt - 1,
                ..received.stored
            };
            self.dead_letter(stored, ATTEMPTS_EXHAUSTED.to_owned())
                .await?;
            self.calls.delete(&received.handle).await?;
            tracing::warn!(queue = %self.name, job = %id, "the message went to the dead letters: attempts are used up");
            return Ok(None);
        }
        let receipt = received.receipt(self.name.as_str());
        Ok(Some(Delivery {
            id: received.stored.job_id(),
            body: received.stored.body,
            attempt,
            receipt,
            sent_at: received.stored.sent_at,
        }))
    }

    /// What was received and may be delivered, and whether anything was received.
    async fn look(
        &self,
        most: u32,
        visibility: Duration,
        wait: Duration,
    ) -> Result<(Vec<Delivery>, bool), Failure> {
        let received = self
            .calls
            .receive(most.min(BATCH), visibility, wait)
            .await?;
        let is_empty = received.is_empty();
        let mut deliveries = Vec::with_capacity(received.len());
        for message in received {
            let received = Received::read(message, self.clock.now());
            match self.admit(received).await {
                Ok(delivery) => deliveries.extend(delivery),
                // It comes back when its lease ends; the others are here.
                Err(failure) => {
                    tracing::warn!(%failure, queue = %self.name, "a message could not be put off");
                }
            }
        }
        Ok((deliveries, is_empty))
    }

    /// Carries out what was decided under a receipt that serves.
    async fn decide(&self, lease: Lease, disposition: Disposition) -> Result<(), Failure> {
        let attempt = lease.attempt;
        let stored = |attempts, not_before| Stored {
            id: lease.id.clone(),
            body: lease.body.clone(),
            sent_at: lease.sent_at,
            attempts,
            not_before,
            burial: None,
        };
        match disposition {
            Disposition::Ack => {}
            Disposition::Retry { .. } if attempt >= self.settings.max_attempts => {
                let reason = ATTEMPTS_EXHAUSTED.to_owned();
                self.dead_letter(stored(attempt, None), reason).await?;
                tracing::warn!(queue = %self.name, job = %lease.id, "the message went to the dead letters: attempts are used up");
            }
            Disposition::Retry { after } => {
                let until = later(self.clock.now(), after);
                self.put(&stored(attempt, Some(until))).await?;
            }
            Disposition::Snooze { until } => {
                let attempts = attempt.saturating_sub(1);
                self.put(&stored(attempts, Some(until))).await?;
            }
            Disposition::DeadLetter { reason: why } => {
                tracing::warn!(queue = %self.name, job = %lease.id, %why, "the message went to the dead letters");
                self.dead_letter(stored(attempt, None), why).await?;
            }
        }
        self.calls.delete(&lease.handle).await
    }
}

#[async_trait]
impl Queue for SqsQueue {
    async fn send(&self, body: &str, delay: Duration) -> Result<JobId, Failure> {
        let now = self.clock.now();
        let stored = Stored {
            id: new_id(now),
            body: body.to_owned(),
            sent_at: now,
            attempts: 0,
            not_before: (!delay.is_zero()).then(|| later(now, delay)),
            burial: None,
        };
        self.put(&stored).await?;
        Ok(stored.job_id())
    }

    async fn receive(
        &self,
        most: u32,
        visibility: Duration,
        wait: Duration,
    ) -> Result<Vec<Delivery>, Failure> {
        if most == 0 {
            return Ok(Vec::new());
        }
        let until = self.clock.monotonic().saturating_add(wait);
        loop {
            let left = until.saturating_sub(self.clock.monotonic());
            let wait = left.min(LONGEST_POLL);
            let (deliveries, is_empty) = self.look(most, visibility, wait).await?;
            // Behind what was put off there may be what can be delivered.
            if !deliveries.is_empty() || is_empty && self.clock.monotonic() >= until {
                return Ok(deliveries);
            }
        }
    }

    async fn extend(
        &self,
        receipt: &Receipt,
        visibility: Duration,
    ) -> Result<ReceiptStatus, Failure> {
        match Lease::parse(receipt, self.name.as_str()) {
            Some(lease) => {
                self.calls
                    .change_visibility(&lease.handle, visibility)
                    .await
            }
            None => Ok(ReceiptStatus::Stale),
        }
    }

    async fn settle(
        &self,
        receipt: &Receipt,
        disposition: Disposition,
    ) -> Result<ReceiptStatus, Failure> {
        let Some(lease) = Lease::parse(receipt, self.name.as_str()) else {
            return Ok(ReceiptStatus::Stale);
        };
        // Deleting says nothing about whether the receipt still serves; this does.
        let standing = self
            .calls
            .change_visibility(&lease.handle, SETTLING)
            .await?;
        if standing == ReceiptStatus::Valid {
            self.decide(lease, disposition).await?;
        }
        Ok(standing)
    }

    async fn depth(&self) -> Result<Depth, Failure> {
        self.calls.depth().await
    }
}

#[async_trait]
impl Remote for SqsQueue {
    async fn forward(&self, message: &Delivery) -> Result<(), Failure> {
        self.put(&Stored {
            id: message.id.0.clone(),
            body: message.body.clone(),
            sent_at: message.sent_at,
            attempts: 0,
            not_before: None,
            burial: None,
        })
        .await
    }

    async fn accept(&self, pushed: Pushed) -> Result<Option<Delivery>, Failure> {
        self.admit(Received::read(pushed, self.clock.now())).await
    }
}

fn new_id(now: Timestamp) -> String {
    let seconds = now.as_second().max(0).cast_unsigned();
    let nanos = now.subsec_nanosecond().max(0).cast_unsigned();
    let time = uuid::Timestamp::from_unix(uuid::NoContext, seconds, nanos);
    Uuid::new_v7(time).to_string()
}

/// A time too far to represent becomes the last representable one.
fn later(now: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by)
        .ok()
        .and_then(|by| now.checked_add(by).ok())
        .unwrap_or(Timestamp::MAX)
}
