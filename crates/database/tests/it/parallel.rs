//! Landings that meet, and servers that go away in the middle.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use domain::resource::Resource;
use importer::ports::clock::{Clock, SystemClock};
use importer::ports::landing::Landing;
use importer::ports::runs::Runs;
use sqlx::{Executor, PgConnection};

use crate::make::{at, ok, whole};
use crate::shop::{Shop, orders};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallel_landings_of_the_same_orders_agree() {
    let shop = Shop::open().await;
    let mut pages = Vec::new();
    for page in 1..=8_u32 {
        // The same orders, in another order and of another version each time.
        let records = (1..=60).map(|n| ok(whole((n * i64::from(page) * 7) % 61 + 1)));
        pages.push(
            shop.page(page, at(i64::from(page)), orders(records.collect()))
                .await,
        );
    }
    let mut landings = tokio::task::JoinSet::new();
    for page in pages {
        let (landing, lease) = (shop.landing.clone(), shop.lease);
        landings.spawn(async move { landing.land_pages(lease, &[page]).await });
    }
    let runs = shop.runs.clone();
    let lease = shop.lease;
    landings.spawn(async move {
        runs.extend_lease(lease, Duration::from_secs(60)).await?;
        Ok(Default::default())
    });
    for landed in landings.join_all().await {
        landed.unwrap();
    }
    let counts = shop.count(Resource::Orders).await;
    assert_eq!(counts.loaded, counts.listing.distinct);
    let (counted, rows): (i64, i64) = shop
        .one("SELECT r.orders, (SELECT count(*) FROM salla.orders) FROM salla_sync.sync_runs r")
        .await;
    assert_eq!(counted, rows);
    assert_eq!(shop.rows("salla.order_items").await, rows * 2);
    let (pages,): (i64,) = shop.one("SELECT pages FROM salla_sync.sync_runs").await;
    assert_eq!(pages, 8);
}

/// Waits until `sql` finds a landing that waits for a lock.
async fn until_somebody_waits(connection: &mut PgConnection) {
    until_so_many_wait(connection, 1).await;
}

async fn until_so_many_wait(connection: &mut PgConnection, number: i64) {
    let clock = SystemClock::real();
    for _ in 0..2_400 {
        // Within a transaction PostgreSQL shows what it saw at the first look.
        connection
            .execute("SELECT pg_stat_clear_snapshot()")
            .await
            .unwrap();
        let waiting: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
        )
        .fetch_one(&mut *connection)
        .await
        .unwrap();
        if waiting >= number {
            return;
        }
        clock.sleep(Duration::from_millis(25)).await;
    }
    panic!("nothing waits");
}

#[tokio::test]
async fn a_deadlock_is_tried_again() {
    let shop = Shop::open().await;
    shop.land_orders(1, at(0), &[whole(1)]).await;
    let mut other = shop.db.pool().acquire().await.unwrap();
    // The other side must not be the victim.
    other.execute("SET deadlock_timeout = '60s'").await.unwrap();
    other.execute("BEGIN").await.unwrap();
    other
        .execute("UPDATE salla.orders SET source = 'other' WHERE id = 1")
        .await
        .unwrap();
    let mut changed = whole(1);
    changed.payment_method = Some("cod".to_owned());
    let page = shop.page(2, at(10), orders(vec![ok(changed)])).await;
    let (landing, lease) = (shop.landing.clone(), shop.lease);
    let landed = tokio::spawn(async move { landing.land_pages(lease, &[page]).await });
    until_somebody_waits(&mut other).await;
    other
        .execute("UPDATE salla_sync.source_records SET effect = 0")
        .await
        .unwrap();
    other.execute("COMMIT").await.unwrap();
    assert_eq!(landed.await.unwrap().unwrap().loaded, 1);
    let (method,): (String,) = shop.one("SELECT payment_method FROM salla.orders").await;
    assert_eq!(method, "cod");
    let (pages,): (i64,) = shop.one("SELECT pages FROM salla_sync.sync_runs").await;
    assert_eq!(pages, 2, "counted once");
}

#[tokio::test]
async fn a_lost_connection_is_tried_again() {
    let shop = Shop::open().await;
    shop.land_orders(1, at(0), &[whole(1)]).await;
    let mut other = shop.db.pool().acquire().await.unwrap();
    other.execute("BEGIN").await.unwrap();
    other
        .execute("UPDATE salla_sync.source_records SET effect = 0")
        .await
        .unwrap();
    let page = shop
        .page(2, at(10), orders(vec![ok(whole(1)), ok(whole(2))]))
        .await;
    let (landing, lease) = (shop.landing.clone(), shop.lease);
    let landed = tokio::spawn(async move { landing.land_pages(lease, &[page]).await });
    until_somebody_waits(&mut other).await;
    other
        .execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
        .await
        .unwrap();
    other.execute("COMMIT").await.unwrap();
    assert_eq!(landed.await.unwrap().unwrap().loaded, 2);
    assert_eq!(shop.rows("salla.orders").await, 2);
}

/// A claim waits for the landing in flight; what comes after it is refused.
#[tokio::test]
async fn a_takeover_waits_for_the_landing_in_flight() {
    let shop = Shop::open().await;
    shop.land_orders(1, at(0), &[whole(1)]).await;
    shop.runs
        .extend_lease(shop.lease, Duration::ZERO)
        .await
        .unwrap();
    let mut other = shop.db.pool().acquire().await.unwrap();
    other.execute("BEGIN").await.unwrap();
    other
        .execute("UPDATE salla_sync.source_records SET effect = 0")
        .await
        .unwrap();
    let page = shop
        .page(2, at(10), orders(vec![ok(whole(1)), ok(whole(2))]))
        .await;
    let (landing, lease) = (shop.landing.clone(), shop.lease);
    let landed = tokio::spawn(async move { landing.land_pages(lease, &[page]).await });
    until_somebody_waits(&mut other).await;
    let runs = shop.runs.clone();
    let claim = tokio::spawn(async move { crate::shop::claim(&runs, lease.run, "b").await });
    until_so_many_wait(&mut other, 2).await;
    assert!(!claim.is_finished(), "the landing holds the run");
    other.execute("COMMIT").await.unwrap();
    assert_eq!(landed.await.unwrap().unwrap().loaded, 2);
    assert_eq!(claim.await.unwrap().fencing_token, lease.fencing_token + 1);
}

/// Rows that were inserted by hand are replaced.
#[tokio::test]
async fn rows_that_are_there_already_do_not_stop_a_batch() {
    let shop = Shop::open().await;
    shop.land_orders(1, at(0), &[whole(1)]).await;
    shop.execute("DELETE FROM salla_sync.source_records").await;
    let landed = shop.land_orders(2, at(10), &[whole(1), whole(2)]).await;
    assert_eq!(landed.loaded, 2);
    assert_eq!(shop.rows("salla.order_items").await, 4);
}

/// Polls a future `polls` times and drops it.
async fn dropped_after(polls: usize, future: impl Future) -> bool {
    let mut future = pin!(future);
    let mut polled = 0;
    poll_fn(|context| {
        polled += 1;
        match future.as_mut().poll(context) {
            Poll::Ready(_) => Poll::Ready(false),
            Poll::Pending if polled >= polls => Poll::Ready(true),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Every connection of the pool gives the response to what it is asked.
async fn every_connection_answers(shop: &Shop, when: &str) {
    let mut held = Vec::new();
    for _ in 0..shop.db.pool().size() {
        held.push(shop.db.pool().acquire().await.unwrap());
    }
    let mut echo = 0_i64;
    for connection in &mut held {
        for _ in 0..3 {
            echo += 1;
            let heard: i64 = sqlx::query_scalar("SELECT $1")
                .bind(echo)
                .fetch_one(&mut **connection)
                .await
                .unwrap_or_else(|error| panic!("dropped {when}: {error}"));
            assert_eq!(heard, echo, "dropped {when}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_landing_that_is_dropped_leaves_no_answers_to_the_next_statement() {
    let shop = Shop::open().await;
    let mut dropped = 0;
    for polls in 1..=40 {
        let first = i64::try_from(polls).unwrap() * 100;
        let records = (first..first + 20).map(|id| ok(whole(id))).collect();
        let number = u32::try_from(polls).unwrap();
        let pages = [shop.page(number, at(0), orders(records)).await];
        let landing = shop.landing.land_pages(shop.lease, &pages);
        dropped += u32::from(dropped_after(polls, landing).await);
        every_connection_answers(&shop, &format!("after {polls} polls")).await;
    }
    assert!(dropped > 0, "no landing was dropped");
}

/// The rows are sent, and the server has not yet said that it has them.
#[tokio::test]
async fn a_landing_that_is_dropped_among_its_rows_leaves_no_answers() {
    let shop = Shop::open().await;
    shop.land_orders(1, at(0), &[whole(1)]).await;
    let mut other = shop.db.pool().acquire().await.unwrap();
    other.execute("BEGIN").await.unwrap();
    other
        .execute(
            "INSERT INTO salla.orders
                 (merchant_id, id, created_at, created_at_raw, created_at_reading, riyadh_date)
             SELECT merchant_id, 300, created_at, created_at_raw, created_at_reading, riyadh_date
             FROM salla.orders",
        )
        .await
        .unwrap();
    let page = shop
        .page(2, at(10), orders((2..=400).map(|n| ok(whole(n))).collect()))
        .await;
    let (landing, lease) = (shop.landing.clone(), shop.lease);
    let landed = tokio::spawn(async move { landing.land_pages(lease, &[page]).await });
    until_somebody_waits(&mut other).await;
    landed.abort();
    assert!(landed.await.unwrap_err().is_cancelled());
    other.execute("ROLLBACK").await.unwrap();
    drop(other);
    every_connection_answers(&shop, "while copying").await;
    assert_eq!(shop.rows("salla.orders").await, 1, "nothing of it landed");
}
