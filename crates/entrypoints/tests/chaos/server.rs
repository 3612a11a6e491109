//! A PostgreSQL server for one case alone, to be restarted or starved.

use std::sync::Arc;
use std::time::Duration;

use database::{ConnectSettings, Database};
use embedded_postgres::{Durability, Search, Server, Settings, Wanted, find_programs};
use importer::ports::clock::SystemClock;
use sqlx::PgPool;
use sqlx::postgres::PgConnection;
use tokio::sync::Mutex;

const DATABASE: &str = "chaos";

pub(crate) struct OwnServer {
    settings: Settings,
    server: Mutex<Option<Server>>,
    url: String,
    database: Database,
    _folder: tempfile::TempDir,
}

impl OwnServer {
    pub(crate) async fn start(max_connections: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let search = Search::from_lookup(|name| std::env::var_os(name));
        let programs = find_programs(&search, &Wanted::Any).unwrap();
        let settings = Settings {
            // What was committed must survive an immediate shutdown, though not a power
            // cut.
            durability: Durability::Durable,
            extra: vec![
                ("fsync".to_owned(), "off".to_owned()),
                ("max_connections".to_owned(), max_connections.to_string()),
                ("superuser_reserved_connections".to_owned(), "0".to_owned()),
                ("max_wal_senders".to_owned(), "0".to_owned()),
            ],
            ..Settings::new(folder.path().join("server").join("data"), programs)
        };
        std::fs::create_dir_all(folder.path().join("server")).unwrap();
        let server = started(settings.clone()).await;
        let postgres = connect(server.url("postgres")).await;
        postgres.create_database(DATABASE).await.unwrap();
        postgres.close().await;
        let url = server.url(DATABASE);
        let database = connect(url.clone()).await;
        database.migrate().await.unwrap();
        Self {
            settings,
            server: Mutex::new(Some(server)),
            url,
            database,
            _folder: folder,
        }
    }

    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    pub(crate) fn pool(&self) -> &PgPool {
        self.database.pool()
    }

    /// Away for a moment. Immediately: as a crash of the server would be.
    pub(crate) async fn restart(&self, immediately: bool) {
        let mut place = self.server.lock().await;
        let server = place.take().unwrap();
        if immediately {
            // SAFETY: kill(2) has no memory effects; the server is ours alone.
            unsafe { libc::kill(server.pid(), libc::SIGQUIT) };
        }
        tokio::task::spawn_blocking(move || server.stop())
            .await
            .unwrap()
            .unwrap();
        *place = Some(started(self.settings.clone()).await);
    }

    /// Takes connections until no more than `left` are to be had.
    pub(crate) async fn starve(&self, left: u32) -> Vec<PgConnection> {
        use sqlx::Connection as _;
        let mut held = Vec::new();
        while let Ok(connection) = PgConnection::connect(&self.url).await {
            held.push(connection);
        }
        for _ in 0..left {
            held.pop().unwrap().close().await.unwrap();
        }
        held
    }
}

async fn started(settings: Settings) -> Server {
    tokio::task::spawn_blocking(move || Server::start(settings))
        .await
        .unwrap()
        .unwrap()
}

async fn connect(url: String) -> Database {
    let settings = ConnectSettings {
        max_connections: 2,
        timeout: Duration::from_secs(20),
        ..ConnectSettings::new(url.into())
    };
    Database::connect(settings, Arc::new(SystemClock::real()))
        .await
        .unwrap()
}
