//! Lambda on this machine: its runtime interface, and the function's own program as a process
//! that is ended when its time is over.

use std::collections::VecDeque;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use importer::ports::clock::{Clock as _, SystemClock};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{Notify, oneshot};

use super::Cloud;
use crate::service::TestService;
use crate::support;

/// How an invocation ended.
#[derive(Debug)]
pub(crate) enum Ended {
    Answered(Value),
    Refused(Value),
    /// The time was over, and the process is gone.
    TimedOut,
}

struct Waiting {
    event: Value,
    time: Duration,
    began: oneshot::Sender<()>,
    ended: oneshot::Sender<Ended>,
}

#[derive(Default)]
struct Runtime {
    waiting: Mutex<VecDeque<Waiting>>,
    arrived: Notify,
    /// The process has asked for its first event.
    is_ready: Notify,
    invoked: Mutex<Option<oneshot::Sender<Ended>>>,
}

pub(crate) struct Sandbox {
    runtime: Arc<Runtime>,
    child: Child,
    /// By the machine's monotonic clock.
    began: Duration,
}

/// Another build of the function than the tests' own, such as the one that is deployed.
const FUNCTION: &str = "SALLA_SYNC_LAMBDA";

/// Whether the function is one that is deployed, and not the tests' own.
pub(crate) fn is_as_deployed() -> bool {
    std::env::var_os(FUNCTION).is_some()
}

impl Sandbox {
    pub(crate) async fn start(service: &TestService, cloud: &Cloud) -> Self {
        Self::start_with(service, cloud, &[]).await
    }

    pub(crate) async fn start_with(
        service: &TestService,
        cloud: &Cloud,
        environment: &[(&str, &str)],
    ) -> Self {
        let runtime = Arc::new(Runtime::default());
        let base = "/2018-06-01/runtime";
        let router = Router::new()
            .route(&format!("{base}/invocation/next"), get(next))
            .route(
                &format!("{base}/invocation/{{id}}/response"),
                post(answered),
            )
            .route(&format!("{base}/invocation/{{id}}/error"), post(refused))
            .with_state(runtime.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        let url = service.database.url();
        let mut command = support::program(&service.simulator, &url, &[]);
        // The same settings for another program.
        let function = std::env::var_os(FUNCTION);
        let mut function =
            Command::new(function.unwrap_or_else(|| env!("CARGO_BIN_EXE_lambda").into()));
        function.env_clear();
        for (name, value) in command.get_envs() {
            function.env(name, value.expect("it is set"));
        }
        cloud.env(&mut function);
        function
            .env("AWS_LAMBDA_RUNTIME_API", address.to_string())
            .env("AWS_LAMBDA_FUNCTION_NAME", "salla-sync-worker")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "1")
            .env("AWS_LAMBDA_LOG_GROUP_NAME", "group")
            .env("AWS_LAMBDA_LOG_STREAM_NAME", "stream")
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        if std::env::var_os("SALLA_SYNC_TEST_LOG").is_none() {
            function.stderr(Stdio::null());
        }
        command.stdout(Stdio::null());
        let began = SystemClock::real().monotonic();
        Self {
            runtime,
            child: function.spawn().expect("the function starts"),
            began,
        }
    }

    /// Waits until the process asks for its first event: how long that took, and how much of the
    /// processor.
    #[cfg(target_os = "linux")]
    pub(crate) async fn ready(&mut self) -> (Duration, Duration) {
        let clock = SystemClock::real();
        tokio::select! {
            () = self.runtime.is_ready.notified() => {}
            () = clock.sleep(Duration::from_secs(60)) => panic!("the function asks for no event"),
        }
        let took = clock.monotonic().saturating_sub(self.began);
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        // The name in brackets may hold anything; what follows it is regular.
        let (_, rest) = stat.rsplit_once(')').unwrap();
        let ticks = |at| -> u64 { rest.split_whitespace().nth(at).unwrap().parse().unwrap() };
        // Linux counts in hundredths of a second, whatever its own clock does.
        (took, Duration::from_millis(10 * (ticks(11) + ticks(12))))
    }

    /// Invokes the function and ends its process if it takes longer than `time`, which begins
    /// when the function takes the event.
    pub(crate) async fn invoke(&mut self, event: Value, time: Duration) -> Ended {
        let clock = SystemClock::real();
        let ended = self.begin(event, time).await;
        tokio::select! {
            biased;
            ended = ended => ended.expect("it ends"),
            () = clock.sleep(time) => {
                self.kill();
                Ended::TimedOut
            }
        }
    }

    /// Returns when the function has taken the event.
    pub(crate) async fn begin(&mut self, event: Value, time: Duration) -> oneshot::Receiver<Ended> {
        let ((began, has_begun), (ended, has_ended)) = (oneshot::channel(), oneshot::channel());
        self.runtime.waiting.lock().unwrap().push_back(Waiting {
            event,
            time,
            began,
            ended,
        });
        self.runtime.arrived.notify_one();
        let clock = SystemClock::real();
        tokio::select! {
            began = has_begun => began.expect("it begins"),
            () = clock.sleep(Duration::from_secs(60)) => {
                let status = self.child.try_wait();
                panic!("the function takes no event: {status:?}");
            }
        }
        has_ended
    }

    /// Ends the process in the midst of what it does.
    pub(crate) fn kill(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn next(State(runtime): State<Arc<Runtime>>) -> (HeaderMap, Json<Value>) {
    runtime.is_ready.notify_one();
    let waiting = loop {
        let first = runtime.waiting.lock().unwrap().pop_front();
        match first {
            Some(waiting) => break waiting,
            None => runtime.arrived.notified().await,
        }
    };
    let deadline = SystemClock::real().now() + waiting.time;
    *runtime.invoked.lock().unwrap() = Some(waiting.ended);
    let _ = waiting.began.send(());
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("lambda-runtime-aws-request-id", "request".to_owned()),
        (
            "lambda-runtime-deadline-ms",
            deadline.as_millisecond().to_string(),
        ),
        ("lambda-runtime-trace-id", "Root=1-0-0".to_owned()),
        (
            "lambda-runtime-invoked-function-arn",
            "arn:aws:lambda:eu-central-1:000000000000:function:salla-sync-worker".to_owned(),
        ),
    ] {
        headers.insert(name, value.parse().unwrap());
    }
    (headers, Json(waiting.event))
}

async fn answered(
    State(runtime): State<Arc<Runtime>>,
    Path(_): Path<String>,
    answer: Bytes,
) -> StatusCode {
    let answer = serde_json::from_slice(&answer).expect("it is JSON");
    end(&runtime, Ended::Answered(answer))
}

async fn refused(
    State(runtime): State<Arc<Runtime>>,
    Path(_): Path<String>,
    error: Bytes,
) -> StatusCode {
    let error = serde_json::from_slice(&error).expect("it is JSON");
    end(&runtime, Ended::Refused(error))
}

fn end(runtime: &Runtime, ended: Ended) -> StatusCode {
    if let Some(invoked) = runtime.invoked.lock().unwrap().take() {
        // An abandoned one is not waited for.
        drop(invoked.send(ended));
    }
    StatusCode::ACCEPTED
}
