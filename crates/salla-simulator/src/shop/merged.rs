//! A list that has changed since it was numbered: records are gone from it and
//! others have slipped in between. Finding the record at a place costs a few
//! binary searches over the changes, however long the list is.

use super::first_not;

/// What stands at a place of a changed list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Position {
    /// A place of the list as it was before the changes.
    Base(u64),
    /// The number of a record that was not in it.
    Added(u64),
}

/// An ascending list of `base` places, without some and with others between.
#[derive(Clone, Debug, Default)]
pub(crate) struct Merged {
    base: u64,
    /// For each removed place, how many places before it have stayed.
    stayed_before: Vec<u64>,
    added: Vec<Added>,
}

#[derive(Clone, Copy, Debug)]
struct Added {
    /// Where it stands in the changed list.
    place: u64,
    index: u64,
}

impl Merged {
    /// `removed` are places of the base, ascending. `added` are records with
    /// the number of base places that come before them, in their final order.
    pub(crate) fn new(
        base: u64,
        removed: impl IntoIterator<Item = u64>,
        added: impl IntoIterator<Item = (u64, u64)>,
    ) -> Self {
        let stayed_before: Vec<u64> = removed.into_iter().zip(0..).map(|(at, n)| at - n).collect();
        let place = |(count, (before, index)): (u64, (u64, u64))| {
            let gone = removed_before(&stayed_before, before);
            Added {
                place: before - gone + count,
                index,
            }
        };
        Self {
            added: (0..).zip(added).map(place).collect(),
            base,
            stayed_before,
        }
    }

    pub(crate) fn len(&self) -> u64 {
        self.base - self.stayed_before.len() as u64 + self.added.len() as u64
    }

    /// The numbers of all its records, where those of the base begin with `first`.
    pub(crate) fn numbers(self, first: u64) -> impl Iterator<Item = u64> {
        (0..self.len()).map(move |place| match self.at(place) {
            Position::Base(place) => first + place,
            Position::Added(index) => index,
        })
    }

    pub(crate) fn at(&self, place: u64) -> Position {
        let earlier = self.added.partition_point(|added| added.place < place);
        match self.added.get(earlier) {
            Some(added) if added.place == place => Position::Added(added.index),
            _ => {
                let stayed = place - earlier as u64;
                let gone = self
                    .stayed_before
                    .partition_point(|before| *before <= stayed);
                Position::Base(stayed + gone as u64)
            }
        }
    }
}

/// How many removed places are less than `limit`.
fn removed_before(stayed_before: &[u64], limit: u64) -> u64 {
    first_not(0..stayed_before.len() as u64, |place| {
        stayed_before[place as usize] + place < limit
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn places_agree_with_a_list_that_is_written_out(
            base in 0u64..40,
            removed in proptest::collection::btree_set(0u64..40, 0..40),
            mut before in proptest::collection::vec(0u64..41, 0..20),
        ) {
            let removed: BTreeSet<u64> = removed.into_iter().filter(|at| *at < base).collect();
            before.iter_mut().for_each(|place| *place = (*place).min(base));
            before.sort_unstable();
            let added: Vec<_> = before.iter().copied().zip(100..).collect();
            let mut written = Vec::new();
            for place in 0..=base {
                let here = added.iter().filter(|(before, _)| *before == place);
                written.extend(here.map(|(_, index)| Position::Added(*index)));
                if place < base && !removed.contains(&place) {
                    written.push(Position::Base(place));
                }
            }
            let merged = Merged::new(base, removed, added);
            let read: Vec<_> = (0..merged.len()).map(|place| merged.at(place)).collect();
            prop_assert_eq!(read, written);
        }
    }
}
