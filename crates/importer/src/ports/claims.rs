//! Which of the app's accounts a shop belongs to, and what says so.
//!
//! Claims and tokens arrive in any order: a shop may be claimed before it is connected.

use async_trait::async_trait;
use domain::failure::Failure;
use domain::shop::MerchantId;
use jiff::Timestamp;

/// The app's own name of its customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account(String);

impl Account {
    pub const MAX_BYTES: usize = 200;

    /// `None`: it is empty, too long, or holds what cannot be read.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        let fits = (1..=Self::MAX_BYTES).contains(&text.len());
        (fits && !text.contains(char::is_control)).then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

domain::names! {
    /// What brought a claim.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum ClaimedBy {
        /// The platform has named the merchant who opened the page inside its dashboard.
        Embedded = "embedded",
        /// The merchant has consented in a browser.
        Consent = "consent",
        /// A one-time code.
        Code = "code",
        /// A link that the app's backend gave.
        Link = "link",
    }
}

#[derive(Clone, Debug)]
pub struct NewClaim {
    /// The platform's number of the shop.
    pub salla_id: i64,
    /// `None`: the merchant has shown up, and whose customer that is will be known later.
    pub account: Option<Account>,
    pub depth: Option<SyncDepth>,
    pub by: ClaimedBy,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    pub salla_id: i64,
    pub account: Option<String>,
    /// What the merchant or the app wishes.
    pub depth: Option<SyncDepth>,
}

/// A shop that belongs to an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountShop {
    pub salla_id: i64,
    /// Once the shop has been connected.
    pub merchant: Option<MerchantId>,
    pub name: Option<String>,
    pub named_at: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// Nothing was known of the shop, or less than now.
    New,
    /// All of it was known.
    Same,
    /// It is another account's, and stays that.
    OtherAccount,
}

/// By its HMAC: the code itself is stored nowhere.
#[derive(Clone, Debug)]
pub struct NewCode {
    pub hmac: [u8; 32],
    pub account: Account,
    pub depth: Option<SyncDepth>,
    pub expires_at: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsedCode {
    Claimed(Claimed),
    Unknown,
    Expired,
    /// Another shop has used it.
    Spent,
}

/// By its hash.
#[derive(Clone, Debug)]
pub struct NewLink {
    pub hash: [u8; 32],
    pub opens: Opens,
    pub depth: Option<SyncDepth>,
    pub expires_at: Timestamp,
}

/// What a link leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opens {
    /// A shop is connected to this account.
    Account(Account),
    /// The page of this shop.
    Shop(i64),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub opens: Opens,
    pub depth: Option<SyncDepth>,
}

#[async_trait]
pub trait Claims: Send + Sync {
    /// May be repeated. A shop that has an account keeps it.
    async fn claim(&self, claim: &NewClaim) -> Result<Claimed, Failure>;

    async fn of_shop(&self, salla_id: i64) -> Result<Option<Claim>, Failure>;

    /// The shops of an account, the latest first.
    async fn of_account(&self, account: &Account) -> Result<Vec<AccountShop>, Failure>;

    async fn add_code(&self, code: &NewCode) -> Result<(), Failure>;

    /// Claims the shop for the account of the code. The shop that has used a code may send it
    /// again; a code that claims nothing is not spent. `depth` goes before the code's own.
    async fn use_code(
        &self,
        hmac: &[u8; 32],
        salla_id: i64,
        depth: Option<SyncDepth>,
    ) -> Result<UsedCode, Failure>;

    async fn add_link(&self, link: &NewLink) -> Result<(), Failure>;

    /// Whether the link counts now, without using it.
    async fn has_link(&self, hash: &[u8; 32]) -> Result<bool, Failure>;

    /// Of several calls with one link exactly one gets it. `state` is the hash of the state of
    /// the consent that it begins.
    async fn use_link(
        &self,
        hash: &[u8; 32],
        state: Option<&[u8; 32]>,
    ) -> Result<Option<Link>, Failure>;

    /// The link that began the consent with this state.
    async fn link_of_state(&self, state: &[u8; 32]) -> Result<Option<Link>, Failure>;

    /// Deletes links that are over since `links`, and codes that are over since `codes`.
    async fn clear(&self, links: Timestamp, codes: Timestamp) -> Result<(), Failure>;
}

/// How many months of orders a merchant may want.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncDepth {
    Months12,
    Months24,
}

impl SyncDepth {
    pub fn months(self) -> u16 {
        match self {
            Self::Months12 => 12,
            Self::Months24 => 24,
        }
    }

    pub fn of_months(months: u64) -> Option<Self> {
        match months {
            12 => Some(Self::Months12),
            24 => Some(Self::Months24),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_depth_is_12_or_24_months() {
        for depth in [SyncDepth::Months12, SyncDepth::Months24] {
            assert_eq!(SyncDepth::of_months(depth.months().into()), Some(depth));
        }
        for months in [0, 1, 13, 36, u64::MAX] {
            assert_eq!(SyncDepth::of_months(months), None, "{months}");
        }
    }
}
