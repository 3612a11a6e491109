//! Our own requests of the last window, where only so many may be ours.

use std::collections::VecDeque;
use std::time::Duration;

#[derive(Debug)]
pub(super) struct OwnRequests {
    window: Duration,
    sent: VecDeque<Duration>,
}

impl OwnRequests {
    pub(super) fn new(window: Duration) -> Self {
        Self {
            window,
            sent: VecDeque::new(),
        }
    }

    pub(super) fn record(&mut self, now: Duration) {
        while self
            .sent
            .front()
            .is_some_and(|&sent| sent + self.window <= now)
        {
            self.sent.pop_front();
        }
        self.sent.push_back(now);
    }

    /// When one more may be sent, if not now; any `window` long stretch then holds at
    /// most `cap`. `Some(None)` means only after one that was permitted is sent.
    pub(super) fn full_until(
        &self,
        now: Duration,
        cap: usize,
        unsent: usize,
    ) -> Option<Option<Duration>> {
        let recent = self.sent.partition_point(|&sent| sent + self.window <= now);
        let count = self.sent.len() - recent + unsent;
        if count < cap {
            return None;
        }
        // So many of the oldest must age out before the count is below the cap.
        let leaving = recent + (count - cap);
        Some(self.sent.get(leaving).map(|&sent| sent + self.window))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn no_stretch_of_a_window_holds_more_than_the_cap() {
        let mut own = OwnRequests::new(s(60));
        for second in [0, 1, 30] {
            assert_eq!(own.full_until(s(second), 3, 0), None);
            own.record(s(second));
        }
        assert_eq!(own.full_until(s(31), 3, 0), Some(Some(s(60))));
        assert_eq!(own.full_until(s(31), 3, 1), Some(Some(s(61))));
        assert_eq!(own.full_until(s(31), 4, 1), Some(Some(s(60))));
        assert_eq!(own.full_until(s(31), 3, 3), Some(None));
        assert_eq!(own.full_until(s(60), 3, 0), None);
        assert_eq!(OwnRequests::new(s(60)).full_until(s(0), 1, 1), Some(None));
    }
}
