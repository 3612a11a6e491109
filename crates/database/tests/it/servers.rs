//! Databases and roles with an administrator's settings.

use std::sync::Arc;
use std::time::Duration;

use database::testing::TestDatabase;
use database::{ConnectSettings, Database};
use domain::failure::Failure;
use importer::ports::clock::{Clock, SystemClock};
use secrecy::SecretString;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use url::Url;

const PASSWORD: &str = "opens-nothing-but-a-test";

/// An empty database, and a role that owns nothing yet.
pub(crate) struct Administered {
    server: TestDatabase,
    pub(crate) name: String,
    pub(crate) role: String,
}

impl Administered {
    pub(crate) async fn new() -> Self {
        Self::with("ENCODING 'UTF8' LOCALE 'C'").await
    }

    /// With these options of `CREATE DATABASE`.
    pub(crate) async fn with(options: &str) -> Self {
        let server = TestDatabase::create().await;
        let id = uuid::Uuid::now_v7().simple();
        let (name, role) = (format!("administered_{id}"), format!("role_{id}"));
        for sql in [
            format!("CREATE DATABASE {name} {options} TEMPLATE template0"),
            format!("CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'"),
        ] {
            server.pool().execute(AssertSqlSafe(sql)).await.unwrap();
        }
        Self { server, name, role }
    }

    /// As the administrator. `$db` and `$role` stand for the names.
    pub(crate) async fn tell(&self, sql: &str) {
        let sql = sql.replace("$db", &self.name).replace("$role", &self.role);
        let mut connection = self.administrator().await;
        // Also where the database is read-only for others.
        let writable = "SET default_transaction_read_only = off";
        connection.execute(writable).await.unwrap();
        connection.execute(AssertSqlSafe(sql)).await.unwrap();
        connection.close().await.unwrap();
    }

    pub(crate) async fn administrator(&self) -> PgConnection {
        PgConnection::connect(self.url(None).as_str())
            .await
            .unwrap()
    }

    pub(crate) async fn ask(&self, sql: &'static str) -> i64 {
        let mut connection = self.administrator().await;
        let asked = sqlx::query_scalar(sql).fetch_one(&mut connection).await;
        connection.close().await.unwrap();
        asked.unwrap()
    }

    fn url(&self, role: Option<&str>) -> Url {
        let mut url = Url::parse(&self.server.url()).unwrap();
        url.set_path(&self.name);
        if let Some(role) = role {
            url.set_username(role).unwrap();
            url.set_password(Some(PASSWORD)).unwrap();
        }
        url
    }

    /// As the role.
    pub(crate) async fn connect(&self) -> Result<Database, Failure> {
        connect(self.url(Some(&self.role)).as_str()).await
    }

    /// As the administrator.
    pub(crate) async fn open(&self) -> Database {
        connect(self.url(None).as_str()).await.unwrap()
    }

    pub(crate) async fn end(self) {
        for sql in [
            format!("DROP DATABASE {} WITH (FORCE)", self.name),
            format!("DROP ROLE {}", self.role),
        ] {
            let pool = self.server.pool();
            pool.execute(AssertSqlSafe(sql)).await.unwrap();
        }
    }
}

pub(crate) async fn connect(url: &str) -> Result<Database, Failure> {
    connect_with(url, Arc::new(SystemClock::real())).await
}

pub(crate) async fn connect_with(url: &str, clock: Arc<dyn Clock>) -> Result<Database, Failure> {
    let settings = ConnectSettings {
        timeout: Duration::from_secs(20),
        ..ConnectSettings::new(SecretString::from(url))
    };
    Database::connect(settings, clock).await
}
