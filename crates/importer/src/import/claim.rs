//! Claiming a run that another process may hold: immediately if that process is gone, otherwise
//! when its lease expires.

use std::time::Duration;

use domain::failure::Failure;
use domain::run::RunId;

use crate::import::{Importer, Observer};
use crate::ports::runs::{Claim, Held};
use crate::stop::StopSignal;

/// A run that is released is noticed within this time.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// Claims the run, or waits for the lease of the one that holds it and claims it then. Only one
/// lease is waited for: a process that extends it lives, and may work on the run for hours.
pub(crate) async fn claim_or_wait(
    importer: &Importer,
    run: RunId,
    observer: &dyn Observer,
    stop: &StopSignal,
) -> Result<Claim, Failure> {
    let claimed = claim(importer, run).await?;
    if !importer.settings.waits_for_lease || !matches!(claimed, Claim::Taken(_)) {
        return Ok(claimed);
    }
    let Some(held) = held(importer, run).await? else {
        return claim(importer, run).await;
    };
    observer.waiting(&held);
    let claimed = tokio::select! {
        biased;
        () = stop.requested() => Err(Failure::Stopped),
        claimed = claim_after(importer, run, &held) => claimed,
    };
    importer.tracker.waits_for_lease(None);
    claimed
}

/// Claims the run as soon as it is free, or when the lease that was seen has lapsed.
async fn claim_after(importer: &Importer, run: RunId, seen: &Held) -> Result<Claim, Failure> {
    let clock = importer.clock.as_ref();
    // Leases go by the database's clock, which may run at another pace than this one.
    let lapses_at = clock.monotonic() + seen.lapses_in.mul_f64(clock.rate());
    loop {
        let left = lapses_at.saturating_sub(clock.monotonic());
        let left = left.div_f64(clock.rate());
        importer.tracker.waits_for_lease(Some(left));
        clock.sleep(CHECK_EVERY.mul_f64(clock.rate())).await;
        match held(importer, run).await? {
            Some(held) if held.is_abandoned => {}
            Some(held) if held.holder == seen.holder => continue,
            // Extended, or taken by another: the end of its lease is not waited for.
            Some(held) if clock.monotonic() >= lapses_at => return Ok(Claim::Taken(held.holder)),
            Some(_) => continue,
            None => {}
        }
        let claimed = claim(importer, run).await?;
        if !matches!(claimed, Claim::Taken(_)) {
            return Ok(claimed);
        }
    }
}

async fn claim(importer: &Importer, run: RunId) -> Result<Claim, Failure> {
    let settings = &importer.settings;
    let claim = importer.runs.claim(run, &settings.owner, settings.lease);
    claim.await
}

async fn held(importer: &Importer, run: RunId) -> Result<Option<Held>, Failure> {
    importer.runs.held(run, &importer.settings.owner).await
}
