//! Transactions that may be dropped in the middle of a `COPY`, those that must be durable, and
//! the fencing check that every write for a run begins with.

use std::ops::{Deref, DerefMut};

use domain::failure::Failure;
use domain::shop::MerchantId;
use importer::ports::landing::RunLease;
use sqlx::pool::PoolConnection;
use sqlx::{Executor as _, PgConnection, PgPool, Postgres};

use crate::error::TxError;

/// A transaction whose commit survives a crash of the server whatever the database, the role
/// or the server says about `synchronous_commit`: what is sent to Salla afterwards cannot be
/// undone. A stricter setting stays as it is.
pub(crate) async fn begin_durable(
    pool: &PgPool,
) -> Result<sqlx::Transaction<'static, Postgres>, TxError> {
    let mut tx = pool.begin().await?;
    (&mut *tx).execute(DURABLE).await?;
    Ok(tx)
}

const DURABLE: &str = "
    SELECT set_config('synchronous_commit', 'on', true)
    WHERE current_setting('synchronous_commit') IN ('off', 'local')";

/// Dropped before its end, it takes its connection with it.
///
/// sqlx counts the answers that a dropped query leaves behind, so that the connection's next user
/// skips them; of a dropped `COPY` it does not, and each later statement would be given the
/// response to the one before.
pub(crate) struct CopyTransaction {
    connection: Option<PoolConnection<Postgres>>,
}

/// Why the connection can be there always: only the end, which consumes the
/// transaction, takes it out.
const HELD: &str = "a transaction holds its connection until its end";

impl CopyTransaction {
    pub(crate) async fn begin(pool: &PgPool) -> Result<Self, TxError> {
        let mut begun = Self {
            connection: Some(pool.acquire().await?),
        };
        begun.execute("BEGIN").await?;
        Ok(begun)
    }

    /// Commits what succeeded; what failed is rolled back.
    pub(crate) async fn end<T>(mut self, result: Result<T, TxError>) -> Result<T, TxError> {
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

/// A run that was found to be held under the caller's fencing number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LockedRun {
    pub(crate) lease: RunLease,
    pub(crate) merchant: MerchantId,
    pub(crate) number: i64,
    pub(crate) keep_raw: bool,
    /// Spares a batch the search for rejections that it might resolve.
    pub(crate) has_open_rejections: bool,
    /// Spares a batch the search for altered rows.
    pub(crate) has_altered_records: bool,
    /// Rows must be written although the texts are the same, because they are read in another way
    /// now.
    pub(crate) rewrites: bool,
    /// The session is neither the tables' owner nor exempt from row-level security, so it may
    /// copy nothing into them.
    pub(crate) is_secured: bool,
}

#[derive(sqlx::FromRow)]
pub(crate) struct LockedRunRow {
    number: i64,
    keep_raw: bool,
    has_open_rejections: bool,
    has_altered_records: bool,
    is_secured: bool,
}

/// Holds the run's key against a claim until the transaction ends. A key-share lock is enough: it
/// keeps out the FOR UPDATE of a claim and lets heartbeats and the counters of parallel landings
/// pass, which a share lock would deadlock with. What the transaction writes to salla does not
/// count as altered.
macro_rules! locked_run {
    () => {
        "SELECT r.number, r.keep_raw,
             EXISTS (SELECT FROM salla_sync.rejected_records x
                     WHERE x.merchant_id = r.merchant_id AND x.resolved_at IS NULL)
                 AS has_open_rejections,
             EXISTS (SELECT FROM salla_sync.altered_records a
                     WHERE a.merchant_id = r.merchant_id) AS has_altered_records,
             row_security_active('salla_sync.source_records') AS is_secured,
             set_config('salla_sync.landing', 'on', true)
         FROM salla_sync.sync_runs r
         WHERE r.id = $1 AND r.merchant_id = $2 AND r.fencing = $3 AND r.state = 'IN_PROGRESS'
         FOR KEY SHARE OF r"
    };
}
pub(crate) use locked_run;

pub(crate) async fn lock_run(tx: &mut PgConnection, lease: RunLease) -> Result<LockedRun, TxError> {
    let row: Option<LockedRunRow> = sqlx::query_as(locked_run!())
        .bind(lease.run.0)
        .bind(lease.merchant.0)
        .bind(lease.fencing_token)
        .fetch_optional(tx)
        .await?;
    let row = row.ok_or(Failure::LeaseLost)?;
    Ok(row.held(lease))
}

/// A transaction for a run that the caller holds, and that stays held until it ends.
pub(crate) async fn begin_leased(
    pool: &PgPool,
    lease: RunLease,
) -> Result<sqlx::Transaction<'static, Postgres>, TxError> {
    let mut tx = pool.begin().await?;
    lock_run(&mut tx, lease).await?;
    Ok(tx)
}

impl LockedRunRow {
    pub(crate) fn held(&self, lease: RunLease) -> LockedRun {
        LockedRun {
            lease,
            merchant: lease.merchant,
            number: self.number,
            keep_raw: self.keep_raw,
            has_open_rejections: self.has_open_rejections,
            has_altered_records: self.has_altered_records,
            rewrites: false,
            is_secured: self.is_secured,
        }
    }
}
