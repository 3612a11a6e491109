//! Starting what is missing of a shop's history, however often it is requested.

use std::sync::Arc;

use domain::failure::Failure;
use domain::shop::MerchantId;

use crate::import::Reading;
use crate::import::catch_up_plan;
use crate::ports::clock::Clock;
use crate::ports::jobs::{Jobs, StartedRun};
use crate::ports::runs::{Run, RunOptions, Runs};

/// Another run may be complete between finding out what is wanted and starting it, which takes
/// much less time than a run.
const MAX_TRIES: u32 = 5;

/// What came of a request for an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartOutcome {
    /// A run of everything begins.
    Begun,
    /// The history is there: a run begins that reads the older orders and what has changed.
    Extended,
    /// The history is there: a run begins that reads what has changed.
    CatchingUp,
    /// One that is not over continues, as it was started.
    Joined,
}

impl StartOutcome {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Begun => "begun",
            Self::Extended => "extended",
            Self::CatchingUp => "catching_up",
            Self::Joined => "joined",
        }
    }
}

/// A run that does what was requested, or that has to be over before.
#[derive(Clone, Debug, PartialEq)]
pub struct Started {
    pub run: Run,
    pub outcome: StartOutcome,
}

#[derive(Clone)]
pub struct Starter {
    pub runs: Arc<dyn Runs>,
    pub jobs: Arc<dyn Jobs>,
    pub clock: Arc<dyn Clock>,
}

impl Starter {
    /// Starts what `months` of the shop's history need: everything, or what is older and what has
    /// changed. Fewer months than there are take nothing away. A run that is not over is joined,
    /// and a FAILED one resumes if it is of the same kind. May be repeated.
    pub async fn start(
        &self,
        merchant: MerchantId,
        months: u16,
        reading: Reading,
    ) -> Result<Started, Failure> {
        let options = RunOptions::everything(months);
        let refreshes_lists = reading == Reading::ChangesAndLists;
        if reading != Reading::Everything
            && let Some(started) = self.catch_up(merchant, &options, refreshes_lists).await?
        {
            return Ok(started);
        }
        let (runs, now) = (self.runs.as_ref(), self.clock.now());
        let (options, range) = catch_up_plan::everything(runs, merchant, &options, now).await?;
        let StartedRun { run, is_new } = self.jobs.start(merchant, &options, range).await?;
        let outcome = match is_new {
            true => StartOutcome::Begun,
            false => StartOutcome::Joined,
        };
        Ok(Started { run, outcome })
    }

    /// Brings a shop up to date whose history is there; `None` where it is not.
    pub async fn catch_up(
        &self,
        merchant: MerchantId,
        options: &RunOptions,
        refreshes_lists: bool,
    ) -> Result<Option<Started>, Failure> {
        let runs = self.runs.as_ref();
        for _ in 0..MAX_TRIES {
            let now = self.clock.now();
            let wanted =
                catch_up_plan::wanted(runs, merchant, options, refreshes_lists, now).await?;
            let Some(wanted) = wanted else {
                return Ok(None);
            };
            let (options, range) = (&wanted.options, wanted.range);
            let started = self
                .jobs
                .start_catching_up(merchant, options, range, wanted.catch_up)
                .await?;
            if let Some(StartedRun { run, is_new }) = started {
                let outcome = match (is_new, wanted.goes_back) {
                    (false, _) => StartOutcome::Joined,
                    (true, true) => StartOutcome::Extended,
                    (true, false) => StartOutcome::CatchingUp,
                };
                return Ok(Some(Started { run, outcome }));
            }
        }
        Err(Failure::Transient {
            message: format!("another run of this shop completed meanwhile, {MAX_TRIES} times"),
        })
    }
}
