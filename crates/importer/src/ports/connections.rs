//! A shop's tokens. Refresh tokens are single-use: presenting one again after it was used
//! disconnects the shop until its merchant reinstalls the app, so the intent to use one is
//! committed before the request is sent.

use std::time::Duration;

use async_trait::async_trait;
use domain::connection_change::Tags;
use domain::failure::{Disconnection, Failure};
use domain::shop::{MerchantId, ShopInfo};
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
    /// Salla's id of the shop that the tokens open, once Salla has said.
    pub salla_id: Option<i64>,
    pub tokens: Tokens,
    /// Grows with every change of the tokens.
    pub version: i64,
    pub state: ConnectionState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionState {
    Active,
    /// The refresh token may have been presented, and nothing came of it yet. Until Salla
    /// refuses its access token the connection still serves.
    Refreshing(Presented),
    Disconnected {
        why: Disconnection,
    },
}

/// What is known of a refresh token that was or is being presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Presented {
    /// When a process last committed to present it.
    pub since: Timestamp,
    /// How often that happened.
    pub times: u8,
    /// The one that presented it has reported that no response came. If not, the response may still
    /// be under way, or the one that presented it has died.
    pub is_lost: bool,
}

/// Why a refresh token must be presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presentation {
    /// The access token ends soon. Granted at most once in [`BETWEEN_EARLY_REFRESHES`].
    Early,
    /// Salla refuses the access token.
    Needed,
    /// Salla refuses the access token, and the fate of the first presentation is unknown:
    /// the shop would be lost anyway. Granted only if nothing has happened since `seen`.
    Last { seen: Option<Presented> },
}

/// So often a refresh token is presented at most: whatever becomes of the last time, the connection
/// then works again or is disconnected.
pub const MAX_PRESENTATIONS: u8 = 2;

/// No claim about a token's lifetime leads to more refreshes than this.
pub const BETWEEN_EARLY_REFRESHES: Duration = Duration::from_secs(60);

/// The right to present the refresh token of one version of a connection, once.
#[derive(Clone, Debug)]
pub struct RefreshIntent {
    /// Names this intent: only the one that holds it takes it back.
    pub id: Uuid,
    pub connection: ConnectionId,
    pub version: i64,
    /// Which presentation of the token it is, from 1.
    pub times: u8,
}

#[derive(Debug)]
pub enum BeginRefresh {
    Granted(RefreshIntent),
    /// The tokens are newer than the caller's: use these.
    Superseded(Box<Connection>),
    /// Another process has presented the token, or is about to.
    InFlight(Presented),
    /// An early refresh was tried a moment ago.
    TooSoon,
    /// The tokens belong to another database, which may have refreshed them since.
    NotAdopted,
    /// The row holds an older version than the caller's: the database has gone back.
    Behind {
        stored: i64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// It is the merchant's current connection.
    Current,
    /// The merchant has a newer one, which serves.
    Older,
}

/// Tokens at rest, encrypted, shared by all processes.
///
/// All changes compare and swap on `version`, so a late response never overwrites newer tokens.
#[async_trait]
pub trait Connections: Send + Sync {
    /// The connection that was opened with these very tokens before, or that ever held this
    /// refresh token, with whatever tokens it holds by now (the given refresh token may long
    /// be spent), or a new one. Tokens are recognised by their hashes. When they end is taken from `given`
    /// where it was not known.
    async fn open(&self, given: &Tokens) -> Result<Connection, Failure>;

    /// Stores what to send with each change of the connection. Tokens of another shop than the one
    /// `named` keep theirs. May be repeated.
    async fn tag(&self, id: ConnectionId, named: Option<i64>, tags: &Tags) -> Result<(), Failure>;

    /// Binds the connection to its shop. Other connections of the merchant stay on record but are
    /// no longer current. A connection that already belongs to another shop is disconnected as
    /// [`Disconnection::OtherShop`], which is the error then; so is one whose row names two
    /// different shops.
    ///
    /// The current one stays if it serves and is newer: by when they were authorized, where
    /// Salla has said so of both, and otherwise by when they were first stored.
    async fn bind(
        &self,
        id: ConnectionId,
        merchant: MerchantId,
        authorized_at: Option<Timestamp>,
    ) -> Result<Bound, Failure>;

    /// The connection, or the one that took its place as its shop's and serves: newer tokens
    /// end every question about older ones.
    async fn load(&self, id: ConnectionId) -> Result<Connection, Failure>;

    /// The current connection of a merchant.
    async fn of_merchant(&self, merchant: MerchantId) -> Result<Option<Connection>, Failure>;

    /// Commits the intent to present the refresh token of `version`. Of each version at most
    /// one intent is ever granted, and one last one after that; those that were abandoned do
    /// not count.
    async fn begin_refresh(
        &self,
        id: ConnectionId,
        version: i64,
        now: Timestamp,
        presentation: Presentation,
    ) -> Result<BeginRefresh, Failure>;

    /// Stores the new pair before anyone uses it, also over a version older than the intent's.
    /// Returns what is stored afterwards, which is newer than the pair if another process was
    /// faster.
    async fn complete_refresh(
        &self,
        intent: &RefreshIntent,
        tokens: &Tokens,
    ) -> Result<Connection, Failure>;

    /// Writes tokens again that a row has lost which now holds the older version `stored`.
    /// Returns what is stored afterwards.
    async fn restore(&self, known: &Connection, stored: i64) -> Result<Connection, Failure>;

    /// Takes the intent back; allowed only when the token was surely not used.
    async fn abandon_refresh(&self, intent: &RefreshIntent) -> Result<(), Failure>;

    /// Records that no response came: no process needs to wait for it any more.
    async fn lose_refresh(&self, intent: &RefreshIntent) -> Result<(), Failure>;

    /// Disconnects the connection of this version until new tokens are given.
    async fn disconnect(
        &self,
        id: ConnectionId,
        version: i64,
        why: Disconnection,
    ) -> Result<(), Failure>;
}

/// Whose tokens these turned out to be.
#[derive(Clone, Debug)]
pub struct Introduced {
    pub merchant: MerchantId,
    pub shop: ShopInfo,
    /// Newer tokens of the shop are stored, and those serve.
    pub has_newer: bool,
    /// Other tokens of the shop served until now.
    pub was_connected: bool,
}

/// Why a shop was not connected with its tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotConnected {
    Failure(Failure),
    /// By the platform's numbers: the tokens open another shop than they should.
    OtherShop {
        named: i64,
        opened: i64,
    },
}

impl From<Failure> for NotConnected {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

#[async_trait]
pub trait Connector: Send + Sync {
    /// Asks the platform twice, as its accounts host and as the shop itself, whose the stored
    /// tokens of a connection are, makes the shop known and binds the connection to it. `named`
    /// is the shop that they should open. May be repeated.
    async fn connect(
        &self,
        connection: ConnectionId,
        named: Option<i64>,
        authorized_at: Option<Timestamp>,
    ) -> Result<Introduced, NotConnected>;
}
