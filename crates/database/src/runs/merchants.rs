//! Merchants, and the overview of all of them.

use std::collections::HashMap;

use domain::ceiling::Ceiling;
use domain::shop::{MerchantId, ShopInfo};
use importer::ports::landing::RunLease;
use importer::ports::runs::{Run, ShopSummary};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::PgPool;
use uuid::Uuid;

use crate::columns::{optional, storable};
use crate::error::TxError;
use crate::runs::rows::{RunRow, select_runs};
use crate::transaction::lock_run;

/// What Salla does not send this time stays as it was.
const ENSURE: &str = "
    INSERT INTO salla_sync.merchants AS m
        (id, salla_id, name, plan, kind, status, currency, domain, created_at, updated_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)
    ON CONFLICT (salla_id) DO UPDATE SET
        name = excluded.name, plan = excluded.plan,
        kind = coalesce(excluded.kind, m.kind), status = coalesce(excluded.status, m.status),
        currency = coalesce(excluded.currency, m.currency),
        domain = coalesce(excluded.domain, m.domain), updated_at = excluded.updated_at
    RETURNING id";

const CEILING: &str = "SELECT list_ceiling FROM salla_sync.merchants WHERE id = $1";

pub(crate) async fn ceiling(pool: &PgPool, merchant: MerchantId) -> Result<Ceiling, TxError> {
    let rows: Option<Option<i64>> = sqlx::query_scalar(CEILING)
        .bind(merchant.0)
        .fetch_optional(pool)
        .await?;
    Ok(ceiling_of(rows.flatten()))
}

pub(crate) fn ceiling_of(rows: Option<i64>) -> Ceiling {
    rows.map_or(Ceiling::UNKNOWN, |rows| Ceiling::of(rows.cast_unsigned()))
}

const REMEMBER_CEILING: &str = "
    UPDATE salla_sync.merchants SET list_ceiling = $2 WHERE id = $1";

pub(crate) async fn remember_ceiling(
    pool: &PgPool,
    lease: RunLease,
    ceiling: Ceiling,
) -> Result<(), TxError> {
    let mut tx = pool.begin().await?;
    lock_run(&mut tx, lease).await?;
    sqlx::query(REMEMBER_CEILING)
        .bind(lease.merchant.0)
        .bind(ceiling.learned().map(u64::cast_signed))
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(())
}

pub(crate) async fn ensure(
    pool: &PgPool,
    new_id: Uuid,
    shop: &ShopInfo,
    now: Timestamp,
) -> Result<MerchantId, TxError> {
    let id = sqlx::query_scalar(ENSURE)
        .bind(new_id)
        .bind(shop.salla_id)
        .bind(storable(&shop.name))
        .bind(storable(shop.plan.name()))
        .bind(optional(&shop.kind))
        .bind(optional(&shop.status))
        .bind(optional(&shop.currency))
        .bind(optional(&shop.domain))
        .bind(now.to_sqlx())
        .fetch_one(pool)
        .await?;
    Ok(MerchantId(id))
}

const SHOPS: &str =
    "SELECT id, salla_id, name, plan FROM salla_sync.merchants ORDER BY name, salla_id";

const LATEST_OF_ALL: &str = select_runs!(
    "WHERE r.number IN (SELECT max(number) FROM salla_sync.sync_runs GROUP BY merchant_id)"
);

pub(crate) async fn list(pool: &PgPool) -> Result<Vec<(ShopSummary, Option<Run>)>, TxError> {
    let shops: Vec<(Uuid, i64, String, String)> = sqlx::query_as(SHOPS).fetch_all(pool).await?;
    let rows: Vec<RunRow> = sqlx::query_as(LATEST_OF_ALL).fetch_all(pool).await?;
    let mut latest = HashMap::new();
    for row in rows {
        let run = Run::try_from(row)?;
        latest.insert(run.merchant.0, run);
    }
    let overview = shops.into_iter().map(|(id, salla_id, name, plan)| {
        let shop = ShopSummary {
            merchant: MerchantId(id),
            salla_id,
            name,
            plan,
        };
        (shop, latest.remove(&id))
    });
    Ok(overview.collect())
}
