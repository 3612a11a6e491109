//! The queues of workers: in the database, or elsewhere with the database in front.

use std::fmt;
use std::sync::Arc;

use database::Database;
use importer::ports::clock::Clock;
use importer::ports::queue::{DeadLetters, Queue, QueueName, Remote};
use importer::relay::Relay;
use importer::stop::StopSignal;

use crate::config::QueuePlace;

/// A queue and its dead letters, wherever they lie.
pub trait JobQueue: Queue + DeadLetters {}

impl<T: Queue + DeadLetters> JobQueue for T {}

/// All queues by their names; cheap to clone.
#[derive(Clone)]
pub struct Queues {
    database: Database,
    remotes: Option<[Arc<dyn Remote>; QueueName::ALL.len()]>,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for Queues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queues")
            .field("remotes", &self.remotes)
            .finish_non_exhaustive()
    }
}

impl Queues {
    pub fn in_database(database: &Database, clock: Arc<dyn Clock>) -> Self {
        Self {
            database: database.clone(),
            remotes: None,
            clock,
        }
    }

    /// The same queues at another place. Fails with what is missing there.
    #[cfg_attr(
        not(feature = "aws"),
        expect(clippy::unused_async, reason = "there is nowhere else to go")
    )]
    pub async fn at(self, place: &QueuePlace) -> anyhow::Result<Self> {
        match place {
            QueuePlace::Database => Ok(Self {
                remotes: None,
                ..self
            }),
            #[cfg(feature = "aws")]
            QueuePlace::Sqs { prefix } => {
                let aws = aws::Aws::from_environment().await?;
                let [first, second] = QueueName::ALL;
                let remotes = [
                    self.on_sqs(&aws, prefix, first).await?,
                    self.on_sqs(&aws, prefix, second).await?,
                ];
                Ok(Self {
                    remotes: Some(remotes),
                    ..self
                })
            }
            #[cfg(not(feature = "aws"))]
            QueuePlace::Sqs { .. } => Err(crate::exit::UsageError::one(
                "this build of salla-sync does not include SQS; build it with --features aws",
            )
            .into()),
        }
    }

    #[cfg(feature = "aws")]
    async fn on_sqs(
        &self,
        aws: &aws::Aws,
        prefix: &str,
        name: QueueName,
    ) -> Result<Arc<dyn Remote>, domain::failure::Failure> {
        use importer::ports::queue::QueueSettings;
        let settings = QueueSettings::of(name);
        let clock = self.clock.clone();
        let queue = aws::sqs::SqsQueue::open(aws, prefix, name, settings, clock).await?;
        Ok(Arc::new(queue))
    }

    pub fn database(&self) -> &Database {
        &self.database
    }

    /// The same queues with these connections to the database.
    pub fn over(&self, database: &Database) -> Self {
        Self {
            database: database.clone(),
            ..self.clone()
        }
    }

    pub fn of(&self, name: QueueName) -> Arc<dyn JobQueue> {
        match self.relay(name) {
            Some(relay) => Arc::new(relay),
            None => Arc::new(self.database.queue(name)),
        }
    }

    /// Whether messages go to another place than the database.
    pub fn are_remote(&self) -> bool {
        self.remotes.is_some()
    }

    /// The way to a queue that is elsewhere.
    pub fn relay(&self, name: QueueName) -> Option<Relay> {
        let position = QueueName::ALL.iter().position(|one| *one == name)?;
        let remote = self.remotes.as_ref()?[position].clone();
        Some(Relay {
            name,
            outbox: Arc::new(self.database.queue(name)),
            remote,
            clock: self.clock.clone(),
        })
    }

    /// Forwards messages from the database until a stop is asked for; nothing where they stay
    /// there.
    pub async fn forward_until(&self, stop: &StopSignal) {
        let relays: Vec<Relay> = QueueName::ALL
            .into_iter()
            .filter_map(|name| self.relay(name))
            .collect();
        futures::future::join_all(relays.iter().map(|relay| relay.run(stop))).await;
    }

    /// Forwards what is in the database now.
    pub async fn forward(&self) -> Result<(), domain::failure::Failure> {
        for name in QueueName::ALL {
            if let Some(relay) = self.relay(name) {
                relay.once().await?;
            }
        }
        Ok(())
    }
}
