//! How far a run is, in requests: they, and not rows, are what time is spent on.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use domain::plan::{Budget, Plan};
use domain::run::WindowId;
use domain::window::DayRange;
use jiff::ToSpan as _;
use jiff::civil::Date;
use tokio::sync::watch;

use crate::ports::landing::Landed;

/// A snapshot for people.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    pub phase: Phase,
    pub requests_done: u64,
    pub requests_expected: u64,
    pub orders: u64,
    pub order_details: u64,
    pub customers: u64,
    pub products: u64,
    pub rejected: u64,
    /// Totals of orders are complete back to this day.
    pub lists_complete_since: Option<Date>,
    /// Since this process took the run.
    pub elapsed: Duration,
    /// `None` until enough has been seen to say something honest.
    pub eta: Option<Duration>,
    /// How long Salla has asked to wait, from the moment of this snapshot.
    pub cooldown: Duration,
    /// How long the lease of another process lasts, while it is waited for.
    pub lease_left: Option<Duration>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    #[default]
    Planning,
    Lists,
    Details,
    Reconciling,
    Done,
}

impl Phase {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Planning => "probing the shop",
            Self::Lists => "reading lists",
            Self::Details => "completing orders",
            Self::Reconciling => "verifying",
            Self::Done => "done",
        }
    }
}

impl Progress {
    /// Never 100 before the certificate balances.
    pub fn percent(&self) -> u8 {
        if self.phase == Phase::Done {
            return 100;
        }
        let share = self
            .requests_done
            .saturating_mul(100)
            .checked_div(self.requests_expected)
            .unwrap_or(0);
        u8::try_from(share.min(99)).unwrap_or(99)
    }
}

/// Counts what is expected and what is done, and publishes snapshots.
#[derive(Debug)]
pub struct ProgressTracker {
    state: Mutex<State>,
    publish: watch::Sender<Progress>,
}

#[derive(Debug, Default)]
struct State {
    progress: Progress,
    windows: HashMap<WindowId, RequestCount>,
    details: RequestCount,
    requests_per_detail: u64,
    budget: Option<Budget>,
    /// The days of the run.
    range: Option<DayRange>,
    /// Windows of orders that have been scanned.
    settled: Vec<DayRange>,
    /// Requests that were already done when this process took the run; they must
    /// not flatter its pace.
    done_before: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct RequestCount {
    expected: u64,
    done: u64,
}

impl ProgressTracker {
    pub fn new() -> (Self, watch::Receiver<Progress>) {
        let (publish, receiver) = watch::channel(Progress::default());
        let state = Mutex::new(State::default());
        (Self { state, publish }, receiver)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self
            .state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        change(&mut state);
        state.refresh();
        self.publish.send_replace(state.progress.clone());
    }

    pub fn planned(&self, plan: &Plan) {
        self.change(|s| {
            s.details.expected = plan.detail_requests;
            s.requests_per_detail = plan.probe.detail_case.requests_per_order();
            s.budget = Some(plan.probe.budget);
            s.range = Some(plan.probe.range);
        });
    }

    pub fn phase(&self, phase: Phase) {
        self.change(|s| s.progress.phase = phase);
    }

    /// `left`: how long another process's lease lasts; `None` when it is no longer waited for.
    pub fn waits_for_lease(&self, left: Option<Duration>) {
        self.change(|s| s.progress.lease_left = left);
    }

    /// What a window will cost, as planned or as its first page told.
    pub fn window_expects(&self, window: WindowId, pages: u64) {
        self.change(|s| s.windows.entry(window).or_default().expected = pages);
    }

    /// Pages of a window that had landed before this process took the run.
    pub fn window_resumed(&self, window: WindowId, pages: u64) {
        self.change(|s| {
            let share = s.windows.entry(window).or_default();
            s.done_before += pages.saturating_sub(share.done);
            share.done = pages;
            share.expected = share.expected.max(pages);
        });
    }

    pub fn window_removed(&self, window: WindowId) {
        self.change(|s| {
            s.windows.remove(&window);
        });
    }

    pub fn pages_landed(&self, window: WindowId, pages: u64, landed: &Landed) {
        self.change(|s| {
            s.windows.entry(window).or_default().done += pages;
            s.count(landed);
        });
    }

    pub fn window_settled(&self, window: WindowId, days: Option<DayRange>) {
        self.change(|s| {
            let share = s.windows.entry(window).or_default();
            share.expected = share.done;
            s.settled.extend(days);
            s.progress.lists_complete_since =
                s.range.and_then(|range| complete_since(range, &s.settled));
        });
    }

    pub fn details_landed(&self, requests: u64, landed: &Landed) {
        self.change(|s| {
            s.details.done += requests;
            s.count(landed);
        });
    }

    /// Number of orders that lack their details now. The others have them from before, from this
    /// run or another one.
    pub fn details_remaining(&self, orders: u64) {
        self.change(|s| {
            let left = orders * s.requests_per_detail.max(1);
            let expected = s.details.expected.max(s.details.done + left);
            let done = expected - left;
            s.done_before += done - s.details.done;
            s.details = RequestCount { expected, done };
        });
    }

    /// Sets the counts that earlier processes reached.
    pub fn resumed(&self, stored: &crate::ports::runs::StoredProgress) {
        self.change(|s| {
            s.progress.orders = stored.orders;
            s.progress.order_details = stored.order_details;
            s.progress.customers = stored.customers;
            s.progress.products = stored.products;
            s.progress.rejected = stored.rejected;
        });
    }

    /// `held_for`: how long Salla has asked to wait from now on.
    pub fn tick(&self, elapsed: Duration, cooldown: Duration) -> Progress {
        self.change(|s| {
            s.progress.elapsed = elapsed;
            s.progress.cooldown = cooldown;
            s.estimate();
        });
        self.publish.borrow().clone()
    }
}

impl State {
    /// Rows of pages that are read twice are counted once. Landings end in any order, and the
    /// counts never run backwards because of it.
    fn count(&mut self, landed: &Landed) {
        let Some(counted) = landed.counted else {
            return;
        };
        let progress = &mut self.progress;
        progress.orders = progress.orders.max(counted.orders);
        progress.order_details = progress.order_details.max(counted.order_details);
        progress.customers = progress.customers.max(counted.customers);
        progress.products = progress.products.max(counted.products);
        progress.rejected = counted.rejected;
    }

    fn refresh(&mut self) {
        let done: u64 = self.windows.values().map(|w| w.done).sum::<u64>() + self.details.done;
        let expected: u64 = self
            .windows
            .values()
            .map(|w| w.expected.max(w.done))
            .sum::<u64>()
            + self.details.expected.max(self.details.done);
        self.progress.requests_done = done;
        self.progress.requests_expected = expected;
    }

    /// The remaining requests at the pace seen so far, but never less than what
    /// Salla's budget allows.
    fn estimate(&mut self) {
        let done = self.progress.requests_done.saturating_sub(self.done_before);
        let remaining = self
            .progress
            .requests_expected
            .saturating_sub(self.progress.requests_done);
        if done < 10 || self.progress.elapsed < Duration::from_secs(2) {
            return;
        }
        let at_this_pace = self
            .progress
            .elapsed
            .mul_f64(remaining as f64 / done as f64);
        let floor = self.budget.map_or(0, |b| b.floor_seconds(remaining));
        self.progress.eta = Some(at_this_pace.max(Duration::from_secs(floor)));
    }
}

/// The day back to which settled windows follow each other from the newest on. Orders of
/// the first three hours of a window's first day may be listed by the window before it
/// ([`QueryRange`](domain::window::QueryRange)), so that day counts where the range begins with it.
pub(crate) fn complete_since(range: DayRange, settled: &[DayRange]) -> Option<Date> {
    let mut since = None;
    let mut to = range.to;
    while let Some(window) = settled.iter().find(|window| window.to == to) {
        since = Some(window.from);
        to = window.from.saturating_sub(1.day());
    }
    let since = since?;
    if since == range.from {
        return Some(since);
    }
    let next = since.saturating_add(1.day());
    (next <= range.to).then_some(next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::landing::Counted;

    #[test]
    fn totals_are_complete_as_far_as_windows_follow_each_other() {
        let days = |from: &str, to: &str| DayRange {
            from: from.parse().unwrap(),
            to: to.parse().unwrap(),
        };
        let range = days("2025-01-01", "2025-03-31");
        let since = |settled: &[DayRange]| complete_since(range, settled).map(|d| d.to_string());
        let today = days("2025-03-31", "2025-03-31");
        let month = days("2025-03-02", "2025-03-30");
        let older = days("2025-01-01", "2025-03-01");
        assert_eq!(since(&[]), None);
        assert_eq!(since(&[today]), None);
        assert_eq!(since(&[older, today]), None);
        assert_eq!(since(&[month, today]).as_deref(), Some("2025-03-03"));
        assert_eq!(since(&[today, older, month]).as_deref(), Some("2025-01-01"));
    }

    #[test]
    fn the_percentage_reaches_a_hundred_only_at_the_end() {
        let (tracker, progress) = ProgressTracker::new();
        tracker.window_expects(WindowId(1), 4);
        let mut seen = Vec::new();
        // The last page brings what the one before it brought.
        for orders in [60, 120, 240, 240] {
            let landed = Landed {
                loaded: 60,
                counted: Some(Counted {
                    orders,
                    ..Counted::default()
                }),
                ..Landed::default()
            };
            tracker.pages_landed(WindowId(1), 1, &landed);
            seen.push(progress.borrow().percent());
        }
        assert_eq!(seen, [25, 50, 75, 99]);
        tracker.phase(Phase::Done);
        assert_eq!(progress.borrow().percent(), 100);
        assert_eq!(progress.borrow().orders, 240);
    }

    /// 990 of a thousand orders have their details from before.
    #[test]
    fn details_that_are_there_already_neither_wait_nor_flatter_the_pace() {
        let (tracker, progress) = ProgressTracker::new();
        tracker.change(|s| (s.details.expected, s.requests_per_detail) = (2_000, 2));
        tracker.details_remaining(10);
        assert_eq!(progress.borrow().requests_done, 1_980);
        assert_eq!(progress.borrow().percent(), 99);
        tracker.details_landed(12, &Landed::default());
        tracker.tick(Duration::from_secs(6), Duration::ZERO);
        assert_eq!(progress.borrow().eta, Some(Duration::from_secs(4)));
        tracker.details_remaining(4);
        assert_eq!(progress.borrow().requests_done, 1_992);
        tracker.details_remaining(20);
        let progress = progress.borrow();
        let counts = (progress.requests_done, progress.requests_expected);
        assert_eq!(counts, (1_992, 2_032), "more than were planned");
    }

    #[test]
    fn the_eta_is_never_below_the_floor() {
        let (tracker, progress) = ProgressTracker::new();
        tracker.change(|s| {
            s.budget = Some(Budget {
                requests_per_minute: Some(120),
                share: 1.0,
            });
        });
        tracker.window_expects(WindowId(1), 419);
        let landed = Landed::default();
        tracker.pages_landed(WindowId(1), 120, &landed);
        tracker.tick(Duration::from_secs(3), Duration::ZERO);
        // 299 requests are left: at 40 a second they would take 8 seconds, but the
        // budget allows 179 a minute.
        assert_eq!(progress.borrow().eta, Some(Duration::from_secs(60)));
    }
}
