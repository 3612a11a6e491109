//! How many connections the server has left for us.
//!
//! A pool that may open more connections than there are goes on asking for one that the
//! server refuses, for as long as its patience lasts, while others of its own lie idle. So
//! a pool is made no larger than there is room.

use sqlx::{Executor as _, PgConnection, Row as _};

/// Each limit less the sessions that count against it, this one left out. Of other users
/// PostgreSQL does not tell what kind of session it is.
const ROOM: &str = "
    WITH others AS (
        SELECT usesysid, datid FROM pg_stat_activity
        WHERE datid IS NOT NULL AND coalesce(backend_type, 'client backend') = 'client backend'
          AND pid <> pg_backend_pid()
    ), limits AS (
        SELECT current_setting('max_connections')::integer
                   - CASE WHEN r.rolsuper THEN 0
                          ELSE current_setting('superuser_reserved_connections')::integer
                               + coalesce(current_setting('reserved_connections', true), '0')::integer
                     END AS of_server,
               CASE WHEN r.rolconnlimit >= 0 AND NOT r.rolsuper THEN r.rolconnlimit END AS of_role,
               CASE WHEN d.datconnlimit >= 0 AND NOT r.rolsuper THEN d.datconnlimit END AS of_database,
               r.oid AS role, d.oid AS database
        FROM pg_roles r CROSS JOIN pg_database d
        WHERE r.rolname = session_user AND d.datname = current_database()
    )
    SELECT least(of_server - (SELECT count(*) FROM others),
                 of_role - (SELECT count(*) FROM others WHERE usesysid = role),
                 of_database - (SELECT count(*) FROM others WHERE datid = database))::integer
    FROM limits";

/// How many sessions we may have, the present one included.
pub(crate) async fn room(connection: &mut PgConnection) -> Result<u32, sqlx::Error> {
    let row = connection.fetch_one(sqlx::raw_sql(ROOM)).await?;
    let room: i32 = row.try_get(0)?;
    Ok(u32::try_from(room).unwrap_or(0))
}
