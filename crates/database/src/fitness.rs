//! Whether a database can take an import, apart from its tables.

use domain::failure::{DatabaseCause, Failure};
use sqlx::AssertSqlSafe;

use crate::connect::Database;
use crate::error::database_failure;

const ENCODING: &str = "
    SELECT current_setting('server_encoding'), quote_ident(current_database())";

/// Whether and why nothing can be written.
const WRITES: &str = "
    SELECT pg_is_in_recovery(), current_setting('transaction_read_only') = 'on', s.source,
           quote_ident(current_database()), quote_ident(session_user)
    FROM pg_settings s WHERE s.name = 'default_transaction_read_only'";

/// Limits that an administrator has set for other programs, and that our sessions override.
const LIMITS: [&str; 5] = [
    "statement_timeout",
    "lock_timeout",
    "idle_session_timeout",
    "idle_in_transaction_session_timeout",
    "transaction_timeout",
];

impl Database {
    /// Refuses a database that cannot hold every character: Arabic stands in every shop.
    pub async fn require_utf8(&self) -> Result<(), Failure> {
        let (encoding, database): (String, String) = sqlx::query_as(ENCODING)
            .fetch_one(self.pool())
            .await
            .map_err(|error| database_failure("reading PostgreSQL's encoding", &error))?;
        if encoding == "UTF8" {
            return Ok(());
        }
        Err(Failure::Database {
            message: format!(
                "the database's encoding is {encoding}, UTF8 is needed, and a database keeps its \
                 encoding; make another one (CREATE DATABASE {database}_utf8 ENCODING 'UTF8' \
                 LOCALE 'C' TEMPLATE template0) and name it in DATABASE_URL"
            ),
            cause: DatabaseCause::Setup,
        })
    }

    /// Refuses a database that takes no writes, and says what makes it so.
    pub async fn require_writable(&self) -> Result<(), Failure> {
        let (is_standby, is_read_only, source, database, user): (
            bool,
            bool,
            String,
            String,
            String,
        ) = sqlx::query_as(WRITES)
            .fetch_one(self.pool())
            .await
            .map_err(|error| database_failure("checking whether PostgreSQL is writable", &error))?;
        if !is_read_only {
            return Ok(());
        }
        let reason = if is_standby {
            "this server is a standby; use the address of the primary".to_owned()
        } else {
            let setting = "default_transaction_read_only";
            let place = match source.as_str() {
                "database" => {
                    format!("set on the database: ALTER DATABASE {database} RESET {setting}")
                }
                "user" => format!("set on the role: ALTER ROLE {user} RESET {setting}"),
                "database user" => format!(
                    "set on the role in this database: ALTER ROLE {user} IN DATABASE {database} \
                     RESET {setting}"
                ),
                "client" => "set by the options in DATABASE_URL or PGOPTIONS".to_owned(),
                _ => format!("set for the whole server (see SHOW config_file): {source}"),
            };
            format!(
                "{setting} is {place}; a managed database may do so automatically when its disk is \
                 nearly full"
            )
        };
        Err(Failure::Database {
            message: format!("the database is read-only: {reason}"),
            cause: DatabaseCause::ReadOnly,
        })
    }

    /// The limits of time that were set for this role or database, each with where. They hold
    /// for other programs: sessions of this one set their own.
    pub async fn foreign_limits(&self) -> Result<Vec<String>, Failure> {
        let names = LIMITS.map(|name| format!("'{name}'")).join(", ");
        let sql = format!(
            "SELECT format('%s = %s (%s)', split_part(setting, '=', 1),
                           substr(setting, strpos(setting, '=') + 1),
                           CASE WHEN s.setrole = 0 THEN 'database ' || current_database()
                                WHEN s.setdatabase = 0 THEN 'role ' || session_user
                                ELSE 'role ' || session_user || ' in database '
                                     || current_database() END)
             FROM pg_db_role_setting s CROSS JOIN LATERAL unnest(s.setconfig) AS setting
             WHERE s.setdatabase IN (0, (SELECT oid FROM pg_database
                                         WHERE datname = current_database()))
               AND s.setrole IN (0, (SELECT oid FROM pg_roles WHERE rolname = session_user))
               AND split_part(setting, '=', 1) IN ({names})
             ORDER BY 1"
        );
        sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_all(self.pool())
            .await
            .map_err(|error| database_failure("reading the limits of sessions", &error))
    }
}
