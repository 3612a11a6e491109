//! The rules: when the next request may be sent, and what its end teaches.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::arrival::Latency;
use super::cooldown::{BurstSpacing, Cooldown};
use super::headers::{ClockOffset, RateHeaders};
use super::other_apps::{OtherApps, Sampling};
use super::period::{Age, Answered, BudgetPeriod, BudgetState, SentLog, UsualSpending};
use super::settings::{
    InFlight, LatencyClass, NoHeadersPolicy, PacerSettings, PermitDecision, PermitId,
    ResponseOutcome, SendDecision, SendMode,
};
use super::trickle::Trickle;

/// Slightly slower than the limit, so that unequal ways do not matter.
const EVENLY: f64 = 1.01;

/// After this many responses without rate headers none is expected any more.
const RESPONSES_WITHOUT_HEADERS: u32 = 3;

/// Paces the requests of one budget; see the [module's rules](super).
///
/// Every permit is reported back: [`Pacer::on_sent`], then [`Pacer::on_response`] or
/// [`Pacer::on_dropped`]. All times are of one monotonic clock.
#[derive(Debug)]
pub struct Pacer {
    settings: PacerSettings,
    state: BudgetState,
    in_flight: Vec<InFlight>,
    next_id: u64,
    /// The request that was sent to see the new budget after a reset.
    after_reset: Option<PermitId>,
    last_sent: Option<Duration>,
    /// Until then all requests that are no longer in flight have arrived.
    arrived_by: Duration,
    /// Accepted responses in a row without rate headers.
    responses_without_headers: u32,
    known_limit: Option<u32>,
    sent_log: SentLog,
    clock_offset: ClockOffset,
    /// The same by what `Date` alone says: where it is wrong, resets refute it.
    dates: ClockOffset,
    latency: Latency,
    trickle: Trickle,
    cooldown: Cooldown,
    burst_spacing: BurstSpacing,
    other_apps: OtherApps,
    usual: UsualSpending,
}

impl Pacer {
    pub fn new(settings: PacerSettings, rng: fastrand::Rng) -> Self {
        Self {
            state: BudgetState::Unknown,
            in_flight: Vec::new(),
            next_id: 0,
            after_reset: None,
            last_sent: None,
            arrived_by: Duration::ZERO,
            responses_without_headers: 0,
            known_limit: None,
            sent_log: SentLog::new(settings.counted_period()),
            clock_offset: ClockOffset::default(),
            dates: ClockOffset::default(),
            latency: Latency::default(),
            trickle: Trickle::new(),
            cooldown: Cooldown::new(settings.not_before, rng),
            burst_spacing: BurstSpacing::default(),
            other_apps: OtherApps::default(),
            usual: UsualSpending::default(),
            settings,
        }
    }

    /// May the next request, of this class, go at `now`?
    pub fn next_permit(&mut self, now: Duration, class: LatencyClass) -> PermitDecision {
        match self.decide(now) {
            SendDecision::Send(mode) => PermitDecision::Granted(self.grant(class, mode)),
            SendDecision::Until(moment) => PermitDecision::WaitUntil(moment),
            SendDecision::AfterResponse => PermitDecision::WaitForResponse,
        }
    }

    /// The request of this permit leaves now.
    pub fn on_sent(&mut self, permit: PermitId, now: Duration) {
        if let Some(flight) = self.in_flight.iter_mut().find(|f| f.id == permit) {
            flight.sent = Some(now);
            flight.gap = self.last_sent.map(|last| now.saturating_sub(last));
            self.last_sent = Some(now);
            if self.own_cap().is_some() {
                self.sent_log.record(now);
            }
        }
    }

    /// `X-RateLimit-Limit`, once a response has carried it.
    pub fn limit(&self) -> Option<u32> {
        self.known_limit
    }

    /// How long one of our own requests is counted.
    pub(crate) fn counted_period(&self) -> Duration {
        self.settings.counted_period()
    }

    pub(crate) fn limit_or_documented(&self) -> Option<u32> {
        self.known_limit.or(self.settings.documented_limit)
    }

    /// Replaces the documented limit, for instance once the shop's plan is known.
    pub fn set_documented_limit(&mut self, limit: Option<u32>) {
        self.settings.documented_limit = limit;
    }

    /// Salla's clock minus one that shows `shown` now: the least that its responses allow.
    pub fn clock_offset(&self, shown: Timestamp, now: Duration) -> Option<SignedDuration> {
        let seconds = shown.as_nanosecond() as f64 / 1e9;
        let (low, high) = self.dates.ahead_of(seconds, now)?;
        let nearest = if low > 0.0 { low } else { high.min(0.0) };
        SignedDuration::try_from_secs_f64(nearest).ok()
    }

    /// Until when nothing is sent after a refusal.
    pub fn cooldown_until(&self, now: Duration) -> Option<Duration> {
        self.cooldown.until(now)
    }

    /// How long a process that knows nothing of this budget has to wait before its first
    /// request, if this one sends nothing any more.
    pub fn wait_of_successor(&self, now: Duration) -> Duration {
        if let Some(moment) = self.cooldown.until(now) {
            return moment - now;
        }
        if let Some(SendDecision::Until(moment)) = self.own_share_is_spent(now) {
            return moment - now;
        }
        let reset = match &self.state {
            BudgetState::Known(period) => {
                let reset = self.reset_certain_at(period, now);
                if now >= reset || period.lowest as usize > self.in_flight.len() {
                    return Duration::ZERO;
                }
                reset
            }
            BudgetState::Unknown | BudgetState::NoHeaders => Duration::MAX,
        };
        let Some(last_sent) = self.last_sent else {
            return Duration::ZERO;
        };
        let longest = self.trickle.longest_delay();
        let under_way = self
            .in_flight
            .iter()
            .map(|f| f.sent.unwrap_or(now) + longest);
        let arrived_by = under_way.fold(self.arrived_by.max(last_sent), Duration::max);
        let next = (arrived_by + self.trickle.spacing()).min(reset);
        next.saturating_sub(now)
    }

    fn grant(&mut self, class: LatencyClass, mode: SendMode) -> PermitId {
        let id = PermitId(self.next_id);
        self.next_id += 1;
        self.in_flight.push(InFlight {
            id,
            class,
            mode,
            sent: None,
            gap: None,
        });
        if mode == SendMode::AfterReset {
            self.after_reset = Some(id);
        }
        if let BudgetState::Known(period) = &mut self.state {
            period.busiest = period.busiest.max(self.in_flight.len());
        }
        id
    }

    fn decide(&self, now: Duration) -> SendDecision {
        if let Some(moment) = self.cooldown.until(now) {
            return SendDecision::Until(moment);
        }
        if let Some(wait) = self.own_share_is_spent(now) {
            return wait;
        }
        match &self.state {
            BudgetState::Unknown if self.in_flight.is_empty() => SendDecision::Send(SendMode::Solo),
            BudgetState::Unknown => SendDecision::AfterResponse,
            BudgetState::NoHeaders => self.decide_without_headers(now),
            BudgetState::Known(period) => self.decide_in_period(period, now),
        }
    }

    fn decide_in_period(&self, period: &BudgetPeriod, now: Duration) -> SendDecision {
        if now >= self.reset_certain_at(period, now) {
            return match self.after_reset {
                None => SendDecision::Send(SendMode::AfterReset),
                Some(_) => SendDecision::AfterResponse,
            };
        }
        let burst = self.spaced(now, self.burst_spacing.between(now), SendMode::Burst);
        let is_careful = self.other_apps.are_active(now) || !self.trickle.is_in_credit();
        if self.settings.trickle && !is_careful {
            if period.lowest as usize > self.in_flight.len() {
                return burst;
            }
            return self.decide_after_exhaustion(period, now);
        }
        let sampling = Sampling {
            period,
            other_apps: &self.other_apps,
            is_careful,
            may_trickle: self.settings.trickle,
            in_flight: self.in_flight.len(),
            last_sent: self.last_sent,
            round_trip: self.latency.round_trip(),
            reset: self.reset_certain_at(period, now),
            burst,
        };
        sampling.decide(now)
    }

    fn decide_after_exhaustion(&self, period: &BudgetPeriod, now: Duration) -> SendDecision {
        let reset = self.reset_certain_at(period, now);
        let Some(arrived_by) = self.all_arrived_by() else {
            return SendDecision::AfterResponse;
        };
        let next = arrived_by + self.trickle.spacing();
        if now >= next {
            SendDecision::Send(SendMode::Trickle)
        } else {
            SendDecision::Until(next.min(reset))
        }
    }

    fn decide_without_headers(&self, now: Duration) -> SendDecision {
        let burst = self.burst_spacing.between(now);
        match self.settings.without_headers {
            NoHeadersPolicy::Unlimited => SendDecision::Send(SendMode::Burst),
            NoHeadersPolicy::CountedPeriod => self.spaced(now, burst, SendMode::Burst),
            NoHeadersPolicy::EvenSpacing => {
                let second = self.trickle.spacing();
                let limit = self.limit_or_documented().filter(|&limit| limit > 0);
                let even =
                    limit.map_or(second, |limit| self.settings.period.mul_f64(EVENLY) / limit);
                self.spaced(now, even.max(burst), SendMode::Burst)
            }
        }
    }

    /// Lets a request go at least `gap` after the last one.
    fn spaced(&self, now: Duration, gap: Duration, mode: SendMode) -> SendDecision {
        if gap.is_zero() {
            return SendDecision::Send(mode);
        }
        if self.in_flight.iter().any(|f| f.sent.is_none()) {
            return SendDecision::AfterResponse;
        }
        match self.last_sent.map(|sent| sent + gap) {
            Some(next) if now < next => SendDecision::Until(next),
            _ => SendDecision::Send(mode),
        }
    }

    /// When the reset of a period has certainly passed: by Salla's clock where that is
    /// known, and in any case a whole period after its first response.
    fn reset_certain_at(&self, period: &BudgetPeriod, now: Duration) -> Duration {
        let by_length = period.seen_at + self.settings.period;
        let by_clock = period
            .certain_epoch()
            .and_then(|epoch| self.clock_offset.local_time_after(epoch, now));
        by_clock.map_or(by_length, |moment| {
            (moment + self.trickle.margin()).min(by_length)
        })
    }

    /// The moment by which every request so far has arrived at Salla; `None` as long
    /// as one that was permitted has not even been sent.
    fn all_arrived_by(&self) -> Option<Duration> {
        let delay = self.trickle.delay(self.latency.peak());
        self.in_flight
            .iter()
            .try_fold(self.arrived_by, |latest, flight| {
                Some(latest.max(flight.sent? + delay))
            })
    }

    fn own_share_is_spent(&self, now: Duration) -> Option<SendDecision> {
        let cap = self.own_cap()? as usize;
        let unsent = self.in_flight.iter().filter(|f| f.sent.is_none()).count();
        match self.sent_log.full_until(now, cap, unsent) {
            Some(until) => Some(until.map_or(SendDecision::AfterResponse, SendDecision::Until)),
            None => self.share_may_be_spent(now).map(SendDecision::Until),
        }
    }

    /// Until when all of our share may be among what is spent of the budget: a process before this
    /// one may have sent requests that still count.
    fn share_may_be_spent(&self, now: Duration) -> Option<Duration> {
        let BudgetState::Known(period) = &self.state else {
            return None;
        };
        let reset = self.reset_certain_at(period, now);
        let until = self.sent_log.complete_at().min(reset);
        let left = (period.lowest as usize).saturating_sub(self.in_flight.len());
        let ours = self.settings.share_of(period.limit) as usize;
        let may_be = self.settings.share < 1.0 && left + ours <= period.limit as usize;
        (may_be && now < until).then_some(until)
    }

    /// How many requests of any stretch of one period may be ours, where we count them
    /// ourselves: with a share below 1, and where a limit is documented but no header
    /// shows what is left of it.
    fn own_cap(&self) -> Option<u32> {
        let limit = self.limit_or_documented();
        let counted = self.settings.without_headers == NoHeadersPolicy::CountedPeriod
            && !matches!(self.state, BudgetState::Known(_));
        if self.settings.share < 1.0 {
            limit.map(|limit| self.settings.share_of(limit))
        } else if counted {
            limit.map(|limit| limit.max(1))
        } else {
            None
        }
    }

    /// The headers of the response have come.
    pub fn on_response(
        &mut self,
        permit: PermitId,
        now: Duration,
        headers: &RateHeaders,
        outcome: ResponseOutcome,
    ) {
        let Some(flight) = self.finish(permit) else {
            return;
        };
        let sent = flight.sent.unwrap_or(now);
        self.sent_log.begin(now);
        self.estimate_arrival(flight, sent, now, outcome);
        self.update_clock_offset(headers, sent, now);
        match outcome {
            ResponseOutcome::Accepted => self.accepted(flight, headers, now),
            ResponseOutcome::CountedElsewhere => self.counted_elsewhere(flight, now),
            ResponseOutcome::Failed => self.learn(flight, headers, now),
            ResponseOutcome::Throttled => self.throttled(flight, headers, sent, now),
            ResponseOutcome::Blocked => {
                self.state = BudgetState::Unknown;
                self.cooldown
                    .refused(outcome, sent, now, headers.retry_after);
            }
        }
    }

    /// The body of a response that was reported as accepted refuses the request that was sent
    /// then.
    pub fn on_refusal_in_body(
        &mut self,
        sent: Duration,
        now: Duration,
        retry_after: Option<Duration>,
        outcome: ResponseOutcome,
    ) {
        self.cooldown.refused(outcome, sent, now, retry_after);
        self.state.exhaust();
    }

    /// The request ended without a response: cancelled, timed out, cut off. If it was
    /// sent, Salla may have counted it.
    pub fn on_dropped(&mut self, permit: PermitId) {
        let Some(flight) = self.finish(permit) else {
            return;
        };
        let Some(sent) = flight.sent else { return };
        self.arrived_by = self.arrived_by.max(sent + self.trickle.longest_delay());
        if let BudgetState::Known(period) = &mut self.state {
            period.assume_counted();
        }
    }

    fn finish(&mut self, permit: PermitId) -> Option<InFlight> {
        let index = self.in_flight.iter().position(|f| f.id == permit)?;
        self.after_reset = self.after_reset.filter(|&probe| probe != permit);
        Some(self.in_flight.swap_remove(index))
    }

    /// Refusals are answered faster than anything else, so only accepted requests
    /// teach how long the way takes.
    fn estimate_arrival(
        &mut self,
        flight: InFlight,
        sent: Duration,
        now: Duration,
        outcome: ResponseOutcome,
    ) {
        let excess = match outcome {
            ResponseOutcome::Accepted | ResponseOutcome::CountedElsewhere => {
                self.latency.excess(flight.class, now.saturating_sub(sent))
            }
            ResponseOutcome::Throttled | ResponseOutcome::Blocked | ResponseOutcome::Failed => {
                self.latency.peak()
            }
        };
        self.arrived_by = self.arrived_by.max(sent + self.trickle.delay(excess));
    }

    fn update_clock_offset(&mut self, headers: &RateHeaders, sent: Duration, now: Duration) {
        if let Some(date) = headers.date_epoch {
            self.clock_offset.observe(date, sent, now);
            self.dates.observe(date, sent, now);
        }
        if let Some(reset) = headers.reset_epoch {
            // The reset may be cut to seconds, hence the one more.
            self.clock_offset.observe_not_reached(reset + 1, sent, now);
        }
    }

    fn accepted(&mut self, flight: InFlight, headers: &RateHeaders, now: Duration) {
        self.rewarded(flight);
        if headers.has_budget() {
            self.responses_without_headers = 0;
        } else {
            self.responses_without_headers = self.responses_without_headers.saturating_add(1);
        }
        self.learn(flight, headers, now);
        self.learn_from_order(flight, headers, now);
    }

    /// The requests of a period's budget show by the order in which they were counted how
    /// late they arrived, once all of their responses are there.
    fn learn_from_order(&mut self, flight: InFlight, headers: &RateHeaders, now: Duration) {
        let (BudgetState::Known(period), Some(remaining)) = (&self.state, headers.remaining) else {
            return;
        };
        let is_trickle = flight.mode == SendMode::Trickle;
        if let (Some(sent), Age::Same, false) = (flight.sent, period.age_of(headers), is_trickle) {
            let arrival_delays = &mut self.trickle.arrival_delays;
            arrival_delays.answered(flight.class, sent, now, remaining);
        }
        if period.lowest == 0 && self.in_flight.is_empty() {
            self.trickle.arrival_delays.conclude(&self.latency);
        }
    }

    fn rewarded(&mut self, flight: InFlight) {
        if let Some(sent) = flight.sent {
            self.cooldown.accepted(sent);
        }
        self.trickle.record_success();
        if flight.mode == SendMode::Trickle {
            self.trickle.accepted();
        }
    }

    fn counted_elsewhere(&mut self, flight: InFlight, now: Duration) {
        self.rewarded(flight);
        let limit = self.limit_or_documented();
        self.state.assume_counted(flight.mode, limit, now);
    }

    fn learn(&mut self, flight: InFlight, headers: &RateHeaders, now: Duration) {
        if let Some(limit) = headers.limit {
            self.known_limit = Some(limit);
        }
        let answer = Answered {
            flight,
            headers,
            in_flight: self.in_flight.len(),
            has_no_headers: self.responses_without_headers >= RESPONSES_WITHOUT_HEADERS,
            now,
        };
        let shown = self.state.learn(&answer, &self.settings, &mut self.usual);
        if shown.has_new_period {
            self.trickle.arrival_delays.conclude(&self.latency);
        }
        if let Some(rate) = shown.rate_of_other_apps {
            self.other_apps.seen(now, rate);
            self.trickle.refund_unexplained();
        }
    }

    fn throttled(
        &mut self,
        flight: InFlight,
        headers: &RateHeaders,
        sent: Duration,
        now: Duration,
    ) {
        self.learn(flight, headers, now);
        self.state.exhaust();
        let begins =
            self.cooldown
                .refused(ResponseOutcome::Throttled, sent, now, headers.retry_after);
        if !begins {
            return;
        }
        self.attribute_refusal(flight, headers, now);
        if self.cooldown.in_a_row() > 1 {
            self.cool_down_until_reset(now);
        }
    }

    /// Finds out which of our assumptions a 429 refutes, once for all that are refused together.
    fn attribute_refusal(&mut self, flight: InFlight, headers: &RateHeaders, now: Duration) {
        match (flight.mode, headers.remaining) {
            (SendMode::Trickle, _) => {
                let own_doing = self.trickle.refused(self.latency.peak());
                if !own_doing {
                    self.other_apps.seen(now, 0.0);
                }
            }
            (SendMode::Burst, Some(0)) if self.state.has_lowered_limit() => {}
            (SendMode::Burst, Some(0)) => {
                let rate = 2.0 * self.other_apps.rate(now);
                self.other_apps.seen(now, rate);
                self.trickle.record_refusal();
            }
            (SendMode::Burst, _) => self.burst_spacing.refused(flight.gap, now),
            (SendMode::Solo | SendMode::AfterReset, _) => {}
        }
    }

    /// A second refusal in a row: whatever time was named was too short, and nothing is gained
    /// by a request before the reset, if we know of one.
    fn cool_down_until_reset(&mut self, now: Duration) {
        if let BudgetState::Known(period) = &self.state {
            let reset = self.reset_certain_at(period, now);
            self.cooldown.at_least_until(reset);
        }
    }
}
