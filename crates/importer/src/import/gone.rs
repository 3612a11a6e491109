//! Which rows of a list are gone, found with few requests where it is known what the list was.
//!
//! A list keeps its sequence. So a row that stands `n` places further up than before tells that
//! `n` rows before it are gone, and between two rows that are as far apart as before none is.
//! What is further apart is halved, down to neighbors: what stood between them is gone. Each
//! row that is gone costs about as many pages as their number can be halved.

use std::collections::{BTreeMap, HashMap};

use domain::failure::Failure;

use super::reader::WindowReader;
use crate::ports::platform::Pagination;

/// A list against what it was.
#[derive(Debug)]
pub(super) struct Gone {
    /// What it was, with what has come since, in its sequence.
    known: Vec<i64>,
    places: HashMap<i64, usize>,
    total: usize,
    per_page: usize,
    /// Places in what it was, by places in the list now.
    seen: BTreeMap<usize, usize>,
    pages_read: usize,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Page(u32),
    /// The list as it is now.
    Found(Vec<i64>),
    /// Not the same list without some of its rows: it has to be scanned.
    Lost,
}

impl Gone {
    /// `total` rows have a readable id.
    pub(super) fn new(known: Vec<i64>, total: u64, pagination: Pagination) -> Self {
        let places = known.iter().copied().zip(0..).collect();
        Self {
            known,
            places,
            total: usize::try_from(total).unwrap_or(usize::MAX),
            per_page: pagination.per_page.max(1) as usize,
            seen: BTreeMap::new(),
            pages_read: 0,
        }
    }

    pub(super) fn known(&self) -> &[i64] {
        &self.known
    }

    /// Takes in a page. False if it shows a row that is not known.
    pub(super) fn read(&mut self, number: u32, ids: &[i64]) -> bool {
        self.pages_read += 1;
        let first = (number.max(1) as usize - 1) * self.per_page;
        for (row, id) in (first..).zip(ids) {
            let Some(place) = self.places.get(id) else {
                return false;
            };
            self.seen.insert(row, *place);
        }
        true
    }

    pub(super) fn next(&self) -> Next {
        let has_doubles = self.places.len() < self.known.len();
        // A scan is no dearer.
        let is_dear = self.pages_read > 2 && self.pages_read * self.per_page > self.total;
        if has_doubles || is_dear || self.total > self.known.len() {
            return Next::Lost;
        }
        let end = (self.total, self.known.len());
        let seen = self.seen.iter().map(|(row, place)| (*row, *place));
        let mut present = Vec::with_capacity(self.total);
        let (mut row_after, mut place_after) = (0, 0);
        for (row, place) in seen.chain([end]) {
            let rows = row.checked_sub(row_after);
            let places = place.checked_sub(place_after);
            let (Some(rows), Some(places)) = (rows, places) else {
                return Next::Lost;
            };
            match (rows, places) {
                _ if rows == places => present.extend(&self.known[place_after..place]),
                _ if rows > places => return Next::Lost,
                (0, _) => {}
                _ => {
                    let middle = (row_after + rows / 2) / self.per_page + 1;
                    return u32::try_from(middle).map_or(Next::Lost, Next::Page);
                }
            }
            if row < self.total {
                present.push(self.known[place]);
            }
            (row_after, place_after) = (row + 1, place + 1);
        }
        Next::Found(present)
    }
}

/// Reads pages until it is clear which rows are gone; nothing where that does not tell.
pub(super) async fn look_for_gone(
    reader: &WindowReader<'_>,
    mut gone: Gone,
    total: u64,
) -> Result<Option<Vec<i64>>, Failure> {
    loop {
        match gone.next() {
            Next::Found(ids) => return Ok(Some(ids)),
            Next::Lost => return Ok(None),
            Next::Page(number) => {
                let (page, _permit) = reader.fetch_page(number).await?;
                let ids = page.records.ids();
                let is_of_it = page.pagination.total == total && ids.len() == page.records.len();
                if !is_of_it || ids.is_empty() || !gone.read(number, &ids) {
                    return Ok(None);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const PER_PAGE: usize = 10;

    fn pagination(total: usize) -> Pagination {
        Pagination {
            count: PER_PAGE as u32,
            total: total as u64,
            per_page: PER_PAGE as u32,
            current_page: 1,
            total_pages: total.div_ceil(PER_PAGE) as u32,
        }
    }

    /// What is found, and how many pages it took.
    fn search(known: &[i64], present: &[i64]) -> (Next, u32) {
        let total = present.len() as u64;
        let mut gone = Gone::new(known.to_vec(), total, pagination(present.len()));
        let page = |number: u32| {
            let from = (number as usize - 1) * PER_PAGE;
            let to = present.len().min(from + PER_PAGE);
            &present[from.min(to)..to]
        };
        if !gone.read(1, page(1)) {
            return (Next::Lost, 1);
        }
        for pages in 1.. {
            match gone.next() {
                Next::Page(number) => {
                    if !gone.read(number, page(number)) {
                        return (Next::Lost, pages + 1);
                    }
                }
                end => return (end, pages),
            }
        }
        unreachable!()
    }

    #[test]
    fn one_row_that_is_gone_costs_as_many_pages_as_their_number_can_be_halved() {
        let known: Vec<i64> = (0..1_000).rev().collect();
        for gone in [0, 1, 9, 10, 499, 500, 998, 999] {
            let present: Vec<i64> = known.iter().copied().filter(|id| *id != gone).collect();
            let (found, pages) = search(&known, &present);
            assert_eq!(found, Next::Found(present), "{gone}");
            assert!(pages <= 8, "{gone}: {pages}");
        }
    }

    #[test]
    fn a_list_from_which_nothing_is_gone_takes_one_page() {
        let known: Vec<i64> = (0..1_000).collect();
        assert_eq!(search(&known, &known), (Next::Found(known.clone()), 1));
    }

    #[test]
    fn another_list_is_not_mistaken_for_one_with_rows_gone() {
        let known: Vec<i64> = (0..100).collect();
        // A stranger, another sequence, one row more, a row twice.
        let mut other: Vec<i64> = (0..99).collect();
        other[50] = 1_000;
        let turned: Vec<i64> = (0..99).rev().collect();
        let more: Vec<i64> = (0..101).collect();
        for present in [other, turned, more] {
            assert_eq!(search(&known, &present).0, Next::Lost, "{present:?}");
        }
        let doubled: Vec<i64> = (0..100).map(|id| id / 2).collect();
        assert_eq!(search(&doubled, &doubled[..99]).0, Next::Lost);
    }

    proptest! {
        #[test]
        fn whatever_is_gone_is_found_or_the_list_is_scanned(
            rows in 1usize..400, gone in proptest::collection::btree_set(0usize..400, 0..20),
        ) {
            let known: Vec<i64> = (0..rows as i64).collect();
            let gone: BTreeSet<i64> = gone.into_iter().map(|id| id as i64).collect();
            let present: Vec<i64> =
                known.iter().copied().filter(|id| !gone.contains(id)).collect();
            let (found, pages) = search(&known, &present);
            prop_assert!(pages as usize <= present.len().div_ceil(PER_PAGE).max(3) + 1);
            prop_assert!(found == Next::Found(present) || found == Next::Lost);
        }
    }
}
