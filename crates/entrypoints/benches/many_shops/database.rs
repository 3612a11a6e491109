//! The one database of all workers: a private server as `--embedded` runs it, so with fsync and
//! full-page writes, in a folder that goes with it.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use anyhow::Context as _;
use database::{ConnectSettings, Database};
use embedded_postgres::{Search, Server, Settings, Wanted, find_programs};
use entrypoints::config::environment;
use importer::ports::clock::SystemClock;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};

use crate::asked::Asked;
use crate::usage::{self, Cpu};

const NAME: &str = "shops";

/// For what starts the runs, what measures, and the listeners of each worker.
const BESIDE_POOLS: u64 = 40;

pub(crate) struct MeasuredDatabase {
    pub(crate) url: String,
    pub(crate) pool: PgPool,
    postmaster: u32,
    _server: Server,
    /// Removed after the server has stopped, because fields are dropped in order.
    _folder: tempfile::TempDir,
}

/// How far all runs are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Those with amounts and line items.
    pub(crate) orders: u64,
    pub(crate) complete: u64,
    pub(crate) failed: u64,
}

/// What the server counts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ServerCounts {
    pub(crate) transactions: u64,
    pub(crate) connections: u64,
    pub(crate) bytes: u64,
}

impl MeasuredDatabase {
    pub(crate) async fn start(asked: &Asked) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("salla-sync-bench-")
            .tempdir()?;
        // Root's server runs as another user, who has to pass through.
        let passable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(folder.path(), passable)?;
        let programs = find_programs(&Search::from_lookup(environment), &Wanted::Any)?;
        let mut settings = Settings::new(folder.path().join("postgresql"), programs);
        let connections = asked.workers * (asked.connections + 4) + BESIDE_POOLS;
        let connections = ("max_connections".to_owned(), connections.to_string());
        settings.extra.push(connections);
        let server = Server::start(settings)?;
        let pid = std::fs::read_to_string(server.data_dir().join("postmaster.pid"));
        let pid = pid.context("reading the server's pid")?;
        let postmaster = pid.lines().next().unwrap_or_default().trim().parse()?;
        let connect = |url: String| {
            let settings = ConnectSettings::new(url.into());
            Database::connect(settings, Arc::new(SystemClock::real()))
        };
        let maintenance = connect(server.url("postgres")).await?;
        maintenance.create_database(NAME).await?;
        maintenance.close().await;
        let url = server.url(NAME);
        let migrated = connect(url.clone()).await?;
        migrated.migrate().await?;
        migrated.close().await;
        let options: PgConnectOptions = url.parse()?;
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .connect_with(options.application_name("measurement"))
            .await?;
        Ok(Self {
            url,
            pool,
            postmaster,
            _server: server,
            _folder: folder,
        })
    }

    /// What the server and all its backends have used so far.
    pub(crate) fn cpu(&self) -> anyhow::Result<Cpu> {
        usage::of_family(self.postmaster)
    }

    pub(crate) async fn counts(&self) -> anyhow::Result<Counts> {
        let (orders, complete, failed): (i64, i64, i64) = sqlx::query_as(
            "SELECT coalesce(sum(order_details), 0)::bigint,
                    count(*) FILTER (WHERE state = 'COMPLETED'),
                    count(*) FILTER (WHERE state = 'FAILED')
             FROM salla_sync.sync_runs",
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(Counts {
            orders: orders.unsigned_abs(),
            complete: complete.unsigned_abs(),
            failed: failed.unsigned_abs(),
        })
    }

    pub(crate) async fn server_counts(&self) -> anyhow::Result<ServerCounts> {
        let (transactions, connections, bytes): (i64, i64, i64) = sqlx::query_as(
            "SELECT (SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()),
                    (SELECT count(*) FROM pg_stat_activity
                     WHERE datname = current_database() AND application_name <> 'measurement'),
                    pg_database_size(current_database())",
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(ServerCounts {
            transactions: transactions.unsigned_abs(),
            connections: connections.unsigned_abs(),
            bytes: bytes.unsigned_abs(),
        })
    }
}
