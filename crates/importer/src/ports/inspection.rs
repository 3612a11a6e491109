//! What the database holds, for comparing it with the platform: single records and counts.

use std::collections::HashMap;

use async_trait::async_trait;
use domain::certificate::WindowCounts;
use domain::failure::Failure;
use domain::order::{Completeness, Order, Version};
use domain::rejection::Rejection;
use domain::resource::Resource;
use domain::run::RunState;
use domain::shop::MerchantId;
use domain::slice::Slice;
use domain::window::DayRange;
use jiff::Timestamp;
use jiff::civil::Date;
use serde::Serialize;

use super::runs::{Run, ShopSummary};

/// Everything that the database knows of the way of one record, without its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Trace {
    pub shop: ShopSummary,
    pub resource: Resource,
    pub id: i64,
    pub row: Option<TracedRow>,
    pub source: Option<TracedSource>,
    /// On which pages of which scans it was listed, the latest first, at most three.
    pub listed: Vec<TracedListing>,
    /// The latest first.
    pub rejections: Vec<TracedRejection>,
    /// An order that waits for its line items.
    pub details_pending: bool,
    /// The shop's runs that read orders, the latest first.
    pub runs: Vec<TracedRun>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TracedRow {
    /// The number that people see on an order.
    pub reference_id: Option<i64>,
    /// When it was created, as a day in Riyadh.
    pub created_on: Option<Date>,
    /// Orders only.
    pub has_items: Option<bool>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TracedSource {
    pub list_version: Option<Version>,
    /// Since when lists have shown the same content.
    pub list_since: Option<Version>,
    pub detail_version: Option<Version>,
    pub gone_at: Option<Timestamp>,
    pub list_text_kept: bool,
    pub detail_text_kept: bool,
    pub items_text_kept: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TracedListing {
    /// Without the overlap; `None` where the resource is read whole.
    pub days: Option<DayRange>,
    /// The part of a list that is too long to be read whole.
    pub slice: Option<Slice>,
    pub walk: u32,
    pub page: u32,
    pub landed_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TracedRejection {
    /// Which answer it was: `order_header`, `order_detail`, …
    pub kind: String,
    pub code: String,
    pub json_path: String,
    pub message: String,
    pub last_seen_at: Timestamp,
    pub resolved_at: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TracedRun {
    pub state: RunState,
    pub range: DayRange,
    /// A first test with `--max-orders`.
    pub max_orders: Option<u64>,
}

/// The tracks that imports have left. Reads only.
#[async_trait]
pub trait Traces: Send + Sync {
    /// What is known of a record by its id, and of orders also by their reference
    /// number; one entry for each shop and record that fits. Empty: nothing is known.
    async fn find(&self, resource: Resource, number: i64) -> Result<Vec<Trace>, Failure>;
}

/// One record as the platform has it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlatformRecord {
    pub id: Option<i64>,
    pub reference_id: Option<i64>,
    /// A Riyadh day.
    pub created_on: Option<Date>,
    pub status: Option<String>,
    /// Orders only.
    pub completeness: Option<Completeness>,
    /// Why it would be rejected.
    pub rejection: Option<Rejection>,
}

/// Fetches single records from the platform; nothing is stored.
#[async_trait]
pub trait RecordLookup: Send + Sync {
    /// By id, and orders also by their reference number. `None`: the platform does not
    /// have it.
    async fn look_up(
        &self,
        resource: Resource,
        number: i64,
    ) -> Result<Option<PlatformRecord>, Failure>;
}

/// A window of a run, as the database is now.
#[derive(Clone, Debug, PartialEq)]
pub struct HeldWindow {
    /// What became of everything that the last scan of the window listed.
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

    /// The rows of every shop, from all runs.
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
