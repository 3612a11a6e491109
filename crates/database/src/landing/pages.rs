//! Landing whole list pages.

use domain::failure::Failure;
use domain::order::Version;
use domain::resource::Resource;
use domain::run::WindowId;
use importer::ports::landing::{Changes, Landed, RunLease, WalkedPage};
use importer::ports::platform::{Decoded, Page, Pagination, Records};
use jiff::Timestamp;
use sqlx::{PgConnection, PgPool};

use crate::failure::Trouble;
use crate::landing::checkpoint::remember;
use crate::landing::counters::{Cursor, Tally, record};
use crate::landing::raw::Press;
use crate::landing::{catalogue, customers, orders, products};
use crate::lease::{HeldRun, hold};
use crate::transaction::CopyTransaction;

/// What every kind of record needs while it lands.
pub(crate) struct Workplace<'t> {
    pub(crate) tx: &'t mut PgConnection,
    pub(crate) run: HeldRun,
    pub(crate) press: Press,
    pub(crate) tally: Tally,
    pub(crate) now: Timestamp,
    pub(crate) new_rows: NewRows,
}

impl<'t> Workplace<'t> {
    pub(crate) fn new(
        tx: &'t mut PgConnection,
        run: HeldRun,
        now: Timestamp,
        new_rows: NewRows,
    ) -> Result<Self, Trouble> {
        Ok(Self {
            press: Press::new(run.keep_raw)?,
            tally: Tally::default(),
            tx,
            run,
            now,
            new_rows,
        })
    }
}

/// How to write the rows of records that were not known so far.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum NewRows {
    /// Nobody but us writes these tables, so the rows are not there; copying them
    /// in without looking costs half as much.
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
    let mut tx = CopyTransaction::begin(pool).await?;
    let landed = land_within(&mut tx, lease, (resource, pages), now, new_rows).await;
    tx.end(landed).await
}

async fn land_within(
    tx: &mut PgConnection,
    lease: RunLease,
    (resource, pages): (Resource, &[WalkedPage]),
    now: Timestamp,
    new_rows: NewRows,
) -> Result<Landed, Trouble> {
    let run = hold(tx, lease).await?;
    let mut place = Workplace::new(tx, run, now, new_rows)?;
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
    Ok(place.tally.landed)
}

/// Records that no walk has listed, as a page; walk 0 stands for that.
pub(crate) fn outside_walks(
    records: Records,
    version: Version,
    pagination: Pagination,
) -> WalkedPage {
    WalkedPage {
        window: WindowId(0),
        walk: 0,
        page: pagination.current_page,
        pagination,
        version,
        records,
    }
}

/// Lands orders that no walk has listed.
pub(crate) async fn land_changes(
    pool: &PgPool,
    lease: RunLease,
    page: &Page,
    now: Timestamp,
) -> Result<Changes, Trouble> {
    let mut tx = pool.begin().await?;
    let run = hold(&mut tx, lease).await?;
    let mut place = Workplace::new(&mut tx, run, now, NewRows::MayExist)?;
    let page = outside_walks(page.records.clone(), page.version, page.pagination);
    let cursor = Cursor {
        resource: Resource::Orders.as_str(),
        window: None,
        page: Some(page.page),
        order_id: None,
    };
    land_records(&mut place, Resource::Orders, &[&page]).await?;
    record(place.tx, &place.run, &place.tally, cursor, now).await?;
    let Tally {
        landed, changed, ..
    } = place.tally;
    tx.commit().await?;
    Ok(Changes { landed, changed })
}

/// Everything but the checkpoint and the counters.
pub(crate) async fn land_records(
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
