//! Shops whose tokens are stored, ready to be asked.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use domain::failure::Failure;
use domain::shop::{MerchantId, ShopInfo};

use super::platform::Platform;

/// A shop that has answered with the tokens that are stored for it.
#[derive(Clone)]
pub struct OpenShop {
    pub platform: Arc<dyn Platform>,
    pub shop: ShopInfo,
}

impl fmt::Debug for OpenShop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenShop")
            .field("salla_id", &self.shop.salla_id)
            .finish_non_exhaustive()
    }
}

#[async_trait]
pub trait Shops: Send + Sync {
    /// Asks the shop who it is. Tokens that open another shop than the merchant's are parked
    /// as [`domain::failure::Disconnection::OtherShop`] before anything is written. Without stored tokens this fails with
    /// [`domain::failure::Disconnection::NotConnected`].
    async fn open(&self, merchant: MerchantId) -> Result<OpenShop, Failure>;
}
