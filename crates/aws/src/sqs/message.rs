//! What a message carries beside its body, and how a receipt looks.
//!
//! SQS gives a message that is sent again another id and counts its deliveries from one. So
//! what has to outlast that goes along in attributes: our id, the time of the first send, the
//! attempts before this send, and how long it has to wait, which may be longer than SQS lets
//! a message wait.

use std::collections::HashMap;

use aws_sdk_sqs::types::{Message, MessageAttributeValue, MessageSystemAttributeName};
use domain::job::{HistoricalSync, NotificationJob};
use importer::ports::queue::{JobId, Pushed, Receipt};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

const ID: &str = "id";
const SENT_AT: &str = "sent_at";
const ATTEMPTS: &str = "attempts";
const NOT_BEFORE: &str = "not_before";
const REASON: &str = "reason";
const DEAD_LETTERED_AT: &str = "dead_lettered_at";
const ALERTED: &str = "alerted";

/// A message as it is or was sent.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) id: String,
    pub(super) body: String,
    pub(super) sent_at: Timestamp,
    /// Deliveries that counted before this send.
    pub(super) attempts: u32,
    pub(super) not_before: Option<Timestamp>,
    pub(super) burial: Option<Burial>,
}

/// What a dead letter carries besides.
#[derive(Clone, Debug)]
pub(super) struct Burial {
    pub(super) reason: String,
    pub(super) at: Timestamp,
    /// Operators were notified of it.
    pub(super) is_alerted: bool,
}

/// A message as it was received.
#[derive(Clone, Debug)]
pub(super) struct Received {
    pub(super) stored: Stored,
    pub(super) handle: String,
    /// Deliveries since this send, this one included.
    pub(super) deliveries: u32,
}

/// `None` for one without what SQS gives every message.
pub(super) fn pushed(message: Message) -> Option<Pushed> {
    let system = message.attributes.unwrap_or_default();
    let of_system = |name: &MessageSystemAttributeName| system.get(name).map(String::as_str);
    let attributes = message.message_attributes.unwrap_or_default();
    let count = of_system(&MessageSystemAttributeName::ApproximateReceiveCount);
    let sent_at = of_system(&MessageSystemAttributeName::SentTimestamp);
    Some(Pushed {
        id: message.message_id?,
        receipt: message.receipt_handle?,
        body: message.body?,
        deliveries: count.and_then(|text| text.parse().ok()).unwrap_or(1),
        sent_at: sent_at
            .and_then(|text| text.parse().ok())
            .and_then(|milliseconds| Timestamp::from_millisecond(milliseconds).ok()),
        attributes: attributes
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.string_value?)))
            .collect(),
    })
}

impl Received {
    /// A message from another sender lacks our attributes and is read all the same.
    pub(super) fn read(pushed: Pushed, now: Timestamp) -> Self {
        let attribute = |name: &str| pushed.attributes.get(name).map(String::as_str);
        let time = |name: &str| attribute(name)?.parse::<Timestamp>().ok();
        let sent_at = time(SENT_AT).or(pushed.sent_at).unwrap_or(now);
        let burial = attribute(REASON).map(|reason| Burial {
            reason: reason.to_owned(),
            at: time(DEAD_LETTERED_AT).unwrap_or(sent_at),
            is_alerted: attribute(ALERTED).is_some(),
        });
        let attempts = attribute(ATTEMPTS).and_then(|text| text.parse().ok());
        Self {
            stored: Stored {
                id: attribute(ID).map_or_else(|| pushed.id.clone(), str::to_owned),
                sent_at,
                attempts: attempts.unwrap_or(0),
                not_before: time(NOT_BEFORE),
                burial,
                body: pushed.body,
            },
            handle: pushed.receipt,
            deliveries: pushed.deliveries,
        }
    }

    pub(super) fn attempt(&self) -> u32 {
        self.stored.attempts.saturating_add(self.deliveries)
    }

    pub(super) fn receipt(&self, queue: &str) -> Receipt {
        Lease {
            queue: queue.to_owned(),
            handle: self.handle.clone(),
            id: self.stored.id.clone(),
            body: self.stored.body.clone(),
            sent_at: self.stored.sent_at,
            attempt: self.attempt(),
        }
        .to_receipt()
    }
}

impl Stored {
    pub(super) fn job_id(&self) -> JobId {
        JobId(self.id.clone())
    }

    pub(super) fn attributes(&self) -> HashMap<String, MessageAttributeValue> {
        let mut attributes = HashMap::new();
        let mut put = |name: &str, kind: &str, value: String| {
            let value = MessageAttributeValue::builder()
                .data_type(kind)
                .string_value(value)
                .build();
            // Only a value without a type is refused.
            if let Ok(value) = value {
                attributes.insert(name.to_owned(), value);
            }
        };
        put(ID, "String", self.id.clone());
        put(SENT_AT, "String", self.sent_at.to_string());
        put(ATTEMPTS, "Number", self.attempts.to_string());
        if let Some(until) = self.not_before {
            put(NOT_BEFORE, "String", until.to_string());
        }
        if let Some(burial) = &self.burial {
            put(REASON, "String", allowed(&burial.reason));
            put(DEAD_LETTERED_AT, "String", burial.at.to_string());
            if burial.is_alerted {
                put(ALERTED, "String", "yes".to_owned());
            }
        }
        attributes
    }

    /// Messages of one shop, of which SQS does not let the others wait for long.
    pub(super) fn group(&self) -> Option<String> {
        let sync = HistoricalSync::parse(&self.body).map(|job| job.merchant);
        let merchant = sync.or_else(|_| NotificationJob::parse(&self.body).map(|job| job.merchant));
        merchant.ok().map(|merchant| merchant.to_string())
    }
}

/// SQS takes only what XML 1.0 may hold, and nothing empty.
fn allowed(text: &str) -> String {
    let text: String = text
        .chars()
        .map(|c| match c {
            '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' => c,
            '\u{10000}'..='\u{10ffff}' => c,
            _ => '\u{fffd}',
        })
        .collect();
    match text.is_empty() {
        true => "no reason was given".to_owned(),
        false => text,
    }
}

/// A receipt from the inside: SQS' handle, and what is needed to send the message again, which SQS
/// never returns a second time.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Lease {
    pub(super) queue: String,
    pub(super) handle: String,
    pub(super) id: String,
    pub(super) body: String,
    pub(super) sent_at: Timestamp,
    pub(super) attempt: u32,
}

impl Lease {
    pub(super) fn to_receipt(&self) -> Receipt {
        // Writing a struct of texts and numbers does not fail.
        Receipt(serde_json::to_string(self).unwrap_or_default())
    }

    /// `None` for what this queue never gave.
    pub(super) fn parse(receipt: &Receipt, queue: &str) -> Option<Self> {
        let lease: Self = serde_json::from_str(&receipt.0).ok()?;
        (lease.queue == queue).then_some(lease)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_holds_what_sqs_takes() {
        for (text, expected) in [
            ("", "no reason was given"),
            ("it failed", "it failed"),
            ("a\u{0}b\u{b}c\u{ffff}", "a\u{fffd}b\u{fffd}c\u{fffd}"),
            ("متجر 🛒\n", "متجر 🛒\n"),
        ] {
            assert_eq!(allowed(text), expected);
        }
    }

    #[test]
    fn what_somebody_else_sent_is_read_by_what_sqs_knows() {
        let now = Timestamp::UNIX_EPOCH;
        let count = MessageSystemAttributeName::ApproximateReceiveCount;
        let message = Message::builder()
            .message_id("m-1")
            .receipt_handle("h")
            .body("{}")
            .attributes(count, "3")
            .attributes(MessageSystemAttributeName::SentTimestamp, "5000");
        let received = Received::read(pushed(message.build()).unwrap(), now);
        assert_eq!(received.stored.id, "m-1");
        assert_eq!(received.attempt(), 3);
        assert_eq!(received.stored.sent_at.as_second(), 5);
        assert!(received.stored.burial.is_none() && received.stored.group().is_none());
        assert!(pushed(Message::builder().build()).is_none());
    }

    #[test]
    fn messages_of_a_shop_are_one_group() {
        let merchant = "018f3c1e-0000-7000-8000-000000000001";
        let body = format!(
            r#"{{"version":1,"jobType":"HISTORICAL_SYNC","merchantId":"{merchant}","syncDepthMonths":12}}"#
        );
        let stored = Stored {
            id: "1".to_owned(),
            body,
            sent_at: Timestamp::UNIX_EPOCH,
            attempts: 0,
            not_before: None,
            burial: None,
        };
        assert_eq!(stored.group().as_deref(), Some(merchant));
    }

    #[test]
    fn a_receipt_of_another_queue_is_none_of_ours() {
        let lease = Lease {
            queue: "historical-sync".to_owned(),
            handle: "h".to_owned(),
            id: "1".to_owned(),
            body: "{}".to_owned(),
            sent_at: Timestamp::UNIX_EPOCH,
            attempt: 1,
        };
        let receipt = lease.to_receipt();
        assert!(Lease::parse(&receipt, "historical-sync").is_some());
        assert!(Lease::parse(&receipt, "notifications").is_none());
        assert!(Lease::parse(&Receipt("x".to_owned()), "notifications").is_none());
    }
}
