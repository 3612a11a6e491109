//! A proxy in front of PostgreSQL whose connections can be frozen: they stay open, and nothing
//! passes any more. A server that failed over leaves such connections, or a firewall that has lost
//! their state. It can also be slow, as a network is.

use std::path::{Path, PathBuf};
use std::time::Duration;

use importer::ports::clock::{Clock as _, SystemClock};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, split};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use url::Url;

use super::must;

#[derive(Debug)]
pub struct FreezingProxy {
    url: Url,
    /// How often connections were frozen.
    freezes: watch::Sender<u64>,
    accepting: JoinHandle<()>,
}

impl FreezingProxy {
    /// For the database that this address leads to.
    pub async fn before(database_url: &str) -> Self {
        Self::slow(database_url, Duration::ZERO).await
    }

    /// The same, and each way takes `delay`.
    pub async fn slow(database_url: &str, delay: Duration) -> Self {
        let mut url = must("read the address", Url::parse(database_url));
        let server = Place::of(&url);
        let listener = must("listen", TcpListener::bind("127.0.0.1:0").await);
        let port = must("know the port", listener.local_addr()).port();
        url.set_query(None);
        let named = url.set_host(Some("127.0.0.1")).is_ok() && url.set_port(Some(port)).is_ok();
        assert!(named, "the address takes a host and a port");
        let freezes = watch::Sender::new(0);
        let accepting = tokio::spawn(accept(listener, server, delay, freezes.clone()));
        Self {
            url,
            freezes,
            accepting,
        }
    }

    pub fn url(&self) -> String {
        self.url.to_string()
    }

    /// Freezes all connections that are open now. Later ones work.
    pub fn freeze(&self) {
        self.freezes.send_modify(|freezes| *freezes += 1);
    }
}

impl Drop for FreezingProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

enum Place {
    Socket(PathBuf),
    Address(String, u16),
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

impl Place {
    fn of(url: &Url) -> Self {
        let port = url.port().unwrap_or(5432);
        let mut options = url.query_pairs();
        match options.find(|(name, _)| name == "host") {
            Some((_, folder)) => Self::Socket(Path::new(&*folder).join(format!(".s.PGSQL.{port}"))),
            None => Self::Address(url.host_str().unwrap_or("localhost").to_owned(), port),
        }
    }

    async fn connect(&self) -> std::io::Result<Box<dyn Stream>> {
        Ok(match self {
            Self::Socket(path) => Box::new(UnixStream::connect(path).await?),
            Self::Address(host, port) => {
                Box::new(TcpStream::connect((host.as_str(), *port)).await?)
            }
        })
    }
}

async fn accept(
    listener: TcpListener,
    server: Place,
    delay: Duration,
    freezes: watch::Sender<u64>,
) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let Ok(upstream) = server.connect().await else {
            continue;
        };
        let mut freezes = freezes.subscribe();
        let before = *freezes.borrow();
        connections.spawn(async move {
            let is_frozen = async {
                // It ends only with the sender, which the proxy holds.
                let _ = freezes.wait_for(|freezes| *freezes > before).await;
            };
            let (mut client, mut upstream) = (split(client), split(upstream));
            let carried = async {
                tokio::join!(
                    carry(&mut client.0, &mut upstream.1, delay),
                    carry(&mut upstream.0, &mut client.1, delay)
                )
            };
            tokio::select! {
                _ = carried => return,
                () = is_frozen => {}
            }
            // Both ends stay open until the proxy goes.
            std::future::pending::<()>().await;
            drop((client, upstream));
        });
    }
}

/// Until the source ends, or the target takes no more.
async fn carry(
    source: &mut (impl AsyncRead + Unpin),
    target: &mut (impl AsyncWrite + Unpin),
    delay: Duration,
) {
    let clock = SystemClock::real();
    let mut bytes = vec![0; 64 << 10];
    while let Ok(length @ 1..) = source.read(&mut bytes).await {
        if !delay.is_zero() {
            clock.sleep(delay).await;
        }
        if target.write_all(&bytes[..length]).await.is_err() {
            break;
        }
    }
    // The other end is told; it may be gone already.
    let _ = target.shutdown().await;
}
