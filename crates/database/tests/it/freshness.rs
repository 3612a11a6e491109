//! Which shops are brought up to date, and when.

use std::collections::BTreeSet;
use std::time::Duration;

use database::testing::TestDatabase;
use domain::shop::MerchantId;
use importer::ports::jobs::Jobs;

const HOUR: Duration = Duration::from_secs(3_600);

/// Finished and connected shops, that were touched that number of hours ago.
async fn shops(db: &TestDatabase, number: i32, hours_ago: i32) {
    let sql = "
        WITH shop AS (
            INSERT INTO salla_sync.merchants (id, salla_id, name, plan, created_at, updated_at)
            SELECT gen_random_uuid(), n, 'shop', 'plus', now(), now()
            FROM generate_series(1, $1) AS n RETURNING id
        ), run AS (
            INSERT INTO salla_sync.sync_runs
                (id, merchant_id, state, months, keep_raw, range_from, range_to, created_at, ended_at,
                 completed_at)
            SELECT gen_random_uuid(), id, 'COMPLETED', 12, true, '2025-01-01', '2025-12-31',
                   now() - make_interval(hours => $2), now() - make_interval(hours => $2),
                   now() - make_interval(hours => $2)
            FROM shop
        )
        INSERT INTO salla_sync.connections
            (id, merchant_id, is_current, fingerprint, key_id, access_token, state, created_at,
             updated_at)
        SELECT gen_random_uuid(), id, true, sha256(id::text::bytea), 'k', '', 'ACTIVE', now(), now()
        FROM shop";
    let query = sqlx::query(sql).bind(number).bind(hours_ago);
    query.execute(db.pool()).await.unwrap();
}

async fn take_due(db: &TestDatabase, every: Duration) -> Vec<MerchantId> {
    let jobs = db.database().jobs();
    jobs.take_due(every, 1_000).await.unwrap()
}

async fn change(db: &TestDatabase, sql: &'static str) {
    sqlx::query(sql).execute(db.pool()).await.unwrap();
}

#[tokio::test]
async fn each_shop_is_taken_once_whoever_asks() {
    let db = TestDatabase::create().await;
    shops(&db, 40, 30).await;
    let (one, other) = tokio::join!(take_due(&db, HOUR), take_due(&db, HOUR));
    let all: BTreeSet<_> = one.iter().chain(&other).map(|shop| shop.0).collect();
    assert_eq!((all.len(), one.len() + other.len()), (40, 40));
}

/// Of a day's period an hour has passed: about one shop in twenty-four is due.
#[tokio::test]
async fn shops_are_spread_over_the_period() {
    let db = TestDatabase::create().await;
    shops(&db, 480, 1).await;
    let due = take_due(&db, HOUR * 24).await.len();
    assert!((4..60).contains(&due), "{due}");
}

#[tokio::test]
async fn shops_that_cannot_be_read_or_are_being_read_are_left_alone() {
    for sql in [
        "UPDATE salla_sync.connections SET state = 'DISCONNECTED', disconnected_why = 'refresh_lost'",
        "UPDATE salla_sync.connections SET is_current = false",
        "UPDATE salla_sync.sync_runs SET max_orders = 60",
        "UPDATE salla_sync.sync_runs SET only_resource = 'products'",
        "UPDATE salla_sync.sync_runs SET ended_at = now()",
        "INSERT INTO salla_sync.sync_runs
             (id, merchant_id, state, months, keep_raw, range_from, range_to, created_at)
         SELECT gen_random_uuid(), merchant_id, 'PAUSED', 12, true, range_from, range_to, created_at
         FROM salla_sync.sync_runs",
        "INSERT INTO salla_sync.sync_runs
             (id, merchant_id, state, failure_code, months, keep_raw, range_from, range_to, created_at)
         SELECT gen_random_uuid(), merchant_id, 'FAILED', 'refresh_lost', 12, true, range_from,
                range_to, created_at
         FROM salla_sync.sync_runs",
    ] {
        let db = TestDatabase::create().await;
        shops(&db, 3, 72).await;
        change(&db, sql).await;
        // A period of a year has hardly ended in the last moment, and has in the last days.
        let every = match sql.contains("ended_at = now()") {
            true => HOUR * 24 * 365,
            false => HOUR,
        };
        assert_eq!(take_due(&db, every).await, [], "{sql}");
    }
}

/// A run that failed for a reason that may pass is restarted, and one that a command has left is
/// resumed.
#[tokio::test]
async fn a_shop_whose_run_failed_or_was_left_is_due_again() {
    for (state, code) in [
        ("FAILED", Some("unbalanced")),
        ("PENDING", None),
        ("IN_PROGRESS", None),
    ] {
        let db = TestDatabase::create().await;
        shops(&db, 1, 72).await;
        let sql = "
            INSERT INTO salla_sync.sync_runs
                (id, merchant_id, state, failure_code, months, keep_raw, range_from, range_to,
                 created_at, lease_until)
            SELECT gen_random_uuid(), merchant_id, $1, $2, 12, true, range_from, range_to,
                   created_at, now() - interval '1 hour'
            FROM salla_sync.sync_runs";
        let left = sqlx::query(sql).bind(state).bind(code);
        left.execute(db.pool()).await.unwrap();
        assert_eq!(take_due(&db, HOUR).await.len(), 1, "{state}");
    }
}

#[tokio::test]
async fn what_is_due_and_the_oldest_shop_are_known_to_who_watches() {
    let db = TestDatabase::create().await;
    shops(&db, 3, 30).await;
    let before = db.database().freshness(Some(HOUR)).await.unwrap();
    assert_eq!(before.due, Some(3));
    let hours = before.oldest.as_secs() / 3_600;
    assert!((29..=31).contains(&hours), "{hours}");
    assert_eq!(take_due(&db, HOUR).await.len(), 3);
    let after = db.database().freshness(Some(HOUR)).await.unwrap();
    assert_eq!(after.due, Some(0), "what was taken is no longer due");
    assert_eq!(db.database().freshness(None).await.unwrap().due, None);
    // What is paused on purpose grows old without alarm.
    let paused = "INSERT INTO salla_sync.sync_runs
            (id, merchant_id, state, months, keep_raw, range_from, range_to, created_at)
        SELECT gen_random_uuid(), merchant_id, 'PAUSED', 12, true, range_from, range_to, created_at
        FROM salla_sync.sync_runs";
    change(&db, paused).await;
    let paused = db.database().freshness(None).await.unwrap();
    assert_eq!(paused.oldest, Duration::ZERO);
}
