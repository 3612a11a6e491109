//! Merchants as the doors of the service see them.

use async_trait::async_trait;
use domain::failure::{Disconnection, Failure};
use domain::resource::Resource;
use domain::shop::MerchantId;
use jiff::Timestamp;
use uuid::Uuid;

use super::runs::ShopSummary;

/// How a merchant may be named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MerchantRef {
    Ours(Uuid),
    /// By the platform's number of the shop.
    Platform(i64),
}

impl MerchantRef {
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(number) = text.parse::<i64>() {
            return (number > 0).then_some(Self::Platform(number));
        }
        Uuid::try_parse(text).ok().map(Self::Ours)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct MerchantRecord {
    pub shop: ShopSummary,
    pub connection: MerchantConnection,
    /// Since when the app is not installed any more.
    pub uninstalled_at: Option<Timestamp>,
    /// Whose customer the merchant is in the app, where that is known.
    pub account: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MerchantConnection {
    None,
    Connected,
    Disconnected(Disconnection),
}

/// What an uninstallation did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Uninstalled {
    /// No such shop was ever connected.
    Unknown,
    /// No tokens of the shop are left.
    Forgotten(MerchantId),
    /// Tokens of a later authorization are there: they stay.
    AuthorizedSince(MerchantId),
}

#[async_trait]
pub trait Merchants: Send + Sync {
    /// The merchant, if it is `own` or all may be seen. The restriction is part of the query.
    async fn find(
        &self,
        wanted: MerchantRef,
        own: Option<MerchantId>,
    ) -> Result<Option<MerchantRecord>, Failure>;

    /// All of them, by name.
    async fn list(&self) -> Result<Vec<MerchantRecord>, Failure>;

    /// The app was removed at `at`: older tokens are overwritten, and the retention period of the
    /// shop's data starts. Without `at` all tokens are overwritten.
    async fn uninstall(&self, salla_id: i64, at: Option<Timestamp>)
    -> Result<Uninstalled, Failure>;

    /// Notes that a record is another one now, or gone, and has to be fetched. May be repeated.
    /// Says whether such a shop is connected.
    async fn mark_changed(
        &self,
        salla_id: i64,
        resource: Resource,
        id: i64,
    ) -> Result<bool, Failure>;
}
