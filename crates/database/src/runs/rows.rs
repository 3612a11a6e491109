//! Runs as rows.

use std::time::Duration;

use domain::certificate::Certificate;
use domain::failure::{DatabaseCause, Failure};
use domain::plan::Plan;
use domain::run::{RunId, RunState};
use domain::shop::MerchantId;
use domain::window::DayRange;
use importer::ports::runs::{
    CatchUp, ChangeHead, Held, LeaseHolder, Owner, ProcessId, RecordedFailure, Run, RunOptions,
    RunScope, StoredProgress,
};
use sqlx::types::Json;
use uuid::Uuid;

use crate::ids::parse_resource;

/// A run as its row has it. `is_held` is the database's word on whether the lease
/// still runs.
#[derive(Debug, sqlx::FromRow)]
pub(crate) struct RunRow {
    id: Uuid,
    merchant_id: Uuid,
    state: String,
    months: i32,
    max_orders: Option<i64>,
    keep_raw: bool,
    only_resource: Option<String>,
    range_from: jiff_sqlx::Date,
    range_to: jiff_sqlx::Date,
    created_at: jiff_sqlx::Timestamp,
    started_at: Option<jiff_sqlx::Timestamp>,
    completed_at: Option<jiff_sqlx::Timestamp>,
    pub(crate) is_job: bool,
    waiting_until: Option<jiff_sqlx::Timestamp>,
    ended_at: Option<jiff_sqlx::Timestamp>,
    made_progress: bool,
    plan: Option<Json<Plan>>,
    certificate: Option<Json<Certificate>>,
    failure_code: Option<String>,
    failure_message: Option<String>,
    failure_advice: Option<String>,
    pub(crate) fencing: i64,
    lease_owner: Option<String>,
    lease_until: Option<jiff_sqlx::Timestamp>,
    lease_left: Option<f64>,
    /// Of the claim with this fencing number only.
    lease_host: Option<String>,
    lease_pid: Option<i64>,
    lease_process_started: Option<i64>,
    pub(crate) is_held: bool,
    /// Another import was started instead of resuming this one.
    pub(crate) is_superseded: bool,
    progress_percent: i32,
    orders: i64,
    order_details: i64,
    customers: i64,
    products: i64,
    rejected: i64,
    pages: i64,
    since_run: Option<Uuid>,
    refreshes_lists: bool,
    change_head: Option<Json<ChangeHead>>,
}

/// The columns of [`RunRow`], of a run named `r`. Certificates of large shops are long, so who
/// does not need it selects `NULL` in its place.
macro_rules! select_runs {
    ($rest:literal) => {
        select_runs!("r.certificate", "", $rest)
    };
    ($certificate:literal, $more:literal, $rest:literal) => {
        concat!(
            "SELECT r.id, r.merchant_id, r.state, r.months, r.max_orders, r.keep_raw, \
             r.only_resource::text AS only_resource, \
             r.range_from, r.range_to, r.created_at, r.started_at, r.completed_at, \
             r.is_job, r.waiting_until, r.ended_at, \
             coalesce(r.progress_fencing = r.fencing, false) AS made_progress, r.plan, ",
            $certificate,
            " AS certificate, r.failure_code, r.failure_message, r.failure_advice, r.fencing, \
             r.lease_owner, r.lease_until, \
             extract(epoch FROM r.lease_until - now())::float8 AS lease_left, \
             CASE WHEN r.lease_process_fencing = r.fencing THEN r.lease_host END AS lease_host, \
             r.lease_pid, r.lease_process_started, \
             coalesce(r.state = 'IN_PROGRESS' AND ",
            $crate::future::lease_lasts!(),
            ", false) AS is_held, \
             r.superseded_at IS NOT NULL AS is_superseded, \
             r.progress_percent, r.orders, r.order_details, r.customers, r.products, r.rejected, \
             r.pages, r.since_run, r.refreshes_lists, r.change_head",
            $more,
            " FROM salla_sync.sync_runs r ",
            $rest
        )
    };
}
pub(crate) use select_runs;

impl TryFrom<RunRow> for Run {
    type Error = Failure;

    fn try_from(row: RunRow) -> Result<Self, Failure> {
        let state = row.state()?;
        let holder = row.holder();
        let progress = row.progress();
        let range = DayRange {
            from: row.range_from.to_jiff(),
            to: row.range_to.to_jiff(),
        };
        let only = row
            .only_resource
            .as_deref()
            .map(parse_resource)
            .transpose()?;
        Ok(Self {
            id: RunId(row.id),
            merchant: MerchantId(row.merchant_id),
            state,
            options: RunOptions {
                months: u16::try_from(row.months).unwrap_or(u16::MAX),
                max_orders: row.max_orders.map(i64::cast_unsigned),
                keep_raw: row.keep_raw,
                only: only.map(|resource| RunScope {
                    resource,
                    days: resource.has_windows().then_some(range),
                }),
            },
            range,
            created_at: row.created_at.to_jiff(),
            started_at: row.started_at.map(jiff_sqlx::Timestamp::to_jiff),
            completed_at: row.completed_at.map(jiff_sqlx::Timestamp::to_jiff),
            is_job: row.is_job,
            waiting_until: row.waiting_until.map(jiff_sqlx::Timestamp::to_jiff),
            ended_at: row.ended_at.map(jiff_sqlx::Timestamp::to_jiff),
            made_progress: row.made_progress,
            plan: row.plan.map(|json| json.0),
            failure: row.failure_code.map(|code| RecordedFailure {
                code,
                message: row.failure_message.unwrap_or_default(),
                advice: row.failure_advice.unwrap_or_default(),
            }),
            certificate: row.certificate.map(|json| json.0),
            holder,
            progress,
            catches_up: row.since_run.map(|since| CatchUp {
                since: RunId(since),
                refreshes_lists: row.refreshes_lists,
            }),
            change_head: row.change_head.map(|json| json.0),
        })
    }
}

impl RunRow {
    pub(crate) fn state(&self) -> Result<RunState, Failure> {
        RunState::parse(&self.state).ok_or_else(|| Failure::Database {
            message: format!(
                "a run is in the state {}, which is unknown to this version",
                self.state
            ),
            cause: DatabaseCause::Setup,
        })
    }

    /// Who holds the run now; a lease that ran out holds nothing.
    pub(crate) fn holder(&self) -> Option<LeaseHolder> {
        let until = self.lease_until.filter(|_| self.is_held)?;
        Some(LeaseHolder {
            owner: self.lease_owner.clone().unwrap_or_default(),
            until: until.to_jiff(),
        })
    }

    /// The process that made the present claim, if it left its name.
    fn process(&self) -> Option<ProcessId> {
        Some(ProcessId {
            host: self.lease_host.clone()?,
            pid: u32::try_from(self.lease_pid?).ok()?,
            started: self.lease_process_started?.cast_unsigned(),
        })
    }

    /// Who holds the run now, as `owner` sees it.
    pub(crate) fn held(&self, owner: &Owner) -> Option<Held> {
        let holder = self.holder()?;
        let process = self.process();
        Some(Held {
            holder,
            lapses_in: Duration::try_from_secs_f64(self.lease_left?).unwrap_or_default(),
            is_abandoned: process.is_some_and(|process| owner.processes.is_gone(&process)),
        })
    }

    fn progress(&self) -> StoredProgress {
        StoredProgress {
            percent: u8::try_from(self.progress_percent).unwrap_or(100),
            orders: self.orders.cast_unsigned(),
            order_details: self.order_details.cast_unsigned(),
            customers: self.customers.cast_unsigned(),
            products: self.products.cast_unsigned(),
            rejected: self.rejected.cast_unsigned(),
            pages: self.pages.cast_unsigned(),
        }
    }
}
