//! The ports with a trap around every call.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::ceiling::Ceiling;
use domain::certificate::{Certificate, Listing};
use domain::failure::Failure;
use domain::order::{Order, OrderItem, Version};
use domain::plan::Plan;
use domain::resource::Resource;
use domain::run::{RunId, WindowId};
use domain::shop::{MerchantId, ShopInfo};
use domain::window::DayRange;
use importer::admission::FetchPermit;
use importer::ports::landing::{
    Landed, LandedChanges, Landing, OrderDetail, PendingDetail, RejectionTally, RunLease,
    ScannedPage,
};
use importer::ports::platform::{
    BudgetStatus, Page, PageRequest, Platform, Records, VersionedRecord,
};
use importer::ports::runs::{
    CarriedList, CatchUp, ChangeHead, Claim, DatabaseClock, Finished, Held, Listings, OrderMoments,
    Owner, Run, RunOptions, Runs, ShopSummary, StoredWindow, WindowList, WindowSpec, Windows,
};
use jiff::{SignedDuration, Timestamp};

use crate::trap::Trap;

/// A port whose calls fall into a trap.
#[derive(Clone)]
pub(crate) struct Trapped<P: ?Sized> {
    pub(crate) port: Arc<P>,
    pub(crate) trap: Arc<Trap>,
}

#[async_trait]
impl Platform for Trapped<dyn Platform> {
    async fn shop_info(&self) -> Result<ShopInfo, Failure> {
        self.port.shop_info().await
    }

    async fn list_page(
        &self,
        request: &PageRequest,
        permit: &mut FetchPermit,
    ) -> Result<Page, Failure> {
        self.trap
            .around("list_page", self.port.list_page(request, permit))
            .await
    }

    async fn order_detail(
        &self,
        order_id: i64,
        permit: &mut FetchPermit,
    ) -> Result<Option<VersionedRecord<Order>>, Failure> {
        self.trap
            .around("order_detail", self.port.order_detail(order_id, permit))
            .await
    }

    async fn order_items(
        &self,
        order_id: i64,
        permit: &mut FetchPermit,
    ) -> Result<Option<VersionedRecord<Vec<OrderItem>>>, Failure> {
        self.trap
            .around("order_items", self.port.order_items(order_id, permit))
            .await
    }

    async fn record(
        &self,
        resource: Resource,
        id: i64,
        permit: &mut FetchPermit,
    ) -> Result<Option<(Records, Version)>, Failure> {
        self.port.record(resource, id, permit).await
    }

    fn budget(&self) -> BudgetStatus {
        self.port.budget()
    }

    fn clock_offset(&self) -> Option<SignedDuration> {
        self.port.clock_offset()
    }
}

/// Methods that only pass a call through the trap of the same name.
macro_rules! trapped {
    ($trait:ident for dyn $port:ident: $($name:ident($($arg:ident: $type:ty),*) -> $result:ty;)*) => {
        #[async_trait]
        impl $trait for Trapped<dyn $port> {
            $(async fn $name(&self, $($arg: $type),*) -> Result<$result, Failure> {
                self.trap.around(stringify!($name), self.port.$name($($arg),*)).await
            })*
        }
    };
}

trapped! { Landing for dyn Landing:
    land_pages(lease: RunLease, pages: &[ScannedPage]) -> Landed;
    land_details(lease: RunLease, details: &[OrderDetail]) -> Landed;
    pending_details(lease: RunLease, after: Option<PendingDetail>, limit: u32)
        -> Vec<PendingDetail>;
    count_pending(lease: RunLease) -> u64;
    land_changes(lease: RunLease, page: &Page) -> LandedChanges;
    mark_pending(lease: RunLease, orders: &[i64]) -> ();
    tombstone(lease: RunLease, resource: Resource, ids: &[i64], version: Version) -> ();
    clear_vanished(lease: RunLease) -> ();
    rejection_tally(lease: RunLease) -> Vec<RejectionTally>;
}

trapped! { Runs for dyn Runs:
    database_clock() -> DatabaseClock;
    ensure_merchant(shop: &ShopInfo) -> MerchantId;
    latest_full(merchant: MerchantId) -> Option<Run>;
    completed_days(merchant: MerchantId) -> Vec<DayRange>;
    latest(merchant: MerchantId) -> Option<Run>;
    list() -> Vec<(ShopSummary, Option<Run>)>;
    create_or_join(merchant: MerchantId, options: &RunOptions, range: DayRange,
        catch_up: Option<CatchUp>) -> Run;
    latest_finished(merchant: MerchantId) -> Option<Finished>;
    take_over(lease: RunLease, since: RunId) -> ();
    save_change_head(lease: RunLease, head: &ChangeHead) -> ();
    ceiling(merchant: MerchantId) -> Ceiling;
    remember_ceiling(lease: RunLease, ceiling: Ceiling) -> ();
    claim(run: RunId, owner: &Owner, lease: Duration) -> Claim;
    held(run: RunId, owner: &Owner) -> Option<Held>;
    extend_lease(lease: RunLease, by: Duration) -> ();
    release(lease: RunLease, next_request: Option<Duration>) -> ();
    wait(lease: RunLease, until: Timestamp, why: &Failure) -> ();
    report_progress(lease: RunLease, percent: u8, waits_until: Option<Timestamp>) -> ();
    certify(lease: RunLease, as_of: Timestamp) -> Certificate;
    complete(lease: RunLease, certificate: &Certificate) -> ();
    fail(lease: RunLease, failure: &Failure, certificate: Option<&Certificate>) -> ();
}

trapped! { Windows for dyn Runs:
    save_plan(lease: RunLease, plan: &Plan, windows: &[(Resource, Option<DayRange>)]) -> ();
    windows(lease: RunLease) -> Vec<StoredWindow>;
    begin_scan(lease: RunLease, window: WindowId) -> u32;
    split_window(lease: RunLease, window: WindowId, halves: [DayRange; 2]) -> ();
    slice_window(lease: RunLease, window: WindowId, parts: &[WindowSpec]) -> ();
    stretch_window(lease: RunLease, window: WindowId, days: DayRange) -> ();
    mark_window_done(lease: RunLease, window: WindowId, cut_short: bool) -> ();
    record_ends_rescanned(lease: RunLease, window: WindowId) -> ();
}

trapped! { Listings for dyn Runs:
    listing(lease: RunLease, window: WindowId) -> Listing;
    listed(lease: RunLease, window: WindowId) -> Vec<i64>;
    window_list(lease: RunLease, window: WindowId) -> WindowList;
    carry_list(lease: RunLease, list: &CarriedList) -> ();
    carry_over(lease: RunLease, window: WindowId, ids: &[i64]) -> ();
    count_listed(lease: RunLease, resource: Resource) -> u64;
    listed_orders(lease: RunLease) -> Option<u64>;
    not_listed(lease: RunLease, resource: Resource, ids: &[i64]) -> Vec<i64>;
    vanished(lease: RunLease, resource: Resource) -> Vec<i64>;
    order_moments(lease: RunLease, ids: &[i64]) -> Vec<OrderMoments>;
}
