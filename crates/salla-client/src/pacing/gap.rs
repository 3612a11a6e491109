//! How fast a burst may go.
//!
//! Salla's headers set no pace, but the edge in front of it is said to throttle bursts on
//! its own account (docs/salla-api.md#hosts-versions-and-headers). A 429 while budget was
//! left teaches a distance between requests, which is forgotten slowly.

use std::time::Duration;

const LEAST: f64 = 0.025;
const MOST: f64 = 1.0;
const FADING: f64 = 0.9999;

#[derive(Debug, Default)]
pub(super) struct Gap {
    seconds: f64,
}

impl Gap {
    pub(super) fn between(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    pub(super) fn refused(&mut self) {
        self.seconds = (self.seconds * 2.0).clamp(LEAST, MOST);
    }

    pub(super) fn accepted(&mut self) {
        self.seconds *= FADING;
        if self.seconds < LEAST / 2.0 {
            self.seconds = 0.0;
        }
    }
}
