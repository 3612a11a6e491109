//! The life of runs.

pub(crate) mod catching_up;
mod certificate;
pub(crate) mod claims;
pub(crate) mod counting;
pub(crate) mod endings;
mod listing;
mod merchants;
pub(crate) mod rows;
mod windows;

use crate::ids::new_id;
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
use domain::window::DayRange;
use importer::metrics;
use importer::ports::clock::Clock;
use importer::ports::landing::RunLease;
use importer::ports::runs::{
    CarriedList, CatchUp, ChangeHead, Claim, DatabaseClock, Finished, Held, OrderMoments, Owner,
    Run, RunOptions, Runs, ShopSummary, StoredWindow, WindowList, WindowSpec,
};
use jiff::Timestamp;
use sqlx::PgPool;

use crate::confined::Transactions;
use crate::error::{with_long_retries, with_retries};

/// [`Runs`] on PostgreSQL.
///
/// Times that people read come from the clock of the import; leases go by the
/// database's, so that all workers agree on them.
#[derive(Clone, Debug)]
pub struct PostgresRuns {
    pool: PgPool,
    transactions: Transactions,
    clock: Arc<dyn Clock>,
}

impl PostgresRuns {
    pub(crate) fn new(transactions: Transactions, clock: Arc<dyn Clock>) -> Self {
        Self {
            pool: transactions.pool().clone(),
            transactions,
            clock,
        }
    }
}

#[async_trait]
impl Runs for PostgresRuns {
    async fn database_clock(&self) -> Result<DatabaseClock, Failure> {
        with_retries(&self.clock, "reading PostgreSQL's time", || {
            claims::clock(&self.pool)
        })
        .await
    }

    async fn ensure_merchant(&self, shop: &ShopInfo) -> Result<MerchantId, Failure> {
        let now = self.clock.now();
        let id = new_id(now);
        with_retries(&self.clock, "storing the shop", || {
            merchants::ensure(&self.pool, id, shop, now)
        })
        .await
    }

    async fn latest_full(&self, merchant: MerchantId) -> Result<Option<Run>, Failure> {
        with_retries(&self.clock, "reading the latest run", || {
            rows::latest_full(&self.pool, merchant)
        })
        .await
    }

    async fn completed_days(&self, merchant: MerchantId) -> Result<Vec<DayRange>, Failure> {
        with_retries(&self.clock, "reading the finished runs", || {
            rows::completed_days(&self.pool, merchant)
        })
        .await
    }

    async fn latest(&self, merchant: MerchantId) -> Result<Option<Run>, Failure> {
        with_retries(&self.clock, "reading the latest run", || {
            rows::latest(&self.pool, merchant)
        })
        .await
    }

    async fn list(&self) -> Result<Vec<(ShopSummary, Option<Run>)>, Failure> {
        with_retries(&self.clock, "listing runs", || merchants::list(&self.pool)).await
    }

    async fn create_or_join(
        &self,
        merchant: MerchantId,
        options: &RunOptions,
        range: DayRange,
    ) -> Result<Run, Failure> {
        let now = self.clock.now();
        let id = RunId(new_id(now));
        with_retries(&self.clock, "creating a run", || {
            claims::create_or_join(&self.pool, (merchant, id), options, range, None, now)
        })
        .await
    }

    async fn latest_finished(&self, merchant: MerchantId) -> Result<Option<Finished>, Failure> {
        with_retries(&self.clock, "reading the latest finished run", || {
            catching_up::latest_finished(&self.transactions, merchant)
        })
        .await
    }

    async fn create_or_join_catch_up(
        &self,
        merchant: MerchantId,
        options: &RunOptions,
        range: DayRange,
        catch_up: CatchUp,
    ) -> Result<Run, Failure> {
        let now = self.clock.now();
        let id = RunId(new_id(now));
        let since = Some(catch_up);
        with_retries(&self.clock, "creating a run that catches up", || {
            claims::create_or_join(&self.pool, (merchant, id), options, range, since, now)
        })
        .await
    }

    async fn take_over(&self, lease: RunLease, since: RunId) -> Result<(), Failure> {
        with_long_retries(&self.clock, "copying what a run has listed", || {
            catching_up::take_over(&self.pool, lease, since)
        })
        .await
    }

    async fn stretch_window(
        &self,
        lease: RunLease,
        window: WindowId,
        days: DayRange,
    ) -> Result<(), Failure> {
        with_retries(&self.clock, "extending a window", || {
            catching_up::stretch(&self.pool, lease, window, days)
        })
        .await
    }

    async fn window_list(&self, lease: RunLease, window: WindowId) -> Result<WindowList, Failure> {
        with_retries(&self.clock, "reading what a window lists", || {
            catching_up::window_list(&self.pool, lease, window)
        })
        .await
    }

    async fn carry_list(&self, lease: RunLease, list: &CarriedList) -> Result<(), Failure> {
        let now = self.clock.now();
        with_retries(&self.clock, "keeping what a window lists", || {
            catching_up::carry(&self.pool, lease, list, now)
        })
        .await
    }

    async fn count_listed(&self, lease: RunLease, resource: Resource) -> Result<u64, Failure> {
        with_retries(&self.clock, "counting what is listed", || {
            catching_up::count_listed(&self.pool, lease, resource)
        })
        .await
    }

    async fn save_change_head(&self, lease: RunLease, head: &ChangeHead) -> Result<(), Failure> {
        with_retries(&self.clock, "storing where changes begin", || {
            catching_up::save_head(&self.pool, lease, head)
        })
        .await
    }

    async fn order_moments(
        &self,
        lease: RunLease,
        ids: &[i64],
    ) -> Result<Vec<OrderMoments>, Failure> {
        with_retries(&self.clock, "reading when orders were updated", || {
            catching_up::order_moments(&self.pool, lease, ids)
        })
        .await
    }

    async fn ceiling(&self, merchant: MerchantId) -> Result<Ceiling, Failure> {
        with_retries(&self.clock, "reading where lists stop", || {
            merchants::ceiling(&self.pool, merchant)
        })
        .await
    }

    async fn remember_ceiling(&self, lease: RunLease, ceiling: Ceiling) -> Result<(), Failure> {
        with_retries(&self.clock, "storing where lists stop", || {
            merchants::remember_ceiling(&self.pool, lease, ceiling)
        })
        .await
    }

    async fn claim(&self, run: RunId, owner: &Owner, lease: Duration) -> Result<Claim, Failure> {
        let now = self.clock.now();
        with_retries(&self.clock, "claiming a run", || {
            claims::claim(&self.pool, run, owner, lease, now)
        })
        .await
    }

    async fn held(&self, run: RunId, owner: &Owner) -> Result<Option<Held>, Failure> {
        with_retries(&self.clock, "reading who holds a run", || {
            claims::held(&self.pool, run, owner)
        })
        .await
    }

    async fn extend_lease(&self, lease: RunLease, by: Duration) -> Result<(), Failure> {
        with_retries(&self.clock, "extending a lease", || {
            claims::extend(&self.pool, lease, by)
        })
        .await
    }

    async fn release(&self, lease: RunLease, wait: Option<Duration>) -> Result<(), Failure> {
        let now = self.clock.now();
        with_retries(&self.clock, "releasing a run", || {
            endings::release(&self.pool, lease, wait, now)
        })
        .await
        .inspect(|()| metrics::run_ended(RunState::Pending, None))
    }

    async fn wait(&self, lease: RunLease, until: Timestamp, why: &Failure) -> Result<(), Failure> {
        let now = self.clock.now();
        with_retries(&self.clock, "setting a run to wait", || {
            endings::wait(&self.pool, lease, until, why, now)
        })
        .await
        .inspect(|()| metrics::run_ended(RunState::Waiting, Some(why)))
    }

    async fn save_plan(
        &self,
        lease: RunLease,
        plan: &Plan,
        windows: &[(Resource, Option<DayRange>)],
    ) -> Result<(), Failure> {
        with_retries(&self.clock, "storing the plan", || {
            windows::save_plan(&self.pool, lease, plan, windows)
        })
        .await
    }

    async fn windows(&self, lease: RunLease) -> Result<Vec<StoredWindow>, Failure> {
        with_retries(&self.clock, "reading the windows of a run", || {
            windows::list(&self.pool, lease)
        })
        .await
    }

    async fn begin_scan(&self, lease: RunLease, window: WindowId) -> Result<u32, Failure> {
        let now = self.clock.now();
        with_retries(&self.clock, "starting a scan", || {
            windows::begin_scan(&self.pool, lease, window, now)
        })
        .await
    }

    async fn split_window(
        &self,
        lease: RunLease,
        window: WindowId,
        halves: [DayRange; 2],
    ) -> Result<(), Failure> {
        let now = self.clock.now();
        with_retries(&self.clock, "splitting a window", || {
            windows::split(&self.pool, lease, window, halves, now)
        })
        .await
    }

    async fn slice_window(
        &self,
        lease: RunLease,
        window: WindowId,
        parts: &[WindowSpec],
    ) -> Result<(), Failure> {
        let now = self.clock.now();
        with_retries(&self.clock, "slicing a window", || {
            windows::slice_window(&self.pool, lease, window, parts, now)
        })
        .await
    }

    async fn listing(&self, lease: RunLease, window: WindowId) -> Result<Listing, Failure> {
        with_retries(&self.clock, "counting what a window listed", || {
            counting::listing(&self.pool, lease, window)
        })
        .await
    }

    async fn listed(&self, lease: RunLease, window: WindowId) -> Result<Vec<i64>, Failure> {
        with_retries(&self.clock, "reading what a window listed", || {
            listing::listed(&self.pool, lease, window)
        })
        .await
    }

    async fn carry_over(
        &self,
        lease: RunLease,
        window: WindowId,
        ids: &[i64],
    ) -> Result<(), Failure> {
        let now = self.clock.now();
        with_retries(&self.clock, "copying what a window lists", || {
            listing::carry_over(&self.pool, lease, window, ids, now)
        })
        .await
    }

    async fn mark_window_done(
        &self,
        lease: RunLease,
        window: WindowId,
        cut_short: bool,
    ) -> Result<(), Failure> {
        let now = self.clock.now();
        with_retries(&self.clock, "closing a window", || {
            windows::settle(&self.pool, lease, window, cut_short, now)
        })
        .await
    }

    async fn record_ends_rescanned(
        &self,
        lease: RunLease,
        window: WindowId,
    ) -> Result<(), Failure> {
        with_retries(&self.clock, "marking the ends of a list", || {
            listing::record_ends_rescanned(&self.pool, lease, window)
        })
        .await
    }

    async fn listed_orders(&self, lease: RunLease) -> Result<Option<u64>, Failure> {
        with_retries(&self.clock, "counting the orders that were listed", || {
            listing::listed_orders(&self.pool, lease)
        })
        .await
    }

    async fn not_listed(
        &self,
        lease: RunLease,
        resource: Resource,
        ids: &[i64],
    ) -> Result<Vec<i64>, Failure> {
        with_retries(&self.clock, "comparing orders with the scans", || {
            listing::not_listed(&self.pool, lease, resource, ids)
        })
        .await
    }

    async fn vanished(&self, lease: RunLease, resource: Resource) -> Result<Vec<i64>, Failure> {
        with_long_retries(&self.clock, "looking for what is no longer listed", || {
            listing::vanished(&self.pool, lease, resource)
        })
        .await
    }

    async fn report_progress(
        &self,
        lease: RunLease,
        percent: u8,
        waits_until: Option<Timestamp>,
    ) -> Result<(), Failure> {
        let now = self.clock.now();
        with_retries(&self.clock, "recording the progress", || {
            endings::report(&self.pool, lease, percent, waits_until, now)
        })
        .await
    }

    async fn certify(&self, lease: RunLease, as_of: Timestamp) -> Result<Certificate, Failure> {
        with_long_retries(&self.clock, "certifying a run", || {
            certificate::certify(&self.pool, lease, as_of)
        })
        .await
    }

    async fn complete(&self, lease: RunLease, certificate: &Certificate) -> Result<(), Failure> {
        let now = self.clock.now();
        with_retries(&self.clock, "completing a run", || {
            endings::complete(&self.pool, lease, certificate, now)
        })
        .await
        .inspect(|()| metrics::run_ended(RunState::Completed, None))
    }

    async fn fail(
        &self,
        lease: RunLease,
        failure: &Failure,
        certificate: Option<&Certificate>,
    ) -> Result<(), Failure> {
        let now = self.clock.now();
        with_retries(&self.clock, "recording a failure", || {
            endings::fail(&self.pool, lease, failure, certificate, now)
        })
        .await
        .inspect(|()| metrics::run_ended(RunState::Failed, Some(failure)))
    }
}
