//! What this process remembers of a connection.

use std::time::Duration;

use importer::ports::clock::Clock;
use importer::ports::connections::{Connection, RefreshIntent, Tokens};
use jiff::SignedDuration;

use super::expiry::is_due;
use super::finishing::UnderWay;

/// After an early refresh that did not happen, the next one waits so long.
const BETWEEN_EARLY_TRIES: Duration = Duration::from_secs(60);

#[derive(Default)]
pub(super) struct Memory {
    connection: Option<Connection>,
    /// How long the tokens of a version live, where this process saw them issued.
    life: Option<(i64, SignedDuration)>,
    early_try_from: Duration,
    /// The version whose refresh token was presented without our seeing an answer.
    lost: Option<i64>,
    /// New tokens that could not be stored yet, and so must not be used yet.
    unstored: Option<(RefreshIntent, Tokens, UnderWay)>,
    /// Somebody goes on trying to store them.
    is_storing: bool,
}

impl Memory {
    pub(super) fn connection(&self) -> Option<&Connection> {
        self.connection.as_ref()
    }

    pub(super) fn remember(&mut self, connection: Connection) {
        self.connection = Some(connection);
    }

    pub(super) fn is_newer_than(&self, version: i64) -> bool {
        let known = self.connection.as_ref();
        known.is_some_and(|connection| connection.version > version)
    }

    /// Whether the tokens in memory are so old that they should be renewed unasked.
    pub(super) fn should_renew(&self, clock: &dyn Clock) -> bool {
        let Some(connection) = &self.connection else {
            return false;
        };
        let life = self.life.filter(|life| life.0 == connection.version);
        let due = is_due(
            connection.tokens.expires_at,
            life.map(|life| life.1),
            clock.now(),
        );
        due && !self.is_lost(connection.version) && clock.monotonic() >= self.early_try_from
    }

    pub(super) fn postpone_renewal(&mut self, now: Duration) {
        self.early_try_from = now + BETWEEN_EARLY_TRIES;
    }

    pub(super) fn is_lost(&self, version: i64) -> bool {
        self.lost == Some(version)
    }

    pub(super) fn remember_loss(&mut self, version: i64) {
        self.lost = Some(version);
    }

    pub(super) fn unstored(&self) -> Option<(RefreshIntent, Tokens)> {
        let (intent, tokens, _) = self.unstored.as_ref()?;
        Some((intent.clone(), tokens.clone()))
    }

    pub(super) fn received(&mut self, intent: RefreshIntent, tokens: Tokens) {
        self.unstored = Some((intent, tokens, UnderWay::begin()));
    }

    /// Whether tokens are left that nobody goes on trying to store; the caller does now.
    pub(super) fn begins_storing(&mut self) -> bool {
        self.unstored.is_some() && !std::mem::replace(&mut self.is_storing, true)
    }

    /// The pair that was received is stored, or something newer is.
    pub(super) fn stored(&mut self, connection: Connection, clock: &dyn Clock) {
        let end = connection.tokens.expires_at;
        self.life = end.map(|end| (connection.version, end.duration_since(clock.now())));
        self.unstored = None;
        self.is_storing = false;
        self.connection = Some(connection);
    }
}
