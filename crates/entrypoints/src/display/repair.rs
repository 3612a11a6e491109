//! What both ways of reading kept records again show.

use std::sync::atomic::{AtomicU64, Ordering};

use importer::ports::runs::{Holder, ShopSummary};

use super::{count, note};
use crate::exit::Exit;

/// A line on standard error for each further tenth of long work.
pub struct Progress {
    what: String,
    tenths: AtomicU64,
}

/// Less than this is over before anybody wonders.
const WORTH_SHOWING: u64 = 2_000;

impl Progress {
    pub fn of(what: &str, shop: &ShopSummary) -> Self {
        Self {
            what: format!("{what} of {}", shop.name),
            tenths: AtomicU64::new(0),
        }
    }

    pub fn show(&self, done: u64, of: u64) {
        let tenths = done * 10 / of.max(1);
        let before = self.tenths.fetch_max(tenths, Ordering::Relaxed);
        if of >= WORTH_SHOWING && tenths > before {
            note(format!("{} of {} {}", count(done), count(of), self.what));
        }
    }
}

/// Says which shops an import holds, and how the program should end.
pub fn held<'a>(shops: impl Iterator<Item = (&'a ShopSummary, &'a Option<Holder>)>) -> Exit {
    let mut exit = Exit::Done;
    for (shop, holder) in shops {
        if let Some(holder) = holder {
            note(format!(
                "{}: {} is importing this shop, its lease lasts until {}; what is not counted above \
                 was left alone. Run the same command again when the import is over (see \
                 `salla-sync status`).",
                shop.name, holder.owner, holder.until
            ));
            exit = Exit::Taken;
        }
    }
    exit
}
