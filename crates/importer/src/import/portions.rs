//! How many rows of a list are requested together: as many as Salla gives, and fewer if together
//! they are longer than the longest response that is read.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use domain::failure::Failure;
use domain::order::Version;
use domain::plan::{MOST_PER_PAGE, pages};
use domain::rejection::{Rejection, RejectionCode};
use domain::resource::Resource;

use crate::admission::FetchPermit;
use crate::ports::platform::{Decoded, Page, PageRequest, Pagination, Platform, Records};

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
