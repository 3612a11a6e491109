//! Merchants as the doors of the service see them.

use std::sync::Arc;

use async_trait::async_trait;
use domain::connection_change::ConnectionChangeKind;
use domain::failure::{DatabaseCause, Disconnection, Failure};
use domain::resource::Resource;
use domain::shop::MerchantId;
use importer::ports::clock::Clock;
use importer::ports::merchants::{
    MerchantConnection, MerchantRecord, MerchantRef, Merchants, Uninstalled,
};
use importer::ports::runs::ShopSummary;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::PgPool;
use uuid::Uuid;

use crate::confined::Transactions;
use crate::connections::{changes, parse_disconnection};
use crate::error::{TxError, with_retries};
use crate::transaction::begin_durable;

/// [`Merchants`] on PostgreSQL.
#[derive(Clone, Debug)]
pub struct PostgresMerchants {
    pool: PgPool,
    transactions: Transactions,
    clock: Arc<dyn Clock>,
}

impl PostgresMerchants {
    pub(crate) fn new(transactions: Transactions, clock: Arc<dyn Clock>) -> Self {
        Self {
            pool: transactions.pool().clone(),
            transactions,
            clock,
        }
    }
}

macro_rules! select_merchants {
    ($rest:literal) => {
        concat!(
            "SELECT m.id, m.salla_id, m.name, m.plan, m.uninstalled_at, c.state, \
             c.disconnected_why, k.account FROM salla_sync.merchants m \
             LEFT JOIN salla_sync.shop_claims k ON k.salla_id = m.salla_id \
             LEFT JOIN salla_sync.connections c ON c.merchant_id = m.id AND c.is_current ",
            $rest
        )
    };
}

const FIND: &str = select_merchants!(
    "WHERE ($1::uuid IS NULL OR m.id = $1) AND ($2::bigint IS NULL OR m.salla_id = $2) \
     AND ($3::uuid IS NULL OR m.id = $3)"
);

const LIST: &str = select_merchants!("ORDER BY m.name, m.salla_id");

#[derive(sqlx::FromRow)]
struct MerchantRow {
    id: Uuid,
    salla_id: i64,
    name: String,
    plan: String,
    uninstalled_at: Option<jiff_sqlx::Timestamp>,
    state: Option<String>,
    disconnected_why: Option<String>,
    account: Option<String>,
}

impl MerchantRow {
    fn record(self) -> Result<MerchantRecord, Failure> {
        let connection = match self.state.as_deref() {
            None => MerchantConnection::None,
            Some("DISCONNECTED") => {
                let why = self.disconnected_why.as_deref();
                let why = why
                    .and_then(parse_disconnection)
                    .ok_or_else(unknown_reason)?;
                MerchantConnection::Disconnected(why)
            }
            Some(_) => MerchantConnection::Connected,
        };
        Ok(MerchantRecord {
            shop: ShopSummary {
                merchant: MerchantId(self.id),
                salla_id: self.salla_id,
                name: self.name,
                plan: self.plan,
            },
            connection,
            uninstalled_at: self.uninstalled_at.map(jiff_sqlx::Timestamp::to_jiff),
            account: self.account,
        })
    }
}

fn unknown_reason() -> Failure {
    Failure::Database {
        message: "a connection ended for a reason that is unknown to this version".to_owned(),
        cause: DatabaseCause::Setup,
    }
}

/// Concurrent binds of the merchant's connections wait here.
const MERCHANT: &str = "SELECT id FROM salla_sync.merchants WHERE salla_id = $1 FOR NO KEY UPDATE";

/// Received tokens of this shop that are not connected yet are deleted as well. The version grows,
/// so that a refresh in progress stores nothing.
const FORGET: &str = "
    UPDATE salla_sync.connections c SET
        state = 'DISCONNECTED', disconnected_why = $4, access_token = '', refresh_token = NULL,
        refresh_started_at = NULL, refresh_intent = NULL, version = version + 1,
        updated_at = $3
    WHERE c.access_token <> ''
      AND ($2::timestamptz IS NULL OR coalesce(c.authorized_at,
               (SELECT a.authorized_at FROM salla_sync.arrivals a WHERE a.connection_id = c.id),
               c.created_at) <= $2)
      AND (c.salla_id = $1 OR c.salla_id IS NULL AND EXISTS (
               SELECT FROM salla_sync.arrivals a
               WHERE a.connection_id = c.id AND a.salla_id = $1))";

const SERVES: &str = "
    SELECT EXISTS (SELECT FROM salla_sync.connections
                   WHERE merchant_id = $1 AND is_current AND state <> 'DISCONNECTED')";

const MARK_UNINSTALLED: &str = "
    UPDATE salla_sync.merchants SET uninstalled_at = coalesce(uninstalled_at, $2) WHERE id = $1";

/// A further webhook always leaves another mark, even if it came to a machine whose clock is
/// behind: who fetches the record takes only the mark away that it has seen.
const MARK_CHANGED: &str = "
    INSERT INTO salla_sync.changed_records AS r (merchant_id, resource, salla_id, marked_at)
    SELECT m.id, $2::salla_sync.resource, $3, $4 FROM salla_sync.merchants m
    WHERE m.salla_id = $1
    ON CONFLICT (merchant_id, resource, salla_id)
    DO UPDATE SET marked_at =
        greatest(excluded.marked_at, r.marked_at + interval '1 microsecond')";

#[async_trait]
impl Merchants for PostgresMerchants {
    async fn find(
        &self,
        wanted: MerchantRef,
        own: Option<MerchantId>,
    ) -> Result<Option<MerchantRecord>, Failure> {
        let (id, salla_id) = match wanted {
            MerchantRef::Ours(id) => (Some(id), None),
            MerchantRef::Platform(number) => (None, Some(number)),
        };
        let row: Option<MerchantRow> = with_retries(&self.clock, "reading a merchant", || async {
            let found = sqlx::query_as(FIND).bind(id).bind(salla_id);
            let found = found.bind(own.map(|own| own.0));
            // A caller that may see all merchants is not confined until one of them is found.
            let Some(own) = own else {
                return Ok(found.fetch_optional(&self.pool).await?);
            };
            let mut tx = self.transactions.begin(own).await?;
            let found = found.fetch_optional(&mut *tx).await?;
            tx.commit().await?;
            Ok(found)
        })
        .await?;
        row.map(MerchantRow::record).transpose()
    }

    async fn list(&self) -> Result<Vec<MerchantRecord>, Failure> {
        let rows: Vec<MerchantRow> = with_retries(&self.clock, "listing merchants", || async {
            Ok(sqlx::query_as(LIST).fetch_all(&self.pool).await?)
        })
        .await?;
        rows.into_iter().map(MerchantRow::record).collect()
    }

    async fn uninstall(
        &self,
        salla_id: i64,
        at: Option<Timestamp>,
    ) -> Result<Uninstalled, Failure> {
        let now = self.clock.now();
        with_retries(&self.clock, "deleting a shop's tokens", || {
            uninstall(&self.pool, salla_id, at, now)
        })
        .await
    }

    async fn mark_changed(
        &self,
        salla_id: i64,
        resource: Resource,
        id: i64,
    ) -> Result<bool, Failure> {
        let now = self.clock.now();
        with_retries(&self.clock, "marking a record as changed", || async {
            let marked = sqlx::query(MARK_CHANGED)
                .bind(salla_id)
                .bind(resource.as_str())
                .bind(id)
                .bind(now.to_sqlx())
                .execute(&self.pool)
                .await?;
            Ok(marked.rows_affected() > 0)
        })
        .await
    }
}

async fn uninstall(
    pool: &PgPool,
    salla_id: i64,
    at: Option<Timestamp>,
    now: Timestamp,
) -> Result<Uninstalled, TxError> {
    let mut tx = begin_durable(pool).await?;
    let merchant: Option<Uuid> = sqlx::query_scalar(MERCHANT)
        .bind(salla_id)
        .fetch_optional(&mut *tx)
        .await?;
    let current = match merchant {
        Some(merchant) => changes::current(&mut tx, MerchantId(merchant)).await?,
        None => None,
    };
    sqlx::query(FORGET)
        .bind(salla_id)
        .bind(at.map(ToSqlx::to_sqlx))
        .bind(now.to_sqlx())
        .bind(Disconnection::Uninstalled.code())
        .execute(&mut *tx)
        .await?;
    let Some(merchant) = merchant else {
        tx.commit().await?;
        return Ok(Uninstalled::Unknown);
    };
    let serves: bool = sqlx::query_scalar(SERVES)
        .bind(merchant)
        .fetch_one(&mut *tx)
        .await?;
    if let (false, Some((connection, true))) = (serves, current) {
        changes::note(&mut tx, connection, ConnectionChangeKind::Broken, now).await?;
    }
    if !serves {
        sqlx::query(MARK_UNINSTALLED)
            .bind(merchant)
            .bind(at.unwrap_or(now).to_sqlx())
            .execute(&mut *tx)
            .await?;
    }
    tx.commit().await?;
    let merchant = MerchantId(merchant);
    Ok(match serves {
        true => Uninstalled::AuthorizedSince(merchant),
        false => Uninstalled::Forgotten(merchant),
    })
}
