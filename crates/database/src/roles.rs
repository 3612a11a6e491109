//! Roles for each use, and the row-level security that gives the doors one merchant's rows only.
//!
//! Roles are optional: managed servers may not allow creating them, and a login that neither owns
//! the tables nor may bypass row-level security cannot `COPY` into them, so it writes first imports
//! in a slower way.

use domain::failure::{DatabaseCause, Failure};
use domain::shop::MerchantId;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use uuid::Uuid;

use crate::confined::Transactions;
use crate::connect::Database;
use crate::error::{database_failure, with_long_retries};
use crate::session;

const CREATE: &str = include_str!("../roles/create.sql");
const SECURE: &str = include_str!("../roles/secure.sql");

/// Reads of others wait behind a lock that waits, so it does not wait for long.
const MAX_WAIT: &str = "SET LOCAL lock_timeout = '5s'";

/// All that is done, for an administrator to run.
pub fn roles_script() -> String {
    format!("BEGIN;\n{MAX_WAIT};\n\n{CREATE}\n{SECURE}\nCOMMIT;\n")
}

/// What there is of roles and row-level security.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct RolesStatus {
    /// Those of the roles that are not there.
    pub missing_roles: Vec<String>,
    /// Tables of which the web server would see all rows.
    pub open_tables: Vec<String>,
    pub secured_tables: i64,
    pub login: String,
    /// The login may act as the doors do.
    pub may_be_confined: bool,
    /// Row-level security does not concern the login: it owns the tables or bypasses it.
    pub is_exempt: bool,
    /// Rows are hidden from the login itself, because it inherits the role of the doors.
    pub sees_nothing: bool,
}

impl RolesStatus {
    pub fn is_complete(&self) -> bool {
        self.missing_roles.is_empty() && self.open_tables.is_empty()
    }
}

const STATUS: &str = "
    WITH tables AS (
        SELECT n.nspname || '.' || c.relname AS name,
               c.relrowsecurity AND EXISTS (
                   SELECT FROM pg_policy p
                   WHERE p.polrelid = c.oid AND p.polname = 'web' AND NOT p.polpermissive)
                   AS is_secured
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname IN ('salla', 'salla_sync') AND c.relkind IN ('r', 'p')
          AND c.relname <> '_sqlx_migrations'
    )
    SELECT
        ARRAY(SELECT w FROM unnest(ARRAY['salla_sync_web', 'salla_sync_worker',
                                         'salla_sync_reports', 'salla_sync_cdc']) AS w
              WHERE to_regrole(w) IS NULL) AS missing_roles,
        ARRAY(SELECT name FROM tables WHERE NOT is_secured ORDER BY name) AS open_tables,
        (SELECT count(*) FROM tables WHERE is_secured) AS secured_tables,
        current_user::text AS login,
        coalesce(pg_has_role(to_regrole('salla_sync_web'), 'MEMBER'), false) AS may_be_confined,
        coalesce(NOT row_security_active(to_regclass('salla.orders')::oid), true) AS is_exempt,
        coalesce(row_security_active(to_regclass('salla.orders')::oid)
                 AND pg_has_role(to_regrole('salla_sync_web'), 'USAGE'), false) AS sees_nothing";

const MAY_CREATE: &str = "
    SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user";

const LOGIN: &str = "
    SELECT quote_ident(rolname), rolinherit, rolsuper,
           current_setting('server_version_num')::integer >= 160000
    FROM pg_roles WHERE rolname = $1";

/// What was done for a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    /// It lands as fast as before.
    pub bypasses: bool,
}

impl Database {
    /// Makes the roles that are missing, and gives every table its policies. May be repeated.
    pub async fn create_roles(&self) -> Result<(), Failure> {
        let status = self.roles_status().await?;
        if !status.missing_roles.is_empty() && !self.may_create_roles().await? {
            return Err(not_possible(format!(
                "{} may not create roles: have an administrator run what `salla-sync roles create \
                 --print` prints",
                status.login
            )));
        }
        self.in_one_transaction("making roles", &[CREATE, SECURE])
            .await
    }

    /// Gives tables that are new their policies, where the roles are in use.
    pub async fn renew_policies(&self) -> Result<(), Failure> {
        let status = self.roles_status().await?;
        if status.secured_tables == 0 || status.is_complete() {
            return Ok(());
        }
        self.in_one_transaction("securing new tables", &[SECURE])
            .await
    }

    pub async fn roles_status(&self) -> Result<RolesStatus, Failure> {
        sqlx::query_as(STATUS)
            .fetch_one(self.pool())
            .await
            .map_err(|error| database_failure("reading the roles", &error))
    }

    /// Lets a login work as a worker and act as the doors.
    pub async fn grant_roles(&self, login: &str) -> Result<Granted, Failure> {
        let failed = |error| database_failure("granting roles", &error);
        let found: Option<(String, bool, bool, bool)> = sqlx::query_as(LOGIN)
            .bind(login)
            .fetch_optional(self.pool())
            .await
            .map_err(failed)?;
        let Some((name, inherits, is_superuser, is_16)) = found else {
            return Err(not_possible(format!("there is no role {login:?}")));
        };
        if inherits && !is_superuser && !is_16 {
            return Err(not_possible(format!(
                "before PostgreSQL 16 {login:?} would always see what the web server sees, which is \
                 nothing: run ALTER ROLE {name} NOINHERIT, grant it what it needs directly, and \
                 repeat this"
            )));
        }
        let web = match is_16 {
            true => format!("GRANT salla_sync_web TO {name} WITH INHERIT FALSE, SET TRUE"),
            false => format!("GRANT salla_sync_web TO {name}"),
        };
        let worker = format!("GRANT salla_sync_worker TO {name}");
        self.in_one_transaction("granting roles", &[&web, &worker])
            .await?;
        let bypass = format!("ALTER ROLE {name} BYPASSRLS");
        let bypasses = self.pool().execute(AssertSqlSafe(bypass)).await;
        Ok(Granted {
            bypasses: is_superuser || bypasses.is_ok(),
        })
    }

    /// Whether transactions of the doors can be begun.
    pub async fn try_confined(&self) -> Result<(), Failure> {
        let no_merchant = MerchantId(Uuid::nil());
        let transactions = Transactions::new(self.pool().clone(), true);
        let begun = transactions.begin(no_merchant).await;
        begun
            .map(drop)
            .map_err(|error| error.into_failure("switching to the role of the web server"))
    }

    async fn may_create_roles(&self) -> Result<bool, Failure> {
        sqlx::query_scalar(MAY_CREATE)
            .fetch_one(self.pool())
            .await
            .map_err(|error| database_failure("reading the rights", &error))
    }

    async fn in_one_transaction(
        &self,
        doing: &'static str,
        scripts: &[&str],
    ) -> Result<(), Failure> {
        // Sessions that use the tables meanwhile may lock them in another order.
        with_long_retries(self.clock(), doing, || async {
            let mut connection = session::own(self.pool()).await?;
            let done = run(&mut connection, scripts).await;
            if let Err(error) = connection.close().await {
                tracing::debug!(%error, "the connection that created the roles was lost");
            }
            Ok(done?)
        })
        .await
    }
}

async fn run(connection: &mut PgConnection, scripts: &[&str]) -> Result<(), sqlx::Error> {
    let mut tx = connection.begin().await?;
    (&mut *tx).execute(MAX_WAIT).await?;
    for script in scripts {
        (&mut *tx)
            .execute(AssertSqlSafe((*script).to_owned()))
            .await?;
    }
    tx.commit().await
}

fn not_possible(what: String) -> Failure {
    Failure::Database {
        message: what,
        cause: DatabaseCause::Setup,
    }
}
