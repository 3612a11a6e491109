//! Which of the app's accounts a shop belongs to.

use std::sync::Arc;

use async_trait::async_trait;
use domain::failure::{DatabaseCause, Failure};
use domain::shop::MerchantId;
use importer::ports::claims::{
    Account, AccountShop, Claim, Claimed, ClaimedBy, Claims, Link, NewClaim, NewCode, NewLink,
    Opens, SyncDepth, UsedCode,
};
use importer::ports::clock::Clock;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::error::{TxError, with_retries};
use crate::transaction::begin_durable;

/// [`Claims`] on PostgreSQL.
#[derive(Clone, Debug)]
pub struct PostgresClaims {
    pub(crate) pool: PgPool,
    pub(crate) clock: Arc<dyn Clock>,
}

/// Concurrent claims of the shop wait here.
const ENTER: &str = "
    INSERT INTO salla_sync.shop_claims (salla_id, claimed_by, claimed_at) VALUES ($1, $2, $3)
    ON CONFLICT (salla_id) DO NOTHING";

const LOCKED: &str = "
    SELECT salla_id, account, depth_months FROM salla_sync.shop_claims
    WHERE salla_id = $1 FOR UPDATE";

const FILL: &str = "
    UPDATE salla_sync.shop_claims SET
        account = coalesce(account, $2),
        named_at = CASE WHEN account IS NULL AND $2 IS NOT NULL THEN $4 ELSE named_at END,
        depth_months = coalesce($3, depth_months)
    WHERE salla_id = $1";

const OF_SHOP: &str = "
    SELECT salla_id, account, depth_months FROM salla_sync.shop_claims WHERE salla_id = $1";

const OF_ACCOUNT: &str = "
    SELECT k.salla_id, m.id AS merchant_id, m.name, k.named_at FROM salla_sync.shop_claims k
    LEFT JOIN salla_sync.merchants m USING (salla_id)
    WHERE k.account = $1 ORDER BY k.named_at DESC, k.salla_id";

const ADD_CODE: &str = "
    INSERT INTO salla_sync.claim_codes (hmac, account, depth_months, created_at, expires_at)
    VALUES ($1, $2, $3, $4, $5) ON CONFLICT (hmac) DO NOTHING";

const CODE: &str = "
    SELECT account, depth_months, expires_at, used_by FROM salla_sync.claim_codes
    WHERE hmac = $1 FOR UPDATE";

const SPEND_CODE: &str = "
    UPDATE salla_sync.claim_codes SET used_at = $3, used_by = $2 WHERE hmac = $1";

const ADD_LINK: &str = "
    INSERT INTO salla_sync.page_links
        (hash, account, salla_id, depth_months, created_at, expires_at)
    VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (hash) DO NOTHING";

const HAS_LINK: &str = "
    SELECT EXISTS (SELECT FROM salla_sync.page_links
                   WHERE hash = $1 AND used_at IS NULL AND expires_at > $2)";

const USE_LINK: &str = "
    UPDATE salla_sync.page_links SET used_at = $2, state = $3
    WHERE hash = $1 AND used_at IS NULL AND expires_at > $2
    RETURNING account, salla_id, depth_months";

const LINK_OF_STATE: &str = "
    SELECT account, salla_id, depth_months FROM salla_sync.page_links WHERE state = $1";

const CLEAR_LINKS: &str = "DELETE FROM salla_sync.page_links WHERE expires_at < $1";
const CLEAR_CODES: &str = "DELETE FROM salla_sync.claim_codes WHERE expires_at < $1";

fn months(depth: Option<SyncDepth>) -> Option<i16> {
    depth.map(|depth| i16::try_from(depth.months()).unwrap_or(i16::MAX))
}

fn depth(months: Option<i16>) -> Option<SyncDepth> {
    SyncDepth::of_months(u64::try_from(months?).ok()?)
}

#[derive(sqlx::FromRow)]
struct ClaimRow {
    salla_id: i64,
    account: Option<String>,
    depth_months: Option<i16>,
}

#[derive(sqlx::FromRow)]
struct AccountShopRow {
    salla_id: i64,
    merchant_id: Option<Uuid>,
    name: Option<String>,
    named_at: jiff_sqlx::Timestamp,
}

#[derive(sqlx::FromRow)]
struct CodeRow {
    account: String,
    depth_months: Option<i16>,
    expires_at: jiff_sqlx::Timestamp,
    used_by: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct LinkRow {
    account: Option<String>,
    salla_id: Option<i64>,
    depth_months: Option<i16>,
}

impl LinkRow {
    fn link(self) -> Result<Link, Failure> {
        let account = self.account.as_deref().and_then(Account::new);
        let opens = match (account, self.salla_id) {
            (Some(account), None) => Opens::Account(account),
            (None, Some(salla_id)) => Opens::Shop(salla_id),
            _ => {
                return Err(Failure::Database {
                    message: "a link leads to nothing that this version knows".to_owned(),
                    cause: DatabaseCause::Setup,
                });
            }
        };
        Ok(Link {
            opens,
            depth: depth(self.depth_months),
        })
    }
}

async fn claim(
    tx: &mut PgConnection,
    claim: &NewClaim,
    now: Timestamp,
) -> Result<Claimed, TxError> {
    let entered = sqlx::query(ENTER)
        .bind(claim.salla_id)
        .bind(claim.by.as_str())
        .bind(now.to_sqlx())
        .execute(&mut *tx)
        .await?;
    let known: ClaimRow = sqlx::query_as(LOCKED)
        .bind(claim.salla_id)
        .fetch_one(&mut *tx)
        .await?;
    let account = claim.account.as_ref().map(Account::as_str);
    if let (Some(known), Some(account)) = (&known.account, account)
        && known != account
    {
        return Ok(Claimed::OtherAccount);
    }
    let is_named = known.account.is_none() && account.is_some();
    let is_other_depth = claim.depth.is_some() && depth(known.depth_months) != claim.depth;
    sqlx::query(FILL)
        .bind(claim.salla_id)
        .bind(account)
        .bind(months(claim.depth))
        .bind(now.to_sqlx())
        .execute(&mut *tx)
        .await?;
    Ok(
        match entered.rows_affected() > 0 || is_named || is_other_depth {
            true => Claimed::New,
            false => Claimed::Same,
        },
    )
}

async fn use_code(
    pool: &PgPool,
    hmac: &[u8; 32],
    salla_id: i64,
    wished: Option<SyncDepth>,
    now: Timestamp,
) -> Result<UsedCode, TxError> {
    let mut tx = begin_durable(pool).await?;
    let code: Option<CodeRow> = sqlx::query_as(CODE)
        .bind(hmac.as_slice())
        .fetch_optional(&mut *tx)
        .await?;
    let Some(code) = code else {
        return Ok(UsedCode::Unknown);
    };
    match code.used_by {
        Some(by) if by == salla_id => {}
        Some(_) => return Ok(UsedCode::Spent),
        None if code.expires_at.to_jiff() <= now => return Ok(UsedCode::Expired),
        None => {}
    }
    let new = NewClaim {
        salla_id,
        account: Account::new(&code.account),
        // A code that comes again says nothing new.
        depth: wished.or(match code.used_by {
            Some(_) => None,
            None => depth(code.depth_months),
        }),
        by: ClaimedBy::Code,
    };
    let claimed = claim(&mut tx, &new, now).await?;
    if claimed != Claimed::OtherAccount && code.used_by.is_none() {
        sqlx::query(SPEND_CODE)
            .bind(hmac.as_slice())
            .bind(salla_id)
            .bind(now.to_sqlx())
            .execute(&mut *tx)
            .await?;
    }
    tx.commit().await?;
    Ok(UsedCode::Claimed(claimed))
}

#[async_trait]
impl Claims for PostgresClaims {
    async fn claim(&self, new: &NewClaim) -> Result<Claimed, Failure> {
        let now = self.clock.now();
        with_retries(&self.clock, "claiming a shop", || async {
            let mut tx = begin_durable(&self.pool).await?;
            let claimed = claim(&mut tx, new, now).await?;
            tx.commit().await?;
            Ok(claimed)
        })
        .await
    }

    async fn of_shop(&self, salla_id: i64) -> Result<Option<Claim>, Failure> {
        let row: Option<ClaimRow> =
            with_retries(&self.clock, "reading who has claimed a shop", || async {
                let found = sqlx::query_as(OF_SHOP).bind(salla_id);
                Ok(found.fetch_optional(&self.pool).await?)
            })
            .await?;
        Ok(row.map(|row| Claim {
            salla_id: row.salla_id,
            account: row.account,
            depth: depth(row.depth_months),
        }))
    }

    async fn of_account(&self, account: &Account) -> Result<Vec<AccountShop>, Failure> {
        let doing = "reading the shops of an account";
        let rows: Vec<AccountShopRow> = with_retries(&self.clock, doing, || async {
            let found = sqlx::query_as(OF_ACCOUNT).bind(account.as_str());
            Ok(found.fetch_all(&self.pool).await?)
        })
        .await?;
        let shops = rows.into_iter().map(|row| AccountShop {
            salla_id: row.salla_id,
            merchant: row.merchant_id.map(MerchantId),
            name: row.name,
            named_at: row.named_at.to_jiff(),
        });
        Ok(shops.collect())
    }

    async fn add_code(&self, code: &NewCode) -> Result<(), Failure> {
        let now = self.clock.now();
        with_retries(&self.clock, "storing a one-time code", || async {
            sqlx::query(ADD_CODE)
                .bind(code.hmac.as_slice())
                .bind(code.account.as_str())
                .bind(months(code.depth))
                .bind(now.to_sqlx())
                .bind(code.expires_at.to_sqlx())
                .execute(&self.pool)
                .await?;
            Ok(())
        })
        .await
    }

    async fn use_code(
        &self,
        hmac: &[u8; 32],
        salla_id: i64,
        depth: Option<SyncDepth>,
    ) -> Result<UsedCode, Failure> {
        let now = self.clock.now();
        with_retries(&self.clock, "using a one-time code", || {
            use_code(&self.pool, hmac, salla_id, depth, now)
        })
        .await
    }

    async fn add_link(&self, link: &NewLink) -> Result<(), Failure> {
        let now = self.clock.now();
        let (account, salla_id) = match &link.opens {
            Opens::Account(account) => (Some(account.as_str()), None),
            Opens::Shop(salla_id) => (None, Some(*salla_id)),
        };
        with_retries(&self.clock, "storing a link", || async {
            sqlx::query(ADD_LINK)
                .bind(link.hash.as_slice())
                .bind(account)
                .bind(salla_id)
                .bind(months(link.depth))
                .bind(now.to_sqlx())
                .bind(link.expires_at.to_sqlx())
                .execute(&self.pool)
                .await?;
            Ok(())
        })
        .await
    }

    async fn has_link(&self, hash: &[u8; 32]) -> Result<bool, Failure> {
        let now = self.clock.now();
        with_retries(&self.clock, "looking up a link", || async {
            let found = sqlx::query_scalar(HAS_LINK)
                .bind(hash.as_slice())
                .bind(now.to_sqlx());
            Ok(found.fetch_one(&self.pool).await?)
        })
        .await
    }

    async fn use_link(
        &self,
        hash: &[u8; 32],
        state: Option<&[u8; 32]>,
    ) -> Result<Option<Link>, Failure> {
        let now = self.clock.now();
        // A repetition after a lost commit would find the link used, and its holder opens another.
        let row: Option<LinkRow> = with_retries(&self.clock, "using a link", || async {
            let used = sqlx::query_as(USE_LINK)
                .bind(hash.as_slice())
                .bind(now.to_sqlx())
                .bind(state.map(<[u8; 32]>::as_slice));
            Ok(used.fetch_optional(&self.pool).await?)
        })
        .await?;
        row.map(LinkRow::link).transpose()
    }

    async fn link_of_state(&self, state: &[u8; 32]) -> Result<Option<Link>, Failure> {
        let row: Option<LinkRow> =
            with_retries(&self.clock, "looking up the link of a consent", || async {
                let found = sqlx::query_as(LINK_OF_STATE).bind(state.as_slice());
                Ok(found.fetch_optional(&self.pool).await?)
            })
            .await?;
        row.map(LinkRow::link).transpose()
    }

    async fn clear(&self, links: Timestamp, codes: Timestamp) -> Result<(), Failure> {
        with_retries(&self.clock, "deleting expired codes and links", || async {
            let old_links = sqlx::query(CLEAR_LINKS).bind(links.to_sqlx());
            old_links.execute(&self.pool).await?;
            let old_codes = sqlx::query(CLEAR_CODES).bind(codes.to_sqlx());
            old_codes.execute(&self.pool).await?;
            Ok(())
        })
        .await
    }
}
