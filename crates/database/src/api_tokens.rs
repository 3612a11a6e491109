//! Who may use the HTTP API.

use std::sync::Arc;

use async_trait::async_trait;
use domain::failure::{DatabaseCause, Failure};
use domain::shop::MerchantId;
use importer::ports::api_access::{ApiScope, ApiToken, ApiTokens, NewApiToken};
use importer::ports::clock::Clock;
use jiff::SignedDuration;
use jiff_sqlx::ToSqlx;
use sqlx::PgPool;
use uuid::Uuid;

use crate::error::with_retries;
use crate::ids::new_id;

/// [`ApiTokens`] on PostgreSQL.
#[derive(Clone, Debug)]
pub struct PostgresApiTokens {
    pub(crate) pool: PgPool,
    pub(crate) clock: Arc<dyn Clock>,
}

macro_rules! select_tokens {
    ($rest:literal) => {
        concat!(
            "SELECT id, name, scopes, merchant_id, created_at, expires_at, revoked_at, \
             last_used_at FROM salla_sync.api_tokens ",
            $rest
        )
    };
}

const CREATE: &str = "
    INSERT INTO salla_sync.api_tokens
        (id, name, hash, scopes, merchant_id, created_at, expires_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (id) DO NOTHING";

const BY_ID: &str = select_tokens!("WHERE id = $1");
const LIST: &str = select_tokens!("ORDER BY id DESC");
const FIND: &str = select_tokens!(
    "WHERE hash = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)"
);

const REVOKE: &str = "
    UPDATE salla_sync.api_tokens SET revoked_at = coalesce(revoked_at, $2) WHERE id = $1";

const USED: &str = "UPDATE salla_sync.api_tokens SET last_used_at = $2 WHERE id = $1";

const MINUTE: SignedDuration = SignedDuration::from_mins(1);

#[derive(sqlx::FromRow)]
struct TokenRow {
    id: Uuid,
    name: String,
    scopes: Vec<String>,
    merchant_id: Option<Uuid>,
    created_at: jiff_sqlx::Timestamp,
    expires_at: Option<jiff_sqlx::Timestamp>,
    revoked_at: Option<jiff_sqlx::Timestamp>,
    last_used_at: Option<jiff_sqlx::Timestamp>,
}

impl TokenRow {
    fn token(self) -> Result<ApiToken, Failure> {
        let scopes = self.scopes.iter().map(|scope| ApiScope::parse(scope));
        let scopes: Option<Vec<ApiScope>> = scopes.collect();
        Ok(ApiToken {
            id: self.id,
            name: self.name,
            scopes: scopes.ok_or_else(|| Failure::Database {
                message: "a token of the API has a scope that is unknown to this version"
                    .to_owned(),
                cause: DatabaseCause::Setup,
            })?,
            merchant: self.merchant_id.map(MerchantId),
            created_at: self.created_at.to_jiff(),
            expires_at: self.expires_at.map(jiff_sqlx::Timestamp::to_jiff),
            revoked_at: self.revoked_at.map(jiff_sqlx::Timestamp::to_jiff),
            last_used_at: self.last_used_at.map(jiff_sqlx::Timestamp::to_jiff),
        })
    }
}

#[async_trait]
impl ApiTokens for PostgresApiTokens {
    async fn create(&self, token: &NewApiToken) -> Result<ApiToken, Failure> {
        let now = self.clock.now();
        let id = new_id(now);
        let scopes: Vec<&str> = token.scopes.iter().map(|scope| scope.as_str()).collect();
        let row: TokenRow = with_retries(&self.clock, "storing a token of the API", || async {
            sqlx::query(CREATE)
                .bind(id)
                .bind(&token.name)
                .bind(token.hash.as_slice())
                .bind(&scopes)
                .bind(token.merchant.map(|merchant| merchant.0))
                .bind(now.to_sqlx())
                .bind(token.expires_at.map(ToSqlx::to_sqlx))
                .execute(&self.pool)
                .await?;
            Ok(sqlx::query_as(BY_ID).bind(id).fetch_one(&self.pool).await?)
        })
        .await?;
        row.token()
    }

    async fn list(&self) -> Result<Vec<ApiToken>, Failure> {
        let rows: Vec<TokenRow> =
            with_retries(&self.clock, "listing tokens of the API", || async {
                Ok(sqlx::query_as(LIST).fetch_all(&self.pool).await?)
            })
            .await?;
        rows.into_iter().map(TokenRow::token).collect()
    }

    async fn revoke(&self, id: Uuid) -> Result<bool, Failure> {
        let now = self.clock.now();
        with_retries(&self.clock, "revoking a token of the API", || async {
            let revoked = sqlx::query(REVOKE).bind(id).bind(now.to_sqlx());
            Ok(revoked.execute(&self.pool).await?.rows_affected() > 0)
        })
        .await
    }

    async fn find(&self, hash: &[u8; 32]) -> Result<Option<ApiToken>, Failure> {
        let now = self.clock.now();
        let row: Option<TokenRow> =
            with_retries(&self.clock, "looking up a token of the API", || async {
                let found = sqlx::query_as(FIND)
                    .bind(hash.as_slice())
                    .bind(now.to_sqlx());
                Ok(found.fetch_optional(&self.pool).await?)
            })
            .await?;
        let Some(token) = row.map(TokenRow::token).transpose()? else {
            return Ok(None);
        };
        let last = token.last_used_at;
        if last.is_none_or(|last| now.duration_since(last).abs() >= MINUTE) {
            with_retries(&self.clock, "noting the use of a token", || async {
                let used = sqlx::query(USED).bind(token.id).bind(now.to_sqlx());
                used.execute(&self.pool).await?;
                Ok(())
            })
            .await?;
        }
        Ok(Some(token))
    }
}
