//! Serving few connections, however many are opened and left alone.
//!
//! A liveness probe that gets no response has a healthy process restarted, so it must get through
//! in every case: neither requests that never end nor slow ones may take the descriptors that
//! imports need.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use importer::ports::clock::Clock;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tower_service::Service as _;

use crate::client::Peer;

/// Where no descriptor is left.
const BETWEEN_ACCEPTS: Duration = Duration::from_secs(1);
/// Room for the request line and all headers.
const MAX_HEADER_BYTES: usize = 32 << 10;

/// What a connection may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// At the same time.
    pub connections: usize,
    /// For the headers of a request to arrive, and between two requests.
    pub headers: Duration,
    /// For all requests of one connection.
    pub connection: Duration,
    /// For open requests when a stop is requested.
    pub grace: Duration,
    /// Whether a connection may carry more than one request.
    pub keep_alive: bool,
}

impl Limits {
    /// For probes and scrapes: few, with a connection each.
    pub const OBSERVED: Self = Self {
        connections: 32,
        headers: Duration::from_secs(5),
        connection: Duration::from_secs(30),
        grace: Duration::from_secs(30),
        keep_alive: false,
    };

    /// For all clients.
    pub const PUBLIC: Self = Self {
        connections: 1_024,
        headers: Duration::from_secs(10),
        connection: Duration::from_secs(300),
        grace: Duration::from_secs(30),
        keep_alive: true,
    };
}

struct Connection {
    task: AbortHandle,
    /// A request has arrived completely, and its response is being sent.
    responds: Arc<AtomicBool>,
}

/// Serves until `stop` returns, and then the open requests.
pub async fn serve(
    listener: TcpListener,
    limits: Limits,
    clock: &dyn Clock,
    router: Router,
    stop: impl Future<Output = ()>,
) {
    let mut tasks = JoinSet::new();
    let mut open: VecDeque<Connection> = VecDeque::new();
    let (stopping, stopped) = watch::channel(false);
    let mut stop = pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            Some(_) = tasks.join_next(), if !tasks.is_empty() => continue,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "no connection can be accepted now");
                clock.sleep(BETWEEN_ACCEPTS).await;
                continue;
            }
        };
        open.retain(|connection| !connection.task.is_finished());
        if !has_room(&mut open, limits.connections) {
            continue;
        }
        let responds = Arc::new(AtomicBool::new(false));
        let serving = serve_one(
            stream,
            Peer(peer.ip()),
            limits,
            router.clone(),
            responds.clone(),
            stopped.clone(),
        );
        let task = tasks.spawn(serving);
        open.push_back(Connection { task, responds });
    }
    drop(listener);
    stopping.send_replace(true);
    for connection in open {
        if !connection.responds.load(Ordering::Relaxed) {
            connection.task.abort();
        }
    }
    let ended = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(limits.grace, ended).await.is_err() {
        tracing::warn!("requests that did not end in time were cut off");
    }
}

/// Where all places are taken, the connection goes that has waited longest without a whole
/// request.
fn has_room(open: &mut VecDeque<Connection>, max: usize) -> bool {
    if open.len() < max {
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

/// While this lives a request is being responded to.
struct Responding(Arc<AtomicBool>);

impl Drop for Responding {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

async fn stop_requested(stopped: &mut watch::Receiver<bool>) {
    // If no client can reach it any more, the server is gone.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

async fn serve_one(
    stream: TcpStream,
    peer: Peer,
    limits: Limits,
    router: Router,
    responds: Arc<AtomicBool>,
    mut stopped: watch::Receiver<bool>,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY was refused");
    }
    let keep_alive = limits.keep_alive;
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        responds.store(true, Ordering::Relaxed);
        // A connection that carries one request ends with its response, which may be read
        // slowly; another one is idle again.
        let responding = keep_alive.then(|| Responding(responds.clone()));
        let mut router = router.clone();
        async move {
            let response = router.call(request).await;
            drop(responding);
            match response {
                Ok(response) => Ok::<_, Infallible>(response),
                Err(never) => match never {},
            }
        }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.headers)
        .max_buf_size(MAX_HEADER_BYTES)
        .keep_alive(keep_alive)
        .serve_connection(TokioIo::new(stream), service);
    let mut serving = pin!(serving);
    let ended = tokio::time::timeout(limits.connection, async {
        tokio::select! {
            ended = serving.as_mut() => ended,
            () = stop_requested(&mut stopped) => {
                serving.as_mut().graceful_shutdown();
                serving.as_mut().await
            }
        }
    });
    match ended.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a connection ended early"),
        Err(_) => tracing::debug!("a connection lasted too long"),
    }
}
