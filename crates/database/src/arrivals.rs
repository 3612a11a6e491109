//! Tokens and consents that have come, and what became of them.

use std::sync::Arc;

use async_trait::async_trait;
use domain::failure::{Disconnection, Failure};
use importer::ports::clock::Clock;
use importer::ports::connections::ConnectionId;
use importer::ports::consents::{Arrival, Arrivals, Consents, Returned, Use};
use jiff::{SignedDuration, Timestamp};
use jiff_sqlx::ToSqlx;
use sqlx::PgPool;
use uuid::Uuid;

use crate::error::{TxError, with_retries};
use crate::ids::new_id;
use crate::transaction::begin_durable;

/// [`Arrivals`] and [`Consents`] on PostgreSQL.
#[derive(Clone, Debug)]
pub struct PostgresArrivals {
    pub(crate) pool: PgPool,
    pub(crate) clock: Arc<dyn Clock>,
}

const RECORD: &str = "
    INSERT INTO salla_sync.arrivals (connection_id, salla_id, authorized_at, received_at)
    VALUES ($1, $2, $3, $4) ON CONFLICT (connection_id) DO NOTHING";

const IS_UNSETTLED: &str =
    "SELECT settled_at IS NULL FROM salla_sync.arrivals WHERE connection_id = $1";

const UNSETTLED: &str = "
    SELECT connection_id, salla_id, authorized_at, received_at FROM salla_sync.arrivals
    WHERE settled_at IS NULL
      AND (NOT $2 OR salla_id IS NULL
           OR EXISTS (SELECT FROM salla_sync.shop_claims c WHERE c.salla_id = arrivals.salla_id))
    ORDER BY received_at LIMIT $1";

/// The version grows, so that a refresh in progress stores nothing. Tokens that belong to a shop by
/// now stay.
const FORGET: &str = "
    WITH old AS (
        UPDATE salla_sync.arrivals SET settled_at = $2, outcome = 'forgotten'
        WHERE settled_at IS NULL AND received_at < $1
        RETURNING connection_id, salla_id),
    forgotten AS (
        UPDATE salla_sync.connections c SET
            state = 'DISCONNECTED', disconnected_why = $3, access_token = '',
            refresh_token = NULL, refresh_started_at = NULL, refresh_intent = NULL,
            version = version + 1, updated_at = $2
        FROM old WHERE c.id = old.connection_id AND c.merchant_id IS NULL)
    SELECT salla_id FROM old";

const SETTLE: &str = "
    UPDATE salla_sync.arrivals SET settled_at = $2, outcome = $3
    WHERE connection_id = $1 AND settled_at IS NULL";

#[derive(sqlx::FromRow)]
struct ArrivalRow {
    connection_id: Uuid,
    salla_id: Option<i64>,
    authorized_at: Option<jiff_sqlx::Timestamp>,
    received_at: jiff_sqlx::Timestamp,
}

#[async_trait]
impl Arrivals for PostgresArrivals {
    async fn record(&self, arrival: &Arrival) -> Result<bool, Failure> {
        with_retries(&self.clock, "recording received tokens", || {
            record(&self.pool, arrival)
        })
        .await
    }

    async fn unsettled(&self, limit: u32, claimed_only: bool) -> Result<Vec<Arrival>, Failure> {
        with_retries(&self.clock, "reading received tokens", || async {
            let rows: Vec<ArrivalRow> = sqlx::query_as(UNSETTLED)
                .bind(i64::from(limit))
                .bind(claimed_only)
                .fetch_all(&self.pool)
                .await?;
            let arrivals = rows.into_iter().map(|row| Arrival {
                connection: ConnectionId(row.connection_id),
                named: row.salla_id,
                authorized_at: row.authorized_at.map(jiff_sqlx::Timestamp::to_jiff),
                received_at: row.received_at.to_jiff(),
            });
            Ok(arrivals.collect())
        })
        .await
    }

    async fn forget(&self, before: Timestamp) -> Result<Vec<Option<i64>>, Failure> {
        let now = self.clock.now();
        let doing = "deleting unclaimed tokens";
        with_retries(&self.clock, doing, || async {
            let forgotten = sqlx::query_scalar(FORGET)
                .bind(before.to_sqlx())
                .bind(now.to_sqlx())
                .bind(Disconnection::Unclaimed.code());
            Ok(forgotten.fetch_all(&self.pool).await?)
        })
        .await
    }

    async fn settle(&self, connection: ConnectionId, outcome: &'static str) -> Result<(), Failure> {
        let now = self.clock.now();
        with_retries(&self.clock, "finishing received tokens", || async {
            sqlx::query(SETTLE)
                .bind(connection.0)
                .bind(now.to_sqlx())
                .bind(outcome)
                .execute(&self.pool)
                .await?;
            Ok(())
        })
        .await
    }
}

async fn record(pool: &PgPool, arrival: &Arrival) -> Result<bool, TxError> {
    let mut tx = begin_durable(pool).await?;
    sqlx::query(RECORD)
        .bind(arrival.connection.0)
        .bind(arrival.named)
        .bind(arrival.authorized_at.map(ToSqlx::to_sqlx))
        .bind(arrival.received_at.to_sqlx())
        .execute(&mut *tx)
        .await?;
    let is_unsettled = sqlx::query_scalar(IS_UNSETTLED)
        .bind(arrival.connection.0)
        .fetch_one(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(is_unsettled)
}

const USE: &str = "
    INSERT INTO salla_sync.used_consents (state, code, holder, used_at, expires_at)
    VALUES ($1, $2, $3, $4, $5) ON CONFLICT (state) DO NOTHING";

const USED: &str = "SELECT code, holder, outcome FROM salla_sync.used_consents WHERE state = $1";

const CLEAR: &str = "DELETE FROM salla_sync.used_consents WHERE expires_at < $1";

const FINISH: &str = "UPDATE salla_sync.used_consents SET outcome = $2 WHERE state = $1";

/// How long the result is still shown after its state has expired.
const USES_LAST: SignedDuration = SignedDuration::from_hours(24);

#[async_trait]
impl Consents for PostgresArrivals {
    async fn use_once(&self, returned: &Returned) -> Result<Use, Failure> {
        let now = self.clock.now();
        // A repetition after a lost commit is still the first.
        let holder = new_id(now);
        with_retries(&self.clock, "using a consent", || async move {
            sqlx::query(CLEAR)
                .bind(now.checked_sub(USES_LAST).unwrap_or(now).to_sqlx())
                .execute(&self.pool)
                .await?;
            sqlx::query(USE)
                .bind(returned.state.as_slice())
                .bind(returned.code.as_slice())
                .bind(holder)
                .bind(now.to_sqlx())
                .bind(returned.expires_at.to_sqlx())
                .execute(&self.pool)
                .await?;
            let (code, by, outcome): (Vec<u8>, Uuid, Option<String>) = sqlx::query_as(USED)
                .bind(returned.state.as_slice())
                .fetch_one(&self.pool)
                .await?;
            Ok(match (by == holder, code == returned.code) {
                (true, _) => Use::First,
                (false, true) => Use::Repeated(outcome),
                (false, false) => Use::Replayed,
            })
        })
        .await
    }

    async fn finish(&self, state: &[u8; 32], outcome: &str) -> Result<(), Failure> {
        with_retries(&self.clock, "finishing a consent", || async {
            sqlx::query(FINISH)
                .bind(state.as_slice())
                .bind(outcome)
                .execute(&self.pool)
                .await?;
            Ok(())
        })
        .await
    }
}
