//! Where a page belongs, and what stands for one that Salla refuses.

use std::sync::Arc;

use domain::ceiling::Ceiling;
use domain::failure::Failure;
use domain::order::Version;
use domain::resource::Resource;
use domain::run::WindowId;

use super::portions;
use crate::admission::FetchPermit;
use crate::ports::landing::ScannedPage;
use crate::ports::platform::{Page, PageRequest, Pagination, Platform, Records, Sort};
use crate::ports::runs::StoredWindow;

#[derive(Clone, Copy)]
pub(super) struct PagePosition {
    pub(super) window: WindowId,
    pub(super) scan: u32,
    /// `--max-orders`: maximum number of rows of the list.
    pub(super) most: Option<u64>,
}

impl PagePosition {
    pub(super) fn page(self, number: u32, mut page: Page) -> ScannedPage {
        if let Some(most) = self.most {
            let before = u64::from(number - 1) * u64::from(page.pagination.per_page);
            let keep = usize::try_from(most.saturating_sub(before)).unwrap_or(usize::MAX);
            truncate(&mut page.records, keep);
        }
        ScannedPage {
            window: self.window,
            scan: self.scan,
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

/// One page to be requested, and what stands for it if Salla refuses it.
pub(super) struct PageFetch {
    pub(super) platform: Arc<dyn Platform>,
    pub(super) request: PageRequest,
    pub(super) first: FirstPage,
    pub(super) is_list_known: bool,
    pub(super) position: PagePosition,
    pub(super) number: u32,
}

impl PageFetch {
    /// An empty page stands for one that a ceiling refuses.
    pub(super) async fn page(
        self,
        mut permit: FetchPermit,
    ) -> Result<(Page, FetchPermit), Failure> {
        let (platform, request, first) = (&*self.platform, &self.request, self.first);
        let page = match platform.list_page(request, &mut permit).await {
            // Above its ceiling, or behind its end, a list may answer with an error; that
            // must not end the run before everything else is read.
            Err(Failure::Broken { message: what }) if request.page > 1 => {
                tracing::warn!(page = request.page, what, "Salla refuses a page");
                first.empty(request)
            }
            Err(failure @ Failure::TooLarge { .. }) if request.per_page == 1 => {
                let known = self.is_list_known.then(|| first.pagination(request));
                let known = (known, first.asked_at);
                portions::too_large(platform, request, known, failure, &mut permit).await?
            }
            result => result?,
        };
        permit.memory.decoded();
        Ok((page, permit))
    }

    pub(super) async fn scanned_page(
        self,
        permit: FetchPermit,
    ) -> Result<(ScannedPage, FetchPermit), Failure> {
        let (position, number) = (self.position, self.number);
        let (page, permit) = self.page(permit).await?;
        Ok((position.page(number, page), permit))
    }
}

/// What the first page of a scan told about the list.
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PageRoute {
    OneWay { pages: u32 },
    BothEnds { pages: u32, reach: u32 },
}

impl PageRoute {
    /// As far as the first page of the present scan has told.
    pub(super) fn of(window: &StoredWindow, ceiling: Ceiling) -> Self {
        let pages = window.total_pages.unwrap_or(1).max(1);
        let rows = window.first_total.unwrap_or(0);
        let is_one_day = window.days.is_some_and(|days| days.from == days.to);
        if window.resource != Resource::Orders || !is_one_day || !ceiling.may_end(rows) {
            return Self::OneWay { pages };
        }
        let per_page = rows.div_ceil(u64::from(pages)).max(1);
        Self::BothEnds {
            pages,
            reach: u32::try_from((ceiling.rows() / per_page).max(1)).unwrap_or(u32::MAX),
        }
    }

    /// The last page of the scan.
    pub(super) fn last(self) -> u32 {
        match self {
            Self::OneWay { pages } => pages,
            Self::BothEnds { pages, .. } => pages.saturating_add(1),
        }
    }

    /// Whether the request for a page stays below the ceiling.
    pub(super) fn covers(self, number: u32) -> bool {
        match self {
            Self::OneWay { .. } => true,
            Self::BothEnds { reach, .. } => self.request(number).0 <= reach,
        }
    }

    pub(super) fn request(self, number: u32) -> (u32, Sort) {
        match self {
            Self::BothEnds { pages, .. } if number > pages.div_ceil(2) + 1 => {
                (pages + 2 - number, Sort::NewestFirst)
            }
            Self::OneWay { .. } | Self::BothEnds { .. } => (number, Sort::OldestFirst),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::run::WindowId;
    use domain::window::DayRange;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn window(rows: u64, per_page: u64) -> StoredWindow {
        let day = "2025-06-15".parse().unwrap();
        StoredWindow {
            id: WindowId(1),
            resource: Resource::Orders,
            days: Some(DayRange { from: day, to: day }),
            slice: None,
            is_sliced: false,
            scan: 1,
            first_total: Some(rows),
            total_pages: Some(rows.div_ceil(per_page) as u32),
            pages_done: vec![],
            done: false,
        }
    }

    /// The rows, counted from the oldest, that a scan lists.
    fn listed(rows: u64, per_page: u64) -> BTreeSet<u64> {
        let route = PageRoute::of(&window(rows, per_page), Ceiling::UNKNOWN);
        let mut listed = BTreeSet::new();
        for number in (1..=route.last()).filter(|n| route.covers(*n)) {
            let (page, sort) = route.request(number);
            let from = u64::from(page - 1) * per_page;
            let page = from..(from + per_page).min(rows);
            match sort {
                Sort::OldestFirst => listed.extend(page),
                _ => listed.extend(page.map(|row| rows - 1 - row)),
            }
        }
        listed
    }

    proptest! {
        #[test]
        fn both_ends_meet_up_to_twice_the_ceiling(rows in 1u64..19_800, per_page in 15u64..61) {
            prop_assert_eq!(listed(rows, per_page).len() as u64, rows);
        }
    }

    #[test]
    fn a_day_beyond_both_reaches_is_read_as_far_as_they_go() {
        let listed = listed(30_000, 60);
        assert_eq!(listed.len(), 2 * 166 * 60);
        assert!(listed.contains(&0) && listed.contains(&29_999));
    }

    #[test]
    fn the_halves_overlap_so_that_a_hidden_middle_cannot_balance() {
        // Salla says 10,000 and has 12,000: what is listed must not come to 10,000.
        let route = PageRoute::of(&window(10_000, 50), Ceiling::UNKNOWN);
        let rows: u32 = (1..=route.last()).map(|_| 50).sum();
        assert_eq!(rows, 10_050);
    }
}
