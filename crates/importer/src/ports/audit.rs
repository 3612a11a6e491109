//! The record of who did what that matters for security and privacy.

use std::net::IpAddr;

use async_trait::async_trait;
use domain::failure::Failure;
use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

domain::names! {
    /// What happened. Its name is stable: it is stored.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Action {
        ShopConnected = "shop_connected",
        ShopUninstalled = "shop_uninstalled",
        ConnectionRefused = "connection_refused",
        /// The stored tokens of a shop were overwritten by hand.
        TokensForgotten = "tokens_forgotten",
        /// This database refreshes tokens that came with a copy of another one.
        TokensAdopted = "tokens_adopted",
        /// Stored tokens rest until they are adopted.
        TokensParked = "tokens_parked",
        /// A refresh token of unknown fate may be presented one last time.
        TokensRetried = "tokens_retried",
        /// Whom e-mails about a shop reach is another one.
        ContactChanged = "contact_changed",
        /// With a code a merchant claims a shop for an account.
        CodeCreated = "code_created",
        /// With a link a browser connects a shop to an account, or signs in.
        LinkCreated = "link_created",
        /// A merchant has shown up, or a shop has got its account.
        ShopClaimed = "shop_claimed",
        /// An account claimed another's shop.
        ClaimRefused = "claim_refused",
        CodeRefused = "code_refused",
        SessionOpened = "session_opened",
        SessionClosed = "session_closed",
        /// A secret came that had been replaced: the session was ended.
        SessionCopied = "session_copied",
        SessionsRevoked = "sessions_revoked",
        /// A page inside the dashboard was opened with a token that the platform does not vouch for.
        SessionRefused = "session_refused",
        TokenCreated = "token_created",
        TokenRevoked = "token_revoked",
        KeyChanged = "key_changed",
        /// A login of the database may do more, or tables show less.
        RolesChanged = "roles_changed",
        /// What is sent to readers of the database's log is another thing.
        PublicationChanged = "publication_changed",
        DataExported = "data_exported",
        DataDeleted = "data_deleted",
    }
}

/// Who did it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A user of the command line.
    Operator,
    /// A token of the API.
    Token(Uuid),
    /// A merchant who has signed in.
    Session(Uuid),
    /// A merchant's browser that has not.
    Browser,
    /// The platform, with a webhook.
    Salla,
    /// The service itself.
    Service,
}

impl std::fmt::Display for Actor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Operator => f.write_str("operator"),
            Self::Token(id) => write!(f, "token {id}"),
            Self::Session(id) => write!(f, "session {id}"),
            Self::Browser => f.write_str("browser"),
            Self::Salla => f.write_str("salla"),
            Self::Service => f.write_str("service"),
        }
    }
}

/// One thing that happened. Holds neither a secret nor personal data beyond an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEvent {
    pub action: Action,
    pub actor: Actor,
    /// The platform's number of the shop that it concerns.
    pub salla_id: Option<i64>,
    pub address: Option<IpAddr>,
    pub detail: Option<String>,
}

impl AuditEvent {
    pub fn new(action: Action, actor: Actor) -> Self {
        Self {
            action,
            actor,
            salla_id: None,
            address: None,
            detail: None,
        }
    }

    pub fn shop(self, salla_id: i64) -> Self {
        Self {
            salla_id: Some(salla_id),
            ..self
        }
    }

    pub fn from(self, address: Option<IpAddr>) -> Self {
        Self { address, ..self }
    }

    pub fn detail(self, detail: impl Into<String>) -> Self {
        Self {
            detail: Some(detail.into()),
            ..self
        }
    }
}

/// As it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditEntry {
    pub id: Uuid,
    pub happened_at: Timestamp,
    pub action: String,
    pub actor: String,
    pub salla_id: Option<i64>,
    pub address: Option<String>,
    pub detail: Option<String>,
}

#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    pub salla_id: Option<i64>,
    pub action: Option<String>,
    pub since: Option<Timestamp>,
    pub limit: u32,
}

#[async_trait]
pub trait Audit: Send + Sync {
    /// Adds an entry; nothing changes one.
    async fn record(&self, event: &AuditEvent) -> Result<(), Failure>;

    /// The latest first.
    async fn list(&self, filter: &AuditFilter) -> Result<Vec<AuditEntry>, Failure>;

    /// Deletes entries from before `before`.
    async fn clear(&self, before: Timestamp) -> Result<(), Failure>;
}
