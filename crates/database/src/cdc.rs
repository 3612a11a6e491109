//! Change-data-capture: what a reader of the write-ahead log needs from us. A publication of
//! the tables with loaded data, and on request a slot and whole old rows.

use domain::failure::{DatabaseCause, Failure};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::connect::Database;
use crate::error::database_failure;

/// The publication, which readers name.
const PUBLICATION: &str = "salla_sync";

/// From this version on generated columns may be published.
const PUBLISHES_GENERATED: i32 = 180_000;

/// What to set up.
#[derive(Clone, Debug, Default)]
pub struct CdcOptions {
    /// A slot of this name, which keeps the log from now on until a reader has read it.
    pub slot: Option<String>,
    /// Old rows whole in the log, and not their keys only.
    pub full_rows: bool,
}

/// How it stands.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct CdcStatus {
    pub wal_level: String,
    /// By their names; empty without a publication.
    pub published: Vec<String>,
    /// Tables with loaded data that are not published, such as those of a later version.
    pub unpublished: Vec<String>,
    /// `table.column`, which no reader gets: they are computed from others.
    pub missing_columns: Vec<String>,
    pub full_rows: bool,
    pub slots: Vec<SlotStatus>,
}

/// A logical slot of this database.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, sqlx::FromRow)]
pub struct SlotStatus {
    pub name: String,
    pub plugin: String,
    /// A reader is connected now.
    pub active: bool,
    /// Bytes of the log that the server keeps for it.
    pub kept_bytes: i64,
    /// Bytes of the log that its reader has not confirmed.
    pub lag_bytes: i64,
    /// What the server says about whether the log is still there: reserved, extended,
    /// unreserved or lost.
    pub wal_status: String,
}

const TABLES: &str = "
    SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'salla' AND c.relkind = 'r' ORDER BY c.relname";

const PUBLISHED: &str = "
    SELECT tablename::text FROM pg_publication_tables
    WHERE pubname = $1 AND schemaname = 'salla' ORDER BY tablename";

const GENERATED: &str = "
    SELECT c.relname || '.' || a.attname
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'salla' AND c.relkind = 'r' AND a.attgenerated <> '' AND NOT a.attisdropped
    ORDER BY 1";

const FULL: &str = "
    SELECT coalesce(bool_and(c.relreplident = 'f'), false)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'salla' AND c.relkind = 'r'";

const SLOTS: &str = "
    SELECT slot_name::text AS name, plugin::text, active,
        coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn), 0)::bigint AS kept_bytes,
        coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn), 0)::bigint AS lag_bytes,
        coalesce(wal_status, 'lost') AS wal_status
    FROM pg_replication_slots
    WHERE slot_type = 'logical' AND database = current_database() ORDER BY slot_name";

/// What a role lacks, in one look.
const RIGHTS: &str = "
    SELECT current_setting('wal_level'), current_setting('server_version_num')::int,
        has_database_privilege(current_database(), 'CREATE'),
        coalesce((SELECT rolreplication OR rolsuper FROM pg_roles WHERE rolname = current_user), false),
        coalesce((SELECT bool_and(pg_has_role(c.relowner, 'USAGE'))
                  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                  WHERE n.nspname = 'salla' AND c.relkind = 'r'), false),
        quote_ident(current_database()), quote_ident(current_user)";

#[derive(sqlx::FromRow)]
struct RightsRow(String, i32, bool, bool, bool, String, String);

impl Database {
    /// Publishes the tables with loaded data and sets up what else is wanted. May be repeated:
    /// tables that have come since are added.
    ///
    /// Fails with everything that is missing: a setting of the server, or a right.
    pub async fn enable_cdc(&self, options: &CdcOptions) -> Result<(), Failure> {
        let mut connection = self.acquire_for_cdc().await?;
        let rights = rights(&mut connection).await?;
        let problems = problems(&rights, options);
        if !problems.is_empty() {
            return Err(Failure::Database {
                message: problems.join("; "),
                cause: DatabaseCause::Setup,
            });
        }
        let doing = "publishing tables";
        let mut tx = connection
            .begin()
            .await
            .map_err(|error| database_failure(doing, &error))?;
        let tables = texts(&mut tx, TABLES).await?;
        if tables.is_empty() {
            return Err(Failure::Database {
                message: "there are no tables to publish; run `salla-sync migrate` first"
                    .to_owned(),
                cause: DatabaseCause::Setup,
            });
        }
        for statement in statements(&tables, is_published(&mut tx).await?, rights.1, options) {
            sqlx::query(AssertSqlSafe(statement))
                .execute(&mut *tx)
                .await
                .map_err(|error| database_failure(doing, &error))?;
        }
        tx.commit()
            .await
            .map_err(|error| database_failure(doing, &error))?;
        match &options.slot {
            Some(slot) => create_slot(&mut connection, slot).await,
            None => Ok(()),
        }
    }

    pub async fn cdc_status(&self) -> Result<CdcStatus, Failure> {
        let mut connection = self.acquire_for_cdc().await?;
        let rights = rights(&mut connection).await?;
        let doing = "reading the state of change data capture";
        let failed = |error: sqlx::Error| database_failure(doing, &error);
        let published: Vec<String> = sqlx::query_scalar(PUBLISHED)
            .bind(PUBLICATION)
            .fetch_all(&mut *connection)
            .await
            .map_err(failed)?;
        let mut unpublished = texts(&mut connection, TABLES).await?;
        unpublished.retain(|table| !published.contains(table));
        let missing_columns = match rights.1 >= PUBLISHES_GENERATED {
            true => Vec::new(),
            false => texts(&mut connection, GENERATED).await?,
        };
        let full_rows = sqlx::query_scalar(FULL)
            .fetch_one(&mut *connection)
            .await
            .map_err(failed)?;
        let slots = sqlx::query_as(SLOTS)
            .fetch_all(&mut *connection)
            .await
            .map_err(failed)?;
        Ok(CdcStatus {
            wal_level: rights.0,
            published,
            unpublished,
            missing_columns,
            full_rows,
            slots,
        })
    }

    /// Drops the publication, and the slot of this name if one is given; says what was there.
    /// Old rows are logged by their keys again.
    pub async fn disable_cdc(&self, slot: Option<&str>) -> Result<(bool, bool), Failure> {
        let mut connection = self.acquire_for_cdc().await?;
        let had_slot = match slot {
            Some(slot) => drop_slot(&mut connection, slot).await?,
            None => false,
        };
        let was_published = is_published(&mut connection).await?;
        let tables = texts(&mut connection, TABLES).await?;
        let drop = format!("DROP PUBLICATION IF EXISTS {PUBLICATION}");
        let identities = tables.iter().map(|table| identity(table, "DEFAULT"));
        for statement in std::iter::once(drop).chain(identities) {
            sqlx::query(AssertSqlSafe(statement))
                .execute(&mut *connection)
                .await
                .map_err(|error| database_failure("dropping the publication", &error))?;
        }
        Ok((was_published, had_slot))
    }

    async fn acquire_for_cdc(&self) -> Result<sqlx::pool::PoolConnection<sqlx::Postgres>, Failure> {
        let acquired = self.pool().acquire().await;
        acquired.map_err(|error| database_failure("connecting", &error))
    }
}

async fn rights(connection: &mut PgConnection) -> Result<RightsRow, Failure> {
    sqlx::query_as(RIGHTS)
        .fetch_one(connection)
        .await
        .map_err(|error| database_failure("reading the rights of this role", &error))
}

fn problems(rights: &RightsRow, options: &CdcOptions) -> Vec<String> {
    let RightsRow(wal_level, _, may_create, may_replicate, owns, database, user) = rights;
    let mut problems = Vec::new();
    if options.slot.is_some() && wal_level != "logical" {
        problems.push(format!(
            "the server's wal_level is {wal_level}, logical is needed; set it (ALTER SYSTEM SET \
             wal_level = 'logical'; on RDS: rds.logical_replication = 1) and restart the server"
        ));
    }
    if !owns {
        problems.push(format!(
            "the role {user} does not own the tables in the schema salla; use the role that \
             migrates"
        ));
    }
    if !may_create {
        problems.push(format!(
            "the role {user} may create nothing in the database; GRANT CREATE ON DATABASE \
             {database} TO {user}"
        ));
    }
    if options.slot.is_some() && !may_replicate {
        problems.push(format!(
            "the role {user} may make no slot; ALTER ROLE {user} REPLICATION (on RDS: GRANT \
             rds_replication TO {user}), or let the reader make it"
        ));
    }
    problems
}

fn statements(
    tables: &[String],
    is_published: bool,
    version: i32,
    options: &CdcOptions,
) -> Vec<String> {
    let list = tables
        .iter()
        .map(|table| format!("salla.{}", quoted(table)))
        .collect::<Vec<_>>()
        .join(", ");
    let mut statements = vec![match is_published {
        true => format!("ALTER PUBLICATION {PUBLICATION} SET TABLE {list}"),
        false => format!("CREATE PUBLICATION {PUBLICATION} FOR TABLE {list}"),
    }];
    if version >= PUBLISHES_GENERATED {
        statements.push(format!(
            "ALTER PUBLICATION {PUBLICATION} SET (publish_generated_columns = stored)"
        ));
    }
    if options.full_rows {
        statements.extend(tables.iter().map(|table| identity(table, "FULL")));
    }
    statements
}

fn identity(table: &str, kind: &str) -> String {
    format!(
        "ALTER TABLE salla.{} REPLICA IDENTITY {kind}",
        quoted(table)
    )
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

async fn texts(connection: &mut PgConnection, sql: &'static str) -> Result<Vec<String>, Failure> {
    sqlx::query_scalar(sql)
        .fetch_all(connection)
        .await
        .map_err(|error| database_failure("listing tables", &error))
}

async fn is_published(connection: &mut PgConnection) -> Result<bool, Failure> {
    sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_publication WHERE pubname = $1)")
        .bind(PUBLICATION)
        .fetch_one(connection)
        .await
        .map_err(|error| database_failure("looking for the publication", &error))
}

async fn create_slot(connection: &mut PgConnection, slot: &str) -> Result<(), Failure> {
    let create = "
        SELECT pg_create_logical_replication_slot($1, 'pgoutput')
        WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = $1)";
    sqlx::query(create)
        .bind(slot)
        .execute(connection)
        .await
        .map_err(|error| database_failure("creating the slot", &error))?;
    Ok(())
}

async fn drop_slot(connection: &mut PgConnection, slot: &str) -> Result<bool, Failure> {
    let drop = "
        SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots
        WHERE slot_name = $1 AND database = current_database()";
    let dropped = sqlx::query(drop)
        .bind(slot)
        .execute(connection)
        .await
        .map_err(|error| database_failure("dropping the slot", &error))?;
    Ok(dropped.rows_affected() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lacking(wal_level: &str, may_create: bool, may_replicate: bool, owns: bool) -> Vec<String> {
        let rights = RightsRow(
            wal_level.to_owned(),
            160_000,
            may_create,
            may_replicate,
            owns,
            "shops".to_owned(),
            "reader".to_owned(),
        );
        let slot = Some("warehouse".to_owned());
        let options = CdcOptions {
            slot,
            full_rows: false,
        };
        problems(&rights, &options)
    }

    #[test]
    fn everything_that_is_missing_is_named_together() {
        assert!(lacking("logical", true, true, true).is_empty());
        let all = lacking("replica", false, false, false);
        assert_eq!(all.len(), 4, "{all:?}");
        for (problem, part) in all.iter().zip([
            "wal_level",
            "does not own",
            "GRANT CREATE ON DATABASE shops TO reader",
            "ALTER ROLE reader REPLICATION",
        ]) {
            assert!(problem.contains(part), "{problem}");
        }
    }

    #[test]
    fn generated_columns_are_published_where_that_can_be() {
        let tables = ["orders".to_owned()];
        let of = |version, is_published, full_rows| {
            let options = CdcOptions {
                slot: None,
                full_rows,
            };
            statements(&tables, is_published, version, &options)
        };
        assert_eq!(
            of(170_000, false, false),
            [r#"CREATE PUBLICATION salla_sync FOR TABLE salla."orders""#]
        );
        assert_eq!(
            of(180_000, true, true),
            [
                r#"ALTER PUBLICATION salla_sync SET TABLE salla."orders""#,
                "ALTER PUBLICATION salla_sync SET (publish_generated_columns = stored)",
                r#"ALTER TABLE salla."orders" REPLICA IDENTITY FULL"#,
            ]
        );
    }
}
