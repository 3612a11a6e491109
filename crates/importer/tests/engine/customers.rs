//! Customers wait for a budget that many shops share; orders do not wait for it.

use std::sync::Arc;
use std::time::Duration;

use importer::ports::clock::{Clock as _, SystemClock};
use importer::stop::stop_pair;

use crate::memory_store::MemoryStore;
use crate::scenarios::{completed, run, run_until, today};
use crate::scripted_platform::{ListedOrder, OrderShape, ScriptedPlatform};

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn orders_and_what_changes_of_them_do_not_wait_for_customers() {
    let shop = Arc::new(ScriptedPlatform {
        customers_wait: 20 * MINUTE,
        ..ScriptedPlatform::with_orders(today(), 30, 5, OrderShape::Header)
    });
    let store = Arc::<MemoryStore>::default();
    let running = tokio::spawn({
        let (shop, store) = (shop.clone(), store.clone());
        async move { run(&shop, &store).await }
    });
    let clock = SystemClock::real();
    clock.sleep(Duration::from_secs(5)).await;
    {
        let state = store.0.lock().unwrap();
        let plan = state.run.as_ref().unwrap().plan.as_ref().unwrap();
        assert_eq!(plan.probe.customers, None);
        assert_eq!(plan.customer_pages, 0);
        assert_eq!(state.orders.len(), 150);
        assert!(state.pending.is_empty(), "details are there as well");
    }
    // Customers are there after 20 minutes; the reconciliation asks for them once more, and
    // lands this order meanwhile.
    clock.sleep(10 * MINUTE).await;
    let late = {
        let mut orders = shop.orders.lock().unwrap();
        let late = ListedOrder {
            id: 5_000_000,
            updated_at: 1,
            ..orders[0].clone()
        };
        orders.push(late.clone());
        late
    };
    clock.sleep(15 * MINUTE).await;
    assert!(!running.is_finished());
    assert!(store.0.lock().unwrap().orders.contains_key(&late.id));
    let certificate = completed(running.await.unwrap());
    assert!(certificate.balances());
}

/// Where customers are counted a little later than the rest, their number is waited for.
#[tokio::test(start_paused = true)]
async fn customers_who_are_there_soon_are_part_of_the_plan() {
    let shop = Arc::new(ScriptedPlatform {
        customers_wait: Duration::from_millis(1_500),
        ..ScriptedPlatform::with_orders(today(), 3, 2, OrderShape::Full)
    });
    let store = Arc::<MemoryStore>::default();
    completed(run(&shop, &store).await);
    let state = store.0.lock().unwrap();
    let plan = state.run.as_ref().unwrap().plan.as_ref().unwrap();
    assert_eq!(plan.probe.customers, Some(0));
}

/// Else turns of less than the time for which their number is waited for would never end with a
/// plan.
#[tokio::test(start_paused = true)]
async fn a_plan_that_was_not_made_in_one_turn_does_not_wait_for_customers_in_the_next() {
    let shop = Arc::new(ScriptedPlatform {
        customers_wait: 20 * MINUTE,
        ..ScriptedPlatform::with_orders(today(), 3, 2, OrderShape::Full)
    });
    let store = Arc::<MemoryStore>::default();
    let clock = SystemClock::real();
    for expected in [false, true] {
        let (handle, stop) = stop_pair();
        let turn = async {
            clock.sleep(Duration::from_secs(1)).await;
            handle.stop();
        };
        tokio::join!(run_until(&shop, &store, None, stop), turn);
        let state = store.0.lock().unwrap();
        let is_planned = state.run.as_ref().unwrap().plan.is_some();
        assert_eq!(is_planned, expected);
    }
}
