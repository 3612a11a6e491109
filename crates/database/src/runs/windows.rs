//! The windows of a run and their scans.

use domain::failure::Failure;
use domain::plan::Plan;
use domain::resource::Resource;
use domain::run::WindowId;
use domain::slice::Slice;
use domain::window::DayRange;
use importer::ports::landing::RunLease;
use importer::ports::runs::{StoredWindow, WindowSpec};
use jiff::Timestamp;
use jiff_sqlx::{Date, ToSqlx};
use sqlx::types::Json;
use sqlx::{PgConnection, PgPool};

use crate::error::TxError;
use crate::ids::parse_resource;
use crate::transaction::lock_run;

const SAVE_PLAN: &str = "UPDATE salla_sync.sync_runs SET plan = $2 WHERE id = $1 AND plan IS NULL";

const LAST_POSITION: &str =
    "SELECT coalesce(max(position), 0) FROM salla_sync.sync_windows WHERE run_id = $1";

const CREATE_WINDOWS: &str = "
    INSERT INTO salla_sync.sync_windows (run_id, position, resource, day_from, day_to, slice)
    SELECT $1, $2 + r.ordinal::integer, r.resource::salla_sync.resource, r.day_from, r.day_to,
           r.slice
    FROM unnest($3::text[], $4::date[], $5::date[], $6::text[])
         WITH ORDINALITY AS r(resource, day_from, day_to, slice, ordinal)
    ORDER BY r.ordinal";

pub(crate) async fn save_plan(
    pool: &PgPool,
    lease: RunLease,
    plan: &Plan,
    windows: &[(Resource, Option<DayRange>)],
) -> Result<(), TxError> {
    let mut tx = pool.begin().await?;
    lock_run(&mut tx, lease).await?;
    let saved = sqlx::query(SAVE_PLAN)
        .bind(lease.run.0)
        .bind(Json(plan))
        .execute(&mut *tx)
        .await?
        .rows_affected();
    if saved > 0 {
        let whole = |(resource, days): &(Resource, Option<DayRange>)| {
            let (slice, days) = (None, *days);
            (*resource, WindowSpec { slice, days })
        };
        let windows: Vec<_> = windows.iter().map(whole).collect();
        // Those that it has taken over from another run come first.
        let position = sqlx::query_scalar(LAST_POSITION)
            .bind(lease.run.0)
            .fetch_one(&mut *tx)
            .await?;
        create_windows(&mut tx, lease, position, &windows).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// Creates windows at the positions after `position`.
async fn create_windows(
    tx: &mut PgConnection,
    lease: RunLease,
    position: i32,
    windows: &[(Resource, WindowSpec)],
) -> Result<(), TxError> {
    let day = |pick: fn(DayRange) -> jiff::civil::Date| -> Vec<Option<Date>> {
        let days = windows.iter().map(|(_, part)| part.days.map(pick));
        days.map(|day| day.map(ToSqlx::to_sqlx)).collect()
    };
    let resources: Vec<&str> = windows
        .iter()
        .map(|(resource, _)| resource.as_str())
        .collect();
    let slices: Vec<Option<String>> = windows
        .iter()
        .map(|(_, part)| part.slice.map(Slice::key))
        .collect();
    sqlx::query(CREATE_WINDOWS)
        .bind(lease.run.0)
        .bind(position)
        .bind(resources)
        .bind(day(|days| days.from))
        .bind(day(|days| days.to))
        .bind(slices)
        .execute(tx)
        .await?;
    Ok(())
}

#[derive(sqlx::FromRow)]
struct WindowRow {
    id: i64,
    resource: String,
    day_from: Option<Date>,
    day_to: Option<Date>,
    slice: Option<String>,
    is_sliced: bool,
    walk: i32,
    first_total: Option<i64>,
    total_pages: Option<i32>,
    pages_done: Vec<i32>,
    settled: bool,
}

const LIST: &str = "
    SELECT w.id, w.resource::text, w.day_from, w.day_to, w.slice, w.sliced_at IS NOT NULL AS is_sliced,
           w.walk, w.settled_at IS NOT NULL AS settled,
           p.first_total, p.total_pages, coalesce(p.pages_done, '{}') AS pages_done
    FROM salla_sync.sync_windows w
    LEFT JOIN LATERAL (
        SELECT array_agg(page ORDER BY page) AS pages_done,
               (array_agg(total ORDER BY page))[1] AS first_total,
               (array_agg(total_pages ORDER BY page))[1] AS total_pages
        FROM salla_sync.sync_pages
        WHERE window_id = w.id AND walk = w.walk) p ON true
    WHERE w.run_id = $1 AND w.replaced_at IS NULL
    ORDER BY w.position";

pub(crate) async fn list(pool: &PgPool, lease: RunLease) -> Result<Vec<StoredWindow>, TxError> {
    let rows: Vec<WindowRow> = sqlx::query_as(LIST)
        .bind(lease.run.0)
        .fetch_all(pool)
        .await?;
    let mut windows = Vec::with_capacity(rows.len());
    for row in rows {
        windows.push(StoredWindow {
            id: WindowId(row.id),
            resource: parse_resource(&row.resource)?,
            days: days(row.day_from, row.day_to),
            slice: slice(row.slice.as_deref())?,
            is_sliced: row.is_sliced,
            scan: row.walk.cast_unsigned(),
            first_total: row.first_total.map(i64::cast_unsigned),
            total_pages: row.total_pages.map(i32::cast_unsigned),
            pages_done: row.pages_done.into_iter().map(i32::cast_unsigned).collect(),
            done: row.settled,
        });
    }
    Ok(windows)
}

pub(crate) fn days(from: Option<Date>, to: Option<Date>) -> Option<DayRange> {
    let (from, to) = from.zip(to)?;
    DayRange::new(from.to_jiff(), to.to_jiff())
}

pub(crate) fn slice(key: Option<&str>) -> Result<Option<Slice>, TxError> {
    let Some(key) = key else { return Ok(None) };
    let slice = Slice::parse(key).ok_or_else(|| Failure::Bug {
        message: format!("a window has the slice {key}, which is unknown to this version"),
    })?;
    Ok(Some(slice))
}

const BEGIN_SCAN: &str = "
    UPDATE salla_sync.sync_windows SET
        walk = walk + 1, settled_at = NULL, ends_read_again = false, read_at = $3, carried_at = NULL
    WHERE id = $1 AND run_id = $2 AND replaced_at IS NULL
    RETURNING walk";

pub(crate) async fn begin_scan(
    pool: &PgPool,
    lease: RunLease,
    window: WindowId,
    now: Timestamp,
) -> Result<u32, TxError> {
    let mut tx = pool.begin().await?;
    lock_run(&mut tx, lease).await?;
    let walk: Option<i32> = sqlx::query_scalar(BEGIN_SCAN)
        .bind(window.0)
        .bind(lease.run.0)
        .bind(now.to_sqlx())
        .fetch_optional(&mut *tx)
        .await?;
    let walk = walk.ok_or_else(|| no_such_window("walked"))?;
    tx.commit().await?;
    Ok(walk.cast_unsigned())
}

const REPLACE: &str = "
    UPDATE salla_sync.sync_windows SET replaced_at = $3
    WHERE id = $1 AND run_id = $2 AND replaced_at IS NULL
    RETURNING position, resource::text, slice";

const MAKE_ROOM: &str = "
    UPDATE salla_sync.sync_windows SET position = position + $3
    WHERE run_id = $1 AND position > $2";

pub(crate) async fn split(
    pool: &PgPool,
    lease: RunLease,
    window: WindowId,
    halves: [DayRange; 2],
    now: Timestamp,
) -> Result<(), TxError> {
    let mut tx = pool.begin().await?;
    lock_run(&mut tx, lease).await?;
    let replaced: Option<(i32, String, Option<String>)> = sqlx::query_as(REPLACE)
        .bind(window.0)
        .bind(lease.run.0)
        .bind(now.to_sqlx())
        .fetch_optional(&mut *tx)
        .await?;
    // A window that was replaced before has its halves already.
    if let Some((position, resource, key)) = replaced {
        shift_positions(&mut tx, lease, position, 1).await?;
        let (resource, slice) = (parse_resource(&resource)?, slice(key.as_deref())?);
        let halves = halves.map(|days| {
            let days = Some(days);
            (resource, WindowSpec { slice, days })
        });
        create_windows(&mut tx, lease, position - 1, &halves).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// Moves the windows behind `position` by `places`.
async fn shift_positions(
    tx: &mut PgConnection,
    lease: RunLease,
    position: i32,
    places: i32,
) -> Result<(), TxError> {
    let shift_positions = sqlx::query(MAKE_ROOM)
        .bind(lease.run.0)
        .bind(position)
        .bind(places);
    shift_positions.execute(tx).await?;
    Ok(())
}

const SLICE: &str = "
    UPDATE salla_sync.sync_windows SET sliced_at = $3, settled_at = NULL
    WHERE id = $1 AND run_id = $2 AND replaced_at IS NULL AND sliced_at IS NULL
    RETURNING position, resource::text";

pub(crate) async fn slice_window(
    pool: &PgPool,
    lease: RunLease,
    window: WindowId,
    parts: &[WindowSpec],
    now: Timestamp,
) -> Result<(), TxError> {
    let mut tx = pool.begin().await?;
    lock_run(&mut tx, lease).await?;
    let sliced: Option<(i32, String)> = sqlx::query_as(SLICE)
        .bind(window.0)
        .bind(lease.run.0)
        .bind(now.to_sqlx())
        .fetch_optional(&mut *tx)
        .await?;
    // A window that was sliced before has its slices already.
    if let Some((position, resource)) = sliced {
        let resource = parse_resource(&resource)?;
        let places = i32::try_from(parts.len()).unwrap_or(i32::MAX);
        shift_positions(&mut tx, lease, position, places).await?;
        let parts: Vec<_> = parts.iter().map(|part| (resource, *part)).collect();
        create_windows(&mut tx, lease, position, &parts).await?;
    }
    tx.commit().await?;
    Ok(())
}

const SETTLE: &str = "
    UPDATE salla_sync.sync_windows SET settled_at = coalesce(settled_at, $3), cut_short = $4
    WHERE id = $1 AND run_id = $2 AND replaced_at IS NULL";

pub(crate) async fn settle(
    pool: &PgPool,
    lease: RunLease,
    window: WindowId,
    cut_short: bool,
    now: Timestamp,
) -> Result<(), TxError> {
    let mut tx = pool.begin().await?;
    lock_run(&mut tx, lease).await?;
    let settled = sqlx::query(SETTLE)
        .bind(window.0)
        .bind(lease.run.0)
        .bind(now.to_sqlx())
        .bind(cut_short)
        .execute(&mut *tx)
        .await?;
    if settled.rows_affected() == 0 {
        return Err(no_such_window("settled").into());
    }
    tx.commit().await?;
    Ok(())
}

pub(crate) fn no_such_window(done: &str) -> Failure {
    Failure::Bug {
        message: format!("the window to be {done} is not in the run"),
    }
}
