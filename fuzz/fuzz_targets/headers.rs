//! A conversation with a limiter whose headers are any text: the pacer never panics,
//! never waits longer than the longest wait it was asked for, never waits for an answer
//! that cannot come, and always lets the next request go in the end.
//!
//! The first line chooses the settings. Each further line is an answer: its status,
//! how many milliseconds pass before it, then `Limit`, `Remaining`, `Reset`, `Date` and
//! `Retry-After`, separated by bars.

#![no_main]

use std::time::Duration;

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};
use salla_client::classify::retry_after;
use salla_client::pacing::{
    LatencyClass, NoHeadersPolicy, Pacer, PacerSettings, PermitDecision, PermitId, RateHeaders,
    ResponseOutcome,
};

const MAX_IN_FLIGHT: usize = 8;

/// The longest wait that the pacer imposes on its own account: after a block, or for
/// the window of `/customers` to pass.
const MAX_OWN_WAIT: Duration = Duration::from_secs(15 * 60);

/// More than enough looks at the clock before a request must have gone.
const MAX_CHECKS: usize = 1_000;

fuzz_target!(|text: &str| {
    let mut lines = text.lines();
    let Some(settings) = lines.next() else { return };
    let mut driver = PacerDriver::new(settings);
    for line in lines.take(200) {
        driver.send_what_may_go();
        driver.answer(line);
    }
    driver.drop_all();
    driver.must_go_on();
});

struct PacerDriver {
    pacer: Pacer,
    now: Duration,
    in_flight: Vec<PermitId>,
    longest_wait: Duration,
}

impl PacerDriver {
    fn new(settings: &str) -> Self {
        let settings = match settings {
            "customers" => PacerSettings::customers(),
            "share" => PacerSettings::shop(Some(120), 0.5),
            "unknown" => PacerSettings::shop(None, 1.0),
            "unlimited" => PacerSettings {
                without_headers: NoHeadersPolicy::Unlimited,
                ..PacerSettings::shop(None, 1.0)
            },
            plan => PacerSettings::shop(plan.parse().ok(), 1.0),
        };
        Self {
            pacer: Pacer::new(settings, fastrand::Rng::with_seed(1)),
            now: Duration::ZERO,
            in_flight: Vec::new(),
            longest_wait: MAX_OWN_WAIT,
        }
    }

    fn decision(&mut self) -> PermitDecision {
        let decision = self.pacer.next_permit(self.now, LatencyClass(0));
        match decision {
            PermitDecision::Granted(_) => {}
            PermitDecision::WaitForResponse => {
                assert!(!self.in_flight.is_empty(), "no response will come")
            }
            PermitDecision::WaitUntil(moment) => {
                assert!(moment > self.now, "a wait that is over");
                assert!(moment - self.now <= self.longest_wait, "{moment:?}");
            }
        }
        decision
    }

    fn send_what_may_go(&mut self) {
        while self.in_flight.len() < MAX_IN_FLIGHT {
            match self.decision() {
                PermitDecision::Granted(permit) => {
                    self.pacer.on_sent(permit, self.now);
                    self.in_flight.push(permit);
                }
                PermitDecision::WaitUntil(moment) if self.in_flight.is_empty() => self.now = moment,
                PermitDecision::WaitUntil(_) | PermitDecision::WaitForResponse => return,
            }
        }
    }

    fn answer(&mut self, line: &str) {
        let mut fields = line.split('|');
        let mut field = || fields.next().unwrap_or_default();
        let status = field();
        let passes: u16 = field().parse().unwrap_or(100);
        let limit = field();
        let remaining = field();
        let reset = field();
        let date = field();
        let wait = wait(field());
        self.now += Duration::from_millis(passes.into());
        if self.in_flight.is_empty() {
            return;
        }
        let permit = self
            .in_flight
            .swap_remove(usize::from(passes) % self.in_flight.len());
        let outcome = match status {
            "200" => ResponseOutcome::Accepted,
            "elsewhere" => ResponseOutcome::CountedElsewhere,
            "429" => ResponseOutcome::Throttled,
            "403" => ResponseOutcome::Blocked,
            "500" => ResponseOutcome::Failed,
            _ => return self.pacer.on_dropped(permit),
        };
        let mut headers = RateHeaders::read(|name| match name {
            "x-ratelimit-limit" => Some(limit),
            "x-ratelimit-remaining" => Some(remaining),
            "x-ratelimit-reset" => Some(reset),
            "date" => Some(date),
            _ => None,
        });
        headers.retry_after = wait;
        self.longest_wait = self.longest_wait.max(wait.unwrap_or_default());
        self.pacer.on_response(permit, self.now, &headers, outcome);
    }

    fn drop_all(&mut self) {
        for permit in self.in_flight.drain(..) {
            self.pacer.on_dropped(permit);
        }
    }

    fn must_go_on(&mut self) {
        for _ in 0..MAX_CHECKS {
            match self.decision() {
                PermitDecision::Granted(_) => return,
                PermitDecision::WaitUntil(moment) => self.now = moment,
                PermitDecision::WaitForResponse => unreachable!("checked by the decision"),
            }
        }
        panic!("still waiting after {:?}", self.now);
    }
}

fn wait(text: &str) -> Option<Duration> {
    let mut headers = HeaderMap::new();
    headers.insert(RETRY_AFTER, HeaderValue::from_str(text).ok()?);
    retry_after(&headers, Timestamp::UNIX_EPOCH)
}
