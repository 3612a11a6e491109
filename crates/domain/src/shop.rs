//! A merchant's Salla shop. ("Store" is avoided: it also means "to persist".)

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Our own identity of a merchant; the first column of every key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MerchantId(pub Uuid);

impl std::fmt::Display for MerchantId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// A shop's subscription, which sets its request budget (docs.salla.dev/421125m0).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShopPlan {
    Basic,
    Plus,
    Pro,
    Special,
    /// A plan unknown to this version; its limit is read from headers.
    Other(String),
}

impl ShopPlan {
    pub fn parse(name: &str) -> Self {
        match name.to_ascii_lowercase().as_str() {
            "basic" => Self::Basic,
            "plus" => Self::Plus,
            "pro" => Self::Pro,
            "special" => Self::Special,
            _ => Self::Other(name.to_owned()),
        }
    }

    pub fn name(&self) -> &str {
        match self {
            Self::Basic => "basic",
            Self::Plus => "plus",
            Self::Pro => "pro",
            Self::Special => "special",
            Self::Other(name) => name,
        }
    }

    /// Requests a minute that Salla documents for the plan. This is only a prior: the headers of
    /// the first response overrule it. `None` where Salla documents no number
    /// (docs/salla-api.md#rate-limits).
    pub fn documented_requests_per_minute(&self) -> Option<u32> {
        match self {
            Self::Plus => Some(120),
            Self::Pro => Some(360),
            Self::Special => Some(720),
            Self::Basic | Self::Other(_) => None,
        }
    }
}

/// What `GET /store/info` says of a shop (docs.salla.dev/5394261e0).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShopInfo {
    /// Salla's id of the shop; unique in `salla_sync.merchants`.
    pub salla_id: i64,
    pub name: String,
    pub plan: ShopPlan,
    /// `demo`, `development` or `live`.
    pub kind: Option<String>,
    /// `active` or `inactive`.
    pub status: Option<String>,
    pub currency: Option<String>,
    pub domain: Option<String>,
}
