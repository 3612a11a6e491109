//! Keeps imported shops up to date: starts a run for each once in a period, spread over the period
//! by shop, so that they do not all start together.

use std::sync::Arc;
use std::time::Duration;

use domain::failure::Failure;
use domain::run::RunId;

use crate::ports::clock::Clock;
use crate::ports::runs::RunOptions;
use crate::start::{Started, Starter};
use crate::stop::StopSignal;

/// The maximum number of shops that are started together.
const MAX_STARTED: u32 = 500;

/// How long a round may continue after a stop was requested.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);

/// Between two looks there are at most these seconds, however long a shop may be left alone.
const MAX_PAUSE: Duration = Duration::from_secs(30);

pub struct Freshness {
    pub starter: Starter,
    pub clock: Arc<dyn Clock>,
    /// Every shop is brought up to date once in this time.
    pub every: Duration,
}

impl Freshness {
    /// Starts runs until a stop is requested. Several workers may do so concurrently.
    pub async fn run(&self, stop: &StopSignal) {
        let pause = MAX_PAUSE.min(self.every / 4);
        loop {
            let started = tokio::select! {
                biased;
                started = self.once() => started,
                () = stop.requested_for(&*self.clock, SHUTDOWN_GRACE) => return,
            };
            if let Err(failure) = started {
                tracing::error!(%failure, "cannot find the shops that are due; trying again");
            }
            tokio::select! {
                biased;
                () = stop.requested() => return,
                () = self.clock.sleep(pause) => {}
            }
        }
    }

    /// Starts a run for every shop that is due. One that cannot be started is due again later
    /// and holds up no other.
    pub async fn once(&self) -> Result<Vec<RunId>, Failure> {
        let mut started = Vec::new();
        for merchant in self.starter.jobs.take_due(self.every, MAX_STARTED).await? {
            match self.start(merchant).await {
                Ok(run) => started.extend(run),
                Err(failure) => {
                    tracing::error!(%failure, merchant_id = %merchant, "the shop could not be brought up to date");
                }
            }
        }
        Ok(started)
    }

    async fn start(&self, merchant: domain::shop::MerchantId) -> Result<Option<RunId>, Failure> {
        let Some(finished) = self.starter.runs.latest_finished(merchant).await? else {
            return Ok(None);
        };
        let options = RunOptions {
            only: None,
            max_orders: None,
            ..finished.run.options
        };
        let started = self.starter.catch_up(merchant, &options, false).await?;
        let Some(Started { run, .. }) = started else {
            return Ok(None);
        };
        tracing::info!(run_id = %run.id, merchant_id = %merchant, "bringing the shop up to date");
        Ok(Some(run.id))
    }
}
