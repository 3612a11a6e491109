//! Who works on a run.

use std::sync::Arc;
use std::time::Duration;

use database::testing::TestDatabase;
use domain::certificate::Imbalance;
use domain::failure::Failure;
use domain::run::RunState;
use domain::window::DayRange;
use importer::ports::landing::{Landing, RunLease};
use importer::ports::runs::{Claim, Owner, ProcessId, Processes, RunOptions, Runs, Windows};
use jiff::ToSpan as _;

use crate::make::{at, header, ok};
use crate::shop::{LEASE, Shop, claim, options, orders, range, shop_info};

#[tokio::test]
async fn a_merchant_is_made_once_and_kept_up_to_date() {
    let db = TestDatabase::create().await;
    let runs = db.database().runs();
    let mut shop = shop_info(42);
    let (first, second) = tokio::join!(runs.ensure_merchant(&shop), runs.ensure_merchant(&shop));
    assert_eq!(first, second);
    shop.name = "اسم جديد".to_owned();
    shop.kind = None;
    assert_eq!(runs.ensure_merchant(&shop).await, first);
    let overview = runs.list().await.unwrap();
    assert_eq!(overview.len(), 1);
    assert_eq!(overview[0].0.name, "اسم جديد");
    assert_eq!(overview[0].1, None);
    let kind: Option<String> = sqlx::query_scalar("SELECT kind FROM salla_sync.merchants")
        .fetch_one(db.pool())
        .await
        .unwrap();
    assert_eq!(kind.as_deref(), Some("live"), "what is not given stays");
}

#[tokio::test]
async fn callers_at_once_get_the_same_run() {
    let db = TestDatabase::create().await;
    let runs = db.database().runs();
    let merchant = runs.ensure_merchant(&shop_info(1)).await.unwrap();
    let options = options();
    let create = || runs.create_or_join(merchant, &options, range(), None);
    let (a, b, c, d) = tokio::join!(create(), create(), create(), create());
    let ids = [a, b, c, d].map(|run| run.unwrap().id);
    assert!(ids.iter().all(|id| *id == ids[0]));
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM salla_sync.sync_runs")
        .fetch_one(db.pool())
        .await
        .unwrap();
    assert_eq!(count, 1);
}

/// Else it would wait a second in case its predecessor has used up the shop's budget.
#[tokio::test]
async fn whoever_claims_a_released_run_knows_for_how_long_to_send_nothing() {
    let db = TestDatabase::create().await;
    let runs = db.database().runs();
    let merchant = runs.ensure_merchant(&shop_info(1)).await.unwrap();
    let options = options();
    let run = runs.create_or_join(merchant, &options, range(), None);
    let run = run.await.unwrap().id;
    let wait = async || db.database().next_request(merchant).await.unwrap();
    let lease = claim(&runs, run, "a").await;
    assert_eq!(wait().await, None, "it had no worker before");
    runs.release(lease, Some(Duration::from_secs(100)))
        .await
        .unwrap();
    let between = Duration::from_secs(60)..=Duration::from_secs(100);
    assert!(wait().await.is_some_and(|wait| between.contains(&wait)));
    let lease = claim(&runs, run, "b").await;
    assert!(wait().await.is_some_and(|wait| between.contains(&wait)));
    runs.release(lease, Some(Duration::ZERO)).await.unwrap();
    let lease = claim(&runs, run, "c").await;
    assert_eq!(wait().await, Some(Duration::ZERO));

    // What it sends itself was not known then.
    let further = "UPDATE salla_sync.sync_runs SET pages = pages + 1";
    sqlx::query(further).execute(db.pool()).await.unwrap();
    assert_eq!(wait().await, None);
    runs.release(lease, None).await.unwrap();
    let lease = claim(&runs, run, "d").await;
    assert_eq!(wait().await, None, "its predecessor has not said");

    // Of two that die after it, the second knows nothing of the first.
    runs.release(lease, Some(Duration::ZERO)).await.unwrap();
    for owner in ["e", "f"] {
        claim(&runs, run, owner).await;
        let lapse = "UPDATE salla_sync.sync_runs SET lease_until = now() - interval '1 second'";
        sqlx::query(lapse).execute(db.pool()).await.unwrap();
    }
    assert_eq!(wait().await, None);
}

/// Its rows stay; the one who works on it is not disturbed.
#[tokio::test]
async fn a_first_try_is_superseded_by_an_import_unless_somebody_works_on_it() {
    let db = TestDatabase::create().await;
    let runs = db.database().runs();
    let merchant = runs.ensure_merchant(&shop_info(1)).await.unwrap();
    let small = RunOptions {
        max_orders: Some(50),
        ..options()
    };
    let first = runs.create_or_join(merchant, &small, range(), None);
    let first = first.await.unwrap();
    let lease = claim(&runs, first.id, "a").await;
    let whole = options();
    let joined = runs.create_or_join(merchant, &whole, range(), None);
    assert_eq!(joined.await.unwrap().id, first.id);
    runs.release(lease, None).await.unwrap();
    let real = runs.create_or_join(merchant, &whole, range(), None);
    let real = real.await.unwrap();
    assert_ne!(real.id, first.id);
    assert_eq!(real.options, options());
    let other = Owner::named("b");
    let over = runs.claim(first.id, &other, LEASE);
    assert!(matches!(over.await.unwrap(), Claim::NotRunnable(_)));
}

#[tokio::test]
async fn joining_depends_on_the_state() {
    let db = TestDatabase::create().await;
    let runs = db.database().runs();
    let merchant = runs.ensure_merchant(&shop_info(1)).await.unwrap();
    let small = RunOptions {
        months: 6,
        ..options()
    };
    let first = runs
        .create_or_join(merchant, &small, range(), None)
        .await
        .unwrap();
    assert_eq!((first.state, &first.options), (RunState::Pending, &small));
    let joined = runs
        .create_or_join(merchant, &options(), range(), None)
        .await
        .unwrap();
    assert_eq!(joined.id, first.id, "a waiting run is joined as it is");
    assert_eq!(joined.options, small);

    let lease = claim(&runs, first.id, "a").await;
    runs.fail(lease, &broken(), None).await.unwrap();
    let same = runs
        .create_or_join(merchant, &small, range(), None)
        .await
        .unwrap();
    assert_eq!(same.id, first.id, "a request for the same resumes it");
    assert_eq!(same.failure.unwrap().code, "broken");
    let keeps_nothing = RunOptions {
        keep_raw: false,
        ..small.clone()
    };
    let same = runs
        .create_or_join(merchant, &keeps_nothing, range(), None)
        .await
        .unwrap();
    assert_eq!(same.id, first.id, "that difference does not matter");
    assert_eq!(same.state, RunState::Pending, "it is begun again");

    let lease = claim(&runs, first.id, "a").await;
    runs.fail(lease, &broken(), None).await.unwrap();
    let other = runs
        .create_or_join(merchant, &options(), range(), None)
        .await
        .unwrap();
    assert_ne!(
        other.id, first.id,
        "a request for something else starts another"
    );
    assert_eq!(runs.latest(merchant).await.unwrap().unwrap().id, other.id);
    let superseded = runs
        .claim(first.id, &Owner::named("b"), LEASE)
        .await
        .unwrap();
    assert!(matches!(superseded, Claim::NotRunnable(_)));
}

/// Reports some processes as gone, and has its own name.
#[derive(Debug)]
struct Machine {
    this: ProcessId,
    gone: Vec<ProcessId>,
}

impl Processes for Machine {
    fn this(&self) -> Option<ProcessId> {
        Some(self.this.clone())
    }

    fn is_gone(&self, process: &ProcessId) -> bool {
        self.gone.contains(process)
    }
}

fn process(pid: u32) -> ProcessId {
    ProcessId {
        host: "vm".to_owned(),
        pid,
        started: u64::from(pid) * 10,
    }
}

fn owner(pid: u32, gone: &[u32]) -> Owner {
    Owner {
        name: format!("process {pid} on vm"),
        processes: Arc::new(Machine {
            this: process(pid),
            gone: gone.iter().copied().map(process).collect(),
        }),
    }
}

#[tokio::test]
async fn the_run_of_a_process_that_is_gone_is_taken_over_at_once() {
    let shop = Shop::open().await;
    let (runs, run) = (&shop.runs, shop.lease.run);
    let nameless = runs.held(run, &owner(9, &[1, 2, 3])).await.unwrap();
    assert!(!nameless.unwrap().is_abandoned, "it left no process");
    runs.release(shop.lease, None).await.unwrap();

    let Claim::Granted(first, _) = runs.claim(run, &owner(1, &[]), LEASE).await.unwrap() else {
        panic!("it was released");
    };
    let held = runs.held(run, &owner(2, &[3])).await.unwrap().unwrap();
    assert!(!held.is_abandoned && held.holder.owner == "process 1 on vm");
    assert!(
        held.lapses_in <= LEASE && held.lapses_in > LEASE / 2,
        "{held:?}"
    );
    let taken = runs.claim(run, &owner(2, &[3]), LEASE).await.unwrap();
    assert!(matches!(taken, Claim::Taken(_)));

    assert!(
        runs.held(run, &owner(2, &[1]))
            .await
            .unwrap()
            .unwrap()
            .is_abandoned
    );
    let taken_over = runs.claim(run, &owner(2, &[1]), LEASE).await.unwrap();
    assert!(matches!(taken_over, Claim::Granted(..)), "{taken_over:?}");
    assert_eq!(runs.release(first, None).await, Err(Failure::LeaseLost));
}

/// During an upgrade programs of the former version claim runs as well.
#[tokio::test]
async fn the_process_of_an_earlier_claim_says_nothing_about_the_present_one() {
    let shop = Shop::open().await;
    let (runs, run) = (&shop.runs, shop.lease.run);
    runs.release(shop.lease, None).await.unwrap();
    runs.claim(run, &owner(1, &[]), LEASE).await.unwrap();
    shop.execute(
        "UPDATE salla_sync.sync_runs SET fencing = fencing + 1, lease_owner = 'an older version'",
    )
    .await;
    let taken = runs.claim(run, &owner(2, &[1]), LEASE).await.unwrap();
    assert!(matches!(taken, Claim::Taken(_)), "{taken:?}");
}

fn broken() -> Failure {
    Failure::Broken {
        message: "the envelope cannot be read".to_owned(),
    }
}

#[tokio::test]
async fn one_of_many_claims_is_granted() {
    let db = TestDatabase::create().await;
    let runs = db.database().runs();
    let merchant = runs.ensure_merchant(&shop_info(1)).await.unwrap();
    let run = runs
        .create_or_join(merchant, &options(), range(), None)
        .await
        .unwrap();
    let owners = ["a", "b", "c", "d"].map(Owner::named);
    let claims = owners
        .each_ref()
        .map(|owner| runs.claim(run.id, owner, LEASE));
    let [a, b, c, d] = claims;
    let (a, b, c, d) = tokio::join!(a, b, c, d);
    let claims = [a, b, c, d].map(Result::unwrap);
    let granted = claims
        .iter()
        .filter(|c| matches!(c, Claim::Granted(..)))
        .count();
    assert_eq!(granted, 1);
    let taken = claims.iter().find_map(|claim| match claim {
        Claim::Taken(holder) => Some(holder.clone()),
        _ => None,
    });
    let shown = runs.latest(merchant).await.unwrap().unwrap();
    assert_eq!(shown.state, RunState::InProgress);
    assert_eq!(shown.holder, taken);
    assert!(shown.started_at.is_some());
}

#[tokio::test]
async fn a_lease_that_ran_out_can_be_taken_over_and_the_old_one_writes_nothing() {
    let shop = Shop::open().await;
    assert!(matches!(
        shop.runs
            .claim(shop.lease.run, &Owner::named("b"), LEASE)
            .await
            .unwrap(),
        Claim::Taken(_)
    ));
    shop.runs
        .extend_lease(shop.lease, Duration::ZERO)
        .await
        .unwrap();
    let window = shop.window(domain::resource::Resource::Orders).await;
    let page = shop.page(1, at(0), orders(vec![ok(header(1))])).await;
    let taken_over = claim(&shop.runs, shop.lease.run, "b").await;
    assert_eq!(taken_over.fencing_token, shop.lease.fencing_token + 1);

    let stale = shop.lease;
    let plan = crate::shop::plan(None);
    let lost = Err(Failure::LeaseLost);
    let runs = &shop.runs;
    assert_eq!(
        shop.landing.land_pages(stale, &[page]).await.map(drop),
        lost
    );
    assert_eq!(runs.extend_lease(stale, LEASE).await, lost);
    assert_eq!(runs.save_plan(stale, &plan, &[]).await, lost);
    assert_eq!(runs.begin_scan(stale, window).await.map(drop), lost);
    assert_eq!(runs.mark_window_done(stale, window, false).await, lost);
    let halves = [range(), range()];
    assert_eq!(runs.split_window(stale, window, halves).await, lost);
    assert_eq!(runs.report_progress(stale, 50, None).await, lost);
    assert_eq!(runs.wait(stale, at(0), &broken()).await, lost);
    assert_eq!(runs.certify(stale, at(0)).await.map(drop), lost);
    assert_eq!(runs.release(stale, None).await, lost);
    assert_eq!(runs.fail(stale, &broken(), None).await, lost);
    assert_eq!(shop.rows("salla.orders").await, 0);
    assert_eq!(shop.rows("salla_sync.sync_pages").await, 0);
    let run = runs.latest(shop.merchant).await.unwrap().unwrap();
    assert_eq!(run.holder.unwrap().owner, "b");
}

#[tokio::test]
async fn a_released_run_can_be_claimed_at_once_and_remembers_its_start() {
    let shop = Shop::open().await;
    let before = shop.runs.latest(shop.merchant).await.unwrap().unwrap();
    shop.runs.release(shop.lease, None).await.unwrap();
    shop.runs.release(shop.lease, None).await.unwrap();
    let waiting = shop.runs.latest(shop.merchant).await.unwrap().unwrap();
    assert_eq!((waiting.state, waiting.holder), (RunState::Pending, None));
    let again = claim(&shop.runs, shop.lease.run, "b").await;
    assert_eq!(again.fencing_token, shop.lease.fencing_token + 1);
    let running = shop.runs.latest(shop.merchant).await.unwrap().unwrap();
    assert_eq!(running.started_at, before.started_at);
    assert_eq!(running.plan, before.plan);
    assert_eq!(
        shop.runs.release(shop.lease, None).await,
        Err(Failure::LeaseLost)
    );
}

#[tokio::test]
async fn the_percentage_never_falls_and_keeps_a_hundred_for_the_end() {
    let shop = Shop::open().await;
    for (given, shown) in [(10, 10), (5, 10), (100, 99)] {
        shop.runs
            .report_progress(shop.lease, given, None)
            .await
            .unwrap();
        let (status,): (i32,) = shop
            .one("SELECT progress_percent FROM salla_sync.merchant_sync_status")
            .await;
        let run = shop.runs.latest(shop.merchant).await.unwrap().unwrap();
        assert_eq!(
            (status, run.progress.percent),
            (shown, shown as u8),
            "{given}"
        );
    }
}

#[tokio::test]
async fn ending_shows_in_both_places_and_may_be_repeated() {
    let shop = Shop::open().await;
    shop.land_orders(1, at(0), &[crate::make::whole(1)]).await;
    let certificate = shop.runs.certify(shop.lease, at(60)).await.unwrap();
    shop.runs.complete(shop.lease, &certificate).await.unwrap();
    shop.runs.complete(shop.lease, &certificate).await.unwrap();
    let run = shop.runs.latest(shop.merchant).await.unwrap().unwrap();
    assert_eq!(run.state, RunState::Completed);
    assert_eq!(run.certificate.as_ref(), Some(&certificate));
    assert_eq!((run.progress.percent, run.progress.orders), (100, 1));
    let status: (String, i32, bool) = shop
        .one("SELECT status, progress_percent, completed_at IS NOT NULL FROM salla_sync.merchant_sync_status")
        .await;
    assert_eq!(status, ("COMPLETED".to_owned(), 100, true));
    let over = shop
        .runs
        .claim(run.id, &Owner::named("late"), LEASE)
        .await
        .unwrap();
    assert!(matches!(over, Claim::NotRunnable(run) if run.certificate.is_some()));
    let next = shop
        .runs
        .create_or_join(shop.merchant, &options(), range(), None)
        .await
        .unwrap();
    assert_ne!(next.id, run.id);
    let status: (String, i32, i64) = shop
        .one("SELECT status, progress_percent, orders FROM salla_sync.merchant_sync_status")
        .await;
    assert_eq!(status, ("PENDING".to_owned(), 0, 0));
}

#[tokio::test]
async fn a_failed_run_keeps_its_reason_until_it_is_claimed_again() {
    let shop = Shop::open().await;
    let certificate = shop.runs.certify(shop.lease, at(60)).await.unwrap();
    let failure = Failure::Unbalanced {
        windows: 1,
        cause: Imbalance::Moving,
    };
    shop.runs
        .fail(shop.lease, &failure, Some(&certificate))
        .await
        .unwrap();
    let failed = shop.runs.latest(shop.merchant).await.unwrap().unwrap();
    assert_eq!(failed.state, RunState::Failed);
    assert_eq!(failed.failure.unwrap().message, failure.to_string());
    assert!(failed.certificate.is_some());
    let refused = shop
        .runs
        .claim(failed.id, &Owner::named("b"), LEASE)
        .await
        .unwrap();
    assert!(
        matches!(refused, Claim::NotRunnable(_)),
        "it has to be restarted"
    );
    let joined = shop
        .runs
        .create_or_join(shop.merchant, &options(), range(), None)
        .await
        .unwrap();
    assert_eq!((joined.id, joined.state), (failed.id, RunState::Pending));
    assert!(joined.failure.is_some());
    let lease: RunLease = claim(&shop.runs, failed.id, "b").await;
    let running = shop.runs.latest(shop.merchant).await.unwrap().unwrap();
    assert_eq!((running.failure, running.certificate), (None, None));
    assert_eq!(lease.run, failed.id);
}

/// PostgreSQL takes a process that was frozen while it copied rows in for a slow
/// client, and would let it hold the run forever.
#[tokio::test]
async fn a_landing_that_was_frozen_while_copying_does_not_hold_the_run_for_ever() {
    let shop = Shop::open().await;
    shop.execute("UPDATE salla_sync.sync_runs SET lease_until = now() - interval '1 second'")
        .await;
    let mut frozen = shop.db.pool().acquire().await.unwrap();
    for sql in [
        "BEGIN",
        "SELECT FROM salla_sync.sync_runs FOR KEY SHARE",
        "CREATE TEMPORARY TABLE copied (id bigint)",
    ] {
        sqlx::Executor::execute(&mut *frozen, sql).await.unwrap();
    }
    let copy = frozen.copy_in_raw("COPY copied FROM STDIN").await.unwrap();
    let claimed = shop
        .runs
        .claim(shop.lease.run, &Owner::named("another"), LEASE)
        .await;
    assert!(matches!(claimed, Ok(Claim::Granted(..))), "{claimed:?}");
    assert!(copy.finish().await.is_err(), "its connection was ended");
}

/// Its days would end where they ended then.
#[tokio::test]
async fn a_run_that_failed_days_ago_is_not_gone_on_with() {
    let db = TestDatabase::create().await;
    let runs = db.database().runs();
    let merchant = runs.ensure_merchant(&shop_info(1)).await.unwrap();
    let wanted = async |days_later: i64| {
        let to = range().to.saturating_add(days_later.days());
        let range = DayRange::last_months(to, 12);
        let run = runs.create_or_join(merchant, &options(), range, None).await;
        run.unwrap()
    };
    let first = wanted(0).await;
    let lease = claim(&runs, first.id, "a").await;
    runs.fail(lease, &broken(), None).await.unwrap();
    assert_eq!(wanted(1).await.id, first.id, "a night later it is");
    let lease = claim(&runs, first.id, "a").await;
    runs.fail(lease, &broken(), None).await.unwrap();
    let second = wanted(2).await;
    assert_ne!(second.id, first.id);
    assert_eq!(second.range.to, wanted(2).await.range.to);
}
