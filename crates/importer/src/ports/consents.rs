//! Consents that come back through a browser, each of which counts once.

use async_trait::async_trait;
use domain::failure::Failure;
use jiff::Timestamp;

/// A consent that has come back, by hashes: neither the state nor the code is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Returned {
    pub state: [u8; 32],
    pub code: [u8; 32],
    pub expires_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Use {
    /// Nobody has used it before: it counts.
    First,
    /// The same state came with the same code, as when a page is loaded twice; with what was
    /// shown the first time, once that is known.
    Repeated(Option<String>),
    /// The state came with another code.
    Replayed,
}

#[async_trait]
pub trait Consents: Send + Sync {
    /// Of several calls with one state exactly one is [`Use::First`].
    async fn use_once(&self, returned: &Returned) -> Result<Use, Failure>;

    /// Notes what is shown for it. May be repeated.
    async fn finish(&self, state: &[u8; 32], outcome: &str) -> Result<(), Failure>;
}
