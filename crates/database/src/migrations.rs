//! Bringing the schema up to date, and what state it is in.
//!
//! The files are sqlx's, and so is the table that says which have been applied; the order of events
//! is ours. sqlx's own migrator needs the right to create schemas although they exist, and waits
//! for locks without limit and without a message, while all other sessions wait behind it (decision
//! 16).

mod prerequisites;
mod waiting;

use std::sync::LazyLock;

use domain::failure::{DatabaseCause, Failure};
use sqlx::migrate::{Migrate as _, MigrateError, Migration, Migrator};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, SqlSafeStr as _};

use crate::connect::Database;
use crate::error::{cause, database_failure, reason};
use crate::session;
use prerequisites::Prerequisites;
use waiting::{Step, Waiting};

/// Everything that the migrations create is in two schemas, their own table included: the database
/// may belong to another application.
pub(crate) static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| sqlx::migrate!());

const SCHEMAS: [&str; 2] = ["salla_sync", "salla"];
const TABLE: &str = "salla_sync._sqlx_migrations";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaState {
    UpToDate,
    /// This many migrations have not been applied.
    Behind {
        migrations: usize,
    },
    /// A newer or a changed version of this program has been here: its schema cannot
    /// be trusted to fit.
    Unknown,
}

impl Database {
    /// Brings the schema up to date. May run in several processes concurrently.
    pub async fn migrate(&self) -> Result<(), Failure> {
        self.migrate_reporting(&|text| tracing::warn!("{text}"))
            .await
    }

    /// The same; says what it waits for as long as it has to wait.
    pub async fn migrate_reporting(&self, report: &(dyn Fn(&str) + Sync)) -> Result<(), Failure> {
        let connecting = session::own(self.pool()).await;
        let mut connection =
            connecting.map_err(|error| database_failure("connecting to migrate", &error))?;
        let result = self.migrate_on(&mut connection, report).await;
        // With the connection its lock goes too.
        if let Err(error) = connection.close().await {
            tracing::debug!(
                error = reason(&error),
                "the connection of the migrations was lost"
            );
        }
        result
    }

    async fn migrate_on(
        &self,
        connection: &mut PgConnection,
        report: &(dyn Fn(&str) + Sync),
    ) -> Result<(), Failure> {
        let mut waiting = Waiting::begin(self, connection, report).await?;
        waiting.insist(Step::Lock).await?;
        let applied = applied(waiting.connection()).await.map_err(failed)?;
        let pending = pending(&applied).map_err(failed)?;
        if pending.is_empty() {
            return Ok(());
        }
        let prerequisites = self.check_prerequisites(&applied, &pending).await?;
        let pending: Vec<Migration> = pending
            .into_iter()
            .map(|one| prerequisites.fit(one))
            .collect();
        // A first installation is there as a whole or not at all. Later on nothing may hold
        // the locks of one migration while it waits for those of the next.
        let together = if applied.is_empty() { pending.len() } else { 1 };
        for migrations in pending.chunks(together) {
            let schemas = prerequisites.missing_schemas();
            let step = Step::Apply {
                schemas: &schemas,
                migrations,
            };
            waiting.insist(step).await?;
        }
        Ok(())
    }

    /// What would be applied, if nothing is in the way of it.
    pub async fn check_migration(&self) -> Result<usize, Failure> {
        let failed = |error| database_failure("reading the schema's state", &error);
        let mut connection = self.pool().acquire().await.map_err(failed)?;
        let applied = applied(&mut connection).await.map_err(self::failed)?;
        drop(connection);
        let pending = pending(&applied).map_err(self::failed)?;
        if !pending.is_empty() {
            self.check_prerequisites(&applied, &pending).await?;
        }
        Ok(pending.len())
    }

    async fn check_prerequisites(
        &self,
        applied: &[Applied],
        pending: &[&Migration],
    ) -> Result<Prerequisites, Failure> {
        self.require_utf8().await?;
        self.require_writable().await?;
        let is_applied =
            |one: &&Migration| applied.iter().any(|(version, _)| *version == one.version);
        let before: Vec<&Migration> = MIGRATIONS.iter().filter(is_applied).collect();
        Prerequisites::check(self.pool(), &before, pending).await
    }

    pub async fn schema_state(&self) -> Result<SchemaState, Failure> {
        let failed = |error| database_failure("reading the schema's state", &error);
        let mut connection = self.pool().acquire().await.map_err(failed)?;
        let applied = read_applied(&mut connection).await.map_err(failed)?;
        Ok(match pending(&applied) {
            Err(_) => SchemaState::Unknown,
            Ok(pending) if pending.is_empty() => SchemaState::UpToDate,
            Ok(pending) => SchemaState::Behind {
                migrations: pending.len(),
            },
        })
    }
}

/// Version and checksum of a migration that this database has.
type Applied = (i64, Vec<u8>);

async fn applied(connection: &mut PgConnection) -> Result<Vec<Applied>, MigrateError> {
    let applied = read_applied(connection).await?;
    if !applied.is_empty()
        && let Some(version) = connection.dirty_version(TABLE).await?
    {
        return Err(MigrateError::Dirty(version));
    }
    Ok(applied)
}

async fn read_applied(connection: &mut PgConnection) -> Result<Vec<Applied>, sqlx::Error> {
    let exists: bool =
        sqlx::query_scalar("SELECT to_regclass('salla_sync._sqlx_migrations') IS NOT NULL")
            .fetch_one(&mut *connection)
            .await?;
    if !exists {
        return Ok(Vec::new());
    }
    sqlx::query_as("SELECT version, checksum FROM salla_sync._sqlx_migrations ORDER BY version")
        .fetch_all(connection)
        .await
}

fn pending(applied: &[Applied]) -> Result<Vec<&'static Migration>, MigrateError> {
    for (version, checksum) in applied {
        match MIGRATIONS.iter().find(|one| one.version == *version) {
            None => return Err(MigrateError::VersionMissing(*version)),
            Some(one) if *one.checksum != **checksum => {
                return Err(MigrateError::VersionMismatch(*version));
            }
            Some(_) => {}
        }
    }
    let is_pending = |one: &&Migration| applied.iter().all(|(version, _)| *version != one.version);
    Ok(MIGRATIONS.iter().filter(is_pending).collect())
}

/// Applies all of them or none.
async fn apply(
    connection: &mut PgConnection,
    schemas: &[&str],
    migrations: &[Migration],
) -> Result<(), MigrateError> {
    let mut transaction = connection.begin().await?;
    // What a migration does to rows does not count as altered.
    let landing = "SELECT set_config('salla_sync.landing', 'on', true)";
    transaction.execute(landing).await?;
    for schema in schemas {
        let create = format!("CREATE SCHEMA IF NOT EXISTS {schema}");
        transaction.execute(AssertSqlSafe(create)).await?;
    }
    // Even where the table is there, sqlx's statement for it wants the right to make it.
    let table = "SELECT to_regclass('salla_sync._sqlx_migrations') IS NOT NULL";
    let exists: bool = sqlx::query_scalar(table)
        .fetch_one(&mut *transaction)
        .await?;
    if !exists {
        transaction.ensure_migrations_table(TABLE).await?;
    }
    for migration in migrations {
        transaction.apply(TABLE, migration).await?;
    }
    transaction.commit().await?;
    Ok(())
}

/// The same migration with other statements, under the checksum of its file.
fn with_sql(migration: &Migration, sql: String) -> Migration {
    Migration {
        sql: AssertSqlSafe(sql).into_sql_str(),
        ..migration.clone()
    }
}

fn failed(error: MigrateError) -> Failure {
    let (reason, cause) = match &error {
        MigrateError::Execute(error) => (reason(error), cause(error)),
        MigrateError::ExecuteMigration(error, version) => (
            format!("migration {version}: {}", reason(error)),
            cause(error),
        ),
        MigrateError::VersionMissing(version) => (
            format!("migration {version} has been applied but is unknown to this version"),
            DatabaseCause::Setup,
        ),
        MigrateError::VersionMismatch(version) => (
            format!("migration {version} has been applied in another form"),
            DatabaseCause::Setup,
        ),
        MigrateError::Dirty(version) => (
            format!("migration {version} was left incomplete"),
            DatabaseCause::Setup,
        ),
        _ => (
            "the migrations cannot be read".to_owned(),
            DatabaseCause::Refused,
        ),
    };
    Failure::Database {
        message: format!("the schema could not be brought up to date: {reason}"),
        cause,
    }
}
