//! What can be shown of connections: everything but the tokens.

use std::collections::BTreeMap;

use domain::connection_change::Tags;
use jiff::Timestamp;
use sqlx::PgPool;
use sqlx::types::Json;

use crate::error::TxError;

/// A shop's current connection.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectionDetails {
    pub name: String,
    /// ACTIVE, REFRESHING or DISCONNECTED.
    pub state: String,
    /// Why it is DISCONNECTED, as a failure code.
    pub reason: Option<String>,
    /// It has a refresh token.
    pub is_owned: bool,
    /// Nothing is left of its tokens.
    pub is_forgotten: bool,
    pub key_id: String,
    pub scope: Option<String>,
    pub expires_at: Option<Timestamp>,
    /// Grows with every change of the tokens.
    pub version: i64,
    pub tags: Tags,
    pub bound_at: Option<Timestamp>,
    pub refresh_tried_at: Option<Timestamp>,
    /// How often the present refresh token may have been used.
    pub refresh_presentations: i16,
    /// False: the tokens came here with a copy of another database.
    pub is_at_home: bool,
    pub uninstalled_at: Option<Timestamp>,
}

const DETAILS: &str = "
    SELECT m.name, c.state, c.disconnected_why AS reason, c.refresh_token IS NOT NULL AS is_owned,
        c.access_token = '' AS is_forgotten, c.key_id, c.scope, c.expires_at, c.version, c.tags,
        c.bound_at, c.refresh_tried_at, c.refresh_presentations,
        coalesce(c.home = salla_sync.home(), true) AS is_at_home, m.uninstalled_at
    FROM salla_sync.merchants m
    JOIN salla_sync.connections c ON c.merchant_id = m.id AND c.is_current
    WHERE m.salla_id = $1";

#[derive(sqlx::FromRow)]
struct DetailsRow {
    name: String,
    state: String,
    reason: Option<String>,
    is_owned: bool,
    is_forgotten: bool,
    key_id: String,
    scope: Option<String>,
    expires_at: Option<jiff_sqlx::Timestamp>,
    version: i64,
    tags: Option<Json<Tags>>,
    bound_at: Option<jiff_sqlx::Timestamp>,
    refresh_tried_at: Option<jiff_sqlx::Timestamp>,
    refresh_presentations: i16,
    is_at_home: bool,
    uninstalled_at: Option<jiff_sqlx::Timestamp>,
}

pub(crate) async fn details(
    pool: &PgPool,
    salla_id: i64,
) -> Result<Option<ConnectionDetails>, TxError> {
    let row: Option<DetailsRow> = sqlx::query_as(DETAILS)
        .bind(salla_id)
        .fetch_optional(pool)
        .await?;
    let moment = |at: Option<jiff_sqlx::Timestamp>| at.map(jiff_sqlx::Timestamp::to_jiff);
    Ok(row.map(|row| ConnectionDetails {
        name: row.name,
        state: row.state,
        reason: row.reason,
        is_owned: row.is_owned,
        is_forgotten: row.is_forgotten,
        key_id: row.key_id,
        scope: row.scope,
        expires_at: moment(row.expires_at),
        version: row.version,
        tags: row.tags.map(|tags| tags.0).unwrap_or_default(),
        bound_at: moment(row.bound_at),
        refresh_tried_at: moment(row.refresh_tried_at),
        refresh_presentations: row.refresh_presentations,
        is_at_home: row.is_at_home,
        uninstalled_at: moment(row.uninstalled_at),
    }))
}

/// What is sealed with one key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyUse {
    /// Connections that serve.
    pub serving: u64,
    /// Connections that do not, and still have tokens.
    pub ended: u64,
    /// Addresses of merchants.
    pub contacts: u64,
    /// Secrets that outlive keys, such as the one by which forgotten customers are known.
    pub secrets: u64,
}

impl KeyUse {
    pub fn values(&self) -> u64 {
        self.serving + self.ended + self.contacts + self.secrets
    }
}

const KEY_USES: &str = "
    SELECT key_id,
        count(*) FILTER (WHERE kind = 'serving'), count(*) FILTER (WHERE kind = 'ended'),
        count(*) FILTER (WHERE kind = 'contact'), count(*) FILTER (WHERE kind = 'secret')
    FROM (SELECT key_id, CASE state WHEN 'DISCONNECTED' THEN 'ended' ELSE 'serving' END AS kind
          FROM salla_sync.connections WHERE access_token <> ''
          UNION ALL
          SELECT key_id, 'contact' FROM salla_sync.merchant_contacts WHERE key_id IS NOT NULL
          UNION ALL
          SELECT key_id, 'secret' FROM salla_sync.sealed_secrets) s
    GROUP BY key_id";

/// By the names of the keys.
pub(crate) async fn key_uses(pool: &PgPool) -> Result<BTreeMap<String, KeyUse>, TxError> {
    let rows: Vec<(String, i64, i64, i64, i64)> = sqlx::query_as(KEY_USES).fetch_all(pool).await?;
    let uses = rows
        .into_iter()
        .map(|(key_id, serving, ended, contacts, secrets)| {
            let key_use = KeyUse {
                serving: serving.unsigned_abs(),
                ended: ended.unsigned_abs(),
                contacts: contacts.unsigned_abs(),
                secrets: secrets.unsigned_abs(),
            };
            (key_id, key_use)
        });
    Ok(uses.collect())
}
