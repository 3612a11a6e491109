//! Customers to forget, and expired shops.

use async_trait::async_trait;
use domain::failure::Failure;
use domain::shop::MerchantId;
use jiff::Timestamp;

/// The customers of one shop that are forgotten. Only a keyed hash of their ids is stored, which
/// becomes an id that the platform never assigns.
pub trait ForgottenCustomers: Send + Sync {
    /// What stands for this customer, if it is one of them.
    fn stand_in(&self, customer: i64) -> Option<i64>;
}

/// Takes people out of raw texts, which keep what the translation reads beside them.
pub trait Redactor: Send + Sync {
    /// A customer's text.
    fn customer(&self, stand_in: i64) -> String;

    /// An order's text. Empty where nothing of it can be read.
    fn order(&self, raw: &str, stand_in: i64) -> String;

    /// The text of an order's items. Empty where nothing of it can be read.
    fn order_items(&self, raw: &str) -> String;

    /// Whose order a text is about, as far as that can be read.
    fn customer_of(&self, raw: &str) -> Option<i64>;
}

/// A shop that has removed the app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpiredShop {
    pub merchant: MerchantId,
    /// By the platform's number.
    pub salla_id: i64,
    pub name: String,
    pub uninstalled_at: Timestamp,
}

/// How many rows of which table were deleted.
pub type Deleted = Vec<(String, u64)>;

/// Shops whose data may be kept no longer.
#[async_trait]
pub trait ExpiredShops: Send + Sync {
    /// Those that removed the app before this moment and have not come back.
    async fn expired(&self, before: Timestamp) -> Result<Vec<ExpiredShop>, Failure>;

    /// Deletes everything of a shop that is still expired. `None`: it was connected again, or a
    /// process works on it.
    async fn delete_expired(
        &self,
        merchant: MerchantId,
        before: Timestamp,
    ) -> Result<Option<Deleted>, Failure>;
}
