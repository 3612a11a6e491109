//! Runs and shops, for workers and for people.

use domain::run::{RunId, RunState};
use domain::shop::MerchantId;
use importer::ports::jobs::RunFilter;
use importer::ports::runs::{Run, ShopSummary};
use sqlx::PgPool;
use uuid::Uuid;

use crate::error::TxError;
use crate::runs::rows::{RunRow, select_runs};

const BY_ID: &str = select_runs!("WHERE r.id = $1");

pub(crate) async fn find(pool: &PgPool, run: RunId) -> Result<Option<Run>, TxError> {
    let row: Option<RunRow> = sqlx::query_as(BY_ID)
        .bind(run.0)
        .fetch_optional(pool)
        .await?;
    Ok(row.map(Run::try_from).transpose()?)
}

#[derive(sqlx::FromRow)]
struct ShopRow {
    id: Uuid,
    salla_id: i64,
    name: String,
    plan: String,
}

impl From<ShopRow> for ShopSummary {
    fn from(row: ShopRow) -> Self {
        Self {
            merchant: MerchantId(row.id),
            salla_id: row.salla_id,
            name: row.name,
            plan: row.plan,
        }
    }
}

const SHOP: &str = "SELECT id, salla_id, name, plan FROM salla_sync.merchants WHERE id = $1";

pub(crate) async fn shop(
    pool: &PgPool,
    merchant: MerchantId,
) -> Result<Option<ShopSummary>, TxError> {
    let row: Option<ShopRow> = sqlx::query_as(SHOP)
        .bind(merchant.0)
        .fetch_optional(pool)
        .await?;
    Ok(row.map(ShopSummary::from))
}

const LIST: &str = select_runs!(
    "WHERE ($1::uuid IS NULL OR r.merchant_id = $1) AND ($2::text IS NULL OR r.state = $2)
     ORDER BY r.number DESC LIMIT $3"
);

const SHOPS: &str = "SELECT id, salla_id, name, plan FROM salla_sync.merchants WHERE id = ANY($1)";

pub(crate) async fn list(
    pool: &PgPool,
    filter: &RunFilter,
) -> Result<Vec<(ShopSummary, Run)>, TxError> {
    let rows: Vec<RunRow> = sqlx::query_as(LIST)
        .bind(filter.merchant.map(|merchant| merchant.0))
        .bind(filter.state.map(RunState::as_str))
        .bind(i64::from(filter.limit))
        .fetch_all(pool)
        .await?;
    let runs: Vec<Run> = rows
        .into_iter()
        .map(Run::try_from)
        .collect::<Result<_, _>>()?;
    let merchants: Vec<Uuid> = runs.iter().map(|run| run.merchant.0).collect();
    let shops: Vec<ShopRow> = sqlx::query_as(SHOPS)
        .bind(merchants)
        .fetch_all(pool)
        .await?;
    let shops: Vec<ShopSummary> = shops.into_iter().map(ShopSummary::from).collect();
    let with_shop = runs.into_iter().filter_map(|run| {
        let shop = shops.iter().find(|shop| shop.merchant == run.merchant)?;
        Some((shop.clone(), run))
    });
    Ok(with_shop.collect())
}
