//! The windows of a run and their scans.

use async_trait::async_trait;
use domain::failure::Failure;
use domain::plan::Plan;
use domain::resource::Resource;
use domain::run::WindowId;
use domain::slice::Slice;
use domain::window::DayRange;
use importer::ports::landing::RunLease;
use importer::ports::runs::{StoredWindow, WindowSpec, Windows};
use jiff_sqlx::{Date, ToSqlx};
use sqlx::PgConnection;
use sqlx::Postgres;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::types::Json;

use crate::error::{TxError, with_retries};
use crate::ids::parse_resource;
use crate::runs::PostgresRuns;
use crate::transaction::begin_leased;

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

const BEGIN_SCAN: &str = "
    UPDATE salla_sync.sync_windows SET
        walk = walk + 1, settled_at = NULL, ends_read_again = false, read_at = $3, carried_at = NULL
    WHERE id = $1 AND run_id = $2 AND replaced_at IS NULL
    RETURNING walk";

const REPLACE: &str = "
    UPDATE salla_sync.sync_windows SET replaced_at = $3
    WHERE id = $1 AND run_id = $2 AND replaced_at IS NULL
    RETURNING position, resource::text, slice";

const MAKE_ROOM: &str = "
    UPDATE salla_sync.sync_windows SET position = position + $3
    WHERE run_id = $1 AND position > $2";

const SLICE: &str = "
    UPDATE salla_sync.sync_windows SET sliced_at = $3, settled_at = NULL
    WHERE id = $1 AND run_id = $2 AND replaced_at IS NULL AND sliced_at IS NULL
    RETURNING position, resource::text";

const STRETCH: &str = "
    UPDATE salla_sync.sync_windows SET day_from = $3, day_to = $4
    WHERE id = $1 AND run_id = $2 AND replaced_at IS NULL";

const SETTLE: &str = "
    UPDATE salla_sync.sync_windows SET settled_at = coalesce(settled_at, $3), cut_short = $4
    WHERE id = $1 AND run_id = $2 AND replaced_at IS NULL";

const RECORD_ENDS_READ_AGAIN: &str = "
    UPDATE salla_sync.sync_windows SET ends_read_again = true
    WHERE id = $1 AND run_id = $2 AND replaced_at IS NULL";

#[async_trait]
impl Windows for PostgresRuns {
    async fn save_plan(
        &self,
        lease: RunLease,
        plan: &Plan,
        windows: &[(Resource, Option<DayRange>)],
    ) -> Result<(), Failure> {
        with_retries(&self.clock, "storing the plan", || async {
            let mut tx = begin_leased(&self.pool, lease).await?;
            let save = sqlx::query(SAVE_PLAN).bind(lease.run.0).bind(Json(plan));
            if save.execute(&mut *tx).await?.rows_affected() > 0 {
                let whole = |(resource, days): &(Resource, Option<DayRange>)| {
                    let (slice, days) = (None, *days);
                    (*resource, WindowSpec { slice, days })
                };
                let windows: Vec<_> = windows.iter().map(whole).collect();
                // Those that it has taken over from another run come first.
                let position = sqlx::query_scalar(LAST_POSITION).bind(lease.run.0);
                let position = position.fetch_one(&mut *tx).await?;
                create_windows(&mut tx, lease, position, &windows).await?;
            }
            tx.commit().await?;
            Ok(())
        })
        .await
    }

    async fn windows(&self, lease: RunLease) -> Result<Vec<StoredWindow>, Failure> {
        with_retries(&self.clock, "reading the windows of a run", || async {
            let rows: Vec<WindowRow> = sqlx::query_as(LIST)
                .bind(lease.run.0)
                .fetch_all(&self.pool)
                .await?;
            rows.into_iter().map(WindowRow::window).collect()
        })
        .await
    }

    async fn begin_scan(&self, lease: RunLease, window: WindowId) -> Result<u32, Failure> {
        let now = self.clock.now();
        with_retries(&self.clock, "starting a scan", || async {
            let mut tx = begin_leased(&self.pool, lease).await?;
            let walk: Option<i32> = sqlx::query_scalar(BEGIN_SCAN)
                .bind(window.0)
                .bind(lease.run.0)
                .bind(now.to_sqlx())
                .fetch_optional(&mut *tx)
                .await?;
            let walk = walk.ok_or_else(|| no_such_window("walked"))?;
            tx.commit().await?;
            Ok(walk.cast_unsigned())
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
        with_retries(&self.clock, "splitting a window", || async {
            let mut tx = begin_leased(&self.pool, lease).await?;
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
        with_retries(&self.clock, "slicing a window", || async {
            let mut tx = begin_leased(&self.pool, lease).await?;
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
            let stretch = sqlx::query(STRETCH).bind(window.0).bind(lease.run.0);
            let stretch = stretch.bind(days.from.to_sqlx()).bind(days.to.to_sqlx());
            self.update_window(lease, stretch, "stretched")
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
            let settle = sqlx::query(SETTLE).bind(window.0).bind(lease.run.0);
            let settle = settle.bind(now.to_sqlx()).bind(cut_short);
            self.update_window(lease, settle, "settled")
        })
        .await
    }

    async fn record_ends_rescanned(
        &self,
        lease: RunLease,
        window: WindowId,
    ) -> Result<(), Failure> {
        with_retries(&self.clock, "marking the ends of a list", || {
            let record = sqlx::query(RECORD_ENDS_READ_AGAIN);
            let record = record.bind(window.0).bind(lease.run.0);
            self.update_window(lease, record, "marked")
        })
        .await
    }
}

impl PostgresRuns {
    /// Fails where the window that is to be `done` is not in the run.
    pub(super) async fn update_window(
        &self,
        lease: RunLease,
        update: Query<'_, Postgres, PgArguments>,
        done: &str,
    ) -> Result<(), TxError> {
        let mut tx = begin_leased(&self.pool, lease).await?;
        if update.execute(&mut *tx).await?.rows_affected() == 0 {
            return Err(no_such_window(done).into());
        }
        tx.commit().await?;
        Ok(())
    }
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

impl WindowRow {
    fn window(self) -> Result<StoredWindow, TxError> {
        Ok(StoredWindow {
            id: WindowId(self.id),
            resource: parse_resource(&self.resource)?,
            days: days(self.day_from, self.day_to),
            slice: slice(self.slice.as_deref())?,
            is_sliced: self.is_sliced,
            scan: self.walk.cast_unsigned(),
            first_total: self.first_total.map(i64::cast_unsigned),
            total_pages: self.total_pages.map(i32::cast_unsigned),
            pages_done: self
                .pages_done
                .into_iter()
                .map(i32::cast_unsigned)
                .collect(),
            done: self.settled,
        })
    }
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

pub(super) fn no_such_window(done: &str) -> Failure {
    Failure::Bug {
        message: format!("the window to be {done} is not in the run"),
    }
}
