//! Connections as rows, and what of them is encrypted.

use domain::failure::{DatabaseCause, Disconnection, Failure};
use domain::shop::MerchantId;
use importer::ports::connections::{Connection, ConnectionId, ConnectionState, Presented, Tokens};
use jiff::Timestamp;
use uuid::Uuid;

use crate::error::TxError;
use crate::keyring::{Binding, KeyMismatch, Keyring, SealedPlace};

#[derive(sqlx::FromRow)]
pub(crate) struct ConnectionRow {
    pub(crate) id: Uuid,
    merchant_id: Option<Uuid>,
    /// The number of the shop that `merchant_id` stands for.
    merchant_salla_id: Option<i64>,
    pub(crate) salla_id: Option<i64>,
    seal_format: i16,
    pub(crate) key_id: String,
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
            "SELECT id, merchant_id, salla_id, seal_format, key_id, access_token, refresh_token, \
             expires_at, scope, version, state, refresh_started_at, refresh_presentations, \
             refresh_lost_at, refresh_tried_at, disconnected_why, \
             (SELECT m.salla_id FROM salla_sync.merchants m \
              WHERE m.id = connections.merchant_id) AS merchant_salla_id \
             FROM salla_sync.connections ",
            $rest
        )
    };
}
pub(crate) use select_connection;

/// What is written with [`SEAL_FORMAT`] = 2.
pub(crate) const SEAL_FORMAT: i16 = 2;

impl ConnectionRow {
    pub(crate) fn decrypt(self, keyring: &Keyring) -> Result<Connection, TxError> {
        let state = self.state()?;
        if self.names_two_shops() {
            return Err(self.unfit(state, Disconnection::OtherShop));
        }
        // Nothing is left of tokens that were forgotten.
        if self.access_token.is_empty() {
            return Err(self.unfit(state, Disconnection::TokensDamaged));
        }
        let tokens = match self.tokens(keyring) {
            Ok(tokens) => tokens,
            // The program has started, so the key fits.
            Err(KeyMismatch::Wrong { .. }) => {
                return Err(self.unfit(state, Disconnection::TokensDamaged));
            }
            Err(missing @ KeyMismatch::Missing { .. }) => return Err(unreadable(missing).into()),
        };
        Ok(Connection {
            id: ConnectionId(self.id),
            merchant: self.merchant_id.map(MerchantId),
            salla_id: self.salla_id,
            tokens,
            version: self.version,
            state,
        })
    }

    pub(crate) fn tokens(&self, keyring: &Keyring) -> Result<Tokens, KeyMismatch> {
        let binding = match self.seal_format {
            SEAL_FORMAT => Binding::Whole {
                version: self.version,
                salla_id: self.salla_id,
            },
            _ => Binding::RowOnly,
        };
        let open = |column, sealed: &[u8]| {
            keyring.open(place(self.id, column, binding), &self.key_id, sealed)
        };
        let refresh = self.refresh_token.as_deref();
        Ok(Tokens {
            access: open("access_token", &self.access_token)?,
            refresh: refresh
                .map(|sealed| open("refresh_token", sealed))
                .transpose()?,
            expires_at: self.expires_at.map(jiff_sqlx::Timestamp::to_jiff),
            scope: self.scope.clone(),
        })
    }

    fn unfit(&self, state: ConnectionState, why: Disconnection) -> TxError {
        let why = match state {
            ConnectionState::Disconnected { why } => why,
            ConnectionState::Active | ConnectionState::Refreshing(_) => why,
        };
        TxError::Unfit {
            connection: self.id,
            why,
        }
    }

    /// The tokens are one shop's and the row another one's.
    pub(crate) fn names_two_shops(&self) -> bool {
        let both = self.salla_id.zip(self.merchant_salla_id);
        both.is_some_and(|(tokens, row)| tokens != row)
    }

    /// When a process last started a refresh.
    pub(crate) fn tried_at(&self) -> Option<Timestamp> {
        self.refresh_tried_at.map(jiff_sqlx::Timestamp::to_jiff)
    }

    /// How often the refresh token may have been presented.
    pub(crate) fn presentations(&self) -> u8 {
        u8::try_from(self.refresh_presentations).unwrap_or(u8::MAX)
    }

    pub(crate) fn state(&self) -> Result<ConnectionState, Failure> {
        let why = || parse_disconnection(self.disconnected_why.as_deref()?);
        let state = match (self.state.as_str(), self.refresh_started_at) {
            ("ACTIVE", _) => Some(ConnectionState::Active),
            ("REFRESHING", Some(since)) => Some(ConnectionState::Refreshing(Presented {
                since: since.to_jiff(),
                // A version of the program that counts nothing presents a token once.
                times: self.presentations().max(1),
                is_lost: self.refresh_lost_at.is_some(),
            })),
            ("DISCONNECTED", _) => why().map(|why| ConnectionState::Disconnected { why }),
            _ => None,
        };
        state.ok_or_else(|| Failure::Database {
            message: "a connection is in a state that is unknown to this version".to_owned(),
            cause: DatabaseCause::Setup,
        })
    }
}

/// A connection is deleted with its shop, also while a process works with it.
pub(crate) fn still_there<T>(row: Option<T>) -> Result<T, TxError> {
    row.ok_or_else(|| Failure::Disconnected(Disconnection::NotConnected).into())
}

pub(crate) fn parse_disconnection(code: &str) -> Option<Disconnection> {
    Disconnection::ALL
        .into_iter()
        .find(|why| why.code() == code)
}

fn place(connection: Uuid, column: &'static str, binding: Binding) -> SealedPlace {
    SealedPlace {
        connection,
        column,
        binding,
    }
}

fn unreadable(mismatch: KeyMismatch) -> Failure {
    Failure::Database {
        message: mismatch.to_string(),
        cause: DatabaseCause::Setup,
    }
}

/// Tokens to be written to a row.
pub(crate) struct SealedTokens {
    pub(crate) access: Vec<u8>,
    pub(crate) refresh: Option<Vec<u8>>,
}

pub(crate) fn seal(
    keyring: &Keyring,
    id: ConnectionId,
    (version, salla_id): (i64, Option<i64>),
    tokens: &Tokens,
) -> Result<SealedTokens, Failure> {
    let binding = Binding::Whole { version, salla_id };
    let seal = |column, token| keyring.seal(place(id.0, column, binding), token);
    let refresh = tokens.refresh.as_ref();
    let refresh = refresh.map(|token| seal("refresh_token", token));
    Ok(SealedTokens {
        access: seal("access_token", &tokens.access)?,
        refresh: refresh.transpose()?,
    })
}
