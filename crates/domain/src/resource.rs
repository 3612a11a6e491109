//! The kinds of record an import fetches.

use serde::{Deserialize, Serialize};

/// A resource of the Salla API. Salla's ids are unique only within one resource
/// of one shop (docs/salla-api.md#ids).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resource {
    Orders,
    Customers,
    Products,
    Categories,
    OrderStatuses,
}

impl Resource {
    pub const ALL: [Self; 5] = [
        Self::Orders,
        Self::Customers,
        Self::Products,
        Self::Categories,
        Self::OrderStatuses,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Orders => "orders",
            Self::Customers => "customers",
            Self::Products => "products",
            Self::Categories => "categories",
            Self::OrderStatuses => "order_statuses",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|r| r.as_str() == text)
    }

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

impl std::fmt::Display for Resource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
