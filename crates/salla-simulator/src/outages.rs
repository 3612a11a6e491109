//! Which requests an outage takes with it.

use crate::clock::SECOND;
use crate::scenario::{Fault, Outage, OutageLength};

/// How far the outages of a scenario have come.
#[derive(Debug, Default)]
pub(crate) struct Outages {
    arrived: u64,
    begun: Vec<Option<RunningOutage>>,
}

#[derive(Clone, Copy, Debug)]
struct RunningOutage {
    at: i64,
    failed: u64,
}

impl Outages {
    pub(crate) fn arrived(&self) -> u64 {
        self.arrived
    }

    /// Counts a request, and says how it fails if the API is down.
    pub(crate) fn fault_for(&mut self, outages: &[Outage], now: i64) -> Option<Fault> {
        self.arrived += 1;
        self.begun.resize(outages.len(), None);
        for (outage, begun) in outages.iter().zip(&mut self.begun) {
            if self.arrived < outage.from_request {
                continue;
            }
            let begun = begun.get_or_insert(RunningOutage { at: now, failed: 0 });
            let goes_on = match outage.lasts {
                OutageLength::Requests(requests) => begun.failed < requests,
                OutageLength::Seconds(seconds) => {
                    now < begun
                        .at
                        .saturating_add(SECOND.saturating_mul(seconds as i64))
                }
            };
            if goes_on {
                begun.failed += 1;
                return Some(outage.how);
            }
        }
        None
    }

    /// Removes those that have changed.
    pub(crate) fn replace(&mut self, before: &[Outage], after: &[Outage]) {
        for (place, begun) in self.begun.iter_mut().enumerate() {
            if before.get(place) != after.get(place) {
                *begun = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outage(from_request: u64, lasts: OutageLength) -> Outage {
        Outage {
            from_request,
            lasts,
            how: Fault::Status(503),
        }
    }

    #[test]
    fn outages_last_for_requests_or_for_seconds() {
        let plan = [
            outage(2, OutageLength::Requests(2)),
            outage(5, OutageLength::Seconds(10)),
        ];
        let mut outages = Outages::default();
        let fails = |now| outages.fault_for(&plan, now * SECOND).is_some();
        let seen: Vec<bool> = [0, 0, 0, 0, 100, 105, 109, 110, 111].map(fails).to_vec();
        let expected = [false, true, true, false, true, true, true, false, false];
        assert_eq!(seen, expected);
    }

    #[test]
    fn an_outage_that_is_named_again_begins_again_and_the_others_do_not() {
        let first = outage(0, OutageLength::Requests(1));
        let mut outages = Outages::default();
        assert!(outages.fault_for(&[first], 0).is_some());
        let second = outage(0, OutageLength::Seconds(1));
        outages.replace(&[first], &[first, second]);
        assert!(outages.fault_for(&[first, second], 0).is_some());
        assert!(outages.fault_for(&[first, second], 2 * SECOND).is_none());
        outages.replace(&[first, second], &[second]);
        assert!(outages.fault_for(&[second], 2 * SECOND).is_some());
    }
}
