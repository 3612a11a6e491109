//! Shops and runs as the API shows them.

use std::time::Duration;

use domain::run::RunState;
use importer::outlook::{Coverage, Eta};
use importer::ports::claims::SyncDepth;
use importer::ports::merchants::{MerchantConnection, MerchantRecord};
use importer::ports::overview::SyncStatus;
use importer::ports::runs::{RecordedFailure, Run};
use importer::start::Started;
use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::problem::Problem;

/// What is to be imported.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct StartRequest {
    /// How many months of orders there should be: 12 or 24. Customers and products are always
    /// imported whole.
    #[schema(example = 12)]
    sync_depth_months: u64,
}

impl StartRequest {
    pub(super) fn depth(&self) -> Result<SyncDepth, Problem> {
        SyncDepth::of_months(self.sync_depth_months)
            .ok_or_else(|| Problem::invalid("syncDepthMonths", "is 12 or 24"))
    }
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct StartResponse {
    /// `begun`: a run of everything begins. `extended`: the history is there, and a run begins that
    /// reads the older orders and what has changed. `catching_up`: a run begins that reads what has
    /// changed. `joined`: a run that is not over continues, as it was started.
    outcome: &'static str,
    run_id: Uuid,
    state: &'static str,
    /// What the run reads, which is less or more than was requested if it was joined.
    sync_depth_months: u16,
    /// Where to follow it.
    status_url: String,
}

impl StartResponse {
    pub(super) fn new(started: &Started, status_url: String) -> Self {
        let run = &started.run;
        Self {
            outcome: started.outcome.as_str(),
            run_id: run.id.0,
            state: run.state.as_str(),
            sync_depth_months: run.options.months,
            status_url,
        }
    }
}

/// A shop, its connection and its latest import.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct StatusView {
    merchant_id: Uuid,
    /// Salla's id of the shop.
    salla_id: i64,
    name: String,
    plan: String,
    connection: ConnectionView,
    /// Since when the app is not installed any more.
    uninstalled_at: Option<Timestamp>,
    /// Your own name of the customer whose shop it is, where that is known.
    account: Option<String>,
    /// Absent until an import was started.
    run: Option<RunView>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ConnectionView {
    /// `connected`, `disconnected` or `none`.
    state: &'static str,
    /// Why it no longer serves.
    reason: Option<&'static str>,
    detail: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RunView {
    id: Uuid,
    /// PENDING, IN_PROGRESS, WAITING, PAUSED, COMPLETED, FAILED or CANCELLED.
    state: &'static str,
    /// 100 only when COMPLETED.
    #[schema(minimum = 0, maximum = 100)]
    percent: u8,
    sync_depth_months: u16,
    days: DaysView,
    created_at: Timestamp,
    started_at: Option<Timestamp>,
    completed_at: Option<Timestamp>,
    /// When a waiting run resumes, or until when Salla's limits make it wait.
    waiting_until: Option<Timestamp>,
    resources: ResourcesView,
    coverage: CoverageView,
    eta: Option<EtaView>,
    /// Why it has FAILED or waits.
    last_error: Option<ErrorView>,
}

#[derive(Debug, Serialize, ToSchema)]
struct DaysView {
    from: Date,
    to: Date,
}

/// Different records that were imported: by this run, or by all so far where it only reads what
/// is older or has changed.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ResourcesView {
    orders: u64,
    /// Orders that have their amounts and line items.
    orders_completed: u64,
    customers: u64,
    products: u64,
    /// Records that could not be read.
    rejected: u64,
}

/// Since when orders are there without a gap.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CoverageView {
    totals_since: Option<Date>,
    line_items_since: Option<Date>,
}

/// How long it will still take, at best and at worst.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct EtaView {
    min_seconds: u64,
    max_seconds: u64,
    reason: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ErrorView {
    /// Stable, for programs.
    code: String,
    message: String,
    /// What the reader can do.
    advice: String,
}

impl From<&RecordedFailure> for ErrorView {
    fn from(failure: &RecordedFailure) -> Self {
        Self {
            code: failure.code.clone(),
            message: failure.message.clone(),
            advice: failure.advice.clone(),
        }
    }
}

impl StatusView {
    pub(super) fn new(merchant: MerchantRecord, run: Option<RunView>) -> Self {
        let (state, reason) = match merchant.connection {
            MerchantConnection::None => ("none", None),
            MerchantConnection::Connected => ("connected", None),
            MerchantConnection::Disconnected(reason) => ("disconnected", Some(reason)),
        };
        Self {
            merchant_id: merchant.shop.merchant.0,
            salla_id: merchant.shop.salla_id,
            name: merchant.shop.name,
            plan: merchant.shop.plan,
            connection: ConnectionView {
                state,
                reason: reason.map(|reason| reason.code()),
                detail: reason.map(|reason| reason.to_string()),
            },
            uninstalled_at: merchant.uninstalled_at,
            account: merchant.account,
            run,
        }
    }
}

impl RunView {
    pub(super) fn new(status: &SyncStatus, coverage: Coverage, eta: Option<Eta>) -> Self {
        let (run, counts) = (&status.run, &status.counts);
        let seconds = |duration: Duration| duration.as_secs();
        Self {
            id: run.id.0,
            state: run.state.as_str(),
            percent: percent(run),
            sync_depth_months: run.options.months,
            days: DaysView {
                from: run.range.from,
                to: run.range.to,
            },
            created_at: run.created_at,
            started_at: run.started_at,
            completed_at: run.completed_at,
            waiting_until: run.waiting_until,
            resources: ResourcesView {
                orders: counts.orders,
                orders_completed: counts.order_details,
                customers: counts.customers,
                products: counts.products,
                rejected: counts.rejected,
            },
            coverage: CoverageView {
                totals_since: coverage.totals_since,
                line_items_since: coverage.line_items_since,
            },
            eta: eta.map(|eta| EtaView {
                min_seconds: seconds(eta.min),
                max_seconds: seconds(eta.max),
                reason: eta.reason,
            }),
            last_error: run.failure.as_ref().map(ErrorView::from),
        }
    }
}

fn percent(run: &Run) -> u8 {
    match run.state {
        RunState::Completed => 100,
        _ => run.progress.percent.min(99),
    }
}
