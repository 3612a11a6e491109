//! Landing whole list pages.

use crate::landing::context::{LandingContext, page_outside_scans};
use crate::landing::versions::NewRows;
use domain::catalogue::{Category, Product};
use domain::customer::Customer;
use domain::order::{Order, OrderStatus};
use domain::resource::Resource;
use importer::ports::landing::{Landed, LandedChanges, RunLease, ScannedPage};
use importer::ports::platform::Page;
use jiff::Timestamp;
use sqlx::{PgConnection, PgPool};

use crate::error::TxError;
use crate::landing::checkpoint::{Beginning, begin_pages};
use crate::landing::context::Care;
use crate::landing::counters::{CounterDelta, Cursor, record};
use crate::landing::isolation::land_each;
use crate::landing::list_batch::{DecodedBatch, ListRecord};
use crate::landing::rejections::{Rejected, reject, reject_customers};
use crate::transaction::{CopyTransaction, lock_run};

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
