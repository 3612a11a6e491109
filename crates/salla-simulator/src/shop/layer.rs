//! What has happened to the records of one kind since the shop was made. The
//! shop computes its records from numbers; this keeps only the differences.

use super::Shop;
use super::merged::Merged;
use super::statuses::Original;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// What has been changed in a shop since it was made: records that were inserted, edited,
/// hidden or deleted while they were being read.
#[derive(Clone, Debug)]
pub(crate) struct Overlay {
    pub(crate) orders: Layer,
    pub(crate) customers: Layer,
    pub(crate) products: Layer,
}

impl Overlay {
    /// A shop in which nothing has happened yet.
    pub(crate) fn new(shop: &Shop) -> Self {
        let (orders, customers) = (shop.spec.orders, shop.spec.customers);
        Self {
            orders: Layer::new(orders, orders),
            customers: Layer::new(customers, customers),
            products: Layer::new(shop.spec.products, shop.first_added_product()),
        }
    }
}

/// The changes to one kind of record.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    /// The count of the shop's own records, numbered from zero.
    own: u64,
    /// The number of the first added record.
    first_added: u64,
    /// The added records by number, whether they are listed or not.
    added: Vec<Slot>,
    /// Those of them that are listed, in the order of the list.
    listed: Vec<Slot>,
    /// The shop's own records that are not listed, ascending.
    absent: Vec<u64>,
    /// The unlisted records that may come back.
    hidden: BTreeSet<u64>,
    edits: BTreeMap<u64, Edit>,
    /// Counts the changes, so that stale caches can be found.
    version: u64,
}

/// An added record. Records are ordered by moment, then by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Slot {
    moment: i64,
    index: u64,
    /// How many of the shop's own records, listed or not, come before it.
    before: u64,
}

/// How a record differs from what its number says.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Edit {
    /// The new status, of orders only.
    pub(crate) status: Option<Original>,
    /// How often the visible fields were moved on: the quantity of an order's
    /// first item, a customer's last name, a product's price.
    pub(crate) steps: u32,
    pub(crate) updated_at: i64,
    /// Counts the edits of this record.
    pub(crate) revision: u32,
}

impl Layer {
    pub(crate) fn new(own: u64, first_added: u64) -> Self {
        Self {
            own,
            first_added,
            added: Vec::new(),
            listed: Vec::new(),
            absent: Vec::new(),
            hidden: BTreeSet::new(),
            edits: BTreeMap::new(),
            version: 0,
        }
    }

    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// The moment of an added record.
    pub(crate) fn moment_of_added(&self, index: u64) -> Option<i64> {
        self.slot(index).map(|slot| slot.moment)
    }

    pub(crate) fn edit_of(&self, index: u64) -> Option<&Edit> {
        self.edits.get(&index)
    }

    pub(crate) fn revision(&self, index: u64) -> u32 {
        self.edit_of(index).map_or(0, |edit| edit.revision)
    }

    pub(crate) fn is_listed(&self, index: u64) -> bool {
        if index < self.own {
            return self.absent.binary_search(&index).is_err();
        }
        self.slot(index)
            .is_some_and(|slot| self.listed.binary_search(&slot).is_ok())
    }

    /// Adds a record of which `before` of the shop's own come first.
    pub(crate) fn add(&mut self, moment: i64, before: u64) -> u64 {
        let index = self.first_added + self.added.len() as u64;
        let slot = Slot {
            moment,
            index,
            before,
        };
        self.added.push(slot);
        self.list(slot);
        self.version += 1;
        index
    }

    /// False if the record is not listed.
    pub(crate) fn edit(&mut self, index: u64, change: impl FnOnce(&mut Edit)) -> bool {
        let listed = self.is_listed(index);
        if listed {
            let edit = self.edits.entry(index).or_default();
            edit.revision += 1;
            change(edit);
            self.version += 1;
        }
        listed
    }

    /// Takes a record out of the list for good; false if it is not listed.
    pub(crate) fn delete(&mut self, index: u64) -> bool {
        let listed = self.is_listed(index);
        if listed {
            match (self.slot(index), self.absent.binary_search(&index)) {
                (Some(slot), _) => self.listed.retain(|listed| *listed != slot),
                (None, Err(place)) => self.absent.insert(place, index),
                (None, Ok(_)) => {}
            }
            self.version += 1;
        }
        listed
    }

    /// Takes a record out of the list until it is unhidden.
    pub(crate) fn hide(&mut self, index: u64) -> bool {
        let hidden = self.delete(index);
        if hidden {
            self.hidden.insert(index);
        }
        hidden
    }

    /// Puts a hidden record back into its place; false if it is not hidden.
    pub(crate) fn unhide(&mut self, index: u64) -> bool {
        let hidden = self.hidden.remove(&index);
        if hidden {
            match self.slot(index) {
                Some(slot) => self.list(slot),
                None => self.absent.retain(|absent| *absent != index),
            }
            self.version += 1;
        }
        hidden
    }

    /// The list of the shop's own records in `own` and of the added ones in
    /// `moments`, in ascending order.
    pub(crate) fn merged(&self, own: Range<u64>, moments: Range<i64>) -> Merged {
        let gone = slice(
            &self.absent,
            |index| own.contains(index),
            |index| *index < own.start,
        );
        let added = slice(
            &self.listed,
            |slot| moments.contains(&slot.moment),
            |slot| slot.moment < moments.start,
        );
        let before = |slot: &Slot| slot.before.clamp(own.start, own.end) - own.start;
        Merged::new(
            own.end - own.start,
            gone.iter().map(|index| index - own.start),
            added.iter().map(|slot| (before(slot), slot.index)),
        )
    }

    /// The shop's own records that are no longer as they were made.
    pub(crate) fn changed_own(&self) -> impl Iterator<Item = u64> + '_ {
        let edited = self.edits.range(..self.own).map(|(index, _)| *index);
        let kept = edited.filter(|index| self.absent.binary_search(index).is_err());
        self.absent.iter().copied().chain(kept)
    }

    /// The listed records that are not as the shop made them.
    pub(crate) fn changed_listed(&self) -> impl Iterator<Item = u64> + '_ {
        let edited = self.edits.range(..self.own).map(|(index, _)| *index);
        edited
            .filter(|index| self.is_listed(*index))
            .chain(self.listed.iter().map(|slot| slot.index))
    }

    fn slot(&self, index: u64) -> Option<Slot> {
        let place = index.checked_sub(self.first_added)?;
        self.added.get(usize::try_from(place).ok()?).copied()
    }

    fn list(&mut self, slot: Slot) {
        let place = self.listed.partition_point(|listed| *listed < slot);
        self.listed.insert(place, slot);
    }
}

/// The part of an ascending list that a range holds.
fn slice<T>(of: &[T], within: impl Fn(&T) -> bool, earlier: impl Fn(&T) -> bool) -> &[T] {
    let rest = &of[of.partition_point(earlier)..];
    &rest[..rest.partition_point(within)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shop::merged::Position;

    fn listed(layer: &Layer) -> Vec<Position> {
        let merged = layer.merged(0..layer.own, i64::MIN..i64::MAX);
        (0..merged.len()).map(|place| merged.at(place)).collect()
    }

    #[test]
    fn what_is_hidden_comes_back_to_its_place_and_what_is_deleted_does_not() {
        let mut layer = Layer::new(3, 3);
        let added = layer.add(15, 1);
        let whole = listed(&layer);
        assert_eq!(whole[1], Position::Added(added));
        for index in [1, added] {
            assert!(layer.hide(index));
            assert!(!layer.hide(index) && !layer.edit(index, |_| {}));
            assert_eq!(listed(&layer).len(), 3);
            assert!(layer.unhide(index));
            assert_eq!(listed(&layer), whole);
        }
        assert!(layer.delete(1));
        assert!(!layer.unhide(1) && !layer.delete(1) && !layer.delete(99));
        assert_eq!(layer.version(), 6);
    }

    #[test]
    fn changes_are_distinguished_by_what_became_of_them() {
        let mut layer = Layer::new(5, 9);
        layer.edit(4, |edit| edit.steps += 1);
        layer.edit(2, |edit| edit.steps += 1);
        layer.delete(2);
        layer.delete(0);
        let added = layer.add(1, 5);
        assert_eq!(layer.changed_own().collect::<Vec<_>>(), [0, 2, 4]);
        assert_eq!(layer.changed_listed().collect::<Vec<_>>(), [4, added]);
        assert_eq!((layer.revision(4), layer.revision(1)), (1, 0));
    }
}
