//! What a landing carries from step to step.

use domain::order::Version;
use domain::run::WindowId;
use importer::ports::landing::WalkedPage;
use importer::ports::platform::{Pagination, Records};
use jiff::Timestamp;
use sqlx::PgConnection;

use crate::error::Trouble;
use crate::landing::counters::Tally;
use crate::landing::isolation::Care;
use crate::landing::raw::Press;
use crate::transaction::HeldRun;

/// What every kind of record needs while it lands.
pub(crate) struct Workplace<'t> {
    pub(crate) tx: &'t mut PgConnection,
    pub(crate) run: HeldRun,
    pub(crate) press: Press,
    pub(crate) tally: Tally,
    pub(crate) now: Timestamp,
    pub(crate) new_rows: NewRows,
    pub(crate) care: Care,
}

impl<'t> Workplace<'t> {
    pub(crate) fn new(
        tx: &'t mut PgConnection,
        run: HeldRun,
        now: Timestamp,
        new_rows: NewRows,
        care: Care,
    ) -> Result<Self, Trouble> {
        Ok(Self {
            press: Press::new(run.keep_raw)?,
            tally: Tally::default(),
            tx,
            run,
            now,
            new_rows,
            care,
        })
    }
}

/// How to write the rows of records that were not known so far.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum NewRows {
    /// Nobody but us writes these tables, so the rows are not there; copying them
    /// in without looking costs half as much.
    Absent,
    /// The same, and no record of the batch was known: there is no version to compare and no
    /// row to lock. All or none: a batch that locked known rows first and added new ones then
    /// would not take its locks in the order of ids.
    AbsentForAll,
    /// Somebody has put rows there by hand.
    MayExist,
}

/// Records that no walk has listed, as a page; walk 0 stands for that.
pub(crate) fn outside_walks(
    records: Records,
    version: Version,
    pagination: Pagination,
) -> WalkedPage {
    WalkedPage {
        window: WindowId(0),
        walk: 0,
        page: pagination.current_page,
        pagination,
        version,
        records,
    }
}
