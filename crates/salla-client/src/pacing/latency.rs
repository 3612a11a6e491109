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
    slowest: f64,
}

impl Latency {
    /// Takes in an answer and says how much longer than the fastest it took.
    pub(super) fn excess(&mut self, class: Class, took: Duration) -> f64 {
        let took = took.as_secs_f64();
        let floor = self.floors[class.index()].get_or_insert(took);
        *floor = took.min(*floor + (took - *floor) * FORGETTING);
        let excess = took - *floor;
        self.peak = excess.max(self.peak * FADING);
        self.slowest = took.max(self.slowest * FADING);
        excess
    }

    /// How much longer than the fastest an answer took, as far as that is known now.
    pub(super) fn beyond_the_fastest(&self, class: Class, took: Duration) -> f64 {
        let floor = self.floors[class.index()].unwrap_or(0.0);
        (took.as_secs_f64() - floor).max(0.0)
    }

    /// How long a request and its answer may take, by experience.
    pub(super) fn round_trip(&self) -> Duration {
        Duration::from_secs_f64(self.slowest)
    }

    /// What a request in flight may take longer than the fastest, by experience.
    pub(super) fn peak(&self) -> f64 {
        self.peak
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn what_exceeds_the_fastest_of_a_class_is_remembered_and_fades() {
        let mut latency = Latency::default();
        assert_eq!((latency.peak(), latency.round_trip()), (0.0, ms(0)));
        assert_eq!(latency.excess(Class(0), ms(200)), 0.0);
        let excess = latency.excess(Class(0), ms(300));
        assert!((0.0998..0.1).contains(&excess), "{excess}");
        assert_eq!(latency.peak(), excess);
        assert_eq!(latency.round_trip(), ms(300));
        assert_eq!(latency.excess(Class(1), ms(900)), 0.0, "another class");
        assert_eq!(latency.round_trip(), ms(900));
        for _ in 0..200 {
            latency.excess(Class(0), ms(150));
        }
        assert!(latency.peak() < 0.01);
        assert_eq!(latency.round_trip(), ms(150));
    }

    #[test]
    fn a_slower_way_becomes_the_fastest_in_the_end() {
        let mut latency = Latency::default();
        latency.excess(Class(0), ms(100));
        for _ in 0..4_000 {
            latency.excess(Class(0), ms(200));
        }
        assert!(latency.excess(Class(0), ms(200)) < 0.005);
    }
}
