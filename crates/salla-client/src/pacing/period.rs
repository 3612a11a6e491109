//! What is known of the budget, and of what we spent of it.

use std::collections::VecDeque;
use std::time::Duration;

use super::headers::RateHeaders;
use super::settings::{Flight, Mode, PacerSettings};

/// Of a window that nobody has told us of, this part may be spent already.
const UNTOLD_PART: u32 = 60;

/// `X-RateLimit-Reset` is cut to seconds, so the reset is certain only a second later.
const CUT: i64 = 1;

/// What the answers of one reset have told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) reset_epoch: Option<i64>,
    pub(super) limit: u32,
    /// The lowest `Remaining` of all answers, less what they cannot have told of.
    pub(super) lowest: u32,
    /// The lowest `Remaining` of all answers. A request whose own answer did not tell
    /// may be counted in it already.
    told: u32,
    /// When the first of the answers came.
    pub(super) seen_at: Duration,
    /// When the last of the answers came that told what is left.
    pub(super) told_at: Duration,
    /// The most requests that were in flight at once.
    pub(super) busiest: usize,
    /// How many requests of others have been seen, at least, and since when.
    others: i64,
    others_since: Duration,
    /// Our requests that this window may have counted, besides those in flight.
    own: u32,
    /// What had been spent before the first of the answers and is not known to have
    /// been spent by others.
    spent_at_first: i64,
}

/// How an answer relates to what is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Age {
    Stale,
    Same,
    Newer,
}

impl Window {
    pub(super) fn begin(
        headers: &RateHeaders,
        remaining: u32,
        prior_limit: Option<u32>,
        now: Duration,
    ) -> Self {
        let limit = headers
            .limit
            .or(prior_limit)
            .unwrap_or(remaining)
            .max(remaining);
        Self {
            reset_epoch: headers.reset_epoch,
            limit,
            lowest: remaining,
            told: remaining,
            seen_at: now,
            told_at: now,
            busiest: 0,
            others: 0,
            others_since: now,
            own: 1,
            // Part of it may be our own, from before a restart or still in flight.
            spent_at_first: i64::from(limit) - i64::from(remaining) - 1,
        }
    }

    /// A window that nobody has told us of. Besides the request that opened it, a few
    /// that we sent before may already have fallen into it.
    pub(super) fn assumed(limit: u32, now: Duration) -> Self {
        let lowest = limit.saturating_sub(limit / UNTOLD_PART + 2);
        Self {
            reset_epoch: None,
            limit,
            lowest,
            told: lowest,
            seen_at: now,
            told_at: now,
            busiest: 0,
            others: 0,
            others_since: now,
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

    /// Takes in another answer of the same reset; says whether it shows more requests
    /// of others than were known.
    pub(super) fn narrow(&mut self, remaining: u32, in_flight: usize, now: Duration) -> bool {
        self.own += 1;
        self.lowest = self.lowest.min(remaining);
        self.told = self.told.min(remaining);
        self.told_at = now;
        self.look_for_others(in_flight, now)
    }

    /// The window was opened by the only request of ours that can have been counted in
    /// it, besides those in flight: whatever else was spent, others spent, but for what
    /// is always missing. Says whether it shows requests of others.
    pub(super) fn opened_alone(&mut self, in_flight: usize, usual: &mut UsualSpending) -> bool {
        self.spent_at_first = usual.take_in(self.spent_at_first - in_flight as i64);
        self.look_for_others(in_flight, self.seen_at)
    }

    fn look_for_others(&mut self, in_flight: usize, now: Duration) -> bool {
        let others = self.strangers(in_flight) - self.spent_at_first;
        if others <= self.others {
            return false;
        }
        if self.others == 0 {
            self.others_since = now;
        }
        self.others = others;
        true
    }

    pub(super) fn shows_others(&self) -> bool {
        self.others > 0
    }

    /// How many requests a second others send. Those that were first seen may all have
    /// come within a second, and more of them may be coming.
    pub(super) fn rate_of_others(&self, now: Duration) -> f64 {
        let age = now.saturating_sub(self.others_since).as_secs_f64();
        self.others as f64 / age.max(1.0)
    }

    /// As long as no request of others was seen, they are unlikely to send one more
    /// often than once in the time that we have listened.
    pub(super) fn highest_unseen_rate(&self) -> f64 {
        1.0 / self.told_at.saturating_sub(self.seen_at).as_secs_f64()
    }

    /// A request of ours ended without an answer that says what is left; it may have
    /// been counted all the same.
    pub(super) fn assume_counted(&mut self) {
        self.own += 1;
        self.lowest = self.lowest.saturating_sub(1);
    }

    /// How much of the budget others must have spent, at least.
    fn strangers(&self, in_flight: usize) -> i64 {
        let spent = i64::from(self.limit) - i64::from(self.told);
        spent - i64::from(self.own) - in_flight as i64
    }

    /// The moment of Salla's clock at which the reset has certainly passed.
    pub(super) fn certain_epoch(&self) -> Option<i64> {
        self.reset_epoch.map(|epoch| epoch + CUT)
    }
}

/// What had been spent of each window when we first looked into it, at the least. A server that
/// always counts one too many is not taken for another app.
#[derive(Debug, Default)]
pub(super) struct UsualSpending(Option<i64>);

impl UsualSpending {
    /// Takes in what had been spent of a window when the first answer of it came that
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
pub(super) enum Knowledge {
    /// No answer yet, or none that can be relied on.
    Nothing,
    Window(Window),
    /// Answers carry no rate headers.
    Bare,
}

/// An answer, and what else is known when it comes.
#[derive(Debug)]
pub(super) struct Answered<'a> {
    pub(super) flight: Flight,
    pub(super) headers: &'a RateHeaders,
    /// Our requests that are still under way.
    pub(super) in_flight: usize,
    /// So many answers came without rate headers that none is expected any more.
    pub(super) is_headerless: bool,
    pub(super) now: Duration,
}

/// What an answer has shown beside what is left.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Shown {
    pub(super) has_new_window: bool,
    /// Requests a second that others send, where more of them were seen.
    pub(super) rate_of_others: Option<f64>,
}

impl Knowledge {
    /// Brings what is known of the budget up to date.
    pub(super) fn learn(
        &mut self,
        answer: &Answered<'_>,
        settings: &PacerSettings,
        usual: &mut UsualSpending,
    ) -> Shown {
        let (headers, now) = (answer.headers, answer.now);
        let Some(remaining) = headers.remaining else {
            self.learn_from_bare(answer, settings);
            return Shown::default();
        };
        let expired = self.is_expired(answer, settings);
        if let Self::Window(window) = self {
            match window.age_of(headers) {
                Age::Stale => return Shown::default(),
                Age::Same if !expired => {
                    let shows_more = window.narrow(remaining, answer.in_flight, now);
                    return Shown {
                        has_new_window: false,
                        rate_of_others: shows_more.then(|| window.rate_of_others(now)),
                    };
                }
                Age::Same | Age::Newer => {}
            }
        }
        let window = Window::begin(headers, remaining, settings.prior_limit, now);
        self.open(window, answer, usual)
    }

    /// The first answer of a window. Whatever is spent of it already may be our own,
    /// from before a restart or, if this is a bucket that never empties, from before;
    /// but not when we waited for the reset, knew when it is, and then asked alone.
    fn open(
        &mut self,
        mut window: Window,
        answer: &Answered<'_>,
        usual: &mut UsualSpending,
    ) -> Shown {
        let headers = answer.headers;
        let told = headers.limit.is_some() && headers.reset_epoch.is_some();
        let alone = answer.flight.mode == Mode::Probe && told;
        let shows_others = alone && window.opened_alone(answer.in_flight, usual);
        *self = Self::Window(window);
        Shown {
            has_new_window: true,
            rate_of_others: shows_others.then(|| window.rate_of_others(answer.now)),
        }
    }

    /// Whether the known window is older than any window can be and this request was
    /// sent afterwards. Then an answer with the same reset starts it anew, so that
    /// a server with a senseless reset is not read as exhausted for ever.
    fn is_expired(&self, answer: &Answered<'_>, settings: &PacerSettings) -> bool {
        match (self, answer.flight.sent) {
            (Self::Window(window), Some(sent)) => {
                let end = window.seen_at + settings.window;
                sent >= end && answer.now >= end
            }
            _ => false,
        }
    }

    /// An answer that says nothing of what is left; it may have cost budget all the
    /// same. Errors of the edge look like this, so only accepted answers, several in a
    /// row, show that there are no headers to be had.
    fn learn_from_bare(&mut self, answer: &Answered<'_>, settings: &PacerSettings) {
        match self {
            Self::Window(window)
                if answer.is_headerless && answer.now >= window.seen_at + settings.window =>
            {
                *self = Self::Bare;
            }
            Self::Window(window) => window.assume_counted(),
            Self::Nothing if answer.is_headerless => *self = Self::Bare,
            Self::Nothing | Self::Bare => {}
        }
    }

    /// A request of this mode was counted, but its answer cannot tell by how much. After a
    /// reset, or at the start, the budget is then assumed to be whole and counted by us.
    pub(super) fn assume_counted(&mut self, mode: Mode, limit: Option<u32>, now: Duration) {
        match (&mut *self, mode) {
            (Self::Window(window), Mode::Burst | Mode::Overflow) => window.assume_counted(),
            (Self::Bare, _) => {}
            (Self::Nothing | Self::Window(_), _) => {
                *self = limit.map_or(Self::Bare, |limit| {
                    Self::Window(Window::assumed(limit, now))
                });
            }
        }
    }

    /// A 429 came, whatever was known to be left.
    pub(super) fn exhaust(&mut self) {
        match self {
            Self::Window(window) => window.lowest = 0,
            Self::Bare | Self::Nothing => *self = Self::Nothing,
        }
    }
}

/// Our own requests of the last window, where only so many may be ours.
#[derive(Debug)]
pub(super) struct OwnRequests {
    window: Duration,
    sent: VecDeque<Duration>,
}

impl OwnRequests {
    pub(super) fn new(window: Duration) -> Self {
        Self {
            window,
            sent: VecDeque::new(),
        }
    }

    pub(super) fn record(&mut self, now: Duration) {
        while self
            .sent
            .front()
            .is_some_and(|&sent| sent + self.window <= now)
        {
            self.sent.pop_front();
        }
        self.sent.push_back(now);
    }

    /// When one more may be sent, if not now; any `window` long stretch then holds at
    /// most `cap`. `Some(None)` means only after one that was permitted is sent.
    pub(super) fn full_until(
        &self,
        now: Duration,
        cap: usize,
        unsent: usize,
    ) -> Option<Option<Duration>> {
        let recent = self.sent.partition_point(|&sent| sent + self.window <= now);
        let count = self.sent.len() - recent + unsent;
        if count < cap {
            return None;
        }
        // So many of the oldest must age out before the count is below the cap.
        let leaving = recent + (count - cap);
        Some(self.sent.get(leaving).map(|&sent| sent + self.window))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn told(remaining: u32) -> Window {
        let headers = RateHeaders {
            limit: Some(120),
            remaining: Some(remaining),
            ..RateHeaders::default()
        };
        Window::begin(&headers, remaining, None, s(100))
    }

    #[test]
    fn what_is_not_ours_is_the_work_of_others() {
        let mut window = told(100);
        assert!(!window.narrow(99, 0, s(101)));
        assert!(!window.narrow(95, 3, s(102)), "three may be in flight");
        window.assume_counted();
        assert!(!window.narrow(94, 2, s(103)) && !window.shows_others());
        assert!(window.narrow(91, 1, s(104)) && window.shows_others());
        assert!(!window.narrow(91, 0, s(104)), "no more than before");
        assert!(window.narrow(87, 0, s(105)));
        assert_eq!(
            (window.others, window.lowest, window.told_at),
            (6, 87, s(105))
        );
    }

    #[test]
    fn a_request_whose_answer_told_nothing_is_not_counted_twice() {
        let mut window = told(100);
        // Of three in flight the last is answered first, having been counted last.
        assert!(!window.narrow(97, 2, s(101)));
        window.assume_counted();
        assert!(!window.narrow(99, 0, s(102)));
    }

    #[test]
    fn the_first_second_of_others_is_no_shorter_than_a_second() {
        let mut window = told(100);
        assert!(window.highest_unseen_rate() > 1e9);
        window.narrow(99, 0, s(104));
        assert!((window.highest_unseen_rate() - 0.25).abs() < 1e-9);
        window.narrow(90, 0, s(108));
        assert!((window.rate_of_others(s(108)) - 8.0).abs() < 1e-9);
        window.narrow(89, 0, s(110));
        assert!((window.rate_of_others(s(112)) - 2.0).abs() < 1e-9);
    }

    #[test]
    fn after_a_reset_whatever_is_more_than_usual_is_the_work_of_others() {
        let mut usual = UsualSpending::default();
        assert!(!told(119).opened_alone(0, &mut usual));
        assert!(told(118).opened_alone(0, &mut usual));
        assert!(!told(118).opened_alone(1, &mut usual));
        let mut window = told(110);
        assert!(window.opened_alone(2, &mut usual));
        assert_eq!(window.others, 7);
        // The two in flight land and turn out not to have been counted then.
        assert!(window.narrow(109, 1, s(101)));
        assert!(window.narrow(108, 0, s(102)));
        assert_eq!(window.others, 9);
    }

    #[test]
    fn a_window_that_nobody_told_of_is_taken_for_partly_spent() {
        assert_eq!(Window::assumed(120, s(0)).lowest, 116);
        assert_eq!(Window::assumed(2, s(0)).lowest, 0);
    }

    #[test]
    fn no_stretch_of_a_window_holds_more_than_the_cap() {
        let mut own = OwnRequests::new(s(60));
        for second in [0, 1, 30] {
            assert_eq!(own.full_until(s(second), 3, 0), None);
            own.record(s(second));
        }
        assert_eq!(own.full_until(s(31), 3, 0), Some(Some(s(60))));
        assert_eq!(own.full_until(s(31), 3, 1), Some(Some(s(61))));
        assert_eq!(own.full_until(s(31), 4, 1), Some(Some(s(60))));
        assert_eq!(own.full_until(s(31), 3, 3), Some(None));
        assert_eq!(own.full_until(s(60), 3, 0), None);
        assert_eq!(OwnRequests::new(s(60)).full_until(s(0), 1, 1), Some(None));
    }

    #[test]
    fn what_is_spent_after_every_reset_says_nothing() {
        let mut usual = UsualSpending::default();
        let taken: Vec<_> = [3, 5, 1, 2, -1, 1].map(|spent| usual.take_in(spent)).into();
        assert_eq!(taken, [3, 3, 1, 1, 0, 0]);
    }
}
