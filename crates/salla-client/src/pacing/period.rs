//! What is known of the budget, and of what we spent of it.

use std::collections::VecDeque;
use std::time::Duration;

use super::headers::RateHeaders;
use super::settings::{InFlight, PacerSettings, SendMode};

/// Of a period that no header has reported, this part may be spent already.
const UNREPORTED_PART: u32 = 60;

/// `X-RateLimit-Reset` is cut to seconds, so the reset is certain only a second later.
const CUT: i64 = 1;

/// What the responses of one reset have shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct BudgetPeriod {
    pub(super) reset_epoch: Option<i64>,
    pub(super) limit: u32,
    /// It was higher when the period began.
    is_lowered: bool,
    /// The lowest `Remaining` of all responses, less what they cannot show yet.
    pub(super) lowest: u32,
    /// The lowest `Remaining` of all responses. A request whose own response did not say
    /// may be counted in it already.
    lowest_reported: u32,
    /// When the first of the responses came.
    pub(super) seen_at: Duration,
    /// When the last of the responses came that said what is left.
    pub(super) reported_at: Duration,
    /// The maximum number of requests that were in flight.
    pub(super) busiest: usize,
    /// How many requests of other apps have been seen, at least, and since when.
    other_apps: i64,
    other_apps_since: Duration,
    /// Our requests that this period may have counted, besides those in flight.
    own: u32,
    /// What had been spent before the first of the responses and is not known to have
    /// been spent by other apps.
    spent_at_first: i64,
}

/// How a response relates to what is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Age {
    Stale,
    Same,
    Newer,
}

impl BudgetPeriod {
    pub(super) fn begin(
        headers: &RateHeaders,
        remaining: u32,
        documented_limit: Option<u32>,
        now: Duration,
    ) -> Self {
        let limit = headers
            .limit
            .or(documented_limit)
            .unwrap_or(remaining)
            .max(remaining);
        Self {
            reset_epoch: headers.reset_epoch,
            // Part of it may be our own, from before a restart or still in flight.
            spent_at_first: i64::from(limit) - i64::from(remaining) - 1,
            ..Self::new(limit, remaining, now)
        }
    }

    /// A period that no header has reported. Besides the request that opened it, a few
    /// that we sent before may already have fallen into it.
    pub(super) fn assumed(limit: u32, now: Duration) -> Self {
        let lowest = limit.saturating_sub(limit / UNREPORTED_PART + 2);
        Self::new(limit, lowest, now)
    }

    fn new(limit: u32, lowest: u32, now: Duration) -> Self {
        Self {
            reset_epoch: None,
            limit,
            is_lowered: false,
            lowest,
            lowest_reported: lowest,
            seen_at: now,
            reported_at: now,
            busiest: 0,
            other_apps: 0,
            other_apps_since: now,
            own: 1,
            spent_at_first: 0,
        }
    }

    pub(super) fn age_of(&self, headers: &RateHeaders) -> Age {
        match (headers.reset_epoch, self.reset_epoch) {
            (Some(answer), Some(known)) if answer < known => Age::Stale,
            (Some(answer), Some(known)) if answer > known => Age::Newer,
            (Some(_), None) => Age::Newer,
            _ => Age::Same,
        }
    }

    /// What a lowered limit takes away, no app has spent.
    fn lower_limit(&mut self, limit: Option<u32>) {
        if let Some(limit) = limit.filter(|&limit| limit < self.limit) {
            self.limit = limit;
            self.is_lowered = true;
        }
    }

    /// Takes in another response of the same reset; says whether it shows more requests
    /// of other apps than were known.
    pub(super) fn narrow(&mut self, remaining: u32, in_flight: usize, now: Duration) -> bool {
        self.own += 1;
        self.lowest = self.lowest.min(remaining);
        self.lowest_reported = self.lowest_reported.min(remaining);
        self.reported_at = now;
        self.detect_other_apps(in_flight, now)
    }

    /// The period was opened by the only request of ours that can have been counted in
    /// it, besides those in flight: whatever else was spent, other apps spent, but for what
    /// is always missing. Says whether it shows requests of other apps.
    pub(super) fn opened_alone(&mut self, in_flight: usize, usual: &mut UsualSpending) -> bool {
        self.spent_at_first = usual.take_in(self.spent_at_first - in_flight as i64);
        self.detect_other_apps(in_flight, self.seen_at)
    }

    fn detect_other_apps(&mut self, in_flight: usize, now: Duration) -> bool {
        let others = self.unexplained(in_flight) - self.spent_at_first;
        if others <= self.other_apps {
            return false;
        }
        if self.other_apps == 0 {
            self.other_apps_since = now;
        }
        self.other_apps = others;
        true
    }

    pub(super) fn has_other_apps(&self) -> bool {
        self.other_apps > 0
    }

    /// How many requests a second other apps send. Those that were first seen may all have
    /// come within a second, and more of them may be coming.
    pub(super) fn rate_of_other_apps(&self, now: Duration) -> f64 {
        let age = now.saturating_sub(self.other_apps_since).as_secs_f64();
        self.other_apps as f64 / age.max(1.0)
    }

    /// As long as no request of other apps was seen, they are unlikely to send one more
    /// often than once in the time that we have listened.
    pub(super) fn highest_unseen_rate(&self) -> f64 {
        1.0 / self.reported_at.saturating_sub(self.seen_at).as_secs_f64()
    }

    /// A request of ours ended without a response that says what is left; it may have
    /// been counted all the same.
    pub(super) fn assume_counted(&mut self) {
        self.own += 1;
        self.lowest = self.lowest.saturating_sub(1);
    }

    /// How much of the budget other apps must have spent, at least.
    fn unexplained(&self, in_flight: usize) -> i64 {
        let spent = i64::from(self.limit) - i64::from(self.lowest_reported);
        spent - i64::from(self.own) - in_flight as i64
    }

    /// The moment of Salla's clock at which the reset has certainly passed.
    pub(super) fn certain_epoch(&self) -> Option<i64> {
        self.reset_epoch.map(|epoch| epoch + CUT)
    }
}

/// What had been spent of each period when we first looked into it, at the least. A server that
/// always counts one too many is not taken for another app.
#[derive(Debug, Default)]
pub(super) struct UsualSpending(Option<i64>);

impl UsualSpending {
    /// Takes in what had been spent of a period when the first response of it came that
    /// none of our own requests explains; returns how much of that says nothing. A
    /// request in flight may explain more than it did, hence never less than none.
    fn take_in(&mut self, spent: i64) -> i64 {
        let spent = spent.max(0);
        let least = self.0.map_or(spent, |least| least.min(spent));
        self.0 = Some(least);
        least
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) enum BudgetState {
    /// No response yet, or none that can be relied on.
    Unknown,
    Known(BudgetPeriod),
    /// Responses carry no rate headers.
    NoHeaders,
}

/// A response, and what else is known when it comes.
#[derive(Debug)]
pub(super) struct Answered<'a> {
    pub(super) flight: InFlight,
    pub(super) headers: &'a RateHeaders,
    /// Our requests in flight.
    pub(super) in_flight: usize,
    /// Too many responses came without rate headers: none is expected any more.
    pub(super) has_no_headers: bool,
    pub(super) now: Duration,
}

/// What a response has shown beside what is left.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Shown {
    pub(super) has_new_period: bool,
    /// Requests a second that other apps send, where more of them were seen.
    pub(super) rate_of_other_apps: Option<f64>,
}

impl BudgetState {
    /// Brings what is known of the budget up to date.
    pub(super) fn learn(
        &mut self,
        answer: &Answered<'_>,
        settings: &PacerSettings,
        usual: &mut UsualSpending,
    ) -> Shown {
        let (headers, now) = (answer.headers, answer.now);
        let Some(remaining) = headers.remaining else {
            self.learn_without_headers(answer, settings);
            return Shown::default();
        };
        let expired = self.is_expired(answer, settings);
        if let Self::Known(period) = self {
            match period.age_of(headers) {
                Age::Stale => return Shown::default(),
                Age::Same if !expired => {
                    period.lower_limit(headers.limit);
                    let shows_more = period.narrow(remaining, answer.in_flight, now);
                    return Shown {
                        has_new_period: false,
                        rate_of_other_apps: shows_more.then(|| period.rate_of_other_apps(now)),
                    };
                }
                Age::Same | Age::Newer => {}
            }
        }
        let period = BudgetPeriod::begin(headers, remaining, settings.documented_limit, now);
        self.open(period, answer, usual)
    }

    /// The first response of a period. Whatever is spent of it already may be our own,
    /// from before a restart or, if this is a bucket that never empties, from before;
    /// but not when we waited for the reset, knew when it is, and then sent one request alone.
    fn open(
        &mut self,
        mut period: BudgetPeriod,
        answer: &Answered<'_>,
        usual: &mut UsualSpending,
    ) -> Shown {
        let headers = answer.headers;
        let is_reported = headers.limit.is_some() && headers.reset_epoch.is_some();
        let alone = answer.flight.mode == SendMode::AfterReset && is_reported;
        let has_other_apps = alone && period.opened_alone(answer.in_flight, usual);
        *self = Self::Known(period);
        Shown {
            has_new_period: true,
            rate_of_other_apps: has_other_apps.then(|| period.rate_of_other_apps(answer.now)),
        }
    }

    /// Whether the known period is older than any period can be and this request was
    /// sent afterwards. Then a response with the same reset starts it again, so that
    /// a server with a senseless reset is not read as exhausted forever.
    fn is_expired(&self, answer: &Answered<'_>, settings: &PacerSettings) -> bool {
        match (self, answer.flight.sent) {
            (Self::Known(period), Some(sent)) => {
                let end = period.seen_at + settings.period;
                sent >= end && answer.now >= end
            }
            _ => false,
        }
    }

    /// A response that says nothing of what is left; it may have cost budget all the
    /// same. Errors of the edge look like this, so only accepted responses, several in a
    /// row, show that there are no headers to be had.
    fn learn_without_headers(&mut self, answer: &Answered<'_>, settings: &PacerSettings) {
        match self {
            Self::Known(period)
                if answer.has_no_headers && answer.now >= period.seen_at + settings.period =>
            {
                *self = Self::NoHeaders;
            }
            Self::Known(period) => period.assume_counted(),
            Self::Unknown if answer.has_no_headers => *self = Self::NoHeaders,
            Self::Unknown | Self::NoHeaders => {}
        }
    }

    /// A request of this mode was counted, but its response does not say by how much. After a
    /// reset, or at the start, the budget is then assumed to be whole and counted by us.
    pub(super) fn assume_counted(&mut self, mode: SendMode, limit: Option<u32>, now: Duration) {
        match (&mut *self, mode) {
            (Self::Known(period), SendMode::Burst | SendMode::Trickle) => period.assume_counted(),
            (Self::NoHeaders, _) => {}
            (Self::Unknown | Self::Known(_), _) => {
                *self = limit.map_or(Self::NoHeaders, |limit| {
                    Self::Known(BudgetPeriod::assumed(limit, now))
                });
            }
        }
    }

    pub(super) fn has_lowered_limit(&self) -> bool {
        matches!(self, Self::Known(period) if period.is_lowered)
    }

    /// A 429 came, although budget seemed to be left.
    pub(super) fn exhaust(&mut self) {
        match self {
            Self::Known(period) => period.lowest = 0,
            Self::NoHeaders | Self::Unknown => *self = Self::Unknown,
        }
    }
}

/// Our own requests of the last period, if our share is limited.
#[derive(Debug)]
pub(super) struct SentLog {
    period: Duration,
    /// When the first response came; a process before this one may have sent others until then.
    since: Option<Duration>,
    sent: VecDeque<Duration>,
}

impl SentLog {
    pub(super) fn new(period: Duration) -> Self {
        Self {
            period,
            since: None,
            sent: VecDeque::new(),
        }
    }

    pub(super) fn begin(&mut self, now: Duration) {
        self.since.get_or_insert(now);
    }

    /// When all that any process of ours sent in the last period is recorded.
    pub(super) fn complete_at(&self) -> Duration {
        self.since.unwrap_or_default() + self.period
    }

    pub(super) fn record(&mut self, now: Duration) {
        while self
            .sent
            .front()
            .is_some_and(|&sent| sent + self.period <= now)
        {
            self.sent.pop_front();
        }
        self.sent.push_back(now);
    }

    /// When one more may be sent, if not now; any `period` long stretch then holds at
    /// most `cap`. `Some(None)` means only after one that was permitted is sent.
    pub(super) fn full_until(
        &self,
        now: Duration,
        cap: usize,
        unsent: usize,
    ) -> Option<Option<Duration>> {
        let recent = self.sent.partition_point(|&sent| sent + self.period <= now);
        let count = self.sent.len() - recent + unsent;
        if count < cap {
            return None;
        }
        // Number of the oldest that must age out before the count is below the cap.
        let leaving = recent + (count - cap);
        Some(self.sent.get(leaving).map(|&sent| sent + self.period))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn reported(remaining: u32) -> BudgetPeriod {
        let headers = RateHeaders {
            limit: Some(120),
            remaining: Some(remaining),
            ..RateHeaders::default()
        };
        BudgetPeriod::begin(&headers, remaining, None, s(100))
    }

    #[test]
    fn what_is_not_ours_is_the_work_of_others() {
        let mut period = reported(100);
        assert!(!period.narrow(99, 0, s(101)));
        assert!(!period.narrow(95, 3, s(102)), "three may be in flight");
        period.assume_counted();
        assert!(!period.narrow(94, 2, s(103)) && !period.has_other_apps());
        assert!(period.narrow(91, 1, s(104)) && period.has_other_apps());
        assert!(!period.narrow(91, 0, s(104)), "no more than before");
        assert!(period.narrow(87, 0, s(105)));
        assert_eq!(
            (period.other_apps, period.lowest, period.reported_at),
            (6, 87, s(105))
        );
    }

    #[test]
    fn what_a_lowered_limit_takes_away_is_not_the_work_of_others() {
        let mut period = reported(100);
        period.lower_limit(Some(720));
        period.lower_limit(None);
        assert!(!period.is_lowered);
        period.lower_limit(Some(60));
        assert!(period.is_lowered && !period.narrow(40, 0, s(101)));
        assert!(!period.narrow(39, 0, s(102)));
    }

    #[test]
    fn a_request_whose_response_said_nothing_is_not_counted_twice() {
        let mut period = reported(100);
        // Of three in flight the last is answered first, having been counted last.
        assert!(!period.narrow(97, 2, s(101)));
        period.assume_counted();
        assert!(!period.narrow(99, 0, s(102)));
    }

    #[test]
    fn the_first_second_of_others_is_no_shorter_than_a_second() {
        let mut period = reported(100);
        assert!(period.highest_unseen_rate() > 1e9);
        period.narrow(99, 0, s(104));
        assert!((period.highest_unseen_rate() - 0.25).abs() < 1e-9);
        period.narrow(90, 0, s(108));
        assert!((period.rate_of_other_apps(s(108)) - 8.0).abs() < 1e-9);
        period.narrow(89, 0, s(110));
        assert!((period.rate_of_other_apps(s(112)) - 2.0).abs() < 1e-9);
    }

    #[test]
    fn after_a_reset_whatever_is_more_than_usual_is_the_work_of_others() {
        let mut usual = UsualSpending::default();
        assert!(!reported(119).opened_alone(0, &mut usual));
        assert!(reported(118).opened_alone(0, &mut usual));
        assert!(!reported(118).opened_alone(1, &mut usual));
        let mut period = reported(110);
        assert!(period.opened_alone(2, &mut usual));
        assert_eq!(period.other_apps, 7);
        // The two in flight land and turn out not to have been counted then.
        assert!(period.narrow(109, 1, s(101)));
        assert!(period.narrow(108, 0, s(102)));
        assert_eq!(period.other_apps, 9);
    }

    #[test]
    fn a_period_that_no_header_reported_is_taken_for_partly_spent() {
        assert_eq!(BudgetPeriod::assumed(120, s(0)).lowest, 116);
        assert_eq!(BudgetPeriod::assumed(2, s(0)).lowest, 0);
    }

    #[test]
    fn no_stretch_of_a_period_has_more_than_the_cap() {
        let mut own = SentLog::new(s(60));
        for second in [0, 1, 30] {
            assert_eq!(own.full_until(s(second), 3, 0), None);
            own.record(s(second));
        }
        assert_eq!(own.full_until(s(31), 3, 0), Some(Some(s(60))));
        assert_eq!(own.full_until(s(31), 3, 1), Some(Some(s(61))));
        assert_eq!(own.full_until(s(31), 4, 1), Some(Some(s(60))));
        assert_eq!(own.full_until(s(31), 3, 3), Some(None));
        assert_eq!(own.full_until(s(60), 3, 0), None);
        assert_eq!(SentLog::new(s(60)).full_until(s(0), 1, 1), Some(None));
    }

    #[test]
    fn what_is_spent_after_every_reset_says_nothing() {
        let mut usual = UsualSpending::default();
        let taken: Vec<_> = [3, 5, 1, 2, -1, 1].map(|spent| usual.take_in(spent)).into();
        assert_eq!(taken, [3, 3, 1, 1, 0, 0]);
    }
}
