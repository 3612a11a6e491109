//! Waking receives that wait, by PostgreSQL's notifications.
//!
//! A notification only makes a message arrive sooner. Receives look for themselves at
//! intervals, so nothing depends on one: a connection may break, and PgBouncer may take
//! a LISTEN and never deliver anything.

use std::convert::Infallible;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use importer::ports::clock::Clock;
use importer::ports::queue::QueueName;
use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::error::reason;
use crate::session;

/// One for all queues; what is notified of is the name of one.
pub(crate) const CHANNEL: &str = "salla_sync_queue";

/// Between two tries to listen.
const PAUSE: Duration = Duration::from_secs(5);

/// How long one try waits for its connection.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Wakes all receivers of this process to poll.
#[derive(Debug)]
pub(crate) struct Wakeups {
    pool: PgPool,
    clock: Arc<dyn Clock>,
    queue: QueueName,
    news: watch::Sender<()>,
    /// Ends with this value. It begins with the first who waits: most of those who send
    /// never do.
    listening: OnceLock<JoinSet<()>>,
}

impl Wakeups {
    pub(crate) fn new(pool: PgPool, clock: Arc<dyn Clock>, queue: QueueName) -> Self {
        Self {
            pool,
            clock,
            queue,
            news: watch::Sender::new(()),
            listening: OnceLock::new(),
        }
    }

    pub(crate) fn subscribe(&self) -> WakeupReceiver {
        self.listening.get_or_init(|| {
            let mut task = JoinSet::new();
            task.spawn(listen(
                self.pool.clone(),
                self.clock.clone(),
                self.queue,
                self.news.clone(),
            ));
            task
        });
        WakeupReceiver(self.news.subscribe())
    }
}

pub(crate) struct WakeupReceiver(watch::Receiver<()>);

impl WakeupReceiver {
    /// Returns when there may be a message that was not there at the last call, or at
    /// the subscription. Safe to cancel.
    pub(crate) async fn next(&mut self) {
        if self.0.changed().await.is_err() {
            // No notification will come: a waiting receiver polls.
            std::future::pending::<()>().await;
        }
    }
}

async fn listen(pool: PgPool, clock: Arc<dyn Clock>, queue: QueueName, news: watch::Sender<()>) {
    // A connection that is held forever must not be one of those that the work needs.
    let own = session::pool(TIMEOUT, &pool.connect_options())
        .max_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_lazy_with(pool.connect_options().as_ref().clone());
    let mut is_reported = false;
    loop {
        let Err(error) = follow(&own, queue, &news, &mut is_reported).await;
        if !is_reported {
            is_reported = true;
            let why = reason(&error);
            tracing::warn!(%queue, why, "notifications of new messages do not work; workers poll \
                 once a second");
        }
        clock.sleep(PAUSE).await;
    }
}

/// Listens until that fails permanently.
async fn follow(
    pool: &PgPool,
    queue: QueueName,
    news: &watch::Sender<()>,
    is_reported: &mut bool,
) -> Result<Infallible, sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(CHANNEL).await?;
    *is_reported = false;
    loop {
        // Notifications sent before, or while the connection was lost, were not received.
        news.send_replace(());
        while let Some(notification) = listener.try_recv().await? {
            if notification.payload() == queue.as_str() {
                news.send_replace(());
            }
        }
    }
}
