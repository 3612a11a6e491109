//! Which orders were updated since a list of the last updated ones was read.
//!
//! List rows do not say when they were updated (FACTS §8), but the list can be sorted
//! by it. What was not updated since keeps its order, and everything that was stands
//! before it. So the updated ones end where the former list goes on.

use std::collections::{HashMap, HashSet};

/// The head of the former list may have been updated again in just its former
/// sequence, most likely the very first order alone. So many orders of it count as
/// updated, and only what comes after them as the former list.
const DOUBTFUL: usize = 5;

/// The orders that count as updated in any case, unless they are deleted, by the head of
/// the list as it was.
pub(crate) fn in_doubt(former: &[i64]) -> &[i64] {
    &former[..former.len().min(DOUBTFUL)]
}

/// Reads the present list page by page against the head of the former one.
#[derive(Debug)]
pub(crate) struct Recent {
    /// Places in the former list.
    former: HashMap<i64, usize>,
    seen: HashSet<i64>,
    /// The present list without repetitions.
    present: Vec<i64>,
}

impl Recent {
    /// `former`: the head of the list as it was, the last updated first.
    pub(crate) fn since(former: &[i64]) -> Self {
        let places = former.iter().enumerate().map(|(place, id)| (*id, place));
        Self {
            former: places.collect(),
            seen: HashSet::new(),
            present: Vec::new(),
        }
    }

    /// Takes in the ids of the next page.
    pub(crate) fn read(&mut self, page: &[i64]) {
        let fresh = page.iter().filter(|id| self.seen.insert(**id));
        self.present.extend(fresh);
    }

    /// Whether the updated ones have certainly all been read: the former list has been
    /// reached, or has been read past altogether.
    pub(crate) fn is_complete(&self) -> bool {
        let (start, end) = self.former_part();
        end - start > DOUBTFUL || self.former.keys().all(|id| self.seen.contains(id))
    }

    /// The orders that may have been updated since. If in doubt they are among them.
    pub(crate) fn updated(&self) -> HashSet<i64> {
        let (start, end) = self.former_part();
        let certain = (start + DOUBTFUL).min(end);
        self.present[..certain].iter().copied().collect()
    }

    /// Whether the former list had this order.
    pub(crate) fn was_there(&self, id: i64) -> bool {
        self.former.contains_key(&id)
    }

    /// Where the present list shows the former one: from its last entry that the
    /// former one had, back as long as the places fall without a gap in the present.
    fn former_part(&self) -> (usize, usize) {
        let place = |index: usize| self.former.get(&self.present[index]);
        let Some(last) = (0..self.present.len()).rev().find(|i| place(*i).is_some()) else {
            return (self.present.len(), self.present.len());
        };
        let mut start = last;
        while start > 0 && place(start - 1).is_some_and(|before| Some(before) < place(start)) {
            start -= 1;
        }
        (start, last + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What stands before the part of the former list.
    fn before_former(former: &[i64], present: &[i64]) -> Vec<i64> {
        let mut recent = Recent::since(former);
        recent.read(present);
        let (start, _) = recent.former_part();
        let mut before = present[..start].to_vec();
        before.sort_unstable();
        before
    }

    #[test]
    fn the_head_of_the_former_list_is_in_doubt() {
        let former: Vec<i64> = (1..=9).collect();
        let mut recent = Recent::since(&former);
        recent.read(&former);
        assert_eq!(recent.updated(), (1..=5).collect());
    }

    #[test]
    fn what_stands_before_the_former_list_was_updated() {
        let former = [1, 2, 3, 4, 5, 6, 7];
        let table: [(&[i64], &[i64]); 7] = [
            (&[1, 2, 3, 4, 5, 6, 7], &[]),
            (&[90, 91, 1, 2, 3, 4, 5, 6, 7], &[90, 91]),
            // Updated again, so no longer in their former places.
            (&[3, 5, 1, 2, 4, 6, 7], &[3, 5]),
            (&[3, 5, 7, 1, 2, 4, 6], &[3, 5, 7]),
            // 1 and 2 were deleted.
            (&[90, 3, 4, 5, 6, 7], &[90]),
            (&[7, 6, 5, 4, 3, 2, 1], &[2, 3, 4, 5, 6, 7]),
            (&[90, 91], &[90, 91]),
        ];
        for (present, expected) in table {
            assert_eq!(before_former(&former, present), expected, "{present:?}");
        }
    }

    #[test]
    fn reading_goes_on_until_the_former_list_shows() {
        let mut recent = Recent::since(&[1, 2, 3, 4, 5, 6, 7]);
        recent.read(&[90, 91, 92]);
        assert!(!recent.is_complete());
        recent.read(&[92, 1, 2, 3]);
        assert!(!recent.is_complete(), "three may be chance");
        recent.read(&[4, 5, 6]);
        assert!(recent.is_complete());
        assert_eq!(recent.updated(), [90, 91, 92, 1, 2, 3, 4, 5].into());
    }

    #[test]
    fn one_more_than_a_handful_in_sequence_is_enough() {
        let former: Vec<i64> = (1..=9).collect();
        let mut recent = Recent::since(&former);
        recent.read(&[90, 1, 2, 3, 4, 5]);
        assert!(!recent.is_complete(), "all of these are in doubt");
        recent.read(&[6]);
        assert!(recent.is_complete());
        assert!(recent.was_there(6) && !recent.was_there(90));
    }

    #[test]
    fn without_a_former_list_nothing_is_awaited() {
        assert!(Recent::since(&[]).is_complete());
    }

    proptest! {
        /// Whatever is updated or deleted, nothing that was updated is missed, unless
        /// more than a handful was updated in just its former sequence.
        #[test]
        fn no_update_is_missed(
            touched in prop::collection::vec(0i64..30, 0..12),
            arrived in 0i64..5,
            deleted in prop::collection::hash_set(0i64..30, 0..5),
        ) {
            let former: Vec<i64> = (0..30).collect();
            let mut present = former.clone();
            for id in &touched {
                present.retain(|known| known != id);
                present.insert(0, *id);
            }
            for id in 0..arrived {
                present.insert(0, 100 + id);
            }
            present.retain(|id| !deleted.contains(id));
            let mut recent = Recent::since(&former);
            recent.read(&present);
            let updated = recent.updated();
            for id in touched.iter().filter(|id| !deleted.contains(id)) {
                prop_assert!(updated.contains(id), "{} of {:?}", id, present);
            }
        }
    }
}
