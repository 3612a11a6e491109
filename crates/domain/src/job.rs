//! What may be on the queues, and its JSON.
//!
//! A message carries ids and nothing else: what a job needs to know is read from the
//! database when it is done, so that a message of last week does no harm. Senders and
//! receivers may be of different versions; a reader ignores fields it does not know
//! and refuses versions it does not know.

use serde::Serialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::failure::Disconnection;
use crate::run::RunId;
use crate::shop::MerchantId;

/// The form of messages that this program writes, and the only one it reads.
const VERSION: u8 = 1;

/// Numbers of months that a message may contain.
const DEPTHS: [u16; 2] = [12, 24];

/// Import a shop's history, or resume it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoricalSync {
    pub merchant: MerchantId,
    /// The run to resume; `None` creates one or joins the open one.
    pub run: Option<RunId>,
    /// How many months back: 12 or 24.
    pub months: u16,
}

/// Notify a merchant about a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotificationJob {
    pub kind: NotificationKind,
    pub merchant: MerchantId,
    pub run: RunId,
}

crate::names! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub enum NotificationKind {
        SyncComplete = "SYNC_COMPLETE",
        SyncFailed = "SYNC_FAILED",
        /// The connection no longer works and only the merchant can reconnect it.
        ReconnectNeeded = "RECONNECT_NEEDED",
    }
}

/// Why a message cannot be understood, in words that quote nothing of it but names of
/// fields and its version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct MessageError {
    pub why: String,
}

impl NotificationKind {
    /// The notification for a run that ended FAILED with this failure code: it depends on who can
    /// help. A merchant cannot fix what the app or this machine may not do.
    pub fn of_failure(code: &str) -> Self {
        let disconnection = Disconnection::ALL
            .into_iter()
            .find(|why| why.code() == code);
        match disconnection {
            None
            | Some(Disconnection::Forbidden | Disconnection::NotAdopted | Disconnection::Parked) => {
                Self::SyncFailed
            }
            Some(_) => Self::ReconnectNeeded,
        }
    }
}

const HISTORICAL_SYNC: &str = "HISTORICAL_SYNC";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SyncMessage {
    version: u8,
    job_type: &'static str,
    merchant_id: MerchantId,
    #[serde(skip_serializing_if = "Option::is_none")]
    run_id: Option<RunId>,
    sync_depth_months: u16,
}

impl HistoricalSync {
    /// The text to put on the queue. Fails where [`HistoricalSync::parse`] would
    /// refuse to read it.
    pub fn to_json(&self) -> Result<String, MessageError> {
        check_depth(self.months.into())?;
        write(&SyncMessage {
            version: VERSION,
            job_type: HISTORICAL_SYNC,
            merchant_id: self.merchant,
            run_id: self.run,
            sync_depth_months: self.months,
        })
    }

    pub fn parse(text: &str) -> Result<Self, MessageError> {
        let message = Message::parse(text)?;
        if message.text("jobType")? != HISTORICAL_SYNC {
            return unreadable(format!("jobType is not {HISTORICAL_SYNC}"));
        }
        let months = message.required("syncDepthMonths")?.as_u64();
        Ok(Self {
            merchant: MerchantId(message.id("merchantId")?),
            run: message.optional_id("runId")?.map(RunId),
            months: check_depth(months.unwrap_or_default())?,
        })
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NotificationMessage {
    version: u8,
    notification_type: &'static str,
    merchant_id: MerchantId,
    run_id: RunId,
}

impl NotificationJob {
    /// The text to put on the queue.
    pub fn to_json(&self) -> Result<String, MessageError> {
        write(&NotificationMessage {
            version: VERSION,
            notification_type: self.kind.as_str(),
            merchant_id: self.merchant,
            run_id: self.run,
        })
    }

    pub fn parse(text: &str) -> Result<Self, MessageError> {
        let message = Message::parse(text)?;
        let Some(kind) = NotificationKind::parse(message.text("notificationType")?) else {
            let known = NotificationKind::ALL.map(NotificationKind::as_str);
            return unreadable(format!("notificationType is none of {}", known.join(", ")));
        };
        Ok(Self {
            kind,
            merchant: MerchantId(message.id("merchantId")?),
            run: RunId(message.id("runId")?),
        })
    }
}

fn check_depth(months: u64) -> Result<u16, MessageError> {
    match DEPTHS.into_iter().find(|depth| u64::from(*depth) == months) {
        Some(depth) => Ok(depth),
        None => unreadable("syncDepthMonths is neither 12 nor 24"),
    }
}

fn write(message: &impl Serialize) -> Result<String, MessageError> {
    serde_json::to_string(message).or_else(|_| unreadable("the message cannot be written as JSON"))
}

fn unreadable<T>(why: impl Into<String>) -> Result<T, MessageError> {
    Err(MessageError { why: why.into() })
}

/// A message of a version that we know. It is read field by field, because the errors
/// of a derived reader quote what they did not expect.
pub(crate) struct Message(Map<String, Value>);

impl Message {
    pub(crate) fn parse(text: &str) -> Result<Self, MessageError> {
        let message = match serde_json::from_str(text) {
            Ok(Value::Object(fields)) => Self(fields),
            Ok(_) => return unreadable("the message is not a JSON object"),
            Err(_) => return unreadable("the message is not JSON"),
        };
        match message.required("version")? {
            Value::Number(version) if version.as_u64() == Some(VERSION.into()) => Ok(message),
            Value::Number(version) => unreadable(format!(
                "version {version} is unknown; this program reads version {VERSION}"
            )),
            _ => unreadable("version is not a number"),
        }
    }

    fn required(&self, field: &'static str) -> Result<&Value, MessageError> {
        match self.0.get(field) {
            None | Some(Value::Null) => unreadable(format!("{field} is missing")),
            Some(value) => Ok(value),
        }
    }

    pub(crate) fn text(&self, field: &'static str) -> Result<&str, MessageError> {
        match self.required(field)? {
            Value::String(text) => Ok(text),
            _ => unreadable(format!("{field} is not text")),
        }
    }

    pub(crate) fn id(&self, field: &'static str) -> Result<Uuid, MessageError> {
        Uuid::try_parse(self.text(field)?).or_else(|_| unreadable(format!("{field} is not a UUID")))
    }

    fn optional_id(&self, field: &'static str) -> Result<Option<Uuid>, MessageError> {
        match self.0.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(_) => self.id(field).map(Some),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MERCHANT: &str = "0199d0a2-7c1e-7a11-8f00-000000000001";
    const RUN: &str = "0199d0a2-7c1e-7a11-8f00-000000000002";

    fn merchant() -> MerchantId {
        MerchantId(MERCHANT.parse().unwrap())
    }

    fn run() -> RunId {
        RunId(RUN.parse().unwrap())
    }

    #[test]
    fn a_sync_is_written_as_agreed() {
        let mut job = HistoricalSync {
            merchant: merchant(),
            run: Some(run()),
            months: 12,
        };
        let with_run = format!(
            r#"{{"version":1,"jobType":"HISTORICAL_SYNC","merchantId":"{MERCHANT}","runId":"{RUN}","syncDepthMonths":12}}"#
        );
        assert_eq!(job.to_json(), Ok(with_run));
        job.run = None;
        job.months = 24;
        let without = format!(
            r#"{{"version":1,"jobType":"HISTORICAL_SYNC","merchantId":"{MERCHANT}","syncDepthMonths":24}}"#
        );
        assert_eq!(job.to_json(), Ok(without));
        job.months = 13;
        assert!(job.to_json().is_err(), "what cannot be read is not sent");
    }

    #[test]
    fn a_notification_is_written_as_agreed() {
        let table = [
            (NotificationKind::SyncComplete, "SYNC_COMPLETE"),
            (NotificationKind::SyncFailed, "SYNC_FAILED"),
            (NotificationKind::ReconnectNeeded, "RECONNECT_NEEDED"),
        ];
        for (kind, name) in table {
            let job = NotificationJob {
                kind,
                merchant: merchant(),
                run: run(),
            };
            let text = format!(
                r#"{{"version":1,"notificationType":"{name}","merchantId":"{MERCHANT}","runId":"{RUN}"}}"#
            );
            assert_eq!(job.to_json(), Ok(text.clone()));
            assert_eq!(NotificationJob::parse(&text), Ok(job));
        }
    }

    #[test]
    fn fields_that_we_do_not_know_are_ignored_and_null_is_absent() {
        let text = format!(
            r#" {{"syncDepthMonths":24,"priority":{{"a":[1]}},"runId":null,"merchantId":"{MERCHANT}","jobType":"HISTORICAL_SYNC","version":1}} "#
        );
        let job = HistoricalSync {
            merchant: merchant(),
            run: None,
            months: 24,
        };
        assert_eq!(HistoricalSync::parse(&text), Ok(job));
    }

    /// The secret word stands for anything that must not get into a log.
    #[test]
    fn what_is_wrong_with_a_sync_is_said_without_quoting_it() {
        let table = [
            ("", "the message is not JSON"),
            ("secret", "the message is not JSON"),
            (r#"["secret"]"#, "the message is not a JSON object"),
            ("{}", "version is missing"),
            (r#"{"version":"secret"}"#, "version is not a number"),
            (
                r#"{"version":2,"jobType":"secret"}"#,
                "version 2 is unknown; this program reads version 1",
            ),
            (
                r#"{"version":-1}"#,
                "version -1 is unknown; this program reads version 1",
            ),
            (
                r#"{"version":1.0}"#,
                "version 1.0 is unknown; this program reads version 1",
            ),
            (r#"{"version":1}"#, "jobType is missing"),
            (r#"{"version":1,"jobType":7}"#, "jobType is not text"),
            (
                r#"{"version":1,"jobType":"secret"}"#,
                "jobType is not HISTORICAL_SYNC",
            ),
            (
                r#"{"version":1,"jobType":"HISTORICAL_SYNC"}"#,
                "syncDepthMonths is missing",
            ),
            (
                r#"{"version":1,"jobType":"HISTORICAL_SYNC","syncDepthMonths":12}"#,
                "merchantId is missing",
            ),
            (
                r#"{"version":1,"jobType":"HISTORICAL_SYNC","syncDepthMonths":12,"merchantId":"secret"}"#,
                "merchantId is not a UUID",
            ),
            (
                r#"{"version":1,"jobType":"HISTORICAL_SYNC","syncDepthMonths":12,"merchantId":["secret"]}"#,
                "merchantId is not text",
            ),
            (
                r#"{"version":1,"jobType":"HISTORICAL_SYNC","syncDepthMonths":12,"merchantId":"0199d0a2-7c1e-7a11-8f00-000000000001","runId":"secret"}"#,
                "runId is not a UUID",
            ),
        ];
        for (text, why) in table {
            let unreadable = HistoricalSync::parse(text).unwrap_err();
            assert_eq!(unreadable.to_string(), why, "{text}");
            assert!(!unreadable.why.contains("secret"), "{text}");
        }
    }

    #[test]
    fn only_one_and_two_years_can_be_asked_for() {
        for depth in [
            "0", "1", "13", "36", "-12", "12.5", "65548", "1e99", "true", "\"12\"",
        ] {
            let text = format!(
                r#"{{"version":1,"jobType":"HISTORICAL_SYNC","merchantId":"{MERCHANT}","syncDepthMonths":{depth}}}"#
            );
            let unreadable = HistoricalSync::parse(&text).unwrap_err();
            assert_eq!(unreadable.why, "syncDepthMonths is neither 12 nor 24");
        }
    }

    #[test]
    fn what_is_wrong_with_a_notification_is_said_without_quoting_it() {
        let table = [
            (r#"{"version":1}"#, "notificationType is missing"),
            (
                r#"{"version":1,"notificationType":"secret"}"#,
                "notificationType is none of SYNC_COMPLETE, SYNC_FAILED, RECONNECT_NEEDED",
            ),
            (
                r#"{"version":1,"notificationType":"SYNC_FAILED","merchantId":"0199d0a2-7c1e-7a11-8f00-000000000001"}"#,
                "runId is missing",
            ),
        ];
        for (text, why) in table {
            let unreadable = NotificationJob::parse(text).unwrap_err();
            assert_eq!(unreadable.to_string(), why, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_sync_survives_the_way(merchant: u128, run: Option<u128>, years in 1..=2_u16) {
            let job = HistoricalSync {
                merchant: MerchantId(Uuid::from_u128(merchant)),
                run: run.map(Uuid::from_u128).map(RunId),
                months: years * 12,
            };
            let text = job.to_json().unwrap();
            prop_assert_eq!(HistoricalSync::parse(&text), Ok(job));
            prop_assert!(NotificationJob::parse(&text).is_err());
        }

        #[test]
        fn a_notification_survives_the_way(merchant: u128, run: u128, kind in 0..3_usize) {
            let job = NotificationJob {
                kind: NotificationKind::ALL[kind],
                merchant: MerchantId(Uuid::from_u128(merchant)),
                run: RunId(Uuid::from_u128(run)),
            };
            let text = job.to_json().unwrap();
            prop_assert_eq!(NotificationJob::parse(&text), Ok(job));
            prop_assert!(HistoricalSync::parse(&text).is_err());
        }

        #[test]
        fn any_text_is_read_or_refused(text: String) {
            let _ = HistoricalSync::parse(&text);
            let _ = NotificationJob::parse(&text);
        }
    }
}
