//! How often a caller may do what is worth trying many times.

use std::time::Duration;

use async_trait::async_trait;
use domain::failure::Failure;

/// One limit. `burst` at once, and then as many in each `per`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Stable: it is stored.
    pub name: &'static str,
    pub burst: u32,
    pub per: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    Granted,
    /// The limit is used up; by then there is room for one.
    Exhausted {
        retry_after: Duration,
    },
}

/// Counted for all processes together, because a caller comes to any of them.
#[async_trait]
pub trait RateLimits: Send + Sync {
    /// Takes one of what `caller` has left by this rule. What is refused costs nothing.
    async fn take(&self, rule: Rule, caller: &[u8; 32]) -> Result<Taken, Failure>;

    /// Deletes what says nothing any more.
    async fn clear(&self) -> Result<(), Failure>;
}
