//! Connections that stay open and answer no more.

use std::sync::Arc;
use std::time::Duration;

use database::testing::FreezingProxy;
use database::{ConnectSettings, Database};
use futures::future::join_all;
use importer::ports::clock::{Clock, SystemClock};
use importer::ports::landing::Landing;
use importer::ports::runs::Runs;
use secrecy::SecretString;

use crate::make::{at, whole};
use crate::shop::Shop;

const CONNECTIONS: u32 = 4;

async fn through(proxy: &FreezingProxy) -> Database {
    let settings = ConnectSettings {
        max_connections: CONNECTIONS,
        timeout: Duration::from_secs(10),
        ..ConnectSettings::new(SecretString::from(proxy.url()))
    };
    let clock = Arc::new(SystemClock::real());
    let database = Database::connect(settings, clock).await.unwrap();
    // All connections are open.
    let asks =
        (0..CONNECTIONS).map(|_| sqlx::query("SELECT pg_sleep(0.1)").execute(database.pool()));
    for asked in join_all(asks).await {
        asked.unwrap();
    }
    database
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_that_froze_are_replaced() {
    let shop = Shop::open().await;
    let proxy = FreezingProxy::before(&shop.db.url()).await;
    let runs = through(&proxy).await.runs();
    let clock = SystemClock::real();
    for _ in 0..2 {
        proxy.freeze();
        let begun = clock.monotonic();
        for listed in join_all((0..CONNECTIONS).map(|_| runs.list())).await {
            assert_eq!(listed.unwrap().len(), 1);
        }
        // One that was taken a moment before it froze costs the time that work has.
        let took = clock.monotonic() - begun;
        assert!(took < Duration::from_secs(45), "{took:?}");
    }
}

/// One lands whole orders, the others wait for a lock, as many as there are connections.
#[tokio::test(flavor = "multi_thread")]
async fn work_that_froze_is_begun_again_and_done_once() {
    let shop = Shop::open().await;
    let page = shop
        .page(
            1,
            at(0),
            crate::shop::orders((1..=60).map(|id| crate::make::ok(whole(id))).collect()),
        )
        .await;
    let proxy = FreezingProxy::before(&shop.db.url()).await;
    let database = through(&proxy).await;
    let (landing, runs) = (database.landing(), database.runs());

    let mut lock = shop.db.pool().begin().await.unwrap();
    sqlx::query("LOCK TABLE salla.orders, salla_sync.merchants IN EXCLUSIVE MODE")
        .execute(&mut *lock)
        .await
        .unwrap();
    let work = async {
        let (lease, info) = (shop.lease, crate::shop::shop_info(1));
        let pages = [page];
        let land = landing.land_pages(lease, &pages);
        let others = join_all((1..CONNECTIONS).map(|_| runs.ensure_merchant(&info)));
        let (landed, merchants) = tokio::join!(land, others);
        assert_eq!(landed.unwrap().loaded, 60);
        for merchant in merchants {
            assert_eq!(merchant.unwrap(), shop.merchant);
        }
    };
    let freeze = async {
        let waiting = "SELECT count(*) FROM pg_stat_activity
            WHERE wait_event_type = 'Lock' AND datname = current_database()";
        loop {
            let (waiting,): (i64,) = shop.one(waiting).await;
            if waiting == i64::from(CONNECTIONS) {
                break;
            }
        }
        proxy.freeze();
        lock.rollback().await.unwrap();
    };
    let clock = SystemClock::real();
    let begun = clock.monotonic();
    tokio::join!(work, freeze);
    let took = clock.monotonic() - begun;
    assert!(took < Duration::from_secs(60), "{took:?}");
    assert_eq!(shop.rows("salla.orders").await, 60);
    assert_eq!(shop.rows("salla.order_items").await, 120);
    assert_eq!(shop.rows("salla_sync.sync_pages").await, 1);
}
