//! Deleting what is over: sessions, codes, links, limits that are whole again, old entries of the
//! audit log; and what is kept of shops that removed the app, once the time for which it may be
//! kept has passed.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::failure::Failure;
use jiff::{SignedDuration, Timestamp};

use crate::claims::ClaimShops;
use crate::duties::Duty;
use crate::ports::api_access::RateLimits;
use crate::ports::audit::{Action, Actor, Audit, AuditEvent};
use crate::ports::clock::Clock;
use crate::ports::privacy::ExpiredShops;
use crate::sessions::MerchantSessions;
use crate::stop::StopSignal;

const EVERY: Duration = Duration::from_secs(600);
const AUDIT_LASTS: SignedDuration = SignedDuration::from_hours(400 * 24);

/// Several processes may do so concurrently.
#[derive(Clone)]
pub struct Upkeep {
    pub sessions: MerchantSessions,
    pub limits: Arc<dyn RateLimits>,
    pub claims: ClaimShops,
}

#[async_trait]
impl Duty for Upkeep {
    fn name(&self) -> &'static str {
        "deleting what is over"
    }

    fn pause(&self) -> Duration {
        EVERY
    }

    async fn round(&self, _: &StopSignal) -> Result<(), Failure> {
        self.clear().await
    }
}

impl Upkeep {
    /// Once; what is not over stays.
    pub async fn clear(&self) -> Result<(), Failure> {
        self.sessions.clear().await?;
        self.limits.clear().await?;
        self.claims.clear().await?;
        let before = self.sessions.clock.now() - AUDIT_LASTS;
        self.sessions.audit.clear(before).await
    }
}

/// So often is looked for shops whose time is over.
const RETENTION_PERIOD: Duration = Duration::from_secs(60 * 60);

pub struct Retention {
    pub shops: Arc<dyn ExpiredShops>,
    pub audit: Arc<dyn Audit>,
    pub clock: Arc<dyn Clock>,
    /// How long a shop's data is kept after the app was removed.
    pub keep: SignedDuration,
}

/// Which moment of uninstallation is too long ago.
pub fn cutoff(now: Timestamp, keep: SignedDuration) -> Timestamp {
    now.checked_sub(keep).unwrap_or(Timestamp::MIN)
}

#[async_trait]
impl Duty for Retention {
    fn name(&self) -> &'static str {
        "deleting expired shops"
    }

    fn pause(&self) -> Duration {
        RETENTION_PERIOD
    }

    async fn round(&self, _: &StopSignal) -> Result<(), Failure> {
        self.once().await.map(drop)
    }
}

impl Retention {
    /// Deletes what has expired by now and says how many shops that were.
    pub async fn once(&self) -> Result<usize, Failure> {
        let before = cutoff(self.clock.now(), self.keep);
        let mut deleted = 0;
        for shop in self.shops.expired(before).await? {
            let rows = self.shops.delete_expired(shop.merchant, before).await?;
            if let Some(rows) = rows {
                let rows: u64 = rows.iter().map(|(_, rows)| rows).sum();
                tracing::warn!(
                    merchant_id = %shop.merchant, uninstalled_at = %shop.uninstalled_at, rows,
                    "the shop's data was deleted: its retention period is over"
                );
                let event = AuditEvent::new(Action::DataDeleted, Actor::Service);
                let event = event.shop(shop.salla_id).detail("the expired shop");
                self.audit.record(&event).await?;
                deleted += 1;
            }
        }
        Ok(deleted)
    }
}
