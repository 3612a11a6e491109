//! Notification channels to merchants and operators: the log, signed webhooks,
//! and e-mail.
//!
//! Each implements [`Notifier`](importer::ports::notifications::Notifier), and all but e-mail
//! [`Alerts`](importer::ports::notifications::Alerts). Webhooks are signed according to
//! [Standard Webhooks](https://www.standardwebhooks.com).
//!
//! ```
//! use notifiers::Secret;
//!
//! // 24 to 64 bytes in base64: echo "whsec_$(openssl rand -base64 32)"
//! let secret = Secret::parse(&"whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX".into());
//! assert!(secret.is_ok());
//! assert!(Secret::parse(&"too short".into()).is_err());
//! ```

#![forbid(unsafe_code)]

mod email;
mod log;
mod payload;
mod webhook;

pub use email::{Email, EmailSettings, EmailTls, Sender};
pub use log::Log;
pub use webhook::{Route, Secret, SecretError, Webhook};
