//! One invocation after the other.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws::lambda::{Function, HttpRequest, HttpResponse, Message};
use aws::sqs::QueueNames;
use domain::failure::Failure;
use importer::connect::ConnectShops;
use importer::duties::{Duty, all_once};
use importer::ports::clock::{Clock, with_timeout};
use importer::ports::queue::QueueName;
use importer::stop::{StopHandle, StopSignal, stop_pair};
use importer::upkeep::Upkeep;
use salla_client::tokens::wait_for_refreshes;

use super::doors::Doors;
use crate::wiring::OpenDatabase;
use crate::wiring::service::Service;
use crate::wiring::web::{Behind, WebParts, own_rows};

/// Time before the deadline to release the run: landing what is in flight, one transaction and one
/// message. A quarter of the time if less than forty seconds are left.
const GIVING_BACK: Duration = Duration::from_secs(10);

pub(super) struct Turns {
    open: Arc<OpenDatabase>,
    service: Service,
    behind: Behind,
    doors: Doors,
    upkeep: Upkeep,
    arrivals: Arrivals,
    clock: Arc<dyn Clock>,
}

impl Turns {
    pub(super) async fn new(
        open: Arc<OpenDatabase>,
        service: Service,
        parts: WebParts,
        clock: Arc<dyn Clock>,
    ) -> anyhow::Result<Self> {
        let behind = Behind::new(&open, &parts, &clock)?;
        let own_rows = own_rows(&open).await?;
        let doors = Doors::new(&open, own_rows.database(), &behind, &parts.web, &clock)?;
        Ok(Self {
            upkeep: behind.upkeep(&open),
            arrivals: Arrivals(behind.connect.clone()),
            open,
            service,
            behind,
            doors,
            clock,
        })
    }

    /// `true`: the message is settled. `false`: it has to be delivered again.
    async fn message(&self, message: Message, stop: &StopSignal) -> Result<bool, Failure> {
        let Some(name) = name_of(&message.queue) else {
            return Err(Failure::Setup {
                message: format!(
                    "the function is triggered by the queue {}, which is not one of salla-sync's",
                    message.queue
                ),
            });
        };
        let Some(relay) = self.open.queues.relay(name) else {
            return Ok(false);
        };
        let Some(delivery) = relay.accept(message.pushed).await? else {
            return Ok(true);
        };
        Ok(match name {
            QueueName::HistoricalSync => self.service.worker.take_turn(delivery, stop).await,
            QueueName::Notifications => self.service.notification_worker.handle(&delivery).await,
        })
    }

    /// What would otherwise be done in the background, where this process stands still.
    async fn finish(&self, left: Duration) {
        if let Err(failure) = self.open.queues.forward().await {
            tracing::warn!(%failure, "messages wait in the database to be forwarded");
        }
        if with_timeout(self.clock.as_ref(), left, wait_for_refreshes())
            .await
            .is_none()
        {
            tracing::error!(
                critical = true,
                "new tokens of a shop could not be stored before the process ended; the shop may \
                 have to be connected again"
            );
        }
    }

    /// Requests a stop before the deadline.
    async fn end(&self, turn: StopHandle, left: Duration) -> std::convert::Infallible {
        self.clock.sleep(left.saturating_sub(margin(left))).await;
        tracing::info!("the deadline is near: the run is passed on");
        turn.stop();
        std::future::pending().await
    }
}

#[async_trait]
impl Function for Turns {
    async fn messages(&self, messages: Vec<Message>, left: Duration) -> Vec<String> {
        let (turn, stop) = stop_pair();
        let working = async {
            let mut failed = Vec::new();
            for message in messages {
                let id = message.pushed.id.clone();
                match self.message(message, &stop).await {
                    Ok(true) => {}
                    Ok(false) => failed.push(id),
                    Err(failure) => {
                        tracing::error!(%failure, "the message will be delivered again");
                        failed.push(id);
                    }
                }
            }
            failed
        };
        let failed = tokio::select! {
            biased;
            failed = working => failed,
            never = self.end(turn, left) => match never {},
        };
        self.finish(margin(left) / 2).await;
        failed
    }

    async fn scheduled(&self, left: Duration) -> Result<(), Failure> {
        let mut duties = self.service.duties();
        duties.push(&self.upkeep);
        duties.push(&self.arrivals);
        let limit = left.saturating_sub(margin(left));
        let done = all_once(&duties, self.clock.as_ref(), limit).await;
        self.finish(margin(left) / 2).await;
        done
    }

    async fn request(&self, request: HttpRequest) -> Result<HttpResponse, Failure> {
        let looks_only = matches!(request.method.as_str(), "GET" | "HEAD" | "OPTIONS");
        let response = self.doors.respond(request).await?;
        // A consent connects with GET, and what a webhook has brought is settled after it.
        if !looks_only || response.status == 303 || response.status == 302 {
            if let Err(failure) = self.behind.connect.settle_arrivals().await {
                tracing::warn!(%failure, "received tokens wait for the next sweep");
            }
            self.finish(GIVING_BACK).await;
        }
        Ok(response)
    }
}

/// A server settles them as they come; here they have waited for the schedule.
struct Arrivals(ConnectShops);

#[async_trait]
impl Duty for Arrivals {
    fn name(&self) -> &'static str {
        "settling received tokens"
    }

    fn pause(&self) -> Duration {
        Duration::from_secs(60)
    }

    async fn round(&self, _: &StopSignal) -> Result<(), Failure> {
        self.0.settle_arrivals().await
    }
}

fn margin(left: Duration) -> Duration {
    (left / 4).min(GIVING_BACK)
}

/// Which of our queues SQS calls so.
fn name_of(queue: &str) -> Option<QueueName> {
    QueueName::ALL
        .into_iter()
        .find(|name| queue.ends_with(&QueueNames::of("", *name).queue))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_known_by_the_end_of_its_name() {
        for (queue, name) in [
            (
                "salla-sync-historical-sync",
                Some(QueueName::HistoricalSync),
            ),
            ("a-notifications", Some(QueueName::Notifications)),
            ("a-notifications-dead", None),
            ("historical-sync", None),
            ("", None),
        ] {
            assert_eq!(name_of(queue), name, "{queue}");
        }
    }

    #[test]
    fn the_last_part_of_a_turn_is_for_passing_on() {
        for (left, expected) in [(900, 10_000), (40, 10_000), (4, 1_000), (0, 0)] {
            let margin = margin(Duration::from_secs(left));
            assert_eq!(margin.as_millis(), expected, "{left} s");
        }
    }
}
