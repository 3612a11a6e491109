//! A shop that changes while it is being read. The changes are driven by the
//! requests that were answered and by a seed, never by time, so that a run that
//! asks the same questions in the same order meets the same changes.

use serde::{Deserialize, Serialize};

/// The changes to every kind of record; all off by default. Each shop of the platform drifts
/// independently.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Drift {
    pub seed: u64,
    pub counts: DriftCounts,
    pub orders: ResourceDrift,
    pub customers: ResourceDrift,
    pub products: ResourceDrift,
}

/// Which answered requests drive the changes to a kind of record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DriftCounts {
    /// The pages of its list.
    #[default]
    OwnList,
    /// Every request to the API.
    AllRequests,
}

/// The changes to one kind of record. A change happens after the response, and thus between two
/// pages. Zero turns a kind of change off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ResourceDrift {
    /// A new record, created at the simulated present.
    pub arrive_every: u64,
    /// A record of the list being read changes visibly, and its `updated_at`
    /// with it: an order's status, or the quantity of its first item and the
    /// amounts; a customer's last name; a product's price.
    pub edit_every: u64,
    /// A record goes whose page of the list being read has been read, so that
    /// every later record moves up by one and the next page misses one.
    pub delete_every: u64,
    /// Number of answered requests to the API after which the shop no longer changes; zero means
    /// never.
    pub until_request: u64,
    /// With each deletion another record appears on a page of the same list
    /// that has not been read (on any page if there is none), as a draft does
    /// that is completed late. `total` stays the same, and yet a row is missed.
    /// Products have no dates; theirs appear at the top.
    pub pair_with_insert: bool,
    /// Such late records keep the `updated_at` of their creation date, so that
    /// not even a list by `updated_at` shows that they are new. Else it is the
    /// present.
    pub silent_inserts: bool,
}

impl Drift {
    pub(crate) fn is_off(&self) -> bool {
        [self.orders, self.customers, self.products]
            .iter()
            .all(|drift| drift.arrive_every + drift.edit_every + drift.delete_every == 0)
    }
}
