//! What every adapter of [`Queue`] and [`DeadLetters`] has to keep.
//!
//! An adapter's tests implement [`QueueFixture`] and call [`queue_contract!`], which
//! makes a test of each promise. A promise is a function here, so that a failed one
//! names itself.
//!
//! [`queue_contract!`]: crate::queue_contract

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failed step has to end the test that calls it"
)]

use std::collections::HashSet;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};

use crate::ports::queue::{
    ATTEMPTS_EXHAUSTED, DeadLetters, Delivery, Depth, Disposition, JobId, Queue, Receipt,
    ReceiptStatus, Redrive,
};

/// An adapter under test: two queues of one technology, empty at first.
#[async_trait]
pub trait QueueFixture: Send + Sync {
    fn queue(&self) -> Arc<dyn Queue>;

    fn dead_letters(&self) -> Arc<dyn DeadLetters>;

    /// A queue of another name beside it, and its dead letters.
    fn other_process(&self) -> (Arc<dyn Queue>, Arc<dyn DeadLetters>);

    /// What [`QueueFixture::queue`] was set to; at least 3.
    fn max_attempts(&self) -> u32;

    /// The time that the adapter goes by.
    fn now(&self) -> Timestamp;

    /// Lets this much time pass for the adapter.
    async fn pass(&self, time: Duration);

    /// What the technology leaves open.
    fn leeway(&self) -> Leeway {
        Leeway::default()
    }

    /// Puts `count` messages on the queue. Adapters that can do it faster, do.
    async fn fill(&self, count: u32, delay: Duration) {
        for _ in 0..count {
            self.queue().send("filling", delay).await.unwrap();
        }
    }
}

/// What a technology does not keep to the letter, and how much of it a test can afford.
/// Nothing that is sent may be lost whatever is said here.
#[derive(Clone, Copy, Debug)]
pub struct Leeway {
    /// An expired lease is valid until another consumer receives the message.
    pub keeps_lapsed_leases: bool,
    /// The parts of a depth and ages are exact, and not only their sum.
    pub counts_exactly: bool,
    /// How long a message may be delayed while no consumer receives.
    pub longest_snooze: Duration,
    /// Numbers of messages and repetitions that represent any number.
    pub many: u32,
}

impl Default for Leeway {
    fn default() -> Self {
        Self {
            keeps_lapsed_leases: true,
            counts_exactly: true,
            longest_snooze: Duration::from_secs(20 * 366 * 86_400),
            many: 10_000,
        }
    }
}

/// Makes a `#[tokio::test]` of each promise. Takes the path of an `async fn` that makes
/// a new [`QueueFixture`](crate::testing::queue::QueueFixture).
///
/// `queue_contract!(one test: NAME, path)` makes a single test of them all, for adapters whose
/// server takes its time to start; it reports every broken promise.
#[macro_export]
macro_rules! queue_contract {
    ($fixture:path) => {
        $crate::queue_contract! { @all [each] $fixture }
    };
    (one test: $name:ident, $fixture:path) => {
        $crate::queue_contract! { @all [one $name] $fixture }
    };
    (@all [$($how:tt)+] $fixture:path) => {
        $crate::queue_contract! { @$($how)+ $fixture:
            a_message_arrives_as_it_was_sent_and_goes_when_it_is_done
            nothing_is_received_where_nothing_is
            a_delayed_message_waits_for_its_time
            a_leased_message_is_hidden_and_comes_back_when_its_consumer_dies
            an_extended_lease_lasts_longer_and_a_shortened_one_less
            a_lease_that_ran_out_unnoticed_is_still_good
            a_stale_receipt_changes_nothing
            a_receipt_serves_for_one_decision
            a_retry_comes_back_after_its_pause
            the_last_attempt_ends_among_the_dead_letters
            a_message_that_kills_its_consumers_ends_among_the_dead_letters
            poison_in_front_does_not_keep_the_others_waiting
            snoozing_costs_nothing
            a_snooze_does_not_forget_the_attempts_before_it
            a_snooze_may_last_for_years
            an_acknowledged_message_stays_gone
            a_dead_letter_keeps_its_reason
            delayed_messages_in_front_cost_nothing
            consumers_at_once_get_different_messages
            no_more_is_received_than_was_asked_for
            queues_do_not_see_each_other
            a_receive_waits_as_long_as_requested
            a_receive_that_waits_gets_what_is_sent_meanwhile
            a_receive_that_waits_gets_what_becomes_ready_meanwhile
            a_cancelled_receive_loses_nothing
            dead_letters_are_listed_in_pages
            operators_are_alerted_to_a_dead_letter_once
            a_redriven_letter_has_all_attempts_before_it
            all_letters_can_be_redriven_at_once
            a_discarded_letter_is_gone
            the_depth_shows_what_each_message_waits_for
        }
    };
    (@each $fixture:path: $($promise:ident)+) => {
        $(#[tokio::test]
        async fn $promise() {
            $crate::testing::queue::$promise(&$fixture().await).await;
        })+
    };
    (@one $name:ident $fixture:path: $($promise:ident)+) => {
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            let mut broken = Vec::new();
            $(
                let fixture = $fixture().await;
                let kept = tokio::spawn(async move {
                    $crate::testing::queue::$promise(&fixture).await;
                });
                if kept.await.is_err() {
                    broken.push(stringify!($promise));
                }
            )+
            assert!(broken.is_empty(), "broken promises: {broken:?}");
        }
    };
}

const AT_ONCE: Duration = Duration::ZERO;
const SECOND: Duration = Duration::from_secs(1);
const LEASE: Duration = Duration::from_secs(30);
const MINUTE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_secs(20);

/// What is there now, one message at most.
async fn take(fixture: &impl QueueFixture) -> Option<Delivery> {
    let mut received = fixture.queue().receive(1, LEASE, AT_ONCE).await.unwrap();
    assert!(received.len() <= 1);
    received.pop()
}

async fn must_take(fixture: &impl QueueFixture) -> Delivery {
    match take(fixture).await {
        Some(delivery) => delivery,
        None => panic!("nothing was received"),
    }
}

async fn settle(
    fixture: &impl QueueFixture,
    delivery: &Delivery,
    disposition: Disposition,
) -> ReceiptStatus {
    let queue = fixture.queue();
    queue.settle(&delivery.receipt, disposition).await.unwrap()
}

async fn must_settle(fixture: &impl QueueFixture, delivery: &Delivery, disposition: Disposition) {
    let standing = settle(fixture, delivery, disposition).await;
    assert_eq!(standing, ReceiptStatus::Valid);
}

async fn depth(fixture: &impl QueueFixture) -> Depth {
    fixture.queue().depth().await.unwrap()
}

/// Sends a message and dead-letters it.
async fn dead_letter(fixture: &impl QueueFixture, body: &str) -> JobId {
    let id = fixture.queue().send(body, AT_ONCE).await.unwrap();
    let delivery = must_take(fixture).await;
    let why = "because".to_owned();
    must_settle(fixture, &delivery, Disposition::DeadLetter { reason: why }).await;
    id
}

/// Lets second after second pass until `work` is done.
async fn while_time_passes<T>(fixture: &impl QueueFixture, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    loop {
        let passing = async {
            fixture.pass(SECOND).await;
            tokio::task::yield_now().await;
        };
        tokio::select! {
            biased;
            value = &mut work => return value,
            () = passing => {}
        }
    }
}

fn later(now: Timestamp, by: Duration) -> Timestamp {
    now + SignedDuration::try_from(by).unwrap()
}

pub async fn a_message_arrives_as_it_was_sent_and_goes_when_it_is_done(
    fixture: &impl QueueFixture,
) {
    let body = r#"{"version":1,"name":"متجر \"أ\""}"#;
    let sent_at = fixture.now();
    let id = fixture.queue().send(body, AT_ONCE).await.unwrap();
    fixture.pass(SECOND).await;
    let delivery = must_take(fixture).await;
    assert_eq!((&delivery.id, delivery.body.as_str()), (&id, body));
    assert_eq!((delivery.attempt, delivery.sent_at), (1, sent_at));
    assert!(!format!("{delivery:?}").contains("version"), "for logs");
    must_settle(fixture, &delivery, Disposition::Ack).await;
    fixture.pass(LEASE).await;
    assert_eq!(take(fixture).await, None);
    assert_eq!(depth(fixture).await, Depth::default());
}

pub async fn nothing_is_received_where_nothing_is(fixture: &impl QueueFixture) {
    assert_eq!(take(fixture).await, None);
    assert_eq!(depth(fixture).await, Depth::default());
}

pub async fn a_delayed_message_waits_for_its_time(fixture: &impl QueueFixture) {
    let id = fixture.queue().send("late", MINUTE).await.unwrap();
    fixture.pass(MINUTE - SECOND).await;
    assert_eq!(take(fixture).await, None);
    fixture.pass(SECOND).await;
    assert_eq!(must_take(fixture).await.id, id);
}

pub async fn a_leased_message_is_hidden_and_comes_back_when_its_consumer_dies(
    fixture: &impl QueueFixture,
) {
    let id = fixture.queue().send("work", AT_ONCE).await.unwrap();
    let first = must_take(fixture).await;
    fixture.pass(LEASE - SECOND).await;
    assert_eq!(take(fixture).await, None);
    fixture.pass(SECOND).await;
    let second = must_take(fixture).await;
    assert_eq!((&second.id, second.attempt), (&id, 2));
    assert_eq!(second.sent_at, first.sent_at);
    assert_ne!(second.receipt, first.receipt);
}

pub async fn an_extended_lease_lasts_longer_and_a_shortened_one_less(fixture: &impl QueueFixture) {
    let queue = fixture.queue();
    queue.send("work", AT_ONCE).await.unwrap();
    let delivery = must_take(fixture).await;
    fixture.pass(LEASE - SECOND).await;
    for _ in 0..2 {
        let extended = queue.extend(&delivery.receipt, MINUTE).await;
        assert_eq!(extended, Ok(ReceiptStatus::Valid), "it may be repeated");
    }
    fixture.pass(MINUTE - SECOND).await;
    assert_eq!(take(fixture).await, None);
    let shortened = queue.extend(&delivery.receipt, AT_ONCE).await;
    assert_eq!(shortened, Ok(ReceiptStatus::Valid));
    assert_eq!(must_take(fixture).await.attempt, 2);
}

pub async fn a_lease_that_ran_out_unnoticed_is_still_good(fixture: &impl QueueFixture) {
    let queue = fixture.queue();
    queue.send("work", AT_ONCE).await.unwrap();
    let delivery = must_take(fixture).await;
    fixture.pass(LEASE + MINUTE).await;
    let extended = queue.extend(&delivery.receipt, LEASE).await;
    if extended == Ok(ReceiptStatus::Stale) && !fixture.leeway().keeps_lapsed_leases {
        assert_eq!(must_take(fixture).await.id, delivery.id, "it is not lost");
        return;
    }
    assert_eq!(extended, Ok(ReceiptStatus::Valid));
    assert_eq!(take(fixture).await, None);
    fixture.pass(LEASE + MINUTE).await;
    if !fixture.leeway().keeps_lapsed_leases {
        let settled = settle(fixture, &delivery, Disposition::Ack).await;
        assert_eq!(
            take(fixture).await.is_none(),
            settled == ReceiptStatus::Valid
        );
        return;
    }
    must_settle(fixture, &delivery, Disposition::Ack).await;
    assert_eq!(depth(fixture).await, Depth::default());
}

/// All that can be decided about a message.
fn dispositions(now: Timestamp) -> [Disposition; 4] {
    let why = || "because".to_owned();
    [
        Disposition::Ack,
        Disposition::Retry { after: AT_ONCE },
        Disposition::Snooze { until: now },
        Disposition::DeadLetter { reason: why() },
    ]
}

pub async fn a_stale_receipt_changes_nothing(fixture: &impl QueueFixture) {
    let queue = fixture.queue();
    queue.send("work", AT_ONCE).await.unwrap();
    let dead = must_take(fixture).await;
    fixture.pass(LEASE).await;
    let alive = must_take(fixture).await;
    let before = depth(fixture).await;
    let strange = Receipt("of another queue".to_owned());
    for receipt in [&dead.receipt, &strange] {
        for disposition in dispositions(fixture.now()) {
            let stale = queue.settle(receipt, disposition).await;
            assert_eq!(stale, Ok(ReceiptStatus::Stale));
        }
        assert_eq!(
            queue.extend(receipt, AT_ONCE).await,
            Ok(ReceiptStatus::Stale)
        );
    }
    assert_eq!(depth(fixture).await, before);
    fixture.pass(LEASE - SECOND).await;
    assert_eq!(take(fixture).await, None, "the lease is as it was");
    must_settle(fixture, &alive, Disposition::Retry { after: AT_ONCE }).await;
    assert_eq!(must_take(fixture).await.attempt, 3, "and so are attempts");
}

pub async fn a_receipt_serves_for_one_decision(fixture: &impl QueueFixture) {
    let queue = fixture.queue();
    for first in dispositions(fixture.now()) {
        queue.send("work", AT_ONCE).await.unwrap();
        let delivery = must_take(fixture).await;
        must_settle(fixture, &delivery, first.clone()).await;
        let before = depth(fixture).await;
        for second in dispositions(fixture.now()) {
            let settled = settle(fixture, &delivery, second).await;
            assert_eq!(settled, ReceiptStatus::Stale, "after {first:?}");
        }
        let extended = queue.extend(&delivery.receipt, LEASE).await;
        assert_eq!(extended, Ok(ReceiptStatus::Stale), "after {first:?}");
        assert_eq!(depth(fixture).await, before, "after {first:?}");
        if let Some(again) = take(fixture).await {
            must_settle(fixture, &again, Disposition::Ack).await;
        }
    }
}

pub async fn a_retry_comes_back_after_its_pause(fixture: &impl QueueFixture) {
    let id = fixture.queue().send("work", AT_ONCE).await.unwrap();
    let delivery = must_take(fixture).await;
    let retry = Disposition::Retry { after: MINUTE };
    must_settle(fixture, &delivery, retry).await;
    fixture.pass(MINUTE - SECOND).await;
    assert_eq!(take(fixture).await, None);
    fixture.pass(SECOND).await;
    let again = must_take(fixture).await;
    assert_eq!((again.id, again.attempt), (id, 2));
}

pub async fn the_last_attempt_ends_among_the_dead_letters(fixture: &impl QueueFixture) {
    let sent_at = fixture.now();
    let id = fixture.queue().send("work", AT_ONCE).await.unwrap();
    for attempt in 1..=fixture.max_attempts() {
        let delivery = must_take(fixture).await;
        assert_eq!(delivery.attempt, attempt);
        must_settle(fixture, &delivery, Disposition::Retry { after: SECOND }).await;
        fixture.pass(SECOND).await;
    }
    assert_eq!(take(fixture).await, None);
    let letter = fixture.dead_letters().read(&id).await.unwrap().unwrap();
    assert_eq!((&letter.id, letter.body.as_str()), (&id, "work"));
    assert_eq!(letter.reason, ATTEMPTS_EXHAUSTED);
    assert_eq!(letter.attempts, fixture.max_attempts());
    assert_eq!(letter.sent_at, sent_at);
    // It was dead-lettered when it was settled, a second ago.
    assert_eq!(later(letter.dead_lettered_at, SECOND), fixture.now());
}

pub async fn a_message_that_kills_its_consumers_ends_among_the_dead_letters(
    fixture: &impl QueueFixture,
) {
    let id = fixture.queue().send("poison", AT_ONCE).await.unwrap();
    for attempt in 1..=fixture.max_attempts() {
        assert_eq!(must_take(fixture).await.attempt, attempt);
        fixture.pass(LEASE).await;
    }
    assert_eq!(take(fixture).await, None);
    let letter = fixture.dead_letters().read(&id).await.unwrap().unwrap();
    assert_eq!(letter.reason, ATTEMPTS_EXHAUSTED);
    assert_eq!(letter.attempts, fixture.max_attempts());
    let only_dead = Depth {
        dead: 1,
        ..Depth::default()
    };
    assert_eq!(depth(fixture).await, only_dead);
}

pub async fn poison_in_front_does_not_keep_the_others_waiting(fixture: &impl QueueFixture) {
    let queue = fixture.queue();
    for _ in 0..3 {
        queue.send("poison", AT_ONCE).await.unwrap();
    }
    for _ in 0..fixture.max_attempts() {
        assert_eq!(queue.receive(3, LEASE, AT_ONCE).await.unwrap().len(), 3);
        fixture.pass(LEASE).await;
    }
    let id = queue.send("work", AT_ONCE).await.unwrap();
    assert_eq!(must_take(fixture).await.id, id);
}

pub async fn snoozing_costs_nothing(fixture: &impl QueueFixture) {
    let id = fixture.queue().send("early", AT_ONCE).await.unwrap();
    for _ in 0..fixture.leeway().many.min(1_000) {
        let delivery = must_take(fixture).await;
        assert_eq!((&delivery.id, delivery.attempt), (&id, 1));
        let until = later(fixture.now(), MINUTE);
        must_settle(fixture, &delivery, Disposition::Snooze { until }).await;
        fixture.pass(MINUTE).await;
    }
    assert_eq!(depth(fixture).await.dead, 0);
}

pub async fn a_snooze_does_not_forget_the_attempts_before_it(fixture: &impl QueueFixture) {
    fixture.queue().send("work", AT_ONCE).await.unwrap();
    let first = must_take(fixture).await;
    must_settle(fixture, &first, Disposition::Retry { after: AT_ONCE }).await;
    let until = fixture.now();
    for _ in 0..fixture.max_attempts() {
        let second = must_take(fixture).await;
        assert_eq!(second.attempt, 2);
        must_settle(fixture, &second, Disposition::Snooze { until }).await;
    }
}

pub async fn a_snooze_may_last_for_years(fixture: &impl QueueFixture) {
    let years = fixture.leeway().longest_snooze;
    let queue = fixture.queue();
    let far = queue.send("far", AT_ONCE).await.unwrap();
    let delivery = must_take(fixture).await;
    let until = later(fixture.now(), years);
    must_settle(fixture, &delivery, Disposition::Snooze { until }).await;
    queue.send("for ever", AT_ONCE).await.unwrap();
    let delivery = must_take(fixture).await;
    let until = Timestamp::MAX;
    must_settle(fixture, &delivery, Disposition::Snooze { until }).await;
    let near = queue.send("near", AT_ONCE).await.unwrap();
    let delivery = must_take(fixture).await;
    assert_eq!(delivery.id, near);
    must_settle(fixture, &delivery, Disposition::Ack).await;
    fixture.pass(years - SECOND).await;
    assert_eq!(take(fixture).await, None);
    fixture.pass(SECOND).await;
    assert_eq!(must_take(fixture).await.id, far);
    assert_eq!(take(fixture).await, None);
}

pub async fn an_acknowledged_message_stays_gone(fixture: &impl QueueFixture) {
    fixture.queue().send("work", AT_ONCE).await.unwrap();
    let delivery = must_take(fixture).await;
    must_settle(fixture, &delivery, Disposition::Ack).await;
    fixture.pass(MINUTE).await;
    assert_eq!(take(fixture).await, None);
    assert_eq!(depth(fixture).await, Depth::default());
}

pub async fn a_dead_letter_keeps_its_reason(fixture: &impl QueueFixture) {
    let id = fixture.queue().send("secret", AT_ONCE).await.unwrap();
    let delivery = must_take(fixture).await;
    let why = "the message is not JSON".to_owned();
    must_settle(fixture, &delivery, Disposition::DeadLetter { reason: why }).await;
    assert_eq!(take(fixture).await, None);
    let letter = fixture.dead_letters().read(&id).await.unwrap().unwrap();
    assert_eq!(letter.reason, "the message is not JSON");
    assert_eq!((letter.body.as_str(), letter.attempts), ("secret", 1));
    assert_eq!(letter.dead_lettered_at, fixture.now());
    assert!(!format!("{letter:?}").contains("secret"), "for logs");
}

/// Only that the ready one is found: what finding it costs is for the adapter's tests.
pub async fn delayed_messages_in_front_cost_nothing(fixture: &impl QueueFixture) {
    let many = fixture.leeway().many;
    fixture.fill(many, MINUTE).await;
    let id = fixture.queue().send("ready", AT_ONCE).await.unwrap();
    let received = fixture.queue().receive(10, LEASE, AT_ONCE).await.unwrap();
    let ids: Vec<_> = received.iter().map(|delivery| &delivery.id).collect();
    assert_eq!(ids, [&id]);
    assert_eq!(depth(fixture).await.delayed, u64::from(many));
}

pub async fn consumers_at_once_get_different_messages(fixture: &impl QueueFixture) {
    const MESSAGES: u32 = 60;
    fixture.fill(MESSAGES, AT_ONCE).await;
    let mut consumers = tokio::task::JoinSet::new();
    for most in [1, 1, 2, 3, 5, 8] {
        let queue = fixture.queue();
        consumers.spawn(async move {
            let mut ids = Vec::new();
            loop {
                let received = queue.receive(most, LEASE, AT_ONCE).await.unwrap();
                if received.is_empty() {
                    return ids;
                }
                ids.extend(received.into_iter().map(|delivery| delivery.id));
            }
        });
    }
    let mut ids = consumers.join_all().await.concat();
    // A consumer may find nothing while the others hold what they are about to lease.
    while let Some(rest) = take(fixture).await {
        ids.push(rest.id);
    }
    let different: HashSet<_> = ids.iter().collect();
    assert_eq!(different.len(), ids.len(), "one was delivered twice");
    assert_eq!(ids.len(), MESSAGES as usize, "all were delivered");
}

pub async fn no_more_is_received_than_was_asked_for(fixture: &impl QueueFixture) {
    let queue = fixture.queue();
    fixture.fill(5, AT_ONCE).await;
    assert_eq!(queue.receive(0, LEASE, POLL).await, Ok(Vec::new()));
    assert_eq!(queue.receive(3, LEASE, POLL).await.unwrap().len(), 3);
    assert_eq!(depth(fixture).await.ready, 2);
    assert_eq!(queue.receive(10, LEASE, POLL).await.unwrap().len(), 2);
}

pub async fn queues_do_not_see_each_other(fixture: &impl QueueFixture) {
    let (other_process, others_dead) = fixture.other_process();
    let dead_letters = dead_letter(fixture, "ours").await;
    fixture.queue().send("ours", AT_ONCE).await.unwrap();
    assert_eq!(other_process.depth().await, Ok(Depth::default()));
    assert_eq!(
        other_process.receive(9, LEASE, AT_ONCE).await,
        Ok(Vec::new())
    );
    let delivery = must_take(fixture).await;
    let stale = other_process
        .settle(&delivery.receipt, Disposition::Ack)
        .await;
    assert_eq!(stale, Ok(ReceiptStatus::Stale));
    let stale = other_process.extend(&delivery.receipt, AT_ONCE).await;
    assert_eq!(stale, Ok(ReceiptStatus::Stale));
    assert_eq!(others_dead.list(None, 9).await, Ok(Vec::new()));
    assert_eq!(others_dead.read(&dead_letters).await, Ok(None));
    assert_eq!(others_dead.discard(&dead_letters).await, Ok(false));
    assert_eq!(others_dead.redrive(Redrive::All).await, Ok(0));
    let one = Redrive::One(dead_letters);
    assert_eq!(others_dead.redrive(one).await, Ok(0));
    assert_eq!(depth(fixture).await.dead, 1);
    must_settle(fixture, &delivery, Disposition::Ack).await;
}

pub async fn a_receive_waits_as_long_as_requested(fixture: &impl QueueFixture) {
    let begun = fixture.now();
    let queue = fixture.queue();
    let received = while_time_passes(fixture, queue.receive(1, LEASE, POLL)).await;
    assert_eq!(received, Ok(Vec::new()));
    assert!(fixture.now() >= later(begun, POLL));
}

pub async fn a_receive_that_waits_gets_what_is_sent_meanwhile(fixture: &impl QueueFixture) {
    let queue = fixture.queue();
    let receiving = tokio::spawn(async move { queue.receive(1, LEASE, POLL).await });
    let id = fixture.queue().send("work", AT_ONCE).await.unwrap();
    let received = while_time_passes(fixture, receiving).await;
    assert_eq!(received.unwrap().unwrap()[0].id, id);
}

pub async fn a_receive_that_waits_gets_what_becomes_ready_meanwhile(fixture: &impl QueueFixture) {
    let queue = fixture.queue();
    let id = queue.send("work", SECOND * 5).await.unwrap();
    let received = while_time_passes(fixture, queue.receive(1, LEASE, POLL)).await;
    assert_eq!(received.unwrap()[0].id, id);
}

/// Polls a future `polls` times and drops it.
async fn dropped_after(polls: usize, future: impl Future) {
    let mut future = pin!(future);
    let mut polled = 0;
    poll_fn(|context| {
        polled += 1;
        match future.as_mut().poll(context) {
            Poll::Pending if polled < polls => Poll::Pending,
            _ => Poll::Ready(()),
        }
    })
    .await;
}

pub async fn a_cancelled_receive_loses_nothing(fixture: &impl QueueFixture) {
    let queue = fixture.queue();
    for polls in 1..=12 {
        let id = queue.send("work", AT_ONCE).await.unwrap();
        for _ in 1..fixture.max_attempts() {
            dropped_after(polls, queue.receive(1, LEASE, AT_ONCE)).await;
            fixture.pass(LEASE).await;
        }
        // What was cancelled may be on its way still, so we wait for it.
        let received = while_time_passes(fixture, queue.receive(1, LEASE, MINUTE)).await;
        let delivery = received.unwrap().pop().unwrap();
        assert_eq!(delivery.id, id, "dropped after {polls} polls");
        must_settle(fixture, &delivery, Disposition::Ack).await;
    }
    assert_eq!(depth(fixture).await, Depth::default());
}

pub async fn operators_are_alerted_to_a_dead_letter_once(fixture: &impl QueueFixture) {
    let letters = fixture.dead_letters();
    assert_eq!(letters.unreported(10).await, Ok(Vec::new()));
    for body in ["a", "b", "c"] {
        dead_letter(fixture, body).await;
    }
    let first = letters.unreported(2).await.unwrap();
    let second = letters.unreported(2).await.unwrap();
    let mut told: Vec<String> = first
        .iter()
        .chain(&second)
        .map(|l| l.body.clone())
        .collect();
    told.sort();
    assert_eq!(
        (first.len(), told),
        (2, vec!["a".into(), "b".into(), "c".into()])
    );
    assert_eq!(letters.unreported(2).await, Ok(Vec::new()));
    assert_eq!(depth(fixture).await.dead, 3, "they are reported and stay");

    // What fails again after it was put back is news.
    letters
        .redrive(Redrive::One(first[0].id.clone()))
        .await
        .unwrap();
    let again = must_take(fixture).await;
    let why = "again".to_owned();
    settle(fixture, &again, Disposition::DeadLetter { reason: why }).await;
    let third = letters.unreported(10).await.unwrap();
    assert_eq!(third.len(), 1);
    assert_eq!(third[0].id, first[0].id);
}

pub async fn dead_letters_are_listed_in_pages(fixture: &impl QueueFixture) {
    let letters = fixture.dead_letters();
    assert_eq!(letters.list(None, 2).await, Ok(Vec::new()));
    let mut dead_letters = HashSet::new();
    for number in 0..5 {
        dead_letters.insert(dead_letter(fixture, &number.to_string()).await);
        fixture.pass(SECOND).await;
    }
    let mut listed = Vec::new();
    loop {
        let after = listed.last().cloned();
        let page = letters.list(after.as_ref(), 2).await.unwrap();
        assert!(page.len() <= 2);
        if page.is_empty() {
            break;
        }
        for letter in page {
            let read = letters.read(&letter.id).await.unwrap();
            assert_eq!(read.as_ref(), Some(&letter));
            listed.push(letter.id);
        }
    }
    assert_eq!(listed.len(), 5);
    assert_eq!(listed.into_iter().collect::<HashSet<_>>(), dead_letters);
    let unknown = JobId("unknown".to_owned());
    assert_eq!(letters.read(&unknown).await, Ok(None));
}

pub async fn a_redriven_letter_has_all_attempts_before_it(fixture: &impl QueueFixture) {
    let letters = fixture.dead_letters();
    let other = dead_letter(fixture, "other").await;
    let id = fixture.queue().send("work", AT_ONCE).await.unwrap();
    for round in 1..=2 {
        for attempt in 1..=fixture.max_attempts() {
            let delivery = must_take(fixture).await;
            assert_eq!((&delivery.id, delivery.attempt), (&id, attempt));
            must_settle(fixture, &delivery, Disposition::Retry { after: AT_ONCE }).await;
        }
        assert_eq!(take(fixture).await, None, "round {round}");
        let one = Redrive::One(id.clone());
        assert_eq!(letters.redrive(one.clone()).await, Ok(1));
        assert_eq!(letters.redrive(one).await, Ok(0));
        assert_eq!(letters.read(&id).await, Ok(None));
    }
    let again = must_take(fixture).await;
    assert_eq!((&again.body[..], again.attempt), ("work", 1));
    assert!(letters.read(&other).await.unwrap().is_some());
}

pub async fn all_letters_can_be_redriven_at_once(fixture: &impl QueueFixture) {
    let mut dead_letters = HashSet::new();
    for _ in 0..5 {
        dead_letters.insert(dead_letter(fixture, "work").await);
    }
    fixture.pass(MINUTE).await;
    let letters = fixture.dead_letters();
    assert_eq!(letters.redrive(Redrive::All).await, Ok(5));
    assert_eq!(letters.redrive(Redrive::All).await, Ok(0));
    let depth = depth(fixture).await;
    assert_eq!((depth.ready, depth.dead), (5, 0));
    if fixture.leeway().counts_exactly {
        assert_eq!(depth.oldest_ready, Some(Duration::ZERO), "ready since now");
    }
    let received = fixture.queue().receive(9, LEASE, AT_ONCE).await.unwrap();
    assert!(received.iter().all(|delivery| delivery.attempt == 1));
    let ids: HashSet<_> = received.into_iter().map(|delivery| delivery.id).collect();
    assert_eq!(ids, dead_letters);
}

pub async fn a_discarded_letter_is_gone(fixture: &impl QueueFixture) {
    let letters = fixture.dead_letters();
    let (id, other) = (
        dead_letter(fixture, "a").await,
        dead_letter(fixture, "b").await,
    );
    assert_eq!(letters.discard(&id).await, Ok(true));
    assert_eq!(letters.discard(&id).await, Ok(false));
    assert_eq!(letters.read(&id).await, Ok(None));
    assert_eq!(letters.redrive(Redrive::All).await, Ok(1));
    assert_eq!(must_take(fixture).await.id, other);
    let unknown = JobId("unknown".to_owned());
    assert_eq!(letters.discard(&unknown).await, Ok(false));
    assert_eq!(letters.redrive(Redrive::One(unknown)).await, Ok(0));
}

pub async fn the_depth_shows_what_each_message_waits_for(fixture: &impl QueueFixture) {
    let queue = fixture.queue();
    dead_letter(fixture, "dead").await;
    queue.send("retried", AT_ONCE).await.unwrap();
    let retried = must_take(fixture).await;
    let retry = Disposition::Retry { after: MINUTE };
    must_settle(fixture, &retried, retry).await;
    queue.send("delayed", MINUTE).await.unwrap();
    queue.send("held", AT_ONCE).await.unwrap();
    must_take(fixture).await;
    queue.send("ready", AT_ONCE).await.unwrap();
    fixture.pass(SECOND * 10).await;
    queue.send("ready too", AT_ONCE).await.unwrap();
    let mut expected = Depth {
        ready: 2,
        delayed: 2,
        in_flight: 1,
        dead: 1,
        oldest_ready: Some(SECOND * 10),
    };
    must_count(fixture, expected).await;
    // The lease runs out after 30 s, 20 s from now.
    fixture.pass(SECOND * 25).await;
    expected.ready = 3;
    expected.in_flight = 0;
    expected.oldest_ready = Some(SECOND * 35);
    must_count(fixture, expected).await;
}

async fn must_count(fixture: &impl QueueFixture, expected: Depth) {
    let depth = depth(fixture).await;
    if fixture.leeway().counts_exactly {
        assert_eq!(depth, expected);
    }
    let all = |depth: Depth| depth.ready + depth.delayed + depth.in_flight;
    assert_eq!((all(depth), depth.dead), (all(expected), expected.dead));
}
