//! How long a run will still take, and how far back its data reach: what a run's row says,
//! without a word from the process that works on it.

use std::time::Duration;

use domain::instant::riyadh_date;
use domain::run::RunState;
use jiff::civil::Date;
use jiff::{Timestamp, ToSpan as _};

use crate::import::progress::complete_since;
use crate::ports::overview::ReadDays;
use crate::ports::runs::Run;

/// A guess is worth telling from here on.
const PERCENT_TO_GO_BY: u8 = 3;

/// How long a run will still take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Eta {
    /// What the platform's limits allow at best.
    pub min: Duration,
    pub max: Duration,
    pub reason: String,
}

/// `None`: no honest estimate, because the run has no plan yet, or does not continue automatically.
pub fn eta(run: &Run, now: Timestamp) -> Option<Eta> {
    let goes_on = matches!(
        run.state,
        RunState::Pending | RunState::InProgress | RunState::Waiting
    );
    let plan = run.plan.as_ref().filter(|_| goes_on)?;
    let percent = u64::from(run.progress.percent.min(99));
    let left = (plan.requests() * (100 - percent)).div_ceil(100);
    let waits = run.waiting_until.map_or(Duration::ZERO, |until| {
        Duration::try_from(until.duration_since(now)).unwrap_or_default()
    });
    let floor = Duration::from_secs(plan.probe.budget.floor_seconds(left)) + waits;
    let elapsed = run.started_at.map(|at| now.duration_since(at));
    let elapsed = elapsed.and_then(|elapsed| Duration::try_from(elapsed).ok());
    let max = match elapsed {
        Some(elapsed) if run.progress.percent >= PERCENT_TO_GO_BY => {
            let pace = elapsed.mul_f64((100 - percent) as f64 / percent as f64);
            (pace + waits).max(floor.mul_f64(1.1))
        }
        _ => floor.mul_f64(2.0) + Duration::from_secs(60),
    };
    let limit = match plan.probe.budget.requests_per_minute {
        Some(limit) => format!("Salla allows this shop {limit} requests a minute"),
        None => "Salla's limit for this shop is not known".to_owned(),
    };
    let waiting = match waits.as_secs() {
        0 => String::new(),
        seconds => format!(" and makes it wait for {seconds} s"),
    };
    Some(Eta {
        min: floor,
        max,
        reason: format!("{limit}{waiting}; about {left} requests are left"),
    })
}

/// How far back the data of a run reach without a gap, from its newest day on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    pub totals_since: Option<Date>,
    pub line_items_since: Option<Date>,
}

pub fn coverage(run: &Run, read: &ReadDays) -> Coverage {
    let totals_since = match run.state {
        RunState::Completed => Some(run.range.from),
        _ => complete_since(run.range, &read.settled),
    };
    let line_items_since = totals_since.and_then(|since| match read.newest_pending {
        None => Some(since),
        Some(pending) => {
            let day_after = riyadh_date(pending).saturating_add(1.day());
            (day_after <= run.range.to).then_some(day_after.max(since))
        }
    });
    Coverage {
        totals_since,
        line_items_since,
    }
}

#[cfg(test)]
mod tests {
    use domain::ceiling::Ceiling;
    use domain::plan::{Budget, DetailCase, Plan, PlanInputs};
    use domain::run::RunId;
    use domain::shop::MerchantId;
    use domain::window::{DayRange, Overlap};
    use uuid::Uuid;

    use super::*;
    use crate::ports::runs::{RunOptions, StoredProgress};

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn days(from: &str, to: &str) -> DayRange {
        DayRange::new(from.parse().unwrap(), to.parse().unwrap()).unwrap()
    }

    fn run(state: RunState, percent: u8) -> Run {
        let range = days("2025-01-01", "2025-12-31");
        let probe = PlanInputs {
            range,
            detail_case: DetailCase::Details,
            orders: 6_000,
            orders_per_page: 60,
            customers: Some(0),
            customers_per_page: 60,
            products: 0,
            products_per_page: 60,
            categories: 0,
            overlap: Overlap::INCLUSIVE,
            budget: Budget {
                requests_per_minute: Some(120),
                share: 1.0,
            },
            max_orders: None,
            recently_updated: Vec::new(),
            last_update: None,
            recent_asked_at: None,
            ceiling: Ceiling::UNKNOWN,
            is_quiet: false,
            requests: 0,
        };
        Run {
            id: RunId(Uuid::nil()),
            merchant: MerchantId(Uuid::nil()),
            state,
            options: RunOptions {
                months: 12,
                max_orders: None,
                keep_raw: true,
                only: None,
            },
            range,
            created_at: at("2026-01-01T00:00:00Z"),
            started_at: Some(at("2026-01-01T00:00:00Z")),
            completed_at: None,
            is_job: true,
            waiting_until: None,
            ended_at: None,
            made_progress: false,
            plan: Some(Plan::new(probe)),
            failure: None,
            certificate: None,
            holder: None,
            progress: StoredProgress {
                percent,
                ..StoredProgress::default()
            },
            catches_up: None,
            change_head: None,
        }
    }

    #[test]
    fn the_time_left_is_never_less_than_the_limits_allow() {
        let half = run(RunState::InProgress, 50);
        let eta = eta(&half, at("2026-01-01T00:01:00Z")).unwrap();
        let left = half.plan.as_ref().unwrap().requests().div_ceil(2);
        let floor = half.plan.as_ref().unwrap().probe.budget.floor_seconds(left);
        assert!(floor > 60, "{floor}");
        assert_eq!(eta.min, Duration::from_secs(floor));
        assert!(eta.max > eta.min);
        assert!(
            eta.reason.contains("120 requests a minute"),
            "{}",
            eta.reason
        );
        // At a slow pace the range reaches to what that pace means.
        let slow = super::eta(&half, at("2026-01-02T00:00:00Z")).unwrap();
        assert_eq!(slow.max, Duration::from_secs(86_400));
    }

    #[test]
    fn what_waits_says_so_and_what_has_stopped_promises_nothing() {
        let mut waiting = run(RunState::Waiting, 50);
        let now = at("2026-01-01T00:01:00Z");
        let without = eta(&waiting, now).unwrap();
        waiting.waiting_until = Some(at("2026-01-01T00:11:00Z"));
        let with = eta(&waiting, now).unwrap();
        assert_eq!(with.min, without.min + Duration::from_secs(600));
        assert!(with.reason.contains("wait for 600 s"), "{}", with.reason);
        for state in [
            RunState::Paused,
            RunState::Failed,
            RunState::Completed,
            RunState::Cancelled,
        ] {
            assert_eq!(eta(&run(state, 50), now), None, "{state}");
        }
        let unplanned = Run {
            plan: None,
            ..run(RunState::Pending, 0)
        };
        assert_eq!(eta(&unplanned, now), None);
    }

    #[test]
    fn line_items_reach_back_to_the_day_after_the_newest_that_is_missing() {
        let part = run(RunState::InProgress, 50);
        let mut read = ReadDays {
            settled: vec![days("2025-06-01", "2025-12-31")],
            newest_pending: Some(at("2025-10-09T22:00:00Z")),
        };
        let day = |text: &str| Some(text.parse::<Date>().unwrap());
        let coverage_of = |read: &ReadDays| coverage(&part, read);
        assert_eq!(coverage_of(&read).totals_since, day("2025-06-02"));
        // 22:00 in UTC is the next day in Riyadh.
        assert_eq!(coverage_of(&read).line_items_since, day("2025-10-11"));
        read.newest_pending = None;
        assert_eq!(coverage_of(&read).line_items_since, day("2025-06-02"));
        read.newest_pending = Some(at("2025-12-31T12:00:00Z"));
        assert_eq!(coverage_of(&read).line_items_since, None);
        assert_eq!(coverage_of(&ReadDays::default()), Coverage::default());
        let done = coverage(&run(RunState::Completed, 100), &ReadDays::default());
        assert_eq!(done.line_items_since, day("2025-01-01"));
    }
}
