//! All runs at a glance.

use std::time::Duration;

use domain::run::RunState;

use crate::shop::Shop;

async fn change(shop: &Shop, assignment: &'static str) {
    let sql = format!("UPDATE salla_sync.sync_runs SET {assignment}");
    let query = sqlx::query(sqlx::AssertSqlSafe(sql));
    query.execute(shop.db.pool()).await.unwrap();
}

#[tokio::test]
async fn idle_is_who_works_and_lands_nothing_without_being_told_to_wait() {
    let shop = Shop::open().await;
    let states = || async { shop.db.database().run_states().await.unwrap() };
    change(&shop, "progressed_at = now() - interval '20 minutes'").await;
    let idle = states().await;
    assert_eq!(idle.counts, [(RunState::InProgress, 1)]);
    let minutes = idle.idle.as_secs() / 60;
    assert_eq!(minutes, 20, "{idle:?}");

    change(&shop, "waiting_until = now() + interval '1 hour'").await;
    assert_eq!(states().await.idle, Duration::ZERO);
    change(
        &shop,
        "state = 'WAITING', waiting_until = now() - interval '1 hour'",
    )
    .await;
    let waiting = states().await;
    assert_eq!(waiting.counts, [(RunState::Waiting, 1)]);
    assert_eq!(waiting.idle, Duration::ZERO);
    change(&shop, "superseded_at = now()").await;
    assert_eq!(states().await.counts, []);
}
