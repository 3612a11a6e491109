//! A shop's tokens at rest, and who may present the refresh token.

pub(crate) mod changes;
mod details;
mod parking;
mod refresh;
mod refresh_tokens;
mod retrying;
mod rotating;
mod rows;
mod storing;

use crate::Keyring;
use std::sync::Arc;

use async_trait::async_trait;
use domain::connection_change::Tags;
use domain::failure::{Disconnection, Failure};
use domain::shop::MerchantId;
use importer::ports::clock::Clock;
use importer::ports::connections::{
    BeginRefresh, Bound, Connection, ConnectionId, Connections, Presentation, RefreshIntent, Tokens,
};
use jiff::Timestamp;
use sqlx::PgPool;

pub use details::ConnectionDetails;
pub use details::KeyUse;
pub(crate) use details::{details, key_uses};
pub use parking::Adopted;
pub use parking::Parked;
pub(crate) use parking::park;
pub(crate) use parking::{adopt, foreign};
pub use retrying::Retried;
pub use rotating::Rotated;
pub(crate) use rows::parse_disconnection;
use storing::BindTo;
pub use storing::KeyCheck;

use crate::error::{TxError, with_retries};
use crate::ids::new_id;

/// [`Connections`] on PostgreSQL.
#[derive(Clone, Debug)]
pub struct PostgresConnections {
    pool: PgPool,
    clock: Arc<dyn Clock>,
    keyring: Keyring,
}

impl PostgresConnections {
    pub(crate) fn new(pool: PgPool, clock: Arc<dyn Clock>, keyring: Keyring) -> Self {
        Self {
            pool,
            clock,
            keyring,
        }
    }

    /// Does `work`, and disconnects the connection that it has found unusable.
    async fn parking<T>(
        &self,
        work: impl Future<Output = Result<T, TxError>> + Send,
    ) -> Result<T, TxError> {
        let done = work.await;
        if let Err(TxError::Unfit { connection, why }) = &done {
            tracing::error!(%connection, %why, "a stored connection is parked");
            refresh::park(&self.pool, *connection, *why, self.clock.now()).await?;
        }
        done
    }

    /// Lets the refresh token of a shop that was disconnected as `refresh_lost` be presented one
    /// last time, if it has not been.
    pub async fn retry(&self, salla_id: i64) -> Result<Retried, Failure> {
        let now = self.clock.now();
        with_retries(&self.clock, "allowing another refresh", || {
            self.parking(retrying::retry(&self.pool, &self.keyring, salla_id, now))
        })
        .await
    }

    /// Encrypts everything again that another key than the current one encrypted, a few at a time;
    /// other processes may work meanwhile. Repeatable; resumes where it stopped.
    pub async fn rotate(&self) -> Result<Rotated, Failure> {
        rotating::rotate(&self.pool, &self.keyring, &self.clock).await
    }

    /// For the start: refuses a key that cannot open what is stored, before anything
    /// is written with it. Connections that serve no longer do not count.
    pub async fn check_key(&self) -> Result<(), KeyCheck> {
        storing::check_key(&self.pool, &self.keyring).await
    }
}

#[async_trait]
impl Connections for PostgresConnections {
    async fn open(&self, given: &Tokens) -> Result<Connection, Failure> {
        let now = self.clock.now();
        let id = ConnectionId(new_id(now));
        with_retries(&self.clock, "storing the connection", || {
            self.parking(storing::open(&self.pool, &self.keyring, id, given, now))
        })
        .await
    }

    async fn tag(&self, id: ConnectionId, named: Option<i64>, tags: &Tags) -> Result<(), Failure> {
        let now = self.clock.now();
        with_retries(&self.clock, "tagging the connection", || {
            changes::tag(&self.pool, id, named, tags, now)
        })
        .await
    }

    async fn bind(
        &self,
        id: ConnectionId,
        merchant: MerchantId,
        authorized_at: Option<Timestamp>,
    ) -> Result<Bound, Failure> {
        let now = self.clock.now();
        let to = BindTo {
            merchant,
            authorized_at,
        };
        with_retries(&self.clock, "binding the connection to its shop", || {
            self.parking(storing::bind(&self.pool, &self.keyring, id, to, now))
        })
        .await
    }

    async fn load(&self, id: ConnectionId) -> Result<Connection, Failure> {
        with_retries(&self.clock, "reading the connection", || {
            self.parking(storing::load(&self.pool, &self.keyring, id))
        })
        .await
    }

    async fn of_merchant(&self, merchant: MerchantId) -> Result<Option<Connection>, Failure> {
        with_retries(&self.clock, "reading the shop's connection", || {
            self.parking(storing::of_merchant(&self.pool, &self.keyring, merchant))
        })
        .await
    }

    /// Not begun again after a lost connection: an intent that may have been
    /// committed must not be granted a second time.
    async fn begin_refresh(
        &self,
        id: ConnectionId,
        version: i64,
        now: Timestamp,
        presentation: Presentation,
    ) -> Result<BeginRefresh, Failure> {
        let intent = RefreshIntent {
            id: new_id(now),
            connection: id,
            version,
            times: 1,
        };
        self.parking(refresh::begin(
            &self.pool,
            &self.keyring,
            intent,
            now,
            presentation,
        ))
        .await
        .map_err(|error| error.into_failure("committing to a token refresh"))
    }

    async fn complete_refresh(
        &self,
        intent: &RefreshIntent,
        tokens: &Tokens,
    ) -> Result<Connection, Failure> {
        let now = self.clock.now();
        with_retries(&self.clock, "storing the refreshed tokens", || {
            self.parking(refresh::complete(
                &self.pool,
                &self.keyring,
                intent,
                tokens,
                now,
            ))
        })
        .await
    }

    async fn restore(&self, known: &Connection, stored: i64) -> Result<Connection, Failure> {
        let now = self.clock.now();
        with_retries(&self.clock, "storing tokens that the database lost", || {
            self.parking(refresh::restore(
                &self.pool,
                &self.keyring,
                known,
                stored,
                now,
            ))
        })
        .await
    }

    async fn abandon_refresh(&self, intent: &RefreshIntent) -> Result<(), Failure> {
        let now = self.clock.now();
        with_retries(&self.clock, "reverting a token refresh", || {
            refresh::abandon(&self.pool, intent, now)
        })
        .await
    }

    async fn lose_refresh(&self, intent: &RefreshIntent) -> Result<(), Failure> {
        let now = self.clock.now();
        with_retries(
            &self.clock,
            "recording that a refresh got no response",
            || refresh::lose(&self.pool, intent, now),
        )
        .await
    }

    async fn disconnect(
        &self,
        id: ConnectionId,
        version: i64,
        why: Disconnection,
    ) -> Result<(), Failure> {
        let now = self.clock.now();
        with_retries(&self.clock, "parking the connection", || {
            refresh::disconnect(&self.pool, id, version, why, now)
        })
        .await
    }
}
