//! What this process knows of a connection.

use std::time::Duration;

use domain::failure::{DatabaseCause, Failure};
use importer::ports::clock::Clock;
use importer::ports::connections::{
    BETWEEN_EARLY_REFRESHES, Connection, ConnectionState, Presented, RefreshIntent, Tokens,
};
use jiff::{SignedDuration, Timestamp};

use super::{AccessToken, RefreshGuard};

#[derive(Default)]
pub(super) struct ConnectionCache {
    connection: Option<Connection>,
    /// How long the tokens of a version live, where this process saw them issued.
    life: Option<(i64, SignedDuration)>,
    early_try_from: Duration,
    /// The version whose refresh token was presented without our seeing a response, and how
    /// often.
    lost: Option<(i64, u8)>,
    /// The presentation that was last waited for, and since when it is known here.
    awaited: Option<(Presented, Duration)>,
    /// New tokens that could not be stored yet, and so must not be used yet.
    unstored: Option<(RefreshIntent, Tokens, RefreshGuard)>,
    /// A task keeps trying to store them.
    is_storing: bool,
}

impl ConnectionCache {
    pub(super) fn connection(&self) -> Option<&Connection> {
        self.connection.as_ref()
    }

    /// Never goes back behind what it holds: a database that has gone back would have a
    /// spent token presented again.
    pub(super) fn remember(&mut self, connection: Connection) -> Result<(), Failure> {
        if self.newer_than(&connection).is_some() {
            return Err(Failure::Database {
                message:
                    "the database went back to older tokens of the shop than this process has, \
                     and the newer ones cannot be stored"
                        .to_owned(),
                cause: DatabaseCause::Unavailable,
            });
        }
        self.connection = Some(connection);
        Ok(())
    }

    /// What this process knows of the connection, if that is newer than what is stored.
    pub(super) fn newer_than(&self, stored: &Connection) -> Option<Connection> {
        let known = self.connection.as_ref()?;
        let is_newer = known.id == stored.id && known.version > stored.version;
        is_newer.then(|| known.clone())
    }

    /// Whether other tokens than this one took its place already.
    pub(super) fn has_replaced(&self, token: &AccessToken) -> bool {
        let known = self.connection.as_ref();
        known.is_some_and(|connection| token.is_older_than(connection))
    }

    /// Whether the tokens in memory are so old that they should be refreshed unasked.
    pub(super) fn should_refresh(&self, clock: &dyn Clock) -> bool {
        let Some(connection) = &self.connection else {
            return false;
        };
        let life = self.life.filter(|life| life.0 == connection.version);
        let due = is_due(
            connection.tokens.expires_at,
            life.map(|life| life.1),
            clock.now(),
        );
        due && self.lost_times(connection.version) == 0 && clock.monotonic() >= self.early_try_from
    }

    /// An early refresh was tried: with any result, the next one is for later.
    pub(super) fn postpone_early_refresh(&mut self, now: Duration) {
        self.early_try_from = now + BETWEEN_EARLY_REFRESHES;
    }

    pub(super) fn remember_loss(&mut self, version: i64, times: u8) {
        self.lost = Some((version, times.max(self.lost_times(version))));
    }

    fn lost_times(&self, version: i64) -> u8 {
        let lost = self.lost.filter(|lost| lost.0 == version);
        lost.map_or(0, |lost| lost.1)
    }

    /// What is known of the presentations of a connection's refresh token. The row does not
    /// overwrite what this process did itself.
    pub(super) fn presented(&self, connection: &Connection) -> PresentedSoFar {
        let stored = match connection.state {
            ConnectionState::Refreshing(presented) => Some(presented),
            ConnectionState::Active | ConnectionState::Disconnected { .. } => None,
        };
        let lost = self.lost_times(connection.version);
        let stored_times = stored.map_or(0, |presented| presented.times);
        PresentedSoFar {
            stored,
            times: stored_times.max(lost),
            is_lost: lost >= stored_times || stored.is_some_and(|presented| presented.is_lost),
        }
    }

    /// How long this process has known of a presentation, by its own clock: the time in the row is
    /// another machine's, and only tells one presentation from the next.
    pub(super) fn known_for(&mut self, presented: Presented, now: Duration) -> Duration {
        let is_same =
            |known: &Presented| (known.since, known.times) == (presented.since, presented.times);
        let awaited = self.awaited.filter(|(known, _)| is_same(known));
        let (_, first) = *self.awaited.insert(awaited.unwrap_or((presented, now)));
        now.saturating_sub(first)
    }

    pub(super) fn unstored(&self) -> Option<(RefreshIntent, Tokens)> {
        let (intent, tokens, _) = self.unstored.as_ref()?;
        Some((intent.clone(), tokens.clone()))
    }

    pub(super) fn received(&mut self, intent: RefreshIntent, tokens: Tokens) {
        self.unstored = Some((intent, tokens, RefreshGuard::begin()));
    }

    /// Whether tokens are left that no task tries to store; the caller starts one now.
    pub(super) fn start_background_store(&mut self) -> bool {
        self.unstored.is_some() && !std::mem::replace(&mut self.is_storing, true)
    }

    /// The pair that was received is stored, or something newer is.
    pub(super) fn stored(&mut self, connection: Connection, clock: &dyn Clock) {
        let end = connection.tokens.expires_at;
        self.life = end.map(|end| (connection.version, end.duration_since(clock.now())));
        self.forget_unstored();
        self.connection = Some(connection);
    }

    /// Nothing is left to store, and nothing to wait for before the process ends.
    pub(super) fn forget_unstored(&mut self) {
        self.unstored = None;
        self.is_storing = false;
    }
}

/// What the row and this process together know of a refresh token.
#[derive(Clone, Copy, Debug)]
pub(super) struct PresentedSoFar {
    pub(super) stored: Option<Presented>,
    pub(super) times: u8,
    /// No response is to be expected any more.
    pub(super) is_lost: bool,
}

/// Less than this left is soon, where the whole life of the token is unknown.
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// Whether a token that ends at `expires_at` should be refreshed at `now`: in the last
/// tenth of its life, or in its last day where the life is unknown.
fn is_due(expires_at: Option<Timestamp>, whole: Option<SignedDuration>, now: Timestamp) -> bool {
    let Some(expires_at) = expires_at else {
        return false;
    };
    let soon = whole.map_or(DAY, |whole| whole / 10);
    expires_at.duration_since(now) < soon
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_presentation_is_as_old_as_it_is_known_here() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let seconds = Duration::from_secs;
        let mut cache = ConnectionCache::default();
        // (Since when by another clock, how often, whether it is lost, our time, its age).
        for (since, times, is_lost, now, age) in [
            (1_000, 1, false, 5, 0),
            (1_000, 1, false, 45, 40),
            (1_000, 1, true, 46, 41),
            // It was taken back, and presented again.
            (1_041, 1, false, 50, 0),
            (1_041, 2, false, 55, 0),
            (1_041, 2, false, 56, 1),
        ] {
            let presented = Presented {
                since: at(since),
                times,
                is_lost,
            };
            let found = cache.known_for(presented, seconds(now));
            assert_eq!(found, seconds(age), "{presented:?} at {now}");
        }
    }

    #[test]
    fn a_token_is_due_in_the_last_tenth_of_its_life() {
        let now: Timestamp = "2025-06-15T00:00:00Z".parse().unwrap();
        let hours = SignedDuration::from_hours;
        let table = [
            (None, None, false),
            (Some(25), None, false),
            (Some(24), None, false),
            (Some(23), None, true),
            (Some(-1), None, true),
            (Some(34), Some(14 * 24), false),
            (Some(33), Some(14 * 24), true),
            (Some(1), Some(5), false),
        ];
        for (left, whole, due) in table {
            let expires_at = left.map(|left| now + hours(left));
            assert_eq!(
                is_due(expires_at, whole.map(hours), now),
                due,
                "{left:?} of {whole:?}"
            );
        }
    }
}
