//! Exact progress, written with the rows it counts.

use domain::rejection::Rejection;
use domain::resource::Resource;
use importer::ports::landing::{Counted, Landed};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use serde::Serialize;
use sqlx::PgConnection;
use sqlx::types::Json;

use crate::error::TxError;
use crate::landing::versions::RecordChange;
use crate::transaction::LockedRun;

/// What one landing adds to the run's counters.
#[derive(Clone, Default)]
pub(crate) struct CounterDelta {
    pub(crate) landed: Landed,
    orders: i64,
    order_details: i64,
    customers: i64,
    products: i64,
    pages: i64,
    shop: OfShop,
    /// Orders whose content is not what was known.
    pub(crate) changed: Vec<i64>,
    pub(crate) refused_customers: Vec<RefusedCustomer>,
    /// Kinds and ids of the records that the database did not take.
    pub(crate) refused: Vec<(&'static str, i64)>,
    /// Rejections were added or resolved, so they must be counted again.
    rejections_changed: bool,
    /// The run got further: a later attempt need not do this again. Whatever counts here can only
    /// happen so often in a run, so one that cannot end is given up sooner or later.
    advances: bool,
}

/// How many more the shop has than before, or fewer.
#[derive(Clone, Copy, Default)]
struct OfShop {
    orders: i64,
    order_details: i64,
    customers: i64,
    products: i64,
}

/// A customer that an order names and the database does not take. The order has landed.
#[derive(Clone)]
pub(crate) struct RefusedCustomer {
    pub(crate) order_id: i64,
    pub(crate) customer_id: i64,
    pub(crate) rejection: Rejection,
}

/// Where a landing was, for `last_processed_cursor`.
#[derive(Serialize)]
pub(crate) struct Cursor {
    pub(crate) resource: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) window: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) page: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) order_id: Option<i64>,
}

impl CounterDelta {
    pub(crate) fn count_pages(&mut self, fresh: usize, repeated: usize) {
        self.pages += fresh as i64;
        self.landed.repeated_pages += repeated as u64;
    }

    pub(crate) fn advances_if(&mut self, any: bool) {
        self.advances |= any;
    }

    /// Each run counts a record once, however often it meets it.
    pub(crate) fn count_records(&mut self, resource: Resource, changes: &[RecordChange]) {
        self.count_future(changes);
        let first = changes.iter().filter(|v| v.first_of_run()).count() as i64;
        self.advances_if(first > 0);
        self.shop
            .change(resource, changes.iter().filter(|v| v.adds()).count() as i64);
        match resource {
            Resource::Orders => {
                self.orders += first;
                let changed = changes.iter().filter(|v| v.changed());
                self.changed.extend(changed.map(|v| v.salla_id));
            }
            Resource::Customers => self.customers += first,
            Resource::Products => self.products += first,
            Resource::Categories | Resource::OrderStatuses => {}
        }
    }

    fn count_future(&mut self, changes: &[RecordChange]) {
        let of_future = changes.iter().filter(|v| v.was_of_the_future());
        self.landed.from_future += of_future.count() as u64;
    }

    pub(crate) fn count_details(&mut self, changes: &[RecordChange]) {
        let first = changes.iter().filter(|v| v.first_details_of_run());
        let first = first.count() as i64;
        self.advances_if(first > 0);
        self.order_details += first;
        let added = changes.iter().filter(|v| v.changes_details_of_shop());
        self.shop.order_details += added.count() as i64;
    }

    pub(crate) fn discount_gone(&mut self, changes: &[RecordChange]) {
        self.count_future(changes);
        self.orders -= changes.iter().filter(|v| v.first_of_run()).count() as i64;
        let with_details = changes.iter().filter(|v| v.first_details_of_run());
        self.order_details -= with_details.count() as i64;
        self.count_taken(Resource::Orders, changes);
    }

    /// Records that the shop has no longer.
    pub(crate) fn count_taken(&mut self, resource: Resource, changes: &[RecordChange]) {
        let taken = changes.iter().filter(|v| v.takes()).count() as i64;
        self.shop.change(resource, -taken);
        let details = changes.iter().filter(|v| v.changes_details_of_shop());
        self.shop.order_details -= details.count() as i64;
    }

    /// `refused` of them by the database.
    pub(crate) fn count_rejected(
        &mut self,
        rejected: u64,
        refused: impl Iterator<Item = (&'static str, i64)>,
    ) {
        self.landed.rejected += rejected;
        self.refused.extend(refused);
        self.landed.refused = self.refused.len() as u64;
        self.rejections_changed |= rejected > 0;
    }

    pub(crate) fn rejections_resolved(&mut self, any: bool) {
        self.rejections_changed |= any;
    }
}

impl OfShop {
    fn change(&mut self, resource: Resource, by: i64) {
        match resource {
            Resource::Orders => self.orders += by,
            Resource::Customers => self.customers += by,
            Resource::Products => self.products += by,
            Resource::Categories | Resource::OrderStatuses => {}
        }
    }
}

/// The run first, where landings wait for each other.
const COUNT: &str = "
    WITH counted AS (
        UPDATE salla_sync.sync_runs r SET
            orders = r.orders + $2, order_details = r.order_details + $3,
            customers = r.customers + $4, products = r.products + $5, pages = r.pages + $6,
            rejected = CASE WHEN $7 THEN
                (SELECT count(*) FROM salla_sync.rejected_records x
                 WHERE x.run_id = r.id AND x.resolved_at IS NULL)
                ELSE r.rejected END,
            progressed_at = now(),
            progress_fencing = CASE WHEN $15 THEN r.fencing ELSE r.progress_fencing END,
            stall_reported_at = CASE WHEN $15 THEN NULL ELSE r.stall_reported_at END,
            sent_again = CASE WHEN $15 THEN 0 ELSE r.sent_again END
        WHERE r.id = $1
        RETURNING r.orders, r.order_details, r.customers, r.products, r.rejected, r.pages
    ), shown AS (
        UPDATE salla_sync.merchant_sync_status s SET
            orders = CASE WHEN s.carries_on THEN greatest(s.orders + $11, 0) ELSE c.orders END,
            order_details = CASE WHEN s.carries_on THEN greatest(s.order_details + $12, 0)
                                 ELSE c.order_details END,
            customers = CASE WHEN s.carries_on THEN greatest(s.customers + $13, 0)
                             ELSE c.customers END,
            products = CASE WHEN s.carries_on THEN greatest(s.products + $14, 0)
                            ELSE c.products END,
            rejected = CASE WHEN NOT s.carries_on THEN c.rejected
                WHEN $7 THEN (SELECT count(*) FROM salla_sync.rejected_records x
                              WHERE x.merchant_id = s.merchant_id AND x.resolved_at IS NULL)
                ELSE s.rejected END,
            pages = CASE WHEN s.carries_on THEN s.pages + $6 ELSE c.pages END,
            last_processed_cursor = coalesce($8, s.last_processed_cursor), updated_at = $9
        FROM counted c
        WHERE s.merchant_id = $10 AND s.run_id = $1)
    SELECT orders, order_details, customers, products, rejected FROM counted";

#[derive(sqlx::FromRow)]
struct Counters {
    orders: i64,
    order_details: i64,
    customers: i64,
    products: i64,
    rejected: i64,
}

impl Counters {
    fn counted(&self) -> Counted {
        let count = |rows: i64| u64::try_from(rows).unwrap_or(0);
        Counted {
            orders: count(self.orders),
            order_details: count(self.order_details),
            customers: count(self.customers),
            products: count(self.products),
            rejected: count(self.rejected),
        }
    }
}

/// The last step of a landing.
pub(crate) async fn record(
    tx: &mut PgConnection,
    run: &LockedRun,
    tally: &mut CounterDelta,
    cursor: Cursor,
    now: Timestamp,
) -> Result<(), TxError> {
    let counted = count(tx, run, tally, Some(cursor), now).await?;
    tally.landed.counted = Some(counted);
    Ok(())
}

/// For what lands beside the scans: the cursor stays where the run is.
pub(crate) async fn update_counters_without_cursor(
    tx: &mut PgConnection,
    run: &LockedRun,
    tally: &CounterDelta,
    now: Timestamp,
) -> Result<(), TxError> {
    count(tx, run, tally, None, now).await?;
    Ok(())
}

async fn count(
    tx: &mut PgConnection,
    run: &LockedRun,
    tally: &CounterDelta,
    cursor: Option<Cursor>,
    now: Timestamp,
) -> Result<Counted, TxError> {
    let now_at: Counters = sqlx::query_as(COUNT)
        .bind(run.lease.run.0)
        .bind(tally.orders)
        .bind(tally.order_details)
        .bind(tally.customers)
        .bind(tally.products)
        .bind(tally.pages)
        .bind(tally.rejections_changed)
        .bind(cursor.map(Json))
        .bind(now.to_sqlx())
        .bind(run.merchant.0)
        .bind(tally.shop.orders)
        .bind(tally.shop.order_details)
        .bind(tally.shop.customers)
        .bind(tally.shop.products)
        .bind(tally.advances)
        .fetch_one(tx)
        .await?;
    Ok(now_at.counted())
}
