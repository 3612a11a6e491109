//! Merchants who have signed in, and what the platform says of those who come from its dashboard.
//! Only hashes of what browsers carry are stored.

use async_trait::async_trait;
use domain::failure::Failure;
use domain::shop::MerchantId;
use jiff::Timestamp;
use secrecy::SecretString;
use uuid::Uuid;

domain::names! {
    /// How a browser carries the secret of its session.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Carrier {
        /// In memory, where no cookie arrives: inside a frame of another site.
        Bearer = "bearer",
        Cookie = "cookie",
    }
}

domain::names! {
    /// What a merchant has shown to be let in.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum OpenedBy {
        /// A token of the platform's dashboard.
        Embedded = "embedded",
        /// A consent of this browser.
        Consent = "consent",
        /// A link that the app's backend gave.
        Link = "link",
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSession {
    /// By the platform's number: the shop may not be known here yet.
    pub salla_id: i64,
    pub hash: [u8; 32],
    pub carrier: Carrier,
    pub opened_by: OpenedBy,
    /// The platform's number of the person, where it has said so.
    pub person: Option<i64>,
    pub expires_at: Timestamp,
    /// Rotating it never makes it last longer than this.
    pub ends_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    pub id: Uuid,
    pub salla_id: i64,
    /// The shop, once it is known here.
    pub merchant: Option<MerchantId>,
    pub carrier: Carrier,
    pub opened_by: String,
    pub created_at: Timestamp,
    pub rotated_at: Timestamp,
    pub expires_at: Timestamp,
    pub ends_at: Timestamp,
    pub revoked_at: Option<Timestamp>,
}

/// What is known of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FoundSession {
    /// It is the present one.
    Present(Session),
    /// It is the one before the last rotation.
    Former(Session),
}

#[async_trait]
pub trait Sessions: Send + Sync {
    async fn open(&self, new: &NewSession) -> Result<Session, Failure>;

    /// The session with this secret, if it has neither expired nor been revoked.
    async fn find(&self, hash: &[u8; 32]) -> Result<Option<FoundSession>, Failure>;

    /// Replaces the secret `from`. Of several calls with one `from` exactly one succeeds.
    async fn rotate(
        &self,
        id: Uuid,
        from: &[u8; 32],
        to: &[u8; 32],
        expires_at: Timestamp,
    ) -> Result<bool, Failure>;

    /// Says whether there was such a session that counted.
    async fn revoke(&self, id: Uuid) -> Result<bool, Failure>;

    /// Ends all of a shop, and says how many those were.
    async fn revoke_all(&self, salla_id: i64) -> Result<u64, Failure>;

    /// Those that count, the latest first.
    async fn list(&self, salla_id: Option<i64>) -> Result<Vec<Session>, Failure>;

    /// Deletes those that ended before `before`.
    async fn clear(&self, before: Timestamp) -> Result<(), Failure>;
}

/// Who looks at the page, as the platform says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Introspected {
    /// The platform's number of the shop.
    pub merchant: i64,
    pub person: Option<i64>,
    /// When the token ends.
    pub expires_at: Timestamp,
}

/// The caller is refused in every case.
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
