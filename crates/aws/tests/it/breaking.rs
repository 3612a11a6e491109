//! Everything in between fails: connections, responses, the server's timeouts, and the consumers of
//! messages.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use aws::Aws;
use importer::ports::clock::{Clock as _, SystemClock};
use importer::ports::queue::{DeadLetters as _, Disposition, Queue};

use crate::contract::{Driven, queues, unique};
use crate::proxy::{self, Fault, faults};
use crate::servers::Kind;

const LEASE: Duration = Duration::from_secs(30);

/// One call in four goes wrong, each in a way that chance chooses.
fn chance(seed: u64) -> proxy::Faults {
    let mut random = fastrand::Rng::with_seed(seed);
    faults(move |_| match random.u32(0..20) {
        0 => Fault::Reset,
        1 => Fault::LoseAnswer,
        2 => Fault::Throttle,
        3 | 4 => Fault::Unavailable,
        _ => Fault::Pass,
    })
}

/// What is on the queue and could be received at some time, until there is nothing.
async fn work_all_off(driven: &Driven, queue: &dyn Queue, seed: u64) -> BTreeSet<String> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut done = BTreeSet::new();
    let mut empty = 0;
    while empty < 3 {
        let Ok(received) = queue.receive(5, LEASE, Duration::ZERO).await else {
            continue;
        };
        if received.is_empty() {
            empty += 1;
            driven.pass(Duration::from_secs(90));
            continue;
        }
        empty = 0;
        for delivery in received {
            let disposition = match random.u32(0..6) {
                // Its consumer dies.
                0 => continue,
                1 => Disposition::Snooze {
                    until: driven.now() + Duration::from_secs(40),
                },
                2 if delivery.attempt < 3 => Disposition::Retry {
                    after: Duration::from_secs(5),
                },
                _ => {
                    done.insert(delivery.body.clone());
                    Disposition::Ack
                }
            };
            // What could not be settled comes back.
            drop(queue.settle(&delivery.receipt, disposition).await);
        }
    }
    done
}

#[tokio::test(flavor = "multi_thread")]
async fn no_message_is_lost_however_the_way_breaks() {
    for kind in [Kind::MiniStack, Kind::Fauxqs] {
        let seed = fastrand::u64(..);
        eprintln!("{kind:?}: seed {seed}");
        let driven = Arc::new(Driven::start(kind));
        let prefix = unique();
        let straight = Aws::at(&driven.server.url());
        queues(&straight, driven.clone(), &prefix).await;
        let address = proxy::start(driven.server.address(), chance(seed)).await;
        let (queue, _) = queues(&Aws::at(&address), driven.clone(), &prefix).await;
        let mut sent = BTreeSet::new();
        for number in 0..20 {
            let body = format!("message {number}");
            if queue.send(&body, Duration::ZERO).await.is_ok() {
                sent.insert(body);
            }
        }
        assert!(sent.len() > 10, "the tries of a call outlast most of it");
        let mut done = work_all_off(&driven, &*queue, seed).await;
        // A message whose consumers died too often is a dead letter.
        let (queue, _) = queues(&straight, driven.clone(), &prefix).await;
        let letters = queue.list(None, 100).await.unwrap();
        done.extend(letters.into_iter().map(|letter| letter.body));
        let lost: Vec<&String> = sent.difference(&done).collect();
        assert!(lost.is_empty(), "seed {seed}: {lost:?}");
    }
}

/// Polls a future `polls` times and drops it; `true` if it was done by then.
async fn dropped_after(polls: usize, future: impl Future<Output = ()>) -> bool {
    let mut future = pin!(future);
    let mut polled = 0;
    poll_fn(|context| {
        polled += 1;
        match future.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(true),
            Poll::Pending if polled < polls => Poll::Pending,
            Poll::Pending => Poll::Ready(false),
        }
    })
    .await
}

/// Between the fresh message and the end of the old one, and at every other moment. On one thread,
/// where no response can arrive while a poll is still running: so each of the three calls is
/// dropped at least once before it is answered.
#[tokio::test]
async fn whoever_dies_while_deciding_loses_nothing() {
    let driven = Arc::new(Driven::start(Kind::MiniStack));
    let aws = Aws::at(&driven.server.url());
    let until = || driven.now() + Duration::from_secs(60);
    for (name, decide) in [
        (
            "snooze",
            (|until| Disposition::Snooze { until }) as fn(_) -> _,
        ),
        ("retry", |_| Disposition::Retry {
            after: Duration::from_secs(60),
        }),
        ("bury", |_| Disposition::DeadLetter {
            reason: "because".to_owned(),
        }),
    ] {
        let mut finished = false;
        let mut polls = 1;
        while !finished {
            let (queue, _) = queues(&aws, driven.clone(), &unique()).await;
            queue.send("work", Duration::ZERO).await.unwrap();
            let delivery = queue.receive(1, LEASE, Duration::ZERO).await.unwrap();
            let receipt = &delivery[0].receipt;
            let settling = async {
                queue.settle(receipt, decide(until())).await.unwrap();
            };
            finished = dropped_after(polls, settling).await;
            // What was sent before the end arrives.
            SystemClock::real().sleep(Duration::from_millis(20)).await;
            driven.pass(Duration::from_secs(61));
            let again = queue.receive(5, LEASE, Duration::ZERO).await.unwrap();
            let letters = queue.list(None, 5).await.unwrap();
            assert!(
                !again.is_empty() || !letters.is_empty(),
                "{name}, dropped after {polls} polls: it is lost"
            );
            polls += 1;
        }
        assert!(polls > 4, "{name}: it was not dropped within every call");
    }
}
