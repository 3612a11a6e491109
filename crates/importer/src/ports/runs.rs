//! The life of runs: who works on one, what it plans, how far it is, what it
//! proves.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::ceiling::Ceiling;
use domain::certificate::{Certificate, Listing};
use domain::failure::Failure;
use domain::plan::Plan;
use domain::resource::Resource;
use domain::run::{RunId, RunState, WindowId};
use domain::shop::{MerchantId, ShopInfo};
use domain::slice::Slice;
use domain::window::DayRange;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::landing::RunLease;
use super::platform::Pagination;

/// What the user chose for a run; fixed when the run is created.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunOptions {
    pub months: u16,
    pub max_orders: Option<u64>,
    pub keep_raw: bool,
    /// Not everything, but just this.
    #[serde(default)]
    pub only: Option<RunScope>,
}

impl RunOptions {
    /// Everything of a shop.
    pub fn everything(months: u16) -> Self {
        Self {
            months,
            max_orders: None,
            keep_raw: true,
            only: None,
        }
    }

    /// Whether resuming a run of these options does what `wanted` requests.
    pub fn same_request(&self, wanted: &Self) -> bool {
        self.months == wanted.months
            && self.max_orders == wanted.max_orders
            && self.only == wanted.only
    }
}

/// A part of a shop, to be read again or in addition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunScope {
    pub resource: Resource,
    /// Riyadh days on which the orders were created; other resources are always read
    /// whole.
    pub days: Option<DayRange>,
}

/// A run that brings a shop up to date continues from the lists of a finished run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CatchUp {
    pub since: RunId,
    /// Customers and products are read whole, because Salla does not list their edits.
    pub refreshes_lists: bool,
}

/// Where the list of changes began when it was read last: whatever stands before it has been
/// updated since.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeHead {
    pub ids: Vec<i64>,
    /// The latest update among them, if list rows have it.
    pub last_update: Option<Timestamp>,
    pub asked_at: Option<Timestamp>,
}

/// What the present scan of a window lists, in its sequence as far as that is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WindowList {
    pub ids: Vec<i64>,
    pub without_id: u32,
}

/// A list as it is now, known from an earlier scan and from what has changed since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CarriedList {
    pub window: WindowId,
    /// In the sequence of the list.
    pub ids: Vec<i64>,
    /// Records without a readable id.
    pub without_id: u32,
    /// What its last response said of it.
    pub pagination: Pagination,
    /// All of it is on the page that was read, so that edits are known as well.
    pub is_read_whole: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Finished {
    pub run: Run,
    pub covers: DayRange,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    pub id: RunId,
    pub merchant: MerchantId,
    pub state: RunState,
    pub options: RunOptions,
    /// Riyadh days to import; the upper end is the day on which the run was created
    /// and never moves.
    pub range: DayRange,
    pub created_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub completed_at: Option<Timestamp>,
    /// Workers take it from the queue, and its end is notified.
    pub is_job: bool,
    /// Until when a WAITING run waits; while it is IN_PROGRESS, until when its worker waits for
    /// Salla.
    pub waiting_until: Option<Timestamp>,
    /// When it last ended COMPLETED or FAILED.
    pub ended_at: Option<Timestamp>,
    /// Since it was claimed last it got further: a later attempt need not do that again, and it
    /// could not do it any number of times.
    pub made_progress: bool,
    pub plan: Option<Plan>,
    /// Why it FAILED, or why it is WAITING.
    pub failure: Option<RecordedFailure>,
    pub certificate: Option<Certificate>,
    /// Who holds the run, and until when.
    pub holder: Option<LeaseHolder>,
    pub progress: StoredProgress,
    /// It reads what has changed since another run.
    pub catches_up: Option<CatchUp>,
    /// Where the next one that catches up begins.
    pub change_head: Option<ChangeHead>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedFailure {
    pub code: String,
    pub message: String,
    pub advice: String,
}

impl RecordedFailure {
    /// What is to be done depends on whether the run is a job of a worker.
    pub fn of(failure: &Failure, is_job: bool) -> Self {
        let advice = match is_job {
            true => failure.advice_on_a_job(),
            false => failure.advice(),
        };
        Self {
            code: failure.code().to_owned(),
            message: failure.to_string(),
            advice: advice.to_owned(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseHolder {
    pub owner: String,
    pub until: Timestamp,
}

/// Exact progress as the last commit left it; the same numbers that
/// `salla_sync.merchant_sync_status` shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredProgress {
    pub percent: u8,
    pub orders: u64,
    pub order_details: u64,
    pub customers: u64,
    pub products: u64,
    pub rejected: u64,
    pub pages: u64,
}

/// A held run, as a waiting process sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub holder: LeaseHolder,
    /// When the lease expires unless it is extended, by the clock of leases.
    pub lapses_in: Duration,
    /// The process that holds it is gone, so it can be claimed now.
    pub is_abandoned: bool,
}

#[derive(Clone, Debug)]
pub enum Claim {
    Granted(RunLease, Box<Run>),
    /// Another worker holds the run; come back after the lease.
    Taken(LeaseHolder),
    /// The run is over or paused: in this state it is not to be worked on.
    NotRunnable(Box<Run>),
}

/// What a window reads of its list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowSpec {
    pub slice: Option<Slice>,
    pub days: Option<DayRange>,
}

/// A window of a run with its checkpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredWindow {
    pub id: WindowId,
    pub resource: Resource,
    /// Days of the window itself, without the overlap; `None` for whole resources.
    pub days: Option<DayRange>,
    /// The part of a list that is too long to be read whole.
    pub slice: Option<Slice>,
    /// Slices are read for it, because its list is too long.
    pub is_sliced: bool,
    /// The scan in progress or the last one made; 0 before the first.
    pub scan: u32,
    /// `total` and page size on the first page of this scan.
    pub first_total: Option<u64>,
    pub total_pages: Option<u32>,
    /// Pages of this scan that have landed, ascending.
    pub pages_done: Vec<u32>,
    pub done: bool,
}

impl StoredWindow {
    /// Its days or its slice, for people; nothing where the list is read whole.
    pub fn part(&self) -> Option<String> {
        let days = self.days.map(|days| days.to_string());
        days.or_else(|| self.slice.map(|slice| slice.to_string()))
    }

    /// Days of orders; those of customers say nothing about how far back totals go.
    pub fn order_days(&self) -> Option<DayRange> {
        self.days.filter(|_| self.resource.has_windows())
    }
}

/// What time it is at the database.
#[derive(Clone, Copy, Debug)]
pub struct DatabaseClock {
    pub now: Timestamp,
    /// Its server runs on this machine, so that both have one clock.
    pub one_machine: bool,
}

/// Runs of all shops.
///
/// Every write that takes a [`RunLease`] checks its fencing number in the same
/// transaction and fails with [`Failure::LeaseLost`] when the run has been claimed
/// again since. All calls may be repeated.
#[async_trait]
pub trait Runs: Windows + Listings {
    /// The clock that leases go by.
    async fn database_clock(&self) -> Result<DatabaseClock, Failure>;

    /// The merchant behind a shop, created on first sight and its name, plan and so
    /// on brought up to date.
    async fn ensure_merchant(&self, shop: &ShopInfo) -> Result<MerchantId, Failure>;

    /// The merchant's latest run of everything.
    async fn latest_full(&self, merchant: MerchantId) -> Result<Option<Run>, Failure>;

    /// The days of orders that the merchant's COMPLETED runs have read whole, the
    /// latest run first.
    async fn completed_days(&self, merchant: MerchantId) -> Result<Vec<DayRange>, Failure>;

    /// The merchant's latest run.
    async fn latest(&self, merchant: MerchantId) -> Result<Option<Run>, Failure>;

    /// All merchants' latest runs, for `status`.
    async fn list(&self) -> Result<Vec<(ShopSummary, Option<Run>)>, Failure>;

    /// Creates a PENDING run, or joins the open one; a FAILED one is PENDING again from then on. At
    /// most one run of a merchant is open at any time; two concurrent callers get the same run.
    /// With `catch_up` it reads what has changed.
    async fn create_or_join(
        &self,
        merchant: MerchantId,
        options: &RunOptions,
        range: DayRange,
        catch_up: Option<CatchUp>,
    ) -> Result<Run, Failure>;

    /// The merchant's latest COMPLETED run of everything that was no first try, with the days
    /// of orders that it and what has read on backwards since have covered without a gap.
    async fn latest_finished(&self, merchant: MerchantId) -> Result<Option<Finished>, Failure>;

    /// Copies the windows that a run continues from, with what they list and the open rejections,
    /// including those that an earlier attempt copied or added. What earlier scans of them have
    /// listed is discarded, and so are windows of days before those of the run.
    async fn take_over(&self, lease: RunLease, since: RunId) -> Result<(), Failure>;

    /// Stores the place from which the change list was read.
    async fn save_change_head(&self, lease: RunLease, head: &ChangeHead) -> Result<(), Failure>;

    /// Where lists of the merchant's shop stop, as far as its imports have found out.
    async fn ceiling(&self, merchant: MerchantId) -> Result<Ceiling, Failure>;

    /// Stores where lists of the shop stop, replacing the former values.
    async fn remember_ceiling(&self, lease: RunLease, ceiling: Ceiling) -> Result<(), Failure>;

    /// Claims the run for `owner` for `lease`, an hour at most: at most one holder at a time. Takes
    /// over when the former lease has run out, or when the owner knows that the process
    /// which holds it is gone. The new state is IN_PROGRESS.
    async fn claim(&self, run: RunId, owner: &Owner, lease: Duration) -> Result<Claim, Failure>;

    /// Who holds the run now, as `owner` sees it. Only reads, and waits for no lock.
    async fn held(&self, run: RunId, owner: &Owner) -> Result<Option<Held>, Failure>;

    /// Prolongs the claim by `lease` from now on.
    async fn extend_lease(&self, lease: RunLease, by: Duration) -> Result<(), Failure>;

    /// Releases the claim, leaving the run PENDING so that any worker may resume it immediately,
    /// and sends the shop nothing for `wait`, if that is known.
    async fn release(&self, lease: RunLease, wait: Option<Duration>) -> Result<(), Failure>;

    /// Gives the claim up, leaving the run WAITING because of `why`.
    async fn wait(&self, lease: RunLease, until: Timestamp, why: &Failure) -> Result<(), Failure>;

    /// Sets the integer percentage that the status row shows and never lets it fall; and until when
    /// the worker waits for Salla, if it does.
    async fn report_progress(
        &self,
        lease: RunLease,
        percent: u8,
        waits_until: Option<Timestamp>,
    ) -> Result<(), Failure>;

    /// Counts everything for the certificate in one consistent snapshot.
    async fn certify(&self, lease: RunLease, as_of: Timestamp) -> Result<Certificate, Failure>;

    /// Ends the run COMPLETED with its certificate. If it is a job, the message that
    /// notifies its merchant is sent in the same transaction.
    async fn complete(&self, lease: RunLease, certificate: &Certificate) -> Result<(), Failure>;

    /// Ends the run FAILED; with a certificate when there is one to show what is
    /// missing. The data stay and the run can be restarted. Notified as above.
    async fn fail(
        &self,
        lease: RunLease,
        failure: &Failure,
        certificate: Option<&Certificate>,
    ) -> Result<(), Failure>;
}

/// The windows of runs and their scans, as [`Runs`].
#[async_trait]
pub trait Windows: Send + Sync {
    /// Stores the plan and creates its windows in the given order, once; a plan that
    /// is already there stays, and its windows with it.
    async fn save_plan(
        &self,
        lease: RunLease,
        plan: &Plan,
        windows: &[(Resource, Option<DayRange>)],
    ) -> Result<(), Failure>;

    /// The run's windows in their order.
    async fn windows(&self, lease: RunLease) -> Result<Vec<StoredWindow>, Failure>;

    /// Begins a new scan of a window from page 1; earlier scans stay on record.
    async fn begin_scan(&self, lease: RunLease, window: WindowId) -> Result<u32, Failure>;

    /// Replaces a window by two halves (newer one first in order) of the same slice; its
    /// pages so far no longer count, its rows stay.
    async fn split_window(
        &self,
        lease: RunLease,
        window: WindowId,
        halves: [DayRange; 2],
    ) -> Result<(), Failure>;

    /// Puts slices behind a window whose list is longer than Salla shows of it. Unlike
    /// one that is split it stays, because its `total` is what the slices have to add up
    /// to; from then on it lists what they list as well. Slices that are there stay.
    async fn slice_window(
        &self,
        lease: RunLease,
        window: WindowId,
        parts: &[WindowSpec],
    ) -> Result<(), Failure>;

    /// Lets a window of the run reach to more days.
    async fn stretch_window(
        &self,
        lease: RunLease,
        window: WindowId,
        days: DayRange,
    ) -> Result<(), Failure>;

    /// Marks a window as scanned and proven (or given up on), so that a resumed run
    /// does not scan it again. `cut_short`: the scan ended early on purpose.
    async fn mark_window_done(
        &self,
        lease: RunLease,
        window: WindowId,
        cut_short: bool,
    ) -> Result<(), Failure>;

    /// Notes that the first and the last page of a window's scan have been read once more and
    /// landed as part of it. A new scan clears it.
    async fn record_ends_rescanned(&self, lease: RunLease, window: WindowId)
    -> Result<(), Failure>;
}

/// What the present scans of runs list, as [`Runs`].
#[async_trait]
pub trait Listings: Send + Sync {
    /// What a window's last scan listed. What became of it is counted once, for the
    /// certificate. Reads only.
    async fn listing(&self, lease: RunLease, window: WindowId) -> Result<Listing, Failure>;

    /// The ids of a window's last scan in the sequence in which Salla listed them, from the
    /// first page on as far as pages follow each other, `total` is the same and all records
    /// have an id. Reads only.
    async fn listed(&self, lease: RunLease, window: WindowId) -> Result<Vec<i64>, Failure>;

    /// What the window's present scan lists, each record once.
    async fn window_list(&self, lease: RunLease, window: WindowId) -> Result<WindowList, Failure>;

    /// Replaces what the window lists, and settles it. Where `total` differs from the list, as it
    /// did from the list before, the two scans that agreed on that stand for this one as well.
    async fn carry_list(&self, lease: RunLease, list: &CarriedList) -> Result<(), Failure>;

    /// Notes that the window still lists `ids`, in this sequence, as an earlier scan has
    /// found: what its first page does not have counts as listed by the present scan.
    async fn carry_over(
        &self,
        lease: RunLease,
        window: WindowId,
        ids: &[i64],
    ) -> Result<(), Failure>;

    /// Different records of a resource that the present scans list, those without id
    /// included.
    async fn count_listed(&self, lease: RunLease, resource: Resource) -> Result<u64, Failure>;

    /// How many different orders the present scans of the run have listed, if each window
    /// was scanned and has listed just as many as it reported. Reads only.
    async fn listed_orders(&self, lease: RunLease) -> Result<Option<u64>, Failure>;

    /// Those of `ids` that no present scan of the run has listed.
    async fn not_listed(
        &self,
        lease: RunLease,
        resource: Resource,
        ids: &[i64],
    ) -> Result<Vec<i64>, Failure>;

    /// Records that the database has and no present scan of the run has listed: of
    /// orders, those created in the days of the run; of other resources, those that a
    /// list has given before.
    async fn vanished(&self, lease: RunLease, resource: Resource) -> Result<Vec<i64>, Failure>;

    /// Orders with a row, oldest first, and when each was updated if it has that.
    async fn order_moments(
        &self,
        lease: RunLease,
        ids: &[i64],
    ) -> Result<Vec<OrderMoments>, Failure>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderMoments {
    pub id: i64,
    pub created_at: Timestamp,
    pub updated_at: Option<Timestamp>,
    /// When its details were requested, as far as they are stored.
    pub detailed_at: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ShopSummary {
    pub merchant: MerchantId,
    pub salla_id: i64,
    pub name: String,
    pub plan: String,
}

/// A process, as another one in the same place can find it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessId {
    /// The place in which `pid` means something: a running system and, in a container, its
    /// process namespace. Two places never have the same name.
    pub host: String,
    pub pid: u32,
    /// When it started, in a unit of its host's: process ids are used again.
    pub started: u64,
}

/// The processes of this machine.
pub trait Processes: Send + Sync + std::fmt::Debug {
    /// This process; `None` if it cannot be distinguished from others with certainty.
    fn this(&self) -> Option<ProcessId>;

    /// Whether the process certainly no longer exists. A process of another place, or one
    /// that cannot be examined, may exist.
    fn is_gone(&self, process: &ProcessId) -> bool;
}

/// Knows nothing: every process may exist.
#[derive(Clone, Copy, Debug)]
pub struct UnknownProcesses;

impl Processes for UnknownProcesses {
    fn this(&self) -> Option<ProcessId> {
        None
    }

    fn is_gone(&self, _: &ProcessId) -> bool {
        false
    }
}

/// Who claims runs.
#[derive(Clone, Debug)]
pub struct Owner {
    /// For people, in `status`.
    pub name: String,
    pub processes: Arc<dyn Processes>,
}

impl Owner {
    /// An owner whose end shows only in its leases.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            processes: Arc::new(UnknownProcesses),
        }
    }
}
