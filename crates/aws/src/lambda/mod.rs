//! Lambda: the events it sends, and the responses it gets.
//!
//! One function may be given messages of a queue, the time of a schedule, and requests over
//! HTTP; which of them, the deployment decides.

mod event;
mod http;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::failure::Failure;
use importer::ports::clock::Clock;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::{Value, json};

use self::event::Event;
pub use self::event::Message;
pub use self::http::{HttpRequest, HttpResponse};

/// What this program does when it is invoked. An invocation ends, whatever it is doing, when
/// the time that is left is over; the process may then stand still for hours.
#[async_trait]
pub trait Function: Send + Sync {
    /// Works on messages, and returns the ids of those that are to be delivered again.
    async fn messages(&self, messages: Vec<Message>, left: Duration) -> Vec<String>;

    /// What has to be done every minute or so.
    async fn scheduled(&self, left: Duration) -> Result<(), Failure>;

    async fn request(&self, request: HttpRequest) -> Result<HttpResponse, Failure>;
}

/// Serves invocations until Lambda ends the process.
pub async fn run(function: Arc<dyn Function>, clock: Arc<dyn Clock>) -> Result<(), Failure> {
    let serve = service_fn(move |invocation: LambdaEvent<Value>| {
        let (function, clock) = (function.clone(), clock.clone());
        async move {
            let left = left(invocation.context.deadline, clock.as_ref());
            answer(function.as_ref(), invocation.payload, left).await
        }
    });
    lambda_runtime::run(serve)
        .await
        .map_err(|error| Failure::Setup {
            message: format!("Lambda's runtime interface failed: {error}"),
        })
}

/// Until the deadline, which Lambda gives in milliseconds since 1970.
fn left(deadline: u64, clock: &dyn Clock) -> Duration {
    let now = u64::try_from(clock.now().as_millisecond()).unwrap_or(0);
    Duration::from_millis(deadline.saturating_sub(now))
}

async fn answer(function: &dyn Function, payload: Value, left: Duration) -> Result<Value, Error> {
    match Event::parse(payload)? {
        Event::Messages(messages) => {
            let failed = function.messages(messages, left).await;
            let failed: Vec<Value> = failed
                .into_iter()
                .map(|id| json!({ "itemIdentifier": id }))
                .collect();
            Ok(json!({ "batchItemFailures": failed }))
        }
        Event::Scheduled => {
            function.scheduled(left).await?;
            Ok(Value::Null)
        }
        Event::Request(request) => Ok(function.request(*request).await?.into_json()),
    }
}
