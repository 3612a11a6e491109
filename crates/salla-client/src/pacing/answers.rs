//! What the pacer learns from the end of a request.

use std::time::Duration;

use super::flight::{Flight, Knowledge, Mode, PermitId};
use super::headers::RateHeaders;
use super::pacer::Pacer;
use super::settings::Outcome;
use super::window::{Age, Window};

/// After so many answers without rate headers none is expected any more.
const BARE_ANSWERS: u32 = 3;

impl Pacer {
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

    /// The request was counted, but its answer cannot tell by how much. After a reset,
    /// or at the start, the budget is then assumed to be whole and counted by us.
    fn accepted_elsewhere(&mut self, flight: Flight, now: Duration) {
        self.encouraged(flight);
        match (&mut self.knowledge, flight.mode) {
            (Knowledge::Window(window), Mode::Burst | Mode::Overflow) => window.assume_counted(),
            (Knowledge::Bare, _) => {}
            (Knowledge::Nothing | Knowledge::Window(_), _) => {
                let limit = self.limit_or_prior();
                self.knowledge = limit.map_or(Knowledge::Bare, |limit| {
                    Knowledge::Window(Window::assumed(limit, now))
                });
            }
        }
    }

    /// Brings what is known of the budget up to date.
    fn learn(&mut self, flight: Flight, headers: &RateHeaders, now: Duration) {
        if let Some(limit) = headers.limit {
            self.known_limit = Some(limit);
        }
        let Some(remaining) = headers.remaining else {
            return self.learn_from_bare(now);
        };
        let in_flight = self.flights.len();
        let expired = self.is_expired(flight, now);
        if let Knowledge::Window(window) = &mut self.knowledge {
            match window.age_of(headers) {
                Age::Stale => return,
                Age::Same if !expired => {
                    if window.narrow(remaining, in_flight, now) {
                        self.others.seen(now, window.rate_of_others(now));
                        self.overflow.explain();
                    }
                    return;
                }
                Age::Same | Age::Newer => {}
            }
        }
        if let Some(window) = Window::begin(headers, self.settings.prior_limit, now) {
            self.overflow.lateness.conclude(&self.latency);
            self.open(window, flight, headers, now);
        }
    }

    /// The first answer of a window. Whatever is spent of it already may be our own,
    /// from before a restart or, if this is a bucket that never empties, from before;
    /// but not when we waited for the reset, knew when it is, and then asked alone.
    fn open(&mut self, mut window: Window, flight: Flight, headers: &RateHeaders, now: Duration) {
        let told = headers.limit.is_some() && headers.reset_epoch.is_some();
        let alone = flight.mode == Mode::Probe && told;
        if alone && window.opened_alone(self.flights.len(), &mut self.others) {
            self.others.seen(now, window.rate_of_others(now));
            self.overflow.explain();
        }
        self.knowledge = Knowledge::Window(window);
    }

    /// Whether the known window is older than any window can be and this request was
    /// sent afterwards. Then an answer with the same reset starts it anew, so that
    /// a server with a senseless reset is not read as exhausted for ever.
    fn is_expired(&self, flight: Flight, now: Duration) -> bool {
        match (&self.knowledge, flight.sent) {
            (Knowledge::Window(window), Some(sent)) => {
                let end = window.seen_at + self.settings.window;
                sent >= end && now >= end
            }
            _ => false,
        }
    }

    /// An answer that says nothing of what is left; it may have cost budget all the
    /// same. Errors of the edge look like this, so only accepted answers, several in a
    /// row, show that there are no headers to be had.
    fn learn_from_bare(&mut self, now: Duration) {
        let headerless = self.bare_answers >= BARE_ANSWERS;
        match &mut self.knowledge {
            Knowledge::Window(window)
                if headerless && now >= window.seen_at + self.settings.window =>
            {
                self.knowledge = Knowledge::Bare;
            }
            Knowledge::Window(window) => window.assume_counted(),
            Knowledge::Nothing if headerless => self.knowledge = Knowledge::Bare,
            Knowledge::Nothing | Knowledge::Bare => {}
        }
    }

    fn throttled(&mut self, flight: Flight, headers: &RateHeaders, sent: Duration, now: Duration) {
        self.learn(flight, headers, now);
        self.blame(flight, headers, now);
        self.holds
            .refused(Outcome::Throttled, sent, now, headers.retry_after);
        match &mut self.knowledge {
            Knowledge::Window(window) => window.lowest = 0,
            Knowledge::Bare | Knowledge::Nothing => self.knowledge = Knowledge::Nothing,
        }
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
