//! From stored tokens to a shop that is known.

use async_trait::async_trait;
use domain::failure::Failure;
use domain::shop::{MerchantId, ShopInfo};
use jiff::Timestamp;

use super::connections::ConnectionId;

/// Whose tokens these turned out to be.
#[derive(Clone, Debug)]
pub struct Introduced {
    pub merchant: MerchantId,
    pub shop: ShopInfo,
    /// Newer tokens of the shop are stored, and those serve.
    pub has_newer: bool,
    /// Other tokens of the shop served until now.
    pub was_connected: bool,
}

/// Why a shop was not connected with its tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotConnected {
    Failure(Failure),
    /// By the platform's numbers: the tokens open another shop than they should.
    OtherShop {
        named: i64,
        opened: i64,
    },
}

impl From<Failure> for NotConnected {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

#[async_trait]
pub trait Connector: Send + Sync {
    /// Asks the platform twice, as its accounts host and as the shop itself, whose the stored
    /// tokens of a connection are, makes the shop known and binds the connection to it. `named`
    /// is the shop that they should open. May be repeated.
    async fn connect(
        &self,
        connection: ConnectionId,
        named: Option<i64>,
        authorized_at: Option<Timestamp>,
    ) -> Result<Introduced, NotConnected>;
}
