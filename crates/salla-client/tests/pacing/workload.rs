//! What there is to ask for: endless work, or that of one import, whose questions depend
//! on one another.

use salla_client::pacing::LatencyClass;

/// Requests that may run concurrently; none starts before all of the previous stage have responses
/// and the database has stored them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stage {
    pub(crate) requests: u64,
    pub(crate) class: LatencyClass,
}

pub(crate) const fn stage(requests: u64, class: u8) -> Stage {
    Stage {
        requests,
        class: LatencyClass(class),
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Import {
    pub(crate) stages: Vec<Stage>,
    /// What the database takes between two stages, in seconds.
    pub(crate) pause: f64,
    /// Maximum number of requests in flight.
    pub(crate) most_in_flight: u32,
}

/// How far the work has come.
#[derive(Debug)]
pub(crate) struct Work {
    stages: std::vec::IntoIter<Stage>,
    now: Stage,
    in_flight: u64,
}

impl Work {
    pub(crate) fn of(import: &Import) -> Self {
        let mut work = Self {
            stages: import.stages.clone().into_iter(),
            now: stage(0, 0),
            in_flight: 0,
        };
        work.next_stage();
        work
    }

    /// What the next request is, if one can be made.
    pub(crate) fn waiting(&self) -> Option<LatencyClass> {
        (self.now.requests > 0).then_some(self.now.class)
    }

    pub(crate) fn sent(&mut self) {
        self.now.requests -= 1;
        self.in_flight += 1;
    }

    /// Says whether that was the last response of the stage.
    pub(crate) fn answered(&mut self, admitted: bool) -> bool {
        self.in_flight -= 1;
        self.now.requests += u64::from(!admitted);
        self.now.requests + self.in_flight == 0
    }

    pub(crate) fn next_stage(&mut self) {
        if let Some(next) = self.stages.next() {
            self.now = next;
        }
    }
}
