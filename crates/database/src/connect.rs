//! The way in: connections, migrations, and what state the schema is in.

use std::str::FromStr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use domain::failure::Failure;
use importer::ports::budgets::BudgetRules;
use importer::ports::clock::Clock;
use importer::ports::queue::{QueueName, QueueSettings};
use secrecy::{ExposeSecret, SecretString};
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Executor, PgPool};

use crate::budgets::{BudgetKey, PostgresBudget};
use crate::connections::{Keyring, PostgresConnections};
use crate::failure::{database_failure, reason};
use crate::jobs::PostgresJobs;
use crate::landing::PostgresLanding;
use crate::notifications::PostgresNotifications;
use crate::pooler::{Sessions, sessions};
use crate::queue::PostgresQueue;
use crate::records::PostgresRecords;
use crate::runs::PostgresRuns;

/// Everything that the migrations make lies in two schemas, their own table included:
/// the database may belong to somebody else.
pub(crate) static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    let mut migrations = sqlx::migrate!();
    migrations.create_schema("salla_sync");
    migrations.dangerous_set_table_name("salla_sync._sqlx_migrations");
    migrations
});

/// Between two looks for how many connections the server has left.
const BETWEEN_LOOKS: Duration = Duration::from_secs(2);

const OLDEST_SERVER: i32 = 150_000;

/// A worker that hangs in the middle of a transaction must lose it before its lease
/// runs out, or the next one would wait for its locks. Compiling a plan takes longer
/// than any of our statements. Notices are for people. The last line is for the
/// first minutes of an import: all our statements look rows up by their keys, but a
/// plan that was made while the tables were empty would go on scanning them.
const SESSION: &str = "
    SET idle_in_transaction_session_timeout = '15s';
    SET jit = off;
    SET client_min_messages = warning;
    SET enable_seqscan = off";

const NO_SESSIONS: &str = "is behind a pooler that gives each transaction another session; use its \
     session mode (PgBouncer: pool_mode = session) or PostgreSQL's own address";

#[derive(Clone, Debug)]
pub struct ConnectSettings {
    pub url: SecretString,
    /// Shows in `pg_stat_activity`.
    pub application_name: String,
    /// Fewer if the server has no more left.
    pub max_connections: u32,
    /// So many more are opened beside the pool, to listen.
    pub listeners: u32,
    /// For how long a caller waits for a connection, the first one included.
    pub patience: Duration,
    /// Where the server has fewer left than wanted, so long for others to give theirs up: a
    /// pool keeps its size for life.
    pub waits_for_room: Duration,
}

impl ConnectSettings {
    pub fn new(url: SecretString) -> Self {
        Self {
            url,
            application_name: "salla-sync".to_owned(),
            max_connections: 8,
            listeners: 0,
            patience: Duration::from_secs(10),
            waits_for_room: Duration::ZERO,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaState {
    UpToDate,
    /// So many migrations have not been applied.
    Behind {
        migrations: usize,
    },
    /// A newer or a changed version of this program has been here: its schema cannot
    /// be trusted to fit.
    Unknown,
}

/// A pool of connections to one database.
#[derive(Clone, Debug)]
pub struct Database {
    pool: PgPool,
    clock: Arc<dyn Clock>,
}

fn refused(options: &PgConnectOptions, error: &sqlx::Error) -> Failure {
    Failure::Database {
        what: format!("cannot connect to {}: {}", address(options), reason(error)),
    }
}

/// How many connections the pool may have: as many as are wanted, or as the server has left.
async fn connections(
    settings: &ConnectSettings,
    options: &PgConnectOptions,
    clock: &dyn Clock,
) -> Result<u32, Failure> {
    let wanted = settings.max_connections;
    let until = clock.monotonic() + settings.waits_for_room;
    loop {
        let sessions = sessions(options, settings.patience).await;
        let room = match sessions.map_err(|error| refused(options, &error))? {
            Sessions::Kept { room } => room,
            Sessions::Shared => {
                return Err(Failure::Database {
                    what: format!("{}, {NO_SESSIONS}", address(options)),
                });
            }
        };
        // Two were there a moment ago. A listener that gets none costs only promptness.
        let room = room.saturating_sub(settings.listeners).max(2);
        if room >= wanted {
            return Ok(wanted);
        }
        if clock.monotonic() >= until {
            tracing::warn!(
                wanted,
                room,
                "the server has fewer connections left than wanted; going on with those"
            );
            return Ok(room);
        }
        tracing::info!(
            wanted,
            room,
            "waiting for connections that others may give up"
        );
        clock.sleep(BETWEEN_LOOKS).await;
    }
}

impl Database {
    pub async fn connect(
        settings: ConnectSettings,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Failure> {
        let options = PgConnectOptions::from_str(settings.url.expose_secret())
            .map_err(|_| Failure::Database {
                what: "the address of the database is not a PostgreSQL URL".to_owned(),
            })?
            .application_name(&settings.application_name)
            // PostgreSQL's default says all digits, and PgBouncer knows no such setting.
            .extra_float_digits(None)
            .disable_statement_logging();
        let connections = connections(&settings, &options, &*clock).await?;
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(settings.patience)
            // Where many imports share few connections, waiting for one is how the
            // database sets the pace, and nothing to warn of.
            .acquire_slow_threshold(settings.patience)
            .after_connect(|connection, _| {
                Box::pin(async move { connection.execute(SESSION).await.map(|_| ()) })
            })
            .connect_with(options.clone())
            .await
            .map_err(|error| refused(&options, &error))?;
        let database = Self { pool, clock };
        database.check_server().await?;
        Ok(database)
    }

    async fn check_server(&self) -> Result<(), Failure> {
        let version: i32 =
            sqlx::query_scalar("SELECT current_setting('server_version_num')::integer")
                .fetch_one(&self.pool)
                .await
                .map_err(|error| database_failure("asking PostgreSQL for its version", &error))?;
        if version < OLDEST_SERVER {
            let (major, oldest) = (version / 10_000, OLDEST_SERVER / 10_000);
            return Err(Failure::Database {
                what: format!("PostgreSQL {oldest} or newer is needed, this is {major}"),
            });
        }
        Ok(())
    }

    /// Brings the schema up to date. May run in several processes at once.
    pub async fn migrate(&self) -> Result<(), Failure> {
        MIGRATIONS
            .run(&self.pool)
            .await
            .map_err(|error| Failure::Database {
                what: format!(
                    "the schema could not be brought up to date: {}",
                    why(&error)
                ),
            })
    }

    pub async fn schema_state(&self) -> Result<SchemaState, Failure> {
        let failed = |error: sqlx::Error| database_failure("reading the schema's state", &error);
        let exists: bool =
            sqlx::query_scalar("SELECT to_regclass('salla_sync._sqlx_migrations') IS NOT NULL")
                .fetch_one(&self.pool)
                .await
                .map_err(failed)?;
        let applied: Vec<(i64, Vec<u8>)> = if exists {
            sqlx::query_as("SELECT version, checksum FROM salla_sync._sqlx_migrations")
                .fetch_all(&self.pool)
                .await
                .map_err(failed)?
        } else {
            Vec::new()
        };
        let known = |(version, checksum): &(i64, Vec<u8>)| {
            let mut ours = MIGRATIONS.iter();
            ours.any(|m| m.version == *version && *m.checksum == **checksum)
        };
        let migrations = MIGRATIONS.iter().count();
        Ok(if !applied.iter().all(known) {
            SchemaState::Unknown
        } else if applied.len() < migrations {
            SchemaState::Behind {
                migrations: migrations - applied.len(),
            }
        } else {
            SchemaState::UpToDate
        })
    }

    pub fn landing(&self) -> PostgresLanding {
        PostgresLanding::new(self.pool.clone(), self.clock.clone())
    }

    pub fn runs(&self) -> PostgresRuns {
        PostgresRuns::new(self.pool.clone(), self.clock.clone())
    }

    pub fn jobs(&self) -> PostgresJobs {
        PostgresJobs::new(self.pool.clone(), self.clock.clone())
    }

    pub fn notifications(&self) -> PostgresNotifications {
        PostgresNotifications::new(self.pool.clone(), self.clock.clone())
    }

    pub fn records(&self) -> PostgresRecords {
        PostgresRecords::new(self.pool.clone(), self.clock.clone())
    }

    pub fn connections(&self, keyring: Keyring) -> PostgresConnections {
        PostgresConnections::new(self.pool.clone(), self.clock.clone(), keyring)
    }

    /// The queue of this name, with the settings that suit it.
    pub fn queue(&self, name: QueueName) -> PostgresQueue {
        let settings = QueueSettings::of(name);
        PostgresQueue::new(self.pool.clone(), self.clock.clone(), name, settings)
    }

    /// This process's access to a budget that others spend from as well.
    pub fn budget(&self, key: BudgetKey, rules: BudgetRules) -> PostgresBudget {
        PostgresBudget::new(self.pool.clone(), self.clock.clone(), key, rules)
    }

    /// For questions that have no function of their own.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Waits until all connections are given back and closed.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// Where the server is, without the password.
fn address(options: &PgConnectOptions) -> String {
    let place = match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => options.get_host().to_owned(),
    };
    let database = options.get_database().unwrap_or(options.get_username());
    format!(
        "PostgreSQL at {place}, port {}, database {database}, as {}",
        options.get_port(),
        options.get_username()
    )
}

fn why(error: &sqlx::migrate::MigrateError) -> String {
    use sqlx::migrate::MigrateError;
    match error {
        MigrateError::Execute(error) => reason(error),
        MigrateError::ExecuteMigration(error, version) => {
            format!("migration {version}: {}", reason(error))
        }
        MigrateError::VersionMissing(version) => {
            format!("migration {version} has been applied but is unknown to this version")
        }
        MigrateError::VersionMismatch(version) => {
            format!("migration {version} has been applied in another form")
        }
        MigrateError::Dirty(version) => format!("migration {version} was left half done"),
        _ => "the migrations cannot be read".to_owned(),
    }
}
