//! The kinds of record an import fetches.

use serde::{Deserialize, Serialize};

crate::names! {
    /// A resource of the Salla API. Salla's ids are unique only within one resource
    /// of one shop (docs/salla-api.md#ids).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum Resource {
        Orders = "orders",
        Customers = "customers",
        Products = "products",
        Categories = "categories",
        OrderStatuses = "order_statuses",
    }
}

impl Resource {
    /// Only orders can be listed by creation day; everything else is imported
    /// whole, whatever the months (decision 8).
    pub fn has_windows(self) -> bool {
        self == Self::Orders
    }

    /// Lists that are read whole but may be longer than Salla shows of them, and have
    /// filters by which they can be read in parts.
    pub fn can_be_sliced(self) -> bool {
        matches!(self, Self::Customers | Self::Products)
    }
}
