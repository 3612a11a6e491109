//! What has been changed in a shop since it was made: the place for orders
//! that are inserted, edited or deleted while somebody reads them.

use super::statuses::Original;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Debug, Default)]
pub(crate) struct Overlay {
    /// The creation moments of added orders, numbered on from the shop's own.
    pub(crate) inserted: Vec<i64>,
    pub(crate) edited: BTreeMap<u64, Edit>,
    pub(crate) deleted: BTreeSet<u64>,
    /// Counts the changes, so that cached selections know when they are stale.
    pub(crate) version: u64,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Edit {
    pub(crate) status: Original,
    pub(crate) updated_at: i64,
}

impl Overlay {
    /// While nothing was inserted or deleted, order numbers are places in the
    /// list and a page is arithmetic.
    pub(crate) fn keeps_places(&self) -> bool {
        self.inserted.is_empty() && self.deleted.is_empty()
    }
}
