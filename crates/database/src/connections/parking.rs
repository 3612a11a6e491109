//! Shops whose work has to rest: their tokens stay, and nobody uses them.

use domain::connection_change::ConnectionChangeKind;
use domain::failure::Disconnection;
use domain::shop::MerchantId;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::PgPool;
use uuid::Uuid;

use crate::connections::changes;
use crate::failure::Trouble;
use crate::transaction::begin_durable;

/// A connection that was parked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parked {
    /// Salla's number of the shop, where it is known.
    pub salla_id: Option<i64>,
    pub name: Option<String>,
    /// Whose it is, if it is that merchant's current one.
    pub merchant: Option<MerchantId>,
}

/// How often a refresh token was presented, and in whose name, stays: whoever presented it may
/// still bring the answer, and nobody presents it again without knowing.
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
) -> Result<Vec<Parked>, Trouble> {
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
