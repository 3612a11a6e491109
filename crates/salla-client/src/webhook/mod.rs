//! Salla's webhooks: changes of records and a shop's tokens (docs/salla-api.md#webhooks and
//! #easy-mode).
//!
//! [`receive`] takes a delivery as it came, its headers and its raw body, checks that it
//! is Salla's, and says what it means; [`read`] is for who cannot check. A delivery may
//! be lost, repeated and late, so a change is a reason to fetch the record and never the
//! record itself.
//!
//! Not here: the server that receives deliveries.

mod event;
mod secret;
mod settings;

use jiff::Timestamp;
use reqwest::header::HeaderMap;

pub use importer::ports::webhooks::{Event, WebhookError};
pub use secret::{SIGNATURE, WebhookSecret};

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

/// The same with any of several secrets: while a secret is being replaced, deliveries of before
/// carry the former one.
pub fn receive_with(
    headers: &HeaderMap,
    body: &[u8],
    secrets: &[WebhookSecret],
    now: Timestamp,
) -> Result<Event, WebhookError> {
    let mut checked = Err(WebhookError::NotSigned);
    for secret in secrets {
        checked = secret.check(headers, body);
        if checked.is_ok() {
            break;
        }
    }
    checked?;
    read(body, now)
}

/// The meaning of a body, without checking its sender.
pub fn read(body: &[u8], now: Timestamp) -> Result<Event, WebhookError> {
    event::read(body, now).map_err(WebhookError::Unreadable)
}
