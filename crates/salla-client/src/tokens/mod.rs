//! The access token of a shop, kept valid.
//!
//! Refresh tokens are single-use: presenting one again after it was used disconnects the shop until
//! its merchant reinstalls the app. So a refresh happens early, or after a 401 that says the token
//! is bad, and never because of a scope; one at a time in this process and, by
//! [`Connections::begin_refresh`], across processes; and the new pair is stored before anyone uses
//! it. The caller may be dropped meanwhile, and even the end of the process waits for the refresh.
//!
//! Where no response came, the old access token serves until its 401. Only then, when the shop
//! would be lost anyway, is the refresh token presented one last time. What is known to be
//! used is never presented again. docs/decisions/0005-tokens.md has the whole rule.
//!
//! [`Connections::begin_refresh`]: importer::ports::connections::Connections::begin_refresh

mod cache;
mod keeper;

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, LazyLock};

use domain::failure::{Disconnection, Failure};
use importer::ports::connections::{Connection, ConnectionId};
use secrecy::SecretString;
use tokio::sync::watch;
use uuid::Uuid;

pub use keeper::{KeeperSettings, TokenKeeper};

/// Where requests get their access token from.
#[derive(Clone, Debug)]
pub enum TokenSource {
    /// A token that is used until it ends.
    Fixed(SecretString),
    /// The same, where a refresh token was given and is left alone on purpose.
    Unrefreshed(SecretString),
    Kept(Arc<TokenKeeper>),
}

/// An access token, and which one it is.
#[derive(Clone, Debug)]
pub struct AccessToken {
    pub secret: SecretString,
    connection: ConnectionId,
    version: i64,
}

impl AccessToken {
    fn of(connection: &Connection) -> Self {
        Self {
            secret: connection.tokens.access.clone(),
            connection: connection.id,
            version: connection.version,
        }
    }

    /// Whether the connection holds other tokens, or another connection took its place.
    fn is_older_than(&self, connection: &Connection) -> bool {
        connection.id != self.connection || connection.version > self.version
    }
}

/// Which of the shop's tokens Salla has taken: all up to a version.
#[derive(Clone, Debug)]
pub struct TokensServed(Arc<AtomicI64>);

impl Default for TokensServed {
    fn default() -> Self {
        Self(Arc::new(AtomicI64::new(i64::MIN)))
    }
}

impl TokensServed {
    pub(crate) fn note(&self, token: &AccessToken) {
        self.0.fetch_max(token.version, Ordering::Relaxed);
    }

    pub(crate) fn has(&self, token: &AccessToken) -> bool {
        self.0.load(Ordering::Relaxed) >= token.version
    }
}

impl TokenSource {
    /// The token to send now.
    pub async fn current(&self) -> Result<AccessToken, Failure> {
        match (self.cached(), self) {
            (Some(token), _) => Ok(token),
            (None, Self::Kept(keeper)) => keeper.current().await,
            (None, Self::Fixed(_)) => Err(Disconnection::TokenRejected.into()),
            (None, Self::Unrefreshed(_)) => Err(Disconnection::NotRefreshed.into()),
        }
    }

    /// The token to send now, where nothing has to be waited for.
    pub fn cached(&self) -> Option<AccessToken> {
        match self {
            Self::Fixed(secret) | Self::Unrefreshed(secret) => Some(AccessToken {
                secret: secret.clone(),
                connection: ConnectionId(Uuid::nil()),
                version: 0,
            }),
            Self::Kept(keeper) => keeper.cached(),
        }
    }

    /// Salla answered that this token is bad. Gets a better one, or says why there is
    /// none.
    pub async fn rejected(&self, token: &AccessToken) -> Result<(), Failure> {
        match self {
            Self::Fixed(_) => Err(Disconnection::TokenRejected.into()),
            Self::Unrefreshed(_) => Err(Disconnection::NotRefreshed.into()),
            Self::Kept(keeper) => keeper.rejected(token).await,
        }
    }

    /// How many refreshes this process has made.
    pub fn refreshes(&self) -> u64 {
        match self {
            Self::Fixed(_) | Self::Unrefreshed(_) => 0,
            Self::Kept(keeper) => keeper.refreshes(),
        }
    }
}

/// Of the whole process, because that is what ends.
static REFRESHES: LazyLock<watch::Sender<usize>> = LazyLock::new(|| watch::Sender::new(0));

/// A refresh from the decision to present the token until its response is there, and a new
/// pair until it is stored. A refresh token is spent as soon as it is presented: a process that
/// ends before the new pair is stored loses the shop's connection, so it waits for these.
struct RefreshGuard(());

impl RefreshGuard {
    fn begin() -> Self {
        REFRESHES.send_modify(|refreshes| *refreshes += 1);
        Self(())
    }
}

impl Drop for RefreshGuard {
    fn drop(&mut self) {
        REFRESHES.send_modify(|refreshes| *refreshes -= 1);
    }
}

/// Waits until no refresh is in progress in this process.
pub async fn wait_for_refreshes() {
    let mut refreshes = REFRESHES.subscribe();
    // The sender is never dropped.
    let _ = refreshes.wait_for(|refreshes| *refreshes == 0).await;
}
