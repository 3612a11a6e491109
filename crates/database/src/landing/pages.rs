//! Landing whole list pages.

use crate::landing::context::{Workplace, outside_walks};
use crate::landing::versions::NewRows;
use domain::catalogue::{Category, Product};
use domain::customer::Customer;
use domain::order::{Order, OrderStatus};
use domain::resource::Resource;
use importer::ports::landing::{Landed, LandedChanges, RunLease, ScannedPage};
use importer::ports::platform::Page;
use jiff::Timestamp;
use sqlx::{PgConnection, PgPool};

use crate::error::Trouble;
use crate::landing::checkpoint::{Beginning, begin_pages};
use crate::landing::context::Care;
use crate::landing::counters::{Cursor, Tally, record};
use crate::landing::isolation::land_each;
use crate::landing::list_batch::{ListRecord, Sorted};
use crate::landing::rejections::{Rejected, reject, reject_customers};
use crate::transaction::{CopyTransaction, hold};

pub(crate) async fn land(
    pool: &PgPool,
    lease: RunLease,
    pages: &[ScannedPage],
    now: Timestamp,
    care: Care,
) -> Result<Landed, Trouble> {
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
) -> Result<Landed, Trouble> {
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
    let mut place = Workplace::new(tx, run, now, new_rows, care)?;
    place
        .tally
        .count_pages(fresh.len(), pages.len() - fresh.len());
    if let Some(last) = fresh.last() {
        let cursor = last.cursor(resource);
        let fresh: Vec<&ScannedPage> = fresh.iter().map(|f| f.page).collect();
        land_records(&mut place, resource, &fresh).await?;
        record(place.tx, &place.run, &mut place.tally, cursor, now).await?;
    }
    Ok(place.tally.landed)
}

/// Lands orders that no walk has listed.
pub(crate) async fn land_changes(
    pool: &PgPool,
    lease: RunLease,
    page: &Page,
    now: Timestamp,
    care: Care,
) -> Result<LandedChanges, Trouble> {
    let mut tx = pool.begin().await?;
    let run = hold(&mut tx, lease).await?;
    let mut place = Workplace::new(&mut tx, run, now, NewRows::MayExist, care)?;
    let page = outside_walks(page.records.clone(), page.version, page.pagination);
    let cursor = Cursor {
        resource: Resource::Orders.as_str(),
        window: None,
        page: Some(page.page),
        order_id: None,
    };
    land_records(&mut place, Resource::Orders, &[&page]).await?;
    record(place.tx, &place.run, &mut place.tally, cursor, now).await?;
    let Tally {
        landed, changed, ..
    } = place.tally;
    tx.commit().await?;
    Ok(LandedChanges { landed, changed })
}

/// Everything but the checkpoint and the counters.
pub(crate) async fn land_records(
    place: &mut Workplace<'_>,
    resource: Resource,
    pages: &[&ScannedPage],
) -> Result<(), Trouble> {
    match resource {
        Resource::Orders => land_kind::<Order>(place, pages).await,
        Resource::Customers => land_kind::<Customer>(place, pages).await,
        Resource::Products => land_kind::<Product>(place, pages).await,
        Resource::Categories => land_kind::<Category>(place, pages).await,
        Resource::OrderStatuses => land_kind::<OrderStatus>(place, pages).await,
    }
}

/// Rejections come last: by then it is known what has loaded.
async fn land_kind<T: ListRecord>(
    place: &mut Workplace<'_>,
    pages: &[&ScannedPage],
) -> Result<(), Trouble> {
    let Sorted { records, rejected } = Sorted::<T>::of(pages)?;
    let refused = land_each(place, &records).await?;
    let refused = refused.iter().map(|(found, why)| found.rejected(why));
    let rejected: Vec<Rejected<'_>> = rejected.into_iter().chain(refused).collect();
    reject(place, T::RESOURCE, &rejected).await?;
    reject_customers(place, |order_id| {
        let at = records.binary_search_by_key(&order_id, |found| found.id);
        Some(records.get(at.ok()?)?.version)
    })
    .await
}
