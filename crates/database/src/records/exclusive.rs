//! Writing beside the imports of the same shop, never at the same time.

use std::collections::HashMap;

use domain::run::RunId;
use domain::shop::MerchantId;
use importer::ports::landing::RunLease;
use importer::ports::runs::LeaseHolder;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::TxError;
use crate::future::lease_lasts;
use crate::transaction::LockedRun;

/// No process can start a run of the shop until the transaction ends, and what it writes to salla
/// does not count as altered …
const NO_NEW_RUN: &str = "
    SELECT set_config('salla_sync.landing', 'on', true)
    FROM salla_sync.merchants WHERE id = $1 FOR NO KEY UPDATE";

/// … nor claim one that is there: a claim locks its run FOR UPDATE.
const NO_CLAIM: &str = concat!(
    "SELECT r.lease_owner, r.lease_until, coalesce(r.state = 'IN_PROGRESS' AND ",
    lease_lasts!(),
    ", false) AS is_held
    FROM salla_sync.sync_runs r
    WHERE r.merchant_id = $1 AND r.state <> 'COMPLETED' AND r.superseded_at IS NULL
    FOR KEY SHARE OF r"
);

#[derive(sqlx::FromRow)]
struct OpenRun {
    lease_owner: Option<String>,
    lease_until: Option<jiff_sqlx::Timestamp>,
    is_held: bool,
}

/// Keeps imports of the shop out until the transaction ends, or says who is at it.
pub(crate) async fn take(
    tx: &mut PgConnection,
    merchant: MerchantId,
) -> Result<Option<LeaseHolder>, TxError> {
    sqlx::query(NO_NEW_RUN)
        .bind(merchant.0)
        .execute(&mut *tx)
        .await?;
    let open: Vec<OpenRun> = sqlx::query_as(NO_CLAIM)
        .bind(merchant.0)
        .fetch_all(tx)
        .await?;
    let held = open.into_iter().find(|run| run.is_held);
    let holder = held.and_then(|run| {
        Some(LeaseHolder {
            owner: run.lease_owner.unwrap_or_default(),
            until: run.lease_until?.to_jiff(),
        })
    });
    Ok(holder)
}

const RUNS: &str = "
    SELECT id, number, keep_raw, fencing,
           row_security_active('salla_sync.source_records') AS is_secured
    FROM salla_sync.sync_runs WHERE merchant_id = $1";

/// A run that something counts for although it is not worked on.
#[derive(sqlx::FromRow)]
pub(super) struct AnyRun {
    id: Uuid,
    number: i64,
    keep_raw: bool,
    fencing: i64,
    is_secured: bool,
}

impl AnyRun {
    pub(super) fn held(self, merchant: MerchantId) -> LockedRun {
        LockedRun {
            lease: RunLease {
                run: RunId(self.id),
                merchant,
                fencing_token: self.fencing,
            },
            merchant,
            number: self.number,
            keep_raw: self.keep_raw,
            has_open_rejections: true,
            has_altered_records: true,
            rewrites: false,
            is_secured: self.is_secured,
        }
    }
}

/// All runs of a shop. What is landed again counts for the run that met it, as if it
/// had been understood then.
pub(crate) async fn runs(
    tx: &mut PgConnection,
    merchant: MerchantId,
) -> Result<HashMap<i64, LockedRun>, TxError> {
    let runs: Vec<AnyRun> = sqlx::query_as(RUNS).bind(merchant.0).fetch_all(tx).await?;
    let runs = runs.into_iter();
    let runs = runs.map(|run| (run.number, run.held(merchant)));
    Ok(runs.collect())
}
