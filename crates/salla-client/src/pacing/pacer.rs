//! The rule book: may the next request go, and what its end teaches.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::arrival::Latency;
use super::cooldown::{Gap, Holds};
use super::headers::{RateHeaders, ServerClock};
use super::other_apps::{Others, Sampling};
use super::period::{Age, Answered, Knowledge, OwnRequests, UsualSpending, Window};
use super::settings::{
    Class, Decision, Flight, Mode, Outcome, PacerSettings, PermitId, Verdict, WithoutHeaders,
};
use super::trickle::Overflow;

/// Slightly slower than the limit, so that unequal ways do not matter.
const EVENLY: f64 = 1.01;

/// After so many answers without rate headers none is expected any more.
const BARE_ANSWERS: u32 = 3;

/// Paces the requests of one budget; see the [module's rules](super).
///
/// Every permit is reported back: [`Pacer::on_sent`], then [`Pacer::on_response`] or
/// [`Pacer::on_dropped`]. All times are of one monotonic clock.
#[derive(Debug)]
pub struct Pacer {
    settings: PacerSettings,
    knowledge: Knowledge,
    flights: Vec<Flight>,
    next_id: u64,
    /// The request that was sent to see the new budget after a reset.
    probe: Option<PermitId>,
    last_sent: Option<Duration>,
    /// Until then all requests that are no longer in flight have arrived.
    arrived_by: Duration,
    /// Accepted answers in a row without rate headers.
    bare_answers: u32,
    known_limit: Option<u32>,
    own: OwnRequests,
    server_clock: ServerClock,
    /// The same by what `Date` alone says: where it is wrong, resets refute it.
    dates: ServerClock,
    latency: Latency,
    overflow: Overflow,
    holds: Holds,
    gap: Gap,
    others: Others,
    usual: UsualSpending,
}

impl Pacer {
    pub fn new(settings: PacerSettings, rng: fastrand::Rng) -> Self {
        Self {
            knowledge: Knowledge::Nothing,
            flights: Vec::new(),
            next_id: 0,
            probe: None,
            last_sent: None,
            arrived_by: Duration::ZERO,
            bare_answers: 0,
            known_limit: None,
            own: OwnRequests::new(settings.counted_window()),
            server_clock: ServerClock::default(),
            dates: ServerClock::default(),
            latency: Latency::default(),
            overflow: Overflow::new(),
            holds: Holds::new(settings.not_before, rng),
            gap: Gap::default(),
            others: Others::default(),
            usual: UsualSpending::default(),
            settings,
        }
    }

    /// May the next request, of this class, go at `now`?
    pub fn next_permit(&mut self, now: Duration, class: Class) -> Verdict {
        match self.decide(now) {
            Decision::Go(mode) => Verdict::Go(self.grant(class, mode)),
            Decision::Until(moment) => Verdict::WaitUntil(moment),
            Decision::AfterAnswer => Verdict::WaitForResponse,
        }
    }

    /// The request of this permit leaves now.
    pub fn on_sent(&mut self, permit: PermitId, now: Duration) {
        if let Some(flight) = self.flights.iter_mut().find(|f| f.id == permit) {
            flight.sent = Some(now);
            self.last_sent = Some(now);
            if self.own_cap().is_some() {
                self.own.record(now);
            }
        }
    }

    /// `X-RateLimit-Limit`, once an answer has carried it.
    pub fn limit(&self) -> Option<u32> {
        self.known_limit
    }

    /// How long one of our own requests is counted.
    pub(crate) fn counted_window(&self) -> Duration {
        self.settings.counted_window()
    }

    pub(crate) fn limit_or_prior(&self) -> Option<u32> {
        self.known_limit.or(self.settings.prior_limit)
    }

    /// Replaces the documented limit, for instance once the shop's plan is known.
    pub fn set_prior_limit(&mut self, limit: Option<u32>) {
        self.settings.prior_limit = limit;
    }

    /// Salla's clock minus one that shows `shown` now: the least that its responses allow.
    pub fn clock_offset(&self, shown: Timestamp, now: Duration) -> Option<SignedDuration> {
        let seconds = shown.as_nanosecond() as f64 / 1e9;
        let (low, high) = self.dates.ahead_of(seconds, now)?;
        let nearest = if low > 0.0 { low } else { high.min(0.0) };
        SignedDuration::try_from_secs_f64(nearest).ok()
    }

    /// Until when everything is held after a refusal.
    pub fn held_until(&self, now: Duration) -> Option<Duration> {
        self.holds.until(now)
    }

    /// How long a process that knows nothing of this budget has to wait before its first
    /// request, if this one sends nothing any more.
    pub fn wait_of_successor(&self, now: Duration) -> Duration {
        if let Some(moment) = self.holds.until(now) {
            return moment - now;
        }
        let reset = match &self.knowledge {
            Knowledge::Window(window) => {
                let reset = self.reset_certain_at(window, now);
                if now >= reset || window.lowest as usize > self.flights.len() {
                    return Duration::ZERO;
                }
                reset
            }
            Knowledge::Nothing | Knowledge::Bare => Duration::MAX,
        };
        let Some(last_sent) = self.last_sent else {
            return Duration::ZERO;
        };
        let longest = self.overflow.longest_delay();
        let under_way = self.flights.iter().map(|f| f.sent.unwrap_or(now) + longest);
        let arrived_by = under_way.fold(self.arrived_by.max(last_sent), Duration::max);
        let next = (arrived_by + self.overflow.spacing()).min(reset);
        next.saturating_sub(now)
    }

    fn grant(&mut self, class: Class, mode: Mode) -> PermitId {
        let id = PermitId(self.next_id);
        self.next_id += 1;
        self.flights.push(Flight {
            id,
            class,
            mode,
            sent: None,
        });
        if mode == Mode::Probe {
            self.probe = Some(id);
        }
        if let Knowledge::Window(window) = &mut self.knowledge {
            window.busiest = window.busiest.max(self.flights.len());
        }
        id
    }

    fn decide(&self, now: Duration) -> Decision {
        if let Some(moment) = self.holds.until(now) {
            return Decision::Until(moment);
        }
        if let Some(wait) = self.own_share_is_spent(now) {
            return wait;
        }
        match &self.knowledge {
            Knowledge::Nothing if self.flights.is_empty() => Decision::Go(Mode::Alone),
            Knowledge::Nothing => Decision::AfterAnswer,
            Knowledge::Bare => self.decide_without_headers(now),
            Knowledge::Window(window) => self.decide_in(window, now),
        }
    }

    fn decide_in(&self, window: &Window, now: Duration) -> Decision {
        if now >= self.reset_certain_at(window, now) {
            return match self.probe {
                None => Decision::Go(Mode::Probe),
                Some(_) => Decision::AfterAnswer,
            };
        }
        let burst = self.spaced(now, self.gap.between(), Mode::Burst);
        let is_careful = self.others.are_about(now) || !self.overflow.is_paid();
        if self.settings.overflow && !is_careful {
            if window.lowest as usize > self.flights.len() {
                return burst;
            }
            return self.decide_after_exhaustion(window, now);
        }
        let sampling = Sampling {
            window,
            others: &self.others,
            is_careful,
            may_overflow: self.settings.overflow,
            in_flight: self.flights.len(),
            last_sent: self.last_sent,
            round_trip: self.latency.round_trip(),
            reset: self.reset_certain_at(window, now),
            burst,
        };
        sampling.decide(now)
    }

    fn decide_after_exhaustion(&self, window: &Window, now: Duration) -> Decision {
        let reset = self.reset_certain_at(window, now);
        let Some(arrived_by) = self.all_arrived_by() else {
            return Decision::AfterAnswer;
        };
        let next = arrived_by + self.overflow.spacing();
        if now >= next {
            Decision::Go(Mode::Overflow)
        } else {
            Decision::Until(next.min(reset))
        }
    }

    fn decide_without_headers(&self, now: Duration) -> Decision {
        match self.settings.without_headers {
            WithoutHeaders::Unlimited => Decision::Go(Mode::Burst),
            WithoutHeaders::CountedWindow => self.spaced(now, self.gap.between(), Mode::Burst),
            WithoutHeaders::EvenSpacing => {
                let second = self.overflow.spacing();
                let limit = self.settings.prior_limit.filter(|&limit| limit > 0);
                let even =
                    limit.map_or(second, |limit| self.settings.window.mul_f64(EVENLY) / limit);
                self.spaced(now, even.max(self.gap.between()), Mode::Burst)
            }
        }
    }

    /// Lets a request go at least `gap` after the last one.
    fn spaced(&self, now: Duration, gap: Duration, mode: Mode) -> Decision {
        if gap.is_zero() {
            return Decision::Go(mode);
        }
        if self.flights.iter().any(|f| f.sent.is_none()) {
            return Decision::AfterAnswer;
        }
        match self.last_sent.map(|sent| sent + gap) {
            Some(next) if now < next => Decision::Until(next),
            _ => Decision::Go(mode),
        }
    }

    /// When the reset of a window has certainly passed: by Salla's clock where that is
    /// known, and in any case a whole window after its first answer.
    fn reset_certain_at(&self, window: &Window, now: Duration) -> Duration {
        let by_length = window.seen_at + self.settings.window;
        let by_clock = window
            .certain_epoch()
            .and_then(|epoch| self.server_clock.certainly_at(epoch, now));
        by_clock.map_or(by_length, |moment| {
            (moment + self.overflow.margin()).min(by_length)
        })
    }

    /// The moment by which every request so far has arrived at Salla; `None` as long
    /// as one that was permitted has not even been sent.
    fn all_arrived_by(&self) -> Option<Duration> {
        let delay = self.overflow.delay(self.latency.peak());
        self.flights
            .iter()
            .try_fold(self.arrived_by, |latest, flight| {
                Some(latest.max(flight.sent? + delay))
            })
    }

    fn own_share_is_spent(&self, now: Duration) -> Option<Decision> {
        let cap = self.own_cap()? as usize;
        let unsent = self.flights.iter().filter(|f| f.sent.is_none()).count();
        let until = self.own.full_until(now, cap, unsent)?;
        Some(until.map_or(Decision::AfterAnswer, Decision::Until))
    }

    /// How many requests of any stretch of one window may be ours, where we count them
    /// ourselves: with a share below 1, and where a limit is documented but no header
    /// tells what is left of it.
    fn own_cap(&self) -> Option<u32> {
        let limit = self.limit_or_prior();
        let counted = self.settings.without_headers == WithoutHeaders::CountedWindow
            && !matches!(self.knowledge, Knowledge::Window(_));
        if self.settings.share < 1.0 {
            limit.map(|limit| share_of(limit, self.settings.share))
        } else if counted {
            limit.map(|limit| limit.max(1))
        } else {
            None
        }
    }

    /// The headers of the answer have come.
    pub fn on_response(
        &mut self,
        permit: PermitId,
        now: Duration,
        headers: &RateHeaders,
        outcome: Outcome,
    ) {
        let Some(flight) = self.land(permit) else {
            return;
        };
        let sent = flight.sent.unwrap_or(now);
        self.estimate_arrival(flight, sent, now, outcome);
        self.tell_the_time(headers, sent, now);
        match outcome {
            Outcome::Ok => self.accepted(flight, headers, now),
            Outcome::Elsewhere => self.accepted_elsewhere(flight, now),
            Outcome::Failed => self.learn(flight, headers, now),
            Outcome::Throttled => self.throttled(flight, headers, sent, now),
            Outcome::Blocked => {
                self.knowledge = Knowledge::Nothing;
                self.holds.refused(outcome, sent, now, headers.retry_after);
            }
        }
    }

    /// The request ended without an answer: cancelled, timed out, cut off. If it was
    /// sent, Salla may have counted it.
    pub fn on_dropped(&mut self, permit: PermitId) {
        let Some(flight) = self.land(permit) else {
            return;
        };
        let Some(sent) = flight.sent else { return };
        self.arrived_by = self.arrived_by.max(sent + self.overflow.longest_delay());
        if let Knowledge::Window(window) = &mut self.knowledge {
            window.assume_counted();
        }
    }

    /// Takes the flight out of the air.
    fn land(&mut self, permit: PermitId) -> Option<Flight> {
        let index = self.flights.iter().position(|f| f.id == permit)?;
        self.probe = self.probe.filter(|&probe| probe != permit);
        Some(self.flights.swap_remove(index))
    }

    /// Refusals are answered faster than anything else, so only accepted requests
    /// teach how long the way takes.
    fn estimate_arrival(
        &mut self,
        flight: Flight,
        sent: Duration,
        now: Duration,
        outcome: Outcome,
    ) {
        let excess = match outcome {
            Outcome::Ok | Outcome::Elsewhere => {
                self.latency.excess(flight.class, now.saturating_sub(sent))
            }
            Outcome::Throttled | Outcome::Blocked | Outcome::Failed => self.latency.peak(),
        };
        self.arrived_by = self.arrived_by.max(sent + self.overflow.delay(excess));
    }

    fn tell_the_time(&mut self, headers: &RateHeaders, sent: Duration, now: Duration) {
        if let Some(date) = headers.date_epoch {
            self.server_clock.observe(date, sent, now);
            self.dates.observe(date, sent, now);
        }
        if let Some(reset) = headers.reset_epoch {
            // The reset may be cut to seconds, hence the one more.
            self.server_clock.not_yet(reset + 1, sent, now);
        }
    }

    fn accepted(&mut self, flight: Flight, headers: &RateHeaders, now: Duration) {
        self.encouraged(flight);
        if headers.has_budget() {
            self.bare_answers = 0;
        } else {
            self.bare_answers = self.bare_answers.saturating_add(1);
        }
        self.learn(flight, headers, now);
        self.learn_from_order(flight, headers, now);
    }

    /// The requests of a window's budget tell by the order in which they were counted how
    /// late they arrived, once all of their answers are there.
    fn learn_from_order(&mut self, flight: Flight, headers: &RateHeaders, now: Duration) {
        let (Knowledge::Window(window), Some(remaining)) = (&self.knowledge, headers.remaining)
        else {
            return;
        };
        let is_overflow = flight.mode == Mode::Overflow;
        if let (Some(sent), Age::Same, false) = (flight.sent, window.age_of(headers), is_overflow) {
            let lateness = &mut self.overflow.lateness;
            lateness.answered(flight.class, sent, now, remaining);
        }
        if window.lowest == 0 && self.flights.is_empty() {
            self.overflow.lateness.conclude(&self.latency);
        }
    }

    fn encouraged(&mut self, flight: Flight) {
        self.holds.accepted();
        self.overflow.earn();
        match flight.mode {
            Mode::Overflow => self.overflow.accepted(),
            Mode::Alone | Mode::Burst | Mode::Probe => self.gap.accepted(),
        }
    }

    fn accepted_elsewhere(&mut self, flight: Flight, now: Duration) {
        self.encouraged(flight);
        let limit = self.limit_or_prior();
        self.knowledge.assume_counted(flight.mode, limit, now);
    }

    fn learn(&mut self, flight: Flight, headers: &RateHeaders, now: Duration) {
        if let Some(limit) = headers.limit {
            self.known_limit = Some(limit);
        }
        let answer = Answered {
            flight,
            headers,
            in_flight: self.flights.len(),
            is_headerless: self.bare_answers >= BARE_ANSWERS,
            now,
        };
        let shown = self
            .knowledge
            .learn(&answer, &self.settings, &mut self.usual);
        if shown.has_new_window {
            self.overflow.lateness.conclude(&self.latency);
        }
        if let Some(rate) = shown.rate_of_others {
            self.others.seen(now, rate);
            self.overflow.explain();
        }
    }

    fn throttled(&mut self, flight: Flight, headers: &RateHeaders, sent: Duration, now: Duration) {
        self.learn(flight, headers, now);
        self.blame(flight, headers, now);
        self.holds
            .refused(Outcome::Throttled, sent, now, headers.retry_after);
        self.knowledge.exhaust();
        if headers.retry_after.is_none() && self.holds.in_a_row() > 1 {
            self.hold_until_reset(now);
        }
    }

    /// Finds out which of our assumptions a 429 refutes.
    fn blame(&mut self, flight: Flight, headers: &RateHeaders, now: Duration) {
        match (flight.mode, headers.remaining) {
            (Mode::Overflow, _) => {
                let own_doing = self.overflow.refused(self.latency.peak());
                if !own_doing {
                    self.others.seen(now, 0.0);
                }
            }
            (Mode::Burst, Some(0)) => {
                let rate = 2.0 * self.others.rate(now);
                self.others.seen(now, rate);
                self.overflow.charge();
            }
            (Mode::Burst, _) => self.gap.refused(),
            (Mode::Alone | Mode::Probe, _) => {}
        }
    }

    /// A second refusal in a row that names no time: nothing is gained by asking
    /// before the reset, if we know of one.
    fn hold_until_reset(&mut self, now: Duration) {
        if let Knowledge::Window(window) = &self.knowledge {
            let reset = self.reset_certain_at(window, now);
            self.holds.at_least_until(reset);
        }
    }
}

/// At least one, as in `domain::plan::Budget::burst`.
fn share_of(limit: u32, share: f64) -> u32 {
    ((f64::from(limit) * share).floor() as u32).max(1)
}
