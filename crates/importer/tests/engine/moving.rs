//! A shop that never holds still, and lists that stop early: every import comes to its end.

use std::collections::BTreeSet;
use std::sync::Arc;

use domain::ceiling::Ceiling;
use domain::certificate::Certificate;
use domain::instant::riyadh_date;
use domain::resource::Resource;
use jiff::SignedDuration;

use crate::memory_store::MemoryStore;
use crate::proof::{listed, loaded};
use crate::scenarios::{completed, run, shop, today};
use crate::scripted_platform::{Beyond, ListedOrder, OrderShape, PER_PAGE, ScriptedPlatform};

const DAYS: i64 = 360;
const PER_DAY: i64 = 8;

/// Some order, another one for each `n`.
fn any(orders: &[ListedOrder], n: u64) -> usize {
    (n as usize * 7_907 + 131) % orders.len()
}

fn delete(orders: &mut Vec<ListedOrder>, n: u64) {
    orders.remove(any(orders, n));
}

fn add(orders: &mut Vec<ListedOrder>, n: u64) {
    let mut order = orders[any(orders, n)].clone();
    order.id = 7_000_000 + n as i64;
    order.created_at += SignedDuration::from_secs(7);
    order.updated_at = 1 + n;
    orders.push(order);
}

fn edit(orders: &mut [ListedOrder], n: u64) {
    let at = any(orders, n);
    orders[at].updated_at = 1 + n;
    orders[at].revision += 1;
}

#[track_caller]
fn assert_all_are_there(store: &MemoryStore, shop: &ScriptedPlatform, when: &str) {
    let loaded: BTreeSet<i64> = loaded(store).into_iter().collect();
    let listed: BTreeSet<i64> = listed(shop).into_iter().collect();
    let missing: Vec<_> = listed.difference(&loaded).collect();
    let left: Vec<_> = loaded.difference(&listed).collect();
    assert!(
        missing.is_empty() && left.is_empty(),
        "{when}: missing {missing:?}, left {left:?}"
    );
}

fn list_requests(shop: &ScriptedPlatform) -> u64 {
    let log = shop.log.lock().unwrap();
    log.iter().filter(|l| l.starts_with("orders")).count() as u64
}

fn of_orders(certificate: &Certificate) -> usize {
    let windows = certificate.windows.iter();
    windows
        .filter(|w| w.listing.resource == Resource::Orders)
        .count()
}

/// Twenty deletions from the first list request to the last, in shops whose lists give whole
/// orders and in others.
#[tokio::test(start_paused = true)]
async fn a_shop_that_loses_orders_all_the_time_is_imported_in_one_go() {
    for shape in [OrderShape::Full, OrderShape::Header] {
        let quiet = shop(DAYS, PER_DAY, shape);
        completed(run(&quiet, &Arc::default()).await);
        let paces: &[u64] = match shape {
            OrderShape::Full => &[5, 13],
            _ => &[5, 13, 150],
        };
        for every in paces.iter().copied() {
            let (shop, store) = (shop(DAYS, PER_DAY, shape), Arc::<MemoryStore>::default());
            for n in 0..20 {
                shop.change_at(8 + every * n, move |orders| delete(orders, n));
            }
            let certificate = completed(run(&shop, &store).await);
            assert!(certificate.balances());
            assert!(shop.changes.lock().unwrap().is_empty());
            assert_all_are_there(&store, &shop, &format!("{shape:?} every {every}"));
            let again = list_requests(&shop) - list_requests(&quiet);
            let all = (DAYS * PER_DAY) as u64 / 10;
            assert!(
                again <= 2 * all,
                "{shape:?} every {every}: {again} pages again"
            );
        }
    }
}

/// An old order is deleted behind the reader and a younger one comes ahead of it, so `total` stays
/// as it was and a neighbor of the deleted one slips past the reader. The younger one has been
/// listed by its scan.
#[tokio::test(start_paused = true)]
async fn an_order_that_comes_for_another_hides_no_neighbor() {
    for shape in [OrderShape::Full, OrderShape::Header] {
        for at in (4..160).step_by(12) {
            let (shop, store) = (shop(DAYS, PER_DAY, shape), Arc::<MemoryStore>::default());
            shop.change_at(at, |orders| {
                orders.sort_by_key(|order| order.created_at);
                let mut other = orders[orders.len() * 6 / 10].clone();
                other.id = 7_000_001;
                other.created_at += SignedDuration::from_secs(7);
                other.updated_at = 1;
                orders.push(other);
                orders.remove(14);
            });
            let certificate = completed(run(&shop, &store).await);
            assert!(certificate.balances());
            assert!(shop.changes.lock().unwrap().is_empty());
            assert_all_are_there(&store, &shop, &format!("{shape:?} at {at}"));
        }
    }
}

/// Wherever deletions fall: what is read besides, the closing checks included, is at most twice
/// the window.
#[tokio::test(start_paused = true)]
async fn deletions_in_a_window_cost_at_most_the_window_twice() {
    for days in [30, 90] {
        let quiet = shop(days, PER_DAY, OrderShape::Full);
        completed(run(&quiet, &Arc::default()).await);
        let (pages, requests) = (
            (days * PER_DAY) as u64 / PER_PAGE as u64,
            list_requests(&quiet),
        );
        for deletions in [1, 2, 3, 4] {
            for at in (1..requests + 2).step_by(requests as usize / 6) {
                for from in 0..3 {
                    let (shop, store) = (shop(days, PER_DAY, OrderShape::Full), Arc::default());
                    for n in 0..deletions {
                        shop.change_at(at + 2 * n, move |orders| delete(orders, 5 * from + n));
                    }
                    completed(run(&shop, &store).await);
                    let when = format!("{deletions} deletions in {pages} pages from {at} on");
                    assert_all_are_there(&store, &shop, &when);
                    let again = list_requests(&shop).saturating_sub(requests);
                    assert!(again <= 2 * pages, "{when}: {again} pages again");
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_shop_that_changes_in_every_way_is_imported_in_one_go() {
    for shape in [OrderShape::Full, OrderShape::Header] {
        for (every, changes) in [(3, 45), (11, 27), (40, 6)] {
            let (shop, store) = (shop(DAYS, PER_DAY, shape), Arc::<MemoryStore>::default());
            for n in 0..changes {
                shop.change_at(8 + every * n, move |orders| match n % 3 {
                    0 => delete(orders, n),
                    1 => add(orders, n),
                    _ => edit(orders, n),
                });
            }
            completed(run(&shop, &store).await);
            assert_all_are_there(&store, &shop, &format!("{shape:?} every {every}"));
            let revisions: BTreeSet<(i64, bool)> = {
                let orders = shop.orders.lock().unwrap();
                orders.iter().map(|o| (o.id, o.revision > 0)).collect()
            };
            let state = store.0.lock().unwrap();
            for (id, is_edited) in revisions {
                let is_new = state.rows[&id].contains("\"revision\":1");
                assert_eq!(is_new, is_edited, "order {id} {shape:?} every {every}");
            }
        }
    }
}

/// Only what moved is divided.
#[tokio::test(start_paused = true)]
async fn a_window_is_halved_where_it_moved() {
    let (shop, store) = (
        shop(DAYS, PER_DAY, OrderShape::Full),
        Arc::<MemoryStore>::default(),
    );
    let before = {
        let quiet = crate::scenarios::shop(DAYS, PER_DAY, OrderShape::Full);
        let certificate = completed(run(&quiet, &Arc::default()).await);
        of_orders(&certificate)
    };
    shop.change_at(60, |orders| delete(orders, 3));
    let certificate = completed(run(&shop, &store).await);
    let divided = of_orders(&certificate) - before;
    assert!((1..=8).contains(&divided), "{divided}");
}

fn with_ceiling(days: i64, per_day: i64, ceiling: usize, beyond: Beyond) -> Arc<ScriptedPlatform> {
    let mut shop = ScriptedPlatform::with_orders(today(), days, per_day, OrderShape::Full);
    shop.faults.ceiling = Some(ceiling);
    shop.faults.beyond = beyond;
    Arc::new(shop)
}

const MANNERS: [Beyond; 4] = [
    Beyond::Empty,
    Beyond::Refused,
    Beyond::RepeatsLast,
    Beyond::RepeatsFirst,
];

#[tokio::test(start_paused = true)]
async fn a_ceiling_of_any_height_and_manner_is_found_and_remembered() {
    for beyond in MANNERS {
        for ceiling in [37, 100, 555, 1_000] {
            let shop = with_ceiling(316, 7, ceiling, beyond);
            let store = Arc::<MemoryStore>::default();
            completed(run(&shop, &store).await);
            assert_all_are_there(&store, &shop, &format!("{beyond:?} {ceiling}"));
            let learned = store.0.lock().unwrap().ceiling.learned().unwrap();
            // A page that is shown in part says nothing about the next one, which is hidden.
            let above = (ceiling + PER_PAGE) as u64;
            assert!(learned < above, "{beyond:?} {ceiling}: {learned}");
            assert!(
                2 * learned > ceiling as u64,
                "{beyond:?} {ceiling}: {learned}"
            );

            store.0.lock().unwrap().forget_the_run();
            let first = list_requests(&shop);
            completed(run(&shop, &store).await);
            let second = list_requests(&shop) - first;
            assert!(
                second <= first,
                "{beyond:?} {ceiling}: {second} after {first}"
            );
        }
    }
}

/// A few more rows than a list shows must not pass for a number that is a little off.
#[tokio::test(start_paused = true)]
async fn rows_just_beyond_a_ceiling_are_not_settled_away() {
    for beyond in MANNERS {
        for missing in 1..=3 {
            let shop = with_ceiling(150, 2, 260 - missing, beyond);
            let store = Arc::<MemoryStore>::default();
            completed(run(&shop, &store).await);
            assert_all_are_there(&store, &shop, &format!("{beyond:?} {missing}"));
        }
    }
}

/// Whatever `total` says, the newest orders are there.
#[tokio::test(start_paused = true)]
async fn a_total_that_is_limited_as_well_is_not_believed() {
    let mut scripted = ScriptedPlatform::with_orders(today(), 300, 4, OrderShape::Full);
    scripted.faults.ceiling = Some(500);
    scripted.faults.ceiling_hides_the_rest = true;
    let (shop, store) = (Arc::new(scripted), Arc::<MemoryStore>::default());
    completed(run(&shop, &store).await);
    assert_all_are_there(&store, &shop, "");
}

#[tokio::test(start_paused = true)]
async fn a_day_above_a_low_ceiling_is_read_from_both_ends() {
    for beyond in MANNERS {
        let shop = with_ceiling(3, 150, 100, beyond);
        let store = Arc::<MemoryStore>::default();
        completed(run(&shop, &store).await);
        assert_all_are_there(&store, &shop, &format!("{beyond:?}"));
    }
}

/// A newest order that comes while another one goes leaves `total` as it was, and looks like one
/// that a ceiling hides.
#[tokio::test(start_paused = true)]
async fn orders_that_come_and_go_in_pairs_are_no_ceiling() {
    for every in [3, 5, 7, 11] {
        let (shop, store) = (
            shop(DAYS, PER_DAY, OrderShape::Full),
            Arc::<MemoryStore>::default(),
        );
        let month_ago = today().checked_sub(jiff::Span::new().days(31)).unwrap();
        for n in 0..40 {
            shop.change_at(8 + every * n, move |orders| {
                let is_older = |o: &&ListedOrder| riyadh_date(o.created_at) < month_ago;
                let newest = orders.iter().filter(is_older).max_by_key(|o| o.created_at);
                let mut order = newest.unwrap().clone();
                order.id = 7_000_000 + n as i64;
                order.created_at += SignedDuration::from_secs(7);
                order.updated_at = 1 + n;
                orders.push(order);
                delete(orders, n);
            });
        }
        completed(run(&shop, &store).await);
        assert_all_are_there(&store, &shop, &format!("every {every}"));
        let learned = store.0.lock().unwrap().ceiling;
        assert_eq!(learned, Ceiling::UNKNOWN, "every {every}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_that_came_empty_once_is_no_ceiling() {
    for resource in [Resource::Orders, Resource::Products, Resource::Customers] {
        let shop = shop(3, 150, OrderShape::Full);
        let product = |id| crate::catalogue::ListedProduct {
            id,
            status: domain::slice::ProductStatus::Sale,
            categories: vec![],
        };
        shop.catalogue.lock().unwrap().products = (1..=730).map(product).collect();
        let customer = |id| crate::catalogue::ListedCustomer { id, day: today() };
        shop.catalogue.lock().unwrap().customers = (1..=730).map(customer).collect();
        shop.blank_once.lock().unwrap().push(match resource {
            Resource::Orders => |r| r.resource == Resource::Orders && r.page == 2,
            Resource::Products => |r| r.resource == Resource::Products && r.page == 2,
            _ => |r| r.resource == Resource::Customers && r.page == 2,
        });
        let store = Arc::<MemoryStore>::default();
        completed(run(&shop, &store).await);
        assert!(shop.blank_once.lock().unwrap().is_empty(), "{resource}");
        assert_all_are_there(&store, &shop, &format!("{resource}"));
        let state = store.0.lock().unwrap();
        assert_eq!(state.ceiling, Ceiling::UNKNOWN, "{resource}");
        assert_eq!(state.others[&Resource::Products].len(), 730, "{resource}");
        assert_eq!(state.others[&Resource::Customers].len(), 730, "{resource}");
    }
}

/// What is stored about a list may become outdated.
#[tokio::test(start_paused = true)]
async fn a_ceiling_that_is_none_is_forgotten() {
    for remembered in [10, 30, 70] {
        let store = Arc::<MemoryStore>::default();
        store.0.lock().unwrap().ceiling = Ceiling::of(remembered);
        let shop = shop(3, 150, OrderShape::Full);
        completed(run(&shop, &store).await);
        assert_all_are_there(&store, &shop, &format!("{remembered}"));
        let learned = store.0.lock().unwrap().ceiling;
        assert_eq!(learned, Ceiling::UNKNOWN, "{remembered}");
    }
}

/// Of a ceiling that orders have shown, products need not be afraid.
#[tokio::test(start_paused = true)]
async fn a_list_beyond_the_ceiling_of_another_is_read_as_ever() {
    let shop = with_ceiling(300, 2, 100, Beyond::Empty);
    let product = |id| crate::catalogue::ListedProduct {
        id,
        status: domain::slice::ProductStatus::Sale,
        categories: vec![],
    };
    shop.catalogue.lock().unwrap().products = (1..=730).map(product).collect();
    let store = Arc::<MemoryStore>::default();
    completed(run(&shop, &store).await);
    let state = store.0.lock().unwrap();
    assert_eq!(state.others[&Resource::Products].len(), 730);
}
