//! Where a page belongs, and what stands for one that Salla refuses.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use domain::ceiling::Ceiling;
use domain::failure::Failure;
use domain::order::Version;
use domain::plan::{MOST_PER_PAGE, pages};
use domain::rejection::{Rejection, RejectionCode};
use domain::resource::Resource;
use domain::run::WindowId;

use crate::admission::FetchPermit;
use crate::ports::landing::ScannedPage;
use crate::ports::platform::{Decoded, Page, PageRequest, Pagination, Platform, Records, Sort};
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
            page.records.truncate(keep);
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
                too_large(platform, request, known, failure, &mut permit).await?
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

// How many rows of a list are requested together: as many as Salla gives, and fewer if together
// they are longer than the longest response that is read.

const PORTIONS: [u32; 4] = [MOST_PER_PAGE, 15, 4, 1];

/// Records that follow each other at the beginning of a list and are each longer than any
/// answer that is read.
const MAX_PASSED_OVER: u32 = 4;

pub(crate) fn smaller(per_page: u32) -> Option<u32> {
    PORTIONS.into_iter().find(|portion| *portion < per_page)
}

/// What the pages of a scan were asked for with, by what is known of the list.
pub(crate) fn of_scan(total: u64, total_pages: u32) -> u32 {
    let fits = |portion: &u32| pages(total, *portion) == u64::from(total_pages);
    PORTIONS.into_iter().find(fits).unwrap_or(MOST_PER_PAGE)
}

/// What a run has learned; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Portions(Arc<Mutex<BTreeMap<Resource, u32>>>);

impl Portions {
    pub(crate) fn of(&self, resource: Resource) -> u32 {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&resource).copied().unwrap_or(MOST_PER_PAGE)
    }

    /// Fewer than `per_page` from now on; false where one is what was asked for.
    pub(crate) fn lower(&self, resource: Resource, per_page: u32) -> bool {
        let Some(portion) = smaller(per_page) else {
            return false;
        };
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.entry(resource).or_insert(portion);
        *known = portion.min(*known);
        true
    }
}

/// The beginning of a list: its first page, or what can be had of it.
pub(crate) async fn beginning(
    platform: &dyn Platform,
    mut request: PageRequest,
) -> Result<(Page, FetchPermit), Failure> {
    loop {
        let mut permit = FetchPermit::default();
        let page = platform.list_page(&request, &mut permit).await;
        match (page, smaller(request.per_page)) {
            (Err(Failure::TooLarge { .. }), Some(portion)) => request.per_page = portion,
            (Err(Failure::TooLarge { .. }), None) if request.page <= MAX_PASSED_OVER => {
                request.page += 1;
            }
            (page, _) => return Ok((page?, permit)),
        }
    }
}

/// What stands for a page of one record that is longer than any answer that is read. What is
/// not known of the list, its next pages tell.
pub(crate) async fn too_large(
    platform: &dyn Platform,
    request: &PageRequest,
    (known, asked_at): (Option<Pagination>, Version),
    failure: Failure,
    permit: &mut FetchPermit,
) -> Result<Page, Failure> {
    let mut pagination = known;
    let mut next = request.clone();
    while pagination.is_none() && next.page <= request.page + MAX_PASSED_OVER {
        next.page += 1;
        match platform.list_page(&next, permit).await {
            Ok(page) => pagination = Some(page.pagination),
            Err(Failure::TooLarge { .. }) => {}
            Err(other) => return Err(other),
        }
    }
    // If Salla gives more than one row all the same, it is unknown which ones these are.
    let Some(pagination) = pagination.filter(|list| list.per_page == 1) else {
        return Err(failure);
    };
    let message = format!("{failure}; the record's text is not stored");
    tracing::warn!(message, "a record is rejected");
    Ok(Page {
        records: unread(request.resource, message),
        pagination: Pagination {
            count: 1,
            current_page: request.page,
            ..pagination
        },
        version: asked_at,
    })
}

fn unread(resource: Resource, message: String) -> Records {
    fn one<T>(message: String) -> Vec<Decoded<T>> {
        vec![Decoded {
            raw: "".into(),
            outcome: Err(Rejection {
                code: RejectionCode::TooLarge,
                path: "$".to_owned(),
                message,
                salla_id: None,
            }),
        }]
    }
    match resource {
        Resource::Orders => Records::Orders(one(message)),
        Resource::Customers => Records::Customers(one(message)),
        Resource::Products => Records::Products(one(message)),
        Resource::Categories => Records::Categories(one(message)),
        Resource::OrderStatuses => Records::OrderStatuses(one(message)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    use domain::run::WindowId;
    use domain::window::DayRange;
    use proptest::prelude::*;

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

    #[test]
    fn the_portions_of_a_scan_are_known_by_its_pages() {
        let table = [
            (100, 2, 60),
            (100, 7, 15),
            (100, 25, 4),
            (100, 100, 1),
            (10, 1, 60),
            // Salla clamps.
            (100, 4, 60),
            (0, 1, 60),
        ];
        for (total, pages, portion) in table {
            assert_eq!(of_scan(total, pages), portion, "{total} {pages}");
        }
    }

    #[test]
    fn portions_only_become_smaller() {
        let portions = Portions::default();
        assert!(portions.lower(Resource::Orders, 15));
        assert!(portions.lower(Resource::Orders, 60));
        assert_eq!(portions.of(Resource::Orders), 4);
        assert_eq!(portions.of(Resource::Products), MOST_PER_PAGE);
        assert!(!portions.lower(Resource::Orders, 1));
    }
}
