//! Connections as rows, and what of them is encrypted.

use domain::failure::{Disconnection, Failure};
use domain::shop::MerchantId;
use importer::ports::connections::{Connection, ConnectionId, ConnectionState, Presented, Tokens};
use jiff::Timestamp;
use uuid::Uuid;

use crate::connections::keyring::{KeyMismatch, Keyring, SealedPlace};

#[derive(sqlx::FromRow)]
pub(crate) struct ConnectionRow {
    id: Uuid,
    merchant_id: Option<Uuid>,
    key_id: String,
    access_token: Vec<u8>,
    refresh_token: Option<Vec<u8>>,
    expires_at: Option<jiff_sqlx::Timestamp>,
    scope: Option<String>,
    pub(crate) version: i64,
    state: String,
    refresh_started_at: Option<jiff_sqlx::Timestamp>,
    refresh_presentations: i16,
    refresh_lost_at: Option<jiff_sqlx::Timestamp>,
    refresh_tried_at: Option<jiff_sqlx::Timestamp>,
    disconnected_why: Option<String>,
}

/// The columns of [`ConnectionRow`].
macro_rules! select_connection {
    ($rest:literal) => {
        concat!(
            "SELECT id, merchant_id, key_id, access_token, refresh_token, expires_at, scope, \
             version, state, refresh_started_at, refresh_presentations, refresh_lost_at, \
             refresh_tried_at, disconnected_why FROM salla_sync.connections ",
            $rest
        )
    };
}
pub(crate) use select_connection;

impl ConnectionRow {
    pub(crate) fn decrypt(self, keyring: &Keyring) -> Result<Connection, Failure> {
        let state = self.state()?;
        let open = |column, sealed: &[u8]| {
            keyring
                .open(place(self.id, column), &self.key_id, sealed)
                .map_err(unreadable)
        };
        let access = open("access_token", &self.access_token)?;
        let refresh = self.refresh_token.as_deref();
        let refresh = refresh
            .map(|sealed| open("refresh_token", sealed))
            .transpose()?;
        Ok(Connection {
            id: ConnectionId(self.id),
            merchant: self.merchant_id.map(MerchantId),
            tokens: Tokens {
                access,
                refresh,
                expires_at: self.expires_at.map(jiff_sqlx::Timestamp::to_jiff),
                scope: self.scope,
            },
            version: self.version,
            state,
        })
    }

    /// When somebody began a refresh the last time.
    pub(crate) fn tried_at(&self) -> Option<Timestamp> {
        self.refresh_tried_at.map(jiff_sqlx::Timestamp::to_jiff)
    }

    pub(crate) fn state(&self) -> Result<ConnectionState, Failure> {
        let why = || parse_disconnection(self.disconnected_why.as_deref()?);
        let state = match (self.state.as_str(), self.refresh_started_at) {
            ("ACTIVE", _) => Some(ConnectionState::Active),
            ("REFRESHING", Some(since)) => Some(ConnectionState::Refreshing(Presented {
                since: since.to_jiff(),
                // A version of the program that counts nothing presents a token once.
                times: u8::try_from(self.refresh_presentations)
                    .map_or(u8::MAX, |times| times.max(1)),
                is_lost: self.refresh_lost_at.is_some(),
            })),
            ("DISCONNECTED", _) => why().map(|why| ConnectionState::Disconnected { why }),
            _ => None,
        };
        state.ok_or_else(|| Failure::Database {
            what: "a connection is in a state that this version does not know".to_owned(),
        })
    }
}

fn parse_disconnection(code: &str) -> Option<Disconnection> {
    Disconnection::ALL
        .into_iter()
        .find(|why| why.code() == code)
}

pub(crate) fn place(connection: Uuid, column: &'static str) -> SealedPlace {
    SealedPlace { connection, column }
}

fn unreadable(mismatch: KeyMismatch) -> Failure {
    Failure::Database {
        what: mismatch.to_string(),
    }
}

/// Tokens on their way into a row.
pub(crate) struct SealedTokens {
    pub(crate) access: Vec<u8>,
    pub(crate) refresh: Option<Vec<u8>>,
}

pub(crate) fn seal(
    keyring: &Keyring,
    id: ConnectionId,
    tokens: &Tokens,
) -> Result<SealedTokens, Failure> {
    let refresh = tokens.refresh.as_ref();
    let refresh = refresh.map(|token| keyring.seal(place(id.0, "refresh_token"), token));
    Ok(SealedTokens {
        access: keyring.seal(place(id.0, "access_token"), &tokens.access)?,
        refresh: refresh.transpose()?,
    })
}
