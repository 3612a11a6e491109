//! Channels to people outside the app: the log, and signed webhooks.
//!
//! Each is a [`Notifier`](importer::ports::notifications::Notifier) and an
//! [`Alerts`](importer::ports::notifications::Alerts).

#![forbid(unsafe_code)]

mod log;
mod webhook;
mod words;

pub use log::Log;
pub use webhook::{Route, Secret, SecretError, Webhook};
