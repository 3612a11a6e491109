//! A separate database for each test, on the server that `TEST_DATABASE_URL` names or else on a
//! private one that all tests share.
//!
//! There is no third way: without either, a test fails and says what is lacking.

mod freezing;

pub use freezing::FreezingProxy;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use embedded_postgres::{Search, Server, Wanted};
use importer::ports::clock::{Clock, SystemClock};
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, PgPool};
use tokio::runtime::RuntimeFlavor;
use url::Url;

use crate::connect::{ConnectSettings, Database};
use crate::migrations::MIGRATIONS;

/// A migrated, empty database that goes when this value does.
#[derive(Debug)]
pub struct TestDatabase {
    name: String,
    server: Url,
    database: Database,
}

impl TestDatabase {
    pub async fn create() -> Self {
        Self::with_clock(Arc::new(SystemClock::real())).await
    }

    pub async fn with_clock(clock: Arc<dyn Clock>) -> Self {
        let server = server();
        let name = format!("salla_sync_test_{}", uuid::Uuid::now_v7().simple());
        let mut connection = must(
            "connect to the test server",
            PgConnection::connect(server.as_str()).await,
        );
        let template = template(&mut connection, &server).await;
        let create = format!("CREATE DATABASE {name} TEMPLATE {template}");
        must(
            "copy the template",
            connection.execute(AssertSqlSafe(create)).await,
        );
        must("close", connection.close().await);
        let database = connect(&server, &name, clock).await;
        Self {
            name,
            server,
            database,
        }
    }

    pub fn database(&self) -> &Database {
        &self.database
    }

    pub fn pool(&self) -> &PgPool {
        self.database.pool()
    }

    /// For programs that open their own connections.
    pub fn url(&self) -> String {
        with_database(&self.server, &self.name).into()
    }
}

impl Drop for TestDatabase {
    /// The test may have panicked inside its runtime, so the database is dropped from
    /// a thread with another one. What stays behind because of a kill goes with the
    /// server.
    ///
    /// Dropping a database waits for every backend of the server, also for one whose client is
    /// frozen in the middle of a COPY, which other tests do on purpose.
    fn drop(&mut self) {
        let (server, name) = (self.server.clone(), self.name.clone());
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let Ok(runtime) = runtime else { return };
            runtime.block_on(async {
                if let Ok(mut connection) = PgConnection::connect(server.as_str()).await {
                    let _ = connection.execute("SET statement_timeout = '5s'").await;
                    let drop = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
                    let _ = connection.execute(AssertSqlSafe(drop)).await;
                }
            });
        });
        let wait = move || {
            let _ = dropping.join();
        };
        // One of those that it waits for may be kept waiting for rows by a task of this runtime.
        match tokio::runtime::Handle::try_current() {
            Ok(handle) if handle.runtime_flavor() == RuntimeFlavor::MultiThread => {
                tokio::task::block_in_place(wait);
            }
            _ => wait(),
        }
    }
}

fn server() -> Url {
    let url = match std::env::var_os("TEST_DATABASE_URL") {
        Some(url) => url.to_string_lossy().into_owned(),
        None => shared_server().url("postgres"),
    };
    must("read TEST_DATABASE_URL", Url::parse(&url))
}

/// Below `TEST_SERVER_DIR`, or else the folder for temporary files. Held until the process ends,
/// because the server goes a while after its last user.
fn shared_server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        let search = Search::from_lookup(|name| std::env::var_os(name));
        let place =
            std::env::var_os("TEST_SERVER_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
        let server = Server::shared_for_tests(&search, &Wanted::Any, &place);
        must(
            "start PostgreSQL for the tests; install it or set TEST_DATABASE_URL",
            server,
        )
    })
}

fn with_database(server: &Url, name: &str) -> Url {
    let mut url = server.clone();
    url.set_path(name);
    url
}

async fn connect(server: &Url, name: &str, clock: Arc<dyn Clock>) -> Database {
    let url = with_database(server, name);
    let settings = ConnectSettings {
        application_name: name.to_owned(),
        max_connections: 6,
        timeout: Duration::from_secs(30),
        ..ConnectSettings::new(SecretString::from(String::from(url)))
    };
    must(
        "connect to the test database",
        Database::connect(settings, clock).await,
    )
}

/// Copying a migrated database takes a tenth of migrating a new one. The template is named after
/// the migrations, so that changed ones get a new template; the first test makes it, the others
/// wait for the lock.
async fn template(connection: &mut PgConnection, server: &Url) -> String {
    const LOCK: i64 = 0x5a11_a7e5;
    let name = format!("salla_sync_template_{}", migrations_digest());
    let lock = sqlx::query("SELECT pg_advisory_lock($1)").bind(LOCK);
    must(
        "wait for the template",
        lock.execute(&mut *connection).await,
    );
    let exists = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
        .bind(&name)
        .fetch_one(&mut *connection);
    let exists: bool = must("look for the template", exists.await);
    if !exists {
        // Under another name first: a template that was left half made would stay so.
        let draft = format!("{name}_draft");
        for sql in [
            format!("DROP DATABASE IF EXISTS {draft} WITH (FORCE)"),
            format!("CREATE DATABASE {draft}"),
        ] {
            must(
                "make the template",
                connection.execute(AssertSqlSafe(sql)).await,
            );
        }
        let database = connect(server, &draft, Arc::new(SystemClock::real())).await;
        must("migrate the template", database.migrate().await);
        database.close().await;
        let rename = format!("ALTER DATABASE {draft} RENAME TO {name}");
        must(
            "name the template",
            connection.execute(AssertSqlSafe(rename)).await,
        );
    }
    let unlock = sqlx::query("SELECT pg_advisory_unlock($1)").bind(LOCK);
    must("release the template", unlock.execute(connection).await);
    name
}

fn migrations_digest() -> String {
    let mut sha = Sha256::new();
    for migration in MIGRATIONS.iter() {
        sha.update(&migration.checksum);
    }
    format!("{:x}", sha.finalize())[..16].to_owned()
}

#[expect(
    clippy::panic,
    reason = "a test without its database must fail immediately"
)]
fn must<T, E: std::fmt::Display>(doing: &str, result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| panic!("could not {doing}: {error}"))
}
