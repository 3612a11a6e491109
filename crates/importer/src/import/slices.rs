//! What the date filters of customers do, found out before anything rests on them.
//!
//! The documentation describes `date_from` and `date_to` the wrong way round, integrators
//! use them as they are named, and Salla may ignore them (docs/salla-api.md#customers).
//! So a customer whose day is known is asked for with days that must hold him and with
//! days that must not.

use std::collections::BTreeSet;

use domain::customer::Customer;
use domain::failure::Failure;
use domain::instant::riyadh_date;
use domain::resource::Resource;
use domain::slice::{DateMeaning, ProductStatus, Slice};
use domain::window::DayRange;
use jiff::ToSpan as _;
use jiff::civil::{Date, date};

use super::context::RunContext;
use super::pages::{beginning, smaller};
use crate::admission::FetchPermit;
use crate::ports::platform::{PageRequest, Records};
use crate::ports::runs::{StoredWindow, WindowSpec};

/// Before there was a Salla.
const FIRST_DAY: Date = date(2010, 1, 1);

/// All days of a filter that works, in one window: it is split like windows of orders.
async fn created_slices(ctx: &RunContext) -> Result<Vec<WindowSpec>, Failure> {
    let today = riyadh_date(ctx.clock.now());
    let Some(meaning) = meaning(ctx, today).await? else {
        return Ok(vec![]);
    };
    let part = WindowSpec {
        slice: Some(Slice::Created(meaning)),
        // A customer may sign up after midnight.
        days: DayRange::new(FIRST_DAY, today.saturating_add(1.day())),
    };
    Ok(vec![part])
}

async fn meaning(ctx: &RunContext, today: Date) -> Result<Option<DateMeaning>, Failure> {
    let whole = PageRequest::first(Resource::Customers, None);
    let mut permit = FetchPermit::default();
    let page = ctx.platform.list_page(&whole, &mut permit).await?;
    let newest = newest(&page.records);
    drop((page, permit));
    let Some((id, day)) = newest else {
        tracing::warn!("no customer on the first page has a creation date");
        return Ok(None);
    };
    let near = day.saturating_sub(2.days());
    let since = DayRange::new(near, today.max(day).saturating_add(2.days()));
    let before = DayRange::new(FIRST_DAY, near.saturating_sub(1.day()));
    let (Some(since), Some(before)) = (since, before) else {
        return Ok(None);
    };
    for meaning in [DateMeaning::AsNamed, DateMeaning::Swapped] {
        if is_listed(ctx, meaning, since, id).await? == Some(true)
            && is_listed(ctx, meaning, before, id).await? == Some(false)
        {
            return Ok(Some(meaning));
        }
    }
    Ok(None)
}

/// The customer of a page who was created last, and the day.
fn newest(records: &Records) -> Option<(i64, Date)> {
    let Records::Customers(customers) = records else {
        return None;
    };
    let day = |customer: &Customer| {
        let created_at = customer.created_at.as_ref()?;
        Some((customer.id, created_at.riyadh_date()))
    };
    let understood = customers.iter().filter_map(|c| c.outcome.as_ref().ok());
    understood.filter_map(day).max_by_key(|(_, day)| *day)
}

/// Whether the first page of these days shows a customer of the whole list's first page;
/// a filter leaves the order of the rest as it is. `None`: Salla refuses the filter.
async fn is_listed(
    ctx: &RunContext,
    meaning: DateMeaning,
    days: DayRange,
    id: i64,
) -> Result<Option<bool>, Failure> {
    let request = PageRequest {
        slice: Some(Slice::Created(meaning)),
        ..PageRequest::first(Resource::Customers, Some(days))
    };
    let page = beginning(&*ctx.platform, request).await;
    match page.map(|(page, _permit)| page) {
        Ok(page) => Ok(Some(page.records.ids().contains(&id))),
        Err(Failure::Broken { message: what }) => {
            tracing::warn!(what, "Salla refuses the dates of customers");
            Ok(None)
        }
        Err(failure) => Err(failure),
    }
}

/// If none of this many slices is shorter than its list, their filter does nothing.
const SLICES_TO_TRY: usize = 3;

/// How to read a list of which Salla shows only the beginning; nothing if no filter helps.
pub(super) async fn slices_for(
    ctx: &RunContext,
    window: &StoredWindow,
) -> Result<Vec<WindowSpec>, Failure> {
    let slices: Vec<Slice> = match (window.resource, window.slice) {
        (Resource::Customers, None) => return created_slices(ctx).await,
        (Resource::Products, None) => ProductStatus::ALL.map(Slice::Status).to_vec(),
        (Resource::Products, Some(Slice::Status(status))) => {
            let categories = categories(ctx).await?.into_iter();
            let of = |category| Slice::Category { status, category };
            categories.map(of).collect()
        }
        _ => vec![],
    };
    if !filter_works(ctx, window, &slices).await? {
        return Ok(vec![]);
    }
    let part = |slice| WindowSpec {
        slice: Some(slice),
        days: None,
    };
    Ok(slices.into_iter().map(part).collect())
}

/// A filter that is ignored gives the same list every time.
async fn filter_works(
    ctx: &RunContext,
    window: &StoredWindow,
    slices: &[Slice],
) -> Result<bool, Failure> {
    for slice in slices.iter().take(SLICES_TO_TRY) {
        let request = PageRequest {
            slice: Some(*slice),
            ..PageRequest::first(window.resource, None)
        };
        let page = beginning(&*ctx.platform, request).await;
        match page.map(|(page, _permit)| page) {
            Ok(page) if Some(page.pagination.total) < window.first_total => return Ok(true),
            Ok(_) => {}
            Err(Failure::Broken { message: what }) => {
                tracing::warn!(%slice, what, "Salla refuses a filter");
                return Ok(false);
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(false)
}

/// All categories, those below others included.
async fn categories(ctx: &RunContext) -> Result<BTreeSet<i64>, Failure> {
    let mut ids = BTreeSet::new();
    let mut request = PageRequest::first(Resource::Categories, None);
    loop {
        let mut permit = FetchPermit::default();
        let page = ctx.platform.list_page(&request, &mut permit).await;
        let page = match (page, smaller(request.per_page)) {
            (Err(Failure::TooLarge { .. }), Some(portion)) => {
                request.per_page = portion;
                request.page = 1;
                ids.clear();
                continue;
            }
            (page, _) => page?,
        };
        let known = ids.len();
        if let Records::Categories(categories) = &page.records {
            let understood = categories.iter().filter_map(|c| c.outcome.as_ref().ok());
            ids.extend(understood.flat_map(|c| c.with_descendants()).map(|c| c.id));
        }
        ids.extend(page.records.ids());
        if request.page >= page.pagination.total_pages || ids.len() == known {
            return Ok(ids);
        }
        request.page += 1;
    }
}
