//! What every connection of the program has in common, whatever the server, the database, the
//! role or the address set.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions};
use sqlx::{Connection as _, Executor as _, PgPool};

use crate::error::is_cancelled;
use crate::error::{is_reusable, may_have_frozen, promptly};
use crate::sockets;

/// Sets the session, whatever was set before: limits on time that suit other programs would
/// cancel a landing again and again.
///
/// The limit on statements comes first, for it holds for the others here too. A worker that hangs
/// in the middle of a transaction must lose it before its lease runs out, or the next one would
/// wait for its locks. `transaction_timeout` is there from PostgreSQL 17 on. All names in our
/// statements have their schema. Compiling a plan takes longer than any of our statements. Notices
/// are for people. The last line is for the first minutes of an import: all our statements look
/// rows up by their keys, but a plan that was made while the tables were empty would keep scanning
/// them. What we send is not written into the server's log with an error, whatever the server is
/// set to; that each statement's values are written there is only for a superuser to forbid.
///
/// What decides where tables lie, and whether anything may be written at all, is left to who
/// administers the database.
const SESSION: &str = "
    SET statement_timeout = 0;
    SELECT pg_catalog.set_config('transaction_timeout', '0', false)
        WHERE pg_catalog.current_setting('transaction_timeout', true) IS NOT NULL;
    SET lock_timeout = 0;
    SET idle_session_timeout = 0;
    SET idle_in_transaction_session_timeout = '15s';
    SET default_transaction_isolation = 'read committed';
    SET default_transaction_deferrable = off;
    SET search_path = '';
    SET client_encoding = 'UTF8';
    SET TimeZone = 'UTC';
    SET DateStyle = 'ISO, MDY';
    SET IntervalStyle = 'postgres';
    SET bytea_output = 'hex';
    SET extra_float_digits = 1;
    SET standard_conforming_strings = on;
    SET client_min_messages = warning;
    SET log_parameter_max_length_on_error = 0;
    SET jit = off;
    SET enable_seqscan = off";

/// Whether a session may write. It may not on a standby, and not where it began while
/// `default_transaction_read_only` was set.
const MAY_WRITE: &str = "SELECT pg_catalog.current_setting('transaction_read_only') = 'off'";

/// Shorter than the waits after which work that has failed is begun again for the last times.
const MIN_RETRY_AFTER: Duration = Duration::from_millis(500);

/// A pool whose connections are all set up in this way.
///
/// A session that may not write never may again, though a new one can: after a failover it is on
/// the new primary. So each is tested before it is used, instead of sqlx's ping, which waits
/// forever, and one that is read-only, broken or frozen is replaced. In a busy pool that would be
/// one more wait for the server in each landing; so if all sessions could write when they started,
/// one that was just used is not tested.
pub(crate) fn pool(timeout: Duration, options: &PgConnectOptions) -> PgPoolOptions {
    let tcp_port = options.get_socket().is_none().then(|| options.get_port());
    let one_is_read_only = Arc::new(AtomicBool::new(false));
    let may_be_read_only = one_is_read_only.clone();
    PgPoolOptions::new()
        .acquire_timeout(timeout)
        .test_before_acquire(false)
        .before_acquire(move |connection, metadata| {
            let is_known_to_be_fit = metadata.idle_for < MIN_RETRY_AFTER
                && !may_have_frozen()
                && !may_be_read_only.load(Ordering::Relaxed);
            Box::pin(async move { Ok(is_known_to_be_fit || promptly(is_fit(connection)).await?) })
        })
        .after_release(|connection, _| Box::pin(is_reusable(connection)))
        .after_connect(move |connection, _| {
            if let Some(port) = tcp_port {
                sockets::prepare(port);
            }
            let one_is_read_only = one_is_read_only.clone();
            Box::pin(async move {
                set(connection).await?;
                if !may_write(connection).await {
                    one_is_read_only.store(true, Ordering::Relaxed);
                }
                end_what_was_given_up(connection).await
            })
        })
}

async fn is_fit(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    if !may_write(connection).await {
        return Ok(false);
    }
    end_what_was_given_up(connection).await?;
    Ok(true)
}

/// The server does not see that the other end of a connection is frozen: a landing that was
/// abandoned in the middle of its COPY keeps its locks, and its successor would wait for them.
async fn end_what_was_given_up(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    if may_have_frozen() {
        let ended = end_frozen(connection).await?;
        tracing::debug!(ended, "abandoned landings");
    }
    Ok(())
}

/// A limit that suits other programs may be over before the first line has lifted it.
const MAX_TRIES: u32 = 50;

pub(crate) async fn set(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    for _ in 1..MAX_TRIES {
        match connection.execute(SESSION).await {
            Err(error) if is_cancelled(&error) => {}
            result => return result.map(|_| ()),
        }
    }
    connection.execute(SESSION).await.map(|_| ())
}

async fn may_write(connection: &mut PgConnection) -> bool {
    let asked = sqlx::query_scalar(MAY_WRITE).fetch_one(connection).await;
    asked.unwrap_or(false)
}

/// A connection outside the pool, for settings that no other work may find.
pub(crate) async fn own(pool: &PgPool) -> Result<PgConnection, sqlx::Error> {
    let mut connection = PgConnection::connect_with(&pool.connect_options()).await?;
    set(&mut connection).await?;
    Ok(connection)
}

/// A process that was frozen while it copied rows in holds its lock for as long as its connection
/// lives: PostgreSQL takes it for a slow client, not for an idle one. Landings take a second, so
/// one that has been waiting for its client for fifteen is such a process; its lease has expired,
/// or no worker would be claiming. A process that waits for a lease reads meanwhile and does not
/// claim.
const END_FROZEN: &str = "
    SELECT count(pg_terminate_backend(a.pid))
    FROM pg_stat_activity a
    WHERE a.datname = current_database() AND a.usename = current_user
      AND a.application_name = current_setting('application_name')
      AND a.pid <> pg_backend_pid() AND a.state = 'active' AND a.wait_event = 'ClientRead'
      AND a.query_start < now() - interval '15 seconds'";

/// How many it has ended.
pub(crate) async fn end_frozen(connection: &mut PgConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(END_FROZEN).fetch_one(connection).await
}
