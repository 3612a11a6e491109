//! A budget that several processes share. Time passes by moving what is stored into the
//! past.

use std::time::Duration;

use database::testing::TestDatabase;
use database::{BudgetKey, PostgresBudget};
use importer::ports::shared_budget::{BudgetRules, Grant, GrantId, SharedBudget};

fn taker_in(db: &TestDatabase, egress_group: &str) -> PostgresBudget {
    let key = BudgetKey {
        egress_group: egress_group.to_owned(),
        budget: "customers",
    };
    db.database().budget(key, BudgetRules::CUSTOMERS)
}

fn taker(db: &TestDatabase) -> PostgresBudget {
    taker_in(db, "here")
}

fn permits(grant: Grant) -> u32 {
    match grant {
        Grant::Permits { permits, .. } => permits,
        Grant::Exhausted { .. } => 0,
    }
}

fn id(grant: Grant) -> GrantId {
    match grant {
        Grant::Permits { id, .. } => id,
        Grant::Exhausted { .. } => panic!("nothing was given"),
    }
}

fn pause(grant: Grant) -> Duration {
    match grant {
        Grant::Permits { .. } => Duration::ZERO,
        Grant::Exhausted { retry_after } => retry_after,
    }
}

/// Takes as long as something is given.
async fn take_all(budget: &PostgresBudget, wanted: u32) -> u32 {
    let mut taken = 0;
    while taken < wanted {
        match permits(budget.acquire(wanted - taken).await.unwrap()) {
            0 => break,
            permits => taken += permits,
        }
    }
    taken
}

async fn pass(db: &TestDatabase, seconds: i32) {
    for sql in [
        "UPDATE salla_sync.shared_budgets SET refused_until = refused_until - make_interval(secs => $1)",
        "UPDATE salla_sync.budget_grants SET counted_until = counted_until - make_interval(secs => $1)",
        "UPDATE salla_sync.budget_takers SET asked_at = asked_at - make_interval(secs => $1)",
    ] {
        sqlx::query(sql)
            .bind(f64::from(seconds))
            .execute(db.pool())
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_whole_limit_is_given_in_blocks_and_then_nothing() {
    let db = TestDatabase::create().await;
    let budget = taker(&db);
    assert_eq!(permits(budget.acquire(3).await.unwrap()), 3);
    assert_eq!(permits(budget.acquire(1_000).await.unwrap()), 25);
    assert_eq!(take_all(&budget, 1_000).await, 472);
    let nothing = budget.acquire(1).await.unwrap();
    assert_eq!(pause(nothing), BudgetRules::MAX_RETRY_AFTER);
    assert_eq!(permits(taker_in(&db, "there").acquire(1).await.unwrap()), 1);
}

#[tokio::test]
async fn a_permit_counts_for_a_window_after_its_last_use() {
    let db = TestDatabase::create().await;
    let budget = taker(&db);
    assert_eq!(take_all(&budget, 300).await, 300);
    pass(&db, 300).await;
    assert_eq!(take_all(&budget, 300).await, 200);
    // The first were usable for 15 seconds.
    pass(&db, 301 + 13).await;
    let nothing = budget.acquire(1).await.unwrap();
    assert!(pause(nothing) <= Duration::from_secs(2), "{nothing:?}");
    pass(&db, 2).await;
    assert_eq!(take_all(&budget, 1_000).await, 300);
    pass(&db, 616).await;
    assert_eq!(take_all(&budget, 1_000).await, 500);
}

#[tokio::test]
async fn what_is_given_back_counts_no_more() {
    let db = TestDatabase::create().await;
    let (budget, other) = (taker(&db), taker(&db));
    let block = id(budget.acquire(25).await.unwrap());
    assert_eq!(take_all(&budget, 475).await, 475);
    assert_eq!(permits(other.acquire(30).await.unwrap()), 0);
    budget.return_unused(block, 10).await.unwrap();
    assert_eq!(permits(other.acquire(30).await.unwrap()), 10);
    budget.return_unused(block, 15).await.unwrap();
    assert_eq!(permits(other.acquire(20).await.unwrap()), 15);
    // What has aged out cannot make room a second time.
    pass(&db, 616).await;
    assert_eq!(take_all(&other, 500).await, 500);
    budget.return_unused(block, 25).await.unwrap();
    assert_eq!(permits(other.acquire(1).await.unwrap()), 0);
}

#[tokio::test]
async fn two_that_want_more_than_there_is_get_half_each() {
    let db = TestDatabase::create().await;
    let (early, late) = (taker(&db), taker(&db));
    assert_eq!(take_all(&early, 1_000).await, 500);
    assert_eq!(permits(late.acquire(300).await.unwrap()), 0);
    pass(&db, 616 - 20).await;
    // Both are still seen to want some when everything becomes free.
    for budget in [&early, &late] {
        assert_eq!(permits(budget.acquire(1_000).await.unwrap()), 0);
    }
    pass(&db, 20).await;
    assert_eq!(take_all(&early, 1_000).await, 250);
    let rest_is_kept = early.acquire(1_000).await.unwrap();
    assert!(pause(rest_is_kept) < Duration::from_secs(1));
    assert_eq!(take_all(&late, 1_000).await, 250);
}

#[tokio::test]
async fn a_taker_that_is_lost_costs_half_a_minute_and_its_permits_age_out() {
    let db = TestDatabase::create().await;
    let (lost, budget) = (taker(&db), taker(&db));
    assert_eq!(take_all(&lost, 200).await, 200);
    assert_eq!(permits(lost.acquire(1_000).await.unwrap()), 25);
    drop(lost);
    assert_eq!(take_all(&budget, 1_000).await, 250);
    pass(&db, 31).await;
    assert_eq!(take_all(&budget, 1_000).await, 25);
    pass(&db, 616 - 31).await;
    assert_eq!(take_all(&budget, 225).await, 225);
}

#[tokio::test]
async fn a_refusal_holds_everybody_and_is_never_shortened() {
    let db = TestDatabase::create().await;
    let (told, other) = (taker(&db), taker(&db));
    // The first word of a budget may be a refusal.
    told.report_refusal(Duration::from_secs(300)).await.unwrap();
    told.report_refusal(Duration::from_secs(5)).await.unwrap();
    for budget in [&told, &other] {
        let nothing = budget.acquire(1).await.unwrap();
        assert_eq!(pause(nothing), BudgetRules::MAX_RETRY_AFTER);
    }
    pass(&db, 296).await;
    assert!(pause(other.acquire(1).await.unwrap()) <= Duration::from_secs(4));
    pass(&db, 4).await;
    assert_eq!(permits(other.acquire(1).await.unwrap()), 1);
}

/// Four processes with four connections each ask as fast as they can.
#[tokio::test(flavor = "multi_thread")]
async fn takers_at_once_never_get_more_than_the_limit() {
    let db = TestDatabase::create().await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let budget = std::sync::Arc::new(taker(&db));
        for _ in 0..4 {
            let budget = budget.clone();
            tasks.spawn(async move {
                let mut kept = 0;
                for round in 0..60 {
                    let grant = budget.acquire(7).await.unwrap();
                    kept += permits(grant);
                    if round % 5 == 0 && permits(grant) > 2 {
                        budget.return_unused(id(grant), 2).await.unwrap();
                        kept -= 2;
                    }
                }
                kept
            });
        }
    }
    let kept: u32 = tasks.join_all().await.iter().sum();
    assert_eq!(kept, 500);
}

/// The database's clock was two days ahead for a while.
#[tokio::test]
async fn what_was_written_in_the_future_holds_nobody_up() {
    let db = TestDatabase::create().await;
    let (budget, dead) = (taker(&db), taker(&db));
    assert_eq!(take_all(&dead, 1_000).await, 500);
    budget
        .report_refusal(Duration::from_secs(60))
        .await
        .unwrap();
    pass(&db, -2 * 86_400).await;
    assert_eq!(take_all(&budget, 1_000).await, 500);
    budget
        .report_refusal(Duration::from_secs(60))
        .await
        .unwrap();
    assert_eq!(
        pause(budget.acquire(1).await.unwrap()),
        BudgetRules::MAX_RETRY_AFTER
    );
    pass(&db, 616).await;
    assert_eq!(permits(budget.acquire(1).await.unwrap()), 1);
}
