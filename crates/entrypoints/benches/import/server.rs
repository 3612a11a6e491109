//! The PostgreSQL of the benchmark: a private server as `--embedded` runs it, so with
//! fsync and full-page writes, in a folder that goes with it.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use database::{ConnectSettings, Database};
use embedded_postgres::{Search, Server, Settings, Wanted, find_programs};
use entrypoints::config::environment;
use importer::ports::clock::SystemClock;

use crate::network::Way;
use crate::usage::{self, Cpu};

pub(crate) struct BenchServer {
    server: Server,
    address: SocketAddr,
    /// Removed after the server has stopped, because fields are dropped in order.
    _folder: tempfile::TempDir,
    postmaster: u32,
}

impl BenchServer {
    pub(crate) fn start() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("salla-sync-bench-")
            .tempdir()?;
        // Root's server runs as another user, who has to pass through.
        let passable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(folder.path(), passable)?;
        let programs = find_programs(&Search::from_lookup(environment), &Wanted::Any)?;
        let address = own_address();
        let mut settings = Settings::new(folder.path().join("postgresql"), programs);
        let listen = ("listen_addresses".to_owned(), address.ip().to_string());
        settings.extra.push(listen);
        let server = Server::start(settings)?;
        let pid_file: PathBuf = server.data_dir().join("postmaster.pid");
        let pid = std::fs::read_to_string(&pid_file).context("reading the server's pid")?;
        let postmaster = pid.lines().next().unwrap_or_default().trim().parse()?;
        Ok(Self {
            server,
            address,
            _folder: folder,
            postmaster,
        })
    }

    /// A migrated, empty database of this name.
    pub(crate) async fn new_database(&self, name: &'static str) -> anyhow::Result<String> {
        let clock = Arc::new(SystemClock::real());
        let connect = |url: String| {
            let settings = ConnectSettings::new(url.into());
            Database::connect(settings, clock.clone())
        };
        let maintenance = connect(self.server.url("postgres")).await?;
        maintenance.drop_database(name).await?;
        maintenance.create_database(name).await?;
        maintenance.close().await;
        let url = self.server.url(name);
        let database = connect(url.clone()).await?;
        database.migrate().await?;
        database.close().await;
        Ok(url)
    }

    /// Where a database is over this way.
    pub(crate) fn url_over(&self, way: &Way, name: &str) -> String {
        match way {
            Way::Socket => self.server.url(name),
            Way::Tcp => over_tcp(self.address, name),
            Way::Link(_, link) => over_tcp(link.address, name),
        }
    }

    pub(crate) fn tcp_address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) async fn drop_database(&self, name: &'static str) -> anyhow::Result<()> {
        let settings = ConnectSettings::new(self.server.url("postgres").into());
        let maintenance = Database::connect(settings, Arc::new(SystemClock::real())).await?;
        maintenance.drop_database(name).await?;
        maintenance.close().await;
        Ok(())
    }

    /// What the server and all its backends have used so far.
    pub(crate) fn cpu(&self) -> anyhow::Result<Cpu> {
        usage::of_family(self.postmaster)
    }
}

/// PostgreSQL's port at an address of this machine that is probably unused: all of 127.0.0.0/8 are
/// local.
fn own_address() -> SocketAddr {
    let [_, a, b, c] = std::process::id().to_be_bytes();
    (Ipv4Addr::new(127, a | 64, b, c.max(1)), 5432).into()
}

fn over_tcp(address: SocketAddr, name: &str) -> String {
    format!("postgres://postgres@{address}/{name}?sslmode=disable")
}
