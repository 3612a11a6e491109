//! What budgets are seen to have left, summed so that a shop more is no label more.

use importer::metrics;

use super::headers::RateHeaders;

/// One budget's part of the sums; it goes with the budget.
#[derive(Debug)]
pub(super) struct Meter {
    budget: &'static str,
    limit: f64,
    remaining: f64,
}

impl Meter {
    pub(super) fn new(budget: &'static str) -> Self {
        Self {
            budget,
            limit: 0.0,
            remaining: 0.0,
        }
    }

    /// An answer has come; headers that are silent change nothing.
    pub(super) fn told(&mut self, headers: &RateHeaders) {
        let limit = headers.limit.map_or(self.limit, f64::from);
        let remaining = headers.remaining.map_or(self.remaining, f64::from);
        self.show(limit, remaining);
    }

    fn show(&mut self, limit: f64, remaining: f64) {
        metrics::budget_changed(self.budget, limit - self.limit, remaining - self.remaining);
        (self.limit, self.remaining) = (limit, remaining);
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.show(0.0, 0.0);
    }
}
