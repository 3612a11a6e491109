//! Merchants, and the overview of all of them.

use std::collections::HashMap;

use domain::shop::{MerchantId, ShopInfo};
use importer::ports::runs::{Run, ShopSummary};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::PgPool;
use uuid::Uuid;

use crate::failure::Trouble;
use crate::runs::rows::{RunRow, select_runs};
use crate::text::{optional, storable};

/// What Salla does not tell this time stays as it was.
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

pub(crate) async fn ensure(
    pool: &PgPool,
    new_id: Uuid,
    shop: &ShopInfo,
    now: Timestamp,
) -> Result<MerchantId, Trouble> {
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

pub(crate) async fn list(pool: &PgPool) -> Result<Vec<(ShopSummary, Option<Run>)>, Trouble> {
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
