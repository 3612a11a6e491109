//! The queue: a table in which a lease is a time and a receipt.
//!
//! A message is ready once its `visible_at` has come. Receiving moves that time to the end of the
//! lease and gives out a new receipt, so nothing has to clean up after a consumer that dies, and
//! one that comes late has a stale receipt.

mod dead_letters;
mod messages;
mod wakeups;

use crate::ids::{job_id, new_id, parse_id};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::failure::Failure;
use domain::job::MessageError;
use importer::ports::clock::Clock;
use importer::ports::queue::{
    Delivery, Depth, Disposition, JobId, Outbox, Queue, QueueName, QueueSettings, Receipt,
    ReceiptStatus,
};
use jiff::{SignedDuration, Timestamp};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::error::{TxError, with_retries};
use crate::queue::messages::Outgoing;
use crate::queue::wakeups::Wakeups;

/// A waiting receive polls this often, in case a notification is lost, or a message becomes ready
/// with time.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// [`Queue`] and [`DeadLetters`](importer::ports::queue::DeadLetters) on PostgreSQL.
///
/// All times are those of the given clock. Clones share the connection on which the
/// first receive that waits begins to listen for messages; it is one beside the pool's.
#[derive(Clone, Debug)]
pub struct PostgresQueue {
    pool: PgPool,
    clock: Arc<dyn Clock>,
    name: QueueName,
    settings: QueueSettings,
    wakeups: Arc<Wakeups>,
}

impl PostgresQueue {
    pub fn new(
        pool: PgPool,
        clock: Arc<dyn Clock>,
        name: QueueName,
        settings: QueueSettings,
    ) -> Self {
        let wakeups = Arc::new(Wakeups::new(pool.clone(), clock.clone(), name));
        Self {
            pool,
            clock,
            name,
            settings,
            wakeups,
        }
    }

    /// Sends as part of the caller's transaction: the message exists from its commit on, or never.
    /// Not retried automatically, because the transaction is lost with its connection.
    pub async fn send_in(
        &self,
        connection: &mut PgConnection,
        body: &str,
        delay: Duration,
    ) -> Result<JobId, Failure> {
        let message = self.outgoing(body, delay);
        messages::send(connection, self.name, &message)
            .await
            .map_err(|error| error.into_failure("sending a message"))?;
        Ok(job_id(message.id))
    }

    fn outgoing<'a>(&self, body: &'a str, delay: Duration) -> Outgoing<'a> {
        let now = self.clock.now();
        Outgoing {
            id: new_id(now),
            body,
            sent_at: now,
            visible_at: later(now, delay),
        }
    }

    async fn lease(&self, most: u32, visibility: Duration) -> Result<Vec<Delivery>, Failure> {
        loop {
            let received = with_retries(&self.clock, "receiving messages", || {
                let now = self.clock.now();
                let (receipt, until) = (new_id(now), later(now, visibility));
                messages::lease(
                    &self.pool,
                    self.name,
                    self.settings,
                    most,
                    (now, until),
                    receipt,
                )
            })
            .await?;
            for job in &received.dead_letters {
                tracing::warn!(queue = %self.name, %job, "the message went to the dead letters: attempts are used up");
            }
            // Behind dead letters there may be messages that can be delivered.
            if !received.leased.is_empty() || received.dead_letters.is_empty() {
                return Ok(received.leased);
            }
        }
    }
}

#[async_trait]
impl Queue for PostgresQueue {
    async fn send(&self, body: &str, delay: Duration) -> Result<JobId, Failure> {
        let message = self.outgoing(body, delay);
        with_retries(&self.clock, "sending a message", || async {
            let mut connection = self.pool.acquire().await?;
            messages::send(&mut connection, self.name, &message).await
        })
        .await?;
        Ok(job_id(message.id))
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
        if wait.is_zero() {
            return self.lease(most, visibility).await;
        }
        let until = self.clock.monotonic().saturating_add(wait);
        // From before the first look on, so that no message falls between the two.
        let mut news = self.wakeups.subscribe();
        loop {
            // Before the look: the last one begins when the time is over, so that what
            // became ready during a slow one is not left behind.
            let is_last = self.clock.monotonic() >= until;
            let leased = self.lease(most, visibility).await?;
            if !leased.is_empty() || is_last {
                return Ok(leased);
            }
            let left = until.saturating_sub(self.clock.monotonic());
            tokio::select! {
                () = news.next() => {}
                () = self.clock.sleep(left.min(POLL_INTERVAL)) => {}
            }
        }
    }

    async fn extend(
        &self,
        receipt: &Receipt,
        visibility: Duration,
    ) -> Result<ReceiptStatus, Failure> {
        let Some(lease) = Lease::parse(receipt) else {
            return Ok(ReceiptStatus::Stale);
        };
        with_retries(&self.clock, "extending a message's lease", || {
            let until = later(self.clock.now(), visibility);
            messages::extend(&self.pool, self.name, lease, until)
        })
        .await
    }

    async fn settle(
        &self,
        receipt: &Receipt,
        disposition: Disposition,
    ) -> Result<ReceiptStatus, Failure> {
        let Some(lease) = Lease::parse(receipt) else {
            return Ok(ReceiptStatus::Stale);
        };
        let standing = with_retries(&self.clock, "settling a message", || {
            let now = self.clock.now();
            messages::settle(
                &self.pool,
                self.name,
                self.settings,
                lease,
                &disposition,
                now,
            )
        })
        .await?;
        if let (Disposition::DeadLetter { reason: why }, ReceiptStatus::Valid) =
            (&disposition, standing)
        {
            tracing::warn!(queue = %self.name, job = %lease.id, %why, "the message went to the dead letters");
        }
        Ok(standing)
    }

    async fn depth(&self) -> Result<Depth, Failure> {
        with_retries(&self.clock, "counting messages", || {
            messages::depth(&self.pool, self.name, self.clock.now())
        })
        .await
    }
}

#[async_trait]
impl Outbox for PostgresQueue {
    async fn forget(&self, id: &JobId) -> Result<(), Failure> {
        let Some(id) = parse_id(id) else {
            return Ok(());
        };
        with_retries(&self.clock, "deleting a message whose work is done", || {
            messages::forget(&self.pool, self.name, id)
        })
        .await
    }
}

/// Sends one of our messages as part of the caller's transaction, without delay.
pub(crate) async fn send_now(
    tx: &mut PgConnection,
    queue: QueueName,
    body: &str,
    now: Timestamp,
) -> Result<(), TxError> {
    let message = Outgoing {
        id: new_id(now),
        body,
        sent_at: now,
        visible_at: now,
    };
    messages::send(tx, queue, &message).await
}

/// The text of one of our messages, which only a bug makes unreadable.
pub(crate) fn body(written: Result<String, MessageError>) -> Result<String, Failure> {
    written.map_err(|unreadable| Failure::Bug {
        message: format!("a message cannot be written: {unreadable}"),
    })
}

/// A receipt from the inside.
#[derive(Clone, Copy, Debug)]
struct Lease {
    id: Uuid,
    receipt: Uuid,
}

impl Lease {
    fn parse(receipt: &Receipt) -> Option<Self> {
        let (id, receipt) = receipt.0.split_once('/')?;
        Some(Self {
            id: Uuid::try_parse(id).ok()?,
            receipt: Uuid::try_parse(receipt).ok()?,
        })
    }

    fn to_receipt(self) -> Receipt {
        Receipt(format!("{}/{}", self.id, self.receipt))
    }
}

/// A time too far to represent becomes the last representable one.
fn later(now: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by)
        .ok()
        .and_then(|by| now.checked_add(by).ok())
        .unwrap_or(Timestamp::MAX)
}
