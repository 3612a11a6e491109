//! Whether another app spends from the same budget, and how fast.
//!
//! Salla's headers tell the sum of what all of a shop's apps have spent, so whatever
//! fell away and was not ours shows that there is another one, without a refusal.
//! From then on three things are done:
//!
//! * The one request a second after exhaustion is left to it (see `overflow`). A second
//!   that both want is a race that one of us loses, and `Remaining` is 0 whoever wins,
//!   so nothing tells beforehand whether it is free. Beside an app that sends one
//!   request in 20 seconds, still four in 10,000 of ours would be refused, and nearly
//!   all of its own.
//! * What it may take between Salla's answer and our next request is not spent.
//! * We listen whether it is still there (see `listening`), which an exhausted budget
//!   would not tell.
//!
//! What is given up is thus the seconds after exhaustion, for as long as the other app
//! keeps being seen and for [`MEMORY`] longer; the budget itself is used to the full.
//! What cannot be helped is the refusal from which we learn of an app that has stayed
//! out of sight until then, because it sent nothing while there was budget left.

use std::time::Duration;

/// For so long after it was last seen another app is expected back: two rounds of a job
/// that runs every five minutes, so that one of them may go unseen.
const MEMORY: Duration = Duration::from_secs(11 * 60);

/// The speed of another app that has not been seen again is forgotten by half in so
/// many seconds.
const HALF_LIFE: f64 = 300.0;

/// Requests that come at random moments rarely exceed their mean by more than so many
/// standard deviations.
const DEVIATIONS: f64 = 3.0;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Others {
    last: Option<Sighting>,
    /// What was spent when we first looked into a new window, at the least. A server
    /// that always counts one too many is not taken for another app.
    spent_at_reset: Option<i64>,
}

#[derive(Clone, Copy, Debug)]
struct Sighting {
    at: Duration,
    /// Requests a second.
    rate: f64,
}

impl Others {
    /// Another app sent requests, about so many a second.
    pub(super) fn seen(&mut self, now: Duration, rate: f64) {
        let rate = rate.max(self.rate(now));
        self.last = Some(Sighting { at: now, rate });
    }

    pub(super) fn are_about(&self, now: Duration) -> bool {
        self.last
            .is_some_and(|last| now.saturating_sub(last.at) < MEMORY)
    }

    /// How many requests a second the other app was last seen to send.
    pub(super) fn rate(&self, now: Duration) -> f64 {
        self.last.map_or(0.0, |last| {
            let age = now.saturating_sub(last.at).as_secs_f64();
            last.rate * 0.5f64.powf(age / HALF_LIFE)
        })
    }

    /// How many requests an app of this speed may send while one of ours is on its way
    /// and back; never less than one.
    pub(super) fn within(rate: f64, round_trip: Duration) -> usize {
        let mean = rate * round_trip.as_secs_f64();
        1 + (mean + DEVIATIONS * mean.sqrt()).ceil() as usize
    }

    /// Takes in what had been spent of a window when the first answer of it came that
    /// none of our own requests explains; returns how much of that says nothing. A
    /// request in flight may explain more than it did, hence never less than none.
    pub(super) fn usual_at_reset(&mut self, spent: i64) -> i64 {
        let spent = spent.max(0);
        let least = self.spent_at_reset.map_or(spent, |least| least.min(spent));
        self.spent_at_reset = Some(least);
        least
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn it_is_expected_back_for_eleven_minutes_and_its_speed_fades() {
        let mut others = Others::default();
        assert!(!others.are_about(s(0)));
        others.seen(s(100), 2.0);
        assert!(others.are_about(s(100)) && others.are_about(s(759)));
        assert!(!others.are_about(s(760)));
        assert!((others.rate(s(400)) - 1.0).abs() < 1e-9);
        others.seen(s(400), 0.25);
        assert!((others.rate(s(400)) - 1.0).abs() < 1e-9, "the faster rules");
        others.seen(s(400), 3.0);
        assert!((others.rate(s(400)) - 3.0).abs() < 1e-9);
    }

    #[test]
    fn what_may_come_within_a_round_trip_is_rarely_exceeded() {
        let round_trip = Duration::from_millis(250);
        for (rate, expected) in [(0.0, 1), (0.05, 2), (1.0, 3), (4.0, 5), (36.0, 19)] {
            assert_eq!(Others::within(rate, round_trip), expected, "{rate}/s");
        }
    }

    #[test]
    fn what_is_spent_after_every_reset_says_nothing() {
        let mut others = Others::default();
        let usual: Vec<_> = [3, 5, 1, 2, -1, 1]
            .map(|spent| others.usual_at_reset(spent))
            .into();
        assert_eq!(usual, [3, 3, 1, 1, 0, 0]);
    }
}
