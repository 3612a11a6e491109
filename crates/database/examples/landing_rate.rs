//! How many whole orders a second land: `landing_rate [batches] [parallel] [typed|raw]`.
//!
//! Batches of 10 pages with 60 orders of 3 items, as the header pass commits them, on
//! the tests' server, or the one that `TEST_DATABASE_URL` names. Run it with
//! `cargo run --release -p database --features testing --example landing_rate`.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement for the terminal"
)]

use std::sync::Arc;
use std::time::Duration;

use database::testing::TestDatabase;
use domain::customer::Customer;
use domain::instant::{DateReading, SallaInstant};
use domain::numbers::Money;
use domain::order::{Order, OrderAmounts, OrderCustomer, OrderItem, StatusRef};
use domain::plan::{Budget, DetailCase, Plan, PlanInputs};
use domain::resource::Resource;
use domain::run::WindowId;
use domain::shop::{ShopInfo, ShopPlan};
use domain::window::{DayRange, Overlap};
use importer::ports::clock::{Clock, SystemClock};
use importer::ports::landing::{Landing, RunLease, ScannedPage};
use importer::ports::platform::{Decoded, Pagination, Records};
use importer::ports::runs::{Claim, Owner, RunOptions, Runs};
use rust_decimal::Decimal;

const PAGES: u32 = 10;
const PER_PAGE: u32 = 60;
const RAW_BYTES: usize = 6_700;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let number = |index: usize, default: u32| {
        std::env::args()
            .nth(index)
            .map_or(default, |text| text.parse().unwrap())
    };
    let (batches, parallel) = (number(1, 100), number(2, 1));
    let only = std::env::args().nth(3);
    for (name, keep_raw) in [("typed", false), ("raw", true)] {
        if only.as_deref().is_none_or(|only| only == name) {
            measure(batches, parallel, keep_raw).await;
        }
    }
}

async fn measure(batches: u32, parallel: u32, keep_raw: bool) {
    let db = TestDatabase::create().await;
    let runs = db.database().runs();
    let (lease, window) = begin(&runs, keep_raw).await;
    let landing: Arc<dyn Landing> = Arc::new(db.database().landing());
    let clock = SystemClock::real();
    for (walk, version) in [(1, "first import"), (2, "same again, newer")] {
        let mut tasks = tokio::task::JoinSet::new();
        for worker in 0..parallel {
            let landing = landing.clone();
            tasks.spawn(async move {
                let clock = SystemClock::real();
                let mut busy = Duration::ZERO;
                for batch in (worker..batches).step_by(parallel as usize) {
                    let pages = pages(window, walk, batch);
                    let start = clock.monotonic();
                    landing.land_pages(lease, &pages).await.unwrap();
                    busy += clock.monotonic() - start;
                }
                busy
            });
        }
        let start = clock.monotonic();
        let busy: Vec<Duration> = tasks.join_all().await;
        let wall = clock.monotonic() - start;
        let busiest = busy.into_iter().max().unwrap();
        let orders = f64::from(batches * PAGES * PER_PAGE);
        println!(
            "raw {keep_raw}, {parallel} parallel, {version}: {:.0} orders/s ({:.0}/s with making them), {:.1} ms a batch",
            orders / busiest.as_secs_f64(),
            orders / wall.as_secs_f64(),
            busiest.as_secs_f64() * 1000.0 * f64::from(parallel) / f64::from(batches),
        );
    }
    let begun = clock.monotonic();
    let certificate = runs.certify(lease, clock.now()).await.unwrap();
    let mut windows = certificate.windows.into_iter();
    let counts = windows.find(|w| w.listing.window == window).unwrap();
    println!(
        "certifying {} orders: {:.0} ms",
        counts.listing.distinct,
        (clock.monotonic() - begun).as_secs_f64() * 1000.0
    );
    assert!(counts.loaded == counts.details_loaded);
}

async fn begin(runs: &dyn Runs, keep_raw: bool) -> (RunLease, WindowId) {
    let shop = ShopInfo {
        salla_id: 1,
        name: "rate".to_owned(),
        plan: ShopPlan::Special,
        kind: None,
        status: None,
        currency: None,
        domain: None,
    };
    let merchant = runs.ensure_merchant(&shop).await.unwrap();
    let options = RunOptions {
        months: 12,
        max_orders: None,
        keep_raw,
        only: None,
    };
    let range = DayRange::last_months("2025-06-15".parse().unwrap(), 12);
    let run = runs
        .create_or_join(merchant, &options, range, None)
        .await
        .unwrap();
    let lease = Duration::from_secs(600);
    let Claim::Granted(lease, _) = runs
        .claim(run.id, &Owner::named("rate"), lease)
        .await
        .unwrap()
    else {
        panic!("the run is new");
    };
    let plan = Plan::new(PlanInputs {
        range,
        detail_case: DetailCase::Expanded,
        orders: 1,
        orders_per_page: PER_PAGE,
        customers: Some(0),
        customers_per_page: PER_PAGE,
        products: 0,
        products_per_page: PER_PAGE,
        categories: 0,
        overlap: Overlap::INCLUSIVE,
        budget: Budget {
            requests_per_minute: None,
            share: 1.0,
        },
        max_orders: None,
        is_quiet: false,
        requests: 0,
        recently_updated: vec![],
        last_update: None,
        recent_asked_at: None,
        ceiling: domain::ceiling::Ceiling::UNKNOWN,
    });
    let windows = [(Resource::Orders, Some(range))];
    runs.save_plan(lease, &plan, &windows).await.unwrap();
    let window = runs.windows(lease).await.unwrap()[0].id;
    runs.begin_scan(lease, window).await.unwrap();
    (lease, window)
}

fn pages(window: WindowId, walk: u32, batch: u32) -> Vec<ScannedPage> {
    let page = |number: u32| {
        let first = number * PER_PAGE;
        let orders = (first..first + PER_PAGE).map(|n| decoded(order(i64::from(n))));
        ScannedPage {
            window,
            scan: walk,
            page: number + 1,
            pagination: Pagination {
                count: PER_PAGE,
                total: 600_000,
                per_page: PER_PAGE,
                current_page: number + 1,
                total_pages: 10_000,
            },
            version: jiff::Timestamp::constant(1_750_000_000 + i64::from(walk) * 1000, 0),
            records: Records::Orders(orders.collect()),
        }
    };
    (batch * PAGES..(batch + 1) * PAGES).map(page).collect()
}

/// Ids are not in the order of time, as with Salla.
fn scrambled(n: i64) -> i64 {
    (n * 1_103_515_245 + 12_345) % 2_147_483_647
}

fn order(n: i64) -> Order {
    let riyal = |amount| Some(Decimal::new(amount, 2));
    let text = |text: &str| Some(text.to_owned());
    let instant = jiff::Timestamp::constant(1_740_000_000 - n * 60, 0);
    Order {
        id: scrambled(n),
        reference_id: Some(100_000 + n),
        created_at: SallaInstant {
            instant,
            raw: "2025-02-10 10:00:00.000000".to_owned(),
            reading: DateReading::Riyadh,
        },
        updated_at: None,
        status: Some(StatusRef {
            id: Some(1_298_199_463),
            slug: text("completed"),
            name: text("مكتمل"),
            custom_id: None,
            custom_name: None,
        }),
        payment_method: text("mada"),
        source: text("store"),
        currency: text("SAR"),
        total: Some(Money::new(Decimal::new(11_500 + n, 2), "SAR")),
        exchange_rate: None,
        amounts: Some(OrderAmounts {
            subtotal: riyal(10_000),
            shipping: riyal(2_000),
            cash_on_delivery: riyal(0),
            tax_percent: riyal(1_500),
            tax: riyal(1_725),
            discounts: Vec::new(),
        }),
        customer: Some(OrderCustomer::Known(Box::new(Customer {
            id: scrambled(n / 3),
            first_name: text("نورة"),
            last_name: text("القحطاني"),
            email: text("someone@example.com"),
            mobile: text("555555555"),
            mobile_code: text("+966"),
            city: text("الرياض"),
            country: text("السعودية"),
            ..Customer::default()
        }))),
        items: Some((0..3).map(|i| item(scrambled(n * 3 + i))).collect()),
    }
}

fn item(id: i64) -> OrderItem {
    let riyal = |amount| Some(Decimal::new(amount, 2));
    OrderItem {
        id,
        product_id: Some(id % 500),
        sku: Some("SKU-77-BLACK".to_owned()),
        name: "عباية سوداء مطرزة".to_owned(),
        quantity: Decimal::new(2, 0),
        unit_price: riyal(2_500),
        discount: riyal(0),
        tax_percent: riyal(1_500),
        tax: riyal(750),
        total: riyal(5_000),
        currency: Some("SAR".to_owned()),
    }
}

/// About as long and as repetitive as what Salla sends.
fn decoded(order: Order) -> Decoded<Order> {
    let mut raw = String::with_capacity(RAW_BYTES + 200);
    while raw.len() < RAW_BYTES {
        let seed = order.id.wrapping_mul(raw.len() as i64 + 7);
        raw.push_str("{\"id\":");
        raw.push_str(&seed.to_string());
        raw.push_str(",\"name\":\"عباية سوداء مطرزة\",\"amounts\":{\"total\":{\"amount\":115.25,\"currency\":\"SAR\"}},\"thumbnail\":\"https://cdn.salla.sa/");
        raw.push_str(&format!("{:x}", seed.wrapping_mul(2_654_435_761)));
        raw.push_str("\",\"notes\":null,\"options\":[],\"images\":[]},");
    }
    Decoded {
        raw: raw.into(),
        outcome: Ok(order),
    }
}
