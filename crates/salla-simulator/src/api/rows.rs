//! The rows of a list that was asked for: numbers of records, found by place.

use crate::shop::{Merged, Position};
use std::ops::Range;
use std::sync::Arc;

/// The numbers of the records in a list, the list's own order applied.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    base: Base,
    merged: Merged,
    descending: bool,
}

/// The ascending list that the changes of the shop were merged into.
#[derive(Clone, Debug)]
enum Base {
    From(u64),
    Picked(Picked),
}

/// Record numbers with their sort keys, ascending.
pub(crate) type Picked = Arc<[(i64, u32)]>;

impl Default for Rows {
    fn default() -> Self {
        Self::range(0, Merged::default(), false)
    }
}

impl Rows {
    /// The shop's own records from `first` on, and the changes to them.
    pub(crate) fn range(first: u64, merged: Merged, descending: bool) -> Self {
        Self {
            base: Base::From(first),
            merged,
            descending,
        }
    }

    pub(crate) fn picked(picked: Picked, merged: Merged, descending: bool) -> Self {
        Self {
            base: Base::Picked(picked),
            merged,
            descending,
        }
    }

    /// The numbers that were found, and nothing to merge into them.
    pub(crate) fn found(numbers: impl Iterator<Item = u64>, descending: bool) -> Self {
        let picked: Picked = numbers.map(|index| (0, index as u32)).collect();
        let merged = Merged::new(picked.len() as u64, [], []);
        Self::picked(picked, merged, descending)
    }

    pub(crate) fn len(&self) -> u64 {
        self.merged.len()
    }

    /// The record number at a place of the list.
    pub(crate) fn at(&self, place: u64) -> u64 {
        let place = if self.descending {
            self.len() - 1 - place
        } else {
            place
        };
        match (self.merged.at(place), &self.base) {
            (Position::Added(index), _) => index,
            (Position::Base(place), Base::From(first)) => first + place,
            (Position::Base(place), Base::Picked(picked)) => u64::from(picked[place as usize].1),
        }
    }

    pub(crate) fn all(&self, places: Range<u64>) -> impl Iterator<Item = u64> + '_ {
        places.map(|place| self.at(place))
    }
}
