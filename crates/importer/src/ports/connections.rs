//! A shop's tokens. Refresh tokens are single-use: presenting one twice
//! disconnects the shop until its merchant reinstalls the app (FACTS §2.4), so the
//! intent to use one is committed before the request is sent.

use async_trait::async_trait;
use domain::failure::{Disconnection, Failure};
use domain::shop::MerchantId;
use jiff::Timestamp;
use secrecy::SecretString;
use uuid::Uuid;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionId(pub Uuid);

#[derive(Clone, Debug)]
pub struct Tokens {
    pub access: SecretString,
    pub refresh: Option<SecretString>,
    /// When the access token ends, where Salla said so.
    pub expires_at: Option<Timestamp>,
    pub scope: Option<String>,
}

#[derive(Clone, Debug)]
pub struct Connection {
    pub id: ConnectionId,
    pub merchant: Option<MerchantId>,
    pub tokens: Tokens,
    /// Grows with every change of the tokens.
    pub version: i64,
    pub state: ConnectionState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionState {
    Active,
    /// Somebody has committed to present the refresh token at `since` and has not
    /// reported back. Until its access token ends the connection still serves.
    Refreshing {
        since: Timestamp,
    },
    Disconnected {
        why: Disconnection,
    },
}

/// Leave to present the refresh token of one version of a connection, once.
#[derive(Clone, Debug)]
pub struct RefreshIntent {
    pub connection: ConnectionId,
    pub version: i64,
}

#[derive(Debug)]
pub enum BeginRefresh {
    Granted(RefreshIntent),
    /// The tokens are newer than the caller's: use these.
    Superseded(Box<Connection>),
    /// Another process is refreshing since then; look again shortly. If it never
    /// reports back, the answer was lost.
    InFlight {
        since: Timestamp,
    },
}

/// Tokens at rest, encrypted, shared by all processes.
///
/// All changes compare and swap on `version`, so a late answer never overwrites
/// newer tokens.
#[async_trait]
pub trait Connections: Send + Sync {
    /// The connection that was opened with these very tokens before, with whatever
    /// tokens it holds by now (the given refresh token may long be spent), or a new
    /// one. Tokens are recognised by a fingerprint. When they end is taken from `given`
    /// where it was not known.
    async fn open(&self, given: &Tokens) -> Result<Connection, Failure>;

    /// Says whose connection it is. Other connections of the merchant stay on
    /// record but no longer count as the merchant's current one.
    async fn bind(&self, id: ConnectionId, merchant: MerchantId) -> Result<(), Failure>;

    async fn load(&self, id: ConnectionId) -> Result<Connection, Failure>;

    /// The current connection of a merchant.
    async fn of_merchant(&self, merchant: MerchantId) -> Result<Option<Connection>, Failure>;

    /// Commits the intent to present the refresh token of `version`. At most one
    /// intent per version is ever granted, unless it was abandoned.
    async fn begin_refresh(
        &self,
        id: ConnectionId,
        version: i64,
        now: Timestamp,
    ) -> Result<BeginRefresh, Failure>;

    /// Stores the new pair before anyone uses it. Returns what is stored
    /// afterwards, which is newer than the pair if somebody else was faster.
    async fn complete_refresh(
        &self,
        intent: &RefreshIntent,
        tokens: &Tokens,
    ) -> Result<Connection, Failure>;

    /// Takes the intent back; allowed only when not a byte of the request was sent.
    async fn abandon_refresh(&self, intent: &RefreshIntent) -> Result<(), Failure>;

    /// Parks the connection of this version until new tokens are given.
    async fn disconnect(
        &self,
        id: ConnectionId,
        version: i64,
        why: Disconnection,
    ) -> Result<(), Failure>;
}
