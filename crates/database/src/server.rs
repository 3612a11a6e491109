//! The server itself: making and dropping databases in it.

use domain::failure::Failure;
use sqlx::AssertSqlSafe;

use crate::connect::Database;
use crate::failure::database_failure;

/// PostgreSQL's code for a database that exists already.
const DUPLICATE_DATABASE: &str = "42P04";

impl Database {
    /// Makes a database unless it exists. `name` is an identifier of our own, never
    /// input.
    pub async fn create_database(&self, name: &'static str) -> Result<(), Failure> {
        let sql = AssertSqlSafe(format!("CREATE DATABASE \"{name}\""));
        match sqlx::query(sql).execute(self.pool()).await {
            Ok(_) => Ok(()),
            Err(sqlx::Error::Database(error))
                if error.code().as_deref() == Some(DUPLICATE_DATABASE) =>
            {
                Ok(())
            }
            Err(error) => Err(database_failure("making the database", &error)),
        }
    }

    /// Drops a database with all that is in it, whoever looks at it. `name` is an
    /// identifier of our own, never input.
    pub async fn drop_database(&self, name: &'static str) -> Result<(), Failure> {
        let sql = AssertSqlSafe(format!("DROP DATABASE IF EXISTS \"{name}\" WITH (FORCE)"));
        sqlx::query(sql)
            .execute(self.pool())
            .await
            .map_err(|error| database_failure("dropping the database", &error))?;
        Ok(())
    }
}
