//! Where records land: rows, rejections, counters and checkpoint in one transaction.
//!
//! The order of the steps is the order of the locks, the same in every transaction:
//! the run (key share), pages, `source_records` in the order of ids, typed tables,
//! pending details, rejections, and the counters last, because all landings of a run
//! meet there.
//!
//! Customers keep no order: orders name them, so one transaction writes some of them with
//! its headers and some with its whole orders, and the list updates the known ones before it
//! copies the new ones. Two landings may so wait for each other. PostgreSQL ends one of
//! them, which is then done again as a whole.

mod alterations;
mod catalogue;
pub(crate) mod context;
pub(crate) mod counters;
mod customers;
pub(crate) mod details;
mod entries;
pub(crate) mod isolation;
mod list_batch;
mod order_lines;
mod orders;
pub(crate) mod pages;
mod pending;
mod products;
pub(crate) mod raw;
pub(crate) mod rejections;
pub(crate) mod tombstones;
pub(crate) mod versions;

use std::sync::Arc;

use async_trait::async_trait;
use domain::failure::Failure;
use domain::order::Version;
use domain::resource::Resource;
use importer::ports::clock::Clock;
use importer::ports::landing::{
    Landed, LandedChanges, Landing, OrderDetail, PendingDetail, RejectionTally, RunLease,
    ScannedPage,
};
use importer::ports::platform::Page;
use sqlx::PgPool;

use crate::error::{with_long_retries, with_retries};
use crate::landing::isolation::rejecting;

/// [`Landing`] on PostgreSQL.
#[derive(Clone, Debug)]
pub struct PostgresLanding {
    pub(crate) pool: PgPool,
    pub(crate) clock: Arc<dyn Clock>,
}

#[async_trait]
impl Landing for PostgresLanding {
    async fn land_pages(&self, lease: RunLease, pages: &[ScannedPage]) -> Result<Landed, Failure> {
        let now = self.clock.now();
        with_long_retries(&self.clock, "landing a list page", || {
            rejecting(move |care| pages::land(&self.pool, lease, pages, now, care))
        })
        .await
    }

    async fn land_details(
        &self,
        lease: RunLease,
        details: &[OrderDetail],
    ) -> Result<Landed, Failure> {
        let now = self.clock.now();
        with_long_retries(&self.clock, "landing order details", || {
            rejecting(move |care| details::land(&self.pool, lease, details, now, care))
        })
        .await
    }

    async fn pending_details(
        &self,
        lease: RunLease,
        after: Option<PendingDetail>,
        limit: u32,
    ) -> Result<Vec<PendingDetail>, Failure> {
        with_retries(&self.clock, "reading which orders lack details", || {
            pending::list(&self.pool, lease, after, limit)
        })
        .await
    }

    async fn count_pending(&self, lease: RunLease) -> Result<u64, Failure> {
        with_retries(&self.clock, "counting orders that lack details", || {
            pending::count(&self.pool, lease)
        })
        .await
    }

    async fn land_changes(&self, lease: RunLease, page: &Page) -> Result<LandedChanges, Failure> {
        let now = self.clock.now();
        with_long_retries(&self.clock, "landing the latest updates", || {
            rejecting(move |care| pages::land_changes(&self.pool, lease, page, now, care))
        })
        .await
    }

    async fn mark_pending(&self, lease: RunLease, orders: &[i64]) -> Result<(), Failure> {
        with_retries(&self.clock, "recording orders to fetch again", || {
            pending::mark_pending(&self.pool, lease, orders)
        })
        .await
    }

    async fn tombstone(
        &self,
        lease: RunLease,
        resource: Resource,
        ids: &[i64],
        version: Version,
    ) -> Result<(), Failure> {
        let now = self.clock.now();
        with_long_retries(&self.clock, "removing what Salla no longer lists", || {
            rejecting(move |care| {
                tombstones::tombstone(&self.pool, lease, (resource, ids), version, now, care)
            })
        })
        .await
    }

    async fn clear_vanished(&self, lease: RunLease) -> Result<(), Failure> {
        let now = self.clock.now();
        with_long_retries(&self.clock, "clearing the rows of vanished records", || {
            rejecting(move |care| tombstones::clear_vanished(&self.pool, lease, now, care))
        })
        .await
    }

    async fn rejection_tally(&self, lease: RunLease) -> Result<Vec<RejectionTally>, Failure> {
        with_retries(&self.clock, "counting rejections", || {
            rejections::tally(&self.pool, lease)
        })
        .await
    }
}
