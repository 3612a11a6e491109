//! Edits that no row of a list shows, in a shop that is brought up to date.

use std::cmp::Reverse;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use domain::failure::Failure;
use importer::import::ImportOutcome;

use crate::memory_store::{MemoryStore, StoredDetail};
use crate::scenarios::{completed, run, today};
use crate::scripted_platform::{OrderShape, PER_PAGE, ScriptedPlatform, moment};

type Imported = (Arc<ScriptedPlatform>, Arc<MemoryStore>);

async fn imported(days: i64, per_day: i64) -> Imported {
    let shop = Arc::new(ScriptedPlatform {
        details_say_when: true,
        // Each takes a second, and the latest update was that long ago.
        requests: 100_000.into(),
        ..ScriptedPlatform::with_orders(today(), days, per_day, OrderShape::Header)
    });
    let store = Arc::<MemoryStore>::default();
    completed(run(&shop, &store).await);
    (shop, store)
}

/// The orders that were updated last, the latest first.
fn head(shop: &ScriptedPlatform, count: usize) -> Vec<i64> {
    let mut orders = shop.orders.lock().unwrap().clone();
    orders.sort_by_key(|order| Reverse((order.updated_at, order.created_at)));
    orders.iter().take(count).map(|order| order.id).collect()
}

/// One after the other, a while after what was before and a while before what comes next.
fn edit<'a>(shop: &ScriptedPlatform, ids: impl IntoIterator<Item = &'a i64>) {
    shop.requests.fetch_add(1_000, Ordering::SeqCst);
    for id in ids {
        let now = shop.requests.fetch_add(1, Ordering::SeqCst);
        let mut orders = shop.orders.lock().unwrap();
        let order = orders.iter_mut().find(|order| order.id == *id).unwrap();
        order.revision += 1;
        order.updated_at = now;
    }
    shop.requests.fetch_add(1_000, Ordering::SeqCst);
}

fn raw(shop: &ScriptedPlatform, id: i64) -> (String, u64) {
    let orders = shop.orders.lock().unwrap();
    let order = orders.iter().find(|order| order.id == id).unwrap();
    let (revision, updates) = (order.revision, order.updated_at);
    let raw = format!("{{\"revision\":{revision},\"updates\":{updates}}}");
    (raw, updates)
}

#[track_caller]
fn assert_all_are_read(shop: &ScriptedPlatform, store: &MemoryStore, case: &str) {
    let state = store.0.lock().unwrap();
    let orders: Vec<i64> = shop.orders.lock().unwrap().iter().map(|o| o.id).collect();
    for id in orders {
        assert_eq!(state.details[&id].raw, raw(shop, id).0, "{case}: {id}");
    }
}

/// The request after that many others fails.
fn fail_after(shop: &ScriptedPlatform, requests: u64) {
    let message = String::from("cut");
    let failure = Failure::Transient { message };
    *shop.fails_at.lock().unwrap() = Some((shop.requests() + requests, failure));
}

/// How many details have landed, and how many requests it took in all.
async fn catch_up((shop, store): &Imported) -> (u64, u64) {
    let landed = || store.0.lock().unwrap().details_landed;
    let before = (landed(), shop.requests());
    assert!(completed(run(shop, store).await).balances());
    (landed() - before.0, shop.requests() - before.1)
}

#[tokio::test(start_paused = true)]
async fn orders_that_were_updated_in_their_former_sequence_are_all_read() {
    for count in [0, 1, 2, 5, 6, 8, PER_PAGE, 25] {
        let imported = imported(10, 8).await;
        let (shop, store) = &imported;
        edit(shop, head(shop, count).iter().rev());
        let (details, _) = catch_up(&imported).await;
        assert_all_are_read(shop, store, &count.to_string());
        assert!(details <= count as u64 + 15, "{count}: {details}");
        let (details, requests) = catch_up(&imported).await;
        assert!(
            details <= 1 && requests <= 12,
            "{count}: {details} {requests}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn all_orders_of_a_small_shop_are_read() {
    for count in 0..=4 {
        let imported = imported(1, 4).await;
        let (shop, store) = &imported;
        edit(shop, head(shop, count).iter().rev());
        catch_up(&imported).await;
        assert_all_are_read(shop, store, &count.to_string());
    }
}

/// The second order was updated and then the first. A webhook had the first stored, and the
/// second one's was lost.
#[tokio::test(start_paused = true)]
async fn details_that_were_stored_since_are_no_evidence() {
    let imported = imported(10, 8).await;
    let (shop, store) = &imported;
    let [first, second] = head(shop, 2)[..] else {
        panic!("there are two orders");
    };
    edit(shop, &[second, first]);
    let (raw, updates) = raw(shop, first);
    let stored = StoredDetail {
        raw,
        updated_at: Some(moment(updates)),
        version: moment(shop.requests()),
    };
    store.0.lock().unwrap().details.insert(first, stored);
    catch_up(&imported).await;
    assert_all_are_read(shop, store, "one webhook was lost");
}

#[tokio::test(start_paused = true)]
async fn what_a_failed_attempt_has_stored_is_no_evidence() {
    for at in 1..13 {
        let imported = imported(10, 8).await;
        let (shop, store) = &imported;
        edit(shop, head(shop, 8).iter().rev());
        fail_after(shop, at);
        let outcome = run(shop, store).await;
        assert!(
            matches!(outcome, ImportOutcome::Interrupted(_)),
            "{at}: {outcome:?}"
        );
        catch_up(&imported).await;
        assert_all_are_read(shop, store, &at.to_string());
    }
}

#[tokio::test(start_paused = true)]
async fn a_former_head_that_is_gone_costs_a_request_for_each_page() {
    for (count, is_one_deleted) in [(PER_PAGE, false), (25, false), (25, true), (60, false)] {
        let imported = imported(20, 8).await;
        let (shop, store) = &imported;
        let head = head(shop, count);
        edit(shop, &head);
        if is_one_deleted {
            let mut orders = shop.orders.lock().unwrap();
            orders.retain(|order| order.id != head[3]);
        }
        let (details, _) = catch_up(&imported).await;
        let case = format!("{count} {is_one_deleted}");
        assert_all_are_read(shop, store, &case);
        let pages = count.div_ceil(PER_PAGE);
        let most = (count + pages + PER_PAGE) as u64;
        assert!(details <= most, "{case}: {details}");
    }
}

/// No detail that has landed is fetched again, however often the run is stopped.
#[tokio::test(start_paused = true)]
async fn a_run_that_is_stopped_again_and_again_ends() {
    const EDITED: usize = 300;
    let (shop, store) = imported(40, 8).await;
    edit(&shop, &head(&shop, EDITED));
    let before = store.0.lock().unwrap().details_landed;
    let mut attempts = 1;
    fail_after(&shop, 100);
    while let ImportOutcome::Interrupted(_) = run(&shop, &store).await {
        attempts += 1;
        assert!(attempts < 12, "the run must end");
        fail_after(&shop, 100);
    }
    assert!(attempts > 2, "{attempts}");
    assert_all_are_read(&shop, &store, "stopped");
    let details = store.0.lock().unwrap().details_landed - before;
    let probed = EDITED.div_ceil(PER_PAGE);
    assert!(details <= (EDITED + probed + PER_PAGE) as u64, "{details}");
}
