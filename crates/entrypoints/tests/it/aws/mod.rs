//! The program on AWS: workers and functions that share queues on SQS, with a server that
//! stands for AWS.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod lambda;
mod sandbox;
mod schedule;
mod secrets;
#[path = "../../../../aws/tests/it/servers.rs"]
#[expect(dead_code, reason = "one of the servers speaks for all services")]
mod servers;
mod template;
mod worker;

use std::process::Command;
use std::sync::atomic::{AtomicI64, Ordering};

use aws::Aws;
use aws::sqs::QueueNames;
use aws::sqs::testing::create;
use importer::ports::clock::{Clock as _, SystemClock};
use importer::ports::queue::{QueueName, QueueSettings};

use self::servers::{Kind, Server};

pub(crate) const PREFIX: &str = "salla-sync";

/// AWS with the queues of the program.
pub(crate) struct Cloud {
    pub(crate) server: Server,
    pub(crate) aws: Aws,
    ahead: AtomicI64,
}

impl Cloud {
    pub(crate) async fn start() -> Self {
        let now = SystemClock::real().now().as_millisecond();
        let server = Server::start(Kind::MiniStack, Some(now), &[]);
        let aws = Aws::at(&server.url());
        for name in QueueName::ALL {
            create(&aws, &names(name), QueueSettings::of(name)).await;
        }
        Self {
            server,
            aws,
            ahead: AtomicI64::new(0),
        }
    }

    /// Lets the queues' time pass, which is the machine's and `ahead` seconds.
    pub(crate) fn set_ahead(&self, ahead: i64) {
        self.ahead.store(ahead, Ordering::Relaxed);
        self.go_on();
    }

    /// Lets as much of the queues' time pass as of the machine's.
    pub(crate) fn go_on(&self) {
        let now = SystemClock::real().now().as_millisecond();
        let ahead = self.ahead.load(Ordering::Relaxed) * 1_000;
        self.server.set_clock(now + ahead);
    }

    /// How the program finds it.
    pub(crate) fn env(&self, command: &mut Command) {
        command
            .env("AWS_ENDPOINT_URL", self.server.url())
            .env("AWS_REGION", "eu-central-1")
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("SALLA_SYNC_QUEUE", format!("sqs://{PREFIX}"));
    }
}

pub(crate) fn names(name: QueueName) -> QueueNames {
    QueueNames::of(PREFIX, name)
}
