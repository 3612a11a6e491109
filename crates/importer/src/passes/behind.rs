//! A list may go on behind the end that it reports: `total` is a number of its own
//! and may lag behind the rows. A full last page is the only hint.

use domain::failure::Failure;
use domain::resource::Resource;

use super::route::Route;
use super::walk::{End, Walk};
use crate::memory;
use crate::ports::platform::{Pagination, Records};

/// What it takes to see whether a list goes on.
pub(super) struct LastPage {
    ids: Vec<i64>,
    is_full: bool,
}

impl LastPage {
    pub(super) fn of(records: &Records, pagination: Pagination) -> Self {
        Self {
            ids: records.ids(),
            is_full: !records.is_empty() && records.len() >= pagination.per_page as usize,
        }
    }
}

impl Walk<'_> {
    /// Reads on behind `last_page` until a page is not full, or repeats the one before
    /// it, as lists do that never end.
    pub(super) async fn look_behind(&mut self, last_page: u32) -> Result<End, Failure> {
        let is_read_from_both_ends = matches!(self.route(), Route::BothEnds { .. });
        // That list has no pages (docs/salla-api.md#order-statuses).
        let is_all_there = self.window.resource == Resource::OrderStatuses;
        if self.is_cut_short()
            || self.stays_below_the_ceiling()
            || is_read_from_both_ends
            || is_all_there
        {
            return Ok(End::Complete);
        }
        // After a restart the last page is not at hand, and looking costs a request.
        let mut before = self.last.take();
        let mut number = last_page;
        while before.as_ref().is_none_or(|last| last.is_full) {
            number += 1;
            // The room is kept until the page has landed.
            let (page, _room) = memory::fetching(self.ask(number)).await;
            let page = page?;
            let pagination = page.pagination;
            let last = LastPage::of(&page.records, pagination);
            let repeats = before.is_some_and(|before| before.ids == last.ids);
            if last.ids.is_empty() || repeats {
                break;
            }
            let page = self.place().page(number, page);
            self.land(vec![page]).await?;
            if self.is_disturbed_by(pagination.total) && self.may_be_given_up() {
                return Ok(End::Moved);
            }
            before = Some(last);
        }
        Ok(End::Complete)
    }
}
