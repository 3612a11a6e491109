//! Webhooks of the platform.

use domain::resource::Resource;
use jiff::Timestamp;
use secrecy::SecretString;

use super::connections::Tokens;

/// What happened in a shop. `merchant` is the platform's number of the shop.
///
/// **Repeated, late, lost, in any order:** deliveries carry no number, so a change is a reason
/// to fetch the record and never the record itself.
#[derive(Clone, Debug)]
pub enum Event {
    /// The app was installed or updated: these tokens are the shop's from now on. They
    /// are sent once; the platform does not repeat them.
    StoreAuthorized {
        merchant: i64,
        tokens: Tokens,
        /// When that happened, where it can be made out.
        created_at: Option<Timestamp>,
    },
    /// The shop's tokens have ended.
    Uninstalled {
        merchant: i64,
        created_at: Option<Timestamp>,
    },
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
    /// The merchant has filled in the app's settings or its onboarding step.
    SettingsChanged {
        merchant: i64,
        /// What was typed as the one-time code.
        code: Option<SecretString>,
        depth_months: Option<u64>,
    },
    /// Nothing that concerns an import; a name of the platform's form.
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
