//! Deleting what is over: sessions, codes, links, limits that are whole again, old entries of the
//! audit log.

use std::sync::Arc;
use std::time::Duration;

use domain::failure::Failure;
use jiff::SignedDuration;

use crate::claims::ClaimShops;
use crate::ports::rate_limits::RateLimits;
use crate::sessions::MerchantSessions;
use crate::stop::StopSignal;

const EVERY: Duration = Duration::from_secs(600);
const AUDIT_LASTS: SignedDuration = SignedDuration::from_hours(400 * 24);

/// Several processes may do so side by side.
#[derive(Clone)]
pub struct Upkeep {
    pub sessions: MerchantSessions,
    pub limits: Arc<dyn RateLimits>,
    pub claims: ClaimShops,
}

impl Upkeep {
    pub async fn run_until(&self, stop: &StopSignal) {
        loop {
            if let Err(failure) = self.clear().await {
                tracing::warn!(%failure, "what is over could not be deleted; it is tried again");
            }
            tokio::select! {
                () = stop.requested() => return,
                () = self.sessions.clock.sleep(EVERY) => {}
            }
        }
    }

    /// Once; what is not over stays.
    pub async fn clear(&self) -> Result<(), Failure> {
        self.sessions.clear().await?;
        self.limits.clear().await?;
        self.claims.clear().await?;
        let before = self.sessions.clock.now() - AUDIT_LASTS;
        self.sessions.audit.clear(before).await
    }
}
