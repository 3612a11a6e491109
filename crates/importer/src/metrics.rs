//! What the program counts and under which names: all of it is declared here, and
//! nothing else in the program knows a name.
//!
//! Numbers are of this process and start at 0 with it, except for those that are read from the
//! database at each scrape. Labels are few and closed, so that a thousand shops cost no more than
//! one: no merchant, no id, no path. Without an exporter every call does nothing.

use std::time::Duration;

use domain::failure::Failure;
use domain::rejection::RejectionCode;
use domain::resource::Resource;
use domain::run::RunState;
use metrics::{counter, gauge, histogram};

use crate::ports::landing::Landed;
use crate::ports::queue::{Depth, QueueName};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    Counter,
    Gauge,
    Histogram,
}

/// One declared metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    pub name: &'static str,
    pub kind: MetricKind,
    pub labels: &'static [&'static str],
    pub help: &'static str,
    /// Upper ends of a histogram's buckets.
    pub buckets: &'static [f64],
}

const SECONDS_OF_REQUESTS: &[f64] = &[0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
const SECONDS_OF_LANDINGS: &[f64] = &[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// Declares the metrics, and all of them together.
macro_rules! declare {
    (@) => { &[] };
    (@ $buckets:ident) => { $buckets };
    ($($kind:ident $metric:ident = $name:literal $labels:tt $($buckets:ident)?, $help:literal;)+) => {
        $(pub const $metric: Metric = Metric {
            name: $name,
            kind: MetricKind::$kind,
            labels: &$labels,
            help: $help,
            buckets: declare!(@ $($buckets)?),
        };)+

        pub const ALL: [Metric; 24] = [$($metric),+];
    };
}

declare! {
    Counter REQUESTS = "salla_sync_salla_requests_total" ["endpoint", "status"],
        "Requests to Salla by kind of endpoint and class of status; no_answer where none came.";
    Histogram REQUEST_DURATION = "salla_sync_salla_request_duration_seconds" ["endpoint"] SECONDS_OF_REQUESTS,
        "From sending a request to the last byte of its response.";
    Counter THROTTLED = "salla_sync_salla_throttled_total" [],
        "Responses 429: the shop's rate limit was exceeded, by us or by its other software.";
    Counter BLOCKED = "salla_sync_salla_blocked_total" [],
        "Responses 403 that mean a temporary block after too many requests.";
    Gauge BUDGET_LIMIT = "salla_sync_salla_budget_limit_requests" ["budget"],
        "X-RateLimit-Limit as last received, summed over the budgets in use.";
    Gauge BUDGET_REMAINING = "salla_sync_salla_budget_remaining_requests" ["budget"],
        "X-RateLimit-Remaining as last received, summed over the budgets in use.";
    Counter TOKEN_REFRESHES = "salla_sync_token_refreshes_total" ["outcome"],
        "Refresh tokens presented to Salla, by outcome.";
    Counter PAGES_LANDED = "salla_sync_pages_landed_total" ["resource"],
        "List pages written with their checkpoint, without repeated ones.";
    Counter ROWS_LANDED = "salla_sync_rows_landed_total" ["resource"],
        "Records of lists that were read and written, changed or not.";
    Counter DETAILS_LANDED = "salla_sync_details_landed_total" [],
        "Orders that were completed by their own request, and written.";
    Counter ROWS_REJECTED = "salla_sync_rows_rejected_total" ["resource", "code"],
        "Records that were rejected, by reason. A record that is read again counts again.";
    Histogram LANDING_DURATION = "salla_sync_landing_duration_seconds" ["what"] SECONDS_OF_LANDINGS,
        "One transaction that writes pages, details or changes, repetitions included.";
    Counter RUNS_ENDED = "salla_sync_runs_ended_total" ["state", "failure"],
        "Claims that ended, by the run's state and the failure's code.";
    Counter WEBHOOKS = "salla_sync_webhooks_total" ["event", "outcome"],
        "Deliveries of Salla's webhooks by event and outcome.";
    Counter CONSENTS = "salla_sync_consents_total" ["outcome"],
        "Merchants who returned from Salla's consent page, by the page they saw.";
    Gauge RUNS = "salla_sync_runs" ["state"],
        "Runs in the database by state; superseded ones are left out.";
    Gauge RUN_IDLE = "salla_sync_run_idle_seconds" [],
        "Seconds since anything landed, of the running run that has been idle longest; runs that wait \
         for Salla are left out.";
    Gauge QUEUE_MESSAGES = "salla_sync_queue_messages" ["queue", "state"],
        "Messages on a queue: ready, delayed, in_flight or dead.";
    Gauge QUEUE_OLDEST_READY = "salla_sync_queue_oldest_ready_seconds" ["queue"],
        "How long the oldest ready message has been ready; 0 if there is none.";
    Gauge SHOP_AGE = "salla_sync_shop_age_seconds" [],
        "Age of the latest complete run of everything, of the connected shop where it is oldest; shops \
         without a finished import or with a paused run are left out.";
    Gauge SHOPS_DUE = "salla_sync_shops_due" [],
        "Shops that are due to be brought up to date and for which no run was started yet; only from \
         workers that keep shops fresh.";
    Gauge KEEP_FRESH = "salla_sync_keep_fresh_seconds" [],
        "How often this worker has each shop brought up to date; only from workers that do.";
    Gauge DATABASE_UP = "salla_sync_database_up" [],
        "Whether the database responded to this scrape; values from it are NaN if not.";
    Gauge BUILD_INFO = "salla_sync_build_info" ["version"],
        "Always 1, with the version as a label; absent if no process runs.";
}

/// Describes the metrics to the exporter, which must be installed. Counters whose rate matters
/// start at 0: the rate of one that first appears as 1 is not seen.
pub fn describe(version: &'static str) {
    for metric in ALL {
        match metric.kind {
            MetricKind::Counter => metrics::describe_counter!(metric.name, metric.help),
            MetricKind::Gauge => metrics::describe_gauge!(metric.name, metric.help),
            MetricKind::Histogram => metrics::describe_histogram!(metric.name, metric.help),
        }
    }
    gauge!(BUILD_INFO.name, "version" => version).set(1.0);
    counter!(THROTTLED.name).absolute(0);
    counter!(BLOCKED.name).absolute(0);
    counter!(DETAILS_LANDED.name).absolute(0);
    for outcome in RefreshResult::ALL {
        counter!(TOKEN_REFRESHES.name, "outcome" => outcome.as_str()).absolute(0);
    }
    for resource in Resource::ALL {
        counter!(PAGES_LANDED.name, "resource" => resource.as_str()).absolute(0);
        counter!(ROWS_LANDED.name, "resource" => resource.as_str()).absolute(0);
        for code in RejectionCode::ALL {
            rejections(resource, code).absolute(0);
        }
    }
    for state in [RunState::Completed, RunState::Pending] {
        claims_ended(state, NO_FAILURE).absolute(0);
    }
    for code in Failure::codes() {
        claims_ended(RunState::Waiting, code).absolute(0);
        claims_ended(RunState::Failed, code).absolute(0);
    }
}

/// `endpoint` is a kind, never a path; `status` is absent where no response came.
pub fn request_ended(endpoint: &'static str, status: Option<u16>, took: Duration) {
    let class = match status {
        None => "no_answer",
        Some(100..=199) => "1xx",
        Some(200..=299) => "2xx",
        Some(300..=399) => "3xx",
        Some(400..=499) => "4xx",
        Some(_) => "5xx",
    };
    counter!(REQUESTS.name, "endpoint" => endpoint, "status" => class).increment(1);
    histogram!(REQUEST_DURATION.name, "endpoint" => endpoint).record(took.as_secs_f64());
    if status == Some(429) {
        counter!(THROTTLED.name).increment(1);
    }
}

pub fn blocked() {
    counter!(BLOCKED.name).increment(1);
}

/// By how much the sums over all budgets of this kind have changed.
pub fn budget_changed(budget: &'static str, limit: f64, remaining: f64) {
    gauge!(BUDGET_LIMIT.name, "budget" => budget).increment(limit);
    gauge!(BUDGET_REMAINING.name, "budget" => budget).increment(remaining);
}

domain::names! {
    /// What came of presenting a refresh token.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum RefreshResult {
        Renewed = "renewed",
        /// Nothing was presented; it is tried again.
        NotSent = "not_sent",
        /// Salla says that the token is not good: the merchant must act.
        InvalidGrant = "invalid_grant",
        /// Salla refuses for another reason: the operator must act.
        Refused = "refused",
        /// No response came, so the token may be spent.
        Lost = "lost",
    }
}

pub fn token_refresh(outcome: RefreshResult) {
    counter!(TOKEN_REFRESHES.name, "outcome" => outcome.as_str()).increment(1);
}

/// Pages of one resource have landed together.
pub fn pages_landed(resource: Resource, pages: u64, landed: &Landed, took: Duration) {
    let fresh = pages.saturating_sub(landed.repeated_pages);
    counter!(PAGES_LANDED.name, "resource" => resource.as_str()).increment(fresh);
    counter!(ROWS_LANDED.name, "resource" => resource.as_str()).increment(landed.loaded);
    histogram!(LANDING_DURATION.name, "what" => "pages").record(took.as_secs_f64());
}

pub fn details_landed(landed: &Landed, took: Duration) {
    counter!(DETAILS_LANDED.name).increment(landed.loaded);
    histogram!(LANDING_DURATION.name, "what" => "details").record(took.as_secs_f64());
}

/// Orders have landed beside the scans, because they changed meanwhile.
pub fn changes_landed(landed: &Landed, took: Duration) {
    let resource = Resource::Orders.as_str();
    counter!(ROWS_LANDED.name, "resource" => resource).increment(landed.loaded);
    histogram!(LANDING_DURATION.name, "what" => "changes").record(took.as_secs_f64());
}

pub fn rejected(resource: Resource, codes: impl IntoIterator<Item = RejectionCode>) {
    for code in codes {
        rejections(resource, code).increment(1);
    }
}

/// Records that were understood and that the database did not take.
pub fn refused(resource: Resource, landed: &Landed) {
    rejections(resource, RejectionCode::RefusedByDatabase).increment(landed.refused);
}

fn rejections(resource: Resource, code: RejectionCode) -> metrics::Counter {
    counter!(
        ROWS_REJECTED.name,
        "resource" => resource.as_str(), "code" => code.as_str()
    )
}

/// A delivery of a webhook was responded to.
pub fn webhook(event: &'static str, outcome: &'static str) {
    counter!(WEBHOOKS.name, "event" => event, "outcome" => outcome).increment(1);
}

/// A merchant who came back from the consent page was shown this.
pub fn consent_ended(outcome: &'static str) {
    counter!(CONSENTS.name, "outcome" => outcome).increment(1);
}

/// A claim ended and left the run in `state`.
pub fn run_ended(state: RunState, failure: Option<&Failure>) {
    claims_ended(state, failure.map_or(NO_FAILURE, Failure::code)).increment(1);
}

const NO_FAILURE: &str = "none";

fn claims_ended(state: RunState, failure: &'static str) -> metrics::Counter {
    counter!(RUNS_ENDED.name, "state" => state.as_str(), "failure" => failure)
}

/// What the database says of its runs and queues, at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub runs: Vec<(RunState, u64)>,
    pub idle: Duration,
    pub queues: Vec<(QueueName, Depth)>,
    /// Since when the shop is not known to be true that has waited longest.
    pub shop_age: Duration,
    /// Shops that are due to be brought up to date.
    pub shops_due: Option<u64>,
}

/// This process has each shop brought up to date so often.
pub fn keeps_fresh(every: Duration) {
    gauge!(KEEP_FRESH.name).set(every.as_secs_f64());
    gauge!(SHOPS_DUE.name).set(f64::NAN);
}

/// Shows a snapshot; `None`: the database did not answer, and old numbers would be
/// taken for new ones.
pub fn update_gauges(snapshot: Option<&Snapshot>, queues: &[QueueName]) {
    gauge!(DATABASE_UP.name).set(if snapshot.is_some() { 1.0 } else { 0.0 });
    let idle = snapshot.map(|known| known.idle.as_secs_f64());
    gauge!(RUN_IDLE.name).set(idle.unwrap_or(f64::NAN));
    let age = snapshot.map(|known| known.shop_age.as_secs_f64());
    gauge!(SHOP_AGE.name).set(age.unwrap_or(f64::NAN));
    if let Some(due) = snapshot.and_then(|known| known.shops_due) {
        gauge!(SHOPS_DUE.name).set(due as f64);
    }
    for state in RunState::ALL {
        let runs = snapshot.map(|known| {
            let runs = known.runs.iter().find(|(other, _)| *other == state);
            runs.map_or(0, |(_, count)| *count)
        });
        gauge!(RUNS.name, "state" => state.as_str()).set(number(runs));
    }
    for queue in queues {
        let depth = snapshot.map(|known| {
            let depth = known.queues.iter().find(|(other, _)| other == queue);
            depth.map_or_else(Depth::default, |(_, depth)| *depth)
        });
        show_queue(*queue, depth);
    }
}

fn show_queue(queue: QueueName, depth: Option<Depth>) {
    let states = [
        ("ready", depth.map(|depth| depth.ready)),
        ("delayed", depth.map(|depth| depth.delayed)),
        ("in_flight", depth.map(|depth| depth.in_flight)),
        ("dead", depth.map(|depth| depth.dead)),
    ];
    for (state, messages) in states {
        gauge!(QUEUE_MESSAGES.name, "queue" => queue.as_str(), "state" => state)
            .set(number(messages));
    }
    let oldest = depth.and_then(|depth| match (depth.oldest_ready, depth.ready) {
        (Some(age), _) => Some(age.as_secs_f64()),
        (None, 0) => Some(0.0),
        // The queue does not say.
        (None, _) => None,
    });
    gauge!(QUEUE_OLDEST_READY.name, "queue" => queue.as_str()).set(oldest.unwrap_or(f64::NAN));
}

fn number(count: Option<u64>) -> f64 {
    count.map_or(f64::NAN, |count| count as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The conventions of Prometheus: a prefix, base units, `_total` on what only grows.
    #[test]
    fn names_follow_the_conventions() {
        for metric in ALL {
            let name = metric.name;
            assert!(name.starts_with("salla_sync_"), "{name}");
            let is_counter = metric.kind == MetricKind::Counter;
            assert_eq!(name.ends_with("_total"), is_counter, "{name}");
            let is_histogram = metric.kind == MetricKind::Histogram;
            assert_eq!(!metric.buckets.is_empty(), is_histogram, "{name}");
            assert!(!is_histogram || name.ends_with("_seconds"), "{name}");
            assert!(metric.help.ends_with('.'), "{name}");
            let same = ALL.iter().filter(|other| other.name == name);
            assert_eq!(same.count(), 1, "{name}");
        }
    }
}
