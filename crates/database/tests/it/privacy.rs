//! Shops whose data is deleted.

use domain::shop::MerchantId;
use importer::ports::connections::Connections;
use importer::ports::merchants::Merchants as _;
use importer::ports::privacy::ExpiredShops as _;
use importer::ports::records::Exclusive;
use importer::ports::runs::Runs as _;
use jiff::Timestamp;
use sqlx::PgPool;

use crate::catalogue::{land_products, product};
use crate::connections::tokens;
use crate::make::{at, customer, ok, whole};
use crate::shop::Shop;
use importer::ports::platform::Records;

/// How many rows all tables have of a merchant.
async fn rows_of(pool: &PgPool, merchant: MerchantId) -> i64 {
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c
         JOIN pg_namespace n ON n.oid = c.relnamespace
         JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'merchant_id'
         WHERE n.nspname IN ('salla', 'salla_sync') AND c.relkind = 'r'",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    let mut rows = 0;
    for table in tables {
        let sql = format!("SELECT count(*) FROM {table} WHERE merchant_id = $1");
        let count: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .bind(merchant.0)
            .fetch_one(pool)
            .await
            .unwrap();
        rows += count;
    }
    rows
}

/// A shop with records, tokens and a run that is over.
async fn filled() -> Shop {
    let shop = Shop::open().await;
    land_products(&shop, 1, 0, vec![product(77)]).await;
    shop.land_orders(2, at(0), &[whole(1), whole(2)]).await;
    shop.land(3, at(0), Records::Customers(vec![ok(customer(5_001))]))
        .await;
    let (keyring, _) = database::Keyring::generate().unwrap();
    let connections = shop.db.database().connections(keyring);
    let opened = connections.open(&tokens("a1", Some("r1"))).await.unwrap();
    connections
        .bind(opened.id, shop.merchant, None)
        .await
        .unwrap();
    shop
}

async fn end(shop: &Shop) {
    shop.runs.release(shop.lease, None).await.unwrap();
}

#[tokio::test]
async fn nothing_of_a_shop_is_left_and_nothing_of_it_goes_while_somebody_is_at_it() {
    let shop = filled().await;
    let pool = shop.db.pool();
    let privacy = shop.db.database().privacy(None);
    let forget = |dry_run| privacy.forget_shop(shop.merchant, dry_run);
    assert!(matches!(
        forget(false).await.unwrap(),
        Exclusive::RunActive(_)
    ));
    end(&shop).await;
    let before = rows_of(pool, shop.merchant).await;
    let Exclusive::Done(would) = forget(true).await.unwrap() else {
        panic!("nothing else works on it");
    };
    assert_eq!(rows_of(pool, shop.merchant).await, before, "a dry run");
    let Exclusive::Done(deleted) = forget(false).await.unwrap() else {
        panic!("nothing else works on it");
    };
    assert_eq!(deleted, would);
    assert_eq!(rows_of(pool, shop.merchant).await, 0);
    for table in [
        "salla_sync.merchants",
        "salla_sync.sync_windows",
        "salla_sync.sync_pages",
    ] {
        let sql = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
        let left: i64 = sqlx::query_scalar(sql).fetch_one(pool).await.unwrap();
        assert_eq!(left, 0, "{table}");
    }
}

#[tokio::test]
async fn only_a_shop_whose_time_is_over_and_which_has_not_come_back_expires() {
    let shop = filled().await;
    end(&shop).await;
    let database = shop.db.database();
    let privacy = database.privacy(None);
    let salla_id: i64 = sqlx::query_scalar("SELECT salla_id FROM salla_sync.merchants")
        .fetch_one(shop.db.pool())
        .await
        .unwrap();
    assert_eq!(
        privacy.expired(Timestamp::MAX).await.unwrap(),
        [],
        "it is installed"
    );
    database
        .merchants()
        .uninstall(salla_id, None)
        .await
        .unwrap();
    let since: jiff_sqlx::Timestamp =
        sqlx::query_scalar("SELECT uninstalled_at FROM salla_sync.merchants")
            .fetch_one(shop.db.pool())
            .await
            .unwrap();
    let since = since.to_jiff();
    assert_eq!(privacy.expired(since).await.unwrap(), [], "not longer ago");
    let later = since + jiff::SignedDuration::from_secs(1);
    assert_eq!(
        privacy.expired(later).await.unwrap()[0].merchant,
        shop.merchant
    );

    // It comes back between the look and the deletion.
    let (keyring, _) = database::Keyring::generate().unwrap();
    let connections = database.connections(keyring);
    let opened = connections.open(&tokens("a2", Some("r2"))).await.unwrap();
    connections
        .bind(opened.id, shop.merchant, None)
        .await
        .unwrap();
    assert_eq!(
        privacy.delete_expired(shop.merchant, later).await.unwrap(),
        None
    );
    assert!(rows_of(shop.db.pool(), shop.merchant).await > 0);

    database
        .merchants()
        .uninstall(salla_id, None)
        .await
        .unwrap();
    let deleted = privacy
        .delete_expired(shop.merchant, Timestamp::MAX)
        .await
        .unwrap();
    assert!(deleted.is_some_and(|deleted| !deleted.is_empty()));
    assert_eq!(rows_of(shop.db.pool(), shop.merchant).await, 0);
}
