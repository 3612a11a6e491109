//! Forwards messages from the database to a queue elsewhere.
//!
//! A message and the change that needs it are one transaction in the database. The relay forwards
//! it from there to the other queue, and the row stays until the work is done. A process that dies
//! meanwhile leaves a row whose lease expires, and the message is sent again: it may arrive twice,
//! but is never lost.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::failure::Failure;

use crate::ports::clock::Clock;
use crate::ports::queue::{
    DeadLetter, DeadLetters, Delivery, Depth, Disposition, JobId, Queue, QueueName, Receipt,
    ReceiptStatus, Redrive,
};
use crate::ports::queue::{Outbox, Pushed, Remote};
use crate::stop::StopSignal;

/// The lease of a message; sending it takes less.
const TAKEN: Duration = Duration::from_secs(60);
/// A message that was sent is sent again if its work is not done by then. Less than what the
/// sweep takes for a wait of a wrong clock.
const ON_ITS_WAY: Duration = Duration::from_secs(24 * 3_600);
const BATCH: u32 = 10;
const POLL: Duration = Duration::from_secs(2);
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(5);

/// [`Queue`] that sends by way of the database and receives elsewhere.
#[derive(Clone, Debug)]
pub struct Relay {
    pub name: QueueName,
    pub outbox: Arc<dyn Outbox>,
    pub remote: Arc<dyn Remote>,
    pub clock: Arc<dyn Clock>,
}

impl Relay {
    /// Forwards messages as they are written, until a stop is requested. Several processes may do
    /// so concurrently.
    pub async fn run(&self, stop: &StopSignal) {
        while !stop.is_requested() {
            let forwarding = async {
                let taken = self.outbox.receive(BATCH, TAKEN, POLL).await?;
                self.forward_all(&taken).await
            };
            let forwarded = tokio::select! {
                biased;
                forwarded = forwarding => forwarded,
                () = stop.requested_for(&*self.clock, POLL * 2) => return,
            };
            if let Err(failure) = forwarded {
                tracing::error!(%failure, queue = %self.name, "messages could not be forwarded; \
                     they wait in the database; trying again");
                tokio::select! {
                    () = stop.requested() => {}
                    () = self.clock.sleep(PAUSE_AFTER_FAILURE) => {}
                }
            }
        }
    }

    /// Forwards what is there now and says how many that were.
    pub async fn once(&self) -> Result<usize, Failure> {
        let mut forwarded = 0;
        loop {
            let taken = self.outbox.receive(BATCH, TAKEN, Duration::ZERO).await?;
            if taken.is_empty() {
                return Ok(forwarded);
            }
            self.forward_all(&taken).await?;
            forwarded += taken.len();
        }
    }

    /// As [`Remote::accept`], for a delivery that is settled here.
    pub async fn accept(&self, pushed: Pushed) -> Result<Option<Delivery>, Failure> {
        Ok(self.remote.accept(pushed).await?.map(with_id))
    }

    /// What cannot be sent is there again after a pause, at no cost.
    async fn forward_all(&self, taken: &[Delivery]) -> Result<(), Failure> {
        let mut first = None;
        for message in taken {
            if first.is_none()
                && let Err(failure) = self.remote.forward(message).await
            {
                first = Some(failure);
            }
            match &first {
                None => {
                    // The other way round a crash would hide it for a day.
                    self.outbox.extend(&message.receipt, ON_ITS_WAY).await?;
                    tracing::debug!(queue = %self.name, job = %message.id, "the message was forwarded");
                }
                Some(_) => {
                    let until = self.clock.now() + PAUSE_AFTER_FAILURE;
                    let snooze = Disposition::Snooze { until };
                    self.outbox.settle(&message.receipt, snooze).await?;
                }
            }
        }
        first.map_or(Ok(()), Err)
    }
}

#[async_trait]
impl Queue for Relay {
    /// Once this returns, the message is in the database, and on the other queue if that was
    /// there.
    async fn send(&self, body: &str, delay: Duration) -> Result<JobId, Failure> {
        let id = self.outbox.send(body, delay).await?;
        if let Err(failure) = self.once().await {
            tracing::warn!(%failure, queue = %self.name, job = %id, "the message waits in the database to be forwarded");
        }
        Ok(id)
    }

    async fn receive(
        &self,
        most: u32,
        visibility: Duration,
        wait: Duration,
    ) -> Result<Vec<Delivery>, Failure> {
        let received = self.remote.receive(most, visibility, wait).await?;
        Ok(received.into_iter().map(with_id).collect())
    }

    async fn extend(
        &self,
        receipt: &Receipt,
        visibility: Duration,
    ) -> Result<ReceiptStatus, Failure> {
        match without_id(receipt) {
            Some((_, receipt)) => self.remote.extend(&receipt, visibility).await,
            None => Ok(ReceiptStatus::Stale),
        }
    }

    async fn settle(
        &self,
        receipt: &Receipt,
        disposition: Disposition,
    ) -> Result<ReceiptStatus, Failure> {
        let Some((id, receipt)) = without_id(receipt) else {
            return Ok(ReceiptStatus::Stale);
        };
        let ends = match disposition {
            Disposition::Ack | Disposition::DeadLetter { .. } => true,
            Disposition::Retry { .. } | Disposition::Snooze { .. } => false,
        };
        let standing = self.remote.settle(&receipt, disposition).await?;
        if ends && standing == ReceiptStatus::Valid {
            self.outbox.forget(&id).await?;
        }
        Ok(standing)
    }

    /// What waits in the database to be forwarded counts too.
    async fn depth(&self) -> Result<Depth, Failure> {
        let (here, there) = (self.outbox.depth().await?, self.remote.depth().await?);
        Ok(Depth {
            ready: here.ready + there.ready,
            delayed: here.delayed + there.delayed,
            in_flight: there.in_flight,
            dead: here.dead + there.dead,
            oldest_ready: here.oldest_ready.max(there.oldest_ready),
        })
    }
}

/// A receipt that also says which row of the outbox the message has.
fn with_id(delivery: Delivery) -> Delivery {
    let receipt = Receipt(format!("{} {}", delivery.id, delivery.receipt.0));
    Delivery {
        receipt,
        ..delivery
    }
}

fn without_id(receipt: &Receipt) -> Option<(JobId, Receipt)> {
    let (id, receipt) = receipt.0.split_once(' ')?;
    Some((JobId(id.to_owned()), Receipt(receipt.to_owned())))
}

/// The letters of both queues: the database has those that could never be forwarded.
#[async_trait]
impl DeadLetters for Relay {
    async fn list(&self, after: Option<&JobId>, limit: u32) -> Result<Vec<DeadLetter>, Failure> {
        let mut letters = self.remote.list(after, limit).await?;
        letters.extend(self.outbox.list(after, limit).await?);
        letters.sort_by(|one, other| one.id.0.cmp(&other.id.0));
        letters.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(letters)
    }

    async fn read(&self, id: &JobId) -> Result<Option<DeadLetter>, Failure> {
        match self.outbox.read(id).await? {
            Some(letter) => Ok(Some(letter)),
            None => self.remote.read(id).await,
        }
    }

    async fn redrive(&self, which: Redrive) -> Result<u64, Failure> {
        let here = self.outbox.redrive(which.clone()).await?;
        Ok(here + self.remote.redrive(which).await?)
    }

    async fn unreported(&self, limit: u32) -> Result<Vec<DeadLetter>, Failure> {
        let mut letters = self.outbox.unreported(limit).await?;
        let left = limit.saturating_sub(u32::try_from(letters.len()).unwrap_or(u32::MAX));
        if left > 0 {
            let there = self.remote.unreported(left).await?;
            for letter in &there {
                // The other queue may have dropped the message: none is in flight any more, and the
                // sweeper must see that.
                self.outbox.forget(&letter.id).await?;
            }
            letters.extend(there);
        }
        Ok(letters)
    }

    async fn discard(&self, id: &JobId) -> Result<bool, Failure> {
        let here = self.outbox.discard(id).await?;
        Ok(self.remote.discard(id).await? || here)
    }
}
