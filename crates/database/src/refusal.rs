//! What the database does not take of a record, as opposed to what it cannot do now.

use sqlx::postgres::{PgArguments, PgDatabaseError};

use crate::error::{TxError, reason};

/// Why the database does not take a record. It quotes no value of it.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) reason: String,
    pub(crate) table: Option<TableName>,
    pub(crate) column: Option<String>,
    /// Of the constraint or the index.
    pub(crate) constraint: Option<String>,
    /// As in [`FailedWrite`](crate::error::FailedWrite).
    pub(crate) misfits: Option<(String, PgArguments)>,
}

#[derive(Debug)]
pub(crate) struct TableName {
    pub(crate) schema: String,
    pub(crate) name: String,
}

impl TxError {
    /// Whether the database refuses what a record says.
    pub(crate) fn is_refusal(&self) -> bool {
        match self.sql() {
            Some(sqlx::Error::Encode(_)) => true,
            Some(sqlx::Error::Database(db)) => is_of_data(&db.code().unwrap_or_default()),
            _ => false,
        }
    }

    /// What the database says of a record that it does not take; the error itself where
    /// the fault lies elsewhere.
    pub(crate) fn into_refusal(self) -> Result<Refusal, Self> {
        if !self.is_refusal() {
            return Err(self);
        }
        match self {
            Self::Failure(_) | Self::Unfit { .. } => Err(self),
            Self::Sql(error) => Ok(Refusal::of(&error, None)),
            Self::Write(write) => {
                let misfits = (write.misfits, write.arguments);
                Ok(Refusal::of(&write.error, Some(misfits)))
            }
        }
    }
}

impl Refusal {
    fn of(error: &sqlx::Error, misfits: Option<(String, PgArguments)>) -> Self {
        let named = error.as_database_error();
        let named = named.and_then(|db| db.try_downcast_ref::<PgDatabaseError>());
        let text = |of: fn(&PgDatabaseError) -> Option<&str>| named.and_then(of).map(str::to_owned);
        let table = named.and_then(|db| {
            Some(TableName {
                schema: db.schema()?.to_owned(),
                name: db.table()?.to_owned(),
            })
        });
        Self {
            reason: reason(error),
            table,
            column: text(PgDatabaseError::column),
            constraint: text(PgDatabaseError::constraint),
            misfits,
        }
    }
}

/// Whether a value does not fit its column, which PostgreSQL does not name.
pub(crate) fn is_misfit(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|db| db.code());
    code.is_some_and(|code| code.starts_with("22"))
}

/// Whether an error is due to what a record says: values that do not fit (class 22), constraints
/// (23, 27, 44), limits such as that of an index entry (54), and whatever a trigger raises, in
/// PL/pgSQL (P0), in other languages (38, 39), or with a separate code, for which the standard
/// reserves classes from 5 and from I on; PostgreSQL's own there are about the server. All others
/// would meet any record alike, as does an encoding that lacks the letters of a language.
fn is_of_data(code: &str) -> bool {
    match code.get(..2) {
        _ if code == "22P05" => false,
        Some("22" | "23" | "27" | "38" | "39" | "44" | "45" | "54" | "P0") => true,
        Some("53" | "55" | "57" | "58" | "XX") => false,
        Some(class) => class.starts_with(|first| matches!(first, '5'..='9' | 'I'..='Z')),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_record_says_is_held_against_it() {
        let of_data = [
            "22003", "22021", "22001", "22008", "23502", "23505", "23514", "23P01", "54000",
            "54001", "P0001", "P0004", "38000", "45000", "44000", "UE001", "90001",
        ];
        for code in of_data {
            assert!(is_of_data(code), "{code}");
        }
        let others = [
            "08006", "22P05", "25006", "25P02", "40001", "40P01", "42501", "42703", "42P01",
            "53100", "53200", "55P03", "57014", "57P01", "58030", "XX000", "XX001", "0A000", "",
        ];
        for code in others {
            assert!(!is_of_data(code), "{code}");
        }
    }
}
