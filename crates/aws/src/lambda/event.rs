//! Which of the events that we know one is.

use std::collections::HashMap;

use importer::ports::queue::Pushed;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::http::{HttpEvent, HttpRequest};

/// A message of a queue.
#[derive(Clone, Debug)]
pub struct Message {
    /// What SQS calls the queue.
    pub queue: String,
    pub pushed: Pushed,
}

#[derive(Debug)]
pub(super) enum Event {
    Messages(Vec<Message>),
    Scheduled,
    Request(Box<HttpRequest>),
}

/// Lambda has invoked the function with something that it is not meant for.
#[derive(Debug, thiserror::Error)]
pub(super) enum EventError {
    #[error(
        "the event is neither of SQS nor of a schedule nor of a function URL; is the function \
         triggered by something else?"
    )]
    Unknown,
    #[error("the event cannot be read: {0}")]
    Malformed(#[from] serde_json::Error),
}

#[derive(Deserialize)]
struct Batch {
    #[serde(rename = "Records")]
    records: Vec<Record>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    message_id: String,
    receipt_handle: String,
    body: String,
    #[serde(default)]
    attributes: HashMap<String, String>,
    #[serde(default)]
    message_attributes: HashMap<String, Attribute>,
    #[serde(rename = "eventSourceARN")]
    event_source_arn: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Attribute {
    string_value: Option<String>,
}

impl Event {
    pub(super) fn parse(payload: Value) -> Result<Self, EventError> {
        let source = payload["Records"][0]["eventSource"].as_str();
        if source == Some("aws:sqs") {
            let batch: Batch = serde_json::from_value(payload)?;
            return Ok(Self::Messages(
                batch.records.into_iter().map(Record::message).collect(),
            ));
        }
        if payload["requestContext"]["http"].is_object() {
            let event: HttpEvent = serde_json::from_value(payload)?;
            return Ok(Self::Request(Box::new(event.into_request())));
        }
        match payload["source"].as_str() {
            Some("aws.events" | "aws.scheduler") => Ok(Self::Scheduled),
            _ => Err(EventError::Unknown),
        }
    }
}

impl Record {
    fn message(self) -> Message {
        let attribute = |name: &str| self.attributes.get(name);
        let deliveries = attribute("ApproximateReceiveCount").and_then(|text| text.parse().ok());
        let sent_at = attribute("SentTimestamp").and_then(|text| text.parse().ok());
        let queue = self.event_source_arn.rsplit(':').next();
        Message {
            queue: queue.unwrap_or_default().to_owned(),
            pushed: Pushed {
                deliveries: deliveries.unwrap_or(1),
                sent_at: sent_at.and_then(|at| Timestamp::from_millisecond(at).ok()),
                attributes: self
                    .message_attributes
                    .into_iter()
                    .filter_map(|(name, value)| Some((name, value.string_value?)))
                    .collect(),
                id: self.message_id,
                receipt: self.receipt_handle,
                body: self.body,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_is_known_by_its_source() {
        let sqs = json!({"Records": [{
            "messageId": "m", "receiptHandle": "h", "body": "{}", "eventSource": "aws:sqs",
            "attributes": {"ApproximateReceiveCount": "2", "SentTimestamp": "5000"},
            "messageAttributes": {
                "id": {"stringValue": "ours", "dataType": "String"},
                "other": {"binaryValue": "AA==", "dataType": "Binary"},
            },
            "eventSourceARN": "arn:aws:sqs:eu-central-1:1:salla-sync-historical-sync",
            "awsRegion": "eu-central-1",
        }]});
        let Ok(Event::Messages(messages)) = Event::parse(sqs) else {
            panic!("it is a batch of messages");
        };
        assert_eq!(messages[0].queue, "salla-sync-historical-sync");
        let pushed = &messages[0].pushed;
        assert_eq!((pushed.deliveries, pushed.id.as_str()), (2, "m"));
        assert_eq!(pushed.sent_at.map(Timestamp::as_second), Some(5));
        assert_eq!(pushed.attributes.len(), 1);
        assert_eq!(pushed.attributes["id"], "ours");
        for source in ["aws.events", "aws.scheduler"] {
            let scheduled = Event::parse(json!({ "source": source, "detail": {} }));
            assert!(matches!(scheduled, Ok(Event::Scheduled)), "{source}");
        }
        for unknown in [
            json!(null),
            json!({"Records": []}),
            json!({"Records": [{"eventSource": "aws:s3"}]}),
            json!({"source": "aws.s3"}),
            json!("text"),
        ] {
            assert!(matches!(Event::parse(unknown), Err(EventError::Unknown)));
        }
        let broken = json!({"Records": [{"eventSource": "aws:sqs"}]});
        assert!(matches!(
            Event::parse(broken),
            Err(EventError::Malformed(_))
        ));
    }
}
