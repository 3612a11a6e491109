//! The list of the last updated moves while it is read.

use std::sync::Arc;

use domain::resource::Resource;
use importer::ports::platform::{PageRequest, Sort};

use crate::memory_store::MemoryStore;
use crate::proof::{listed, loaded};
use crate::scenarios::{completed, run, shop, today};
use crate::scripted_platform::{OrderShape, ScriptedPlatform};

/// A shop where 35 orders are edited when all have been listed, so that four pages of the
/// last updated show them: ten of this month, and then those of an older window. The id is
/// that of the first on the fourth page.
fn edited_shop() -> (Arc<ScriptedPlatform>, i64) {
    let shop = shop(45, 3, OrderShape::Full);
    let orders = shop.orders.lock().unwrap();
    let edited: Vec<i64> = (30..40).chain(96..121).map(|n| orders[n].id).collect();
    drop(orders);
    let first_of_page_four = edited[30];
    // The first such page is the plan's.
    let begins_closing = |page: &PageRequest| page.sort == Sort::UpdatedFirst && page.page == 1;
    shop.change_before(2, begins_closing, move |orders| {
        for (id, moment) in edited.iter().rev().zip(1..) {
            let order = orders.iter_mut().find(|o| o.id == *id).unwrap();
            (order.updated_at, order.revision) = (moment, 1);
        }
    });
    (shop, first_of_page_four)
}

async fn revision_of(order: i64, shop: &Arc<ScriptedPlatform>) -> String {
    let store = Arc::<MemoryStore>::default();
    completed(run(shop, &store).await);
    assert_eq!(loaded(&store), listed(shop));
    let state = store.0.lock().unwrap();
    state.rows[&order].clone()
}

#[tokio::test(start_paused = true)]
async fn an_order_that_jumps_to_the_head_while_changes_are_read_is_found() {
    let (shop, id) = edited_shop();
    shop.change_before(
        1,
        |page| page.sort == Sort::UpdatedFirst && page.page == 3,
        move |orders| {
            let order = orders.iter_mut().find(|o| o.id == id).unwrap();
            order.updated_at = 100;
        },
    );
    let row = revision_of(id, &shop).await;
    assert_eq!(row, r#"{"revision":1,"updates":100}"#);
    let pages = shop.pages.borrow();
    let of_changes = pages.iter().filter(|page| page.sort == Sort::UpdatedFirst);
    // The plan's; up to one without news; the first again, and one without news.
    assert_eq!(of_changes.count(), 1 + 5 + 2);
}

/// An order of an earlier page, and of another window, is deleted.
#[tokio::test(start_paused = true)]
async fn an_order_that_slips_to_a_page_of_changes_that_was_read_is_found() {
    let (shop, id) = edited_shop();
    shop.change_before(
        1,
        |page| page.sort == Sort::UpdatedFirst && page.page == 4,
        |orders| {
            orders.remove(33);
        },
    );
    let row = revision_of(id, &shop).await;
    assert_eq!(row, r#"{"revision":1,"updates":5}"#);
}

/// More than a page of orders is updated in one second, and then nothing: no first page can
/// show the end of them.
#[tokio::test(start_paused = true)]
async fn many_orders_of_one_second_are_read_twice_and_believed() {
    let shop = Arc::new(ScriptedPlatform {
        says_when: true,
        // Each takes a second, and the latest update was that long ago.
        requests: 1_000.into(),
        ..ScriptedPlatform::with_orders(today(), 45, 3, OrderShape::Full)
    });
    let begins_closing = |page: &PageRequest| page.sort == Sort::UpdatedFirst && page.page == 1;
    shop.change_before(2, begins_closing, |orders| {
        for order in &mut orders[90..115] {
            (order.updated_at, order.revision) = (1_030, 1);
        }
    });
    let store = Arc::<MemoryStore>::default();
    let certificate = completed(run(&shop, &store).await);
    assert_eq!(certificate.windows[0].listing.scans, 1);
    let pages = shop.pages.borrow();
    let of_changes = pages.iter().filter(|page| page.sort == Sort::UpdatedFirst);
    let of_changes = of_changes.count();
    assert!(of_changes <= 1 + 3 * 4, "{of_changes}");
}

/// `total` falls during each reading of the changes; two that agree are enough, and only the
/// window that has lost orders is scanned again.
#[tokio::test(start_paused = true)]
async fn changes_under_which_orders_go_again_and_again_are_read_twice_and_believed() {
    let (shop, _) = edited_shop();
    for nth in 1..=4 {
        shop.change_before(
            nth,
            |page| page.sort == Sort::UpdatedFirst && page.page == 2,
            |orders| {
                orders.pop();
            },
        );
    }
    let store = Arc::<MemoryStore>::default();
    let certificate = completed(run(&shop, &store).await);
    assert_eq!(loaded(&store), listed(&shop));
    let scans: Vec<u32> = certificate
        .windows
        .iter()
        .filter(|w| w.listing.resource == Resource::Orders)
        .map(|w| w.listing.scans)
        .collect();
    assert_eq!(scans[0], 1, "{scans:?}");
    assert!(scans.last() > Some(&1), "{scans:?}");
}
