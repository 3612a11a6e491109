//! Finds out whether a pooler keeps a session for each connection.
//!
//! Settings, prepared statements, LISTEN and the lock of the migrations belong to a
//! session. A pooler in transaction mode gives each transaction whichever session is
//! free: our settings would be missing here, and slow other programs down there.

use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, Executor as _, PgConnection, Row as _};

use crate::connect::room;
use crate::error::{is_cancelled, is_too_many_connections};
use crate::session;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sessions {
    /// One for each connection, and this many of them.
    Kept {
        room: u32,
    },
    Shared,
    /// There is none for a second connection.
    Single,
}

/// Whether each connection keeps the same session, and if so, how many are available. Changes
/// nothing in sessions that are not ours.
///
/// These connections are made without a pool, which would try again where nothing listens
/// instead of saying so.
pub(crate) async fn sessions(
    options: &PgConnectOptions,
    timeout: Duration,
) -> Result<Sessions, sqlx::Error> {
    let connecting = tokio::time::timeout(timeout, PgConnection::connect_with(options));
    let mut ours = connecting.await.unwrap_or_else(|_| Err(no_response()))?;
    let connecting = tokio::time::timeout(timeout, PgConnection::connect_with(options));
    let mut other = match connecting.await {
        Ok(Ok(other)) => other,
        Ok(Err(error)) if !is_too_many_connections(&error) => return Err(error),
        // Where a pooler has a single session to give, the second connection waits for it.
        _ => return Ok(Sessions::Single),
    };
    let found = tokio::time::timeout(timeout, look(&mut ours, &mut other)).await;
    // They may be gone already.
    let _ = tokio::join!(ours.close(), other.close());
    found.unwrap_or_else(|_| Err(no_response()))
}

fn no_response() -> sqlx::Error {
    sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())
}

async fn look(ours: &mut PgConnection, other: &mut PgConnection) -> Result<Sessions, sqlx::Error> {
    if !insist_on_comparison(ours, other).await? {
        return Ok(Sessions::Shared);
    }
    // The session is ours, so it may be set.
    session::set(ours).await?;
    // The other one of the pair counts as another client's, and is about to close.
    let room = room(ours).await? + 1;
    Ok(Sessions::Kept { room })
}

/// A limit meant for other programs may end even these queries, and cannot be lifted in sessions
/// that may be theirs. They are repeated as long as the caller waits.
async fn insist_on_comparison(
    ours: &mut PgConnection,
    other: &mut PgConnection,
) -> Result<bool, sqlx::Error> {
    loop {
        match compare(ours, other).await {
            Err(error) if is_cancelled(&error) => drop(other.execute("ROLLBACK").await),
            result => return result,
        }
    }
}

/// The second session waits while the first one is asked. The setting ends with the
/// transaction, so no other program finds it.
const BEGIN_WITHOUT_LIMIT: &str = "BEGIN; SET LOCAL idle_in_transaction_session_timeout = 0";

/// One connection alone would show nothing: an idle pooler gives it the same session again. So a
/// second one takes that session away, if possible. The first one queries twice before, in case the
/// pooler gives out sessions in turn.
async fn compare(ours: &mut PgConnection, other: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let session = backend(ours).await?;
    if backend(ours).await? != session {
        return Ok(false);
    }
    other.execute(BEGIN_WITHOUT_LIMIT).await?;
    let beside = backend(other).await?;
    let kept = beside != session && backend(ours).await? == session;
    // Before anything else: the first may need the session that this one holds.
    other.execute("ROLLBACK").await?;
    Ok(kept)
}

/// The server's process behind a connection. Not prepared: the statement would stay behind in
/// another client's session.
async fn backend(connection: &mut PgConnection) -> Result<i32, sqlx::Error> {
    let row = connection
        .fetch_one(sqlx::raw_sql("SELECT pg_backend_pid()"))
        .await?;
    row.try_get(0)
}
