//! How much later than the fastest a request may have arrived at Salla.
//!
//! Only the time from sending to the answer's headers can be measured. The fastest
//! answer of a class took at least the shortest way there; what an answer took beyond
//! that bounds how much longer its request was on the way.

use std::time::Duration;

use super::settings::Class;

/// By this part of the difference the floor follows slower answers, so that a
/// changed route is learnt in the end.
const FORGETTING: f64 = 1.0 / 1024.0;

/// The peak of the recent past fades by this factor with each answer.
const FADING: f64 = 0.98;

#[derive(Debug, Default)]
pub(super) struct Latency {
    floors: [Option<f64>; Class::COUNT],
    peak: f64,
}

impl Latency {
    /// Takes in an answer and says how much longer than the fastest it took.
    pub(super) fn excess(&mut self, class: Class, took: Duration) -> f64 {
        let took = took.as_secs_f64();
        let floor = self.floors[class.index()].get_or_insert(took);
        *floor = took.min(*floor + (took - *floor) * FORGETTING);
        let excess = took - *floor;
        self.peak = excess.max(self.peak * FADING);
        excess
    }

    /// What a request in flight may take longer than the fastest, by experience.
    pub(super) fn peak(&self) -> f64 {
        self.peak
    }
}
