//! Holds the tokens of one connection in memory and decides when to refresh them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::failure::{Disconnection, Failure};
use importer::ports::clock::Clock;
use importer::ports::connections::{
    Connection, ConnectionId, ConnectionState, Connections, Presentation, RefreshIntent, Tokens,
};

use tracing::Instrument as _;

use super::AccessToken;
use super::memory::Memory;
use super::refresh::{Renewal, Replacement};
use crate::oauth::{AppCredentials, OAuth};

#[derive(Clone)]
pub struct KeeperSettings {
    pub connections: Arc<dyn Connections>,
    pub connection: ConnectionId,
    pub oauth: OAuth,
    /// Without them nothing can be refreshed.
    pub app: Option<AppCredentials>,
    pub clock: Arc<dyn Clock>,
}

/// Keeps the access token of one connection valid; see the [module](super).
pub struct TokenKeeper {
    pub(super) settings: KeeperSettings,
    memory: Mutex<Memory>,
    /// Whoever renews holds this.
    turn: tokio::sync::Mutex<()>,
    refreshes: AtomicU64,
}

impl std::fmt::Debug for TokenKeeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("TokenKeeper")
            .field(&self.settings.connection)
            .finish()
    }
}

impl TokenKeeper {
    pub fn new(settings: KeeperSettings) -> Arc<Self> {
        Arc::new(Self {
            settings,
            memory: Mutex::default(),
            turn: tokio::sync::Mutex::new(()),
            refreshes: AtomicU64::new(0),
        })
    }

    pub fn refreshes(&self) -> u64 {
        self.refreshes.load(Ordering::Relaxed)
    }

    /// The token to send now, renewed early where that is possible.
    pub async fn current(self: &Arc<Self>) -> Result<AccessToken, Failure> {
        match self.at_hand() {
            Some(token) => Ok(token),
            None => {
                self.detached(|keeper| async move { keeper.look_after().await })
                    .await
            }
        }
    }

    /// Salla answered 401 and meant the token. Afterwards [`Self::current`] gives
    /// another one.
    pub async fn rejected(self: &Arc<Self>, token: &AccessToken) -> Result<(), Failure> {
        let token = token.clone();
        self.detached(move |keeper| async move { keeper.replace(&token).await })
            .await
    }

    /// Runs `work` to its end even if the caller goes away: a refresh that was begun
    /// must be finished and stored.
    async fn detached<T, F>(
        self: &Arc<Self>,
        work: impl FnOnce(Arc<Self>) -> F,
    ) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Failure>> + Send + 'static,
    {
        let (keeper, work) = (self.clone(), work(self.clone()));
        let to_the_end = async move {
            let result = work.await;
            if keeper.memory().begins_storing() {
                tokio::spawn(async move { keeper.go_on_storing().await }.in_current_span());
            }
            result
        };
        tokio::spawn(to_the_end.in_current_span())
            .await
            .map_err(|error| Failure::Bug {
                what: format!("renewing the access token did not end properly: {error}"),
            })?
    }

    /// The token in memory, unless something must be done first.
    pub(super) fn at_hand(&self) -> Option<AccessToken> {
        let memory = self.memory();
        let connection = memory.connection()?;
        let renew = self.can_refresh(connection) && memory.should_refresh(&*self.settings.clock);
        // A parked connection is looked up again each time: the merchant may be back.
        usable(connection).ok().filter(|_| !renew)
    }

    pub(super) fn can_refresh(&self, connection: &Connection) -> bool {
        self.settings.app.is_some() && connection.tokens.refresh.is_some()
    }

    async fn look_after(&self) -> Result<AccessToken, Failure> {
        let _turn = self.turn.lock().await;
        if let Some(token) = self.at_hand() {
            return Ok(token);
        }
        let connection = self.reload().await?;
        let token = usable(&connection)?;
        if self.at_hand().is_some() {
            return Ok(token);
        }
        let refreshed = self.refresh(&connection, Presentation::Early).await;
        let now = self.settings.clock.monotonic();
        self.memory().postpone_early_refresh(now);
        match refreshed {
            Ok(Renewal::Renewed(newer)) => usable(&newer),
            // The old token still serves; whatever is wrong may be over by the next try.
            Ok(Renewal::Lost | Renewal::InFlight | Renewal::TooSoon | Renewal::Behind) => Ok(token),
            Ok(Renewal::Later(failure)) | Err(failure @ Failure::Database { .. }) => {
                tracing::warn!(
                    %failure, merchant = connection.merchant.map(|m| m.to_string()),
                    "the access token was not refreshed early and still serves; trying again soon"
                );
                Ok(token)
            }
            Err(failure) => Err(failure),
        }
    }

    /// Gets another token than this one.
    async fn replace(&self, rejected: &AccessToken) -> Result<(), Failure> {
        let _turn = self.turn.lock().await;
        if self.memory().has_replaced(rejected) {
            return Ok(());
        }
        let connection = self.reload().await?;
        usable(&connection)?;
        if rejected.is_older_than(&connection) {
            return Ok(());
        }
        if !self.can_refresh(&connection) {
            return self
                .give_up(&connection, Disconnection::TokenRejected)
                .await;
        }
        match self.refresh_now(connection).await? {
            Replacement::Newer => Ok(()),
            Replacement::Later(failure) => Err(failure),
            Replacement::Lost(connection) => {
                self.give_up(&connection, Disconnection::RefreshLost).await
            }
        }
    }

    async fn give_up(&self, connection: &Connection, why: Disconnection) -> Result<(), Failure> {
        self.park(connection, why).await.map(drop)
    }

    /// Gives the connection up, unless somebody has brought newer tokens meanwhile.
    pub(super) async fn park(
        &self,
        connection: &Connection,
        why: Disconnection,
    ) -> Result<Connection, Failure> {
        let connections = &self.settings.connections;
        connections
            .disconnect(connection.id, connection.version, why)
            .await?;
        let stored = connections.load(connection.id).await?;
        self.memory().remember(stored.clone())?;
        if AccessToken::of(connection).is_older_than(&stored) && usable(&stored).is_ok() {
            return Ok(stored);
        }
        tracing::warn!(%why, "the connection to the shop is parked");
        Err(why.into())
    }

    pub(super) async fn reload(&self) -> Result<Connection, Failure> {
        self.store_what_is_unstored().await?;
        let connections = &self.settings.connections;
        let mut connection = connections.load(self.settings.connection).await?;
        let newer = self.memory().newer_than(&connection);
        if let Some(known) = newer {
            tracing::error!(
                stored = connection.version,
                known = known.version,
                merchant = known.merchant.map(|m| m.to_string()),
                "the database has gone back to older tokens of the shop; the newer ones, which \
                 this process knows, are stored again"
            );
            connection = connections.restore(&known, connection.version).await?;
        }
        self.memory().remember(connection.clone())?;
        Ok(connection)
    }

    pub(super) fn unstored(&self) -> Option<(RefreshIntent, Tokens)> {
        self.memory().unstored()
    }

    async fn store_what_is_unstored(&self) -> Result<(), Failure> {
        match self.unstored() {
            Some((intent, tokens)) => self.store(&intent, &tokens).await.map(drop),
            None => Ok(()),
        }
    }

    pub(super) fn received(&self, intent: RefreshIntent, tokens: Tokens) {
        self.refreshes.fetch_add(1, Ordering::Relaxed);
        self.memory().received(intent, tokens);
    }

    /// Stores a new pair; only then is it remembered for use.
    pub(super) async fn store(
        &self,
        intent: &RefreshIntent,
        tokens: &Tokens,
    ) -> Result<Connection, Failure> {
        let connections = &self.settings.connections;
        let stored = connections.complete_refresh(intent, tokens).await?;
        self.memory().stored(stored.clone(), &*self.settings.clock);
        Ok(stored)
    }

    pub(super) fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that is being refreshed elsewhere still serves (see the port).
fn usable(connection: &Connection) -> Result<AccessToken, Failure> {
    match connection.state {
        ConnectionState::Active | ConnectionState::Refreshing(_) => Ok(AccessToken::of(connection)),
        ConnectionState::Disconnected { why } => Err(why.into()),
    }
}
