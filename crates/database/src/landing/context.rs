//! What a landing carries from step to step.

use domain::order::Version;
use domain::run::WindowId;
use importer::ports::landing::ScannedPage;
use importer::ports::platform::{Pagination, Records};
use jiff::Timestamp;
use sqlx::PgConnection;

use crate::error::TxError;
use crate::landing::counters::CounterDelta;
use crate::landing::raw::RawEncoder;
use crate::landing::versions::NewRows;
use crate::transaction::LockedRun;

/// What every kind of record needs while it lands.
pub(crate) struct LandingContext<'t> {
    pub(crate) tx: &'t mut PgConnection,
    pub(crate) run: LockedRun,
    pub(crate) press: RawEncoder,
    pub(crate) tally: CounterDelta,
    pub(crate) now: Timestamp,
    pub(crate) new_rows: NewRows,
    pub(crate) care: Care,
}

impl<'t> LandingContext<'t> {
    pub(crate) fn new(
        tx: &'t mut PgConnection,
        run: LockedRun,
        now: Timestamp,
        new_rows: NewRows,
        care: Care,
    ) -> Result<Self, TxError> {
        Ok(Self {
            press: RawEncoder::new(run.keep_raw)?,
            tally: CounterDelta::default(),
            tx,
            run,
            now,
            new_rows,
            care,
        })
    }
}

/// How a batch is landed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Care {
    /// All in one statement: what the database refuses fails the batch.
    Together,
    /// Record by record where it must be: what the database refuses is rejected.
    Apart,
}

/// Records that no scan has listed, as a page; they have the `walk` 0.
pub(crate) fn page_outside_scans(
    records: Records,
    version: Version,
    pagination: Pagination,
) -> ScannedPage {
    ScannedPage {
        window: WindowId(0),
        scan: 0,
        page: pagination.current_page,
        pagination,
        version,
        records,
    }
}
