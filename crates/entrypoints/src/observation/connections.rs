//! Serving few connections, however many are opened and left alone.
//!
//! A liveness probe that gets no response has a healthy worker restarted, so it must get
//! through whatever else is connected: neither requests that never end nor slow ones may take
//! the descriptors that imports need.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::extract::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use importer::ports::clock::Clock;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

/// At the same time; more than all who look at a worker.
const MAX_CONNECTIONS: usize = 32;
/// For a request to arrive.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// For a response to be made and to be read as well.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(30);
/// Where no descriptor is left.
const BETWEEN_ACCEPTS: Duration = Duration::from_secs(1);

struct Connection {
    task: AbortHandle,
    /// Its request has arrived whole, and the response is under way.
    responds: Arc<AtomicBool>,
}

/// Serves until `stop` returns, and then what has been asked.
pub(super) async fn serve<R, F>(
    listener: TcpListener,
    clock: &dyn Clock,
    respond: R,
    stop: impl Future<Output = ()>,
) where
    R: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Response> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    let mut open: VecDeque<Connection> = VecDeque::new();
    tokio::pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            Some(_) = tasks.join_next(), if !tasks.is_empty() => continue,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "no connection to /metrics can be accepted now");
                clock.sleep(BETWEEN_ACCEPTS).await;
                continue;
            }
        };
        open.retain(|connection| !connection.task.is_finished());
        if !has_room(&mut open) {
            continue;
        }
        let responds = Arc::new(AtomicBool::new(false));
        let task = tasks.spawn(serve_one(stream, respond.clone(), responds.clone()));
        open.push_back(Connection { task, responds });
    }
    drop(listener);
    for connection in open {
        if !connection.responds.load(Ordering::Relaxed) {
            connection.task.abort();
        }
    }
    while tasks.join_next().await.is_some() {}
}

/// Where all places are taken, the one who has waited longest without a whole request goes.
fn has_room(open: &mut VecDeque<Connection>) -> bool {
    if open.len() < MAX_CONNECTIONS {
        return true;
    }
    let is_idle = |connection: &Connection| !connection.responds.load(Ordering::Relaxed);
    let oldest = open.iter().position(is_idle);
    let Some(oldest) = oldest.and_then(|index| open.remove(index)) else {
        return false;
    };
    oldest.task.abort();
    true
}

async fn serve_one<R, F>(stream: TcpStream, respond: R, responds: Arc<AtomicBool>)
where
    R: Fn(Request<Incoming>) -> F + Send + 'static,
    F: Future<Output = Response> + Send,
{
    let service = service_fn(move |request| {
        responds.store(true, Ordering::Relaxed);
        let response = respond(request);
        async move { Ok::<_, Infallible>(response.await) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_TIMEOUT)
        // The connection ends with its response: who asks again connects again.
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    match tokio::time::timeout(CONNECTION_TIMEOUT, serving).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a connection to /metrics ended early"),
        Err(_) => tracing::debug!("a response of /metrics was not read in time"),
    }
}
