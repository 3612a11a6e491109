//! Holds the tokens of one connection in memory, decides when to refresh them, and does so,
//! from the committed intent to the stored pair.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::failure::{Disconnection, Failure};
use importer::metrics::{self, RefreshResult};
use importer::ports::clock::Clock;
use importer::ports::connections::{
    BeginRefresh, Connection, ConnectionId, ConnectionState, Connections, MAX_PRESENTATIONS,
    Presentation, Presented, RefreshIntent, Tokens,
};
use secrecy::ExposeSecret as _;
use tracing::Instrument as _;

use super::cache::ConnectionCache;
use super::{AccessToken, RefreshGuard};
use crate::oauth::{AppCredentials, OAuth, TokenError};

/// Another process that has not reported back after this time, since we know of its intent, never
/// will: it waits half a minute for the response, and then stores the pair.
const OTHER_REFRESH_TIMEOUT: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// The last presentation keeps so far from the one before: an outage that swallowed one
/// response would swallow the next.
const BEFORE_THE_LAST: Duration = Duration::from_secs(30);

/// Tries to store a new pair before the caller gets the error.
const STORE_ATTEMPTS: u32 = 5;
/// Between further ones.
const BETWEEN_STORES: Duration = Duration::from_secs(30);

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
    settings: KeeperSettings,
    cache: Mutex<ConnectionCache>,
    /// Held during a refresh.
    turn: tokio::sync::Mutex<()>,
    refreshes: AtomicU64,
}

/// What came of a refresh.
enum RefreshOutcome {
    Refreshed(Box<Connection>),
    /// The token was surely not used; another time it may work.
    Later(Failure),
    /// Another process presents it, or has.
    InFlight,
    /// An early refresh was tried a moment ago.
    TooSoon,
    /// The database has gone back since the connection was loaded.
    Behind,
    /// No response came, so the token may be spent.
    Lost,
}

/// What comes in place of a token that Salla refuses.
enum Replacement {
    Newer,
    Later(Failure),
    /// Nothing is left that may be presented.
    Lost(Box<Connection>),
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
            cache: Mutex::default(),
            turn: tokio::sync::Mutex::new(()),
            refreshes: AtomicU64::new(0),
        })
    }

    pub fn refreshes(&self) -> u64 {
        self.refreshes.load(Ordering::Relaxed)
    }

    /// The token to send now, refreshed early where that is possible.
    pub async fn current(self: &Arc<Self>) -> Result<AccessToken, Failure> {
        match self.cached() {
            Some(token) => Ok(token),
            None => {
                self.detached(|keeper| async move { keeper.ensure_fresh().await })
                    .await
            }
        }
    }

    /// Salla responded with 401 and meant the token. Afterwards [`Self::current`] gives another
    /// one.
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
            if keeper.cache().start_background_store() {
                tokio::spawn(async move { keeper.keep_storing().await }.in_current_span());
            }
            result
        };
        tokio::spawn(to_the_end.in_current_span())
            .await
            .map_err(|error| Failure::Bug {
                message: format!("refreshing the access token ended abnormally: {error}"),
            })?
    }

    /// The token in memory, unless something must be done first.
    pub(super) fn cached(&self) -> Option<AccessToken> {
        let cache = self.cache();
        let connection = cache.connection()?;
        let refresh = self.can_refresh(connection) && cache.should_refresh(&*self.settings.clock);
        // A disconnected connection is looked up again each time: the merchant may have
        // reconnected.
        usable(connection).ok().filter(|_| !refresh)
    }

    fn can_refresh(&self, connection: &Connection) -> bool {
        self.settings.app.is_some() && connection.tokens.refresh.is_some()
    }

    async fn ensure_fresh(&self) -> Result<AccessToken, Failure> {
        let _turn = self.turn.lock().await;
        if let Some(token) = self.cached() {
            return Ok(token);
        }
        let connection = self.reload().await?;
        let token = usable(&connection)?;
        if self.cached().is_some() {
            return Ok(token);
        }
        let refreshed = self.refresh(&connection, Presentation::Early).await;
        let now = self.settings.clock.monotonic();
        self.cache().postpone_early_refresh(now);
        match refreshed {
            Ok(RefreshOutcome::Refreshed(newer)) => usable(&newer),
            // The old token still works; the error may be gone by the next try.
            Ok(
                RefreshOutcome::Lost
                | RefreshOutcome::InFlight
                | RefreshOutcome::TooSoon
                | RefreshOutcome::Behind,
            ) => Ok(token),
            Ok(RefreshOutcome::Later(failure)) | Err(failure @ Failure::Database { .. }) => {
                tracing::warn!(
                    %failure, merchant = connection.merchant.map(|m| m.to_string()),
                    "the access token could not be refreshed early and still works; trying again \
                     soon"
                );
                Ok(token)
            }
            Err(failure) => Err(failure),
        }
    }

    /// Gets another token than this one.
    async fn replace(&self, rejected: &AccessToken) -> Result<(), Failure> {
        let _turn = self.turn.lock().await;
        if self.cache().has_replaced(rejected) {
            return Ok(());
        }
        let connection = self.reload().await?;
        usable(&connection)?;
        if rejected.is_older_than(&connection) {
            return Ok(());
        }
        if !self.can_refresh(&connection) {
            return self
                .fail_connection(&connection, Disconnection::TokenRejected)
                .await;
        }
        match self.refresh_now(connection).await? {
            Replacement::Newer => Ok(()),
            Replacement::Later(failure) => Err(failure),
            Replacement::Lost(connection) => {
                self.fail_connection(&connection, Disconnection::RefreshLost)
                    .await
            }
        }
    }

    async fn fail_connection(
        &self,
        connection: &Connection,
        reason: Disconnection,
    ) -> Result<(), Failure> {
        self.disconnect(connection, reason).await.map(drop)
    }

    /// Disconnects the shop, unless newer tokens were stored meanwhile.
    async fn disconnect(
        &self,
        connection: &Connection,
        reason: Disconnection,
    ) -> Result<Connection, Failure> {
        let connections = &self.settings.connections;
        connections
            .disconnect(connection.id, connection.version, reason)
            .await?;
        let stored = connections.load(connection.id).await?;
        self.cache().remember(stored.clone())?;
        if AccessToken::of(connection).is_older_than(&stored) && usable(&stored).is_ok() {
            return Ok(stored);
        }
        tracing::warn!(why = %reason, "the connection to the shop is parked");
        Err(reason.into())
    }

    async fn reload(&self) -> Result<Connection, Failure> {
        self.store_unstored().await?;
        let connections = &self.settings.connections;
        let mut connection = connections.load(self.settings.connection).await?;
        let newer = self.cache().newer_than(&connection);
        if let Some(known) = newer {
            tracing::error!(
                stored = connection.version,
                known = known.version,
                merchant = known.merchant.map(|m| m.to_string()),
                "the database went back to older tokens of the shop; the newer ones, which this \
                 process has, are stored again"
            );
            connection = connections.restore(&known, connection.version).await?;
        }
        self.cache().remember(connection.clone())?;
        Ok(connection)
    }

    fn unstored(&self) -> Option<(RefreshIntent, Tokens)> {
        self.cache().unstored()
    }

    async fn store_unstored(&self) -> Result<(), Failure> {
        match self.unstored() {
            Some((intent, tokens)) => self.store(&intent, &tokens).await.map(drop),
            None => Ok(()),
        }
    }

    fn received(&self, intent: RefreshIntent, tokens: Tokens) {
        self.refreshes.fetch_add(1, Ordering::Relaxed);
        self.cache().received(intent, tokens);
    }

    /// Stores a new pair; only then is it used. Only a failure of the database is a reason to try
    /// again: any other says that there is nothing left to store it in.
    async fn store(&self, intent: &RefreshIntent, tokens: &Tokens) -> Result<Connection, Failure> {
        let connections = &self.settings.connections;
        let stored = connections.complete_refresh(intent, tokens).await;
        match &stored {
            Ok(stored) => self.cache().stored(stored.clone(), &*self.settings.clock),
            Err(Failure::Database { .. }) => {}
            Err(failure) => {
                tracing::info!(%failure, "new tokens have come that cannot be stored any more");
                self.cache().forget_unstored();
            }
        }
        stored
    }

    fn cache(&self) -> MutexGuard<'_, ConnectionCache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known_for(&self, presented: Presented) -> Duration {
        let now = self.settings.clock.monotonic();
        self.cache().known_for(presented, now)
    }

    /// Gets tokens newer than those of `connection`. Errors are final.
    async fn refresh(
        &self,
        connection: &Connection,
        presentation: Presentation,
    ) -> Result<RefreshOutcome, Failure> {
        let settings = &self.settings;
        let _guard = RefreshGuard::begin();
        let now = settings.clock.now();
        let begun = settings
            .connections
            .begin_refresh(connection.id, connection.version, now, presentation)
            .await?;
        match begun {
            BeginRefresh::Granted(intent) => self.present(connection, intent).await,
            BeginRefresh::Superseded(newer) => {
                self.cache().remember((*newer).clone())?;
                Ok(RefreshOutcome::Refreshed(newer))
            }
            BeginRefresh::InFlight(_) => Ok(RefreshOutcome::InFlight),
            BeginRefresh::TooSoon => Ok(RefreshOutcome::TooSoon),
            BeginRefresh::NotAdopted => Ok(RefreshOutcome::Later(Disconnection::NotAdopted.into())),
            BeginRefresh::Behind { .. } => Ok(RefreshOutcome::Behind),
        }
    }

    /// Salla refuses the access token: waits for another process that is at it already, and
    /// presents what may be presented.
    async fn refresh_now(&self, mut connection: Connection) -> Result<Replacement, Failure> {
        let version = connection.version;
        let id = connection.id;
        loop {
            let so_far = self.cache().presented(&connection);
            let outcome = match so_far.times {
                0 => self.refresh(&connection, Presentation::Needed).await?,
                _ if !so_far.is_lost => {
                    self.wait_for_other_process(&connection, so_far.stored)
                        .await?;
                    RefreshOutcome::InFlight
                }
                MAX_PRESENTATIONS.. => return Ok(Replacement::Lost(Box::new(connection))),
                _ => self.present_last_time(&connection, so_far.stored).await?,
            };
            match outcome {
                RefreshOutcome::Refreshed(_) => return Ok(Replacement::Newer),
                RefreshOutcome::Later(failure) => return Ok(Replacement::Later(failure)),
                RefreshOutcome::InFlight
                | RefreshOutcome::TooSoon
                | RefreshOutcome::Behind
                | RefreshOutcome::Lost => {}
            }
            connection = self.reload().await?;
            if (connection.id, connection.version) != (id, version) {
                return Ok(Replacement::Newer);
            }
            if let ConnectionState::Disconnected { why: reason } = connection.state {
                return Err(reason.into());
            }
        }
    }

    /// The shop would be lost anyway. The outage that may have swallowed the first response
    /// is waited for first: nothing is left to present after this.
    async fn present_last_time(
        &self,
        connection: &Connection,
        seen: Option<Presented>,
    ) -> Result<RefreshOutcome, Failure> {
        let settings = &self.settings;
        if let Some(presented) = seen {
            let wait = BEFORE_THE_LAST.saturating_sub(self.known_for(presented));
            settings.clock.sleep(wait).await;
        }
        if let Err(what) = settings.oauth.responds(&connection.tokens.access).await {
            return Ok(RefreshOutcome::Later(Failure::Transient {
                message: format!(
                    "refreshing the access token: Salla's OAuth server is unavailable ({what}); \
                     the refresh token, which may be used up, is presented one last time when it \
                     is back"
                ),
            }));
        }
        self.refresh(connection, Presentation::Last { seen }).await
    }

    /// Presents the refresh token, once.
    async fn present(
        &self,
        connection: &Connection,
        intent: RefreshIntent,
    ) -> Result<RefreshOutcome, Failure> {
        let (Some(app), Some(refresh)) = (&self.settings.app, &connection.tokens.refresh) else {
            self.settings.connections.abandon_refresh(&intent).await?;
            return Ok(RefreshOutcome::Later(Disconnection::TokenRejected.into()));
        };
        let answer = self.settings.oauth.refresh(app, refresh).await;
        metrics::token_refresh(outcome_of(&answer));
        match answer {
            Ok(tokens) => {
                let tokens = completed(tokens, connection);
                self.received(intent.clone(), tokens.clone());
                self.store_with_retries(&intent, &tokens).await
            }
            Err(TokenError::NotSent { what, retry_after }) => {
                self.settings.connections.abandon_refresh(&intent).await?;
                Ok(RefreshOutcome::Later(not_sent(what, retry_after)))
            }
            Err(TokenError::InvalidGrant) => {
                let reason = match intent.times {
                    1 => Disconnection::RefreshRefused,
                    _ => Disconnection::RefreshLost,
                };
                let newer = self.disconnect(connection, reason).await?;
                Ok(RefreshOutcome::Refreshed(Box::new(newer)))
            }
            Err(TokenError::Refused { code }) => {
                self.settings.connections.abandon_refresh(&intent).await?;
                Ok(RefreshOutcome::Later(refused(code)))
            }
            Err(TokenError::Lost { what }) => {
                self.lose(connection, &intent, &what).await;
                Ok(RefreshOutcome::Lost)
            }
        }
    }

    async fn lose(&self, connection: &Connection, intent: &RefreshIntent, what: &str) {
        tracing::error!(
            what,
            times = intent.times,
            merchant = connection.merchant.map(|m| m.to_string()),
            "the response to a token refresh was lost; the old access token is used until Salla \
             refuses it"
        );
        self.cache().remember_loss(intent.version, intent.times);
        // Without this, others find out by waiting.
        if let Err(failure) = self.settings.connections.lose_refresh(intent).await {
            tracing::warn!(%failure, "the lost response could not be recorded");
        }
    }

    /// If the database stays unavailable, the caller gets the error; the pair is kept in memory,
    /// and storing it is retried.
    async fn store_with_retries(
        &self,
        intent: &RefreshIntent,
        tokens: &Tokens,
    ) -> Result<RefreshOutcome, Failure> {
        let mut wait = POLL_INTERVAL;
        let mut outcome = self.store(intent, tokens).await;
        for _ in 1..STORE_ATTEMPTS {
            if !matches!(outcome, Err(Failure::Database { .. })) {
                break;
            }
            self.settings.clock.sleep(wait).await;
            wait *= 2;
            outcome = self.store(intent, tokens).await;
        }
        if let Err(failure @ Failure::Database { .. }) = &outcome {
            tracing::error!(
                critical = true, %failure,
                "new tokens of the shop cannot be stored; this process keeps them and keeps \
                 trying: do not kill it before it has succeeded"
            );
        }
        outcome.map(|stored| RefreshOutcome::Refreshed(Box::new(stored)))
    }

    /// Stores the pair that could not be stored, even after the job that needed it has ended.
    async fn keep_storing(&self) {
        while self.unstored().is_some() {
            self.settings.clock.sleep(BETWEEN_STORES).await;
            // It may be stored by now, and another one wait.
            let Some((intent, tokens)) = self.unstored() else {
                return;
            };
            if self.store(&intent, &tokens).await.is_ok() {
                tracing::info!("the new tokens of the shop are stored");
            }
        }
    }

    /// Waits until the row is no longer as it was `seen`, or until the one that presents the token
    /// must have died.
    async fn wait_for_other_process(
        &self,
        connection: &Connection,
        seen: Option<Presented>,
    ) -> Result<(), Failure> {
        let Some(seen) = seen else { return Ok(()) };
        let settings = &self.settings;
        while self.known_for(seen) < OTHER_REFRESH_TIMEOUT {
            settings.clock.sleep(POLL_INTERVAL).await;
            let stored = settings.connections.load(connection.id).await?;
            let is_same = (stored.id, stored.version) == (connection.id, connection.version);
            if !is_same || stored.state != ConnectionState::Refreshing(seen) {
                return Ok(());
            }
        }
        self.cache().remember_loss(connection.version, seen.times);
        Ok(())
    }
}

/// A connection that is being refreshed elsewhere still serves (see the port).
fn usable(connection: &Connection) -> Result<AccessToken, Failure> {
    match connection.state {
        ConnectionState::Active | ConnectionState::Refreshing(_) => Ok(AccessToken::of(connection)),
        ConnectionState::Disconnected { why: reason } => Err(reason.into()),
    }
}

fn outcome_of(answer: &Result<Tokens, TokenError>) -> RefreshResult {
    match answer {
        Ok(_) => RefreshResult::Renewed,
        Err(TokenError::NotSent { .. }) => RefreshResult::NotSent,
        Err(TokenError::InvalidGrant) => RefreshResult::InvalidGrant,
        Err(TokenError::Refused { .. }) => RefreshResult::Refused,
        Err(TokenError::Lost { .. }) => RefreshResult::Lost,
    }
}

/// The pair as it is stored. The refresh token that was presented is spent, so a response
/// without a new one, or with this one, leaves none.
fn completed(tokens: Tokens, old: &Connection) -> Tokens {
    let spent = old.tokens.refresh.as_ref();
    let refresh = tokens
        .refresh
        .filter(|new| spent.is_none_or(|spent| spent.expose_secret() != new.expose_secret()));
    let merchant = old.merchant.map(|m| m.to_string());
    if refresh.is_none() {
        tracing::warn!(
            merchant,
            "Salla's response to a token refresh has no new refresh token: when the access token \
             expires, the shop must be connected again"
        );
    }
    if tokens.expires_at.is_none() {
        tracing::warn!(
            merchant,
            "Salla's response to a token refresh does not say when the access token expires; it is \
             refreshed when Salla refuses it"
        );
    }
    Tokens {
        refresh,
        scope: tokens.scope.or_else(|| old.tokens.scope.clone()),
        ..tokens
    }
}

fn not_sent(what: &str, retry_after: Option<Duration>) -> Failure {
    match retry_after {
        Some(wait) => Failure::Throttled { wait },
        None => Failure::Transient {
            message: format!("refreshing the access token: {what}"),
        },
    }
}

fn refused(code: &str) -> Failure {
    Failure::Broken {
        message: format!(
            "refreshing the access token: Salla refused with {code}; check SALLA_CLIENT_ID and \
             SALLA_CLIENT_SECRET"
        ),
    }
}
