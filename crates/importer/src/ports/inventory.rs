//! What the database holds, for comparing it with the platform.

use std::collections::HashMap;

use async_trait::async_trait;
use domain::certificate::WindowCounts;
use domain::failure::Failure;
use domain::order::Order;
use domain::shop::MerchantId;
use domain::window::DayRange;
use serde::Serialize;

use super::runs::Run;

/// A window of a run, as the database is now.
#[derive(Clone, Debug, PartialEq)]
pub struct HeldWindow {
    /// What became of everything that the last walk of the window listed.
    pub counts: WindowCounts,
    /// Rows of the window that the run did not list: they came later, by another run.
    pub beside: u64,
}

/// The rows of a shop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ShopRows {
    pub orders: u64,
    /// Orders whose line items are known.
    pub orders_with_items: u64,
    pub customers: u64,
    pub products: u64,
    /// Records that are kept as rejections.
    pub rejected: u64,
}

/// Reads only; every call sees one moment.
#[async_trait]
pub trait Inventory: Send + Sync {
    /// The windows of the run, counted now and not when the run was certified.
    async fn count_windows(&self, run: &Run) -> Result<Vec<HeldWindow>, Failure>;

    /// The rows of every shop, whatever runs brought them.
    async fn count_rows(&self) -> Result<HashMap<MerchantId, ShopRows>, Failure>;

    /// At most `most` orders of these days as their rows have them. The same seed
    /// draws the same orders, whatever their number.
    async fn sample_orders(
        &self,
        merchant: MerchantId,
        days: DayRange,
        seed: u64,
        most: u32,
    ) -> Result<Vec<Order>, Failure>;
}
