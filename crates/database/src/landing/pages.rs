//! Landing whole list pages.

use std::sync::LazyLock;

use domain::failure::Failure;
use domain::resource::Resource;
use importer::ports::landing::{Landed, RunLease, WalkedPage};
use importer::ports::platform::{Decoded, Records};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::postgres::PgArguments;
use sqlx::{PgConnection, PgPool};

use crate::columns::{Columns, add, array_literal, columns, rows_from_arrays};
use crate::failure::Trouble;
use crate::landing::counters::{Cursor, Tally, record};
use crate::landing::raw::Press;
use crate::landing::{catalogue, customers, orders, products};
use crate::lease::{HeldRun, hold};

/// What every kind of record needs while it lands.
pub(crate) struct Workplace<'t> {
    pub(crate) tx: &'t mut PgConnection,
    pub(crate) run: HeldRun,
    pub(crate) press: Press,
    pub(crate) tally: Tally,
    pub(crate) now: Timestamp,
    pub(crate) new_rows: NewRows,
}

/// How to write the rows of records that were not known so far.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum NewRows {
    /// Nobody but us writes these tables, so the rows are not there; inserting
    /// without looking costs a third less.
    Absent,
    /// Somebody has put rows there by hand.
    MayExist,
}

pub(crate) async fn land(
    pool: &PgPool,
    lease: RunLease,
    pages: &[WalkedPage],
    now: Timestamp,
) -> Result<Landed, Trouble> {
    match land_once(pool, lease, pages, now, NewRows::Absent).await {
        Err(trouble) if trouble.is_duplicate() => {
            land_once(pool, lease, pages, now, NewRows::MayExist).await
        }
        result => result,
    }
}

async fn land_once(
    pool: &PgPool,
    lease: RunLease,
    pages: &[WalkedPage],
    now: Timestamp,
    new_rows: NewRows,
) -> Result<Landed, Trouble> {
    let Some(resource) = pages.first().map(|page| page.records.resource()) else {
        return Ok(Landed::default());
    };
    let mut tx = pool.begin().await?;
    let run = hold(&mut tx, lease).await?;
    let mut place = Workplace {
        press: Press::new(run.keep_raw)?,
        tally: Tally::default(),
        tx: &mut tx,
        run,
        now,
        new_rows,
    };
    let fresh = remember(&mut place, pages).await?;
    place
        .tally
        .count_pages(fresh.len(), pages.len() - fresh.len());
    if let Some(last) = fresh.last() {
        let cursor = last.cursor(resource);
        let fresh: Vec<&WalkedPage> = fresh.iter().map(|f| f.page).collect();
        land_records(&mut place, resource, &fresh).await?;
        record(place.tx, &place.run, &place.tally, cursor, now).await?;
    }
    let landed = place.tally.landed;
    tx.commit().await?;
    Ok(landed)
}

/// A page that had not landed before.
struct Fresh<'a> {
    page: &'a WalkedPage,
    days: Option<String>,
}

impl Fresh<'_> {
    fn cursor(&self, resource: Resource) -> Cursor {
        Cursor {
            resource: resource.as_str(),
            window: self.days.clone(),
            page: Some(self.page.page),
            order_id: None,
        }
    }
}

columns! {
    struct PageColumns<'a> from &'a Listed<'a> {
        window_id: i64, "bigint" = |p| p.page.window.0;
        walk: i32, "integer" = |p| p.page.walk.cast_signed();
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
pub(crate) struct Listed<'a> {
    page: &'a WalkedPage,
    ids: String,
    without_id: i32,
}

/// A page that has landed before is left as it is, and so are its records: this is
/// what makes a batch repeatable.
static REMEMBER: LazyLock<String> = LazyLock::new(|| {
    let rows = rows_from_arrays(3, PageColumns::COLUMNS);
    format!(
        "WITH landed AS (
            INSERT INTO salla_sync.sync_pages
                (window_id, walk, page, total, per_page, total_pages, without_id, ids, landed_at)
            SELECT r.window_id, r.walk, r.page, r.total, r.per_page, r.total_pages, r.without_id,
                   r.ids::bigint[], $1
            FROM {rows}
            ON CONFLICT (window_id, walk, page) DO NOTHING
            RETURNING window_id, walk, page
        )
        SELECT l.window_id, l.walk, l.page, w.run_id = $2 AS is_ours,
               w.day_from || '..' || w.day_to AS days
        FROM landed l JOIN salla_sync.sync_windows w ON w.id = l.window_id
        ORDER BY l.window_id, l.walk, l.page"
    )
});

#[derive(sqlx::FromRow)]
struct Remembered {
    window_id: i64,
    walk: i32,
    page: i32,
    is_ours: bool,
    days: Option<String>,
}

async fn remember<'a>(
    place: &mut Workplace<'_>,
    pages: &'a [WalkedPage],
) -> Result<Vec<Fresh<'a>>, Trouble> {
    let listed: Vec<Listed<'_>> = pages.iter().map(listed).collect();
    let mut columns = PageColumns::default();
    listed.iter().for_each(|page| columns.push(page));
    let mut arguments = PgArguments::default();
    add(&mut arguments, place.now.to_sqlx())?;
    add(&mut arguments, place.run.lease.run.0)?;
    columns.bind(&mut arguments)?;
    let rows: Vec<Remembered> = sqlx::query_as_with(REMEMBER.as_str(), arguments)
        .fetch_all(&mut *place.tx)
        .await?;
    let mut fresh = Vec::with_capacity(rows.len());
    for row in rows {
        let key = (
            row.window_id,
            row.walk.cast_unsigned(),
            row.page.cast_unsigned(),
        );
        let page = pages.iter().find(|p| (p.window.0, p.walk, p.page) == key);
        let (Some(page), true) = (page, row.is_ours) else {
            return Err(Failure::Bug {
                what: "a page was to land in a window of another run".to_owned(),
            }
            .into());
        };
        fresh.push(Fresh {
            page,
            days: row.days,
        });
    }
    Ok(fresh)
}

fn listed(page: &WalkedPage) -> Listed<'_> {
    let ids = match &page.records {
        Records::Orders(records) => ids_of(records, |r| r.id),
        Records::Customers(records) => ids_of(records, |r| r.id),
        Records::Products(records) => ids_of(records, |r| r.id),
        Records::Categories(records) => ids_of(records, |r| r.id),
        Records::OrderStatuses(records) => ids_of(records, |r| r.id),
    };
    let without_id = page.records.len() - ids.len();
    Listed {
        page,
        ids: array_literal(&ids),
        without_id: i32::try_from(without_id).unwrap_or(i32::MAX),
    }
}

fn ids_of<T>(records: &[Decoded<T>], id: fn(&T) -> i64) -> Vec<i64> {
    records
        .iter()
        .filter_map(|record| match &record.outcome {
            Ok(record) => Some(id(record)),
            Err(rejection) => rejection.salla_id,
        })
        .collect()
}

async fn land_records(
    place: &mut Workplace<'_>,
    resource: Resource,
    pages: &[&WalkedPage],
) -> Result<(), Trouble> {
    match resource {
        Resource::Orders => {
            let pages = of_kind(pages, |records| match records {
                Records::Orders(records) => Some(records),
                _ => None,
            })?;
            orders::land_listed(place, &pages).await
        }
        Resource::Customers => {
            let pages = of_kind(pages, |records| match records {
                Records::Customers(records) => Some(records),
                _ => None,
            })?;
            customers::land_listed(place, &pages).await
        }
        Resource::Products => {
            let pages = of_kind(pages, |records| match records {
                Records::Products(records) => Some(records),
                _ => None,
            })?;
            products::land_listed(place, &pages).await
        }
        Resource::Categories => {
            let pages = of_kind(pages, |records| match records {
                Records::Categories(records) => Some(records),
                _ => None,
            })?;
            catalogue::land_categories(place, &pages).await
        }
        Resource::OrderStatuses => {
            let pages = of_kind(pages, |records| match records {
                Records::OrderStatuses(records) => Some(records),
                _ => None,
            })?;
            catalogue::land_statuses(place, &pages).await
        }
    }
}

/// The pages with their records, all of one kind.
pub(crate) type PagesOf<'a, T> = Vec<(&'a WalkedPage, &'a [Decoded<T>])>;

fn of_kind<'a, T>(
    pages: &[&'a WalkedPage],
    records: fn(&'a Records) -> Option<&'a Vec<Decoded<T>>>,
) -> Result<PagesOf<'a, T>, Trouble> {
    let mut found = Vec::with_capacity(pages.len());
    for page in pages {
        let records = records(&page.records).ok_or_else(|| Failure::Bug {
            what: "pages of different resources were to land together".to_owned(),
        })?;
        found.push((*page, records.as_slice()));
    }
    Ok(found)
}
