//! The ledger that proves a finished run: what Salla reported, and what became of
//! every record of it.

use jiff::Timestamp;
use jiff::civil::Date;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::plan::DetailCase;
use crate::resource::Resource;
use crate::run::{RunId, WindowId};
use crate::shop::MerchantId;
use crate::window::DayRange;

/// The counts of one walk of one window, as the database holds them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WindowCounts {
    pub window: WindowId,
    pub resource: Resource,
    /// Absent for resources that are imported whole.
    pub days: Option<DayRange>,
    /// How often the window was walked.
    pub walks: u32,
    /// `total` as Salla's pagination gave it on the last page of the last walk.
    pub reported: u64,
    /// Whether `total` was the same on every page of the last walk.
    pub total_was_stable: bool,
    /// Distinct ids met in the last walk.
    pub distinct: u64,
    /// Records of the last walk that have no readable id; each is a rejection.
    pub without_id: u64,
    /// Ids of the last walk that are in their table.
    pub loaded: u64,
    /// Ids of the last walk that are kept as rejections, those without id included.
    pub rejected: u64,
    /// Ids of the last walk that Salla no longer gives.
    pub gone: u64,
    pub details_needed: u64,
    pub details_loaded: u64,
    /// The run was told to stop after so many orders, so this window was not
    /// walked to its end and proves nothing.
    pub cut_short: bool,
}

impl WindowCounts {
    /// Salla listed every record that it reported, and did not change its mind in
    /// the meantime.
    pub fn walk_is_stable(&self) -> bool {
        self.cut_short
            || (self.total_was_stable && self.reported == self.distinct + self.without_id)
    }

    /// Every record that was listed is loaded, rejected or gone, and has its
    /// details.
    pub fn records_are_accounted_for(&self) -> bool {
        self.distinct + self.without_id == self.loaded + self.rejected + self.gone
            && self.details_needed == self.details_loaded
    }

    pub fn balances(&self) -> bool {
        self.walk_is_stable() && self.records_are_accounted_for()
    }

    /// What Salla reported beyond (or below, if negative) what it listed.
    pub fn difference(&self) -> i64 {
        let listed = self.distinct + self.without_id;
        self.reported.cast_signed() - listed.cast_signed()
    }
}

/// Loaded orders of one Riyadh month in one currency; those with an open rejection
/// are not among them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MonthTotal {
    /// First day of the month.
    pub month: Date,
    pub currency: String,
    pub orders: u64,
    /// Sum of the order totals.
    pub total: Decimal,
}

/// Open rejections of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectionCount {
    pub resource: Resource,
    pub code: String,
    pub count: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Certificate {
    pub run_id: RunId,
    pub merchant_id: MerchantId,
    pub range: DayRange,
    pub detail_case: DetailCase,
    /// The moment at which the statement is true.
    pub as_of: Timestamp,
    pub started_at: Timestamp,
    pub windows: Vec<WindowCounts>,
    pub month_totals: Vec<MonthTotal>,
    pub rejections: Vec<RejectionCount>,
}

/// The sums of one resource over all its windows. Windows overlap by a day, so
/// sums over windows may count a record twice; `rows` counts each once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ResourceSummary {
    pub reported: u64,
    pub distinct: u64,
    pub loaded: u64,
    pub rejected: u64,
    pub gone: u64,
    pub details_needed: u64,
    pub details_loaded: u64,
    pub balanced: bool,
}

impl Certificate {
    pub fn balances(&self) -> bool {
        self.windows.iter().all(WindowCounts::balances)
    }

    pub fn unbalanced(&self) -> impl Iterator<Item = &WindowCounts> {
        self.windows.iter().filter(|w| !w.balances())
    }

    pub fn summary(&self, resource: Resource) -> ResourceSummary {
        let mut sum = ResourceSummary {
            balanced: true,
            ..ResourceSummary::default()
        };
        for w in self.windows.iter().filter(|w| w.resource == resource) {
            sum.reported += w.reported;
            sum.distinct += w.distinct + w.without_id;
            sum.loaded += w.loaded;
            sum.rejected += w.rejected;
            sum.gone += w.gone;
            sum.details_needed += w.details_needed;
            sum.details_loaded += w.details_loaded;
            sum.balanced &= w.balances();
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts() -> WindowCounts {
        WindowCounts {
            window: WindowId(1),
            resource: Resource::Orders,
            days: None,
            walks: 1,
            reported: 100,
            total_was_stable: true,
            distinct: 99,
            without_id: 1,
            loaded: 95,
            rejected: 4,
            gone: 1,
            details_needed: 95,
            details_loaded: 95,
            cut_short: false,
        }
    }

    #[test]
    fn a_window_balances_only_when_every_clause_holds() {
        assert!(counts().balances());
        let broken: [fn(&mut WindowCounts); 6] = [
            |w| w.reported = 101,
            |w| w.reported = 99,
            |w| w.total_was_stable = false,
            |w| w.loaded = 94,
            |w| w.rejected = 5,
            |w| w.details_loaded = 94,
        ];
        for (index, change) in broken.iter().enumerate() {
            let mut window = counts();
            change(&mut window);
            assert!(!window.balances(), "case {index}");
        }
    }

    #[test]
    fn the_difference_has_a_sign() {
        let mut window = counts();
        window.reported = 98;
        assert_eq!(window.difference(), -2);
    }
}
