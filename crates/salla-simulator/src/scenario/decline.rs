//! What goes away while an import runs: line items, or the whole API.

use super::Fault;
use serde::{Deserialize, Serialize};

/// Orders that lose their items in mid-import, as when Salla changes a default
/// for an app. The counts are of requests of the shop that were let in; nothing
/// happens if absent, and zero means at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ItemLoss {
    /// `GET /orders/{id}` becomes the light form: only `/orders/items` helps.
    pub details_after: Option<u64>,
    /// Rows of the expanded list are full orders without `items`.
    pub rows_without_items_after: Option<u64>,
    /// `expanded` is ignored; rows are the short ones.
    pub expanded_ignored_after: Option<u64>,
}

/// A time in which every request to the API fails. The accounts host lives on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outage {
    /// The request to the API, counted from 1 over all shops, that is the first
    /// to fail. Zero or one in the past means the next one.
    pub from_request: u64,
    pub lasts: OutageLength,
    pub how: Fault,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutageLength {
    /// So many requests fail.
    Requests(u64),
    /// Requests fail for so many simulated seconds from the first that did.
    Seconds(u64),
}
