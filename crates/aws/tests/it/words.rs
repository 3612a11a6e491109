//! What is said where something is missing: what was being done, to what, and what to do.

use std::sync::Arc;

use aws::Aws;
use aws::sqs::{QueueNames, SqsQueue};
use importer::ports::clock::SystemClock;
use importer::ports::queue::{DeadLetters as _, Disposition, Queue as _, QueueName, QueueSettings};
use std::time::Duration;

use crate::contract::{MAX_ATTEMPTS, queues, unique};
use crate::proxy::{self, Fault, faults};
use crate::servers::{Kind, Server};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_named() {
    let server = Server::start(Kind::MiniStack, None, &[]);
    let clock = Arc::new(SystemClock::real());
    let settings = QueueSettings {
        max_attempts: MAX_ATTEMPTS,
    };
    let name = QueueName::HistoricalSync;
    let aws = Aws::at(&server.url());

    let opened = SqsQueue::open(&aws, "nowhere", name, settings, clock.clone()).await;
    let failure = opened.unwrap_err();
    assert_eq!(failure.code(), "setup");
    for part in [
        "nowhere-historical-sync",
        "eu-central-1",
        "AWS_REGION",
        "does not exist",
    ] {
        assert!(failure.to_string().contains(part), "{part}: {failure}");
    }

    // A role may lack any right.
    let prefix = unique();
    queues(&aws, clock.clone(), &prefix).await;
    for right in [
        "SendMessage",
        "ReceiveMessage",
        "DeleteMessage",
        "ChangeMessageVisibility",
        "GetQueueAttributes",
        "GetQueueUrl",
    ] {
        let denied = faults(move |action| match action == right {
            true => Fault::Deny,
            false => Fault::Pass,
        });
        let address = proxy::start(server.address(), denied).await;
        let aws = Aws::at(&address);
        let at_once = Duration::ZERO;
        let result = async {
            let queue = SqsQueue::open(&aws, &prefix, name, settings, clock.clone()).await?;
            queue.send("work", at_once).await?;
            let received = queue.receive(1, Duration::from_secs(30), at_once).await?;
            let receipt = &received[0].receipt;
            queue.settle(receipt, Disposition::Ack).await?;
            queue.depth().await
        };
        let failure = result.await.unwrap_err();
        assert_eq!(failure.code(), "setup", "{right}: {failure}");
        for part in [&format!("the right sqs:{right}"), &prefix] {
            assert!(failure.to_string().contains(part), "{part}: {failure}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_somebody_else_is_received_and_buried_like_any_other() {
    let server = Server::start(Kind::MiniStack, None, &[]);
    let aws = Aws::at(&server.url());
    let prefix = unique();
    let (queue, _) = queues(&aws, Arc::new(SystemClock::real()), &prefix).await;
    let names = QueueNames::of(&prefix, QueueName::HistoricalSync);
    aws::sqs::testing::send_raw(&aws, &names.queue, "not a job").await;
    let received = queue
        .receive(1, Duration::from_secs(30), Duration::ZERO)
        .await;
    let delivery = received.unwrap().pop().unwrap();
    assert_eq!((delivery.body.as_str(), delivery.attempt), ("not a job", 1));
    let why = "unreadable message".to_owned();
    let settled = queue
        .settle(&delivery.receipt, Disposition::DeadLetter { reason: why })
        .await;
    settled.unwrap();
    let letters = queue.list(None, 5).await.unwrap();
    assert_eq!(letters[0].id, delivery.id);
    assert_eq!(letters[0].reason, "unreadable message");
}
