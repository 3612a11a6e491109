//! What a scenario's drift has counted and done.

use crate::api::{Page, Query};
use crate::endpoint::Resource;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// One change that the drift has made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct DriftEvent {
    /// How many requests to the API the shop had let in by then.
    pub after_request: u64,
    pub resource: Resource,
    pub kind: DriftKind,
    pub id: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DriftKind {
    Arrived,
    Edited,
    Deleted,
    /// The late record that makes up for a deletion.
    Inserted,
}

/// What the drift of one shop has counted and done.
#[derive(Debug, Default)]
pub(crate) struct DriftState {
    answered: BTreeMap<Option<Resource>, u64>,
    pub(crate) pages_read: BTreeMap<Resource, PagesRead>,
    pub(crate) events: Vec<DriftEvent>,
}

/// The list of one kind that is being read.
#[derive(Clone, Debug, Default)]
pub(crate) struct PagesRead {
    /// The question without its page.
    pub(crate) query: Query,
    pub(crate) read: BTreeSet<u64>,
}

impl DriftState {
    pub(crate) fn events(&self) -> Vec<DriftEvent> {
        self.events.clone()
    }

    /// A first page, or another query, begins another scan.
    pub(crate) fn note(&mut self, resource: Resource, query: &Query, page: Page) {
        let query = query.without("page");
        let pages_read = self.pages_read.entry(resource).or_default();
        if page.number == 1 || pages_read.query.canonical() != query.canonical() {
            *pages_read = PagesRead {
                query,
                read: BTreeSet::new(),
            };
        }
        pages_read.read.insert(page.number);
    }

    pub(crate) fn count(&mut self, of: Option<Resource>) -> u64 {
        let count = self.answered.entry(of).or_default();
        *count += 1;
        *count
    }
}
