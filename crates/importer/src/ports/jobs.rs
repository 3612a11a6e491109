//! Runs as jobs: sent to workers, steered by people, found again when their worker or
//! their message is lost.

use std::time::Duration;

use async_trait::async_trait;
use domain::failure::Failure;
use domain::run::{RunCommand, RunId, RunState};
use domain::shop::MerchantId;
use domain::window::DayRange;

use super::landing::RunLease;
use super::runs::{CatchUp, Run, RunOptions, ShopSummary};

/// What became of a command.
#[derive(Clone, Debug, PartialEq)]
pub enum CommandOutcome {
    /// The run as it is now.
    Applied(Box<Run>),
    /// It was as it was wanted already.
    Unchanged(Box<Run>),
    /// It stays as it is, and why.
    Refused(Box<Run>, &'static str),
    /// There is no such run.
    Unknown,
}

/// A run that was requested.
#[derive(Clone, Debug, PartialEq)]
pub struct StartedRun {
    pub run: Run,
    /// It was created for this; otherwise one that was not over is joined.
    pub is_new: bool,
}

/// What a sweep did about a run without a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Orphan {
    pub run: RunId,
    pub merchant: MerchantId,
    /// The state in which its worker or its message was lost.
    pub state: RunState,
    /// So often was it sent again without any progress since, this time included.
    pub resends: u32,
}

/// A run that is worked on and gets nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stalled {
    pub run: RunId,
    pub merchant: MerchantId,
    pub owner: String,
    /// How long nothing has landed.
    pub idle: Duration,
}

/// Which runs to list.
#[derive(Clone, Debug, Default)]
pub struct RunFilter {
    pub merchant: Option<MerchantId>,
    pub state: Option<RunState>,
    pub limit: u32,
}

/// All calls may be repeated. A message is sent in the transaction that makes it
/// necessary where the queue lies in the same database; elsewhere right after it, and
/// what gets lost between the two is sent by the sweep.
#[async_trait]
pub trait Jobs: Send + Sync {
    /// Creates a PENDING run or joins the open one, as [`super::runs::Runs::create_or_join`] does;
    /// either way it is a job from then on and a message for it is sent, unless a worker has it.
    async fn start(
        &self,
        merchant: MerchantId,
        options: &RunOptions,
        range: DayRange,
    ) -> Result<StartedRun, Failure>;

    /// The same for a run that reads what has changed. `None`: another run of the shop is the
    /// latest finished one by now, so what is wanted has to be found out again.
    async fn start_catching_up(
        &self,
        merchant: MerchantId,
        options: &RunOptions,
        range: DayRange,
        catch_up: CatchUp,
    ) -> Result<Option<StartedRun>, Failure>;

    /// Makes a job of a run that was begun otherwise.
    async fn adopt(&self, run: RunId) -> Result<(), Failure>;

    async fn find(&self, run: RunId) -> Result<Option<Run>, Failure>;

    async fn shop(&self, merchant: MerchantId) -> Result<Option<ShopSummary>, Failure>;

    /// The latest runs first.
    async fn list(&self, filter: &RunFilter) -> Result<Vec<(ShopSummary, Run)>, Failure>;

    /// Changes the state as [`RunState::transition`] says. The run's worker can write nothing from
    /// then on.
    async fn command(&self, run: RunId, command: RunCommand) -> Result<CommandOutcome, Failure>;

    /// Those of the leases that no longer hold their run.
    async fn lost_leases(&self, leases: &[RunLease]) -> Result<Vec<RunId>, Failure>;

    /// Sends messages for jobs that have neither a worker nor a message: those that are PENDING,
    /// IN_PROGRESS without a lease, or WAITING beyond their time, each for at least `grace`.
    async fn resend_orphans(&self, grace: Duration) -> Result<Vec<Orphan>, Failure>;

    /// Jobs that FAILED because their connection no longer served and whose shop has
    /// been connected again since: begins them again and sends them.
    async fn restart_reconnected(&self) -> Result<Vec<RunId>, Failure>;

    /// Imported shops that are due: each is once in `every`, at its own time. Each is returned
    /// once, to one caller. Shops that are not connected or have an open run are left out.
    async fn take_due(&self, every: Duration, most: u32) -> Result<Vec<MerchantId>, Failure>;

    /// Ends a run FAILED that no worker holds.
    async fn fail_orphan(&self, run: RunId, failure: &Failure) -> Result<(), Failure>;

    /// Runs with a live worker for which nothing has landed for `idle`, although they do not wait
    /// for Salla. Each is returned once, until it makes progress again.
    async fn newly_stalled(&self, idle: Duration) -> Result<Vec<Stalled>, Failure>;
}
