//! Who may use the HTTP API, and how often: tokens, tickets that open one stream of events for
//! readers that can send no token, and rate limits for what is worth trying many times.

use std::time::Duration;

use async_trait::async_trait;
use domain::failure::Failure;
use domain::shop::MerchantId;
use jiff::Timestamp;
use uuid::Uuid;

domain::names! {
    /// What a token allows.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
    pub enum ApiScope {
        /// Status, certificates, notifications, and which records were rejected.
        Read = "read",
        /// Start, pause, resume, cancel and restart imports; mark notifications as read.
        Operate = "operate",
        /// The raw text of rejected records, which holds personal data.
        Records = "records",
        /// Hand over the tokens of shops.
        Connect = "connect",
    }
}

/// A token as it is stored: the token itself is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiToken {
    pub id: Uuid,
    pub name: String,
    pub scopes: Vec<ApiScope>,
    /// The only merchant that it sees.
    pub merchant: Option<MerchantId>,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
    pub last_used_at: Option<Timestamp>,
}

#[derive(Clone, Debug)]
pub struct NewApiToken {
    pub name: String,
    pub hash: [u8; 32],
    pub scopes: Vec<ApiScope>,
    pub merchant: Option<MerchantId>,
    pub expires_at: Option<Timestamp>,
}

#[async_trait]
pub trait ApiTokens: Send + Sync {
    async fn create(&self, token: &NewApiToken) -> Result<ApiToken, Failure>;

    /// The latest first; revoked and expired ones too.
    async fn list(&self) -> Result<Vec<ApiToken>, Failure>;

    /// Says whether there is such a token. What was revoked before keeps its time.
    async fn revoke(&self, id: Uuid) -> Result<bool, Failure>;

    /// The token with this hash, if it counts now.
    async fn find(&self, hash: &[u8; 32]) -> Result<Option<ApiToken>, Failure>;
}

#[async_trait]
pub trait EventTickets: Send + Sync {
    /// Stores the hash of a new ticket; what has expired is forgotten.
    async fn issue(
        &self,
        hash: &[u8; 32],
        merchant: MerchantId,
        expires_at: Timestamp,
    ) -> Result<(), Failure>;

    /// Whose import may be followed. Of two callers with one ticket at most one is given it;
    /// both may be refused where the first one's answer was lost.
    async fn redeem(&self, hash: &[u8; 32]) -> Result<Option<MerchantId>, Failure>;
}

/// One limit. `burst` together, and then as many in each `per`.
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
