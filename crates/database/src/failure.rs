//! What PostgreSQL's errors mean to the import.
//!
//! PostgreSQL's own messages may quote values of a record, which are personal data,
//! so a failure tells only what was being done and the kind of the error.

use domain::failure::{Disconnection, Failure};
use uuid::Uuid;

/// What can stop a piece of work inside a transaction.
#[derive(Debug)]
pub(crate) enum Trouble {
    Sql(sqlx::Error),
    Failure(Failure),
    /// A connection that must not be used, and is to be parked.
    Unfit {
        connection: Uuid,
        why: Disconnection,
    },
}

impl From<sqlx::Error> for Trouble {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl Trouble {
    /// The failure to report when `doing` did not succeed.
    pub(crate) fn while_doing(self, doing: &str) -> Failure {
        match self {
            Self::Failure(failure) => failure,
            Self::Unfit { why, .. } => why.into(),
            Self::Sql(error) => database_failure(doing, &error),
        }
    }

    /// A row was there that was taken to be absent.
    pub(crate) fn is_duplicate(&self) -> bool {
        match self {
            Self::Failure(_) | Self::Unfit { .. } => false,
            Self::Sql(error) => {
                let code = error.as_database_error().and_then(|db| db.code());
                code.is_some_and(|code| code == "23505")
            }
        }
    }

    /// Somebody else held a lock for longer than this work wants to wait.
    pub(crate) fn is_lock_timeout(&self) -> bool {
        match self {
            Self::Failure(_) | Self::Unfit { .. } => false,
            Self::Sql(error) => {
                let code = error.as_database_error().and_then(|db| db.code());
                code.is_some_and(|code| code == "55P03")
            }
        }
    }

    /// Whether the same work may succeed if it is simply begun again.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Failure(_) | Self::Unfit { .. } => false,
            Self::Sql(error) => may_pass(error),
        }
    }
}

pub(crate) fn database_failure(doing: &str, error: &sqlx::Error) -> Failure {
    Failure::Database {
        what: format!("{doing}: {}", reason(error)),
    }
}

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
        sqlx::Error::Io(io) => match io.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some(tls) => handshake(tls),
            None if io.kind() == std::io::ErrorKind::NotFound => {
                "there is no such socket of PostgreSQL, or no such file of certificates".to_owned()
            }
            None => format!("the connection to PostgreSQL broke ({})", io.kind()),
        },
        // What can be wrong before the handshake, in sqlx's words: it quotes at most the
        // name of a file.
        sqlx::Error::Tls(why) => format!("no TLS connection to PostgreSQL ({why})"),
        sqlx::Error::PoolTimedOut => "no connection to PostgreSQL became free in time".to_owned(),
        sqlx::Error::PoolClosed => "the connections to PostgreSQL are closed".to_owned(),
        sqlx::Error::RowNotFound => "a row that must be there is missing".to_owned(),
        _ => "PostgreSQL answered with something unexpected".to_owned(),
    }
}

/// Why the server's certificate was not accepted. The texts are of the TLS library and
/// tell of the certificate at most for whom it was issued.
fn handshake(error: &rustls::Error) -> String {
    use rustls::CertificateError as Wrong;
    let hint = match error {
        rustls::Error::InvalidCertificate(wrong) => match wrong {
            // The second one where two authorities have the same name.
            Wrong::UnknownIssuer | Wrong::BadSignature => {
                "; name the certificate of the authority that signed it with sslrootcert=FILE"
            }
            Wrong::NotValidForName | Wrong::NotValidForNameContext { .. } => {
                "; connect by a name that the certificate holds"
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
        "40001" | "40P01" => "it got into the way of another transaction",
        "42501" => "permission denied",
        "25006" => "the server is read-only",
        "25P03" => "a transaction was idle for too long",
        "53100" => "the disk is full",
        "53200" => "out of memory",
        "53300" => "too many connections",
        "57014" => "the statement was cancelled",
        "57P01" | "57P02" => "the server is shutting down",
        "57P03" => "the server is starting up",
        _ => match code.get(..2) {
            Some("08") => "connection trouble",
            Some("22") => "a value does not fit its column",
            Some("23") => "a constraint does not hold",
            Some("53") => "not enough resources",
            Some("58") => "a system error",
            _ => "see the server's log",
        },
    }
}

/// Deadlocks, serialization failures, and everything that a server restart does to
/// its clients.
fn may_pass(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut => true,
        sqlx::Error::Database(db) => {
            let code = db.code().unwrap_or_default();
            matches!(
                code.as_ref(),
                "40001" | "40P01" | "55P03" | "25P03" | "57P01" | "57P02" | "57P03" | "53300"
            ) || code.starts_with("08")
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_connection_may_pass_and_a_closed_pool_does_not() {
        let broken = sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into());
        assert!(may_pass(&broken));
        assert!(!may_pass(&sqlx::Error::PoolClosed));
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
}
