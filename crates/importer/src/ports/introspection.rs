//! What the platform's dashboard hands to a page inside it, and what the platform says of it.

use async_trait::async_trait;
use jiff::Timestamp;
use secrecy::SecretString;

/// Who looks at the page, as the platform says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Introspected {
    /// The platform's number of the shop.
    pub merchant: i64,
    pub person: Option<i64>,
    /// When the token ends.
    pub expires_at: Timestamp,
}

/// Nobody is let in, whichever it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IntrospectionError {
    /// The token is not one of this app's dashboard pages, or has ended. Every response that is
    /// not a plain success is this.
    #[error("Salla does not vouch for the token: {0}")]
    Refused(&'static str),
    /// It may be a good one.
    #[error("Salla could not be reached to verify the token: {0}")]
    NoAnswer(String),
}

#[async_trait]
pub trait Introspection: Send + Sync {
    /// Whose the token is. May be repeated; the token stays what it is.
    async fn introspect(&self, token: &SecretString) -> Result<Introspected, IntrospectionError>;
}
