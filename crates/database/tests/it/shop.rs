//! A shop whose run is claimed and planned, ready for landings.

use std::time::Duration;

use database::testing::TestDatabase;
use database::{PostgresLanding, PostgresRuns};
use domain::certificate::WindowCounts;
use domain::order::{Order, Version};
use domain::plan::{Budget, DetailCase, Plan, PlanInputs};
use domain::resource::Resource;
use domain::run::WindowId;
use domain::shop::{MerchantId, ShopInfo, ShopPlan};
use domain::window::{DayRange, Overlap};
use importer::ports::landing::{
    DetailOutcome, Landed, Landing, OrderDetail, RunLease, ScannedPage,
};
use importer::ports::platform::{Decoded, Pagination, Records};
use importer::ports::runs::{Claim, Listings, Owner, RunOptions, Runs, StoredWindow, Windows};
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, FromRow};

pub(crate) struct Shop {
    pub(crate) db: TestDatabase,
    pub(crate) landing: PostgresLanding,
    pub(crate) runs: PostgresRuns,
    pub(crate) merchant: MerchantId,
    pub(crate) lease: RunLease,
}

pub(crate) const LEASE: Duration = Duration::from_secs(60);

pub(crate) fn options() -> RunOptions {
    RunOptions {
        months: 12,
        max_orders: None,
        keep_raw: true,
        only: None,
    }
}

pub(crate) fn range() -> DayRange {
    DayRange::last_months("2025-06-15".parse().unwrap(), 12)
}

pub(crate) fn shop_info(salla_id: i64) -> ShopInfo {
    ShopInfo {
        salla_id,
        name: "متجر العود".to_owned(),
        plan: ShopPlan::Plus,
        kind: Some("live".to_owned()),
        status: Some("active".to_owned()),
        currency: Some("SAR".to_owned()),
        domain: None,
    }
}

pub(crate) fn plan(max_orders: Option<u64>) -> Plan {
    Plan::new(PlanInputs {
        range: range(),
        detail_case: DetailCase::Expanded,
        orders: 100,
        orders_per_page: 60,
        customers: Some(10),
        customers_per_page: 60,
        products: 10,
        products_per_page: 60,
        categories: 2,
        overlap: Overlap::INCLUSIVE,
        budget: Budget {
            requests_per_minute: Some(120),
            share: 0.5,
        },
        max_orders,
        is_quiet: false,
        requests: 0,
        recently_updated: vec![],
        last_update: None,
        recent_asked_at: None,
        ceiling: domain::ceiling::Ceiling::UNKNOWN,
    })
}

impl Shop {
    pub(crate) async fn open() -> Self {
        Self::with(options()).await
    }

    pub(crate) async fn with(options: RunOptions) -> Self {
        let db = TestDatabase::create().await;
        let runs = db.database().runs();
        let merchant = runs.ensure_merchant(&shop_info(1)).await.unwrap();
        let run = runs
            .create_or_join(merchant, &options, range(), None)
            .await
            .unwrap();
        let lease = claim(&runs, run.id, "worker 1").await;
        let shop = Self {
            landing: db.database().landing(),
            runs,
            db,
            merchant,
            lease,
        };
        shop.plan(options.max_orders).await;
        shop
    }

    /// One window for the orders and one for each other resource.
    async fn plan(&self, max_orders: Option<u64>) {
        let plan = plan(max_orders);
        let windows = Resource::ALL.map(|r| (r, r.has_windows().then(range)));
        self.runs
            .save_plan(self.lease, &plan, &windows)
            .await
            .unwrap();
        for resource in Resource::ALL {
            let window = self.window(resource).await;
            self.runs.begin_scan(self.lease, window).await.unwrap();
        }
    }

    /// A new run of the same shop, claimed and planned, as after `import --again`.
    pub(crate) async fn again(&mut self) {
        let failure = domain::failure::Failure::Broken {
            message: "test".to_owned(),
        };
        self.runs.fail(self.lease, &failure, None).await.unwrap();
        self.begin(&RunOptions {
            months: options().months + 1,
            ..options()
        })
        .await;
    }

    /// A run with other options than the last one, which is over.
    pub(crate) async fn begin(&mut self, options: &RunOptions) {
        let run = self
            .runs
            .create_or_join(self.merchant, options, range(), None)
            .await
            .unwrap();
        self.lease = claim(&self.runs, run.id, "worker 2").await;
        self.plan(options.max_orders).await;
    }

    pub(crate) async fn window(&self, resource: Resource) -> WindowId {
        self.stored_window(resource).await.id
    }

    async fn stored_window(&self, resource: Resource) -> StoredWindow {
        let windows = self.runs.windows(self.lease).await.unwrap();
        let mut windows = windows.into_iter();
        windows.find(|w| w.resource == resource).unwrap()
    }

    pub(crate) async fn page(&self, page: u32, version: Version, records: Records) -> ScannedPage {
        let total = records.len() as u64;
        let window = self.stored_window(records.resource()).await;
        ScannedPage {
            window: window.id,
            scan: window.scan,
            page,
            pagination: Pagination {
                count: records.len() as u32,
                total,
                per_page: 60,
                current_page: page,
                total_pages: 1,
            },
            version,
            records,
        }
    }

    pub(crate) async fn land(&self, page: u32, version: Version, records: Records) -> Landed {
        let page = self.page(page, version, records).await;
        let landed = self.landing.land_pages(self.lease, &[page]).await.unwrap();
        without_counts(landed)
    }

    pub(crate) async fn land_orders(
        &self,
        page: u32,
        version: Version,
        orders: &[Order],
    ) -> Landed {
        let orders = orders.iter().cloned().map(crate::make::ok).collect();
        self.land(page, version, Records::Orders(orders)).await
    }

    pub(crate) async fn land_detail(&self, version: Version, order: Order) -> Landed {
        let order_id = order.id;
        let order = Box::new(crate::make::ok(order));
        self.land_outcome(
            order_id,
            version,
            DetailOutcome::Found { order, items: None },
        )
        .await
    }

    pub(crate) async fn land_outcome(
        &self,
        order_id: i64,
        version: Version,
        outcome: DetailOutcome,
    ) -> Landed {
        let detail = OrderDetail {
            order_id,
            version,
            outcome,
        };
        let landed = self.landing.land_details(self.lease, &[detail]).await;
        without_counts(landed.unwrap())
    }

    pub(crate) async fn pending(&self) -> Vec<i64> {
        let pending = self
            .landing
            .pending_details(self.lease, None, 100)
            .await
            .unwrap();
        pending.into_iter().map(|p| p.order_id).collect()
    }

    pub(crate) async fn count(&self, resource: Resource) -> WindowCounts {
        let certificate = self
            .runs
            .certify(self.lease, crate::make::at(60))
            .await
            .unwrap();
        let mut windows = certificate.windows.into_iter();
        let counts = windows.find(|w| w.listing.resource == resource).unwrap();
        let listing = self.runs.listing(self.lease, counts.listing.window).await;
        assert_eq!(listing.unwrap(), counts.listing, "both count the same");
        counts
    }

    /// The only row of a query.
    pub(crate) async fn one<T>(&self, sql: &str) -> T
    where
        T: Send + Unpin + for<'r> FromRow<'r, PgRow>,
    {
        let rows = self.all(sql).await;
        let [row] =
            <[T; 1]>::try_from(rows).unwrap_or_else(|rows| panic!("{} rows: {sql}", rows.len()));
        row
    }

    pub(crate) async fn all<T>(&self, sql: &str) -> Vec<T>
    where
        T: Send + Unpin + for<'r> FromRow<'r, PgRow>,
    {
        let query = sqlx::query_as(AssertSqlSafe(sql.to_owned()));
        query.fetch_all(self.db.pool()).await.unwrap()
    }

    pub(crate) async fn execute(&self, sql: &str) {
        let query = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        query.execute(self.db.pool()).await.unwrap();
    }

    pub(crate) async fn rows(&self, table: &str) -> i64 {
        let (count,): (i64,) = self.one(&format!("SELECT count(*) FROM {table}")).await;
        count
    }
}

/// What this landing did, whatever the run did before it.
pub(crate) fn without_counts(landed: Landed) -> Landed {
    Landed {
        counted: None,
        ..landed
    }
}

pub(crate) async fn claim(runs: &PostgresRuns, run: domain::run::RunId, owner: &str) -> RunLease {
    match runs.claim(run, &Owner::named(owner), LEASE).await.unwrap() {
        Claim::Granted(lease, _) => lease,
        other => panic!("not granted: {other:?}"),
    }
}

pub(crate) fn orders(records: Vec<Decoded<Order>>) -> Records {
    Records::Orders(records)
}
