//! Merchants who have signed in.

use std::sync::Arc;

use async_trait::async_trait;
use domain::failure::{DatabaseCause, Failure};
use domain::shop::MerchantId;
use importer::ports::clock::Clock;
use importer::ports::sessions::{Carrier, FoundSession, NewSession, Session, Sessions};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::PgPool;
use uuid::Uuid;

use crate::error::with_retries;
use crate::ids::new_id;

/// [`Sessions`] on PostgreSQL.
#[derive(Clone, Debug)]
pub struct PostgresSessions {
    pub(crate) pool: PgPool,
    pub(crate) clock: Arc<dyn Clock>,
}

macro_rules! select_sessions {
    ($rest:literal) => {
        concat!(
            "SELECT s.id, s.salla_id, m.id AS merchant_id, s.carrier, s.opened_by, s.created_at, \
             s.rotated_at, s.expires_at, s.ends_at, s.revoked_at, s.hash \
             FROM salla_sync.sessions s \
             LEFT JOIN salla_sync.merchants m ON m.salla_id = s.salla_id ",
            $rest
        )
    };
}

const OPEN: &str = "
    INSERT INTO salla_sync.sessions
        (id, salla_id, hash, carrier, opened_by, person, created_at, rotated_at, expires_at,
         ends_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $7, $8, $9) ON CONFLICT (id) DO NOTHING";

const BY_ID: &str = select_sessions!("WHERE s.id = $1");

const FIND: &str = select_sessions!(
    "WHERE (s.hash = $1 OR s.former_hash = $1) AND s.revoked_at IS NULL AND s.expires_at > $2"
);

const LIST: &str = select_sessions!(
    "WHERE ($1::bigint IS NULL OR s.salla_id = $1) AND s.revoked_at IS NULL \
     AND s.expires_at > $2 ORDER BY s.id DESC"
);

/// A repetition after a lost commit finds its own secret in place.
const ROTATE: &str = "
    UPDATE salla_sync.sessions SET
        former_hash = $2, hash = $3, rotated_at = $4, expires_at = $5
    WHERE id = $1 AND revoked_at IS NULL AND (hash = $2 OR hash = $3)";

const REVOKE: &str = "
    UPDATE salla_sync.sessions SET revoked_at = $2
    WHERE id = $1 AND revoked_at IS NULL AND expires_at > $2";

const REVOKE_ALL: &str = "
    UPDATE salla_sync.sessions SET revoked_at = $2
    WHERE salla_id = $1 AND revoked_at IS NULL AND expires_at > $2";

const CLEAR: &str = "DELETE FROM salla_sync.sessions WHERE expires_at < $1 OR revoked_at < $1";

#[derive(sqlx::FromRow)]
struct SessionRow {
    id: Uuid,
    salla_id: i64,
    merchant_id: Option<Uuid>,
    carrier: String,
    opened_by: String,
    created_at: jiff_sqlx::Timestamp,
    rotated_at: jiff_sqlx::Timestamp,
    expires_at: jiff_sqlx::Timestamp,
    ends_at: jiff_sqlx::Timestamp,
    revoked_at: Option<jiff_sqlx::Timestamp>,
    hash: Vec<u8>,
}

impl SessionRow {
    fn session(self) -> Result<Session, Failure> {
        let carrier = Carrier::parse(&self.carrier);
        Ok(Session {
            id: self.id,
            salla_id: self.salla_id,
            merchant: self.merchant_id.map(MerchantId),
            carrier: carrier.ok_or_else(|| Failure::Database {
                message: "a session is carried in a way that is unknown to this version".to_owned(),
                cause: DatabaseCause::Setup,
            })?,
            opened_by: self.opened_by,
            created_at: self.created_at.to_jiff(),
            rotated_at: self.rotated_at.to_jiff(),
            expires_at: self.expires_at.to_jiff(),
            ends_at: self.ends_at.to_jiff(),
            revoked_at: self.revoked_at.map(jiff_sqlx::Timestamp::to_jiff),
        })
    }
}

#[async_trait]
impl Sessions for PostgresSessions {
    async fn open(&self, new: &NewSession) -> Result<Session, Failure> {
        let now = self.clock.now();
        let id = new_id(now);
        let row: SessionRow = with_retries(&self.clock, "opening a session", || async {
            sqlx::query(OPEN)
                .bind(id)
                .bind(new.salla_id)
                .bind(new.hash.as_slice())
                .bind(new.carrier.as_str())
                .bind(new.opened_by.as_str())
                .bind(new.person)
                .bind(now.to_sqlx())
                .bind(new.expires_at.to_sqlx())
                .bind(new.ends_at.to_sqlx())
                .execute(&self.pool)
                .await?;
            Ok(sqlx::query_as(BY_ID).bind(id).fetch_one(&self.pool).await?)
        })
        .await?;
        row.session()
    }

    async fn find(&self, hash: &[u8; 32]) -> Result<Option<FoundSession>, Failure> {
        let now = self.clock.now();
        let row: Option<SessionRow> = with_retries(&self.clock, "looking up a session", || async {
            let found = sqlx::query_as(FIND)
                .bind(hash.as_slice())
                .bind(now.to_sqlx());
            Ok(found.fetch_optional(&self.pool).await?)
        })
        .await?;
        let Some(row) = row else { return Ok(None) };
        let is_present = row.hash == hash;
        let session = row.session()?;
        Ok(Some(match is_present {
            true => FoundSession::Present(session),
            false => FoundSession::Former(session),
        }))
    }

    async fn rotate(
        &self,
        id: Uuid,
        from: &[u8; 32],
        to: &[u8; 32],
        expires_at: Timestamp,
    ) -> Result<bool, Failure> {
        let now = self.clock.now();
        with_retries(&self.clock, "replacing the secret of a session", || async {
            let rotated = sqlx::query(ROTATE)
                .bind(id)
                .bind(from.as_slice())
                .bind(to.as_slice())
                .bind(now.to_sqlx())
                .bind(expires_at.to_sqlx())
                .execute(&self.pool)
                .await?;
            Ok(rotated.rows_affected() > 0)
        })
        .await
    }

    async fn revoke(&self, id: Uuid) -> Result<bool, Failure> {
        let now = self.clock.now();
        with_retries(&self.clock, "ending a session", || async {
            let revoked = sqlx::query(REVOKE).bind(id).bind(now.to_sqlx());
            Ok(revoked.execute(&self.pool).await?.rows_affected() > 0)
        })
        .await
    }

    async fn revoke_all(&self, salla_id: i64) -> Result<u64, Failure> {
        let now = self.clock.now();
        with_retries(&self.clock, "ending the sessions of a shop", || async {
            let revoked = sqlx::query(REVOKE_ALL).bind(salla_id).bind(now.to_sqlx());
            Ok(revoked.execute(&self.pool).await?.rows_affected())
        })
        .await
    }

    async fn list(&self, salla_id: Option<i64>) -> Result<Vec<Session>, Failure> {
        let now = self.clock.now();
        let rows: Vec<SessionRow> = with_retries(&self.clock, "listing sessions", || async {
            let listed = sqlx::query_as(LIST).bind(salla_id).bind(now.to_sqlx());
            Ok(listed.fetch_all(&self.pool).await?)
        })
        .await?;
        rows.into_iter().map(SessionRow::session).collect()
    }

    async fn clear(&self, before: Timestamp) -> Result<(), Failure> {
        with_retries(&self.clock, "deleting expired sessions", || async {
            let cleared = sqlx::query(CLEAR).bind(before.to_sqlx());
            cleared.execute(&self.pool).await?;
            Ok(())
        })
        .await
    }
}
