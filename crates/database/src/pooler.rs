//! Tells a pooler that takes sessions away from one that leaves them.
//!
//! Settings, prepared statements, LISTEN and the lock of the migrations belong to a
//! session. A pooler in transaction mode gives each transaction whichever session is
//! free: our settings would be missing here, and slow other programs down there.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Executor, PgConnection, PgPool, Row};

use crate::room::room;

/// Whether each connection has a session of its own for as long as it lasts, and if so,
/// for how many there is room. Leaves nothing behind in sessions that are not ours.
pub(crate) async fn sessions(
    options: &PgConnectOptions,
    patience: Duration,
) -> Result<Sessions, sqlx::Error> {
    let pair = PgPoolOptions::new()
        .max_connections(2)
        .acquire_timeout(patience)
        .connect_with(options.clone())
        .await?;
    // Where a pooler has a single session to give, the second one waits for it.
    let found = tokio::time::timeout(patience, look(&pair)).await;
    pair.close().await;
    found.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sessions {
    /// One for each connection, and so many of them.
    Kept {
        room: u32,
    },
    Shared,
}

async fn look(pair: &PgPool) -> Result<Sessions, sqlx::Error> {
    if !compare(pair).await? {
        return Ok(Sessions::Shared);
    }
    // The other one of the pair counts as somebody else's, and is about to go.
    let room = room(&mut *pair.acquire().await?).await? + 1;
    Ok(Sessions::Kept { room })
}

/// One connection alone would tell nothing: a pooler that has nothing else to do gives
/// it the same session again. So a second one takes that session away, if it can be
/// taken. Before, the first asks twice, for a pooler that hands sessions out in turn.
async fn compare(pair: &PgPool) -> Result<bool, sqlx::Error> {
    let mut ours = pair.acquire().await?;
    let mut other = pair.acquire().await?;
    let session = session(&mut ours).await?;
    if self::session(&mut ours).await? != session {
        return Ok(false);
    }
    other.execute("BEGIN").await?;
    let beside = self::session(&mut other).await?;
    let kept = beside != session && self::session(&mut ours).await? == session;
    // Before anything else: the first may need the session that this one holds.
    other.execute("ROLLBACK").await?;
    Ok(kept)
}

/// The server's process behind a connection. Not prepared: the statement would outlive
/// us in somebody else's session.
async fn session(connection: &mut PgConnection) -> Result<i32, sqlx::Error> {
    let row = connection
        .fetch_one(sqlx::raw_sql("SELECT pg_backend_pid()"))
        .await?;
    row.try_get(0)
}
