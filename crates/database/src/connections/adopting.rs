//! Tokens that came here with a copy, a backup or a failover.

use sqlx::PgPool;

use crate::failure::Trouble;
use crate::transaction::begin_durable;

/// A connection that was at home in another database.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Adopted {
    /// Salla's number of the shop, where it is known.
    pub salla_id: Option<i64>,
    pub name: Option<String>,
}

/// What failed for want of a home counts as connected again.
const ADOPT: &str = "
    UPDATE salla_sync.connections c
    SET home = salla_sync.home(), bound_at = CASE WHEN c.is_current THEN now() ELSE c.bound_at END
    FROM salla_sync.connections o LEFT JOIN salla_sync.merchants m ON m.id = o.merchant_id
    WHERE c.id = o.id AND c.state <> 'DISCONNECTED' AND c.home <> salla_sync.home()
    RETURNING c.salla_id, m.name";

/// Those that [`ADOPT`] would change.
const FOREIGN: &str = "
    SELECT c.salla_id, m.name
    FROM salla_sync.connections c LEFT JOIN salla_sync.merchants m ON m.id = c.merchant_id
    WHERE c.state <> 'DISCONNECTED' AND c.home <> salla_sync.home()
    ORDER BY m.name, c.salla_id";

pub(crate) async fn foreign(pool: &PgPool) -> Result<Vec<Adopted>, Trouble> {
    Ok(sqlx::query_as(FOREIGN).fetch_all(pool).await?)
}

pub(crate) async fn adopt(pool: &PgPool, dry_run: bool) -> Result<Vec<Adopted>, Trouble> {
    let mut tx = begin_durable(pool).await?;
    let adopted = sqlx::query_as(ADOPT).fetch_all(&mut *tx).await?;
    match dry_run {
        true => tx.rollback().await?,
        false => tx.commit().await?,
    }
    Ok(adopted)
}
