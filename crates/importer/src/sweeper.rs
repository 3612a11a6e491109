//! Finds what fell through: runs whose worker died or whose message was lost, and runs
//! that get nowhere.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::failure::Failure;
use domain::run::RunId;

use crate::duties::Duty;
use crate::ports::clock::Clock;
use crate::ports::jobs::{Jobs, Orphan, Stalled};
use crate::ports::notifications::{Alert, Alerts};
use crate::ports::queue::{DeadLetter, DeadLetters, QueueName};
use crate::stop::StopSignal;

/// Maximum number of dead letters of a queue that one sweep reports.
const MAX_LETTERS: u32 = 100;

pub struct Sweeper {
    pub jobs: Arc<dyn Jobs>,
    /// Dead letters, by the name of their queue.
    pub dead_letters: Vec<(QueueName, Arc<dyn DeadLetters>)>,
    /// Operators get alerts about stalled runs and dead letters through each of them.
    pub alerts: Vec<Arc<dyn Alerts>>,
    pub clock: Arc<dyn Clock>,
    pub settings: SweeperSettings,
}

#[derive(Clone, Debug)]
pub struct SweeperSettings {
    pub every: Duration,
    /// How long a run without a worker is left unchanged: its message may be in flight.
    pub grace: Duration,
    /// A run with a live worker is reported when nothing has landed for this time.
    pub idle: Duration,
    /// So often is a run sent again without any progress before it ends FAILED.
    pub most_again: u32,
}

impl Default for SweeperSettings {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(30),
            grace: Duration::from_secs(30),
            idle: Duration::from_secs(15 * 60),
            most_again: 3,
        }
    }
}

/// What one sweep found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SweepReport {
    pub sent_again: Vec<Orphan>,
    /// They lost their workers too often without any progress.
    pub given_up: Vec<Orphan>,
    pub reconnected: Vec<RunId>,
    pub stalled: Vec<Stalled>,
    /// Number of new dead letters.
    pub unreported: usize,
}

#[async_trait]
impl Duty for Sweeper {
    fn name(&self) -> &'static str {
        "sweeping"
    }

    fn pause(&self) -> Duration {
        self.settings.every
    }

    async fn round(&self, _: &StopSignal) -> Result<(), Failure> {
        self.sweep_once().await.map(drop)
    }
}

impl Sweeper {
    pub async fn sweep_once(&self) -> Result<SweepReport, Failure> {
        let orphans = self.jobs.resend_orphans(self.settings.grace).await?;
        let (given_up, sent_again): (Vec<Orphan>, Vec<Orphan>) = orphans
            .into_iter()
            .partition(|orphan| orphan.resends > self.settings.most_again);
        for orphan in &sent_again {
            tracing::warn!(
                run_id = %orphan.run, merchant_id = %orphan.merchant, state = %orphan.state,
                sent_again = orphan.resends,
                "the run had no worker and no message: a message was sent again"
            );
        }
        for orphan in &given_up {
            self.fail_orphan(orphan).await?;
        }
        let reconnected = self.jobs.restart_reconnected().await?;
        for run in &reconnected {
            tracing::info!(run_id = %run, "the shop was connected again: the run resumes");
        }
        let stalled = self.jobs.newly_stalled(self.settings.idle).await?;
        for run in &stalled {
            self.raise(self.about_stalled(run)).await;
        }
        let mut unreported = 0;
        for (queue, letters) in &self.dead_letters {
            let new = letters.unreported(MAX_LETTERS).await?;
            unreported += new.len();
            if let Some(alert) = self.about_letters(*queue, &new) {
                self.raise(alert).await;
            }
        }
        Ok(SweepReport {
            sent_again,
            given_up,
            reconnected,
            stalled,
            unreported,
        })
    }

    fn about_stalled(&self, stalled: &Stalled) -> Alert {
        Alert {
            code: "stalled",
            summary: format!(
                "nothing has landed for {} minutes although the run's worker ({}) is alive and not \
                 waiting for Salla",
                stalled.idle.as_secs() / 60,
                stalled.owner
            ),
            advice: format!(
                "salla-sync runs pause {run}, then salla-sync runs resume {run}: any free worker \
                 resumes from the checkpoint; if it stalls again, restart the worker that \
                 salla-sync runs show {run} names",
                run = stalled.run
            ),
            merchant: Some(stalled.merchant),
            run: Some(stalled.run),
            at: self.clock.now(),
        }
    }

    /// One alert for all that are new: a fault that dead-letters a hundred messages is one thing to
    /// act on.
    fn about_letters(&self, queue: QueueName, letters: &[DeadLetter]) -> Option<Alert> {
        let last = letters.last()?;
        Some(Alert {
            code: "dead_letters",
            summary: format!(
                "{} new dead letter(s) in {queue}; reason of the latest: {}",
                letters.len(),
                last.reason
            ),
            advice: format!(
                "salla-sync queue dead --queue {queue} lists them with their reasons; once the \
                 cause is fixed, salla-sync queue redrive with their ids sends them again"
            ),
            merchant: None,
            run: None,
            at: self.clock.now(),
        })
    }

    /// A channel that does not take it is no reason to sweep less.
    async fn raise(&self, alert: Alert) {
        for channel in &self.alerts {
            if let Err(failure) = channel.raise(&alert).await {
                tracing::error!(%failure, code = alert.code, "the alert could not be delivered");
            }
        }
    }

    async fn fail_orphan(&self, orphan: &Orphan) -> Result<(), Failure> {
        let failure = Failure::Broken {
            message: format!(
                "the worker of this run was lost {} times in a row without any progress",
                orphan.resends
            ),
        };
        tracing::error!(
            run_id = %orphan.run, merchant_id = %orphan.merchant, %failure, "the run FAILED"
        );
        self.jobs.fail_orphan(orphan.run, &failure).await
    }
}
