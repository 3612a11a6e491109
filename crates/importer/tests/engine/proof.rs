//! What a moving, lying or endless list must not get past.

use std::sync::Arc;

use domain::certificate::{Proof, WindowCounts};
use domain::failure::Failure;
use domain::resource::Resource;
use domain::slice::ProductStatus;
use importer::import::ImportOutcome;
use importer::ports::platform::Sort;
use jiff::SignedDuration;

use crate::catalogue::{ListedCustomer, ListedProduct};
use crate::memory_store::MemoryStore;
use crate::scenarios::{completed, run, shop, today};
use crate::scripted_platform::{ListFaults, ListedOrder, OrderShape, ScriptedPlatform};

pub(crate) fn loaded(store: &MemoryStore) -> Vec<i64> {
    store.0.lock().unwrap().orders.keys().copied().collect()
}

pub(crate) fn listed(shop: &ScriptedPlatform) -> Vec<i64> {
    let mut ids: Vec<i64> = shop.orders.lock().unwrap().iter().map(|o| o.id).collect();
    ids.sort_unstable();
    ids
}

/// The request with which the list of changes begins, by which time all orders have been
/// listed. In a shop whose lists give whole orders there are no other requests than pages.
fn changes_begin(shop: &ScriptedPlatform) -> u64 {
    let pages = shop.pages.borrow();
    let by_update = pages
        .iter()
        .zip(1..)
        .filter(|(p, _)| p.sort == Sort::UpdatedFirst);
    by_update.map(|(_, number)| number).nth(1).unwrap()
}

/// The same of an import in which nothing changes.
async fn changes_begin_undisturbed(shop: &Arc<ScriptedPlatform>) -> u64 {
    completed(run(shop, &Arc::default()).await);
    changes_begin(shop)
}

fn oldest(orders: &[ListedOrder]) -> usize {
    (0..orders.len())
        .min_by_key(|i| orders[*i].created_at)
        .unwrap()
}

/// A row that was read is deleted while another appears in the middle: `total` stays, the ids add
/// up to it, and the row after the deleted one was never read. The latest updates reveal it.
#[tokio::test(start_paused = true)]
async fn a_deletion_behind_an_unchanged_total_is_found() {
    let end = changes_begin_undisturbed(&shop(25, 8, OrderShape::Full)).await;
    for at in 6..=end {
        let (shop, store) = (shop(25, 8, OrderShape::Full), Arc::<MemoryStore>::default());
        shop.change_at(at, |orders| {
            let gone = orders.remove(oldest(orders));
            let mut undrafted = orders[orders.len() / 2].clone();
            undrafted.id = 5_000_000;
            undrafted.created_at = gone.created_at + SignedDuration::from_hours(24 * 9);
            undrafted.updated_at = 1;
            orders.push(undrafted);
        });
        let certificate = completed(run(&shop, &store).await);
        assert!(certificate.balances());
        assert_eq!(loaded(&store), listed(&shop), "changed at request {at}");
    }
}

#[tokio::test(start_paused = true)]
async fn orders_that_arrive_and_go_while_all_is_read_are_all_accounted_for() {
    for at in (6..40).step_by(3) {
        let (shop, store) = (
            shop(40, 6, OrderShape::Header),
            Arc::<MemoryStore>::default(),
        );
        for n in 0..5 {
            shop.change_at(at + 4 * n, move |orders| {
                orders.remove(oldest(orders));
                let mut arrival = orders[0].clone();
                arrival.id = 6_000_000 + n as i64;
                arrival.created_at += SignedDuration::from_mins(1 + n as i64);
                arrival.updated_at = 1 + n;
                orders.insert(0, arrival);
            });
        }
        // Three scans may not be enough to find a quiet moment; then the next start continues.
        let certificate = loop {
            assert!(shop.requests() < 2_000);
            if let ImportOutcome::Completed(certificate) = run(&shop, &store).await {
                break certificate;
            }
        };
        assert_eq!(loaded(&store), listed(&shop), "changes from request {at}");
        assert_eq!(certificate.unlisted, 0);
    }
}

/// Of the orders of today: a shop where one arrives during every scan has no quiet moment.
#[tokio::test(start_paused = true)]
async fn a_day_that_grows_on_every_scan_is_proven() {
    let (shop, store) = (shop(1, 95, OrderShape::Full), Arc::<MemoryStore>::default());
    let known = listed(&shop);
    for n in 0..60 {
        shop.change_at(6 + 4 * n, move |orders| {
            let mut arrival = orders[0].clone();
            arrival.id = 6_000_000 + n as i64;
            arrival.created_at +=
                SignedDuration::from_hours(3) + SignedDuration::from_secs(n as i64);
            arrival.updated_at = 1 + n;
            orders.push(arrival);
        });
    }
    let certificate = completed(run(&shop, &store).await);
    assert!(
        !shop.changes.lock().unwrap().is_empty(),
        "the shop was busy to the end"
    );
    let today = &certificate.windows[0].listing;
    assert!(
        !today.total_was_stable && today.contains_before,
        "{today:?}"
    );
    let loaded = loaded(&store);
    assert!(known.iter().all(|id| loaded.contains(id)));
}

/// The deletion hides behind an arrival, and the arrival behind a change of the same order.
#[tokio::test(start_paused = true)]
async fn a_deletion_behind_an_arrival_that_is_edited_afterwards_is_found() {
    let end = changes_begin_undisturbed(&shop(1, 95, OrderShape::Full)).await;
    for at in 7..end {
        let (shop, store) = (shop(1, 95, OrderShape::Full), Arc::<MemoryStore>::default());
        shop.change_at(at, |orders| {
            let gone = orders.remove(oldest(orders));
            let mut arrival = gone;
            arrival.id = 5_000_000;
            arrival.created_at += SignedDuration::from_hours(3);
            arrival.updated_at = 1;
            orders.push(arrival);
        });
        shop.change_at(end, |orders| {
            let arrival = orders.iter_mut().find(|o| o.id == 5_000_000).unwrap();
            arrival.updated_at = 2;
        });
        completed(run(&shop, &store).await);
        assert_eq!(loaded(&store), listed(&shop), "changed at request {at}");
    }
}

/// At the request that begins the list of changes, when all orders have been listed.
fn update_all_at(request: u64, shop: &ScriptedPlatform) {
    shop.change_at(request, |orders| {
        for (order, moment) in orders.iter_mut().zip(1..) {
            order.updated_at = moment;
        }
    });
}

fn assert_all_are_up_to_date(store: &MemoryStore, orders: usize) {
    let rows = &store.0.lock().unwrap().rows;
    assert_eq!(rows.len(), orders);
    let stale = rows.values().filter(|row| row.contains(":0}"));
    assert_eq!(stale.count(), 0);
}

/// More is updated than the list of changes shows: everything is listed again.
#[tokio::test(start_paused = true)]
async fn changes_without_end_have_all_orders_listed_again() {
    let begins = changes_begin_undisturbed(&shop(21, 100, OrderShape::Full)).await;
    let (shop, store) = (
        shop(21, 100, OrderShape::Full),
        Arc::<MemoryStore>::default(),
    );
    update_all_at(begins, &shop);
    completed(run(&shop, &store).await);
    assert_all_are_up_to_date(&store, 2_100);
}

/// Every order is updated after it was listed, and Salla does not show the end of the list
/// of changes: it does show that of each window.
#[tokio::test(start_paused = true)]
async fn changes_that_a_ceiling_cuts_off_have_all_orders_listed_again() {
    let shop = || {
        let mut scripted = ScriptedPlatform::with_orders(today(), 300, 2, OrderShape::Full);
        scripted.faults.ceiling = Some(550);
        Arc::new(scripted)
    };
    let begins = changes_begin_undisturbed(&shop()).await;
    let (shop, store) = (shop(), Arc::<MemoryStore>::default());
    update_all_at(begins, &shop);
    completed(run(&shop, &store).await);
    assert_all_are_up_to_date(&store, 600);
}

/// The list of the last updated sorts by seconds, and this order stands at its very end
/// before and after the edit: a hundred others were updated in the second in which the run
/// first asked.
#[tokio::test(start_paused = true)]
async fn an_edit_in_the_second_in_which_the_run_began_is_found() {
    let shop = || {
        Arc::new(ScriptedPlatform {
            says_when: true,
            ..ScriptedPlatform::with_orders(today(), 2, 50, OrderShape::Full)
        })
    };
    let begins = changes_begin_undisturbed(&shop()).await;
    for at in begins - 2..=begins {
        let shop = shop();
        let store = Arc::<MemoryStore>::default();
        let edited = shop.orders.lock().unwrap()[99].id;
        shop.change_at(at, move |orders| {
            let order = orders.iter_mut().find(|o| o.id == edited).unwrap();
            order.revision = 1;
        });
        completed(run(&shop, &store).await);
        let row = store.0.lock().unwrap().rows[&edited].clone();
        assert!(
            row.contains("\"revision\":1"),
            "edited at request {at}: {row}"
        );
    }
}

fn product(id: i64) -> ListedProduct {
    ListedProduct {
        id,
        status: ProductStatus::Sale,
        categories: vec![1],
    }
}

fn shop_with_products() -> Arc<ScriptedPlatform> {
    let shop = shop(25, 8, OrderShape::Full);
    let mut catalogue = shop.catalogue.lock().unwrap();
    catalogue.products = (1..=120).map(product).collect();
    catalogue.categories = 1;
    drop(catalogue);
    shop
}

/// The request with which the ends of the products are read again.
async fn ends_begin_undisturbed() -> u64 {
    let shop = shop_with_products();
    completed(run(&shop, &Arc::default()).await);
    first_pages_of_products(&shop)[1]
}

fn first_pages_of_products(shop: &ScriptedPlatform) -> Vec<u64> {
    let log = shop.log.lock().unwrap();
    let pages = log.iter().zip(1..);
    let first = pages.filter(|(what, _)| *what == "products page 1");
    first.map(|(_, number)| number).collect()
}

/// Nothing is new on the first page, and the list is shorter than before.
#[tokio::test(start_paused = true)]
async fn a_product_that_is_deleted_after_its_list_was_read_is_gone() {
    let (shop, store) = (shop_with_products(), Arc::<MemoryStore>::default());
    shop.change_catalogue_at(ends_begin_undisturbed().await, move |catalogue| {
        catalogue.products.remove(90);
    });
    let certificate = completed(run(&shop, &store).await);
    let of_products = |w: &&WindowCounts| w.listing.resource == Resource::Products;
    let products = certificate.windows.iter().find(of_products).unwrap();
    assert_eq!(
        (products.listing.scans, products.listing.reported),
        (2, 119),
        "a scan before it and one after it"
    );
}

/// The list is as long as before and another one than before.
#[tokio::test(start_paused = true)]
async fn a_product_that_takes_the_place_of_another_is_found() {
    let (shop, store) = (shop_with_products(), Arc::<MemoryStore>::default());
    shop.change_catalogue_at(ends_begin_undisturbed().await, move |catalogue| {
        catalogue.products.remove(70);
        catalogue.products.insert(0, product(500));
    });
    completed(run(&shop, &store).await);
    let state = store.0.lock().unwrap();
    assert!(state.others[&Resource::Products].contains(&500));
}

/// At either end, whenever it happens up to the moment in which the ends are read again.
#[tokio::test(start_paused = true)]
async fn a_product_that_comes_while_another_goes_is_found() {
    let mut found = 0;
    for (at, at_front) in (3..60).flat_map(|at| [(at, true), (at, false)]) {
        let (shop, store) = (shop_with_products(), Arc::<MemoryStore>::default());
        shop.change_catalogue_at(at, move |catalogue| {
            catalogue.products.remove(70);
            let place = if at_front {
                0
            } else {
                catalogue.products.len()
            };
            catalogue.products.insert(place, product(500));
        });
        completed(run(&shop, &store).await);
        if at <= first_pages_of_products(&shop)[1] {
            let state = store.0.lock().unwrap();
            let products = shop.catalogue.lock().unwrap();
            let listed = products.products.iter().map(|product| product.id).collect();
            assert_eq!(state.others[&Resource::Products], listed, "{at} {at_front}");
            found += 1;
        }
    }
    assert!(found > 30, "{found}");
}

/// What an earlier import knows and a proven list does not have is gone; a list that proves nothing
/// leaves no tombstones.
#[tokio::test(start_paused = true)]
async fn only_a_proven_list_removes_what_it_does_not_have() {
    for is_restless in [false, true] {
        let (shop, store) = (shop_with_products(), Arc::<MemoryStore>::default());
        let customer = |id| ListedCustomer { id, day: today() };
        shop.catalogue.lock().unwrap().customers = (1..=3).map(customer).collect();
        completed(run(&shop, &store).await);
        store.0.lock().unwrap().forget_the_run();
        {
            let mut catalogue = shop.catalogue.lock().unwrap();
            catalogue.products.remove(49);
            catalogue.customers.remove(1);
        }
        if is_restless {
            // No two scans of the products agree.
            let before = shop.requests();
            for n in 1..2_000 {
                shop.change_catalogue_at(before + n, move |catalogue| {
                    catalogue.products.rotate_left(1);
                    catalogue.products.pop();
                    catalogue.products.push(product(1_000 + n as i64));
                });
            }
        }
        let outcome = run(&shop, &store).await;
        assert_eq!(
            matches!(outcome, ImportOutcome::Failed { .. }),
            is_restless,
            "{outcome:?}"
        );
        let state = store.0.lock().unwrap();
        let products = &state.others[&Resource::Products];
        assert_eq!(products.contains(&50), is_restless);
        let customers = &state.others[&Resource::Customers];
        assert!(!customers.contains(&2) && customers.contains(&1));
    }
}

/// More of them than a page holds, before the list is read, meanwhile or afterwards.
#[tokio::test(start_paused = true)]
async fn customers_who_sign_up_in_crowds_cost_no_second_scan() {
    let customer = |id| ListedCustomer { id, day: today() };
    let mut walked_again = 0;
    for at in 8..40 {
        let (shop, store) = (shop(2, 2, OrderShape::Full), Arc::<MemoryStore>::default());
        shop.catalogue.lock().unwrap().customers = (1..=300).map(customer).collect();
        shop.change_catalogue_at(at, move |catalogue| {
            catalogue
                .customers
                .splice(0..0, (1_001..=1_120).map(customer));
        });
        let certificate = completed(run(&shop, &store).await);
        let of_customers = |w: &&WindowCounts| w.listing.resource == Resource::Customers;
        let customers = certificate.windows.iter().find(of_customers).unwrap();
        walked_again += u32::from(customers.listing.scans > 1);
        let known = store.0.lock().unwrap().others[&Resource::Customers].len();
        let all = shop.catalogue.lock().unwrap().customers.len();
        assert_eq!(known, all, "signed up at request {at}");
    }
    // Those who come between the reading of the one end and of the other.
    assert!(walked_again <= 1, "{walked_again}");
}

#[tokio::test(start_paused = true)]
async fn an_order_that_is_there_without_its_items_is_rejected() {
    let mut scripted = ScriptedPlatform::with_orders(today(), 5, 2, OrderShape::Header);
    scripted.light_details = true;
    let id = scripted.orders.lock().unwrap()[3].id;
    scripted.without_items = vec![id];
    let (shop, store) = (Arc::new(scripted), Arc::<MemoryStore>::default());
    let certificate = completed(run(&shop, &store).await);
    assert_eq!(certificate.vanished, 0);
    assert_eq!(certificate.summary(Resource::Orders).rejected, 1);
    assert_eq!(loaded(&store), listed(&shop), "its header stays");
}

#[tokio::test(start_paused = true)]
async fn an_edit_after_its_window_was_read_is_fetched_again() {
    let (shop, store) = (
        shop(25, 8, OrderShape::Header),
        Arc::<MemoryStore>::default(),
    );
    let edited = shop.orders.lock().unwrap()[150].id;
    shop.change_at(60, move |orders| {
        let order = orders.iter_mut().find(|o| o.id == edited).unwrap();
        order.updated_at = 1;
    });
    completed(run(&shop, &store).await);
    let log = shop.log.lock().unwrap();
    let asked = log.iter().filter(|l| **l == format!("order {edited}"));
    assert_eq!(asked.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_order_of_an_earlier_import_that_salla_no_longer_has_is_gone() {
    let (shop, store) = (shop(25, 2, OrderShape::Full), Arc::<MemoryStore>::default());
    completed(run(&shop, &store).await);
    let deleted = {
        let mut orders = shop.orders.lock().unwrap();
        orders.remove(7).id
    };
    store.0.lock().unwrap().forget_the_run();
    let certificate = completed(run(&shop, &store).await);
    assert_eq!(certificate.vanished, 1);
    assert!(!loaded(&store).contains(&deleted));
}

#[tokio::test(start_paused = true)]
async fn a_total_that_is_off_by_a_few_is_settled_and_shown() {
    for off in [-3, -1, 2, 3] {
        let mut scripted = ScriptedPlatform::with_orders(today(), 25, 8, OrderShape::Full);
        scripted.faults = ListFaults {
            total_off: off,
            ..ListFaults::default()
        };
        let (shop, store) = (Arc::new(scripted), Arc::<MemoryStore>::default());
        let certificate = completed(run(&shop, &store).await);
        assert_eq!(loaded(&store), listed(&shop), "total off by {off}");
        let orders = certificate
            .windows
            .iter()
            .filter(|w| w.listing.resource == Resource::Orders && w.listing.reported > 0);
        for listing in orders.map(|w| &w.listing) {
            assert_eq!(listing.proof(), Proof::Settled, "{off}");
            // Two must agree, and the newest window is scanned once more at the end.
            assert!(
                listing.scans == 2 || listing.scans == 3,
                "{}",
                listing.scans
            );
            assert_eq!(listing.difference(), off);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_total_that_is_far_off_fails_the_run_without_scanning_for_ever() {
    // From more than a page on, the pages behind the end look like those behind a ceiling.
    for off in [20, 74, 700] {
        let mut scripted = ScriptedPlatform::with_orders(today(), 25, 8, OrderShape::Full);
        scripted.faults.total_off = off;
        let (shop, store) = (Arc::new(scripted), Arc::<MemoryStore>::default());
        let outcome = run(&shop, &store).await;
        let ImportOutcome::Failed {
            failure: Failure::Unbalanced { .. },
            certificate: Some(certificate),
        } = outcome
        else {
            panic!("{off}: {outcome:?}")
        };
        let listings: Vec<_> = certificate.windows.iter().map(|w| &w.listing).collect();
        assert!(listings.iter().all(|l| l.scans <= 2), "{off}: {listings:?}");
        let ceiling = listings.iter().find_map(|l| l.ceiling.learned());
        assert_eq!(ceiling, None, "{off}");
        let windows = listings.iter().filter(|l| l.days.is_some()).count();
        assert!(windows <= 3, "{off}: {windows}");
        assert_eq!(loaded(&store), listed(&shop), "{off}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_that_never_ends_is_left_at_its_end() {
    for faults in [
        ListFaults {
            repeats_last_page: true,
            ..ListFaults::default()
        },
        ListFaults {
            repeats_last_page: true,
            total_off: 2,
            ..ListFaults::default()
        },
    ] {
        let mut scripted = ScriptedPlatform::with_orders(today(), 25, 8, OrderShape::Full);
        scripted.faults = faults;
        let (shop, store) = (Arc::new(scripted), Arc::<MemoryStore>::default());
        completed(run(&shop, &store).await);
        assert_eq!(loaded(&store), listed(&shop));
        assert!(shop.requests() < 150, "{}", shop.requests());
    }
}

#[tokio::test(start_paused = true)]
async fn a_day_above_the_ceiling_is_read_from_both_ends() {
    let mut scripted = ScriptedPlatform::with_orders(today(), 1, 15_000, OrderShape::Full);
    scripted.faults.ceiling = Some(10_000);
    let (shop, store) = (Arc::new(scripted), Arc::<MemoryStore>::default());
    let certificate = completed(run(&shop, &store).await);
    assert!(certificate.balances());
    assert_eq!(loaded(&store).len(), 15_000);
}

#[tokio::test(start_paused = true)]
async fn a_day_above_a_ceiling_that_lies_does_not_balance() {
    let mut scripted = ScriptedPlatform::with_orders(today(), 1, 15_000, OrderShape::Full);
    scripted.faults.ceiling = Some(10_000);
    scripted.faults.ceiling_hides_the_rest = true;
    let (shop, store) = (Arc::new(scripted), Arc::<MemoryStore>::default());
    let outcome = run(&shop, &store).await;
    assert!(
        matches!(
            outcome,
            ImportOutcome::Failed {
                failure: Failure::Unbalanced { .. },
                ..
            }
        ),
        "{outcome:?}"
    );
}
