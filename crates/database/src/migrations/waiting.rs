//! Steps of a migration that may have to wait for a lock. All other sessions wait behind the one
//! that waits for a table's lock, so each try is short, with a pause in between.

use std::time::Duration;

use domain::failure::{DatabaseCause, Failure};
use importer::ports::clock::Clock;
use sqlx::migrate::{Migrate as _, MigrateError, Migration};
use sqlx::{Executor as _, PgConnection, PgPool};

use super::{apply, failed};
use crate::connect::Database;
use crate::error::{database_failure, is_deadlock, is_lock_timeout};

/// How long workers may be blocked by a try.
const EACH_TRY: &str = "SET lock_timeout = '2s'";
/// Time for those who waited behind a try.
const BETWEEN_TRIES: Duration = Duration::from_secs(2);
/// After this time a person must end what holds the lock.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Between two looks for who is in the way of a try.
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);

/// The sessions that session $1 waits for. Their queries are private; the server does not show the
/// state of other roles' sessions either.
const BLOCKERS: &str = "
    SELECT DISTINCT b.pid, a.usename::text, a.application_name, a.state,
           to_char(a.xact_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')
    FROM unnest(pg_blocking_pids($1)) AS b(pid)
    LEFT JOIN pg_stat_activity a ON a.pid = b.pid
    ORDER BY b.pid";

type Blocker = (
    i32,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
);

#[derive(Clone, Copy)]
pub(super) enum Step<'a> {
    /// The lock that keeps two migrations apart.
    Lock,
    Apply {
        schemas: &'a [&'a str],
        migrations: &'a [Migration],
    },
}

impl Step<'_> {
    async fn run(self, connection: &mut PgConnection) -> Result<(), MigrateError> {
        match self {
            Self::Lock => connection.lock().await,
            Self::Apply {
                schemas,
                migrations,
            } => apply(connection, schemas, migrations).await,
        }
    }

    fn name(self) -> String {
        match self {
            Self::Lock => "the lock for migrations".to_owned(),
            Self::Apply { migrations, .. } => {
                let first = migrations.first().map_or(0, |one| one.version);
                format!("the locks of migration {first}")
            }
        }
    }
}

pub(super) struct Waiting<'a> {
    connection: &'a mut PgConnection,
    pid: i32,
    pool: &'a PgPool,
    clock: &'a dyn Clock,
    report: &'a (dyn Fn(&str) + Sync),
}

impl<'a> Waiting<'a> {
    pub(super) async fn begin(
        database: &'a Database,
        connection: &'a mut PgConnection,
        report: &'a (dyn Fn(&str) + Sync),
    ) -> Result<Self, Failure> {
        let failed = |error: sqlx::Error| database_failure("preparing to migrate", &error);
        connection.execute(EACH_TRY).await.map_err(failed)?;
        let pid = sqlx::query_scalar("SELECT pg_backend_pid()")
            .fetch_one(&mut *connection)
            .await
            .map_err(failed)?;
        Ok(Self {
            connection,
            pid,
            pool: database.pool(),
            clock: &**database.clock(),
            report,
        })
    }

    pub(super) fn connection(&mut self) -> &mut PgConnection {
        self.connection
    }

    /// Does the step, again and again while others are in the way, up to a bound.
    pub(super) async fn insist(&mut self, step: Step<'_>) -> Result<(), Failure> {
        let started = self.clock.monotonic();
        let mut blockers = String::new();
        loop {
            match self.attempt(step, &mut blockers).await {
                Err(error) if is_blocked(&error) => {}
                result => return result.map_err(failed),
            }
            let waited = self.clock.monotonic().saturating_sub(started);
            if waited >= TIMEOUT {
                return Err(given_up(step, waited, &blockers));
            }
            self.clock.sleep(BETWEEN_TRIES).await;
        }
    }

    /// One try, watched through another connection.
    async fn attempt(&mut self, step: Step<'_>, blockers: &mut String) -> Result<(), MigrateError> {
        let attempt = step.run(self.connection);
        tokio::pin!(attempt);
        loop {
            tokio::select! {
                result = &mut attempt => return result,
                () = self.clock.sleep(BETWEEN_LOOKS) => {}
            }
            let found = tokio::select! {
                result = &mut attempt => return result,
                found = find_blockers(self.pool, self.pid) => found,
            };
            if !found.is_empty() && found != *blockers {
                (self.report)(&format!("waiting for {}, held by {found}", step.name()));
                *blockers = found;
            }
        }
    }
}

fn is_blocked(error: &MigrateError) -> bool {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
            is_lock_timeout(error) || is_deadlock(error)
        }
        _ => false,
    }
}

/// In words; empty where there are none, or they cannot be seen.
async fn find_blockers(pool: &PgPool, pid: i32) -> String {
    let found: Result<Vec<Blocker>, _> = sqlx::query_as(BLOCKERS).bind(pid).fetch_all(pool).await;
    let found = found.unwrap_or_default();
    let words: Vec<String> = found.into_iter().map(describe).collect();
    words.join(" and ")
}

fn describe((pid, user, application, state, since): Blocker) -> String {
    // A prepared transaction belongs to no session.
    if pid == 0 {
        return "a prepared transaction (see pg_prepared_xacts)".to_owned();
    }
    let application = application.filter(|name| !name.is_empty());
    let parts = [
        application.map(|name| format!("application {name}")),
        user.map(|name| format!("user {name}")),
        state,
        since.map(|since| format!("its transaction open since {since} UTC")),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    match parts.is_empty() {
        true => format!("session {pid}"),
        false => format!("session {pid} ({})", parts.join(", ")),
    }
}

fn given_up(step: Step<'_>, waited: Duration, blockers: &str) -> Failure {
    let blockers = match blockers {
        "" => "another session",
        found => found,
    };
    Failure::Database {
        message: format!(
            "{} could not be had within {} s, because {blockers} has what they need; nothing was \
             changed by it. End that transaction (SELECT pg_terminate_backend(PID) does), or wait \
             for its end, and run `salla-sync migrate` again",
            step.name(),
            waited.as_secs()
        ),
        cause: DatabaseCause::Unavailable,
    }
}
