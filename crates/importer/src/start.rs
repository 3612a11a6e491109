//! Starting what is missing of a shop's history, however often it is requested.

use std::sync::Arc;

use domain::failure::Failure;
use domain::instant::riyadh_date;
use domain::resource::Resource;
use domain::run::RunState;
use domain::shop::MerchantId;
use domain::window::DayRange;
use jiff::ToSpan as _;
use jiff::civil::Date;

use crate::ports::clock::Clock;
use crate::ports::jobs::Jobs;
use crate::ports::runs::{Only, Run, RunOptions, Runs};

/// How many months of orders somebody wants: nothing else can be requested from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncDepth {
    Months12,
    Months24,
}

impl SyncDepth {
    pub fn months(self) -> u16 {
        match self {
            Self::Months12 => 12,
            Self::Months24 => 24,
        }
    }

    pub fn of_months(months: u64) -> Option<Self> {
        match months {
            12 => Some(Self::Months12),
            24 => Some(Self::Months24),
            _ => None,
        }
    }
}

/// What came of a request for an import.
#[derive(Clone, Debug, PartialEq)]
pub enum Started {
    /// A run of everything begins.
    Begun(Box<Run>),
    /// A run begins that reads only the older orders; the rest is there.
    Extended(Box<Run>),
    /// One that is not over continues, as it was started.
    Joined(Box<Run>),
    /// All of it has been imported.
    Complete(Box<Run>),
}

impl Started {
    pub fn run(&self) -> &Run {
        match self {
            Self::Begun(run) | Self::Extended(run) | Self::Joined(run) | Self::Complete(run) => run,
        }
    }

    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Begun(_) => "begun",
            Self::Extended(_) => "extended",
            Self::Joined(_) => "joined",
            Self::Complete(_) => "complete",
        }
    }
}

#[derive(Clone)]
pub struct Starter {
    pub runs: Arc<dyn Runs>,
    pub jobs: Arc<dyn Jobs>,
    pub clock: Arc<dyn Clock>,
}

impl Starter {
    /// Starts what is missing of `depth`: everything, the gap before what was imported, or
    /// nothing. A run that is not over is joined, and a FAILED one resumes. May be repeated.
    pub async fn start(&self, merchant: MerchantId, depth: SyncDepth) -> Result<Started, Failure> {
        let today = riyadh_date(self.clock.now());
        let wanted = DayRange::last_months(today, depth.months());
        let options = RunOptions {
            months: depth.months(),
            max_orders: None,
            keep_raw: true,
            only: None,
        };
        let latest = self.runs.latest(merchant).await?;
        let open = latest.filter(|run| is_open(run.state));
        if let Some(open) = open {
            // Its message is on its way, or the sweep sends another one.
            if open.is_job && open.state != RunState::Failed {
                return Ok(Started::Joined(Box::new(open)));
            }
            let joined = self.jobs.start(merchant, &open.options, open.range).await?;
            return Ok(Started::Joined(Box::new(joined)));
        }
        let completed = self.runs.completed_days(merchant).await?;
        let Some(since) = covered_since(&completed) else {
            let run = self.jobs.start(merchant, &options, wanted).await?;
            return Ok(Started::Begun(Box::new(run)));
        };
        let gap = DayRange::new(wanted.from, since.saturating_sub(1.day()));
        if let Some(days) = gap {
            let only = Only {
                resource: Resource::Orders,
                days: Some(days),
            };
            let options = RunOptions {
                only: Some(only),
                ..options
            };
            let run = self.jobs.start(merchant, &options, days).await?;
            return Ok(Started::Extended(Box::new(run)));
        }
        let latest = self.runs.latest(merchant).await?;
        match latest {
            Some(run) => Ok(Started::Complete(Box::new(run))),
            // Its rows were deleted in between.
            None => {
                let run = self.jobs.start(merchant, &options, wanted).await?;
                Ok(Started::Begun(Box::new(run)))
            }
        }
    }
}

fn is_open(state: RunState) -> bool {
    !matches!(state, RunState::Completed | RunState::Cancelled)
}

/// Since when the finished runs cover every day. Runs that continue the latest one
/// backwards count; others leave a gap that has to be read.
pub fn covered_since(completed: &[DayRange]) -> Option<Date> {
    let mut since = completed.iter().max_by_key(|days| days.to)?.from;
    loop {
        let earlier = completed
            .iter()
            .filter(|days| days.from < since && since.saturating_sub(1.day()) <= days.to)
            .map(|days| days.from)
            .min();
        match earlier {
            Some(day) => since = day,
            None => return Some(since),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(from: &str, to: &str) -> DayRange {
        DayRange::new(from.parse().unwrap(), to.parse().unwrap()).unwrap()
    }

    #[test]
    fn only_days_without_a_gap_count_as_covered() {
        let latest = days("2025-01-01", "2025-12-31");
        let table = [
            (vec![], None),
            (vec![latest], Some("2025-01-01")),
            (
                vec![latest, days("2024-06-01", "2024-12-31")],
                Some("2024-06-01"),
            ),
            (
                vec![latest, days("2024-06-01", "2025-03-31")],
                Some("2024-06-01"),
            ),
            (
                vec![latest, days("2024-06-01", "2024-12-30")],
                Some("2025-01-01"),
            ),
            (
                vec![
                    days("2024-01-01", "2024-05-31"),
                    latest,
                    days("2024-06-01", "2024-12-31"),
                ],
                Some("2024-01-01"),
            ),
        ];
        for (completed, since) in table {
            let since = since.map(|day| day.parse::<Date>().unwrap());
            assert_eq!(covered_since(&completed), since, "{completed:?}");
        }
    }

    #[test]
    fn a_depth_is_12_or_24_months() {
        for depth in [SyncDepth::Months12, SyncDepth::Months24] {
            assert_eq!(SyncDepth::of_months(depth.months().into()), Some(depth));
        }
        for months in [0, 1, 13, 36, u64::MAX] {
            assert_eq!(SyncDepth::of_months(months), None, "{months}");
        }
    }
}
