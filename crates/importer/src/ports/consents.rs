//! Merchants' consents to the app: those that return through a browser, each valid once, and
//! received tokens that are not finished yet.
//!
//! Tokens come by a consent or by a delivery, and are given once. A delivery has to be confirmed
//! within a second while finding out whose tokens it brought takes requests that may have to wait.
//! So the tokens are stored as they came, and settled afterwards, by any process.

use async_trait::async_trait;
use domain::contact::EmailAddress;
use domain::failure::Failure;
use jiff::Timestamp;
use secrecy::SecretString;

use super::connections::{ConnectionId, Tokens};

/// A consent that has come back, by hashes: neither the state nor the code is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Returned {
    pub state: [u8; 32],
    pub code: [u8; 32],
    pub expires_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Use {
    /// It was not used before: it is valid.
    First,
    /// The same state came with the same code, as when a page is loaded twice; with what was
    /// shown the first time, once that is known.
    Repeated(Option<String>),
    /// The state came with another code.
    Replayed,
}

#[async_trait]
pub trait Consents: Send + Sync {
    /// Of several calls with one state exactly one is [`Use::First`].
    async fn use_once(&self, returned: &Returned) -> Result<Use, Failure>;

    /// Notes what is shown for it. May be repeated.
    async fn finish(&self, state: &[u8; 32], outcome: &str) -> Result<(), Failure>;
}

/// Why a consent brought no tokens.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RedeemError {
    /// It was used before, has expired or was never given out.
    #[error("the platform refused the code as used, expired or unknown")]
    CodeRefused,
    /// The operator must act: the app's keys or its redirect address are wrong.
    #[error("the platform refused the app: {code}")]
    AppRefused { code: &'static str },
    #[error("no tokens received: {reason}")]
    NoAnswer { reason: String },
}

/// Whose an access token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShopAccount {
    /// The platform's number of the shop.
    pub salla_id: i64,
    /// Of the person who installed the app, where the platform names one.
    pub email: Option<EmailAddress>,
}

/// The accounts host of the platform.
#[async_trait]
pub trait Accounts: Send + Sync {
    /// Where the merchant's browser goes to consent; it comes back with `state`.
    fn consent_address(&self, state: &str) -> String;

    /// Redeems the code of a consent, which works once: it is presented once and never again.
    async fn redeem(&self, code: &SecretString) -> Result<Tokens, RedeemError>;

    /// The shop that this access token opens.
    async fn shop_of(&self, access_token: &SecretString) -> Result<ShopAccount, Failure>;
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    pub connection: ConnectionId,
    /// The platform's number of the shop that the delivery names; a consent names none.
    pub named: Option<i64>,
    /// When the merchant authorized the app, as the delivery says.
    pub authorized_at: Option<Timestamp>,
    pub received_at: Timestamp,
}

#[async_trait]
pub trait Arrivals: Send + Sync {
    /// Durable when it returns. Says whether the tokens are still to be settled: a delivery
    /// that comes again is known by its tokens.
    async fn record(&self, arrival: &Arrival) -> Result<bool, Failure>;

    /// Those that are not finished, oldest first; with `claimed_only` without those of unclaimed
    /// shops.
    async fn unsettled(&self, limit: u32, claimed_only: bool) -> Result<Vec<Arrival>, Failure>;

    /// Overwrites tokens that came before `before` and were never settled, and says of which
    /// shops those are.
    async fn forget(&self, before: Timestamp) -> Result<Vec<Option<i64>>, Failure>;

    /// Notes what became of it, under a stable name. May be repeated.
    async fn settle(&self, connection: ConnectionId, outcome: &'static str) -> Result<(), Failure>;
}
