//! The ends of a list that is read whole, read once more: that is where records are added.

use std::collections::BTreeSet;

use domain::certificate::Listing;
use domain::customer::Customer;
use domain::failure::Failure;
use domain::resource::Resource;
use jiff::Timestamp;

use super::reader::{LastPage, WindowReader};
use crate::ports::platform::{Decoded, Records};

/// Maximum number of new pages at an end of a list: in a shop whose budget many others share, a
/// list of customers may be read for days.
const MAX_PAGES_FROM_EACH_END: u32 = 50;

/// What a page at an end of a list says.
struct FoundAtEnd {
    /// How many pages the list has.
    pages: u32,
    /// The scan has listed one of its rows before.
    is_met: bool,
    is_newest_first: bool,
}

/// Reads the last page before those in the middle. Records added there while these are read are not
/// listed then, and cannot hide a record that was missed because another one is gone. Lists of
/// customers grow while they are read, and are read in their sequence, so that new customers move
/// no one behind a page that has been read.
pub(super) async fn read_last_page_first(
    reader: &mut WindowReader<'_>,
    last_page: u32,
) -> Result<(), Failure> {
    let is_of_use = matches!(
        reader.window.resource,
        Resource::Products | Resource::Categories | Resource::OrderStatuses
    );
    if !is_of_use || last_page <= 2 || reader.window.pages_done.contains(&last_page) {
        return Ok(());
    }
    // The memory is kept until the page has landed.
    let (page, _permit) = reader.fetch(last_page).await?;
    reader.last = Some(LastPage::of(&page.records, page.pagination));
    reader.land(vec![page]).await
}

/// Reads both ends of the list once more, as further pages of the same walk: that
/// is where rows are added. Each is read inwards until a page shows a row that the scan
/// has. Where the first page shows that the newest come first, nothing is added at the
/// last.
pub(super) async fn reread_ends(
    reader: &mut WindowReader<'_>,
    cut_short: bool,
) -> Result<Listing, Failure> {
    let ctx = reader.ctx;
    let mut end = 1;
    for number in 1..=MAX_PAGES_FROM_EACH_END {
        let found = reread_end_page(reader, number).await?;
        end = match found.is_newest_first {
            true => 0,
            false => found.pages,
        };
        if found.is_met || number >= found.pages {
            break;
        }
    }
    for number in (1..=end).rev().take(MAX_PAGES_FROM_EACH_END as usize) {
        if reread_end_page(reader, number).await?.is_met {
            break;
        }
    }
    let (lease, id) = (ctx.lease, reader.window.id);
    ctx.runs.record_ends_rescanned(lease, id).await?;
    let again = ctx.runs.listing(lease, id).await?;
    Ok(Listing { cut_short, ..again })
}

/// Lands a page as a further one of this scan.
async fn reread_end_page(
    reader: &mut WindowReader<'_>,
    number: u32,
) -> Result<FoundAtEnd, Failure> {
    let ctx = reader.ctx;
    let behind = reader.window.pages_done.iter().max().copied().unwrap_or(0);
    let (page, _permit) = reader.fetch_page(number).await?;
    let pages = page.pagination.total_pages.max(1);
    let (resource, ids) = (reader.window.resource, page.records.ids());
    let new = ctx.runs.not_listed(ctx.lease, resource, &ids).await?;
    let is_newest_first = is_newest_first(&page.records);
    let page = reader.position().page(behind + 1, page);
    reader.land(vec![page]).await?;
    Ok(FoundAtEnd {
        pages,
        is_met: new.len() < ids.len() || ids.is_empty(),
        is_newest_first,
    })
}

/// This number of dates that fall from row to row are no chance.
const MIN_DATES: usize = 10;

/// Whether a list is sorted by creation, the newest first, as far as a page can tell. Only
/// customers say when they were created.
fn is_newest_first(records: &Records) -> bool {
    let Records::Customers(customers) = records else {
        return false;
    };
    let created = |customer: &Decoded<Customer>| {
        let customer = customer.outcome.as_ref().ok()?;
        Some(customer.created_at.as_ref()?.instant)
    };
    let dates: Vec<Timestamp> = customers.iter().filter_map(created).collect();
    dates.is_sorted_by(|newer, older| newer >= older)
        && dates.iter().collect::<BTreeSet<_>>().len() >= MIN_DATES
}
