//! One story a test.

use std::sync::Arc;
use std::time::Duration;

use domain::certificate::{Certificate, Imbalance};
use domain::failure::{Disconnection, Failure};
use domain::instant::riyadh_midnight;
use domain::order::Completeness;
use domain::rejection::RejectionLimit;
use domain::resource::Resource;
use domain::run::RunState;
use importer::admission::MemoryLimit;
use importer::import::progress::ProgressTracker;
use importer::import::{ImportOutcome, ImportSettings, Importer, Reading, import};
use importer::ports::clock::SystemClock;
use importer::ports::platform::PageRequest;
use importer::ports::runs::Owner;
use importer::ports::runs::RunOptions;
use importer::stop::{StopSignal, stop_pair};
use jiff::civil::Date;
use jiff::{SignedDuration, ToSpan as _};

use crate::memory_store::MemoryStore;
use crate::scripted_platform::{ListedOrder, OrderShape, PER_PAGE, ScriptedPlatform, shop_info};

pub(crate) fn today() -> Date {
    "2025-06-15".parse().unwrap()
}

fn importer(shop: &Arc<ScriptedPlatform>, store: &Arc<MemoryStore>) -> Importer {
    let noon = riyadh_midnight(today()) + SignedDuration::from_hours(12);
    Importer {
        platform: shop.clone(),
        landing: store.clone(),
        runs: store.clone(),
        clock: Arc::new(SystemClock::scaled(noon, 1.0)),
        tracker: Arc::new(ProgressTracker::new().0),
        settings: ImportSettings {
            owner: Owner::named("test"),
            waits_for_lease: false,
            lease: Duration::from_secs(60),
            budget_share: 1.0,
            rejection_limit: RejectionLimit::default(),
            memory: MemoryLimit::default(),
        },
    }
}

pub(crate) async fn run(shop: &Arc<ScriptedPlatform>, store: &Arc<MemoryStore>) -> ImportOutcome {
    run_with(shop, store, None).await
}

async fn run_with(
    shop: &Arc<ScriptedPlatform>,
    store: &Arc<MemoryStore>,
    max_orders: Option<u64>,
) -> ImportOutcome {
    let (_handle, stop) = stop_pair();
    run_until(shop, store, max_orders, stop).await
}

pub(crate) async fn run_until(
    shop: &Arc<ScriptedPlatform>,
    store: &Arc<MemoryStore>,
    max_orders: Option<u64>,
    stop: StopSignal,
) -> ImportOutcome {
    let options = RunOptions {
        months: 12,
        max_orders,
        keep_raw: true,
        only: None,
    };
    import(
        &importer(shop, store),
        &shop_info(),
        &options,
        Reading::Changes,
        &(),
        stop,
    )
    .await
    .unwrap()
}

pub(crate) fn completed(outcome: ImportOutcome) -> Certificate {
    match outcome {
        ImportOutcome::Completed(certificate) => *certificate,
        other => panic!("not completed: {other:?}"),
    }
}

pub(crate) fn shop(days: i64, per_day: i64, shape: OrderShape) -> Arc<ScriptedPlatform> {
    Arc::new(ScriptedPlatform::with_orders(today(), days, per_day, shape))
}

#[tokio::test(start_paused = true)]
async fn every_listed_order_is_loaded_and_certified() {
    let (shop, store) = (shop(300, 2, OrderShape::Full), Arc::default());
    let certificate = completed(run(&shop, &store).await);
    assert!(certificate.balances());
    assert_eq!(store.0.lock().unwrap().orders.len(), 600);
}

/// Of the days before the newest thirty-one, behind the first page.
fn is_an_older_page(request: &PageRequest) -> bool {
    let first = today() - 30.days();
    request.page > 1 && request.days.is_some_and(|days| days.to < first)
}

fn is_a_newest_page(request: &PageRequest) -> bool {
    let first = today() - 30.days();
    request.page > 1 && request.days.is_some_and(|days| days.from >= first)
}

/// Nothing is looked for behind a last page that is not full, so no request of the newest windows
/// depends on their responses.
fn leave_last_pages_unfilled(shop: &ScriptedPlatform, per_day: usize) {
    let mut orders = shop.orders.lock().unwrap();
    for days_ago in [25, 5] {
        orders.remove(days_ago * per_day);
    }
}

async fn assert_the_newest_go_ahead(shop: Arc<ScriptedPlatform>) {
    completed(run(&shop, &Arc::default()).await);
    let pages = shop.pages.borrow();
    let last_of_newest = pages.iter().rposition(is_a_newest_page).unwrap();
    let first_of_older = pages.iter().position(is_an_older_page).unwrap();
    assert!(
        last_of_newest < first_of_older,
        "{last_of_newest} {first_of_older}"
    );
}

#[tokio::test(start_paused = true)]
async fn older_orders_are_asked_for_behind_the_newest_and_do_not_wait_for_them() {
    let mut shop = ScriptedPlatform::with_orders(today(), 300, 2, OrderShape::Full);
    leave_last_pages_unfilled(&shop, 2);
    shop.answers_wait = Some([is_a_newest_page, is_an_older_page]);
    assert_the_newest_go_ahead(Arc::new(shop)).await;
}

#[tokio::test(start_paused = true)]
async fn older_orders_are_asked_for_behind_the_parts_of_a_newest_window_too() {
    let shop = shop(60, 500, OrderShape::Full);
    leave_last_pages_unfilled(&shop, 500);
    assert_the_newest_go_ahead(shop).await;
}

#[tokio::test(start_paused = true)]
async fn headers_are_completed_newest_first_with_one_or_two_requests() {
    for light in [false, true] {
        let mut scripted = ScriptedPlatform::with_orders(today(), 20, 2, OrderShape::Header);
        scripted.light_details = light;
        let (shop, store) = (Arc::new(scripted), Arc::<MemoryStore>::default());
        let certificate = completed(run(&shop, &store).await);
        assert_eq!(
            certificate.summary(Resource::Orders).details_loaded,
            certificate.summary(Resource::Orders).details_needed
        );
        let full = store
            .0
            .lock()
            .unwrap()
            .orders
            .values()
            .filter(|(_, c)| *c == Completeness::Full)
            .count();
        assert_eq!(full, 40);
        let items = shop
            .log
            .lock()
            .unwrap()
            .iter()
            .filter(|l| l.starts_with("items"))
            .count();
        // Each is asked for once, the five that were updated last at the end.
        assert_eq!(items, if light { 40 } else { 0 });
    }
}

#[tokio::test(start_paused = true)]
async fn an_order_that_vanished_before_its_detail_is_listed_as_gone() {
    let mut scripted = ScriptedPlatform::with_orders(today(), 20, 2, OrderShape::Header);
    let id = scripted.orders.lock().unwrap()[11].id;
    scripted.gone = vec![id];
    let (shop, store) = (Arc::new(scripted), Arc::<MemoryStore>::default());
    let certificate = completed(run(&shop, &store).await);
    assert!(certificate.summary(Resource::Orders).gone >= 1);
    assert!(!store.0.lock().unwrap().orders.contains_key(&id));
}

/// A row already read is deleted, so the next one moves to a page that we have read: only the
/// changed `total` reveals it, and the halves of the window have it.
#[tokio::test(start_paused = true)]
async fn a_window_that_moved_is_halved() {
    let (shop, store) = (shop(25, 4, OrderShape::Full), Arc::<MemoryStore>::default());
    shop.change_at(10, |orders| {
        let oldest = orders.iter().min_by_key(|o| o.created_at).unwrap().id;
        orders.retain(|o| o.id != oldest);
    });
    let certificate = completed(run(&shop, &store).await);
    let windows = certificate.windows.iter();
    let of_orders = windows.filter(|w| w.listing.resource == Resource::Orders);
    assert!(of_orders.count() > 3, "{certificate:?}");
    let listed: Vec<i64> = shop.orders.lock().unwrap().iter().map(|o| o.id).collect();
    let state = store.0.lock().unwrap();
    assert!(listed.iter().all(|id| state.orders.contains_key(id)));
}

#[tokio::test(start_paused = true)]
async fn a_window_that_never_holds_still_ends_the_run_failed_with_its_data_kept() {
    let (shop, store) = (shop(25, 8, OrderShape::Full), Arc::<MemoryStore>::default());
    for request in 8..400 {
        shop.change_at(request, move |orders| {
            let mut order: ListedOrder = orders[0].clone();
            order.id = 2_000_000 + request as i64;
            order.created_at -= SignedDuration::from_hours(24 * 10);
            orders.push(order);
        });
    }
    match run(&shop, &store).await {
        ImportOutcome::Failed {
            failure: Failure::Unbalanced { windows, cause },
            certificate,
        } => {
            assert_eq!((windows, cause), (1, Imbalance::Moving));
            assert!(!certificate.unwrap().balances());
        }
        other => panic!("{other:?}"),
    }
    let state = store.0.lock().unwrap();
    assert_eq!(state.run.as_ref().unwrap().state, RunState::Failed);
    assert!(state.orders.len() >= 200);
}

#[tokio::test(start_paused = true)]
async fn an_unbalanced_run_that_is_started_again_scans_only_what_did_not_balance() {
    let (shop, store) = (shop(25, 8, OrderShape::Full), Arc::<MemoryStore>::default());
    for request in 8..40 {
        shop.change_at(request, move |orders| {
            let mut order: ListedOrder = orders[0].clone();
            order.id = 2_000_000 + request as i64;
            order.created_at -= SignedDuration::from_hours(24 * 10);
            orders.push(order);
        });
    }
    while !matches!(run(&shop, &store).await, ImportOutcome::Completed(_)) {
        assert!(
            shop.requests() < 1_000,
            "the run must end once the shop is quiet"
        );
    }
    assert!(
        store
            .0
            .lock()
            .unwrap()
            .windows
            .iter()
            .all(|w| w.replaced || w.stored.done)
    );
}

#[tokio::test(start_paused = true)]
async fn a_window_above_the_ceiling_is_split_before_it_is_read() {
    // The newest month alone holds 29 × 500 = 14,500 orders.
    let (shop, store) = (
        shop(40, 500, OrderShape::Full),
        Arc::<MemoryStore>::default(),
    );
    let certificate = completed(run(&shop, &store).await);
    assert!(
        certificate
            .windows
            .iter()
            .all(|w| w.listing.reported <= 10_000)
    );
    assert_eq!(store.0.lock().unwrap().orders.len(), 20_000);
}

/// Stops at every request in turn; each time the next start resumes and fetches no landed page
/// again.
#[tokio::test(start_paused = true)]
async fn a_run_that_is_cut_off_anywhere_goes_on_from_its_checkpoint() {
    let undisturbed = {
        let (shop, store) = (
            shop(60, 5, OrderShape::Header),
            Arc::<MemoryStore>::default(),
        );
        completed(run(&shop, &store).await);
        shop.requests()
    };
    for at in (1..undisturbed).step_by(7) {
        let (shop, store) = (
            shop(60, 5, OrderShape::Header),
            Arc::<MemoryStore>::default(),
        );
        let failure = Failure::Transient {
            message: "Salla was away".into(),
        };
        *shop.fails_at.lock().unwrap() = Some((at, failure));
        assert!(
            matches!(run(&shop, &store).await, ImportOutcome::Interrupted(_)),
            "at {at}"
        );
        assert_eq!(
            store.0.lock().unwrap().run.as_ref().unwrap().state,
            RunState::Pending
        );
        completed(run(&shop, &store).await);
        assert_eq!(store.0.lock().unwrap().orders.len(), 300);
        // Each order takes two requests, and may have made one of them.
        let in_flight = 2 * 64;
        assert!(
            shop.requests() <= undisturbed + in_flight,
            "cut at {at}: {} requests instead of {undisturbed}",
            shop.requests()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn too_many_rejections_of_one_kind_stop_the_run() {
    let (shop, store) = (shop(60, 5, OrderShape::Full), Arc::<MemoryStore>::default());
    for order in shop.orders.lock().unwrap().iter_mut().step_by(3) {
        order.shape = OrderShape::Broken;
    }
    let outcome = run(&shop, &store).await;
    assert!(
        matches!(
            outcome,
            ImportOutcome::Failed {
                failure: Failure::TooManyRejections { .. },
                ..
            }
        ),
        "{outcome:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_few_rejections_are_certified_as_such() {
    let (shop, store) = (shop(60, 5, OrderShape::Full), Arc::<MemoryStore>::default());
    for order in shop.orders.lock().unwrap().iter_mut().step_by(60) {
        order.shape = OrderShape::Broken;
    }
    let certificate = completed(run(&shop, &store).await);
    assert!(certificate.summary(Resource::Orders).rejected >= 5);
    assert_eq!(store.0.lock().unwrap().orders.len(), 295);
}

#[tokio::test(start_paused = true)]
async fn a_disconnected_shop_ends_failed_and_can_be_started_again() {
    let (shop, store) = (shop(60, 5, OrderShape::Full), Arc::<MemoryStore>::default());
    let failure = Failure::Disconnected(Disconnection::TokenRejected);
    *shop.fails_at.lock().unwrap() = Some((12, failure));
    assert!(matches!(
        run(&shop, &store).await,
        ImportOutcome::Failed { .. }
    ));
    assert_eq!(
        store.0.lock().unwrap().run.as_ref().unwrap().state,
        RunState::Failed
    );
    completed(run(&shop, &store).await);
}

#[tokio::test(start_paused = true)]
async fn a_worker_whose_run_was_taken_over_stops_and_writes_nothing() {
    let mut scripted = ScriptedPlatform::with_orders(today(), 60, 5, OrderShape::Full);
    scripted.hangs_from = Some(9);
    let (shop, store) = (Arc::new(scripted), Arc::<MemoryStore>::default());
    let working = tokio::spawn({
        let (shop, store) = (shop.clone(), store.clone());
        async move { run(&shop, &store).await }
    });
    while shop.requests() < 9 {
        tokio::task::yield_now().await;
    }
    store.steal();
    let outcome = working.await.unwrap();
    assert!(
        matches!(outcome, ImportOutcome::Interrupted(Failure::LeaseLost)),
        "{outcome:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_stop_gives_the_run_back_at_once() {
    let mut scripted = ScriptedPlatform::with_orders(today(), 60, 5, OrderShape::Full);
    scripted.hangs_from = Some(9);
    let (shop, store) = (Arc::new(scripted), Arc::<MemoryStore>::default());
    let (handle, stop) = stop_pair();
    let options = RunOptions {
        months: 12,
        max_orders: None,
        keep_raw: true,
        only: None,
    };
    let engine = importer(&shop, &store);
    let working = tokio::spawn(async move {
        import(&engine, &shop_info(), &options, Reading::Changes, &(), stop).await
    });
    while shop.requests() < 9 {
        tokio::task::yield_now().await;
    }
    handle.stop();
    let outcome = working.await.unwrap().unwrap();
    assert!(
        matches!(outcome, ImportOutcome::Interrupted(Failure::Stopped)),
        "{outcome:?}"
    );
    let state = store.0.lock().unwrap();
    assert_eq!(state.run.as_ref().unwrap().state, RunState::Pending);
    assert!(state.run.as_ref().unwrap().holder.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_first_try_reads_the_newest_orders_and_no_more() {
    let (shop, store) = (
        shop(300, 5, OrderShape::Full),
        Arc::<MemoryStore>::default(),
    );
    let certificate = completed(run_with(&shop, &store, Some(25)).await);
    assert!(certificate.windows.iter().all(|w| w.listing.cut_short));
    let state = store.0.lock().unwrap();
    assert_eq!(state.orders.len(), 25);
    let pages = 25usize.div_ceil(PER_PAGE) as u64;
    // Planning takes five requests, three of which are pages of other lists. Statuses take one.
    assert_eq!(shop.requests(), pages + 5 + 1);
}

#[tokio::test(start_paused = true)]
async fn a_finished_import_is_not_repeated_but_brought_up_to_date() {
    let (shop, store) = (shop(30, 2, OrderShape::Full), Arc::<MemoryStore>::default());
    completed(run(&shop, &store).await);
    let before = shop.requests();
    let certificate = completed(run(&shop, &store).await);
    assert!(certificate.balances());
    // What was updated last, and the first page of each of the other lists.
    assert_eq!(shop.requests(), before + 5);
}

#[tokio::test(start_paused = true)]
async fn an_empty_shop_completes() {
    let (shop, store) = (
        Arc::new(ScriptedPlatform::default()),
        Arc::<MemoryStore>::default(),
    );
    let certificate = completed(run(&shop, &store).await);
    assert!(certificate.balances());
}

/// A request that never returns, or a database that never answers.
#[tokio::test(start_paused = true)]
async fn an_import_in_which_nothing_moves_gives_its_run_up() {
    let mut scripted = ScriptedPlatform::with_orders(today(), 60, 5, OrderShape::Full);
    scripted.hangs_from = Some(9);
    let (shop, store) = (Arc::new(scripted), Arc::<MemoryStore>::default());
    let outcome = run(&shop, &store).await;
    let ImportOutcome::Interrupted(failure @ Failure::Transient { .. }) = outcome else {
        panic!("{outcome:?}");
    };
    assert!(failure.to_string().contains("for 30 minutes"), "{failure}");
    let run = store.0.lock().unwrap().run.clone().unwrap();
    assert_eq!((run.state, run.holder), (RunState::Pending, None));
}
