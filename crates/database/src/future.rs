//! Times that lie in the future, because a clock was ahead when they were written.
//!
//! Everything that has been read was read before now, so a version that is later than now is
//! wrong, and what is read next is newer whatever it says. Likewise nothing was to last longer
//! than anything of its kind may last. Else one wrong clock would have to be waited for until
//! the right one has caught up.

use std::time::Duration;

use domain::failure::Failure;
use domain::shop::MerchantId;
use jiff::SignedDuration;

use crate::connect::Database;
use crate::error::database_failure;

/// Whether a version lies in the future, as SQL. The clock is read for each row, once its
/// lock is held: others go on landing meanwhile. Their clocks may be ahead of the database's
/// by `importer::clocks::TOLERANCE`.
macro_rules! in_future {
    ($version:literal) => {
        concat!(
            "(",
            $version,
            " > clock_timestamp() + interval '30 seconds')"
        )
    };
}
pub(crate) use in_future;

/// Whether a known version says that it is newer than one that has come, and is not, because
/// it lies in the future. What comes from the future itself replaces nothing newer.
macro_rules! falsely_newer {
    ($known:literal, $incoming:literal) => {
        concat!(
            "(",
            $crate::future::in_future!($known),
            " AND NOT ",
            $crate::future::in_future!($incoming),
            ")"
        )
    };
}
pub(crate) use falsely_newer;

/// Whether the lease of a run named `r` lasts, as SQL. Leases are of minutes, so one that ends in
/// more than two hours was given by a clock that was ahead.
macro_rules! lease_lasts {
    () => {
        "(r.lease_until > now() AND r.lease_until <= now() + interval '2 hours')"
    };
}
pub(crate) use lease_lasts;

/// Nothing is made to wait longer: Salla may ask for a day, and what comes back together is
/// spread over a fifth more.
pub(crate) const LONGEST_WAIT: SignedDuration = SignedDuration::from_hours(30);

/// Records whose version lies in the future.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FutureVersions {
    pub records: u64,
    pub merchants: u64,
    /// How far the latest one lies in the future.
    pub ahead: Duration,
}

const COUNT: &str = concat!(
    "SELECT count(*), count(DISTINCT merchant_id),
        coalesce(extract(epoch FROM max(latest) - clock_timestamp()), 0)::float8
    FROM (
        SELECT merchant_id, greatest(list_version, list_since, detail_version, gone_at) AS latest
        FROM salla_sync.source_records
        UNION ALL
        SELECT merchant_id, version FROM salla_sync.rejected_records WHERE resolved_at IS NULL
    ) read
    WHERE ($1::uuid IS NULL OR merchant_id = $1) AND ",
    in_future!("latest")
);

impl Database {
    /// Counts records of one shop or of all whose version lies in the future. It reads every
    /// record.
    pub async fn future_versions(
        &self,
        merchant: Option<MerchantId>,
    ) -> Result<FutureVersions, Failure> {
        let (records, merchants, ahead): (i64, i64, f64) = sqlx::query_as(COUNT)
            .bind(merchant.map(|merchant| merchant.0))
            .fetch_one(self.pool())
            .await
            .map_err(|error| {
                database_failure("counting records whose version lies in the future", &error)
            })?;
        Ok(FutureVersions {
            records: records.cast_unsigned(),
            merchants: merchants.cast_unsigned(),
            ahead: Duration::try_from_secs_f64(ahead).unwrap_or_default(),
        })
    }
}
