//! What the current scans of a run have listed, and what they have not.

use std::collections::HashSet;

use async_trait::async_trait;
use domain::certificate::Listing;
use domain::failure::Failure;
use domain::resource::Resource;
use domain::run::WindowId;
use importer::ports::landing::RunLease;
use importer::ports::runs::{CarriedList, Listings, OrderMoments, WindowList};
use jiff_sqlx::ToSqlx;

use crate::error::{with_long_retries, with_retries};
use crate::runs::windows::no_such_window;
use crate::runs::{PostgresRuns, counting};
use crate::transaction::begin_leased;

/// Pages that follow each other from the first one on, until `total` changes or a record has
/// no id.
const LISTED: &str = "
    SELECT p.ids
    FROM (SELECT p.page, p.ids, row_number() OVER pages AS number,
                 bool_and(p.total = f.total AND p.without_id = 0) OVER pages AS is_stable
          FROM salla_sync.sync_windows w
          JOIN salla_sync.sync_pages p ON p.window_id = w.id AND p.walk = w.walk
          JOIN salla_sync.sync_pages f
            ON f.window_id = w.id AND f.walk = w.walk AND f.page = 1
          WHERE w.id = $1 AND w.run_id = $2 AND w.replaced_at IS NULL
          WINDOW pages AS (ORDER BY p.page)) p
    WHERE p.page = p.number AND p.is_stable
    ORDER BY p.page";

const WINDOW_LIST: &str = "
    SELECT p.ids, p.without_id
    FROM salla_sync.sync_windows w
    JOIN salla_sync.sync_pages p ON p.window_id = w.id AND p.walk = w.walk
    WHERE w.id = $1 AND w.run_id = $2 AND w.replaced_at IS NULL
    ORDER BY p.page";

const CLEAR: &str = "
    DELETE FROM salla_sync.sync_pages p USING salla_sync.sync_windows w
    WHERE w.id = $1 AND w.run_id = $2 AND w.replaced_at IS NULL AND p.window_id = w.id";

const CARRY: &str = "
    UPDATE salla_sync.sync_windows SET
        walk = greatest(walk, 1), settled_at = $3, cut_short = false,
        read_at = CASE WHEN $4 THEN $3 ELSE coalesce(read_at, $3) END,
        carried_at = CASE WHEN $4 THEN NULL ELSE $3 END
    WHERE id = $1 AND run_id = $2 AND replaced_at IS NULL
    RETURNING walk";

const LIST: &str = "
    INSERT INTO salla_sync.sync_pages
        (window_id, walk, page, total, per_page, total_pages, ids, without_id, landed_at)
    VALUES ($1, $2, 1, $3, $4, $5, $6, $7, $8)";

/// As a separate page behind the first, which has landed.
const CARRY_OVER: &str = "
    INSERT INTO salla_sync.sync_pages
        (window_id, walk, page, total, per_page, total_pages, ids, without_id, landed_at)
    SELECT p.window_id, p.walk, 2, p.total, p.per_page, p.total_pages,
           ($3::bigint[])[cardinality(p.ids) + 1:], 0, $4
    FROM salla_sync.sync_windows w
    JOIN salla_sync.sync_pages p ON p.window_id = w.id AND p.walk = w.walk AND p.page = 1
    WHERE w.id = $1 AND w.run_id = $2 AND w.replaced_at IS NULL
    ON CONFLICT (window_id, walk, page) DO UPDATE SET ids = excluded.ids";

/// Windows overlap where the ends of the filter are exclusive.
const COUNT_LISTED: &str = "
    SELECT count(DISTINCT listed.id) + (
        SELECT coalesce(sum(p.without_id), 0)
        FROM salla_sync.sync_windows w
        JOIN salla_sync.sync_pages p ON p.window_id = w.id AND p.walk = w.walk
        WHERE w.run_id = $1 AND w.replaced_at IS NULL
          AND w.resource = $2::text::salla_sync.resource)::bigint
    FROM salla_sync.sync_windows w
    JOIN salla_sync.sync_pages p ON p.window_id = w.id AND p.walk = w.walk
    CROSS JOIN unnest(p.ids) AS listed(id)
    WHERE w.run_id = $1 AND w.replaced_at IS NULL
      AND w.resource = $2::text::salla_sync.resource";

/// Null if a window was not scanned to its end, or lists another number than it reports.
const LISTED_ORDERS: &str = "
    WITH listed AS MATERIALIZED (
        SELECT w.id AS window_id, unnest(p.ids) AS id
        FROM salla_sync.sync_windows w
        JOIN salla_sync.sync_pages p ON p.window_id = w.id AND p.walk = w.walk
        WHERE w.run_id = $1 AND w.replaced_at IS NULL AND w.resource = 'orders'
    ), counted AS (
        SELECT window_id, count(DISTINCT id) AS listed FROM listed GROUP BY window_id
    )
    SELECT CASE WHEN bool_and(w.settled_at IS NOT NULL AND NOT w.cut_short
                              AND last.total = coalesce(c.listed, 0))
           THEN (SELECT count(DISTINCT id) FROM listed) END
    FROM salla_sync.sync_windows w
    LEFT JOIN counted c ON c.window_id = w.id
    LEFT JOIN LATERAL (
        SELECT p.total FROM salla_sync.sync_pages p
        WHERE p.window_id = w.id AND p.walk = w.walk
        ORDER BY p.page DESC LIMIT 1) last ON true
    WHERE w.run_id = $1 AND w.replaced_at IS NULL AND w.resource = 'orders'";

/// The ids of all current scans of one resource of run `$1`. EXCEPT sorts or hashes them once,
/// however many they are.
macro_rules! less_listed {
    ($resource:literal, $ids:literal) => {
        concat!(
            $ids,
            " EXCEPT
            SELECT unnest(p.ids)
            FROM salla_sync.sync_windows w
            JOIN salla_sync.sync_pages p ON p.window_id = w.id AND p.walk = w.walk
            WHERE w.run_id = $1 AND w.replaced_at IS NULL AND w.resource = '",
            $resource,
            "'"
        )
    };
}

macro_rules! not_listed {
    ($resource:literal) => {
        less_listed!($resource, "SELECT unnest($2::bigint[])")
    };
}

/// Orders by their row, because a run answers for the days of its range only.
pub(crate) const VANISHED_ORDERS: &str = less_listed!(
    "orders",
    "SELECT o.id FROM salla.orders o
     JOIN salla_sync.sync_runs r ON r.id = $1 AND r.merchant_id = o.merchant_id
     WHERE o.merchant_id = $2 AND o.riyadh_date BETWEEN r.range_from AND r.range_to"
);

/// Others by what a list gave: customers who are known only from an order were never listed.
const VANISHED_CUSTOMERS: &str = less_listed!(
    "customers",
    "SELECT s.salla_id FROM salla_sync.source_records s
     WHERE s.merchant_id = $2 AND s.resource = 'customers'
       AND s.list_version IS NOT NULL AND s.gone_at IS NULL"
);

const VANISHED_PRODUCTS: &str = less_listed!(
    "products",
    "SELECT s.salla_id FROM salla_sync.source_records s
     WHERE s.merchant_id = $2 AND s.resource = 'products'
       AND s.list_version IS NOT NULL AND s.gone_at IS NULL"
);

/// One that was created in the same second as another keeps its place beside it.
const MOMENTS: &str = "
    SELECT o.id, o.created_at, o.updated_at, s.detail_version
    FROM unnest($2::bigint[]) WITH ORDINALITY AS asked(id, place)
    JOIN salla.orders o ON o.merchant_id = $1 AND o.id = asked.id
    LEFT JOIN salla_sync.source_records s
        ON s.merchant_id = $1 AND s.resource = 'orders' AND s.salla_id = asked.id
    ORDER BY o.created_at, asked.place";

#[async_trait]
impl Listings for PostgresRuns {
    async fn listing(&self, lease: RunLease, window: WindowId) -> Result<Listing, Failure> {
        with_retries(&self.clock, "counting what a window listed", || {
            counting::listing(&self.pool, lease, window)
        })
        .await
    }

    async fn listed(&self, lease: RunLease, window: WindowId) -> Result<Vec<i64>, Failure> {
        with_retries(&self.clock, "reading what a window listed", || async {
            let pages: Vec<Vec<i64>> = sqlx::query_scalar(LISTED)
                .bind(window.0)
                .bind(lease.run.0)
                .fetch_all(&self.pool)
                .await?;
            Ok(pages.concat())
        })
        .await
    }

    async fn window_list(&self, lease: RunLease, window: WindowId) -> Result<WindowList, Failure> {
        with_retries(&self.clock, "reading what a window lists", || async {
            let pages: Vec<(Vec<i64>, i32)> = sqlx::query_as(WINDOW_LIST)
                .bind(window.0)
                .bind(lease.run.0)
                .fetch_all(&self.pool)
                .await?;
            let mut list = WindowList::default();
            let mut seen = HashSet::new();
            for (ids, without_id) in pages {
                list.ids
                    .extend(ids.into_iter().filter(|id| seen.insert(*id)));
                list.without_id += without_id.cast_unsigned();
            }
            Ok(list)
        })
        .await
    }

    async fn carry_list(&self, lease: RunLease, list: &CarriedList) -> Result<(), Failure> {
        let now = self.clock.now();
        with_retries(&self.clock, "keeping what a window lists", || async {
            let mut tx = begin_leased(&self.pool, lease).await?;
            let clear = sqlx::query(CLEAR).bind(list.window.0).bind(lease.run.0);
            clear.execute(&mut *tx).await?;
            let walk: Option<i32> = sqlx::query_scalar(CARRY)
                .bind(list.window.0)
                .bind(lease.run.0)
                .bind(now.to_sqlx())
                .bind(list.is_read_whole)
                .fetch_optional(&mut *tx)
                .await?;
            let walk = walk.ok_or_else(|| no_such_window("carried on"))?;
            let listed = list.ids.len() as u64 + u64::from(list.without_id);
            // Two scans that agree settle a number that is off.
            let first = match list.pagination.total == listed {
                true => walk,
                false => (walk - 1).max(1),
            };
            for walk in first..=walk {
                sqlx::query(LIST)
                    .bind(list.window.0)
                    .bind(walk)
                    .bind(list.pagination.total.cast_signed())
                    .bind(list.pagination.per_page.cast_signed())
                    .bind(list.pagination.total_pages.cast_signed())
                    .bind(&list.ids)
                    .bind(list.without_id.cast_signed())
                    .bind(now.to_sqlx())
                    .execute(&mut *tx)
                    .await?;
            }
            tx.commit().await?;
            Ok(())
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
            let carry = sqlx::query(CARRY_OVER).bind(window.0).bind(lease.run.0);
            let carry = carry.bind(ids).bind(now.to_sqlx());
            self.update_window(lease, carry, "carried over")
        })
        .await
    }

    async fn count_listed(&self, lease: RunLease, resource: Resource) -> Result<u64, Failure> {
        with_retries(&self.clock, "counting what is listed", || async {
            let count: i64 = sqlx::query_scalar(COUNT_LISTED)
                .bind(lease.run.0)
                .bind(resource.as_str())
                .fetch_one(&self.pool)
                .await?;
            Ok(count.cast_unsigned())
        })
        .await
    }

    async fn listed_orders(&self, lease: RunLease) -> Result<Option<u64>, Failure> {
        with_retries(
            &self.clock,
            "counting the orders that were listed",
            || async {
                let listed: Option<i64> = sqlx::query_scalar(LISTED_ORDERS)
                    .bind(lease.run.0)
                    .fetch_one(&self.pool)
                    .await?;
                Ok(listed.map(i64::cast_unsigned))
            },
        )
        .await
    }

    async fn not_listed(
        &self,
        lease: RunLease,
        resource: Resource,
        ids: &[i64],
    ) -> Result<Vec<i64>, Failure> {
        let sql = match resource {
            Resource::Orders => not_listed!("orders"),
            Resource::Customers => not_listed!("customers"),
            Resource::Products => not_listed!("products"),
            Resource::Categories => not_listed!("categories"),
            Resource::OrderStatuses => not_listed!("order_statuses"),
        };
        with_retries(&self.clock, "comparing orders with the scans", || async {
            let ids = sqlx::query_scalar(sql).bind(lease.run.0).bind(ids);
            Ok(ids.fetch_all(&self.pool).await?)
        })
        .await
    }

    async fn vanished(&self, lease: RunLease, resource: Resource) -> Result<Vec<i64>, Failure> {
        let sql = match resource {
            Resource::Orders => VANISHED_ORDERS,
            Resource::Customers => VANISHED_CUSTOMERS,
            Resource::Products => VANISHED_PRODUCTS,
            // Old orders and products refer to them, so they stay.
            Resource::Categories | Resource::OrderStatuses => return Ok(vec![]),
        };
        with_long_retries(
            &self.clock,
            "looking for what is no longer listed",
            || async {
                let ids = sqlx::query_scalar(sql)
                    .bind(lease.run.0)
                    .bind(lease.merchant.0);
                Ok(ids.fetch_all(&self.pool).await?)
            },
        )
        .await
    }

    async fn order_moments(
        &self,
        lease: RunLease,
        ids: &[i64],
    ) -> Result<Vec<OrderMoments>, Failure> {
        use jiff_sqlx::Timestamp;
        type Row = (i64, Timestamp, Option<Timestamp>, Option<Timestamp>);
        with_retries(&self.clock, "reading when orders were updated", || async {
            let rows: Vec<Row> = sqlx::query_as(MOMENTS)
                .bind(lease.merchant.0)
                .bind(ids)
                .fetch_all(&self.pool)
                .await?;
            let moments = rows
                .into_iter()
                .map(|(id, created_at, updated_at, detailed_at)| OrderMoments {
                    id,
                    created_at: created_at.to_jiff(),
                    updated_at: updated_at.map(Timestamp::to_jiff),
                    detailed_at: detailed_at.map(Timestamp::to_jiff),
                });
            Ok(moments.collect())
        })
        .await
    }
}
