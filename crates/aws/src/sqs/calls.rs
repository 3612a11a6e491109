//! The calls to SQS, each with the right that it needs.

use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{MessageSystemAttributeName, QueueAttributeName};
use domain::failure::Failure;
use importer::ports::queue::{Depth, Pushed, ReceiptStatus};

use super::QueueNames;
use super::message::{Stored, pushed};
use crate::Aws;
use crate::failure::{Call, code, failure};

/// The longest that SQS delays a message.
const LONGEST_DELAY: Duration = Duration::from_secs(900);
/// The longest that SQS keeps a message from others, counted from its delivery.
const LONGEST_VISIBILITY: Duration = Duration::from_secs(12 * 3_600);

/// What SQS answers about a receipt that no longer serves: its message is gone, was delivered
/// again, or has been held for as long as SQS allows.
const STALE: [&str; 4] = [
    "ReceiptHandleIsInvalid",
    "MessageNotInflight",
    "AWS.SimpleQueueService.MessageNotInflight",
    "InvalidParameterValue",
];

/// One of the two queues on SQS.
#[derive(Clone, Debug)]
struct Place {
    name: String,
    url: String,
}

#[derive(Clone, Debug)]
pub(super) struct Calls {
    client: Client,
    queue: Place,
    dead_letters: Place,
    region: String,
}

impl Calls {
    pub(super) async fn open(aws: &Aws, names: &QueueNames) -> Result<Self, Failure> {
        let client = Client::new(&aws.config);
        let (queue, dead_letters) = (
            find(aws, &client, &names.queue).await?,
            find(aws, &client, &names.dead_letters).await?,
        );
        Ok(Self {
            client,
            queue,
            dead_letters,
            region: aws.region().to_owned(),
        })
    }

    fn call<'a>(&'a self, doing: &'static str, place: &'a Place, right: &'static str) -> Call<'a> {
        Call {
            doing,
            what: &place.name,
            right,
            region: &self.region,
        }
    }

    /// SQS takes up to fifteen minutes; the consumer that receives it then sends it again.
    pub(super) async fn send(&self, stored: &Stored, wait: Duration) -> Result<(), Failure> {
        self.send_to(&self.queue, stored, stored.group(), wait)
            .await
    }

    pub(super) async fn send_letter(&self, stored: &Stored) -> Result<(), Failure> {
        let place = &self.dead_letters;
        self.send_to(place, stored, None, Duration::ZERO).await
    }

    async fn send_to(
        &self,
        place: &Place,
        stored: &Stored,
        group: Option<String>,
        wait: Duration,
    ) -> Result<(), Failure> {
        let call = self.call("sending a message to", place, "sqs:SendMessage");
        self.client
            .send_message()
            .queue_url(&place.url)
            .message_body(&stored.body)
            .set_message_attributes(Some(stored.attributes()))
            .set_message_group_id(group)
            .delay_seconds(delay(wait))
            .send()
            .await
            .map_err(|error| failure(call, &error))?;
        Ok(())
    }

    pub(super) async fn receive(
        &self,
        most: u32,
        visibility: Duration,
        wait: Duration,
    ) -> Result<Vec<Pushed>, Failure> {
        self.receive_from(&self.queue, most, visibility, wait).await
    }

    pub(super) async fn receive_letters(
        &self,
        most: u32,
        visibility: Duration,
        wait: Duration,
    ) -> Result<Vec<Pushed>, Failure> {
        let place = &self.dead_letters;
        self.receive_from(place, most, visibility, wait).await
    }

    async fn receive_from(
        &self,
        place: &Place,
        most: u32,
        visibility: Duration,
        wait: Duration,
    ) -> Result<Vec<Pushed>, Failure> {
        let call = self.call("receiving messages from", place, "sqs:ReceiveMessage");
        let received = self
            .client
            .receive_message()
            .queue_url(&place.url)
            .max_number_of_messages(i32::try_from(most).unwrap_or(1))
            .visibility_timeout(seconds(visibility.min(LONGEST_VISIBILITY)))
            .wait_time_seconds(seconds(wait))
            .message_system_attribute_names(MessageSystemAttributeName::All)
            .message_attribute_names("All")
            .send()
            .await
            .map_err(|error| failure(call, &error))?;
        let messages = received.messages.unwrap_or_default();
        Ok(messages.into_iter().filter_map(pushed).collect())
    }

    pub(super) async fn delete(&self, handle: &str) -> Result<(), Failure> {
        self.delete_from(&self.queue, handle).await
    }

    pub(super) async fn delete_letter(&self, handle: &str) -> Result<(), Failure> {
        self.delete_from(&self.dead_letters, handle).await
    }

    /// Of a message that is gone already there is nothing left to delete.
    async fn delete_from(&self, place: &Place, handle: &str) -> Result<(), Failure> {
        let deleted = self
            .client
            .delete_message()
            .queue_url(&place.url)
            .receipt_handle(handle)
            .send()
            .await;
        match deleted {
            Ok(_) => Ok(()),
            Err(error) if code(&error).is_some_and(|code| STALE.contains(&code)) => Ok(()),
            Err(error) => {
                let call = self.call("deleting a message of", place, "sqs:DeleteMessage");
                Err(failure(call, &error))
            }
        }
    }

    pub(super) async fn change_visibility(
        &self,
        handle: &str,
        visibility: Duration,
    ) -> Result<ReceiptStatus, Failure> {
        self.change_visibility_at(&self.queue, handle, visibility)
            .await
    }

    /// Makes a letter visible again.
    pub(super) async fn release_letter(&self, handle: &str) -> Result<ReceiptStatus, Failure> {
        let place = &self.dead_letters;
        self.change_visibility_at(place, handle, Duration::ZERO)
            .await
    }

    async fn change_visibility_at(
        &self,
        place: &Place,
        handle: &str,
        visibility: Duration,
    ) -> Result<ReceiptStatus, Failure> {
        let changed = self
            .client
            .change_message_visibility()
            .queue_url(&place.url)
            .receipt_handle(handle)
            .visibility_timeout(seconds(visibility.min(LONGEST_VISIBILITY)))
            .send()
            .await;
        match changed {
            Ok(_) => Ok(ReceiptStatus::Valid),
            Err(error) if code(&error).is_some_and(|code| STALE.contains(&code)) => {
                Ok(ReceiptStatus::Stale)
            }
            Err(error) => {
                let right = "sqs:ChangeMessageVisibility";
                let call = self.call("extending the lease of a message of", place, right);
                Err(failure(call, &error))
            }
        }
    }

    pub(super) async fn depth(&self) -> Result<Depth, Failure> {
        let (ready, delayed, in_flight) = self.counts(&self.queue).await?;
        let (dead, dead_delayed, dead_in_flight) = self.counts(&self.dead_letters).await?;
        Ok(Depth {
            ready,
            delayed,
            in_flight,
            dead: dead + dead_delayed + dead_in_flight,
            oldest_ready: None,
        })
    }

    async fn counts(&self, place: &Place) -> Result<(u64, u64, u64), Failure> {
        let call = self.call("counting the messages of", place, "sqs:GetQueueAttributes");
        let names = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesDelayed,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        ];
        let output = self
            .client
            .get_queue_attributes()
            .queue_url(&place.url)
            .set_attribute_names(Some(names.to_vec()))
            .send()
            .await
            .map_err(|error| failure(call, &error))?;
        let attributes = output.attributes.unwrap_or_default();
        let [ready, delayed, in_flight] = names.map(|name| {
            let number = attributes.get(&name).and_then(|text| text.parse().ok());
            number.unwrap_or(0)
        });
        Ok((ready, delayed, in_flight))
    }
}

async fn find(aws: &Aws, client: &Client, name: &str) -> Result<Place, Failure> {
    let call = Call {
        doing: "looking up the queue",
        what: name,
        right: "sqs:GetQueueUrl",
        region: aws.region(),
    };
    let found = client
        .get_queue_url()
        .queue_name(name)
        .send()
        .await
        .map_err(|error| failure(call, &error))?;
    match found.queue_url {
        Some(url) => Ok(Place {
            name: name.to_owned(),
            url,
        }),
        None => Err(Failure::Setup {
            message: format!("AWS names no address of the queue {name}"),
        }),
    }
}

/// SQS refuses a longer delay than its longest.
fn delay(wait: Duration) -> i32 {
    seconds(wait.min(LONGEST_DELAY))
}

/// SQS counts in whole seconds; a part of one is a whole one.
fn seconds(duration: Duration) -> i32 {
    let part = u64::from(duration.subsec_nanos() > 0);
    let whole = duration.as_secs().saturating_add(part);
    i32::try_from(whole).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The servers of the tests take any delay.
    #[test]
    fn no_delay_is_longer_than_fifteen_minutes() {
        for (wait, expected) in [(0, 0), (900, 900), (901, 900), (86_400, 900)] {
            assert_eq!(delay(Duration::from_secs(wait)), expected);
        }
    }

    #[test]
    fn a_part_of_a_second_is_a_whole_one() {
        for (milliseconds, expected) in [(0, 0), (1, 1), (1_000, 1), (1_001, 2)] {
            assert_eq!(seconds(Duration::from_millis(milliseconds)), expected);
        }
        assert_eq!(seconds(Duration::MAX), i32::MAX);
    }
}
