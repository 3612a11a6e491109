//! Suspended shops: their tokens stay, and no process uses them.

use domain::connection_change::ConnectionChangeKind;
use domain::failure::Disconnection;
use domain::shop::MerchantId;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::PgPool;
use uuid::Uuid;

use crate::connections::changes;
use crate::error::TxError;
use crate::transaction::begin_durable;

/// A connection that was parked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parked {
    /// Salla's id of the shop, where it is known.
    pub salla_id: Option<i64>,
    pub name: Option<String>,
    /// Whose it is, if it is that merchant's current one.
    pub merchant: Option<MerchantId>,
}

/// How often a refresh token was presented, and by which process, stays: that process may still
/// receive the response, and no other presents the token unaware of it.
const PARK: &str = "
    WITH parked AS (
        UPDATE salla_sync.connections SET state = 'DISCONNECTED', disconnected_why = $2,
            refresh_started_at = NULL, updated_at = $3
        WHERE state <> 'DISCONNECTED' AND ($1::bigint IS NULL OR salla_id = $1)
        RETURNING id, salla_id, merchant_id, is_current
    )
    SELECT p.id, p.salla_id, m.name, CASE WHEN p.is_current THEN p.merchant_id END
    FROM parked p LEFT JOIN salla_sync.merchants m ON m.id = p.merchant_id
    ORDER BY m.name, p.salla_id";

type ParkedRow = (Uuid, Option<i64>, Option<String>, Option<Uuid>);

/// Parks the connections of one shop, or of all.
pub(crate) async fn park(
    pool: &PgPool,
    salla_id: Option<i64>,
    dry_run: bool,
    now: Timestamp,
) -> Result<Vec<Parked>, TxError> {
    let mut tx = begin_durable(pool).await?;
    let parked: Vec<ParkedRow> = sqlx::query_as(PARK)
        .bind(salla_id)
        .bind(Disconnection::Parked.code())
        .bind(now.to_sqlx())
        .fetch_all(&mut *tx)
        .await?;
    for (connection, _, _, merchant) in &parked {
        if merchant.is_some() {
            changes::note(&mut tx, *connection, ConnectionChangeKind::Broken, now).await?;
        }
    }
    match dry_run {
        true => tx.rollback().await?,
        false => tx.commit().await?,
    }
    let parked = parked.into_iter();
    let parked = parked.map(|(_, salla_id, name, merchant)| Parked {
        salla_id,
        name,
        merchant: merchant.map(MerchantId),
    });
    Ok(parked.collect())
}

/// A connection that was at home in another database, or parked.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Adopted {
    /// Salla's id of the shop, where it is known.
    pub salla_id: Option<i64>,
    pub name: Option<String>,
}

/// What failed for want of a home, or because it was parked, counts as connected again. A token
/// that was presented before its connection was parked is in doubt, as after a response that was
/// lost.
const ADOPT: &str = "
    UPDATE salla_sync.connections c
    SET home = salla_sync.home(), bound_at = CASE WHEN c.is_current THEN now() ELSE c.bound_at END,
        state = CASE WHEN o.state <> 'DISCONNECTED' THEN o.state
                     WHEN o.refresh_presentations > 0 THEN 'REFRESHING' ELSE 'ACTIVE' END,
        refresh_started_at = CASE WHEN o.state = 'DISCONNECTED' AND o.refresh_presentations > 0
                                  THEN now() ELSE o.refresh_started_at END,
        refresh_lost_at = CASE WHEN o.state = 'DISCONNECTED' AND o.refresh_presentations > 0
                               THEN now() ELSE o.refresh_lost_at END,
        disconnected_why = NULL
    FROM salla_sync.connections o LEFT JOIN salla_sync.merchants m ON m.id = o.merchant_id
    WHERE c.id = o.id AND ($1::bigint IS NULL OR c.salla_id = $1)
      AND (c.state <> 'DISCONNECTED' AND c.home <> salla_sync.home()
           OR c.state = 'DISCONNECTED' AND c.disconnected_why = 'parked' AND c.access_token <> '')
    RETURNING c.salla_id, m.name, c.id, o.state = 'DISCONNECTED' AS was_parked";

/// Those of them that came from elsewhere.
const FOREIGN: &str = "
    SELECT c.salla_id, m.name
    FROM salla_sync.connections c LEFT JOIN salla_sync.merchants m ON m.id = c.merchant_id
    WHERE c.state <> 'DISCONNECTED' AND c.home <> salla_sync.home()
    ORDER BY m.name, c.salla_id";

pub(crate) async fn foreign(pool: &PgPool) -> Result<Vec<Adopted>, TxError> {
    Ok(sqlx::query_as(FOREIGN).fetch_all(pool).await?)
}

#[derive(sqlx::FromRow)]
struct AdoptedRow {
    id: Uuid,
    was_parked: bool,
    #[sqlx(flatten)]
    adopted: Adopted,
}

/// Those of one shop, or all.
pub(crate) async fn adopt(
    pool: &PgPool,
    salla_id: Option<i64>,
    dry_run: bool,
    now: Timestamp,
) -> Result<Vec<Adopted>, TxError> {
    let mut tx = begin_durable(pool).await?;
    let adopted: Vec<AdoptedRow> = sqlx::query_as(ADOPT)
        .bind(salla_id)
        .fetch_all(&mut *tx)
        .await?;
    for row in adopted.iter().filter(|row| row.was_parked) {
        changes::note(&mut tx, row.id, ConnectionChangeKind::Recovered, now).await?;
    }
    match dry_run {
        true => tx.rollback().await?,
        false => tx.commit().await?,
    }
    Ok(adopted.into_iter().map(|row| row.adopted).collect())
}
