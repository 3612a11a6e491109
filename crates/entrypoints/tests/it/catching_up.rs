//! A shop whose history is there is brought up to date: by few requests, and truly.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use domain::certificate::Certificate;
use domain::job::NotificationKind;
use domain::resource::Resource;
use domain::shop::MerchantId;
use domain::window::DayRange;
use entrypoints::config::DatabaseSettings;
use entrypoints::wiring;
use importer::freshness::Freshness;
use importer::ports::clock::SystemClock;
use jiff::SignedDuration;
use salla_simulator::{
    AppAge, Ceiling, CeilingBehavior, Endpoint, FilterZone, InvalidKind, Original, Scenario,
    ShopSpec,
};
use serde_json::Value;

use crate::jobs::BackgroundService;
use crate::process::{ended, finish_and_compare, present_day, program, run};
use crate::service::{TestService, completed};
use crate::support::KEY;
use crate::truth::small;

const AGES: [AppAge; 3] = [AppAge::Expanded, AppAge::FullDetails, AppAge::LightDetails];

/// More than a page of every list.
fn shop(app_age: AppAge) -> Scenario {
    let scenario = small(900);
    Scenario {
        shop: ShopSpec {
            customers: 200,
            products: 150,
            ..scenario.shop.clone()
        },
        app_age,
        ..scenario
    }
}

/// Requests of each kind since the last time.
struct Counter(BTreeMap<Endpoint, u64>);

impl Counter {
    fn of(service: &TestService) -> Self {
        Self(service.simulator.ledger().by_endpoint)
    }

    fn since(&self, service: &TestService) -> BTreeMap<Endpoint, u64> {
        let now = service.simulator.ledger().by_endpoint;
        let before = |endpoint| self.0.get(&endpoint).copied().unwrap_or(0);
        let counts = now
            .into_iter()
            .map(|(endpoint, n)| (endpoint, n - before(endpoint)));
        counts.filter(|(_, n)| *n > 0).collect()
    }
}

/// All but those for the details of orders.
fn of_lists(counts: &BTreeMap<Endpoint, u64>) -> u64 {
    let details = [Endpoint::Order, Endpoint::OrderItems];
    let lists = counts
        .iter()
        .filter(|(endpoint, _)| !details.contains(endpoint));
    lists.map(|(_, n)| n).sum()
}

async fn catch_up(service: &TestService) -> (MerchantId, Certificate) {
    let (merchant, outcome) = service.import().await;
    let certificate = completed(outcome);
    service.compare(merchant, &certificate).await;
    assert_counts_are_the_shops(service).await;
    (merchant, certificate)
}

/// What the status counts after a run that only read what has changed.
async fn assert_counts_are_the_shops(service: &TestService) {
    const SHOWN: &str = "
        SELECT orders, order_details, customers, products
        FROM salla_sync.merchant_sync_status WHERE carries_on";
    const HELD: &str = "
        SELECT count(*) FILTER (WHERE resource = 'orders'), count(detail_version),
            count(*) FILTER (WHERE resource = 'customers'),
            count(*) FILTER (WHERE resource = 'products')
        FROM salla_sync.source_records WHERE gone_at IS NULL";
    let pool = service.open.database.pool();
    let shown: (i64, i64, i64, i64) = sqlx::query_as(SHOWN)
        .fetch_one(pool)
        .await
        .expect("the shop has a status");
    let held: (i64, i64, i64, i64) = sqlx::query_as(HELD)
        .fetch_one(pool)
        .await
        .expect("records are counted");
    assert_eq!(shown, held, "orders, details, customers, products");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_in_which_nothing_changed_costs_a_dozen_requests() {
    for app_age in AGES {
        let service = TestService::start(shop(app_age)).await;
        service.import_and_compare().await;
        for _ in 0..2 {
            let counter = Counter::of(&service);
            catch_up(&service).await;
            let counts = counter.since(&service);
            eprintln!("{app_age:?}: nothing changed, {counts:?}");
            assert!(
                counts.values().sum::<u64>() <= 12,
                "{app_age:?}: {counts:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_that_changed_cost_their_pages_and_their_details() {
    for app_age in AGES {
        let service = TestService::start(shop(app_age)).await;
        let range = service.import_and_compare().await.range;
        let handle = service.simulator.first_shop();
        let orders: Vec<i64> = handle
            .view()
            .truth_orders(range.from, range.to)
            .map(|order| order.id)
            .collect();
        // So that they are not of the second in which the import ended.
        let now = service.clock.now();
        let mut changed = 0;
        for id in orders.iter().step_by(9) {
            changed += u64::from(handle.edit_order(*id, Original::Completed));
        }
        for id in orders.iter().skip(3).step_by(40) {
            changed += u64::from(handle.edit_order_items(*id));
        }
        for second in 0..20 {
            handle.insert_order(now - SignedDuration::from_secs(second));
            changed += 1;
        }
        let counter = Counter::of(&service);
        let (_, certificate) = catch_up(&service).await;
        let counts = counter.since(&service);
        eprintln!("{app_age:?}: {changed} changed, {counts:?}");
        let lists = of_lists(&counts);
        assert!(
            lists <= 12 + changed.div_ceil(60),
            "{app_age:?}: {changed} changed, {counts:?}"
        );
        let details = counts.get(&Endpoint::Order).copied().unwrap_or(0);
        assert!(
            details <= changed + 5,
            "{app_age:?}: {changed} changed, {counts:?}"
        );
        assert!(certificate.as_of > now - SignedDuration::from_secs(60));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_gone_is_found_and_what_came_back_is_there_again() {
    for app_age in AGES {
        let service = TestService::start(shop(app_age)).await;
        let range = service.import_and_compare().await.range;
        let handle = service.simulator.first_shop();
        let orders: Vec<i64> = handle
            .view()
            .truth_orders(range.from, range.to)
            .map(|order| order.id)
            .collect();
        let [gone, hidden] = [orders[400], orders[200]];
        assert!(handle.delete_order(gone) && handle.hide_order(hidden));
        let product = handle
            .view()
            .truth_products()
            .nth(75)
            .expect("a product")
            .id;
        let customer = handle
            .view()
            .truth_customers()
            .nth(90)
            .expect("a customer")
            .id;
        assert!(handle.delete_product(product) && handle.delete_customer(customer));
        let counter = Counter::of(&service);
        let (_, certificate) = catch_up(&service).await;
        let counts = counter.since(&service);
        eprintln!("{app_age:?}: four are gone, {counts:?}");
        assert_eq!(certificate.vanished, 2);
        assert!(of_lists(&counts) <= 12 + 24, "{app_age:?}: {counts:?}");
        assert!(handle.unhide_order(hidden));
        handle.insert_product();
        handle.insert_customer(service.clock.now());
        catch_up(&service).await;
        catch_up(&service).await;
    }
}

/// The first import reads windows of fewer rows than `ceiling`: a shop of 900 orders has as
/// many windows as a large one.
async fn start_with_windows(scenario: Scenario, ceiling: i64) -> (TestService, Certificate) {
    let service = TestService::start(scenario).await;
    let merchant = service.connect().await.merchant;
    set_ceiling(&service, merchant, Some(ceiling)).await;
    let certificate = service.import_and_compare().await;
    set_ceiling(&service, merchant, None).await;
    (service, certificate)
}

/// 28 windows of a page.
async fn start_with_many_windows(scenario: Scenario) -> (TestService, Certificate) {
    start_with_windows(scenario, 50).await
}

async fn set_ceiling(service: &TestService, merchant: MerchantId, rows: Option<i64>) {
    sqlx::query("UPDATE salla_sync.merchants SET list_ceiling = $2 WHERE id = $1")
        .bind(merchant.0)
        .bind(rows)
        .execute(service.open.database.pool())
        .await
        .expect("the shop is there");
}

/// The oldest first.
fn order_ids(service: &TestService, range: DayRange) -> Vec<i64> {
    let view = service.simulator.first_shop().view();
    let orders = view.truth_orders(range.from, range.to);
    let mut orders: Vec<(i64, i64)> = orders.map(|order| (order.created_at, order.id)).collect();
    orders.sort();
    orders.into_iter().map(|(_, id)| id).collect()
}

/// The oldest first.
fn order_windows(certificate: &Certificate) -> Vec<DayRange> {
    let listings = certificate.windows.iter().map(|window| &window.listing);
    let of_orders = listings.filter(|listing| listing.resource == Resource::Orders);
    let mut windows: Vec<DayRange> = of_orders.filter_map(|listing| listing.days).collect();
    windows.sort();
    windows
}

/// What the lists of orders cost if nothing has changed.
const UNCHANGED: u64 = 1;

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_order_costs_as_many_requests_as_the_windows_can_be_halved() {
    for app_age in AGES {
        let (service, first) = start_with_many_windows(shop(app_age)).await;
        let windows = order_windows(&first).len() as u64;
        assert!(windows > 24, "{windows} windows");
        let handle = service.simulator.first_shop();
        let mut deleted = BTreeSet::new();
        for (count, max_requests) in [
            (0, UNCHANGED),
            (1, UNCHANGED + 7),
            (1, UNCHANGED + 7),
            (2, UNCHANGED + 12),
            (5, UNCHANGED + windows),
            (30, UNCHANGED + windows),
        ] {
            let orders = order_ids(&service, first.range);
            for place in 0..count {
                let id = orders[(3 * place + 1) * orders.len() / (3 * count)];
                assert!(handle.delete_order(id) && deleted.insert(id));
            }
            let counter = Counter::of(&service);
            let (_, certificate) = catch_up(&service).await;
            let counts = counter.since(&service);
            eprintln!("{app_age:?}: {windows} windows, {count} gone, {counts:?}");
            assert_eq!(certificate.vanished, count as u64);
            assert!(counts[&Endpoint::Orders] <= max_requests, "{counts:?}");
            // Each one that is gone is requested once, and one that may have been updated.
            let details = counts.get(&Endpoint::Order).copied().unwrap_or(0);
            assert!(details <= count as u64 + 1, "{counts:?}");
        }
    }
}

/// While windows are counted, one more order is deleted: what the older half lacks seems to be
/// all. The changes, read once more, show that it is not. On a busy machine the order may be
/// deleted before the search begins, or after it: then it is tried again.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_deleted_during_the_search_hides_no_other() {
    let mut scenario = shop(AppAge::Expanded);
    scenario.latency.fixed_ms = 50;
    let (service, first) = start_with_many_windows(scenario).await;
    let windows = order_windows(&first).len() as u64;
    let handle = service.simulator.first_shop();
    for attempt in 1..=10 {
        let orders = order_ids(&service, first.range);
        assert!(handle.delete_order(orders[orders.len() - 100]));
        let counter = Counter::of(&service);
        let lists = || counter.since(&service).get(&Endpoint::Orders).copied();
        let meanwhile = async {
            // The list of changes, which has counted all orders by now.
            service.simulator.until(|| lists() >= Some(1)).await;
            assert!(handle.delete_order(orders[100]));
        };
        let ((_, outcome), ()) = tokio::join!(service.import(), meanwhile);
        let certificate = completed(outcome);
        eprintln!(
            "{attempt}: {windows} windows, {:?} lists of orders",
            lists()
        );
        let is_compared = lists() > Some(windows);
        // An order that is deleted after all was read is missed by the next import.
        catch_up(&service).await;
        assert!(!is_compared || certificate.vanished == 2);
        if is_compared {
            return;
        }
    }
    panic!("no order was deleted while windows were counted");
}

/// What the lists of orders are like, and whether several windows can be counted together.
fn odd_shops() -> Vec<(&'static str, Scenario, bool)> {
    let of = |name, change: fn(&mut Scenario), is_searched| {
        let mut scenario = shop(AppAge::Expanded);
        change(&mut scenario);
        (name, scenario, is_searched)
    };
    vec![
        of(
            "days are UTC's",
            |s| s.date_filter.zone = FilterZone::Utc,
            true,
        ),
        of(
            "bounds are exclusive",
            |s| s.date_filter.from_inclusive = false,
            false,
        ),
        of("records without id", |s| s.invalid.orders = 0.04, true),
        of("totals are off", |s| s.lists.orders.total_off = 2, false),
        of(
            "totals end at the ceiling",
            |s| {
                s.lists.orders.ceiling = Some(Ceiling {
                    rows: 200,
                    how: CeilingBehavior::Lie,
                    ..Ceiling::default()
                });
            },
            false,
        ),
        of(
            "lists end at the ceiling",
            |s| {
                s.lists.orders.ceiling = Some(Ceiling {
                    rows: 200,
                    ..Ceiling::default()
                });
            },
            true,
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_orders_are_found_whatever_salla_s_numbers_are_like() {
    for (name, scenario, is_searched) in odd_shops() {
        let (service, first) = start_with_many_windows(scenario).await;
        let windows = order_windows(&first).len() as u64;
        let handle = service.simulator.first_shop();
        for count in [2, 1] {
            let orders = order_ids(&service, first.range);
            for place in 0..count {
                assert!(handle.delete_order(orders[(place + 1) * orders.len() / 3]));
            }
            let counter = Counter::of(&service);
            let (_, certificate) = catch_up(&service).await;
            let counts = counter.since(&service);
            eprintln!("{name}: {windows} windows, {count} gone, {counts:?}");
            assert_eq!(certificate.vanished, count as u64, "{name}");
            let lists = counts[&Endpoint::Orders];
            assert_eq!(lists < windows, is_searched, "{name}: {counts:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_order_is_found_in_one_of_many_windows_of_several_pages() {
    let mut scenario = shop(AppAge::Expanded);
    scenario.shop.orders = 3_000;
    let (service, first) = start_with_windows(scenario, 250).await;
    let windows = order_windows(&first).len() as u64;
    let handle = service.simulator.first_shop();
    for place in [1, 2, 3] {
        let orders = order_ids(&service, first.range);
        assert!(handle.delete_order(orders[place * orders.len() / 4]));
        let counter = Counter::of(&service);
        let (_, certificate) = catch_up(&service).await;
        let counts = counter.since(&service);
        eprintln!("{windows} windows of several pages, one gone, {counts:?}");
        assert_eq!(certificate.vanished, 1);
        // Its window has three or four pages, and is scanned where halving them does not tell.
        assert!(counts[&Endpoint::Orders] <= UNCHANGED + 7 + 8, "{counts:?}");
    }
}

/// What is gone from a window with new orders needs no search.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_order_and_a_deleted_one_of_the_same_days_cost_one_comparison() {
    let (service, first) = start_with_many_windows(shop(AppAge::Expanded)).await;
    let handle = service.simulator.first_shop();
    handle.insert_order(service.clock.now());
    catch_up(&service).await;
    let new = handle.insert_order(service.clock.now());
    let mut others = order_ids(&service, first.range).into_iter().rev();
    let gone = others
        .find(|id| *id != new)
        .expect("the order of the former run");
    assert!(handle.delete_order(gone));
    let counter = Counter::of(&service);
    let (_, certificate) = catch_up(&service).await;
    let counts = counter.since(&service);
    eprintln!("one came and one went today, {counts:?}");
    assert_eq!(certificate.vanished, 1);
    // The window, and the changes once more at the end. The order that is gone was the first of
    // the changes before, so they may take another page.
    assert!(counts[&Endpoint::Orders] <= UNCHANGED + 3, "{counts:?}");
}

/// Rows that were deleted by hand are missing from the certificate and read again.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_were_deleted_here_are_put_back() {
    let service = TestService::start(shop(AppAge::Expanded)).await;
    service.import_and_compare().await;
    for sql in [
        "DELETE FROM salla.order_items WHERE order_id % 3 = 0",
        "DELETE FROM salla.orders WHERE id % 7 = 0",
        "DELETE FROM salla.products WHERE id % 5 = 0",
    ] {
        let delete = sqlx::query(sql).execute(service.open.database.pool());
        delete.await.expect("rows can be deleted");
    }
    catch_up(&service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_four_months_after_twelve_reads_the_gap_and_what_has_changed() {
    let scenario = shop(AppAge::FullDetails);
    let mut service = TestService::start(Scenario {
        shop: ShopSpec {
            months: 26,
            ..scenario.shop.clone()
        },
        ..scenario
    })
    .await;
    let year = service.import_and_compare().await.range;
    let handle = service.simulator.first_shop();
    handle.insert_order(service.clock.now());
    let counter = Counter::of(&service);
    service.options.months = 24;
    let (_, certificate) = catch_up(&service).await;
    assert_eq!(certificate.range, DayRange::last_months(year.to, 24));
    let gap = handle.truth(certificate.range.from, year.from).orders;
    let details = counter.since(&service)[&Endpoint::Order];
    assert!(details <= gap + 10, "{details} of {gap}");
    // Less is there as well, and nothing is taken away.
    service.options.months = 12;
    let (_, certificate) = catch_up(&service).await;
    assert_eq!(certificate.range, DayRange::last_months(year.to, 24));
}

/// Edits, arrivals, deletions and restorations, by a seed.
struct Changes {
    random: fastrand::Rng,
    hidden: Vec<i64>,
}

impl Changes {
    fn of(seed: u64) -> Self {
        Self {
            random: fastrand::Rng::with_seed(seed),
            hidden: Vec::new(),
        }
    }

    fn make(&mut self, service: &TestService, range: DayRange) {
        let handle = service.simulator.first_shop();
        let now = service.clock.now();
        for id in self.hidden.drain(..) {
            assert!(handle.unhide_order(id));
        }
        let view = handle.view();
        let orders: Vec<i64> = view
            .truth_orders(range.from, range.to)
            .map(|order| order.id)
            .collect();
        let customers: Vec<i64> = view.truth_customers().map(|customer| customer.id).collect();
        let products: Vec<i64> = view.truth_products().map(|product| product.id).collect();
        for _ in 0..self.random.u32(0..12) {
            let id = orders[self.random.usize(..orders.len())];
            match self.random.u32(0..5) {
                0 => drop(handle.edit_order(id, Original::Canceled)),
                1 => drop(handle.edit_order_items(id)),
                2 => drop(handle.delete_order(id)),
                3 => self.hidden.extend(handle.hide_order(id).then_some(id)),
                _ => drop(handle.insert_order(now)),
            }
        }
        if self.random.bool() {
            handle.insert_customer(now);
            handle.delete_customer(customers[self.random.usize(..customers.len())]);
        }
        if self.random.bool() {
            handle.insert_product();
        }
        if self.random.bool() {
            handle.delete_product(products[self.random.usize(..products.len())]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_has_changed_the_shop_is_true_again() {
    for (seed, app_age) in (0..4).zip(AGES.into_iter().cycle()) {
        let mut scenario = shop(app_age);
        scenario.shop.seed = seed;
        let service = TestService::start(scenario).await;
        let range = service.import_and_compare().await.range;
        let mut changes = Changes::of(seed);
        for round in 0..4 {
            eprintln!("seed {seed}, round {round}");
            changes.make(&service, range);
            catch_up(&service).await;
        }
    }
}

/// Later by that number of days, for all clocks.
async fn days_pass(service: &mut TestService, days: i64) {
    let span = SignedDuration::from_hours(24 * days);
    let by = Duration::try_from(span).expect("days pass forwards");
    service.simulator.clock().advance(by);
    service.clock = Arc::new(SystemClock::scaled(service.clock.now() + span, 1.0));
    let settings = DatabaseSettings::Url(service.database.url().into());
    let key = Some(KEY.to_owned().into());
    service.open = wiring::open_database(&settings, key, service.clock.clone())
        .await
        .expect("the test database opens");
}

/// Windows grow to a month and then another one begins; what was a year ago stays.
#[tokio::test(flavor = "multi_thread")]
async fn weeks_and_months_later_the_days_between_are_there_and_the_old_ones_stay() {
    let mut service = TestService::start(shop(AppAge::LightDetails)).await;
    let year = service.import_and_compare().await.range;
    let mut changes = Changes::of(7);
    for days in [1, 3, 9, 9, 9, 2] {
        days_pass(&mut service, days).await;
        let range = DayRange {
            to: domain::instant::riyadh_date(service.clock.now()),
            ..year
        };
        changes.make(&service, range);
        let (_, certificate) = catch_up(&service).await;
        assert_eq!(certificate.range, range);
    }
}

/// kill -9 after a seeded number of requests, again and again, of the program that catches up.
#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_killed_while_it_catches_up_loses_nothing() {
    for (seed, app_age) in (1..4).zip(AGES) {
        let mut scenario = shop(app_age);
        scenario.latency.fixed_ms = 5;
        scenario.shop.seed = seed;
        let service = present_day(scenario).await;
        finish_and_compare(&service).await;
        let today = domain::instant::riyadh_date(service.clock.now());
        let range = DayRange::last_months(today, 12);
        let mut changes = Changes::of(seed);
        for round in 0..2 {
            changes.make(&service, range);
            for _ in 0..3 {
                let after = service.simulator.ledger().requests + changes.random.u64(1..16);
                let mut child = program(&service, &["import"]).spawn().expect("it starts");
                tokio::select! {
                    () = service.simulator.until_requests(after) => {}
                    () = ended(&mut child) => {}
                }
                drop(child.kill());
                child.wait().expect("it ends");
            }
            eprintln!("seed {seed}, round {round}");
            finish_and_compare(&service).await;
        }
    }
}

/// Salla does not list edits of products and customers.
#[tokio::test(flavor = "multi_thread")]
async fn edited_products_and_customers_come_with_the_lists_or_within_a_week() {
    let service = present_day(shop(AppAge::Expanded)).await;
    finish_and_compare(&service).await;
    let edit = |skip| {
        let handle = service.simulator.first_shop();
        let view = handle.view();
        let product = view.truth_products().nth(skip).expect("a product").id;
        let customer = view.truth_customers().nth(skip).expect("a customer").id;
        assert!(handle.edit_product(product) && handle.edit_customer(customer));
    };
    edit(70);
    let output = run(program(&service, &["import", "--refresh-lists", "--json"])).await;
    assert!(output.status.success());
    finish_and_compare(&service).await;
    edit(80);
    sqlx::query("UPDATE salla_sync.sync_runs SET certificate = replace(certificate::text, $1, '2001-')::jsonb")
        .bind(format!("{}-", service.clock.now().strftime("%Y")))
        .execute(service.open.database.pool())
        .await
        .expect("time can be made to pass");
    finish_and_compare(&service).await;
}

/// The README's command, next week, and in a cron line.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_command_again_reads_what_has_come_since() {
    let service = present_day(shop(AppAge::Expanded)).await;
    finish_and_compare(&service).await;
    let handle = service.simulator.first_shop();
    for second in 0..7 {
        handle.insert_order(service.clock.now() - SignedDuration::from_secs(second));
    }
    let output = run(program(&service, &["import", "--months", "12", "--json"])).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("fetching what has changed since"), "{said}");
    let certificate: Value = serde_json::from_slice(&output.stdout).expect("a certificate");
    let loaded = |certificate: &Value| -> u64 {
        let windows = certificate["windows"].as_array().expect("windows");
        let orders = windows.iter().filter(|w| w["resource"] == "orders");
        orders
            .map(|w| w["loaded"].as_u64().expect("a number"))
            .sum()
    };
    let today = domain::instant::riyadh_date(service.clock.now());
    let range = DayRange::last_months(today, 12);
    let truth = handle.truth(range.from, range.to).orders;
    assert!(loaded(&certificate) >= truth, "{certificate}");
    finish_and_compare(&service).await;
}

/// Starts an import that is killed on its way.
async fn begin(service: &TestService, arguments: &[&str], requests: u64) {
    let after = service.simulator.ledger().requests + requests;
    let mut child = program(service, arguments).spawn().expect("it starts");
    tokio::select! {
        () = service.simulator.until_requests(after) => {}
        () = ended(&mut child) => panic!("it ended before it was killed"),
    }
    child.kill().expect("it can be killed");
    child.wait().expect("it ends");
}

/// A try that was cut off is no import: exit 0 stands for all twelve months.
#[tokio::test(flavor = "multi_thread")]
async fn a_first_try_that_was_cut_off_is_superseded_by_the_real_import() {
    let mut scenario = shop(AppAge::Expanded);
    scenario.latency.fixed_ms = 20;
    let service = present_day(scenario).await;
    begin(&service, &["import", "--max-orders", "60"], 8).await;
    let output = run(program(&service, &["import", "--months", "12", "--json"])).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let certificate: Value = serde_json::from_slice(&output.stdout).expect("a certificate");
    let windows = certificate["windows"].as_array().expect("windows");
    assert!(
        windows.iter().all(|w| w["cut_short"] == false),
        "{certificate}"
    );
    finish_and_compare(&service).await;
}

/// 12 months begun, 24 asked: both are there at the end of the one command.
#[tokio::test(flavor = "multi_thread")]
async fn more_months_than_were_begun_are_there_at_the_end() {
    let mut scenario = shop(AppAge::Expanded);
    scenario.latency.fixed_ms = 20;
    scenario.shop.months = 26;
    let service = present_day(scenario).await;
    begin(&service, &["import", "--months", "12"], 12).await;
    let output = run(program(&service, &["import", "--months", "24", "--json"])).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let certificate: Value = serde_json::from_slice(&output.stdout).expect("a certificate");
    let today = domain::instant::riyadh_date(service.clock.now());
    let wanted = DayRange::last_months(today, 24);
    assert_eq!(certificate["range"]["from"], wanted.from.to_string());
    finish_and_compare(&service).await;
}

/// A worker starts the run, through the queue, and the shop is up to date without any command.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_keeps_a_finished_shop_true() {
    let mut background = BackgroundService::open(shop(AppAge::FullDetails)).await;
    let run = background.start().await;
    background.work_until_empty().await;
    background.compare(&run).await;
    days_pass(&mut background.service, 1).await;
    let handle = background.service.simulator.first_shop();
    handle.insert_order(background.service.clock.now());
    let freshness = Freshness {
        starter: background
            .service
            .open
            .starter(background.service.clock.clone()),
        every: Duration::from_secs(3_600),
    };
    let (one, other) = tokio::join!(freshness.once(), freshness.once());
    let started = [one.expect("it looks"), other.expect("it looks")].concat();
    assert_eq!(started.len(), 1, "two workers start it once");
    background.work_until_empty().await;
    let jobs = background.service.open.jobs();
    let run = jobs.find(started[0]).await.expect("it answers");
    background.compare(&run.expect("the run is there")).await;
    // It is no news that a shop is true.
    assert_eq!(
        background.notifications().await,
        [NotificationKind::SyncComplete]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_that_are_always_off_cost_no_list() {
    let mut scenario = shop(AppAge::Expanded);
    let lists = &mut scenario.lists;
    for list in [&mut lists.orders, &mut lists.customers, &mut lists.products] {
        list.total_off = 2;
    }
    let service = TestService::start(scenario).await;
    service.import_and_compare().await;
    for _ in 0..2 {
        let counter = Counter::of(&service);
        catch_up(&service).await;
        let counts = counter.since(&service);
        eprintln!("nothing changed and totals are off, {counts:?}");
        assert!(counts.values().sum::<u64>() <= 12, "{counts:?}");
    }
    // A window that has another order is compared, and its number is off as before.
    let handle = service.simulator.first_shop();
    handle.insert_order(service.clock.now());
    let counter = Counter::of(&service);
    catch_up(&service).await;
    let counts = counter.since(&service);
    eprintln!("one order came and totals are off, {counts:?}");
    assert!(counts.values().sum::<u64>() <= 13, "{counts:?}");
    // Today they are right: the lists are read again, and then no more.
    service.simulator.set(|scenario| {
        let lists = &mut scenario.lists;
        for list in [&mut lists.orders, &mut lists.customers, &mut lists.products] {
            list.total_off = 0;
        }
    });
    catch_up(&service).await;
    let counter = Counter::of(&service);
    catch_up(&service).await;
    let counts = counter.since(&service);
    assert!(counts.values().sum::<u64>() <= 12, "{counts:?}");
}

/// Orders of these days without a readable id.
fn without_id(service: &TestService, range: DayRange) -> Vec<i64> {
    let view = service.simulator.first_shop().view();
    let rejections = view.truth(range.from, range.to).rejections;
    let of_orders = rejections.into_iter().filter(|rejection| {
        rejection.resource == salla_simulator::Resource::Orders
            && matches!(
                rejection.kind,
                InvalidKind::IdMissing
                    | InvalidKind::IdNotANumber
                    | InvalidKind::IdNegative
                    | InvalidKind::NotAnObject
            )
    });
    of_orders.map(|rejection| rejection.id).collect()
}

fn counted_without_id(certificate: &Certificate) -> u64 {
    let listings = certificate.windows.iter().map(|window| &window.listing);
    let of_orders = listings.filter(|listing| listing.resource == Resource::Orders);
    of_orders.map(|listing| listing.without_id).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_without_id_that_is_gone_is_no_longer_counted() {
    let mut scenario = small(30);
    scenario.invalid.orders = 0.15;
    let service = TestService::start(scenario).await;
    let handle = service.simulator.first_shop();
    let mut invalid = without_id(&service, last_months(&service, 12));
    for id in invalid.drain(2..) {
        assert!(handle.delete_order(id));
    }
    let certificate = completed(service.import().await.1);
    assert_eq!(counted_without_id(&certificate), 2);
    for (gone, id) in (1..).zip(&invalid) {
        assert!(handle.delete_order(*id));
        let certificate = completed(service.import().await.1);
        assert_eq!(counted_without_id(&certificate), 2 - gone);
    }
}

async fn latest_certificate(service: &TestService) -> Certificate {
    let runs = service.open.runs().list().await;
    let runs = runs.expect("runs can be listed");
    let run = runs[0].1.as_ref().expect("there is a run");
    run.certificate.clone().expect("it has a certificate")
}

/// A shop of 26 months, of which the last 12 are there.
async fn start_with_a_year(app_age: AppAge, orders: u64) -> TestService {
    let mut scenario = shop(app_age);
    scenario.latency.fixed_ms = 20;
    scenario.shop.months = 26;
    scenario.shop.orders = orders;
    let service = present_day(scenario).await;
    finish_and_compare(&service).await;
    service
}

fn last_months(service: &TestService, months: u16) -> DayRange {
    let today = domain::instant::riyadh_date(service.clock.now());
    DayRange::last_months(today, months)
}

async fn succeeds(service: &TestService, arguments: &[&str]) -> Value {
    let output = run(program(service, arguments)).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {said}");
    serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
}

/// What `verify` advises against altered rows, typed as it says it.
#[tokio::test(flavor = "multi_thread")]
async fn everything_again_is_no_less_than_what_was_there() {
    let service = start_with_a_year(AppAge::Expanded, 900).await;
    succeeds(&service, &["import", "--months", "24", "--json"]).await;
    let years = last_months(&service, 24);
    let orders = order_ids(&service, years);
    let altered = sqlx::query("UPDATE salla.orders SET payment_method = 'x' WHERE id = $1")
        .bind(orders[orders.len() / 4])
        .execute(service.open.database.pool())
        .await;
    assert_eq!(altered.expect("a row can be altered").rows_affected(), 1);
    succeeds(&service, &["import", "--again", "--json"]).await;
    let certificate = latest_certificate(&service).await;
    assert_eq!(certificate.range.from, years.from);
    service.compare(certificate.merchant_id, &certificate).await;
    let handle = service.simulator.first_shop();
    assert!(handle.delete_order(orders[orders.len() / 6]));
    finish_and_compare(&service).await;
    let certificate = latest_certificate(&service).await;
    assert_eq!(certificate.range.from, years.from);
    assert_eq!(certificate.vanished, 1);
    let shop = service.simulator.merchant_id().to_string();
    let start = ["runs", "start", "--again", "--json", "--shop", &shop];
    let started = succeeds(&service, &start).await;
    assert_eq!(started["range"]["from"], years.from.to_string());
}

/// Older orders are being read when it is killed, and then it is cancelled.
async fn begin_two_years_and_cancel(service: &TestService) {
    begin(service, &["import", "--months", "24"], 12).await;
    let shop = service.simulator.merchant_id().to_string();
    succeeds(service, &["runs", "cancel", &shop]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_extension_that_was_cancelled_is_continued_and_not_doubled() {
    let service = start_with_a_year(AppAge::Expanded, 3_000).await;
    let counter = Counter::of(&service);
    begin_two_years_and_cancel(&service).await;
    let certificate = succeeds(&service, &["import", "--months", "24", "--json"]).await;
    let counts = counter.since(&service);
    let certificate: Certificate = serde_json::from_value(certificate).expect("a certificate");
    let (years, windows) = (last_months(&service, 24), order_windows(&certificate));
    assert_eq!(windows.first().map(|days| days.from), Some(years.from));
    assert_eq!(windows.last().map(|days| days.to), Some(years.to));
    for neighbors in windows.windows(2) {
        let next = neighbors[0].to.tomorrow().expect("a day");
        assert_eq!(next, neighbors[1].from, "{windows:?}");
    }
    let handle = service.simulator.first_shop();
    let gap = handle.truth(years.from, last_months(&service, 12).from);
    let pages = gap.orders.div_ceil(60) + windows.len() as u64;
    eprintln!("{pages} pages in {windows:?}, {counts:?}");
    // Besides the plan and the closing check, what was under way when it was killed.
    assert!(counts[&Endpoint::Orders] <= pages + 16, "{counts:?}");
    finish_and_compare(&service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_extension_that_was_cancelled_stays_cancelled() {
    let service = start_with_a_year(AppAge::FullDetails, 3_000).await;
    begin_two_years_and_cancel(&service).await;
    for _ in 0..2 {
        let counter = Counter::of(&service);
        finish_and_compare(&service).await;
        let counts = counter.since(&service);
        eprintln!("the older days are left alone, {counts:?}");
        assert!(counts.values().sum::<u64>() <= 12, "{counts:?}");
        let certificate = latest_certificate(&service).await;
        let year = last_months(&service, 12);
        assert_eq!(certificate.range, year);
        let first = order_windows(&certificate).first().map(|days| days.from);
        assert_eq!(first, Some(year.from));
    }
}

/// A change of many orders at the same time leaves nothing of the former head.
#[tokio::test(flavor = "multi_thread")]
async fn a_former_head_of_which_all_orders_moved_costs_their_details_alone() {
    let service = TestService::start(shop(AppAge::FullDetails)).await;
    let range = service.import_and_compare().await.range;
    let handle = service.simulator.first_shop();
    let mut updated: Vec<(i64, i64)> = {
        let view = handle.view();
        let orders = view.truth_orders(range.from, range.to);
        orders.map(|order| (order.updated_at, order.id)).collect()
    };
    updated.sort_unstable();
    for (_, id) in updated.iter().rev().take(60) {
        assert!(handle.edit_order(*id, Original::Canceled) | handle.edit_order_items(*id));
    }
    let counter = Counter::of(&service);
    catch_up(&service).await;
    let counts = counter.since(&service);
    eprintln!("all of the former head moved, {counts:?}");
    assert!(counts[&Endpoint::Order] <= 60 + 10, "{counts:?}");
    assert!(of_lists(&counts) <= 12 + 2, "{counts:?}");
}
