//! Transactions for one merchant, in which the database shows no rows of another in any statement,
//! if the roles exist (see [`crate::roles`]).

use domain::shop::MerchantId;
use sqlx::{AssertSqlSafe, PgPool, Postgres, Transaction};

use crate::error::TxError;

#[derive(Clone, Debug)]
pub(crate) struct Transactions {
    pool: PgPool,
    is_confined: bool,
}

impl Transactions {
    pub(crate) fn new(pool: PgPool, is_confined: bool) -> Self {
        Self { pool, is_confined }
    }

    pub(crate) fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Role and merchant are set for this transaction alone, in the round trip that begins it.
    pub(crate) async fn begin(
        &self,
        merchant: MerchantId,
    ) -> Result<Transaction<'static, Postgres>, TxError> {
        if !self.is_confined {
            return Ok(self.pool.begin().await?);
        }
        // The id is hexadecimal and hyphens.
        let begin = format!(
            "BEGIN; SET LOCAL ROLE salla_sync_web; \
             SELECT pg_catalog.set_config('salla_sync.merchant', '{}', true)",
            merchant.0
        );
        Ok(self.pool.begin_with(AssertSqlSafe(begin)).await?)
    }
}
