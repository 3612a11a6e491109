//! Bringing a shop up to date whose history is there.

use std::collections::BTreeSet;
use std::sync::Arc;

use domain::failure::Failure;
use importer::import::ImportOutcome;
use importer::ports::platform::Sort;
use jiff::SignedDuration;

use crate::memory_store::MemoryStore;
use crate::proof::{listed, loaded};
use crate::scenarios::{completed, run, shop};
use crate::scripted_platform::{ListedOrder, OrderShape, PER_PAGE, ScriptedPlatform};

const DAYS: i64 = 360;
const PER_DAY: i64 = 8;

#[track_caller]
fn assert_all_are_there(store: &MemoryStore, shop: &ScriptedPlatform) {
    let loaded: BTreeSet<i64> = loaded(store).into_iter().collect();
    let listed: BTreeSet<i64> = listed(shop).into_iter().collect();
    assert_eq!(loaded, listed);
}

fn arrived(shop: &[ListedOrder], id: i64) -> ListedOrder {
    let newest = shop.iter().max_by_key(|order| order.created_at).unwrap();
    ListedOrder {
        id,
        created_at: newest.created_at + SignedDuration::from_secs(1),
        updated_at: shop.iter().map(|order| order.updated_at).max().unwrap() + 1,
        ..newest.clone()
    }
}

async fn imported(days: i64, shape: OrderShape) -> (Arc<ScriptedPlatform>, Arc<MemoryStore>) {
    let (shop, store) = (shop(days, PER_DAY, shape), Arc::<MemoryStore>::default());
    completed(run(&shop, &store).await);
    (shop, store)
}

#[tokio::test(start_paused = true)]
async fn orders_that_came_cost_their_pages_and_one_request_for_their_window() {
    let (shop, store) = imported(DAYS, OrderShape::Full).await;
    for n in 0..25 {
        let mut orders = shop.orders.lock().unwrap();
        let order = arrived(&orders, 9_000_000 + n);
        orders.push(order);
    }
    let before = shop.requests();
    assert!(completed(run(&shop, &store).await).balances());
    let requests = shop.requests() - before;
    let changes = 25u64.div_ceil(PER_PAGE as u64) + 1;
    // What came while the changes took several pages, the window, and four other lists.
    assert!(requests <= changes + 1 + 1 + 4, "{requests}");
    assert_all_are_there(&store, &shop);
}

#[tokio::test(start_paused = true)]
async fn an_order_that_is_gone_is_looked_for_by_halving() {
    for gone in [0, 1_000, (DAYS * PER_DAY - 1) as usize] {
        let (shop, store) = imported(DAYS, OrderShape::Full).await;
        shop.orders.lock().unwrap().remove(gone);
        let before = shop.requests();
        assert!(completed(run(&shop, &store).await).balances());
        let requests = shop.requests() - before;
        let windows = store.0.lock().unwrap().windows.len() as u64 - 4;
        assert!(requests <= windows + 9 + 1 + 6, "{gone}: {requests}");
        assert_all_are_there(&store, &shop);
    }
}

/// Between the list of changes and the window, so that the window has one more.
#[tokio::test(start_paused = true)]
async fn an_order_that_comes_meanwhile_has_no_window_scanned() {
    let (shop, store) = imported(DAYS, OrderShape::Full).await;
    {
        let mut orders = shop.orders.lock().unwrap();
        let order = arrived(&orders, 9_000_000);
        orders.push(order);
    }
    shop.change_before(
        1,
        |page| page.sort == Sort::OldestFirst && page.days.is_some(),
        |orders| {
            let order = arrived(orders, 9_000_001);
            orders.push(order);
        },
    );
    let before = shop.requests();
    assert!(completed(run(&shop, &store).await).balances());
    let requests = shop.requests() - before;
    assert!(requests <= 12, "{requests}");
    assert_all_are_there(&store, &shop);
}

/// Whatever fails, the next attempt begins with what the finished run has left.
#[tokio::test(start_paused = true)]
async fn an_attempt_that_fails_at_any_request_leaves_everything_to_the_next() {
    for at in 1..14 {
        let (shop, store) = imported(40, OrderShape::Header).await;
        {
            let mut orders = shop.orders.lock().unwrap();
            let order = arrived(&orders, 9_000_000);
            orders.push(order);
            orders.remove(100);
            let updated_at = orders.iter().map(|order| order.updated_at).max().unwrap() + 1;
            orders[200].revision += 1;
            orders[200].updated_at = updated_at;
        }
        let what = String::from("cut");
        let failure = Failure::Transient { message: what };
        *shop.fails_at.lock().unwrap() = Some((shop.requests() + at, failure));
        let outcome = run(&shop, &store).await;
        assert!(
            matches!(outcome, ImportOutcome::Interrupted(_)),
            "{at}: {outcome:?}"
        );
        assert!(completed(run(&shop, &store).await).balances(), "{at}");
        assert_all_are_there(&store, &shop);
    }
}
