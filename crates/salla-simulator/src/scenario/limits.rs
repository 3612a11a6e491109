//! Request budgets as values (docs.salla.dev/421125m0).

use crate::shop::Plan;
use serde::{Deserialize, Serialize};

with_defaults! {
    /// Requests a minute by plan. Salla documents all but the basic plan's.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
    pub struct PlanLimits {
        pub basic: u32 = 60,
        pub plus: u32 = 120,
        pub pro: u32 = 360,
        pub special: u32 = 720,
        pub unlimited: u32 = 1_000_000_000,
    }
}

impl PlanLimits {
    pub(crate) fn per_minute(&self, plan: Plan) -> u32 {
        match plan {
            Plan::Basic => self.basic,
            Plan::Plus => self.plus,
            Plan::Pro => self.pro,
            Plan::Special => self.special,
            Plan::Unlimited => self.unlimited,
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    pub temperament: LimiterKind,
    pub retry_after: RetryAfter,
    pub throttle_body: ThrottleBody,
    pub customers: CustomersLimit,
    /// What another app of the same shop spends of its budget every minute.
    pub other_app_per_minute: u32,
    /// A temporary block for clients that do not listen; none if absent.
    pub block: Option<Block>,
}

/// How the budget of a shop fills and empties.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimiterKind {
    /// N requests in 60 seconds from the first one on; then one request a
    /// second until the 60 seconds are over, as Salla's page words it.
    #[default]
    FixedWindow,
    /// A bucket that holds N and drains N/60 a second, as the name that
    /// Salla's page gives it suggests.
    LeakyBucket,
}

/// What a 429 says about when to come back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryAfter {
    /// The seconds until the budget is full again.
    #[default]
    UntilReset,
    /// The seconds until the next request would be let through.
    UntilNext,
    /// Nothing; integrators have met such responses.
    Absent,
}

/// What a 429 looks like; Salla documents no body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThrottleBody {
    #[default]
    Json,
    Html,
    Empty,
}

with_defaults! {
    /// The additional limit of `/customers*`: by client address, whatever the shop
    /// (change log 2.9.1).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
    pub struct CustomersLimit {
        pub enabled: bool = true,
        pub requests: u32 = 500,
        pub window_seconds: u32 = 600,
    }
}

/// 403 for a while after too many 429s (docs.salla.dev/421123m0).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Block {
    /// This many 429s within one minute bring it about.
    pub after_429s: u32,
    pub seconds: u32,
}
