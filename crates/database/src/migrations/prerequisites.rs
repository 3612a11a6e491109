//! Prerequisites of a migration's first statement: rights, and names that are free. An existing
//! schema is used as it is.

use std::collections::BTreeSet;

use domain::failure::{DatabaseCause, Failure};
use sqlx::PgPool;
use sqlx::migrate::Migration;

use super::{SCHEMAS, with_sql};
use crate::error::database_failure;

#[derive(Debug, sqlx::FromRow)]
struct Schema {
    name: String,
    exists: bool,
    may_be_used: bool,
    is_ours: bool,
}

/// Of each schema, whether it is there and what we may do with it.
const READ_SCHEMAS: &str = "
    SELECT wanted.name, n.oid IS NOT NULL AS exists,
           coalesce(has_schema_privilege(n.oid, 'CREATE')
                    AND has_schema_privilege(n.oid, 'USAGE'), false) AS may_be_used,
           coalesce(pg_has_role(n.nspowner, 'USAGE'), false) AS is_ours
    FROM unnest($1) WITH ORDINALITY AS wanted(name, position)
    LEFT JOIN pg_namespace n ON n.nspname = wanted.name
    ORDER BY wanted.position";

const READ_RIGHTS: &str = "
    SELECT has_database_privilege(current_database(), 'CREATE'),
           quote_ident(current_database()), quote_ident(current_user)";

/// Existing objects with these names: tables, views and separate types.
const READ_TAKEN: &str = "
    SELECT wanted.name FROM unnest($1) AS wanted(name)
    WHERE to_regclass(wanted.name) IS NOT NULL OR to_regtype(wanted.name) IS NOT NULL
    ORDER BY 1";

/// Whose the tables are that we do not own.
const READ_OWNER: &str = "
    SELECT quote_ident(pg_get_userbyid(c.relowner)) FROM unnest($1) AS wanted(name)
    JOIN pg_class c ON c.oid = to_regclass(wanted.name)
    WHERE NOT pg_has_role(c.relowner, 'USAGE')
    LIMIT 1";

#[derive(Debug)]
pub(super) struct Prerequisites {
    schemas: Vec<Schema>,
}

impl Prerequisites {
    pub(super) async fn check(
        pool: &PgPool,
        applied: &[&Migration],
        pending: &[&Migration],
    ) -> Result<Self, Failure> {
        let failed = |error: sqlx::Error| database_failure("reading what can be migrated", &error);
        let schemas: Vec<Schema> = sqlx::query_as(READ_SCHEMAS)
            .bind(SCHEMAS.as_slice())
            .fetch_all(pool)
            .await
            .map_err(failed)?;
        let (may_create, database, role): (bool, String, String) = sqlx::query_as(READ_RIGHTS)
            .fetch_one(pool)
            .await
            .map_err(failed)?;
        let ours = created_by(applied);
        let names: Vec<String> = created_by(pending).difference(&ours).cloned().collect();
        let ours: Vec<String> = ours.into_iter().collect();
        let owner: Option<String> = sqlx::query_scalar(READ_OWNER)
            .bind(&ours)
            .fetch_optional(pool)
            .await
            .map_err(failed)?;
        if let Some(owner) = owner {
            return Err(refused(format!(
                "the tables belong to the role {owner}, and {role} may not change them; run \
                 `salla-sync migrate` with the address of {owner}"
            )));
        }
        for schema in &schemas {
            check_schema(schema, may_create, &database, &role)?;
        }
        let taken: Vec<String> = sqlx::query_scalar(READ_TAKEN)
            .bind(&names)
            .fetch_all(pool)
            .await
            .map_err(failed)?;
        if let Some(first) = taken.first() {
            let others = match taken.len() {
                1 => String::new(),
                more => format!(" (and {} more)", more - 1),
            };
            return Err(refused(format!(
                "{first}{others} exists and is not salla-sync's; nothing was changed. Give \
                 salla-sync a separate database, or rename it or move it to another schema"
            )));
        }
        Ok(Self { schemas })
    }

    /// Those that have to be made first.
    pub(super) fn missing_schemas(&self) -> Vec<&str> {
        let missing = self.schemas.iter().filter(|schema| !schema.exists);
        missing.map(|schema| schema.name.as_str()).collect()
    }

    /// The migration without statements that fail for existing schemas: creating them, which needs
    /// a right on the database even then, and commenting on another owner's.
    pub(super) fn fit(&self, migration: &Migration) -> Migration {
        let mut sql = migration.sql.as_str().to_owned();
        for schema in &self.schemas {
            let name = &schema.name;
            sql = without(sql, &format!("CREATE SCHEMA IF NOT EXISTS {name};"), "");
            if schema.exists && !schema.is_ours {
                sql = without(sql, &format!("COMMENT ON SCHEMA {name} IS"), "';");
            }
        }
        with_sql(migration, sql)
    }
}

/// Leaves out the statement that begins with `begin` and ends with `end`.
fn without(sql: String, begin: &str, end: &str) -> String {
    let found = sql.split_once(begin).and_then(|(before, rest)| {
        let at = rest.find(end)? + end.len();
        Some(format!("{before}{}", &rest[at..]))
    });
    found.unwrap_or(sql)
}

fn check_schema(
    schema: &Schema,
    may_create: bool,
    database: &str,
    role: &str,
) -> Result<(), Failure> {
    let name = &schema.name;
    match schema {
        Schema { exists: false, .. } if !may_create => Err(refused(format!(
            "the schema {name} does not exist, and the role {role} may not make it; have an \
             administrator type GRANT CREATE ON DATABASE {database} TO {role}, or CREATE SCHEMA \
             {name} AUTHORIZATION {role}"
        ))),
        Schema {
            exists: true,
            may_be_used: false,
            ..
        } => Err(refused(format!(
            "the role {role} may make nothing in the schema {name}; have its owner type GRANT \
             USAGE, CREATE ON SCHEMA {name} TO {role}"
        ))),
        _ => Ok(()),
    }
}

fn refused(what: String) -> Failure {
    Failure::Database {
        message: what,
        cause: DatabaseCause::Setup,
    }
}

/// The tables, views and types that migrations make, by their whole names.
fn created_by(migrations: &[&Migration]) -> BTreeSet<String> {
    const KINDS: [&str; 4] = ["TABLE", "VIEW", "MATERIALIZED VIEW", "TYPE"];
    let lines = migrations.iter().flat_map(|one| one.sql.as_str().lines());
    lines
        .filter_map(|line| {
            let rest = line.strip_prefix("CREATE ")?;
            let mut kinds = KINDS.into_iter();
            let name = kinds.find_map(|kind| rest.strip_prefix(kind)?.strip_prefix(' '))?;
            let name = name.strip_prefix("IF NOT EXISTS ").unwrap_or(name);
            name.split([' ', '(']).next().map(str::to_owned)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migrations::MIGRATIONS;

    #[test]
    fn the_names_that_migrations_take_are_known() {
        let all: Vec<&Migration> = MIGRATIONS.iter().collect();
        let names = created_by(&all);
        for name in [
            "salla.orders",
            "salla.sales",
            "salla_sync.resource",
            "salla_sync.sync_runs",
        ] {
            assert!(names.contains(name), "{name}: {names:?}");
        }
        assert!(names.iter().all(|name| name.contains('.')), "{names:?}");
    }

    /// Whatever a later migration does with schemas, it has to be met here.
    #[test]
    fn no_statement_about_a_schema_is_left() {
        let schemas = SCHEMAS.map(|name| Schema {
            name: name.to_owned(),
            exists: true,
            may_be_used: true,
            is_ours: false,
        });
        let prerequisites = Prerequisites {
            schemas: schemas.into(),
        };
        for migration in MIGRATIONS.iter() {
            let fitted = prerequisites.fit(migration);
            assert!(!fitted.sql.as_str().contains(" SCHEMA "), "{fitted:?}");
            assert_eq!(fitted.checksum, migration.checksum);
            let removed = migration.sql.as_str().len() - fitted.sql.as_str().len();
            assert!(removed < 250, "{}: {removed}", migration.version);
        }
    }
}
