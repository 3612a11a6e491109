//! Records that could not be read: rejected, counted, and resolved once they load.

use crate::ids::{parse_code, parse_resource};
use std::collections::BTreeMap;
use std::sync::LazyLock;

use domain::order::Version;
use domain::rejection::{Rejection, RejectionCode};
use domain::resource::Resource;
use domain::run::WindowId;
use importer::ports::landing::{RejectionTally, RunLease};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sha2::{Digest, Sha256};
use sqlx::postgres::PgArguments;
use sqlx::{PgConnection, PgPool};

use crate::columns::{Columns, add, columns, rows_from_arrays, storable};
use crate::error::TxError;
use crate::future::falsely_newer;
use crate::landing::context::LandingContext;
use crate::landing::versions::Incoming;
use crate::transaction::LockedRun;

pub(crate) const ORDER_HEADER: &str = "order_header";
pub(crate) const ORDER_DETAIL: &str = "order_detail";
pub(crate) const ORDER_ITEMS: &str = "order_items";

/// The kind of a rejected list row.
pub(crate) fn list_kind(resource: Resource) -> &'static str {
    match resource {
        Resource::Orders => ORDER_HEADER,
        Resource::Customers => "customer",
        Resource::Products => "product",
        Resource::Categories => "category",
        Resource::OrderStatuses => "order_status",
    }
}

/// Where in a scan a record was found.
#[derive(Clone, Copy)]
pub(crate) struct Origin {
    pub(crate) window: WindowId,
    pub(crate) page: u32,
}

pub(crate) struct Rejected<'a> {
    pub(crate) kind: &'static str,
    pub(crate) rejection: &'a Rejection,
    pub(crate) salla_id: Option<i64>,
    /// Empty if the record has no separate text, such as a customer in an order.
    pub(crate) raw: &'a str,
    pub(crate) version: Version,
    pub(crate) origin: Option<Origin>,
}

impl Rejected<'_> {
    /// A record without a readable id is known by its text, so that meeting it again
    /// adds nothing; one without a text as well by what is said of it.
    fn key(&self) -> String {
        match (self.salla_id, self.raw) {
            (Some(id), _) => id.to_string(),
            (None, "") => format!("sha256:{:x}", Sha256::digest(&self.rejection.message)),
            (None, raw) => format!("sha256:{:x}", Sha256::digest(raw)),
        }
    }
}

columns! {
    struct RejectedColumns<'a> from (&'a str, &'a Rejected<'a>) {
        record_key: &'a str, "text" = |(key, _)| key;
        kind: &'static str, "text" = |(_, r)| r.kind;
        salla_id: Option<i64>, "bigint" = |(_, r)| r.salla_id;
        code: &'static str, "text" = |(_, r)| r.rejection.code.as_str();
        json_path: std::borrow::Cow<'a, str>, "text" = |(_, r)| storable(&r.rejection.path);
        message: std::borrow::Cow<'a, str>, "text" = |(_, r)| storable(&r.rejection.message);
        raw: std::borrow::Cow<'a, str>, "text" = |(_, r)| storable(r.raw);
        version: jiff_sqlx::Timestamp, "timestamptz" = |(_, r)| r.version.to_sqlx();
        window_id: Option<i64>, "bigint" = |(_, r)| r.origin.map(|o| o.window.0);
        page: Option<i32>, "integer" = |(_, r)| r.origin.map(|o| o.page.cast_signed());
    }
}

/// A record that has loaded from a newer answer already is only put on record: it
/// lacks nothing. A refusal without a text leaves a rejection alone that has one: only
/// that one can be read again. The same text keeps the page it came from.
static STORE: LazyLock<String> = LazyLock::new(|| {
    let rows = rows_from_arrays(5, &RejectedColumns::columns());
    format!(
        "INSERT INTO salla_sync.rejected_records AS t
            (merchant_id, run_id, resource, kind, record_key, salla_id, code, json_path, message,
             raw, version, window_id, page, first_seen_at, last_seen_at, resolved_at)
        SELECT $1, $2, $3::text::salla_sync.resource, r.kind, r.record_key, r.salla_id, r.code,
               r.json_path, r.message, r.raw, r.version, r.window_id, r.page, $4, $4,
               (SELECT $4 FROM salla_sync.source_records s
                WHERE s.merchant_id = $1 AND s.resource = $3::text::salla_sync.resource
                  AND s.salla_id = r.salla_id
                  AND (s.detail_version > r.version AND NOT {false_detail}
                       OR r.kind NOT IN ('order_detail', 'order_items')
                          AND s.list_version > r.version AND NOT {false_list}))
        FROM {rows}
        ON CONFLICT (merchant_id, kind, record_key) DO UPDATE SET
            run_id = excluded.run_id, code = excluded.code, json_path = excluded.json_path,
            message = excluded.message, raw = excluded.raw, version = excluded.version,
            window_id = CASE WHEN t.version = excluded.version
                             THEN coalesce(excluded.window_id, t.window_id)
                             ELSE excluded.window_id END,
            page = CASE WHEN t.version = excluded.version THEN coalesce(excluded.page, t.page)
                        ELSE excluded.page END,
            first_seen_at = CASE WHEN t.resolved_at IS NULL THEN t.first_seen_at
                                 ELSE excluded.first_seen_at END,
            last_seen_at = excluded.last_seen_at, resolved_at = excluded.resolved_at
        WHERE (t.version <= excluded.version OR {false_known})
          AND NOT (excluded.code = '{refused}' AND excluded.raw = ''
                   AND t.raw <> '' AND t.resolved_at IS NULL)",
        refused = RejectionCode::RefusedByDatabase.as_str(),
        false_detail = falsely_newer!("s.detail_version", "r.version"),
        false_list = falsely_newer!("s.list_version", "r.version"),
        false_known = falsely_newer!("t.version", "excluded.version"),
    )
});

/// Keeps rejected records; returns how many different ones there were.
async fn store_rejections(
    tx: &mut PgConnection,
    run: &LockedRun,
    resource: Resource,
    rejected: &[Rejected<'_>],
    now: Timestamp,
) -> Result<u64, TxError> {
    if rejected.is_empty() {
        return Ok(0);
    }
    let mut newest: BTreeMap<(&'static str, String), &Rejected<'_>> = BTreeMap::new();
    for record in rejected {
        let known = newest.entry((record.kind, record.key())).or_insert(record);
        if known.version <= record.version {
            *known = record;
        }
    }
    let rows = newest
        .iter()
        .map(|((_, key), record)| (key.as_str(), *record));
    let columns = RejectedColumns::of(rows);
    let mut arguments = PgArguments::default();
    add(&mut arguments, run.merchant.0)?;
    add(&mut arguments, run.lease.run.0)?;
    add(&mut arguments, resource.as_str())?;
    add(&mut arguments, now.to_sqlx())?;
    columns.bind(&mut arguments)?;
    sqlx::query_with(STORE.as_str(), arguments)
        .execute(tx)
        .await?;
    Ok(newest.len() as u64)
}

/// Rejects customers that the database did not take from orders. `version` is that of
/// an order.
pub(crate) async fn reject_customers(
    ctx: &mut LandingContext<'_>,
    version: impl Fn(i64) -> Option<Version>,
) -> Result<(), TxError> {
    let customers = std::mem::take(&mut ctx.tally.refused_customers);
    let rejected: Vec<Rejected<'_>> = customers
        .iter()
        .filter_map(|customer| {
            Some(Rejected {
                kind: list_kind(Resource::Customers),
                rejection: &customer.rejection,
                salla_id: Some(customer.customer_id),
                raw: "",
                version: version(customer.order_id)?,
                origin: None,
            })
        })
        .collect();
    let resource = Resource::Customers;
    let count = store_rejections(ctx.tx, &ctx.run, resource, &rejected, ctx.now).await?;
    ctx.tally.count_rejected(count, std::iter::empty());
    Ok(())
}

/// Keeps rejected records and counts them.
pub(crate) async fn reject(
    ctx: &mut LandingContext<'_>,
    resource: Resource,
    rejected: &[Rejected<'_>],
) -> Result<(), TxError> {
    let count = store_rejections(ctx.tx, &ctx.run, resource, rejected, ctx.now).await?;
    let refused = rejected
        .iter()
        .filter(|r| r.rejection.code == RejectionCode::RefusedByDatabase);
    let refused = refused.filter_map(|r| Some((r.kind, r.salla_id?)));
    ctx.tally.count_rejected(count, refused);
    Ok(())
}

const RESOLVE: &str = concat!(
    "
    UPDATE salla_sync.rejected_records t SET resolved_at = $1
    WHERE t.id = ANY (ARRAY(
        SELECT x.id
        FROM unnest($5::bigint[], $6::timestamptz[]) AS r(salla_id, version)
        CROSS JOIN LATERAL (
            SELECT x.id FROM salla_sync.rejected_records x
            WHERE x.merchant_id = $2 AND x.resource = $3::text::salla_sync.resource
              AND x.salla_id = r.salla_id AND x.resolved_at IS NULL
              AND x.kind = ANY($4)
              AND (x.version <= r.version OR ",
    falsely_newer!("x.version", "r.version"),
    ")
            OFFSET 0) x))
      AND t.resolved_at IS NULL"
);

/// Closes the rejections of records that have loaded now; returns whether there were any.
pub(crate) async fn resolve<R>(
    tx: &mut PgConnection,
    run: &LockedRun,
    (resource, kinds): (Resource, &[&str]),
    loaded: &[Incoming<R>],
    now: Timestamp,
) -> Result<bool, TxError> {
    if !run.has_open_rejections || loaded.is_empty() {
        return Ok(false);
    }
    let ids: Vec<i64> = loaded.iter().map(|r| r.id).collect();
    let versions: Vec<_> = loaded.iter().map(|r| r.version.to_sqlx()).collect();
    let resolved = sqlx::query(RESOLVE)
        .bind(now.to_sqlx())
        .bind(run.merchant.0)
        .bind(resource.as_str())
        .bind(kinds)
        .bind(ids)
        .bind(versions)
        .execute(tx)
        .await?
        .rows_affected();
    Ok(resolved > 0)
}

const RESOLVE_BY_ROW: &str = "
    UPDATE salla_sync.rejected_records x SET resolved_at = $1
    WHERE x.merchant_id = $2 AND x.resource = $3::text::salla_sync.resource
      AND x.salla_id = ANY ($4) AND x.resolved_at IS NULL AND x.raw = ''";

/// Closes the rejections of records without separate text whose refused values the database has
/// accepted now; returns whether there were any.
pub(crate) async fn resolve_by_row(
    ctx: &mut LandingContext<'_>,
    resource: Resource,
    ids: &[i64],
) -> Result<bool, TxError> {
    if !ctx.run.has_open_rejections || ids.is_empty() {
        return Ok(false);
    }
    let resolved = sqlx::query(RESOLVE_BY_ROW)
        .bind(ctx.now.to_sqlx())
        .bind(ctx.run.merchant.0)
        .bind(resource.as_str())
        .bind(ids)
        .execute(&mut *ctx.tx)
        .await?
        .rows_affected();
    Ok(resolved > 0)
}

/// Rejected rows of lists are compared with the rows of the lists, rejected details with the
/// fetched details: in the first minutes of the details phase the lists would hide that no detail
/// can be read. Details that an earlier run rejected as well do not count: a later run requests
/// only what has changed since and these again, so they would be most of its requests. Customers
/// that were in no list have nothing to be compared with.
const TALLY: &str = "
    WITH run AS (
        SELECT id, order_details, coalesce(started_at, created_at) AS began
        FROM salla_sync.sync_runs
        WHERE id = $1 AND merchant_id = $2 AND fencing = $3
    ), open AS (
        SELECT x.resource, x.code, x.kind IN ('order_detail', 'order_items') AS of_details, count(*) AS count
        FROM salla_sync.rejected_records x JOIN run ON x.run_id = run.id
        WHERE x.resolved_at IS NULL
          AND (x.kind NOT IN ('order_detail', 'order_items') OR x.first_seen_at >= run.began)
          AND NOT (x.resource = 'customers' AND x.window_id IS NULL)
        GROUP BY 1, 2, 3
    ), listed AS (
        SELECT w.resource, sum(cardinality(p.ids) + p.without_id)::bigint AS seen
        FROM salla_sync.sync_windows w
        JOIN run ON w.run_id = run.id
        JOIN salla_sync.sync_pages p ON p.window_id = w.id
        GROUP BY 1
    )
    SELECT open.resource::text, open.code, open.count,
        CASE WHEN open.of_details
             THEN run.order_details + sum(open.count) OVER (PARTITION BY open.of_details)::bigint
             ELSE coalesce(listed.seen, open.count) END AS seen
    FROM open CROSS JOIN run LEFT JOIN listed USING (resource)
    ORDER BY 1, 2";

pub(crate) async fn tally(pool: &PgPool, lease: RunLease) -> Result<Vec<RejectionTally>, TxError> {
    let rows: Vec<(String, String, i64, i64)> = sqlx::query_as(TALLY)
        .bind(lease.run.0)
        .bind(lease.merchant.0)
        .bind(lease.fencing_token)
        .fetch_all(pool)
        .await?;
    let mut tallies = Vec::with_capacity(rows.len());
    for (resource, code, count, seen) in rows {
        tallies.push(RejectionTally {
            resource: parse_resource(&resource)?,
            code: parse_code(&code)?,
            count: count.cast_unsigned(),
            seen: seen.cast_unsigned(),
        });
    }
    Ok(tallies)
}
