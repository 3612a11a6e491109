//! What the command line and the metrics read: rejections, progress, and the states of all runs.

use std::time::Duration;

use domain::failure::Failure;
use domain::rejection::RejectionCode;
use domain::resource::Resource;
use domain::run::RunState;
use domain::shop::MerchantId;
use importer::ports::overview::RejectedEntry;
use jiff::Timestamp;

use crate::connect::Database;
use crate::error::database_failure;
use crate::future::in_future;
use crate::jobs::{ShopsFreshness, shops_freshness};
use crate::overview::RejectionRow;

/// Which rejections to show; `None` means all.
#[derive(Clone, Copy, Debug)]
pub struct RejectedFilter {
    pub merchant: Option<MerchantId>,
    pub resource: Option<Resource>,
    pub code: Option<RejectionCode>,
    pub limit: u32,
}

const REJECTED: &str = "
    SELECT id, resource::text, kind, salla_id, code, json_path, message, raw, first_seen_at,
           last_seen_at
    FROM salla_sync.rejected_records
    WHERE resolved_at IS NULL
      AND ($1::uuid IS NULL OR merchant_id = $1)
      AND ($2::text IS NULL OR resource = $2::salla_sync.resource)
      AND ($3::text IS NULL OR code = $3)
    ORDER BY last_seen_at DESC, id DESC
    LIMIT $4";

const LAST_PROGRESS: &str = "
    SELECT max(updated_at) FROM salla_sync.merchant_sync_status
    WHERE $1::uuid IS NULL OR merchant_id = $1";

/// What was said at the end of a claim holds for the next one, until that has got further.
const NEXT_REQUEST: &str = "
    SELECT extract(epoch FROM r.next_request_at - now())::float8
    FROM salla_sync.merchant_sync_status s JOIN salla_sync.sync_runs r ON r.id = s.run_id
    WHERE s.merchant_id = $1
      AND (r.next_request_fencing = r.fencing
           OR r.next_request_fencing = r.fencing - 1 AND r.state = 'IN_PROGRESS'
              AND r.pages + r.order_details = r.work_at_claim)";

impl Database {
    /// Open rejections, the latest first.
    pub async fn rejected(&self, filter: RejectedFilter) -> Result<Vec<RejectedEntry>, Failure> {
        let rows: Vec<RejectionRow> = sqlx::query_as(REJECTED)
            .bind(filter.merchant.map(|m| m.0))
            .bind(filter.resource.map(Resource::as_str))
            .bind(filter.code.map(RejectionCode::as_str))
            .bind(i64::from(filter.limit))
            .fetch_all(self.pool())
            .await
            .map_err(|error| database_failure("reading rejections", &error))?;
        rows.into_iter().map(RejectionRow::entry).collect()
    }

    /// When an import of this merchant, or of any, last wrote; by the clock of that
    /// import.
    pub async fn last_progress(
        &self,
        merchant: Option<MerchantId>,
    ) -> Result<Option<Timestamp>, Failure> {
        let last: Option<jiff_sqlx::Timestamp> = sqlx::query_scalar(LAST_PROGRESS)
            .bind(merchant.map(|merchant| merchant.0))
            .fetch_one(self.pool())
            .await
            .map_err(|error| database_failure("reading the last progress", &error))?;
        Ok(last.map(jiff_sqlx::Timestamp::to_jiff))
    }

    /// How long the shop is to be sent nothing, if the process that worked on its run last has said so.
    pub async fn next_request(&self, merchant: MerchantId) -> Result<Option<Duration>, Failure> {
        let wait: Option<f64> = sqlx::query_scalar(NEXT_REQUEST)
            .bind(merchant.0)
            .fetch_optional(self.pool())
            .await
            .map_err(|error| database_failure("reading when a shop accepts requests", &error))?;
        Ok(wait.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default()))
    }
}

/// How the runs are doing, superseded ones aside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunStates {
    /// States in which there is no run may be missing.
    pub counts: Vec<(RunState, u64)>,
    /// How long nothing has landed, of the run in progress that has been idle longest and does not
    /// wait for Salla.
    pub idle: Duration,
}

/// By the database's clock, except for the times until which a run waits for Salla.
const STATES: &str = "
    SELECT state, count(*),
        extract(epoch FROM now() - min(progressed_at) FILTER (
            WHERE state = 'IN_PROGRESS' AND coalesce(waiting_until, '-infinity') < now()
        ))::float8
    FROM salla_sync.sync_runs WHERE superseded_at IS NULL GROUP BY state";

impl Database {
    /// Whether the queue can be read; what lies in it is not counted.
    pub async fn queue_responds(&self) -> Result<(), Failure> {
        let sql = "SELECT EXISTS (SELECT FROM salla_sync.queue_messages)";
        let read: Result<bool, sqlx::Error> = sqlx::query_scalar(sql).fetch_one(self.pool()).await;
        read.map(drop)
            .map_err(|error| database_failure("reading the queue", &error))
    }

    /// Counts all runs; not retried, because the caller repeats it.
    pub async fn run_states(&self) -> Result<RunStates, Failure> {
        let rows: Vec<(String, i64, Option<f64>)> = sqlx::query_as(STATES)
            .fetch_all(self.pool())
            .await
            .map_err(|error| database_failure("counting runs", &error))?;
        let mut states = RunStates::default();
        for (state, count, idle) in rows {
            let idle = Duration::try_from_secs_f64(idle.unwrap_or(0.0)).unwrap_or_default();
            states.idle = states.idle.max(idle);
            // A newer version may know a state that this one does not.
            if let Some(state) = RunState::parse(&state) {
                states.counts.push((state, count.cast_unsigned()));
            }
        }
        Ok(states)
    }
}

/// Records whose version lies in the future.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FutureVersions {
    pub records: u64,
    pub merchants: u64,
    /// How far the latest one lies in the future.
    pub ahead: Duration,
}

const COUNT_FUTURE: &str = concat!(
    "SELECT count(*), count(DISTINCT merchant_id),
        coalesce(extract(epoch FROM max(latest) - clock_timestamp()), 0)::float8
    FROM (
        SELECT merchant_id, greatest(list_version, list_since, detail_version, gone_at) AS latest
        FROM salla_sync.source_records
        UNION ALL
        SELECT merchant_id, version FROM salla_sync.rejected_records WHERE resolved_at IS NULL
    ) read
    WHERE ($1::uuid IS NULL OR merchant_id = $1) AND ",
    in_future!("latest")
);

impl Database {
    /// Counts records of one shop or of all whose version lies in the future. It reads every
    /// record.
    pub async fn future_versions(
        &self,
        merchant: Option<MerchantId>,
    ) -> Result<FutureVersions, Failure> {
        let (records, merchants, ahead): (i64, i64, f64) = sqlx::query_as(COUNT_FUTURE)
            .bind(merchant.map(|merchant| merchant.0))
            .fetch_one(self.pool())
            .await
            .map_err(|error| {
                database_failure("counting records whose version lies in the future", &error)
            })?;
        Ok(FutureVersions {
            records: records.cast_unsigned(),
            merchants: merchants.cast_unsigned(),
            ahead: Duration::try_from_secs_f64(ahead).unwrap_or_default(),
        })
    }
}

impl Database {
    /// Not tried again, because the one that requests it will request it again.
    pub async fn freshness(&self, every: Option<Duration>) -> Result<ShopsFreshness, Failure> {
        shops_freshness(self.pool(), every, self.clock().now())
            .await
            .map_err(|error| database_failure("reading how recent the shops' data is", &error))
    }
}
