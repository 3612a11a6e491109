//! A proxy in front of PostgreSQL whose connections can be frozen: they stay open, and nothing
//! passes any more. A server that failed over leaves such connections, or a firewall that has lost
//! their state.

use std::path::{Path, PathBuf};

use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
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
        let mut url = must("read the address", Url::parse(database_url));
        let server = Place::of(&url);
        let listener = must("listen", TcpListener::bind("127.0.0.1:0").await);
        let port = must("know the port", listener.local_addr()).port();
        url.set_query(None);
        let named = url.set_host(Some("127.0.0.1")).is_ok() && url.set_port(Some(port)).is_ok();
        assert!(named, "the address takes a host and a port");
        let freezes = watch::Sender::new(0);
        let accepting = tokio::spawn(accept(listener, server, freezes.clone()));
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

async fn accept(listener: TcpListener, server: Place, freezes: watch::Sender<u64>) {
    let mut connections = JoinSet::new();
    while let Ok((mut client, _)) = listener.accept().await {
        let Ok(mut upstream) = server.connect().await else {
            continue;
        };
        let mut freezes = freezes.subscribe();
        let before = *freezes.borrow();
        connections.spawn(async move {
            let is_frozen = async {
                // It ends only with the sender, which the proxy holds.
                let _ = freezes.wait_for(|freezes| *freezes > before).await;
            };
            tokio::select! {
                _ = copy_bidirectional(&mut client, &mut upstream) => return,
                () = is_frozen => {}
            }
            // Both ends stay open until the proxy goes.
            std::future::pending::<()>().await;
            drop((client, upstream));
        });
    }
}
