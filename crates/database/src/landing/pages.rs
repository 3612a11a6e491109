//! Landing whole list pages.

use std::sync::LazyLock;

use domain::catalogue::{Category, Product};
use domain::customer::Customer;
use domain::failure::Failure;
use domain::order::{Order, OrderStatus};
use domain::resource::Resource;
use importer::ports::landing::{Landed, LandedChanges, RunLease, ScannedPage};
use importer::ports::platform::Page;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::postgres::PgArguments;
use sqlx::{PgConnection, PgPool};

use crate::columns::{Columns, add, array_literal, columns, rows_from_arrays};
use crate::error::TxError;
use crate::landing::context::{Care, LandingContext, page_outside_scans};
use crate::landing::counters::{CounterDelta, Cursor, record};
use crate::landing::isolation::land_each;
use crate::landing::list_batch::{DecodedBatch, ListRecord};
use crate::landing::rejections::{Rejected, reject, reject_customers};
use crate::landing::versions::NewRows;
use crate::transaction::{CopyTransaction, LockedRun, LockedRunRow, lock_run, locked_run};

pub(crate) async fn land(
    pool: &PgPool,
    lease: RunLease,
    pages: &[ScannedPage],
    now: Timestamp,
    care: Care,
) -> Result<Landed, TxError> {
    let Some(resource) = pages.first().map(|page| page.records.resource()) else {
        return Ok(Landed::default());
    };
    let mut tx = CopyTransaction::begin(pool).await?;
    let landed = land_within(&mut tx, lease, (resource, pages), now, care).await;
    tx.end(landed).await
}

async fn land_within(
    tx: &mut PgConnection,
    lease: RunLease,
    (resource, pages): (Resource, &[ScannedPage]),
    now: Timestamp,
    care: Care,
) -> Result<Landed, TxError> {
    let Beginning {
        run,
        fresh,
        any_is_known,
    } = begin_pages(tx, lease, (resource, pages), now).await?;
    let new_rows = match care {
        Care::Together if any_is_known => NewRows::Absent,
        Care::Together => NewRows::AbsentForAll,
        // A row that was there may be all that was refused.
        Care::Apart => NewRows::MayExist,
    };
    let mut ctx = LandingContext::new(tx, run, now, new_rows, care)?;
    ctx.tally
        .count_pages(fresh.len(), pages.len() - fresh.len());
    ctx.tally
        .advances_if(fresh.iter().any(|page| page.is_resumed));
    if let Some(last) = fresh.last() {
        let cursor = last.cursor(resource);
        let fresh: Vec<&ScannedPage> = fresh.iter().map(|f| f.page).collect();
        land_records(&mut ctx, resource, &fresh).await?;
        record(ctx.tx, &ctx.run, &mut ctx.tally, cursor, now).await?;
    }
    Ok(ctx.tally.landed)
}

/// Lands orders that no scan has listed.
pub(crate) async fn land_changes(
    pool: &PgPool,
    lease: RunLease,
    page: &Page,
    now: Timestamp,
    care: Care,
) -> Result<LandedChanges, TxError> {
    let mut tx = pool.begin().await?;
    let run = lock_run(&mut tx, lease).await?;
    let mut ctx = LandingContext::new(&mut tx, run, now, NewRows::MayExist, care)?;
    let page = page_outside_scans(page.records.clone(), page.version, page.pagination);
    let cursor = Cursor {
        resource: Resource::Orders.as_str(),
        window: None,
        page: Some(page.page),
        order_id: None,
    };
    land_records(&mut ctx, Resource::Orders, &[&page]).await?;
    record(ctx.tx, &ctx.run, &mut ctx.tally, cursor, now).await?;
    let CounterDelta {
        landed, changed, ..
    } = ctx.tally;
    tx.commit().await?;
    Ok(LandedChanges { landed, changed })
}

/// Everything but the checkpoint and the counters.
pub(crate) async fn land_records(
    ctx: &mut LandingContext<'_>,
    resource: Resource,
    pages: &[&ScannedPage],
) -> Result<(), TxError> {
    match resource {
        Resource::Orders => land_kind::<Order>(ctx, pages).await,
        Resource::Customers => land_kind::<Customer>(ctx, pages).await,
        Resource::Products => land_kind::<Product>(ctx, pages).await,
        Resource::Categories => land_kind::<Category>(ctx, pages).await,
        Resource::OrderStatuses => land_kind::<OrderStatus>(ctx, pages).await,
    }
}

/// Rejections come last: by then it is known what has loaded.
async fn land_kind<T: ListRecord>(
    ctx: &mut LandingContext<'_>,
    pages: &[&ScannedPage],
) -> Result<(), TxError> {
    let DecodedBatch { records, rejected } = DecodedBatch::<T>::of(pages)?;
    let refused = land_each(ctx, &records).await?;
    let refused = refused.iter().map(|(found, why)| found.rejected(why));
    let rejected: Vec<Rejected<'_>> = rejected.into_iter().chain(refused).collect();
    reject(ctx, T::RESOURCE, &rejected).await?;
    reject_customers(ctx, |order_id| {
        let at = records.binary_search_by_key(&order_id, |found| found.id);
        Some(records.get(at.ok()?)?.version)
    })
    .await
}

// The checkpoint: which pages have landed, and what each listed.

/// A page that had not landed before.
pub(crate) struct NewPage<'a> {
    pub(crate) page: &'a ScannedPage,
    days: Option<String>,
    /// The next attempt continues behind it.
    is_resumed: bool,
}

impl NewPage<'_> {
    pub(crate) fn cursor(&self, resource: Resource) -> Cursor {
        Cursor {
            resource: resource.as_str(),
            window: self.days.clone(),
            page: Some(self.page.page),
            order_id: None,
        }
    }
}

columns! {
    struct PageColumns<'a> from &'a PageIds<'a> {
        window_id: i64, "bigint" = |p| p.page.window.0;
        walk: i32, "integer" = |p| p.page.scan.cast_signed();
        page: i32, "integer" = |p| p.page.page.cast_signed();
        total: i64, "bigint" = |p| p.page.pagination.total.cast_signed();
        per_page: i32, "integer" = |p| p.page.pagination.per_page.cast_signed();
        total_pages: i32, "integer" = |p| p.page.pagination.total_pages.cast_signed();
        without_id: i32, "integer" = |p| p.without_id;
        ids: &'a str, "text" = |p| p.ids.as_str();
    }
}

/// A page and what it listed; the ids as a PostgreSQL array literal, because an array
/// of arrays would lose the bounds of its parts.
pub(crate) struct PageIds<'a> {
    page: &'a ScannedPage,
    ids: String,
    without_id: i32,
}

/// Holds the run, then puts pages on record: one wait for the server instead of three. A page
/// that has landed before is left as it is, and so are its records: this is what makes a batch
/// repeatable.
///
/// Whether anything is known of the records takes one look-up by key for each id, until one is
/// found. Another landing may add one of them in the meantime; then adding it once more fails
/// like any row that was taken to be absent.
///
/// The next attempt resumes behind a page of a window that is not settled yet. What is read once
/// more, such as the ends of a list, has a number behind its last page. And an attempt makes up to
/// eight scans of a window: pages of more are those of attempts that all begin a scan.
static BEGIN_PAGES: LazyLock<String> = LazyLock::new(|| {
    let rows = rows_from_arrays(7, &PageColumns::columns());
    format!(
        "WITH held AS MATERIALIZED (
            {hold}
        ), landed AS (
            INSERT INTO salla_sync.sync_pages
                (window_id, walk, page, total, per_page, total_pages, without_id, ids, landed_at)
            SELECT r.window_id, r.walk, r.page, r.total, r.per_page, r.total_pages, r.without_id,
                   r.ids::bigint[], $4
            FROM held, {rows}
            ON CONFLICT (window_id, walk, page) DO NOTHING
            RETURNING window_id, walk, page, total_pages
        )
        SELECT h.number, h.keep_raw, h.has_open_rejections, h.has_altered_records, h.is_secured,
               EXISTS (
                   SELECT FROM unnest($6::bigint[]) AS k(id)
                   CROSS JOIN LATERAL (
                       SELECT FROM salla_sync.source_records s
                       WHERE s.merchant_id = $2 AND s.salla_id = k.id
                         AND s.resource = $5::text::salla_sync.resource
                       LIMIT 1) s) AS any_is_known,
               l.window_id, l.walk, l.page, l.run_id = $1 AS is_ours, l.days,
               coalesce(l.is_resumed, false) AS is_resumed
        FROM held h LEFT JOIN (
            SELECT l.*, w.run_id,
                   w.settled_at IS NULL AND l.walk <= 8 AND l.page <= greatest(l.total_pages, 1)
                       AS is_resumed,
                   to_char(w.day_from, 'YYYY-MM-DD..') || to_char(w.day_to, 'YYYY-MM-DD') AS days
            FROM landed l JOIN salla_sync.sync_windows w ON w.id = l.window_id) l ON true
        ORDER BY l.window_id, l.walk, l.page",
        hold = locked_run!(),
    )
});

#[derive(sqlx::FromRow)]
struct Begun {
    #[sqlx(flatten)]
    held: LockedRunRow,
    any_is_known: bool,
    /// A page, unless all of them had landed before.
    window_id: Option<i64>,
    walk: Option<i32>,
    page: Option<i32>,
    is_ours: Option<bool>,
    days: Option<String>,
    is_resumed: bool,
}

/// How a landing of pages begins.
pub(crate) struct Beginning<'a> {
    pub(crate) run: LockedRun,
    /// Pages that had not landed before, in their order.
    pub(crate) fresh: Vec<NewPage<'a>>,
    /// Something is known of a record on the pages.
    pub(crate) any_is_known: bool,
}

pub(crate) async fn begin_pages<'a>(
    tx: &mut PgConnection,
    lease: RunLease,
    (resource, pages): (Resource, &'a [ScannedPage]),
    now: Timestamp,
) -> Result<Beginning<'a>, TxError> {
    let listed: Vec<PageIds<'_>> = pages.iter().map(listed).collect();
    let ids: Vec<i64> = pages.iter().flat_map(|page| page.records.ids()).collect();
    let mut arguments = PgArguments::default();
    add(&mut arguments, lease.run.0)?;
    add(&mut arguments, lease.merchant.0)?;
    add(&mut arguments, lease.fencing_token)?;
    add(&mut arguments, now.to_sqlx())?;
    add(&mut arguments, resource.as_str())?;
    add(&mut arguments, ids)?;
    PageColumns::of(&listed).bind(&mut arguments)?;
    let rows: Vec<Begun> = sqlx::query_as_with(BEGIN_PAGES.as_str(), arguments)
        .fetch_all(tx)
        .await?;
    let first = rows.first().ok_or(Failure::LeaseLost)?;
    let (run, any_is_known) = (first.held.held(lease), first.any_is_known);
    let fresh = rows.into_iter().filter_map(|row| row.fresh(pages));
    Ok(Beginning {
        run,
        fresh: fresh.collect::<Result<_, _>>()?,
        any_is_known,
    })
}

impl Begun {
    fn fresh(self, pages: &[ScannedPage]) -> Option<Result<NewPage<'_>, Failure>> {
        let (walk, page) = (self.walk?.cast_unsigned(), self.page?.cast_unsigned());
        let key = (self.window_id?, walk, page);
        let page = pages.iter().find(|p| (p.window.0, p.scan, p.page) == key);
        Some(match (page, self.is_ours) {
            (Some(page), Some(true)) => Ok(NewPage {
                page,
                days: self.days,
                is_resumed: self.is_resumed,
            }),
            _ => Err(Failure::Bug {
                message: "a page belongs to a window of another run".to_owned(),
            }),
        })
    }
}

fn listed(page: &ScannedPage) -> PageIds<'_> {
    let ids = page.records.ids();
    let without_id = page.records.len() - ids.len();
    PageIds {
        page,
        ids: array_literal(ids.iter().copied().map(Some)),
        without_id: i32::try_from(without_id).unwrap_or(i32::MAX),
    }
}
