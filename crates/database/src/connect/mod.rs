//! The way in: how the program connects.

mod pooler;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use domain::failure::{DatabaseCause, Failure};
use importer::ports::clock::Clock;
use importer::ports::queue::{QueueName, QueueSettings};
use importer::ports::shared_budget::BudgetRules;
use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Executor as _, PgConnection, PgPool, Row as _};

use crate::address::Address;
use crate::api_tokens::PostgresApiTokens;
use crate::arrivals::PostgresArrivals;
use crate::audit::PostgresAudit;
use crate::claims::PostgresClaims;
use crate::confined::Transactions;
use crate::connect::pooler::{Sessions, sessions};
use crate::connections::{
    Adopted, ConnectionDetails, KeyUse, Parked, PostgresConnections, adopt, details, foreign,
    key_uses, park,
};
use crate::contacts::PostgresContacts;
use crate::error::{
    cause, database_failure, is_idle_for_too_long, is_starting_up, is_too_many_connections, reason,
};
use crate::event_tickets::PostgresEventTickets;
use crate::jobs::PostgresJobs;
use crate::keyring::Keyring;
use crate::landing::PostgresLanding;
use crate::merchants::PostgresMerchants;
use crate::notifications::PostgresNotifications;
use crate::overview::PostgresOverview;
use crate::privacy::PostgresPrivacy;
use crate::queue::PostgresQueue;
use crate::rate_limits::PostgresRateLimits;
use crate::records::PostgresRecords;
use crate::runs::PostgresRuns;
use crate::session;
use crate::sessions::PostgresSessions;
use crate::shared_budget::{BudgetKey, PostgresBudget};

/// Between two looks for how many connections the server has left.
const BETWEEN_LOOKS: Duration = Duration::from_secs(2);

const OLDEST_SERVER: i32 = 150_000;

const NO_SESSIONS: &str = "is behind a pooler that gives each transaction another session; use its \
     session mode (PgBouncer: pool_mode = session) or PostgreSQL's own address";

const ONE_CONNECTION: &str = "has a single connection left, and two are needed: raise the \
     CONNECTION LIMIT of the role or the database, max_connections, or the size of the pooler's \
     pool";

#[derive(Clone, Debug)]
pub struct ConnectSettings {
    pub url: SecretString,
    /// Shows in `pg_stat_activity`.
    pub application_name: String,
    /// Fewer if the server has no more left.
    pub max_connections: u32,
    /// Connections beside the pool, for LISTEN.
    pub listeners: u32,
    /// How long a caller waits for a connection, the first one included.
    pub timeout: Duration,
    /// How long to wait for other clients to release connections if the server has fewer left than
    /// wanted: a pool never changes its size.
    pub waits_for_room: Duration,
}

impl ConnectSettings {
    pub fn new(url: SecretString) -> Self {
        Self {
            url,
            application_name: "salla-sync".to_owned(),
            max_connections: 8,
            listeners: 0,
            timeout: Duration::from_secs(10),
            waits_for_room: Duration::ZERO,
        }
    }
}

/// A pool of connections to one database.
#[derive(Clone, Debug)]
pub struct Database {
    pool: PgPool,
    clock: Arc<dyn Clock>,
    is_confined: bool,
}

fn refused(options: &PgConnectOptions, error: &sqlx::Error) -> Failure {
    Failure::Database {
        message: format!("cannot connect to {}: {}", address(options), reason(error)),
        cause: cause(error),
    }
}

fn unsuitable(options: &PgConnectOptions, reason: &str) -> Failure {
    Failure::Database {
        message: format!("{}, {reason}", address(options)),
        cause: DatabaseCause::Setup,
    }
}

/// How long the first connection is retried: not at all, unless the server says that it will soon
/// accept one, or ended it because a busy machine let it idle for longer than the server allows.
fn tries_for(settings: &ConnectSettings, error: &sqlx::Error) -> Duration {
    if is_starting_up(error) || is_idle_for_too_long(error) {
        settings.timeout
    } else if is_too_many_connections(error) {
        settings.waits_for_room.max(BETWEEN_LOOKS)
    } else {
        Duration::ZERO
    }
}

/// How many connections the pool may have: as many as are wanted, or as the server has left.
async fn connections(
    settings: &ConnectSettings,
    options: &PgConnectOptions,
    clock: &dyn Clock,
) -> Result<u32, Failure> {
    let wanted = settings.max_connections;
    let started = clock.monotonic();
    loop {
        let waited = clock.monotonic().saturating_sub(started);
        let (failure, tries_for) = match sessions(options, settings.timeout).await {
            Ok(Sessions::Kept { room }) => {
                // Two were there a moment ago. A listener that gets none costs only promptness.
                let room = room.saturating_sub(settings.listeners).max(2);
                if room >= wanted {
                    return Ok(wanted);
                }
                if waited >= settings.waits_for_room {
                    tracing::warn!(
                        wanted,
                        room,
                        "the server has fewer connections left than wanted; using those"
                    );
                    return Ok(room);
                }
                tracing::info!(
                    wanted,
                    room,
                    "waiting for connections that other clients may release"
                );
                clock.sleep(BETWEEN_LOOKS).await;
                continue;
            }
            Ok(Sessions::Shared) => (unsuitable(options, NO_SESSIONS), Duration::ZERO),
            Ok(Sessions::Single) => (unsuitable(options, ONE_CONNECTION), settings.waits_for_room),
            Err(error) => (refused(options, &error), tries_for(settings, &error)),
        };
        if waited >= tries_for {
            return Err(failure);
        }
        clock.sleep(BETWEEN_LOOKS).await;
    }
}

impl Database {
    pub async fn connect(
        settings: ConnectSettings,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Failure> {
        let address = Address::parse(settings.url.expose_secret());
        let address = address
            .and_then(|address| address.check_security().map(|()| address))
            .map_err(|error| Failure::Database {
                message: format!("the address of the database {error}"),
                cause: DatabaseCause::Setup,
            })?;
        let options = address
            .options()
            .application_name(&settings.application_name)
            // PostgreSQL's default says all digits, and PgBouncer knows no such setting.
            .extra_float_digits(None)
            .disable_statement_logging();
        let connections = connections(&settings, &options, &*clock).await?;
        let pool = session::pool(settings.timeout, &options)
            .max_connections(connections)
            // Where many imports share few connections, waiting for one is how the
            // database sets the pace, and nothing to warn of.
            .acquire_slow_threshold(settings.timeout)
            .connect_with(options.clone())
            .await
            .map_err(|error| refused(&options, &error))?;
        let database = Self {
            pool,
            clock,
            is_confined: false,
        };
        database.check_server().await?;
        Ok(database)
    }

    async fn check_server(&self) -> Result<(), Failure> {
        let version: i32 =
            sqlx::query_scalar("SELECT current_setting('server_version_num')::integer")
                .fetch_one(&self.pool)
                .await
                .map_err(|error| database_failure("reading PostgreSQL's version", &error))?;
        if version < OLDEST_SERVER {
            let (major, oldest) = (version / 10_000, OLDEST_SERVER / 10_000);
            return Err(Failure::Database {
                message: format!("PostgreSQL {oldest} or newer is needed, this is {major}"),
                cause: DatabaseCause::Setup,
            });
        }
        Ok(())
    }

    fn parts(&self) -> (PgPool, Arc<dyn Clock>) {
        (self.pool.clone(), self.clock.clone())
    }

    pub fn landing(&self) -> PostgresLanding {
        let (pool, clock) = self.parts();
        PostgresLanding { pool, clock }
    }

    pub fn runs(&self) -> PostgresRuns {
        PostgresRuns::new(self.transactions(), self.clock.clone())
    }

    pub fn jobs(&self) -> PostgresJobs {
        PostgresJobs::new(self.transactions(), self.clock.clone())
    }

    pub fn notifications(&self) -> PostgresNotifications {
        PostgresNotifications::new(self.transactions(), self.clock.clone())
    }

    pub fn records(&self) -> PostgresRecords {
        let (pool, clock) = self.parts();
        PostgresRecords { pool, clock }
    }

    pub fn arrivals(&self) -> PostgresArrivals {
        let (pool, clock) = self.parts();
        PostgresArrivals { pool, clock }
    }

    pub fn claims(&self) -> PostgresClaims {
        let (pool, clock) = self.parts();
        PostgresClaims { pool, clock }
    }

    pub fn audit(&self) -> PostgresAudit {
        let (pool, clock) = self.parts();
        PostgresAudit { pool, clock }
    }

    pub fn rate_limits(&self) -> PostgresRateLimits {
        let (pool, clock) = self.parts();
        PostgresRateLimits { pool, clock }
    }

    pub fn sessions(&self) -> PostgresSessions {
        let (pool, clock) = self.parts();
        PostgresSessions { pool, clock }
    }

    pub fn merchants(&self) -> PostgresMerchants {
        PostgresMerchants::new(self.transactions(), self.clock.clone())
    }

    pub fn overview(&self) -> PostgresOverview {
        PostgresOverview::new(self.transactions(), self.clock.clone())
    }

    pub fn api_tokens(&self) -> PostgresApiTokens {
        let (pool, clock) = self.parts();
        PostgresApiTokens { pool, clock }
    }

    pub fn event_tickets(&self) -> PostgresEventTickets {
        let (pool, clock) = self.parts();
        PostgresEventTickets { pool, clock }
    }

    pub fn connections(&self, keyring: Keyring) -> PostgresConnections {
        PostgresConnections::new(self.pool.clone(), self.clock.clone(), keyring)
    }

    /// Rows of people, exported and forgotten.
    pub fn privacy(&self, keyring: Option<Keyring>) -> PostgresPrivacy {
        PostgresPrivacy::new(self.pool.clone(), self.clock.clone(), keyring)
    }

    /// Whom e-mails reach; the key opens their addresses.
    pub fn contacts(&self, keyring: Keyring) -> PostgresContacts {
        PostgresContacts::new(self.pool.clone(), self.clock.clone(), keyring)
    }

    /// Makes this database the owner of tokens that were copied from another one, ends parking, and
    /// returns the shops; with `dry_run` changes nothing. `salla_id`: of one shop only.
    pub async fn adopt_connections(
        &self,
        salla_id: Option<i64>,
        dry_run: bool,
    ) -> Result<Vec<Adopted>, Failure> {
        adopt(&self.pool, salla_id, dry_run, self.clock.now())
            .await
            .map_err(|error| error.into_failure("adopting the stored connections"))
    }

    /// Keeps tokens from being used until they are adopted: of one shop, or of all. With
    /// `dry_run` says only which.
    pub async fn park_connections(
        &self,
        salla_id: Option<i64>,
        dry_run: bool,
    ) -> Result<Vec<Parked>, Failure> {
        park(&self.pool, salla_id, dry_run, self.clock.now())
            .await
            .map_err(|error| error.into_failure("parking the stored connections"))
    }

    /// What can be shown of a shop's current connection.
    pub async fn connection_details(
        &self,
        salla_id: i64,
    ) -> Result<Option<ConnectionDetails>, Failure> {
        details(&self.pool, salla_id)
            .await
            .map_err(|error| error.into_failure("reading a shop's connection"))
    }

    /// How many values are sealed with each key, by its name.
    pub async fn key_uses(&self) -> Result<BTreeMap<String, KeyUse>, Failure> {
        key_uses(&self.pool)
            .await
            .map_err(|error| error.into_failure("counting the values that each key encrypts"))
    }

    /// Whose tokens are at home in another database, so that none is refreshed here.
    pub async fn foreign_connections(&self) -> Result<Vec<Adopted>, Failure> {
        foreign(&self.pool)
            .await
            .map_err(|error| error.into_failure("finding the database that tokens belong to"))
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

    /// The same database through separate connections, opened when needed, for work that must not
    /// wait behind imports.
    pub fn beside(&self, connections: u32) -> Self {
        let pool = session::pool(
            self.pool.options().get_acquire_timeout(),
            &self.pool.connect_options(),
        )
        .max_connections(connections)
        .connect_lazy_with(self.pool.connect_options().as_ref().clone());
        Self {
            pool,
            clock: self.clock.clone(),
            is_confined: false,
        }
    }

    /// The same database as the doors over HTTP use it: what is done for one merchant is done in
    /// transactions that see no rows of another. The roles have to be there.
    pub fn confined(&self) -> Self {
        Self {
            is_confined: true,
            ..self.clone()
        }
    }

    fn transactions(&self) -> Transactions {
        Transactions::new(self.pool.clone(), self.is_confined)
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// For queries that have no function here.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Waits until all connections are returned and closed.
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

/// PostgreSQL's code for a database that exists already.
const DUPLICATE_DATABASE: &str = "42P04";

impl Database {
    /// Makes a database unless it exists. `name` is one of our identifiers, never input.
    pub async fn create_database(&self, name: &'static str) -> Result<(), Failure> {
        let sql = AssertSqlSafe(format!("CREATE DATABASE \"{name}\""));
        match sqlx::query(sql).execute(self.pool()).await {
            Ok(_) => Ok(()),
            Err(sqlx::Error::Database(error))
                if error.code().as_deref() == Some(DUPLICATE_DATABASE) =>
            {
                Ok(())
            }
            Err(error) => Err(database_failure("creating the database", &error)),
        }
    }

    /// Drops a database with its content, even if others are connected. `name` is one of our
    /// identifiers, never input.
    pub async fn drop_database(&self, name: &'static str) -> Result<(), Failure> {
        let sql = AssertSqlSafe(format!("DROP DATABASE IF EXISTS \"{name}\" WITH (FORCE)"));
        sqlx::query(sql)
            .execute(self.pool())
            .await
            .map_err(|error| database_failure("dropping the database", &error))?;
        Ok(())
    }
}

/// Each limit less the sessions that count against it, this one left out. PostgreSQL does not show
/// the kind of other users' sessions.
const ROOM: &str = "
    WITH others AS (
        SELECT usesysid, datid FROM pg_stat_activity
        WHERE datid IS NOT NULL AND coalesce(backend_type, 'client backend') = 'client backend'
          AND pid <> pg_backend_pid()
    ), limits AS (
        SELECT current_setting('max_connections')::integer
                   - CASE WHEN r.rolsuper THEN 0
                          ELSE current_setting('superuser_reserved_connections')::integer
                               + coalesce(current_setting('reserved_connections', true), '0')::integer
                     END AS of_server,
               CASE WHEN r.rolconnlimit >= 0 AND NOT r.rolsuper THEN r.rolconnlimit END AS of_role,
               CASE WHEN d.datconnlimit >= 0 AND NOT r.rolsuper THEN d.datconnlimit END AS of_database,
               r.oid AS role, d.oid AS database
        FROM pg_roles r CROSS JOIN pg_database d
        WHERE r.rolname = session_user AND d.datname = current_database()
    )
    SELECT least(of_server - (SELECT count(*) FROM others),
                 of_role - (SELECT count(*) FROM others WHERE usesysid = role),
                 of_database - (SELECT count(*) FROM others WHERE datid = database))::integer
    FROM limits";

/// How many sessions we may have, the present one included.
pub(crate) async fn room(connection: &mut PgConnection) -> Result<u32, sqlx::Error> {
    let row = connection.fetch_one(sqlx::raw_sql(ROOM)).await?;
    let room: i32 = row.try_get(0)?;
    Ok(u32::try_from(room).unwrap_or(0))
}
