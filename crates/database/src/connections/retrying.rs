//! `connections retry`: presents a refresh token again whose last response was lost.

use domain::connection_change::ConnectionChangeKind;
use domain::failure::Disconnection;
use importer::ports::connections::{ConnectionState, MAX_PRESENTATIONS};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::PgPool;

use crate::connections::changes;
use crate::connections::refresh_tokens::known;
use crate::connections::rows::{ConnectionRow, select_connection};
use crate::error::TxError;
use crate::keyring::Keyring;
use crate::transaction::begin_durable;

/// What became of the wish to present a shop's refresh token all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retried {
    /// The next process that works for the shop presents it one last time, once Salla
    /// refuses the access token.
    Granted,
    /// The connection works. If its refresh token is in doubt, it is presented one last time
    /// automatically.
    Serves,
    /// The token is known to be useless, or was not why the shop was disconnected.
    Refused(Disconnection),
    /// It has had its last presentation.
    Exhausted,
    /// It was used, or there is none.
    Spent,
    /// Nothing is stored for this shop.
    Unknown,
}

const OF_SHOP: &str = select_connection!(
    "WHERE is_current AND merchant_id =
         (SELECT id FROM salla_sync.merchants WHERE salla_id = $1) FOR UPDATE"
);

/// As after a first presentation without a response; runs that failed because of the connection
/// resume.
const RETRY: &str = "
    UPDATE salla_sync.connections
    SET state = 'REFRESHING', disconnected_why = NULL, refresh_started_at = $2,
        refresh_lost_at = $2, refresh_presentations = $3, refresh_intent = NULL,
        updated_at = $2, bound_at = now()
    WHERE id = $1";

pub(crate) async fn retry(
    pool: &PgPool,
    keyring: &Keyring,
    salla_id: i64,
    now: Timestamp,
) -> Result<Retried, TxError> {
    let mut tx = begin_durable(pool).await?;
    let row: Option<ConnectionRow> = sqlx::query_as(OF_SHOP)
        .bind(salla_id)
        .fetch_optional(&mut *tx)
        .await?;
    let Some(row) = row else {
        return Ok(Retried::Unknown);
    };
    let (id, counted) = (row.id, row.presentations());
    let stored = row.decrypt(keyring)?;
    let known = known(&mut tx, &stored.tokens).await?;
    let is_usable = stored.tokens.refresh.is_some() && !known.is_replaced;
    let retried = decide(stored.state, counted.max(known.times), is_usable);
    if retried == Retried::Granted {
        sqlx::query(RETRY)
            .bind(id)
            .bind(now.to_sqlx())
            .bind(i16::from(MAX_PRESENTATIONS) - 1)
            .execute(&mut *tx)
            .await?;
        changes::note(&mut tx, id, ConnectionChangeKind::Recovered, now).await?;
        tx.commit().await?;
    }
    Ok(retried)
}

fn decide(state: ConnectionState, times: u8, is_usable: bool) -> Retried {
    match state {
        ConnectionState::Active | ConnectionState::Refreshing(_) => Retried::Serves,
        ConnectionState::Disconnected {
            why: Disconnection::RefreshLost,
        } => match is_usable {
            false => Retried::Spent,
            true if times >= MAX_PRESENTATIONS => Retried::Exhausted,
            true => Retried::Granted,
        },
        ConnectionState::Disconnected { why } => Retried::Refused(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_token_in_doubt_is_tried_again() {
        let lost = ConnectionState::Disconnected {
            why: Disconnection::RefreshLost,
        };
        for (state, times, is_usable, expected) in [
            (lost, 0, true, Retried::Granted),
            (lost, 1, true, Retried::Granted),
            (lost, 2, true, Retried::Exhausted),
            (lost, 0, false, Retried::Spent),
            (lost, 2, false, Retried::Spent),
            (ConnectionState::Active, 0, true, Retried::Serves),
        ] {
            let found = decide(state, times, is_usable);
            assert_eq!(found, expected, "{state:?} {times} {is_usable}");
        }
        for why in Disconnection::ALL {
            let state = ConnectionState::Disconnected { why };
            let is_granted = decide(state, 0, true) == Retried::Granted;
            assert_eq!(is_granted, why == Disconnection::RefreshLost, "{why:?}");
        }
    }
}
