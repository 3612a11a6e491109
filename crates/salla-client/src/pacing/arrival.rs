//! How late requests arrive at Salla.
//!
//! Only the time from sending to the response's headers can be measured. The fastest
//! response of a class took at least the shortest way there; what a response took beyond
//! that bounds how much longer its request was on the way ([`Latency`]), but most of it is
//! usually Salla's own work. A burst separates the two ([`ArrivalDelays`]), because `Remaining`
//! numbers its requests in the order in which they were counted:
//!
//! * A request that was counted after one that was sent later was delayed by more than lies
//!   between the two. Where none of hundreds was overtaken, delays are equal.
//! * Delays that all requests share change no order. But a request that was counted before
//!   another one arrived no later than that one can have arrived, whose whole way there
//!   and back is known. Of many, some were answered quickly, so this bounds what they
//!   share to a few milliseconds.
//!
//! Both are looked at where much was sent within a short time, and nothing is concluded
//! where there was too little of it, or where requests are not counted one by one.

use std::time::Duration;

use super::settings::LatencyClass;

/// By this part of the difference the floor follows slower responses, so that it adapts to a
/// changed route in the end.
const FLOOR_FORGETTING: f64 = 1.0 / 1024.0;

/// The peak of the recent past fades by this factor with each response.
const PEAK_FADING: f64 = 0.98;

/// The fastest of a few responses is not the fastest there is. It may be slower by this part of
/// the time it took, divided by the number of responses.
const UNKNOWN_WAY: f64 = 0.5;

/// How much later than the fastest a request may have arrived.
#[derive(Debug, Default)]
pub(super) struct Latency {
    floors: [Option<f64>; LatencyClass::COUNT],
    responses: [u32; LatencyClass::COUNT],
    peak: f64,
    slowest: f64,
}

impl Latency {
    /// Takes in a response and says how much longer than the fastest it took.
    pub(super) fn excess(&mut self, class: LatencyClass, took: Duration) -> f64 {
        let took = took.as_secs_f64();
        let floor = self.floors[class.index()].get_or_insert(took);
        *floor = took.min(*floor + (took - *floor) * FLOOR_FORGETTING);
        let responses = &mut self.responses[class.index()];
        *responses = responses.saturating_add(1);
        let excess = took - *floor * (1.0 - UNKNOWN_WAY / f64::from(*responses));
        self.peak = excess.max(self.peak * PEAK_FADING);
        self.slowest = took.max(self.slowest * PEAK_FADING);
        excess
    }

    /// How much longer than the fastest a response took, as far as that is known now.
    pub(super) fn beyond_the_fastest(&self, class: LatencyClass, took: Duration) -> f64 {
        let floor = self.floors[class.index()].unwrap_or(0.0);
        (took.as_secs_f64() - floor).max(0.0)
    }

    /// How long a request and its response may take, by experience.
    pub(super) fn round_trip(&self) -> Duration {
        Duration::from_secs_f64(self.slowest)
    }

    /// What a request in flight may take longer than the fastest, by experience.
    pub(super) fn peak(&self) -> f64 {
        self.peak
    }
}

/// A request is evidence if this many more were sent this soon after it. When it was sent
/// says nothing about how it fared, so leaving out the others hides nothing.
const FOLLOWERS: usize = 8;
const SOON: f64 = 0.06;

/// This many of them prove something.
const ENOUGH: usize = 16;

/// One request in this many may be later than calculated.
const RARE: f64 = 1e6;

/// Most bounds are loose; this part of them is tight enough to show a common delay.
const TIGHT: usize = 8;

/// What was seen a minute ago counts so much less.
const PROOF_FADING: f64 = 0.8;

/// Those of the largest plan's period.
const MAX_SAMPLES: usize = 1024;

/// How late requests arrive, by the order in which Salla counted them.
#[derive(Debug, Default)]
pub(super) struct ArrivalDelays {
    /// Of the present period.
    samples: Vec<Sample>,
    proven: Option<Proven>,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    class: LatencyClass,
    sent: Duration,
    took: Duration,
    remaining: u32,
}

/// Requests whose responses took up to `excess` seconds longer than the fastest arrived up
/// to `late` seconds later than the fastest.
#[derive(Clone, Copy, Debug)]
struct Proven {
    excess: f64,
    late: f64,
}

/// What is to be seen of one request.
#[derive(Clone, Copy, Debug)]
struct Seen {
    sent: f64,
    excess: f64,
    is_evidence: bool,
}

impl ArrivalDelays {
    /// A response to a request within the present period's budget has come.
    pub(super) fn answered(
        &mut self,
        class: LatencyClass,
        sent: Duration,
        now: Duration,
        remaining: u32,
    ) {
        if self.samples.len() < MAX_SAMPLES {
            self.samples.push(Sample {
                class,
                sent,
                took: now.saturating_sub(sent),
                remaining,
            });
        }
    }

    /// Learns from the responses of a period; those that are not there yet will not count.
    pub(super) fn conclude(&mut self, latency: &Latency) {
        let samples = std::mem::take(&mut self.samples);
        let Some(new) = in_order(samples, latency).and_then(|seen| proof(&seen)) else {
            return;
        };
        let before = self.proven.map_or(0.0, |proven| proven.late * PROOF_FADING);
        self.proven = Some(Proven {
            late: new.late.max(before),
            ..new
        });
    }

    /// How many seconds late a request arrives at most if its response is not later than is
    /// ordinary; `None` as long as nothing is proven.
    pub(super) fn proven(&self) -> Option<f64> {
        self.proven.map(|proven| proven.late)
    }

    /// How late a request may have been whose response took `excess` longer than the
    /// fastest. What is out of the ordinary is explained by nothing that was seen.
    pub(super) fn of(&self, excess: f64) -> f64 {
        match self.proven {
            Some(proven) if excess <= proven.excess => excess.min(proven.late),
            _ => excess,
        }
    }
}

/// In the order in which they were counted; `None` if two have the same number.
fn in_order(mut samples: Vec<Sample>, latency: &Latency) -> Option<Vec<Seen>> {
    samples.sort_by_key(|sample| std::cmp::Reverse(sample.remaining));
    let same_number = |two: &[Sample]| two[0].remaining == two[1].remaining;
    if samples.windows(2).any(same_number) {
        return None;
    }
    let mut sent: Vec<f64> = samples.iter().map(|s| s.sent.as_secs_f64()).collect();
    sent.sort_by(f64::total_cmp);
    let seen = samples.iter().map(|sample| Seen {
        sent: sample.sent.as_secs_f64(),
        excess: latency.beyond_the_fastest(sample.class, sample.took),
        is_evidence: has_followers(sample.sent.as_secs_f64(), &sent),
    });
    Some(seen.collect())
}

fn has_followers(moment: f64, sent: &[f64]) -> bool {
    let after = sent.partition_point(|&other| other <= moment);
    let soon = sent.partition_point(|&other| other <= moment + SOON);
    soon - after >= FOLLOWERS
}

fn proof(seen: &[Seen]) -> Option<Proven> {
    let evidence = || seen.iter().filter(|seen| seen.is_evidence);
    if evidence().count() < ENOUGH {
        return None;
    }
    Some(Proven {
        excess: evidence().map(|seen| seen.excess).fold(0.0, f64::max),
        late: beyond_seen(evidence().count()) * longest_overtaken(seen) + shared_delay(seen),
    })
}

/// Ratio of the longest delay of this many requests to that of the rarest: the longest of `n` grows
/// with the logarithm of `n` where delays have an exponential tail.
fn beyond_seen(requests: usize) -> f64 {
    RARE.ln() / (requests.max(2) as f64).ln()
}

/// The longest time between a request and one that was sent later and counted before it.
fn longest_overtaken(seen: &[Seen]) -> f64 {
    let mut latest_sent = 0.0_f64;
    let mut longest = 0.0_f64;
    for request in seen {
        latest_sent = latest_sent.max(request.sent);
        if request.is_evidence {
            longest = longest.max(latest_sent - request.sent);
        }
    }
    longest
}

/// By how much all of them may have been late.
fn shared_delay(seen: &[Seen]) -> f64 {
    let mut arrived_by = f64::INFINITY;
    let mut bounds = Vec::new();
    for request in seen.iter().rev() {
        let bound = request.excess.min(arrived_by - request.sent).max(0.0);
        arrived_by = arrived_by.min(request.sent + bound);
        if request.is_evidence {
            bounds.push(bound);
        }
    }
    bounds.sort_by(f64::total_cmp);
    bounds.get(bounds.len() / TIGHT).copied().unwrap_or(0.0)
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
        let unknown = latency.excess(LatencyClass(0), ms(200));
        assert!((0.0999..0.1001).contains(&unknown), "{unknown}");
        let excess = latency.excess(LatencyClass(0), ms(300));
        assert!((0.1498..0.15).contains(&excess), "{excess}");
        assert_eq!(latency.peak(), excess);
        assert_eq!(latency.round_trip(), ms(300));
        let excess = latency.excess(LatencyClass(1), ms(900));
        assert!(
            (0.4499..0.4501).contains(&excess),
            "another class: {excess}"
        );
        assert_eq!(latency.round_trip(), ms(900));
        for _ in 0..200 {
            latency.excess(LatencyClass(0), ms(150));
        }
        assert!(latency.peak() < 0.01);
        assert_eq!(latency.round_trip(), ms(150));
    }

    #[test]
    fn a_slower_way_becomes_the_fastest_in_the_end() {
        let mut latency = Latency::default();
        latency.excess(LatencyClass(0), ms(100));
        for _ in 0..4_000 {
            latency.excess(LatencyClass(0), ms(200));
        }
        assert!(latency.excess(LatencyClass(0), ms(200)) < 0.005);
    }

    /// A hundred requests, one every five milliseconds. What each takes beyond 100 ms on
    /// its way there and at work, in milliseconds, is drawn from up to so much.
    fn burst(way: u64, shared: u64, work: u64) -> (ArrivalDelays, Latency) {
        let mut rng = fastrand::Rng::with_seed(5);
        let (mut arrival_delays, mut latency) = (ArrivalDelays::default(), Latency::default());
        latency.excess(LatencyClass(0), ms(100));
        let mut requests: Vec<(u64, u64, u64)> = (0..100)
            .map(|number| {
                let sent = 1_000 + 5 * number;
                let arrives = sent + shared + rng.u64(0..=way);
                (arrives, sent, arrives + 100 + rng.u64(0..=work))
            })
            .collect();
        requests.sort_unstable();
        for (remaining, (_, sent, answered)) in (0..100).rev().zip(requests) {
            arrival_delays.answered(LatencyClass(0), ms(sent), ms(answered), remaining);
        }
        arrival_delays.conclude(&latency);
        (arrival_delays, latency)
    }

    #[test]
    fn where_none_is_overtaken_late_answers_mean_little() {
        let (arrival_delays, _) = burst(0, 0, 100);
        assert!(arrival_delays.proven().is_some());
        assert!(
            arrival_delays.of(0.09) < 0.015,
            "{}",
            arrival_delays.of(0.09)
        );
        assert_eq!(arrival_delays.of(0.3), 0.3, "nothing like it was seen");
    }

    #[test]
    fn delays_on_the_way_are_assumed_whether_or_not_they_are_shared() {
        for (way, shared, work) in [(60, 0, 0), (60, 0, 40), (0, 60, 40)] {
            let (arrival_delays, _) = burst(way, shared, work);
            assert!(arrival_delays.of(0.06) > 0.059, "{way} {shared} {work}");
        }
    }

    #[test]
    fn too_few_prove_nothing() {
        let mut arrival_delays = ArrivalDelays::default();
        for number in 0..20 {
            let sent = ms(100 * u64::from(number));
            arrival_delays.answered(LatencyClass(0), sent, sent + ms(100), 50 - number);
        }
        arrival_delays.conclude(&Latency::default());
        assert_eq!(
            arrival_delays.proven(),
            None,
            "no request had a chance to overtake"
        );
    }

    #[test]
    fn requests_that_are_not_counted_one_by_one_prove_nothing() {
        let mut arrival_delays = ArrivalDelays::default();
        for number in 0..100 {
            let sent = ms(5 * u64::from(number));
            arrival_delays.answered(LatencyClass(0), sent, sent + ms(100), 50 - number / 2);
        }
        arrival_delays.conclude(&Latency::default());
        assert_eq!(arrival_delays.proven(), None);
    }
}
