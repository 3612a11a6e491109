//! What Salla posts to an app by itself: changes of records and a shop's tokens
//! (FACTS §3 and §2.5).
//!
//! [`receive`] takes a delivery as it came, its headers and its raw body, checks that it
//! is Salla's, and says what it means; [`read`] is for who cannot check. A delivery may
//! be lost, repeated and late, so a change is a reason to fetch the record and never the
//! record itself.
//!
//! Not here: the server that receives deliveries.

mod event;
mod secret;

use domain::resource::Resource;
use importer::ports::connections::Tokens;
use jiff::Timestamp;
use reqwest::header::HeaderMap;

pub use secret::{SIGNATURE, WebhookSecret};

/// What happened in a shop. `merchant` is Salla's number of the shop.
#[derive(Clone, Debug)]
pub enum Event {
    /// The app was installed or updated: these tokens are the shop's from now on. They
    /// are sent once; Salla does not repeat them (FACTS §2.5).
    StoreAuthorized {
        merchant: i64,
        tokens: Tokens,
        /// When that happened, where it can be made out.
        created_at: Option<Timestamp>,
    },
    /// The shop's tokens have ended.
    Uninstalled { merchant: i64 },
    /// The record was created or is another one now.
    RecordChanged {
        merchant: i64,
        resource: Resource,
        id: i64,
    },
    RecordDeleted {
        merchant: i64,
        resource: Resource,
        id: i64,
    },
    /// Nothing that concerns an import; a name of Salla's form.
    Other { event: String },
}

/// Why a delivery was not taken. Holds nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    #[error("it carries neither a signature nor a token")]
    NotSigned,
    #[error(
        "its signature does not fit: the body is not byte for byte what Salla sent, or the \
         secret is not this app's"
    )]
    WrongSignature,
    #[error("its body cannot be read: {0}")]
    Unreadable(&'static str),
}

/// The meaning of a delivery that was received at `now`, once its signature or token has
/// been checked.
pub fn receive(
    headers: &HeaderMap,
    body: &[u8],
    secret: &WebhookSecret,
    now: Timestamp,
) -> Result<Event, WebhookError> {
    secret.check(headers, body)?;
    read(body, now)
}

/// The meaning of a body, whoever sent it.
pub fn read(body: &[u8], now: Timestamp) -> Result<Event, WebhookError> {
    event::read(body, now).map_err(WebhookError::Unreadable)
}
