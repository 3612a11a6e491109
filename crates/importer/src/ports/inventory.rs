//! What the database holds, for comparing it with the platform.

use async_trait::async_trait;
use domain::certificate::WindowCounts;
use domain::failure::Failure;
use domain::order::Order;
use domain::shop::MerchantId;
use domain::window::DayRange;

use super::runs::Run;

/// Reads only; every call sees one moment.
#[async_trait]
pub trait Inventory: Send + Sync {
    /// What became of everything that the last walk of each window listed, counted
    /// now and not when the run was certified.
    async fn count_windows(&self, run: &Run) -> Result<Vec<WindowCounts>, Failure>;

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
