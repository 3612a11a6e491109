//! Queues as the deployment makes them, on a server that stands for AWS.

#![expect(
    clippy::unwrap_used,
    reason = "a failed step has to end the test that calls it"
)]

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{MessageSystemAttributeName, QueueAttributeName};
use importer::ports::queue::QueueSettings;
use serde_json::{Map, Value, json};

use super::QueueNames;
use crate::Aws;

/// Two weeks, the longest that there is.
const RETENTION: &str = "1209600";

/// Makes the queue and its dead letters.
pub async fn create(aws: &Aws, names: &QueueNames, settings: QueueSettings) {
    let client = Client::new(&aws.config);
    let dead = client
        .create_queue()
        .queue_name(&names.dead_letters)
        .attributes(QueueAttributeName::MessageRetentionPeriod, RETENTION)
        .send()
        .await
        .unwrap();
    let arn = QueueAttributeName::QueueArn;
    let attributes = client
        .get_queue_attributes()
        .set_queue_url(dead.queue_url)
        .attribute_names(arn.clone())
        .send()
        .await
        .unwrap();
    let redrive = json!({
        "deadLetterTargetArn": attributes.attributes.unwrap()[&arn],
        "maxReceiveCount": settings.max_attempts,
    });
    client
        .create_queue()
        .queue_name(&names.queue)
        .attributes(QueueAttributeName::MessageRetentionPeriod, RETENTION)
        .attributes(QueueAttributeName::RedrivePolicy, redrive.to_string())
        .send()
        .await
        .unwrap();
}

/// Puts a text on a queue as another sender would.
pub async fn send_raw(aws: &Aws, queue: &str, body: &str) {
    let client = Client::new(&aws.config);
    let url = url(&client, queue).await;
    let sent = client.send_message().queue_url(url).message_body(body);
    sent.send().await.unwrap();
}

/// Receives a message as Lambda's event source mapping does: the event that it hands to the
/// function, and what it deletes the message by.
pub async fn hand_over(aws: &Aws, queue: &str, visibility: i32) -> Option<(Value, String)> {
    let client = Client::new(&aws.config);
    let received = client
        .receive_message()
        .queue_url(url(&client, queue).await)
        .visibility_timeout(visibility)
        .message_system_attribute_names(MessageSystemAttributeName::All)
        .message_attribute_names("All")
        .send()
        .await
        .unwrap();
    let message = received.messages.unwrap_or_default().pop()?;
    let handle = message.receipt_handle.unwrap();
    let system: Map<String, Value> = message
        .attributes
        .unwrap_or_default()
        .into_iter()
        .map(|(name, value)| (name.as_str().to_owned(), value.into()))
        .collect();
    let attributes: Map<String, Value> = message
        .message_attributes
        .unwrap_or_default()
        .into_iter()
        .map(|(name, value)| {
            let value = json!({"stringValue": value.string_value, "dataType": value.data_type});
            (name, value)
        })
        .collect();
    let record = json!({
        "messageId": message.message_id,
        "receiptHandle": handle,
        "body": message.body,
        "attributes": system,
        "messageAttributes": attributes,
        "eventSource": "aws:sqs",
        "eventSourceARN": format!("arn:aws:sqs:eu-central-1:000000000000:{queue}"),
        "awsRegion": "eu-central-1",
    });
    Some((json!({ "Records": [record] }), handle))
}

/// Deletes the pushed messages, as Lambda does when the function has not reported them as failed.
pub async fn delete(aws: &Aws, queue: &str, handle: &str) {
    let client = Client::new(&aws.config);
    let deleted = client
        .delete_message()
        .queue_url(url(&client, queue).await)
        .receipt_handle(handle);
    // The function may have deleted it.
    drop(deleted.send().await);
}

async fn url(client: &Client, queue: &str) -> String {
    let found = client.get_queue_url().queue_name(queue).send();
    found.await.unwrap().queue_url.unwrap()
}
