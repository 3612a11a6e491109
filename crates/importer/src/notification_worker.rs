//! Notifications as jobs. An import has ended by the time its notification is on the
//! queue, so nothing that goes wrong here touches it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::connection_change::ConnectionChangeJob;
use domain::failure::Failure;
use domain::job::NotificationJob;
use futures::stream::{self, StreamExt as _};
use tracing::Instrument as _;

use crate::duties::Duty;
use crate::ports::clock::Clock;
use crate::ports::notifications::{Notice, Notifications, Notifier, Recorded};
use crate::ports::queue::{Delivery, Disposition, JobId, Queue};
use crate::stop::StopSignal;

const POLL: Duration = Duration::from_secs(2);
/// How long deliveries may continue after a stop was requested. What is not sent by then is
/// delivered again when its lease expires.
const GRACE: Duration = Duration::from_secs(5);
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(5);
/// Longer than all channels together may take.
const VISIBILITY: Duration = Duration::from_secs(120);
/// Messages that are dealt with concurrently.
const CONCURRENCY: u32 = 8;
/// The first wait after a channel failed; it grows fourfold, and by up to a quarter more,
/// so that notices which failed together do not come back together.
const FIRST_WAIT: Duration = Duration::from_secs(30);

/// Sends notifications about the ends of imports.
pub struct NotificationWorker {
    pub queue: Arc<dyn Queue>,
    pub store: Arc<dyn Notifications>,
    pub notifiers: Vec<Arc<dyn Notifier>>,
    pub clock: Arc<dyn Clock>,
}

/// Changes of connections become messages, which are then delivered like all others.
#[async_trait]
impl Duty for NotificationWorker {
    fn name(&self) -> &'static str {
        "sending changes of connections"
    }

    fn pause(&self) -> Duration {
        POLL
    }

    async fn round(&self, _: &StopSignal) -> Result<(), Failure> {
        match self.notifiers.iter().any(|n| n.takes_connection_changes()) {
            true => self.store.send_connection_changes().await.map(drop),
            false => Ok(()),
        }
    }
}

impl NotificationWorker {
    /// Works until a stop is asked for.
    pub async fn run(&self, stop: &StopSignal) {
        while !stop.is_requested() {
            let received = tokio::select! {
                biased;
                () = stop.requested() => return,
                received = self.queue.receive(CONCURRENCY, VISIBILITY, POLL) => received,
            };
            let deliveries = match received {
                Ok(deliveries) => deliveries,
                Err(failure) => {
                    tracing::error!(%failure, "no notification could be received; trying again");
                    tokio::select! {
                        () = stop.requested() => {}
                        () = self.clock.sleep(PAUSE_AFTER_FAILURE) => {}
                    }
                    continue;
                }
            };
            let told = stream::iter(&deliveries).for_each_concurrent(None, async |delivery| {
                self.handle(delivery).await;
            });
            tokio::select! {
                () = told => {}
                () = self.grace(stop) => return,
            }
        }
    }

    async fn grace(&self, stop: &StopSignal) {
        stop.requested().await;
        self.clock.sleep(GRACE).await;
    }

    /// One message until it is settled, which it is unless this says `false`.
    pub async fn handle(&self, delivery: &Delivery) -> bool {
        let span =
            tracing::info_span!("notification", job_id = %delivery.id, attempt = delivery.attempt);
        async {
            let disposition = self.run_one(delivery).await;
            match self.queue.settle(&delivery.receipt, disposition).await {
                Ok(_) => true,
                Err(failure) => {
                    tracing::error!(%failure, "the message could not be settled; it will be \
                         delivered again");
                    false
                }
            }
        }
        .instrument(span)
        .await
    }

    /// Sends what a message requests and returns what to do with the message.
    pub async fn run_one(&self, delivery: &Delivery) -> Disposition {
        match ConnectionChangeJob::parse(&delivery.body) {
            Some(Ok(job)) => return self.deliver_change(&job, delivery).await,
            Some(Err(unreadable)) => {
                return Disposition::DeadLetter {
                    reason: format!("unreadable message: {unreadable}"),
                };
            }
            None => {}
        }
        let job = match NotificationJob::parse(&delivery.body) {
            Ok(job) => job,
            Err(unreadable) => {
                return Disposition::DeadLetter {
                    reason: format!("unreadable message: {unreadable}"),
                };
            }
        };
        match self.store.record(&job).await {
            Ok(Recorded::Notice(notice)) => self.notify(&notice, delivery).await,
            Ok(Recorded::Outdated) => {
                tracing::info!(run_id = %job.run, "the run has resumed since: no notification is \
                     sent");
                Disposition::Ack
            }
            Ok(Recorded::Unknown) => Disposition::DeadLetter {
                reason: "there is no such run of this merchant".to_owned(),
            },
            Err(failure) => {
                tracing::error!(%failure, run_id = %job.run, "the notification could not be recorded");
                retry(delivery)
            }
        }
    }

    /// Hands a connection's change to each channel that has not taken it yet.
    async fn deliver_change(&self, job: &ConnectionChangeJob, delivery: &Delivery) -> Disposition {
        let change = match self.store.connection_change(job).await {
            Ok(Some(change)) => change,
            // The shop was forgotten meanwhile.
            Ok(None) => return Disposition::Ack,
            Err(failure) => {
                tracing::error!(%failure, change_id = %job.change, "the change could not be read");
                return retry(delivery);
            }
        };
        let mut failures = Vec::new();
        for notifier in self
            .notifiers
            .iter()
            .filter(|n| n.takes_connection_changes())
        {
            let name = notifier.name();
            if change.taken_by.iter().any(|taken| taken == name) {
                continue;
            }
            let told = match notifier.deliver_connection_change(&change).await {
                Ok(()) => self.store.mark_change_taken(change.id, name).await,
                Err(failure) => Err(failure),
            };
            if let Err(failure) = told {
                tracing::warn!(channel = name, %failure, change_id = %change.id, "the channel did \
                     not accept the connection's change");
                failures.push(failure);
            }
        }
        disposition_for(&failures, delivery)
    }

    /// Hands the notice to each channel that has not taken it yet.
    async fn notify(&self, notice: &Notice, delivery: &Delivery) -> Disposition {
        let delivered = match self.store.delivered(notice.id).await {
            Ok(delivered) => delivered,
            Err(failure) => {
                tracing::error!(%failure, "the deliveries could not be read");
                return retry(delivery);
            }
        };
        let mut failures = Vec::new();
        for notifier in &self.notifiers {
            let name = notifier.name();
            if !notifier.audience().receives(notice.kind) || delivered.iter().any(|d| d == name) {
                continue;
            }
            let told = match notifier.deliver(notice).await {
                Ok(()) => self.store.mark_delivered(notice.id, name).await,
                Err(failure) => Err(failure),
            };
            if let Err(failure) = told {
                tracing::warn!(channel = name, %failure, run_id = %notice.run, "the channel did \
                     not accept the notification");
                failures.push(failure);
            }
        }
        disposition_for(&failures, delivery)
    }
}

/// While one failure may pass, the message is delivered again, and the channels that failed
/// otherwise are tried once more with it. When none may pass, a person must act first; after a
/// redrive the message goes to the channels that have not accepted it.
fn disposition_for(failures: &[Failure], delivery: &Delivery) -> Disposition {
    if failures.is_empty() {
        return Disposition::Ack;
    }
    if failures.iter().any(Failure::resumes_by_itself) {
        return retry(delivery);
    }
    let reasons: Vec<String> = failures.iter().map(Failure::to_string).collect();
    Disposition::DeadLetter {
        reason: reasons.join("; "),
    }
}

fn retry(delivery: &Delivery) -> Disposition {
    let growth = 4_u32.pow(delivery.attempt.saturating_sub(1).min(6));
    let wait = FIRST_WAIT.saturating_mul(growth);
    Disposition::Retry {
        after: wait + wait.mul_f64(jitter(&delivery.id) / 4.0),
    }
}

/// In [0, 1), another for each message.
fn jitter(id: &JobId) -> f64 {
    let mixed = id.to_string().bytes().fold(0_u8, |mixed, byte| {
        mixed.wrapping_mul(31).wrapping_add(byte)
    });
    f64::from(mixed) / 256.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::queue::Receipt;

    fn delivery(number: u32, attempt: u32) -> Delivery {
        Delivery {
            id: JobId(uuid::Uuid::from_u128(u128::from(number)).to_string()),
            receipt: Receipt(String::new()),
            body: String::new(),
            attempt,
            sent_at: jiff::Timestamp::UNIX_EPOCH,
        }
    }

    fn wait(number: u32, attempt: u32) -> Duration {
        match retry(&delivery(number, attempt)) {
            Disposition::Retry { after } => after,
            other => panic!("it is tried again, not {other:?}"),
        }
    }

    #[test]
    fn waits_grow_and_differ_from_message_to_message() {
        for (attempt, seconds) in [(1, 30), (2, 120), (3, 480)] {
            let least = Duration::from_secs(seconds);
            let waits: Vec<Duration> = (0..100).map(|number| wait(number, attempt)).collect();
            let within = |wait: &Duration| (least..least + least / 4).contains(wait);
            assert!(waits.iter().all(within), "{waits:?}");
            let distinct: std::collections::HashSet<_> = waits.iter().collect();
            assert!(distinct.len() > 50, "{} of 100", distinct.len());
            let apart = waits.iter().max().zip(waits.iter().min());
            let apart = apart.map(|(last, first)| *last - *first);
            assert!(apart > Some(least / 8), "{apart:?}");
        }
    }

    #[test]
    fn only_failures_that_may_pass_bring_a_message_back() {
        let passing = Failure::Transient {
            message: "webhook: it responded with status 500".to_owned(),
        };
        let lasting = Failure::Broken {
            message: "webhook: it responded with status 404".to_owned(),
        };
        let delivery = delivery(1, 1);
        let after = |failures: &[Failure]| disposition_for(failures, &delivery);
        assert_eq!(after(&[]), Disposition::Ack);
        for failures in [
            vec![passing.clone()],
            vec![passing.clone(), lasting.clone()],
            vec![lasting.clone(), passing],
        ] {
            assert_eq!(after(&failures), retry(&delivery), "{failures:?}");
        }
        let why = "webhook: it responded with status 404; webhook: it responded with status 404";
        let dead_letters = Disposition::DeadLetter {
            reason: why.to_owned(),
        };
        assert_eq!(after(&[lasting.clone(), lasting]), dead_letters);
    }
}
