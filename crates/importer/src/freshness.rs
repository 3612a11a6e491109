//! Keeps imported shops up to date: starts a run for each once in a period, spread over the period
//! by shop, so that they do not all start together.

use std::time::Duration;

use async_trait::async_trait;
use domain::failure::Failure;
use domain::run::RunId;

use crate::duties::Duty;
use crate::ports::runs::RunOptions;
use crate::start::{Started, Starter};
use crate::stop::StopSignal;

/// The maximum number of shops that are started together.
const MAX_STARTED: u32 = 500;

/// Between two looks there are at most these seconds, however long a shop may be left alone.
const MAX_PAUSE: Duration = Duration::from_secs(30);

pub struct Freshness {
    pub starter: Starter,
    /// Every shop is brought up to date once in this time.
    pub every: Duration,
}

#[async_trait]
impl Duty for Freshness {
    fn name(&self) -> &'static str {
        "bringing shops up to date"
    }

    fn pause(&self) -> Duration {
        MAX_PAUSE.min(self.every / 4)
    }

    async fn round(&self, _: &StopSignal) -> Result<(), Failure> {
        self.once().await.map(drop)
    }
}

impl Freshness {
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
