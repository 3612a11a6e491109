//! One refresh, from the committed intent to the stored pair.

use std::time::Duration;

use domain::failure::{Disconnection, Failure};
use importer::metrics::{self, Refresh};
use importer::ports::connections::{
    BeginRefresh, Connection, ConnectionState, RefreshIntent, Tokens,
};
use jiff::Timestamp;

use super::finishing::UnderWay;
use super::keeper::TokenKeeper;
use crate::oauth::TokenError;

/// Another process that has not reported back after so long never will.
const PATIENCE: Duration = Duration::from_secs(60);
/// At least so long by our own clock: the other's may go wrong.
const LEAST_PATIENCE: Duration = Duration::from_secs(10);
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

/// Tries to store a new pair before the caller is told that the database is away.
const STORE_TRIES: u32 = 5;
/// Between further ones.
const BETWEEN_STORES: Duration = Duration::from_secs(30);

/// What came of a refresh.
pub(super) enum Renewal {
    Renewed(Box<Connection>),
    /// Nothing was presented; another time it may work.
    Later(Failure),
    /// Another process has committed to present the token at `since`.
    InFlight {
        since: Timestamp,
    },
    /// The refresh token may be spent and must not be presented again.
    Lost,
}

impl TokenKeeper {
    /// Gets tokens newer than those of `connection`. Errors are final.
    pub(super) async fn renew(&self, connection: &Connection) -> Result<Renewal, Failure> {
        let settings = &self.settings;
        let _under_way = UnderWay::begin();
        let now = settings.clock.now();
        let begun = settings
            .connections
            .begin_refresh(connection.id, connection.version, now)
            .await?;
        match begun {
            BeginRefresh::Granted(intent) => self.present(connection, intent).await,
            BeginRefresh::Superseded(newer) => {
                self.memory().remember((*newer).clone());
                Ok(Renewal::Renewed(newer))
            }
            BeginRefresh::InFlight { since } => Ok(Renewal::InFlight { since }),
        }
    }

    /// As [`Self::renew`], but waits for another process that is at it already.
    pub(super) async fn renew_now(&self, connection: &Connection) -> Result<Renewal, Failure> {
        loop {
            let renewal = self.renew(connection).await?;
            let Renewal::InFlight { since } = renewal else {
                return Ok(renewal);
            };
            if let Some(outcome) = self.wait_for_the_other(connection, since).await? {
                return Ok(outcome);
            }
        }
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
                self.store_patiently(&intent, &tokens).await
            }
            Err(TokenError::NotSent { what, retry_after }) => {
                self.settings.connections.abandon_refresh(&intent).await?;
                Ok(Renewal::Later(not_sent(what, retry_after)))
            }
            Err(TokenError::InvalidGrant) => {
                let newer = self.park(connection, Disconnection::RefreshRefused).await?;
                Ok(Renewal::Renewed(Box::new(newer)))
            }
            Err(TokenError::Refused { code }) => {
                self.settings.connections.abandon_refresh(&intent).await?;
                Ok(Renewal::Later(refused(&code)))
            }
            Err(TokenError::Lost { what }) => {
                tracing::error!(what, "the answer to a token refresh was lost");
                self.memory().remember_loss(connection.version);
                Ok(Renewal::Lost)
            }
        }
    }

    /// If the database stays away, the caller is told; the pair is kept in memory, and
    /// storing it goes on.
    async fn store_patiently(
        &self,
        intent: &RefreshIntent,
        tokens: &Tokens,
    ) -> Result<Renewal, Failure> {
        let mut wait = BETWEEN_LOOKS;
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

    /// What another process, at it since then, has made of it; `None` if it took its
    /// intent back.
    async fn wait_for_the_other(
        &self,
        connection: &Connection,
        since: Timestamp,
    ) -> Result<Option<Renewal>, Failure> {
        let settings = &self.settings;
        let passed = settings.clock.now().duration_since(since);
        let passed = Duration::try_from(passed).unwrap_or_default();
        let left = PATIENCE.saturating_sub(passed).max(LEAST_PATIENCE);
        let end = settings.clock.monotonic() + left;
        while settings.clock.monotonic() < end {
            settings.clock.sleep(BETWEEN_LOOKS).await;
            let stored = settings.connections.load(connection.id).await?;
            if stored.version > connection.version {
                self.memory().remember(stored.clone());
                return Ok(Some(Renewal::Renewed(Box::new(stored))));
            }
            if !matches!(stored.state, ConnectionState::Refreshing { .. }) {
                return Ok(None);
            }
        }
        self.memory().remember_loss(connection.version);
        Ok(Some(Renewal::Lost))
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

/// A refresh answer may omit what stays as it is (FACTS §2.4).
fn completed(tokens: Tokens, old: &Connection) -> Tokens {
    Tokens {
        refresh: tokens.refresh.or_else(|| old.tokens.refresh.clone()),
        scope: tokens.scope.or_else(|| old.tokens.scope.clone()),
        ..tokens
    }
}

fn not_sent(what: &str, retry_after: Option<Duration>) -> Failure {
    match retry_after {
        Some(wait) => Failure::Throttled { wait },
        None => Failure::Transient {
            what: format!("renewing the access token: {what}"),
        },
    }
}

fn refused(code: &str) -> Failure {
    Failure::Broken {
        what: format!(
            "renewing the access token: Salla refused with {code}; check SALLA_CLIENT_ID and \
             SALLA_CLIENT_SECRET"
        ),
    }
}
