//! One refresh, from the committed intent to the stored pair.

use std::time::Duration;

use domain::failure::{Disconnection, Failure};
use importer::metrics::{self, Refresh};
use importer::ports::connections::{
    BeginRefresh, Connection, ConnectionState, MAX_PRESENTATIONS, Presentation, Presented,
    RefreshIntent, Tokens,
};
use secrecy::ExposeSecret as _;

use super::finishing::UnderWay;
use super::keeper::TokenKeeper;
use crate::oauth::TokenError;

/// Another process that has not reported back after so long never will.
const OTHER_TIMEOUT: Duration = Duration::from_secs(60);
/// At least so long by our own clock: the other's may go wrong.
const MIN_OTHER_TIMEOUT: Duration = Duration::from_secs(10);
const BETWEEN_CHECKS: Duration = Duration::from_secs(1);

/// The last presentation keeps so far from the one before: an outage that swallowed one
/// response would swallow the next.
const BEFORE_THE_LAST: Duration = Duration::from_secs(30);

/// Tries to store a new pair before the caller is told that the database is away.
const STORE_TRIES: u32 = 5;
/// Between further ones.
const BETWEEN_STORES: Duration = Duration::from_secs(30);

/// What came of a refresh.
pub(super) enum Renewal {
    Renewed(Box<Connection>),
    /// The token was surely not used; another time it may work.
    Later(Failure),
    /// Another process presents it, or has.
    InFlight,
    /// An early refresh was tried a moment ago.
    TooSoon,
    /// The database has gone back since the connection was loaded.
    Behind,
    /// No answer came, so the token may be spent.
    Lost,
}

/// What comes in place of a token that Salla refuses.
pub(super) enum Replacement {
    Newer,
    Later(Failure),
    /// Nothing is left that may be presented.
    Lost(Box<Connection>),
}

impl TokenKeeper {
    /// Gets tokens newer than those of `connection`. Errors are final.
    pub(super) async fn refresh(
        &self,
        connection: &Connection,
        presentation: Presentation,
    ) -> Result<Renewal, Failure> {
        let settings = &self.settings;
        let _under_way = UnderWay::begin();
        let now = settings.clock.now();
        let begun = settings
            .connections
            .begin_refresh(connection.id, connection.version, now, presentation)
            .await?;
        match begun {
            BeginRefresh::Granted(intent) => self.present(connection, intent).await,
            BeginRefresh::Superseded(newer) => {
                self.memory().remember((*newer).clone())?;
                Ok(Renewal::Renewed(newer))
            }
            BeginRefresh::InFlight(_) => Ok(Renewal::InFlight),
            BeginRefresh::TooSoon => Ok(Renewal::TooSoon),
            BeginRefresh::NotAdopted => Ok(Renewal::Later(Disconnection::NotAdopted.into())),
            BeginRefresh::Behind { .. } => Ok(Renewal::Behind),
        }
    }

    /// Salla refuses the access token: waits for another process that is at it already, and
    /// presents what may be presented.
    pub(super) async fn refresh_now(
        &self,
        mut connection: Connection,
    ) -> Result<Replacement, Failure> {
        let version = connection.version;
        let id = connection.id;
        loop {
            let so_far = self.memory().presented(&connection);
            let renewal = match so_far.times {
                0 => self.refresh(&connection, Presentation::Needed).await?,
                _ if !so_far.is_lost => {
                    self.wait_for_the_other(&connection, so_far.stored).await?;
                    Renewal::InFlight
                }
                MAX_PRESENTATIONS.. => return Ok(Replacement::Lost(Box::new(connection))),
                _ => {
                    self.present_the_last_time(&connection, so_far.stored)
                        .await?
                }
            };
            match renewal {
                Renewal::Renewed(_) => return Ok(Replacement::Newer),
                Renewal::Later(failure) => return Ok(Replacement::Later(failure)),
                Renewal::InFlight | Renewal::TooSoon | Renewal::Behind | Renewal::Lost => {}
            }
            connection = self.reload().await?;
            if (connection.id, connection.version) != (id, version) {
                return Ok(Replacement::Newer);
            }
            if let ConnectionState::Disconnected { why } = connection.state {
                return Err(why.into());
            }
        }
    }

    /// The shop would be lost anyway. The outage that may have swallowed the first response
    /// is waited for first: nothing is left to present after this.
    async fn present_the_last_time(
        &self,
        connection: &Connection,
        seen: Option<Presented>,
    ) -> Result<Renewal, Failure> {
        let settings = &self.settings;
        if let Some(presented) = seen {
            let since = settings.clock.now().duration_since(presented.since);
            let since = Duration::try_from(since).unwrap_or_default();
            let wait = BEFORE_THE_LAST.saturating_sub(since);
            settings.clock.sleep(wait).await;
        }
        if let Err(what) = settings.oauth.responds(&connection.tokens.access).await {
            return Ok(Renewal::Later(Failure::Transient {
                what: format!(
                    "refreshing the access token: Salla's OAuth server is away ({what}); the \
                     refresh token, which may be spent, is presented one last time when it is back"
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
    ) -> Result<Renewal, Failure> {
        let (Some(app), Some(refresh)) = (&self.settings.app, &connection.tokens.refresh) else {
            self.settings.connections.abandon_refresh(&intent).await?;
            return Ok(Renewal::Later(Disconnection::TokenRejected.into()));
        };
        let answer = self.settings.oauth.refresh(app, refresh).await;
        metrics::token_refresh(outcome_of(&answer));
        match answer {
            Ok(tokens) => {
                let tokens = completed(tokens, connection);
                self.received(intent.clone(), tokens.clone());
                self.store_persistently(&intent, &tokens).await
            }
            Err(TokenError::NotSent { what, retry_after }) => {
                self.settings.connections.abandon_refresh(&intent).await?;
                Ok(Renewal::Later(not_sent(what, retry_after)))
            }
            Err(TokenError::InvalidGrant) => {
                let why = match intent.times {
                    1 => Disconnection::RefreshRefused,
                    _ => Disconnection::RefreshLost,
                };
                let newer = self.park(connection, why).await?;
                Ok(Renewal::Renewed(Box::new(newer)))
            }
            Err(TokenError::Refused { code }) => {
                self.settings.connections.abandon_refresh(&intent).await?;
                Ok(Renewal::Later(refused(code)))
            }
            Err(TokenError::Lost { what }) => {
                self.lose(connection, &intent, &what).await;
                Ok(Renewal::Lost)
            }
        }
    }

    async fn lose(&self, connection: &Connection, intent: &RefreshIntent, what: &str) {
        tracing::error!(
            what,
            times = intent.times,
            merchant = connection.merchant.map(|m| m.to_string()),
            "the answer to a token refresh was lost; the old access token is used until Salla \
             refuses it"
        );
        self.memory().remember_loss(intent.version, intent.times);
        // Without this, others find out by waiting.
        if let Err(failure) = self.settings.connections.lose_refresh(intent).await {
            tracing::warn!(%failure, "it could not be stored that the answer was lost");
        }
    }

    /// If the database stays away, the caller is told; the pair is kept in memory, and
    /// storing it goes on.
    async fn store_persistently(
        &self,
        intent: &RefreshIntent,
        tokens: &Tokens,
    ) -> Result<Renewal, Failure> {
        let mut wait = BETWEEN_CHECKS;
        let mut outcome = self.store(intent, tokens).await;
        for _ in 1..STORE_TRIES {
            if outcome.is_ok() {
                break;
            }
            self.settings.clock.sleep(wait).await;
            wait *= 2;
            outcome = self.store(intent, tokens).await;
        }
        if let Err(failure) = &outcome {
            tracing::error!(
                critical = true, %failure,
                "new tokens of the shop cannot be stored; this process keeps them and goes on \
                 trying, and must not be killed before it has succeeded"
            );
        }
        outcome.map(|stored| Renewal::Renewed(Box::new(stored)))
    }

    /// Stores the pair that could not be stored, whatever becomes of the job that needed it.
    pub(super) async fn go_on_storing(&self) {
        while let Some((intent, tokens)) = self.unstored() {
            self.settings.clock.sleep(BETWEEN_STORES).await;
            if self.store(&intent, &tokens).await.is_ok() {
                tracing::info!("the new tokens of the shop are stored");
            }
        }
    }

    /// Waits until the row is no longer as it was `seen`, or until the one that presents the token
    /// must have died.
    async fn wait_for_the_other(
        &self,
        connection: &Connection,
        seen: Option<Presented>,
    ) -> Result<(), Failure> {
        let Some(seen) = seen else { return Ok(()) };
        let settings = &self.settings;
        let passed = settings.clock.now().duration_since(seen.since);
        let passed = Duration::try_from(passed).unwrap_or_default();
        let left = OTHER_TIMEOUT.saturating_sub(passed).max(MIN_OTHER_TIMEOUT);
        let end = settings.clock.monotonic() + left;
        while settings.clock.monotonic() < end {
            settings.clock.sleep(BETWEEN_CHECKS).await;
            let stored = settings.connections.load(connection.id).await?;
            let is_same = (stored.id, stored.version) == (connection.id, connection.version);
            if !is_same || stored.state != ConnectionState::Refreshing(seen) {
                return Ok(());
            }
        }
        self.memory().remember_loss(connection.version, seen.times);
        Ok(())
    }
}

fn outcome_of(answer: &Result<Tokens, TokenError>) -> Refresh {
    match answer {
        Ok(_) => Refresh::Renewed,
        Err(TokenError::NotSent { .. }) => Refresh::NotSent,
        Err(TokenError::InvalidGrant) => Refresh::InvalidGrant,
        Err(TokenError::Refused { .. }) => Refresh::Refused,
        Err(TokenError::Lost { .. }) => Refresh::Lost,
    }
}

/// The pair as it is stored. The refresh token that was presented is spent, so an answer
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
            "Salla's answer to a token refresh holds no new refresh token: once the access token \
             ends, the shop has to be connected again"
        );
    }
    if tokens.expires_at.is_none() {
        tracing::warn!(
            merchant,
            "Salla's answer to a token refresh does not say how long the access token lives; it \
             is refreshed once Salla refuses it"
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
            what: format!("refreshing the access token: {what}"),
        },
    }
}

fn refused(code: &str) -> Failure {
    Failure::Broken {
        what: format!(
            "refreshing the access token: Salla refused with {code}; check SALLA_CLIENT_ID and \
             SALLA_CLIENT_SECRET"
        ),
    }
}
