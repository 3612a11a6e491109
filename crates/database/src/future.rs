//! Times that lie in the future, because a clock was ahead when they were written.
//!
//! Everything was read before now, so a version later than now is wrong, and what is read next
//! counts as newer. Likewise no wait was meant to last longer than its kind may last. Otherwise one
//! wrong clock would block everything until the right one has caught up.

use jiff::SignedDuration;

/// Whether a version is in the future, as SQL. The clock is read for each row, once its lock is
/// held: other batches land meanwhile. Their clocks may be ahead of the database's by
/// `importer::clocks::TOLERANCE`.
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

/// Whether a known version claims to be newer than an incoming one, but is not, because it is in
/// the future. A version from the future replaces nothing newer.
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
