//! What the date filters of customers do, found out before anything rests on them.
//!
//! The documentation describes `date_from` and `date_to` the wrong way round, integrators
//! use them as they are named, and Salla may ignore them (docs/salla-api.md#customers).
//! So a customer whose day is known is asked for with days that must hold him and with
//! days that must not.

use domain::customer::Customer;
use domain::failure::Failure;
use domain::instant::riyadh_date;
use domain::resource::Resource;
use domain::slice::{DateMeaning, Slice};
use domain::window::{DayRange, Overlap};
use jiff::ToSpan as _;
use jiff::civil::{Date, date};

use super::Workshop;
use crate::portions::beginning;
use crate::ports::platform::{PageRequest, Records};
use crate::ports::runs::Part;

/// Before there was a Salla.
const FIRST_DAY: Date = date(2010, 1, 1);

/// Whether the filter's ends are inclusive, and whose days it means, is not tried out:
/// windows of customers overlap by as much as it takes in any case.
pub(super) const OVERLAP: Overlap = Overlap::EXCLUSIVE;

/// All days of a filter that works, in one window: it is split like windows of orders.
pub(super) async fn parts(shop: &Workshop) -> Result<Vec<Part>, Failure> {
    let today = riyadh_date(shop.clock.now());
    let Some(meaning) = meaning(shop, today).await? else {
        return Ok(vec![]);
    };
    let part = Part {
        slice: Some(Slice::Created(meaning)),
        // Somebody may sign up after midnight.
        days: DayRange::new(FIRST_DAY, today.saturating_add(1.day())),
    };
    Ok(vec![part])
}

async fn meaning(shop: &Workshop, today: Date) -> Result<Option<DateMeaning>, Failure> {
    let whole = PageRequest::first(Resource::Customers, None);
    let Some((id, day)) = newest(&shop.platform.list_page(&whole).await?.records) else {
        tracing::warn!("no customer of the first page tells when he was created");
        return Ok(None);
    };
    let near = day.saturating_sub(2.days());
    let since = DayRange::new(near, today.max(day).saturating_add(2.days()));
    let before = DayRange::new(FIRST_DAY, near.saturating_sub(1.day()));
    let (Some(since), Some(before)) = (since, before) else {
        return Ok(None);
    };
    for meaning in [DateMeaning::AsNamed, DateMeaning::Swapped] {
        if is_listed(shop, meaning, since, id).await? == Some(true)
            && is_listed(shop, meaning, before, id).await? == Some(false)
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
    shop: &Workshop,
    meaning: DateMeaning,
    days: DayRange,
    id: i64,
) -> Result<Option<bool>, Failure> {
    let request = PageRequest {
        slice: Some(Slice::Created(meaning)),
        ..PageRequest::first(Resource::Customers, Some(days))
    };
    let page = beginning(&*shop.platform, request).await;
    match page.map(|(page, _room)| page) {
        Ok(page) => Ok(Some(page.records.ids().contains(&id))),
        Err(Failure::Broken { what }) => {
            tracing::warn!(what, "Salla refuses the dates of customers");
            Ok(None)
        }
        Err(failure) => Err(failure),
    }
}
