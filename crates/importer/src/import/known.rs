//! What an earlier scan has listed of a window that has to be read again, so that only the
//! part that moved is.
//!
//! A part is as it was if its first and its last page are as they were, and as far apart in
//! what was listed before as Salla now says that the part is long. That takes two requests, however many pages the
//! part has. It is the same standard by which a window counts as unchanged at the end of a
//! run: an order that came to light while another one was deleted could hide in it, and the
//! list of changes names the days of such orders.

use std::collections::{BTreeSet, HashMap};

use domain::window::QueryRange;
use jiff::civil::Date;

use crate::ports::runs::StoredWindow;

/// The rows of a window in the sequence of its list, from its first page on as far as
/// `total` was the same and every record had an id: one that has none counts in `total`, and
/// would make up for a row that is gone.
#[derive(Debug)]
pub(crate) struct KnownRows {
    ids: Vec<i64>,
    places: HashMap<i64, usize>,
    /// Days on which orders may have come to light.
    moved: BTreeSet<Date>,
}

impl KnownRows {
    /// Nothing if a row was listed twice, because then nothing is known of its place.
    pub(crate) fn new(ids: Vec<i64>, moved: BTreeSet<Date>) -> Option<Self> {
        let places: HashMap<i64, usize> = ids.iter().copied().zip(0..).collect();
        let is_of_use = !ids.is_empty() && places.len() == ids.len();
        is_of_use.then_some(Self { ids, places, moved })
    }

    /// The rows from those of the oldest page to those of the newest, which come newest
    /// first, if they are as many as `total` says.
    pub(super) fn between(&self, oldest: &[i64], newest: &[i64], total: u64) -> Option<&[i64]> {
        let from = *self.places.get(oldest.first()?)?;
        let rows = self.ids.get(from..)?.get(..usize::try_from(total).ok()?)?;
        let ends = rows.iter().rev().take(newest.len());
        (rows.starts_with(oldest) && ends.eq(newest)).then_some(rows)
    }

    /// How many rows of the list between these pages are known, as far as one of its ends
    /// tells.
    pub(super) fn count_inside(&self, oldest: &[i64], newest: &[i64]) -> u64 {
        let place = |row: Option<&i64>| self.places.get(row?).copied();
        let (from, to) = (place(oldest.first()), place(newest.first()));
        let end = to.map_or(self.ids.len(), |to| to + 1);
        let known = from
            .or(to.map(|_| 0))
            .map_or(0, |from| end.saturating_sub(from));
        known as u64
    }

    pub(super) fn has_moved(&self, window: &StoredWindow, reach: QueryRange) -> bool {
        let may_list = |days| self.moved.iter().any(|day| reach.may_list(days, *day));
        window.days.is_none_or(may_list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_inside_are_counted_from_either_end() {
        let known = KnownRows::new(vec![5, 3, 9, 7], BTreeSet::new()).unwrap();
        for (oldest, newest, count) in [(5, 7, 4), (3, 9, 2), (3, 8, 3), (8, 3, 2), (8, 6, 0)] {
            assert_eq!(known.count_inside(&[oldest], &[newest]), count, "{oldest}");
        }
        assert_eq!(known.count_inside(&[], &[]), 0);
    }

    #[test]
    fn rows_are_known_between_two_pages_that_are_as_far_apart_as_the_list_is_long() {
        let known = KnownRows::new(vec![5, 3, 9, 7], BTreeSet::new()).unwrap();
        type Case = (&'static [i64], &'static [i64], u64, Option<&'static [i64]>);
        let table: [Case; 8] = [
            (&[5, 3], &[7, 9], 4, Some(&[5, 3, 9, 7])),
            (&[3], &[9], 2, Some(&[3, 9])),
            (&[9], &[9], 1, Some(&[9])),
            // A row between them is gone, or another one has come.
            (&[5, 3], &[7, 9], 3, None),
            (&[5, 3], &[7, 9], 5, None),
            // Pages are other ones than before.
            (&[5, 9], &[7, 9], 4, None),
            (&[5, 3], &[7, 8], 4, None),
            (&[], &[], 0, None),
        ];
        for (oldest, newest, total, rows) in table {
            let found = known.between(oldest, newest, total);
            assert_eq!(found, rows, "{oldest:?} {newest:?} {total}");
        }
        assert!(KnownRows::new(vec![5, 3, 5], BTreeSet::new()).is_none());
        assert!(KnownRows::new(vec![], BTreeSet::new()).is_none());
    }
}
