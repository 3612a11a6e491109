//! Deletes what is kept of shops that removed the app, once the time for which it may be kept
//! is over.

use std::sync::Arc;
use std::time::Duration;

use domain::failure::Failure;
use jiff::{SignedDuration, Timestamp};

use crate::ports::audit::{Action, Actor, Audit, AuditEvent};
use crate::ports::clock::Clock;
use crate::ports::privacy::ExpiredShops;
use crate::stop::StopSignal;

/// So often is looked for shops whose time is over.
const EVERY: Duration = Duration::from_secs(60 * 60);

pub struct Retention {
    pub shops: Arc<dyn ExpiredShops>,
    pub audit: Arc<dyn Audit>,
    pub clock: Arc<dyn Clock>,
    /// For how long after its uninstallation a shop's data are kept.
    pub keep: SignedDuration,
}

/// Which moment of uninstallation is too long ago.
pub fn cutoff(now: Timestamp, keep: SignedDuration) -> Timestamp {
    now.checked_sub(keep).unwrap_or(Timestamp::MIN)
}

impl Retention {
    /// Works until a stop is requested. Several processes may do so side by side.
    pub async fn run(&self, stop: &StopSignal) {
        loop {
            let swept = tokio::select! {
                biased;
                () = stop.requested() => return,
                swept = self.once() => swept,
            };
            if let Err(failure) = swept {
                tracing::error!(%failure, "shops whose time is over could not be deleted; tried again");
            }
            tokio::select! {
                biased;
                () = stop.requested() => return,
                () = self.clock.sleep(EVERY) => {}
            }
        }
    }

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
                    "the shop's data were deleted: the time for which they may be kept is over"
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
