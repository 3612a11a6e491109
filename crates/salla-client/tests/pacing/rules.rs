//! The rules one by one, as conversations.

use std::time::Duration;

use salla_client::pacing::{
    LatencyClass, Pacer, PacerSettings, PermitDecision, PermitId, RateHeaders, ResponseOutcome,
};

const RESET: i64 = 1_750_000_060;

fn at(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// A pacer and the shorthand to talk to it.
struct PacerDriver(Pacer);

impl PacerDriver {
    fn new() -> Self {
        Self::with(PacerSettings::shop(Some(120), 1.0))
    }

    fn with(settings: PacerSettings) -> Self {
        Self(Pacer::new(settings, fastrand::Rng::with_seed(1)))
    }

    fn decision(&mut self, seconds: f64) -> PermitDecision {
        self.0.next_permit(at(seconds), LatencyClass(0))
    }

    fn send(&mut self, seconds: f64) -> PermitId {
        match self.decision(seconds) {
            PermitDecision::Granted(permit) => {
                self.0.on_sent(permit, at(seconds));
                permit
            }
            other => panic!("{other:?} at {seconds}"),
        }
    }

    fn answer(&mut self, permit: PermitId, seconds: f64, remaining: u32, reset: i64) {
        self.dated_answer(permit, seconds, remaining, reset, None);
    }

    fn dated_answer(
        &mut self,
        permit: PermitId,
        seconds: f64,
        remaining: u32,
        reset: i64,
        date: Option<i64>,
    ) {
        let headers = RateHeaders {
            limit: Some(120),
            remaining: Some(remaining),
            reset_epoch: Some(reset),
            date_epoch: date,
            ..RateHeaders::default()
        };
        self.0
            .on_response(permit, at(seconds), &headers, ResponseOutcome::Accepted);
    }

    fn waits_until(&mut self, seconds: f64) -> f64 {
        match self.decision(seconds) {
            PermitDecision::WaitUntil(moment) => moment.as_secs_f64(),
            other => panic!("{other:?} at {seconds}"),
        }
    }
}

#[test]
fn the_first_goes_alone_and_its_answer_opens_the_budget() {
    let mut driver = PacerDriver::new();
    let first = driver.send(0.0);
    assert_eq!(driver.decision(0.1), PermitDecision::WaitForResponse);
    driver.answer(first, 0.2, 119, RESET);
    for _ in 0..119 {
        driver.send(0.3);
    }
    assert!(!matches!(driver.decision(0.4), PermitDecision::Granted(_)));
}

#[test]
fn the_lowest_remaining_of_a_reset_rules_whatever_the_order_of_answers() {
    let mut driver = PacerDriver::new();
    let first = driver.send(0.0);
    driver.answer(first, 0.2, 4, RESET);
    let (second, third) = (driver.send(0.3), driver.send(0.3));
    driver.answer(third, 0.5, 2, RESET);
    // One of the two that are left may be what the second request is about to take.
    let fourth = driver.send(0.5);
    assert!(!matches!(driver.decision(0.5), PermitDecision::Granted(_)));
    driver.answer(second, 0.6, 3, RESET);
    driver.send(0.6);
    driver.answer(fourth, 0.7, 1, RESET);
    assert!(!matches!(driver.decision(0.7), PermitDecision::Granted(_)));
}

#[test]
fn an_answer_of_an_earlier_reset_is_overtaken_and_a_later_one_replaces_all() {
    let mut driver = PacerDriver::new();
    let first = driver.send(0.0);
    driver.answer(first, 0.2, 2, RESET);
    let (second, third) = (driver.send(0.3), driver.send(0.3));
    driver.answer(second, 0.5, 100, RESET + 60);
    driver.answer(third, 0.6, 0, RESET);
    for _ in 0..100 {
        driver.send(0.7);
    }
    assert!(!matches!(driver.decision(0.7), PermitDecision::Granted(_)));
}

#[test]
fn after_exhaustion_one_a_second_goes_counted_from_the_latest_arrival() {
    let mut driver = PacerDriver::new();
    let first = driver.send(0.0);
    driver.answer(first, 0.2, 0, RESET);
    let next = driver.waits_until(0.2);
    // The fastest way may be faster than that of the first, by half of what it took.
    assert!((1.1..1.2).contains(&next), "{next}");
    let second = driver.send(next);
    // It took half a second longer than the first: it may have arrived that late, and later by
    // a quarter of what the first one took.
    driver.answer(second, next + 0.7, 0, RESET);
    let third = driver.waits_until(next + 0.7);
    assert!((next + 1.55..next + 1.65).contains(&third), "{third}");
}

#[test]
fn a_cancelled_request_counts_as_spent_only_if_it_was_sent() {
    let mut driver = PacerDriver::new();
    let first = driver.send(0.0);
    driver.answer(first, 0.2, 2, RESET);
    let PermitDecision::Granted(unsent) = driver.decision(0.3) else {
        panic!()
    };
    driver.0.on_dropped(unsent);
    let sent = driver.send(0.4);
    driver.0.on_dropped(sent);
    driver.send(0.5);
    assert!(!matches!(driver.decision(0.5), PermitDecision::Granted(_)));
}

#[test]
fn after_the_reset_one_request_goes_to_see_the_new_budget() {
    let mut settings = PacerSettings::shop(Some(120), 0.5);
    settings.trickle = false;
    let mut driver = PacerDriver::with(settings);
    let first = driver.send(0.0);
    driver.answer(first, 0.2, 0, RESET);
    let reset = driver.waits_until(0.3);
    assert!((reset - 60.2).abs() < 1e-6, "{reset}");
    let probe = driver.send(reset);
    assert_eq!(driver.decision(reset), PermitDecision::WaitForResponse);
    driver.answer(probe, reset + 0.2, 119, RESET + 60);
    driver.send(reset + 0.2);
}

#[test]
fn a_block_is_waited_out_and_then_one_goes_alone() {
    let mut driver = PacerDriver::new();
    let first = driver.send(0.0);
    driver.answer(first, 0.2, 100, RESET);
    let second = driver.send(0.3);
    let headers = RateHeaders::default();
    driver
        .0
        .on_response(second, at(0.5), &headers, ResponseOutcome::Blocked);
    assert!((driver.waits_until(0.5) - 60.5).abs() < 1e-6);
    driver.send(60.5);
    assert_eq!(driver.decision(60.6), PermitDecision::WaitForResponse);
}

#[test]
fn after_a_named_wait_that_proved_wrong_nothing_goes_before_the_reset() {
    let mut driver = PacerDriver::new();
    let first = driver.send(0.0);
    driver.answer(first, 0.2, 100, RESET);
    let headers = RateHeaders {
        retry_after: Some(at(2.0)),
        ..RateHeaders::default()
    };
    let mut refuse = |sent, refused| {
        let permit = driver.send(sent);
        let now = at(refused);
        driver
            .0
            .on_response(permit, now, &headers, ResponseOutcome::Throttled);
        driver.waits_until(refused)
    };
    let named = refuse(0.3, 0.5);
    assert!((named - 2.5).abs() < 1e-6, "{named}");
    let reset = refuse(2.6, 2.8);
    assert!((reset - 60.2).abs() < 1e-6, "{reset}");
}

#[test]
fn a_limit_that_comes_without_what_is_left_of_it_is_the_one_to_spread() {
    let mut driver = PacerDriver::new();
    let headers = RateHeaders {
        limit: Some(720),
        ..RateHeaders::default()
    };
    for second in [0.0, 1.0, 2.0] {
        let permit = driver.send(second);
        driver.0.on_response(
            permit,
            at(second + 0.2),
            &headers,
            ResponseOutcome::Accepted,
        );
    }
    driver.send(3.0);
    let next = driver.waits_until(3.01);
    assert!((3.08..3.09).contains(&next), "{next}");
}

#[test]
fn nothing_goes_before_the_moment_that_was_given() {
    let mut settings = PacerSettings::shop(Some(120), 1.0);
    settings.not_before = Some(at(5.0));
    let mut driver = PacerDriver::with(settings);
    assert!((driver.waits_until(4.5) - 5.0).abs() < 1e-6);
    driver.send(5.0);
}

#[test]
fn a_successor_waits_only_where_nothing_is_left_for_it() {
    let wait = |talk: &PacerDriver, seconds| talk.0.wait_of_successor(at(seconds)).as_secs_f64();
    let mut talk = PacerDriver::new();
    assert!(wait(&talk, 0.0) < 1e-6, "nothing was sent");
    let first = talk.send(0.0);
    assert!(wait(&talk, 0.1) > 0.9, "what is left is unknown");
    talk.answer(first, 0.2, 1, RESET);
    assert!(wait(&talk, 0.2) < 1e-6, "there is one left");
    let last = talk.send(0.3);
    assert!(wait(&talk, 0.3) > 1.9, "it may be long on its way");
    talk.answer(last, 0.5, 0, RESET);
    let waited = wait(&talk, 0.5);
    assert!((0.79..1.1).contains(&waited), "{waited}");
    assert!(wait(&talk, 2.0) < 1e-6, "the second is over");
    assert!(wait(&talk, 61.3) < 1e-6, "the next minute has begun");

    // If it must wait, others must, too.
    let refused = talk.send(2.0);
    let headers = RateHeaders {
        retry_after: Some(Duration::from_secs(30)),
        ..RateHeaders::default()
    };
    let now = at(2.1);
    talk.0
        .on_response(refused, now, &headers, ResponseOutcome::Throttled);
    assert!(wait(&talk, 12.1) > 19.9);
}

#[test]
fn a_share_that_a_process_before_may_have_spent_is_left_alone() {
    let wait = |driver: &PacerDriver, now| driver.0.wait_of_successor(at(now)).as_secs_f64();
    let mut driver = PacerDriver::with(PacerSettings::shop(Some(120), 0.5));
    let first = driver.send(0.0);
    driver.answer(first, 0.2, 61, RESET);
    let second = driver.send(0.3);
    driver.answer(second, 0.5, 60, RESET);
    assert!((driver.waits_until(0.5) - 60.2).abs() < 1e-6);
    assert!((wait(&driver, 0.5) - 59.7).abs() < 1e-6);
    // A whole period later nothing that counts is unknown, and others spent what is missing.
    let third = driver.send(60.2);
    driver.answer(third, 60.3, 50, RESET + 60);
    driver.send(60.35);
    assert!(wait(&driver, 60.35) < 1e-6);
}

/// Has spent the whole budget, according to the headers, except for `left`; another app was seen to
/// spend `others` of it.
fn spent_beside_others(driver: &mut PacerDriver, left: u32, others: u32) {
    let first = driver.send(0.0);
    driver.answer(first, 0.1, 119, RESET);
    let second = driver.send(0.2);
    driver.answer(second, 0.3, 118 - others, RESET);
    for remaining in (left..118 - others).rev() {
        let permit = driver.send(0.4);
        driver.answer(permit, 0.5, remaining, RESET);
    }
}

#[test]
fn the_seconds_after_exhaustion_are_left_to_the_app_that_was_seen_in_the_headers() {
    let mut driver = PacerDriver::new();
    spent_beside_others(&mut driver, 3, 0);
    for left in (0..3).rev() {
        let permit = driver.send(0.5);
        driver.answer(permit, 0.6, left, RESET);
    }
    assert!(driver.waits_until(0.7) < 2.0, "no other app was seen");

    let mut driver = PacerDriver::new();
    spent_beside_others(&mut driver, 3, 1);
    // Three requests may come while one of ours is on its way; none of the seconds
    // before the reset is ours.
    assert!((driver.waits_until(0.7) - 60.1).abs() < 1e-6);
}

#[test]
fn more_spent_after_a_reset_than_by_the_one_that_asked_shows_another_app() {
    for (remaining, ours) in [(118, false), (119, true)] {
        let mut driver = PacerDriver::new();
        let first = driver.send(0.0);
        driver.answer(first, 0.1, 100, RESET);
        // The first period after a reset shows what is usual.
        let usual = driver.send(60.2);
        driver.answer(usual, 60.3, 119, RESET + 60);
        let probe = driver.send(120.4);
        driver.answer(probe, 120.5, remaining, RESET + 120);
        for left in (3..remaining).rev() {
            let permit = driver.send(120.6);
            driver.answer(permit, 120.7, left, RESET + 120);
        }
        let after = driver.decision(120.8);
        assert_eq!(
            matches!(after, PermitDecision::Granted(_)),
            ours,
            "{remaining}: {after:?}"
        );
    }
}

#[test]
fn a_limit_of_nothing_still_lets_one_request_ask() {
    let mut settings = PacerSettings::customers();
    settings.documented_limit = Some(0);
    PacerDriver::with(settings).send(0.0);
}

#[test]
fn a_reset_that_never_moves_does_not_count_for_ever() {
    let mut driver = PacerDriver::new();
    let first = driver.send(0.0);
    driver.answer(first, 0.1, 0, RESET);
    let probe = driver.send(60.2);
    driver.answer(probe, 60.3, 119, RESET);
    for _ in 0..119 {
        driver.send(60.4);
    }
}

#[test]
fn an_answer_of_the_last_moment_does_not_contradict_salla_s_clock() {
    let mut driver = PacerDriver::new();
    let first = driver.send(1.0);
    driver.dated_answer(first, 1.1, 0, RESET, Some(RESET - 59));
    let second = driver.send(2.4);
    driver.dated_answer(second, 3.01, 0, RESET, Some(RESET - 57));
    let last = driver.send(60.5);
    driver.dated_answer(last, 60.6, 0, RESET, Some(RESET));
    // By the clock; by the length of the window it would be a tenth of a second later.
    let reset = driver.waits_until(60.6);
    assert!((61.0..61.09).contains(&reset), "{reset}");
}
