//! How much of a shop a request reads, and which runs do what it asks for.

use domain::window::DayRange;
use jiff::civil::Date;

use crate::ports::runs::{Run, RunOptions};

/// How much of a shop whose history is there is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reading {
    /// What has changed since.
    #[default]
    Changes,
    /// That, and customers and products whole, whose edits Salla does not list.
    ChangesAndLists,
    Everything,
}

impl Reading {
    /// Whether all that is wanted is there once this run is complete. A run that was begun earlier
    /// may have been for less, or for days that end before today in Riyadh.
    pub fn is_done_by(self, run: &Run, wanted: &RunOptions, today: Date) -> bool {
        let is_first_try = |options: &RunOptions| options.max_orders.is_some();
        let is_everything = run.options.only.is_none() && !is_first_try(&run.options);
        if is_first_try(wanted) {
            return is_everything || run.options.same_request(wanted);
        }
        if wanted.only.is_some() {
            return run.options.same_request(wanted);
        }
        let range = DayRange::last_months(today, wanted.months);
        let is_read = match (self, run.catches_up) {
            (Self::Everything, catch_up) => catch_up.is_none(),
            (Self::ChangesAndLists, Some(catch_up)) => catch_up.refreshes_lists,
            (Self::ChangesAndLists, None) | (Self::Changes, _) => true,
        };
        is_everything && is_read && run.range.from <= range.from && run.range.to >= range.to
    }
}
