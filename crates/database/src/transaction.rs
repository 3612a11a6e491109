//! Transactions that may be dropped in the middle of a `COPY`, and those that must be durable.

use std::ops::{Deref, DerefMut};

use sqlx::pool::PoolConnection;
use sqlx::{Executor as _, PgConnection, PgPool, Postgres};

use crate::failure::Trouble;

/// A transaction whose commit survives a crash of the server whatever the database, the role
/// or the server says about `synchronous_commit`: what is sent to Salla afterwards cannot be
/// undone. A stricter setting stays as it is.
pub(crate) async fn begin_durable(
    pool: &PgPool,
) -> Result<sqlx::Transaction<'static, Postgres>, Trouble> {
    let mut tx = pool.begin().await?;
    (&mut *tx).execute(DURABLE).await?;
    Ok(tx)
}

const DURABLE: &str = "
    SELECT set_config('synchronous_commit', 'on', true)
    WHERE current_setting('synchronous_commit') IN ('off', 'local')";

/// Dropped before its end, it takes its connection with it.
///
/// sqlx counts the answers that a dropped query leaves behind, so that the connection's
/// next user skips them; of a dropped `COPY` it does not, and each later statement would
/// be given the answer to the one before.
pub(crate) struct CopyTransaction {
    connection: Option<PoolConnection<Postgres>>,
}

/// Why the connection can be there always: only the end, which consumes the
/// transaction, takes it out.
const HELD: &str = "a transaction holds its connection until its end";

impl CopyTransaction {
    pub(crate) async fn begin(pool: &PgPool) -> Result<Self, Trouble> {
        let mut begun = Self {
            connection: Some(pool.acquire().await?),
        };
        begun.execute("BEGIN").await?;
        Ok(begun)
    }

    /// Commits what succeeded; what failed is rolled back.
    pub(crate) async fn end<T>(mut self, result: Result<T, Trouble>) -> Result<T, Trouble> {
        let word = if result.is_ok() { "COMMIT" } else { "ROLLBACK" };
        let ended = self.execute(word).await;
        if ended.is_ok() {
            // From here on it is an ordinary connection again.
            self.connection.take();
        }
        let value = result?;
        ended?;
        Ok(value)
    }
}

impl Deref for CopyTransaction {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.connection.as_deref().expect(HELD)
    }
}

impl DerefMut for CopyTransaction {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.connection.as_deref_mut().expect(HELD)
    }
}

impl Drop for CopyTransaction {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            drop(connection.detach());
        }
    }
}
