//! Where a page belongs, and what stands for one that Salla refuses.

use domain::order::Version;
use domain::resource::Resource;
use domain::run::WindowId;

use crate::ports::landing::WalkedPage;
use crate::ports::platform::{Page, PageRequest, Pagination, Records};

#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) window: WindowId,
    pub(super) walk: u32,
    /// `--max-orders`: so many rows of the list and no more.
    pub(super) most: Option<u64>,
}

impl Place {
    pub(super) fn page(self, number: u32, mut page: Page) -> WalkedPage {
        if let Some(most) = self.most {
            let before = u64::from(number - 1) * u64::from(page.pagination.per_page);
            let keep = usize::try_from(most.saturating_sub(before)).unwrap_or(usize::MAX);
            truncate(&mut page.records, keep);
        }
        WalkedPage {
            window: self.window,
            walk: self.walk,
            page: number,
            pagination: page.pagination,
            version: page.version,
            records: page.records,
        }
    }
}

fn truncate(records: &mut Records, keep: usize) {
    match records {
        Records::Orders(r) => r.truncate(keep),
        Records::Customers(r) => r.truncate(keep),
        Records::Products(r) => r.truncate(keep),
        Records::Categories(r) => r.truncate(keep),
        Records::OrderStatuses(r) => r.truncate(keep),
    }
}

/// What the first page of a walk told about the list.
#[derive(Clone, Copy)]
pub(super) struct FirstPage {
    pub(super) total: u64,
    pub(super) total_pages: u32,
    pub(super) asked_at: Version,
}

impl FirstPage {
    /// The page that stands for a refused one.
    pub(super) fn empty(self, request: &PageRequest) -> Page {
        Page {
            records: match request.resource {
                Resource::Orders => Records::Orders(vec![]),
                Resource::Customers => Records::Customers(vec![]),
                Resource::Products => Records::Products(vec![]),
                Resource::Categories => Records::Categories(vec![]),
                Resource::OrderStatuses => Records::OrderStatuses(vec![]),
            },
            pagination: self.pagination(request),
            version: self.asked_at,
        }
    }

    pub(super) fn pagination(self, request: &PageRequest) -> Pagination {
        Pagination {
            count: 0,
            total: self.total,
            per_page: self.per_page(),
            current_page: request.page,
            total_pages: self.total_pages,
        }
    }

    pub(super) fn per_page(self) -> u32 {
        let rows = self.total.div_ceil(u64::from(self.total_pages.max(1)));
        u32::try_from(rows.max(1)).unwrap_or(u32::MAX)
    }
}
