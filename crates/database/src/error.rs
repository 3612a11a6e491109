//! What PostgreSQL's errors mean to the import, and which work is begun again after one.
//!
//! PostgreSQL's own messages may quote values of a record, which are personal data, so a failure
//! contains only the operation and the kind of the error.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use domain::failure::{DatabaseCause, Disconnection, Failure};
use importer::ports::clock::Clock;
use sqlx::postgres::PgArguments;
use sqlx::{Connection as _, Error, PgConnection};
use tokio::sync::Notify;
use uuid::Uuid;

/// What can stop a piece of work inside a transaction.
#[derive(Debug)]
pub(crate) enum TxError {
    Sql(sqlx::Error),
    /// Rows that could not be written, with what it takes to look into it.
    Write(Box<FailedWrite>),
    Failure(Failure),
    /// A connection that must not be used, and must be disconnected.
    Unfit {
        connection: Uuid,
        why: Disconnection,
    },
}

/// Rows that the database did not take.
#[derive(Debug)]
pub(crate) struct FailedWrite {
    pub(crate) error: sqlx::Error,
    /// Finds the columns of the table that refuse a value of the rows. It needs a function that
    /// PostgreSQL has from 16 on.
    pub(crate) misfits: String,
    pub(crate) arguments: PgArguments,
}

impl From<sqlx::Error> for TxError {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<Failure> for TxError {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl TxError {
    /// The failure to report when `doing` did not succeed.
    pub(crate) fn into_failure(self, doing: &str) -> Failure {
        match self {
            Self::Failure(failure) => failure,
            Self::Unfit { why, .. } => why.into(),
            Self::Sql(error) => database_failure(doing, &error),
            Self::Write(write) => database_failure(doing, &write.error),
        }
    }

    /// What PostgreSQL said, if it said anything.
    pub(crate) fn sql(&self) -> Option<&sqlx::Error> {
        match self {
            Self::Failure(_) | Self::Unfit { .. } => None,
            Self::Sql(error) => Some(error),
            Self::Write(write) => Some(&write.error),
        }
    }

    /// Another session held a lock for longer than this work waits.
    pub(crate) fn is_lock_timeout(&self) -> bool {
        self.sql().is_some_and(is_lock_timeout)
    }

    /// Whether the same work may succeed if it is simply begun again.
    pub(crate) fn is_transient(&self) -> bool {
        self.sql().is_some_and(is_transient)
    }
}

static LOGIN_REFUSED: Notify = Notify::const_new();

/// Returns when PostgreSQL has refused the user or the password of this process, for the one that
/// knows where they came from.
pub async fn login_refused() {
    LOGIN_REFUSED.notified().await;
}

fn is_refused_login(code: &str) -> bool {
    matches!(code, "28000" | "28P01")
}

pub(crate) fn database_failure(doing: &str, error: &sqlx::Error) -> Failure {
    if let sqlx::Error::Database(db) = error
        && is_refused_login(&db.code().unwrap_or_default())
    {
        LOGIN_REFUSED.notify_one();
    }
    Failure::Database {
        message: format!("{doing}: {}", reason(error)),
        cause: cause(error),
    }
}

/// What has to happen before the same work can succeed.
pub(crate) fn cause(error: &sqlx::Error) -> DatabaseCause {
    match error {
        sqlx::Error::Database(db) => cause_of_code(&db.code().unwrap_or_default()),
        sqlx::Error::Io(io) if handshake_error(io).is_some() => DatabaseCause::Setup,
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut => DatabaseCause::Unavailable,
        sqlx::Error::Tls(_) | sqlx::Error::Configuration(_) => DatabaseCause::Setup,
        _ => DatabaseCause::Refused,
    }
}

fn cause_of_code(code: &str) -> DatabaseCause {
    match code {
        READ_ONLY => DatabaseCause::ReadOnly,
        "53100" => DatabaseCause::DiskFull,
        // An account, a right, a database, a table, an encoding.
        "28000" | "28P01" | "3D000" | "3F000" | "42501" | "42P01" | "42703" | "22P05" => {
            DatabaseCause::Setup
        }
        _ if code_is_transient(code) => DatabaseCause::Unavailable,
        _ => DatabaseCause::Refused,
    }
}

/// A transaction that may not write has tried to.
const READ_ONLY: &str = "25006";

/// The kind of an error in words that quote nothing.
pub(crate) fn reason(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(db) => {
            let code = db.code().unwrap_or_default();
            let mut text = format!("PostgreSQL refused it ({code} {})", condition(&code));
            for name in [db.table(), db.constraint()].into_iter().flatten() {
                text.push_str(&format!(", {name}"));
            }
            text
        }
        sqlx::Error::Io(io) => match handshake_error(io) {
            Some(tls) => handshake(tls),
            None => connection_error(io),
        },
        // What can be wrong before the handshake, in sqlx's words: it quotes at most the
        // name of a file.
        sqlx::Error::Tls(why) => format!("no TLS connection to PostgreSQL ({why})"),
        sqlx::Error::PoolTimedOut => {
            "no connection to PostgreSQL became free in time: all are in use, or the server no \
             longer accepts any"
                .to_owned()
        }
        sqlx::Error::PoolClosed => "the connections to PostgreSQL are closed".to_owned(),
        sqlx::Error::Encode(_) => "a value cannot be sent to PostgreSQL".to_owned(),
        sqlx::Error::RowNotFound => "a row that must be there is missing".to_owned(),
        _ => "PostgreSQL sent an unexpected response".to_owned(),
    }
}

fn handshake_error(error: &std::io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// Why there is no connection, or no longer.
fn connection_error(error: &std::io::Error) -> String {
    use std::io::ErrorKind as Kind;
    let reason = match error.kind() {
        Kind::NotFound => "there is no such socket of PostgreSQL, or no such file of certificates",
        Kind::ConnectionRefused => {
            "connection refused: nothing listens there; check host and port, and that PostgreSQL \
             is running and listens on that address"
        }
        Kind::NetworkUnreachable | Kind::HostUnreachable | Kind::AddrNotAvailable => {
            "network unreachable: this machine has no route to that host (IPv6 only? then this \
             machine needs IPv6, or the host an IPv4 address)"
        }
        Kind::TimedOut => {
            "no response in time: check host and port, and whether a firewall drops the packets"
        }
        Kind::PermissionDenied => {
            "permission denied: this user may not use that socket, or this machine forbids that \
             connection"
        }
        _ if is_unresolved(error) => {
            "the name of the host cannot be resolved: check how it is spelled, and DNS"
        }
        kind => return format!("the connection to PostgreSQL broke ({kind})"),
    };
    reason.to_owned()
}

/// The standard library has no kind for a name that DNS does not know, only these words.
fn is_unresolved(error: &std::io::Error) -> bool {
    let text = error.to_string();
    text.starts_with("failed to lookup address information")
        || text.starts_with("could not resolve to any address")
}

/// Why the server's certificate was not accepted. The texts come from the TLS library and contain
/// at most the names in the certificate.
fn handshake(error: &rustls::Error) -> String {
    use rustls::CertificateError as Wrong;
    let hint = match error {
        rustls::Error::InvalidCertificate(wrong) => match wrong {
            // The second one where two authorities have the same name.
            Wrong::UnknownIssuer | Wrong::BadSignature => {
                "; name the certificate of the authority that signed it with sslrootcert=FILE"
            }
            Wrong::NotValidForName | Wrong::NotValidForNameContext { .. } => {
                "; connect by a name in the certificate"
            }
            _ => "",
        },
        _ => "",
    };
    format!("no TLS connection to PostgreSQL ({error}){hint}")
}

/// The conditions an operator can meet, by SQLSTATE.
fn condition(code: &str) -> &'static str {
    match code {
        "28000" | "28P01" => "user or password not accepted",
        "3D000" => "the database does not exist",
        "3F000" | "42P01" | "42703" => "tables are missing or of another version",
        "40001" | "40P01" => "it conflicted with another transaction",
        "42501" => "permission denied",
        READ_ONLY => "the database is read-only",
        "22P05" => "the database's encoding does not have this character; UTF8 is needed",
        "25P03" => "a transaction was idle for too long",
        "53100" => "the disk is full",
        "53200" => "out of memory",
        "53300" => "too many connections",
        "42P07" | "42710" | "42723" => "something with that name exists already",
        "55P03" => "another session held a lock for too long",
        // Our sessions set no such limit, so the server or a proxy has.
        "57014" => {
            "the statement was cancelled: by pg_cancel_backend, or by a statement_timeout that a \
             pooler or proxy in between sets; salla-sync sets it to 0 in its own sessions"
        }
        "57P01" | "57P02" => "the server is shutting down",
        "57P03" => "the server is starting up",
        _ => match code.get(..2) {
            Some("08") => "connection error",
            Some("22") => "a value does not fit its column",
            Some("23") => "a constraint does not hold",
            Some("53") => "not enough resources",
            Some("54") => "a limit of PostgreSQL was exceeded",
            Some("58") => "a system error",
            Some("P0" | "38" | "39" | "45") => "a trigger or function raised it",
            _ => "see the server's log",
        },
    }
}

pub(crate) fn is_too_many_connections(error: &sqlx::Error) -> bool {
    has_code(error, "53300")
}

/// The server accepts no connections yet, after a start or a crash.
pub(crate) fn is_starting_up(error: &sqlx::Error) -> bool {
    has_code(error, "57P03")
}

/// A limit or an administrator ended a statement.
pub(crate) fn is_cancelled(error: &sqlx::Error) -> bool {
    has_code(error, "57014")
}

/// The server's limit ended a session that was idle, within a transaction or outside.
pub(crate) fn is_idle_for_too_long(error: &sqlx::Error) -> bool {
    has_code(error, "25P03") || has_code(error, "57P05")
}

pub(crate) fn is_deadlock(error: &sqlx::Error) -> bool {
    has_code(error, "40P01")
}

pub(crate) fn is_lock_timeout(error: &sqlx::Error) -> bool {
    has_code(error, "55P03")
}

fn has_code(error: &sqlx::Error, expected: &str) -> bool {
    let code = error.as_database_error().and_then(|db| db.code());
    code.is_some_and(|code| code == expected)
}

/// Deadlocks, serialization failures, and everything that a server restart does to
/// its clients.
fn is_transient(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut => true,
        sqlx::Error::Database(db) => {
            let code = db.code().unwrap_or_default();
            // After a failover the next connection leads to the new primary.
            code == READ_ONLY || code_is_transient(&code)
        }
        _ => false,
    }
}

fn code_is_transient(code: &str) -> bool {
    let known = [
        "40001", "40P01", "55P03", "25P03", "57P01", "57P02", "57P03", "57P05", "53300",
    ];
    known.contains(&code) || code.starts_with("08")
}

/// A server that restarts is back within the twelve seconds these add up to. The
/// caller's own retry, the next start of the run, follows after that.
const WAITS_MS: [u64; 7] = [50, 100, 250, 600, 1_500, 3_500, 6_000];

/// By then work on some hundred rows has ended, or its connection is dead: the server failed over,
/// or a proxy dropped it. It includes the wait for a connection. Real time, because the database
/// has no other.
const LIMIT: Duration = Duration::from_secs(30);

/// The same of work that reads all that a run has listed: each try has twice the time of the
/// one before. So a connection that is frozen is noticed within a minute, and work on a very
/// large shop ends all the same.
const LIMIT_OF_LONG_WORK: Duration = Duration::from_secs(60);
const MAX_LIMIT_OF_LONG_WORK: Duration = Duration::from_secs(1_800);

/// A live server responds to an empty query immediately.
const PING_LIMIT: Duration = Duration::from_secs(3);

/// How long abandoned landings are looked for after work has met its limit.
const DOUBT: Duration = Duration::from_secs(60);

/// Does `work` until it succeeds or fails permanently. It must be safe to repeat even when only the
/// response to its commit was lost.
pub(crate) async fn with_retries<T, W, F>(
    clock: &Arc<dyn Clock>,
    doing: &'static str,
    work: W,
) -> Result<T, Failure>
where
    W: FnMut() -> F + Send,
    F: Future<Output = Result<T, TxError>> + Send,
{
    with_retries_within((LIMIT, LIMIT), clock, doing, work).await
}

/// The same for work that may take minutes.
pub(crate) async fn with_long_retries<T, W, F>(
    clock: &Arc<dyn Clock>,
    doing: &'static str,
    work: W,
) -> Result<T, Failure>
where
    W: FnMut() -> F + Send,
    F: Future<Output = Result<T, TxError>> + Send,
{
    let limits = (LIMIT_OF_LONG_WORK, MAX_LIMIT_OF_LONG_WORK);
    with_retries_within(limits, clock, doing, work).await
}

async fn with_retries_within<T, W, F>(
    (mut limit, max): (Duration, Duration),
    clock: &Arc<dyn Clock>,
    doing: &'static str,
    mut work: W,
) -> Result<T, Failure>
where
    W: FnMut() -> F + Send,
    F: Future<Output = Result<T, TxError>> + Send,
{
    for wait in WAITS_MS {
        match within(limit, work()).await {
            Err(error) if error.is_transient() => {
                let failure = error.into_failure(doing);
                tracing::warn!(%failure, wait_ms = wait, "the database work is retried");
                clock.sleep(Duration::from_millis(wait)).await;
                limit = max.min(limit * 2);
            }
            result => return result.map_err(|error| error.into_failure(doing)),
        }
    }
    within(limit, work())
        .await
        .map_err(|error| error.into_failure(doing))
}

/// For work on some hundred rows inside work that may take minutes.
pub(crate) async fn shortly<T>(
    work: impl Future<Output = Result<T, TxError>> + Send,
) -> Result<T, TxError> {
    within(LIMIT, work).await
}

/// Abandoned work closes its connection; see [`is_reusable`].
async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, TxError>> + Send,
) -> Result<T, TxError> {
    let mut work = pin!(work);
    match tokio::time::timeout(limit, &mut work).await {
        Ok(result) => result,
        Err(_) => {
            // Before the work is dropped, which gives its connection back.
            doubt::begins();
            Err(timed_out().into())
        }
    }
}

fn timed_out() -> Error {
    Error::Io(std::io::ErrorKind::TimedOut.into())
}

/// For a query to which a live server responds immediately. The driver waits forever on a frozen
/// connection.
pub(crate) async fn promptly<T>(
    asking: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let answer = tokio::time::timeout(PING_LIMIT, asking).await;
    answer.unwrap_or_else(|_| Err(timed_out()))
}

/// Whether a returned connection may be used again.
///
/// The driver tests each one too, but it waits forever for a frozen one, and its slot in the pool
/// would be lost. And it does not notice an open transaction: it loses track of a BEGIN that is
/// dropped before its response. What is written on such a connection afterwards seems to be
/// stored, and is rolled back in the end. A transaction that begins with an empty query fails,
/// unless one is open already.
pub(crate) async fn is_reusable(connection: &mut PgConnection) -> Result<bool, Error> {
    promptly(async {
        match connection.begin_with("").await {
            Err(Error::BeginFailed) => Ok(true),
            Ok(_open) => Ok(false),
            Err(error) => Err(error),
        }
    })
    .await
}

/// Whether work has met its limit a short time ago.
pub(crate) fn may_have_frozen() -> bool {
    doubt::lasts()
}

mod doubt {
    use std::sync::Mutex;

    use tokio::time::Instant;

    use super::DOUBT;

    static SINCE: Mutex<Option<Instant>> = Mutex::new(None);

    pub(super) fn begins() {
        let mut since = SINCE
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        *since = Some(Instant::now());
    }

    pub(super) fn lasts() -> bool {
        let since = SINCE
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        since.is_some_and(|since| since.elapsed() < DOUBT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_connection_may_pass_and_a_closed_pool_does_not() {
        let broken = sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into());
        assert!(is_transient(&broken));
        assert!(!is_transient(&sqlx::Error::PoolClosed));
        assert_eq!(
            database_failure("landing a page", &broken).to_string(),
            "landing a page: the connection to PostgreSQL broke (connection reset)"
        );
    }

    #[test]
    fn every_condition_has_words() {
        for code in ["40P01", "53100", "23505", "08006", "XX000", ""] {
            assert!(!condition(code).is_empty(), "{code}");
        }
    }

    #[test]
    fn who_must_act_depends_on_the_cause() {
        for (code, expected) in [
            ("25006", DatabaseCause::ReadOnly),
            ("53100", DatabaseCause::DiskFull),
            ("42501", DatabaseCause::Setup),
            ("22P05", DatabaseCause::Setup),
            ("57P01", DatabaseCause::Unavailable),
            ("08006", DatabaseCause::Unavailable),
            ("57014", DatabaseCause::Refused),
            ("XX000", DatabaseCause::Refused),
        ] {
            assert_eq!(cause_of_code(code), expected, "{code}");
        }
    }

    #[test]
    fn each_reason_for_no_connection_has_words_of_its_own() {
        use std::io::{Error, ErrorKind};
        let unresolved = "failed to lookup address information: Name or service not known";
        for (error, part) in [
            (
                Error::from(ErrorKind::ConnectionRefused),
                "connection refused",
            ),
            (
                Error::from(ErrorKind::NetworkUnreachable),
                "network unreachable",
            ),
            (Error::from(ErrorKind::HostUnreachable), "no route"),
            (Error::from(ErrorKind::TimedOut), "firewall"),
            (Error::from(ErrorKind::NotFound), "no such socket"),
            (Error::other(unresolved), "cannot be resolved"),
        ] {
            let text = reason(&sqlx::Error::Io(error));
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
