//! Where merchants consent to the app, and what comes of it.

use async_trait::async_trait;
use domain::contact::EmailAddress;
use domain::failure::Failure;
use secrecy::SecretString;

use super::connections::Tokens;

/// Why a consent brought no tokens.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RedeemError {
    /// It was used before, has expired or was never given out.
    #[error("the platform refused the code as used, expired or unknown")]
    CodeRefused,
    /// The operator must act: the app's keys or its redirect address are wrong.
    #[error("the platform refused the app: {code}")]
    AppRefused { code: &'static str },
    #[error("no tokens came: {reason}")]
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
